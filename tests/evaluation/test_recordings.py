"""What is measured: a manifest's split, or a folder of sound files."""

import json

import numpy as np
import pytest
import soundfile

from aoede.data.manifest import Clip
from aoede.evaluation.recordings import folder_clips, open_recordings, spread


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "songs").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("b.wav", "songs/a.FLAC", ".hidden/c.wav"):
        soundfile.write(tmp_path / name, np.zeros(100), 8000)
    (tmp_path / "b.txt").write_text(" hello\n there ")
    (tmp_path / "notes.md").write_text("no sound")
    return tmp_path


def test_a_folder_gives_its_sound_files_by_path_with_the_text_beside_them(folder):
    assert [(clip.id, clip.text) for clip in folder_clips(folder)] == [("b.wav", "hello there"), ("songs/a.FLAC", "")]
    clips, pool = open_recordings(folder, None)
    assert [clip.id for clip in clips] == ["b.wav", "songs/a.FLAC"] and pool == []


def test_a_folder_without_sound_or_with_a_filter_is_refused(folder, tmp_path_factory):
    with pytest.raises(ValueError, match="no sound file in it"):
        folder_clips(tmp_path_factory.mktemp("empty"))
    with pytest.raises(ValueError, match="without a speaker; a manifest can have one"):
        open_recordings(folder, None, speakers=["anna"])
    with pytest.raises(ValueError, match="without a split"):
        open_recordings(folder, "dev")


def test_a_manifest_gives_a_split_and_the_rest(folder):
    rows = [{"audio": "b.wav", "id": str(i), "split": split} for i, split in enumerate(["heldout", "train", "dev"])]
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    clips, pool = open_recordings(manifest, None, text=None)
    assert [clip.id for clip in clips] == ["0"] and [clip.id for clip in pool] == ["1", "2"]
    assert [clip.id for clip in open_recordings(manifest, "dev", text=None)[0]] == ["2"]
    with pytest.raises(ValueError, match="no clip has split 'test'; there are: dev, heldout, train"):
        open_recordings(manifest, "test", text=None)
    with pytest.raises(ValueError, match="no column 'text'"):
        open_recordings(manifest, None)


def test_a_limit_spreads_evenly():
    clips = [Clip(audio="x.wav", id=str(i)) for i in range(10)]
    assert [clip.id for clip in spread(clips, 4)] == ["0", "2", "5", "7"]
    assert spread(clips, 99) == spread(clips, None) == clips
