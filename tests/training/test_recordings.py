"""A folder of sound files is enough: what is held out is fixed by names, and told where it cannot be."""

import json
from pathlib import Path

import pytest

from aoede.training.recordings import SourceConfig, find_clips, folder_clips


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty files by two people, and things that are no sound. Nobody opens them here."""
    for number in range(40):
        path = tmp_path / "rec" / f"speaker{number % 2}" / f"take{number:02d}.FLAC"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name in ("notes.txt", ".hidden.wav", "speaker0/.trash/old.wav"):
        (tmp_path / "rec" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "rec" / name).touch()
    return tmp_path / "rec"


def names(clips: list) -> list[str]:
    return [clip.id for clip in clips]


def test_a_folder_lists_its_sound_files_by_name(folder):
    clips = folder_clips(str(folder), 0.1)
    assert len(clips) == 40 and names(clips) == sorted(names(clips))
    assert clips[0].id == "speaker0/take00.FLAC" and clips[0].source == "speaker0"
    assert clips[0].audio == str(folder / "speaker0" / "take00.FLAC")


def test_every_file_is_in_one_split_and_stays_there_when_others_come(folder):
    source = [SourceConfig(manifest=str(folder))]
    train, dev = (find_clips(source, split, 0.2) for split in ("train", "dev"))
    assert len(train) + len(dev) == 40 and not set(names(train)) & set(names(dev))
    assert 3 <= len(dev) <= 14
    for number in range(40, 60):
        (folder / f"take{number}.wav").touch()
    assert set(names(dev)) <= set(names(find_clips(source, "dev", 0.2)))
    assert len(find_clips(source, None, 0.2)) == 60


def test_two_formats_of_one_recording_are_never_torn_apart(folder):
    for path in list(folder.rglob("take*.FLAC")):
        path.with_suffix(".wav").touch()
    splits: dict[str, set[str]] = {}
    for clip in folder_clips(str(folder), 0.3):
        splits.setdefault(clip.id.rpartition(".")[0], set()).add(clip.split)
    assert len(splits) == 40 and all(len(held) == 1 for held in splits.values())


def test_a_few_files_still_leave_one_to_evaluate_on(tmp_path):
    for name in ("a.wav", "b.wav", "c.wav"):
        (tmp_path / name).touch()
    assert sorted(clip.split for clip in folder_clips(str(tmp_path), 0.001)) == ["dev", "train", "train"]
    assert {clip.split for clip in folder_clips(str(tmp_path), 0.0)} == {"train"}


def test_one_file_cannot_be_trained_on_and_held_out(tmp_path):
    (tmp_path / "a.wav").touch()
    with pytest.raises(ValueError, match=r"nothing of split 'dev'.*here: train .*data\.valid"):
        find_clips([SourceConfig(manifest=str(tmp_path))], "dev", 0.05)


def test_folders_of_a_folder_are_its_sources(folder):
    chosen = find_clips([SourceConfig(manifest=str(folder), sources=("speaker1",))], None, 0.1)
    assert len(chosen) == 20 and {clip.source for clip in chosen} == {"speaker1"}
    with pytest.raises(ValueError, match="no folder 'speaker7' in it; there are: speaker0, speaker1"):
        find_clips([SourceConfig(manifest=str(folder), sources=("speaker7",))], None, 0.1)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="no sound files"):
        folder_clips(str(tmp_path), 0.1)


def test_manifests_and_folders_go_together(folder, tmp_path):
    (tmp_path / "m.jsonl").write_text(json.dumps({"audio": "x.wav", "split": "train"}) + "\n")
    sources = [SourceConfig(manifest=str(tmp_path / "m.jsonl")), SourceConfig(manifest=str(folder))]
    assert names(find_clips(sources, "train", 0.1))[0] == "x.wav"
    assert len(find_clips(sources, None, 0.1)) == 41
