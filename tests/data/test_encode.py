"""Preparing a corpus: what is written, what is rejected, and that an interruption leaves no trace."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from aoede.codec import Snac, fingerprint
from aoede.data import Clip, CodesInfo, codes_info, load_audio, load_codes, load_manifest, prepare, save_audio

CLIPS = Path(__file__).parent / "clips"


def noise_clips(folder, count, seed=0):
    rng = np.random.default_rng(seed)
    clips = []
    for number in range(count):
        path = folder / f"{number:03d}.wav"
        save_audio(path, (0.2 * rng.standard_normal(rng.integers(2000, 9000))).astype(np.float32), 24000)
        clips.append(
            Clip(audio=str(path), id=f"n{number}", text=f"Text {number}.", speaker="ab"[number % 2], split="train")
        )
    return clips


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_each_clip_has_the_codes_it_would_have_alone(codec, tmp_path):
    clips = load_manifest(CLIPS / "manifest.jsonl")
    summary = prepare(clips, codec, tmp_path / "out", shard_clips=4, batch_seconds=8)
    coded = load_codes(tmp_path / "out", codec=codec)
    assert [clip.id for clip in coded] == [clip.id for clip in clips]
    assert [clip.text for clip in coded] == [clip.text for clip in clips]
    assert coded[0].speaker == "allison_smith_F" and coded[0].split == "heldout" and coded[0].language == "en"
    for clip, got in zip(clips, coded, strict=True):
        samples, _ = load_audio(clip.audio, 24000)
        assert got.seconds == len(samples) / 24000
        for level, expected in zip(got.codes, codec.encode(torch.from_numpy(samples)[None, None]), strict=True):
            assert level.dtype == np.uint16 and level.tolist() == expected[0].tolist()
    assert (summary.num_clips, summary.num_shards, summary.num_rejected) == (6, 2, 0)
    assert summary.num_codes == summary.new_codes == sum(len(level) for clip in coded for level in clip.codes)


def test_a_long_clip_is_encoded_in_pieces_to_the_same_codes(codec, tmp_path):
    sound = (0.2 * np.random.default_rng(0).standard_normal(24000 * 25)).astype(np.float32)
    save_audio(tmp_path / "long.wav", sound, 24000)
    clips = [Clip(audio=str(tmp_path / "long.wav"), id="long"), *noise_clips(tmp_path, 2)]
    prepare(clips, codec, tmp_path / "pieces", batch_seconds=1)
    prepare(clips, codec, tmp_path / "whole", batch_seconds=30)
    for one, other in zip(load_codes(tmp_path / "pieces"), load_codes(tmp_path / "whole"), strict=True):
        assert one.seconds == other.seconds
        assert all(np.array_equal(a, b) for a, b in zip(one.codes, other.codes, strict=True))


def test_the_number_of_workers_does_not_change_a_byte_nor_torch_threads(codec, tmp_path):
    clips = noise_clips(tmp_path, 9)
    threads = torch.get_num_threads()
    prepare(clips, codec, tmp_path / "one", batch_seconds=0.5, workers=1)
    prepare(clips, codec, tmp_path / "three", batch_seconds=0.5, workers=3)
    assert content(tmp_path / "one") == content(tmp_path / "three")
    assert torch.get_num_threads() == threads


def test_bad_files_are_reported_and_never_fatal(codec, tmp_path):
    clips = noise_clips(tmp_path, 5)
    (tmp_path / "001.wav").write_bytes(b"not a sound")
    (tmp_path / "002.wav").unlink()
    whole = (tmp_path / "003.wav").read_bytes()
    (tmp_path / "003.wav").write_bytes(whole[: len(whole) // 2])
    save_audio(tmp_path / "004.wav", np.zeros(3000, np.float32), 24000)
    summary = prepare(clips, codec, tmp_path / "out")
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert [row["id"] for row in report["rejected"]] == ["n1", "n2", "n3"]
    reasons = [row["reason"] for row in report["rejected"]]
    assert "not audio" in reasons[0] and "no such file" in reasons[1] and "cut short" in reasons[2]
    assert [row["note"] for row in report["notes"]] == ["silent: the peak is 0"]
    assert [clip.id for clip in load_codes(tmp_path / "out")] == ["n0", "n4"]
    assert "3 clips rejected, 1 with a note" in str(summary)


def test_a_folder_of_bad_files_alone_is_told_when_loaded(codec, tmp_path):
    prepare([Clip(audio=str(tmp_path / "none.wav"), id="x")], codec, tmp_path / "out")
    with pytest.raises(ValueError, match="no clips with anything"):
        load_codes(tmp_path / "out")


def test_filters_and_several_folders(codec, tmp_path):
    clips = noise_clips(tmp_path, 6)
    prepare(clips[:3], codec, tmp_path / "one")
    prepare([replace(clip, split="dev") for clip in clips[3:]], codec, tmp_path / "two")
    both = [tmp_path / "one", tmp_path / "two"]
    assert [clip.id for clip in load_codes(both)] == ["n0", "n1", "n2", "n3", "n4", "n5"]
    assert [clip.id for clip in load_codes(both, split="dev", speakers=["b"])] == ["n3", "n5"]
    with pytest.raises(ValueError, match=r"no clips with speaker in \['c'\]"):
        load_codes(both, speakers=["c"])


def test_the_shards_carry_their_codec_and_refuse_another(codec, tmp_path):
    clips = noise_clips(tmp_path, 2)
    prepare(clips, codec, tmp_path / "out")
    metadata = json.loads(pq.read_schema(tmp_path / "out/codes-00000.parquet").metadata[b"aoede"])
    assert metadata == {
        "codec_fingerprint": fingerprint(codec),
        "sample_rate": 24000,
        "vq_strides": [4, 2, 1],
        "codebook_size": 300,
        "frame_length": 96,
    }
    assert codes_info(tmp_path / "out") == CodesInfo.of(codec)
    torch.manual_seed(8)
    other = Snac(codec.config).eval()
    with pytest.raises(
        ValueError, match=f"made by codec {fingerprint(codec)}, but the codec given is {fingerprint(other)}"
    ):
        load_codes(tmp_path / "out", codec=other)
    with pytest.raises(ValueError, match="was begun with another codec"):
        prepare(clips, other, tmp_path / "out")
    prepare(clips, other, tmp_path / "other")
    with pytest.raises(ValueError, match="codes of codec"):
        load_codes([tmp_path / "out", tmp_path / "other"])


def test_a_changed_manifest_or_setting_is_refused_and_the_folder_stays(codec, tmp_path):
    clips = noise_clips(tmp_path, 3)
    prepare(clips, codec, tmp_path / "out")
    before = content(tmp_path / "out")
    with pytest.raises(ValueError, match=r"other clips \(a text"):
        prepare([*clips[:2], replace(clips[2], text="Changed.")], codec, tmp_path / "out")
    with pytest.raises(ValueError, match="another number of clips: num_clips was 3 and is 2"):
        prepare(clips[:2], codec, tmp_path / "out")
    with pytest.raises(ValueError, match="another --shard-clips"):
        prepare(clips, codec, tmp_path / "out", shard_clips=1)
    save_audio(clips[0].audio, np.zeros(77, np.float32), 24000)
    with pytest.raises(ValueError, match="a sound file changed"):
        prepare(clips, codec, tmp_path / "out")
    assert content(tmp_path / "out") == before


def test_a_second_run_has_nothing_to_do(codec, tmp_path):
    clips = noise_clips(tmp_path, 4)
    prepare(clips, codec, tmp_path / "out")
    before = content(tmp_path / "out")
    again = prepare(clips, codec, tmp_path / "out")
    assert again.new_codes == 0 and "nothing left to do" in str(again)
    assert content(tmp_path / "out") == before


def test_two_runs_at_once_are_refused(codec, tmp_path):
    from aoede.data.holding import holding

    (tmp_path / "out").mkdir()
    with (
        holding(tmp_path / "out", "aoede prepare"),
        pytest.raises(ValueError, match="another `aoede prepare` is writing there"),
    ):
        prepare(noise_clips(tmp_path, 1), codec, tmp_path / "out")


def test_unfinished_and_foreign_folders_are_told_apart(codec, tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        load_codes(tmp_path / "none")
    with pytest.raises(ValueError, match="no codes; run `aoede prepare`"):
        load_codes(tmp_path)
    clips = noise_clips(tmp_path, 1)
    prepare(clips, codec, tmp_path / "out")
    (tmp_path / "out/report.json").unlink()
    with pytest.raises(ValueError, match="an unfinished run; start the same `aoede prepare` again"):
        load_codes(tmp_path / "out")
    (tmp_path / "out/prepare.json").unlink()
    with pytest.raises(ValueError, match="holds codes that no run"):
        prepare(clips, codec, tmp_path / "out")


SCRIPT = """
import os, signal, sys
from aoede.codec import Snac
from aoede.data import load_manifest, prepare

folder = sys.argv[1]
codec = Snac.from_pretrained(folder + "/codec")
clips = load_manifest(folder + "/m.jsonl")

def run(out, files_before_the_kill):
    if os.fork() == 0:
        replace, left = os.replace, [files_before_the_kill]
        def replace_or_die(*paths):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            replace(*paths)
        os.replace = replace_or_die
        prepare(clips, codec, folder + "/" + out, shard_clips=4, batch_seconds=0.5, workers=2)
        os._exit(0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status := os.wait()[1]) else os.WEXITSTATUS(status)

assert run("whole", -1) == 0
for point in range(6):
    assert run(f"killed{point}", point) == signal.SIGKILL, point
    assert run(f"killed{point}", -1) == 0
"""


def test_a_run_killed_at_any_point_and_started_again_writes_the_same_bytes(codec, tmp_path):
    clips = noise_clips(tmp_path, 14)
    (tmp_path / "005.wav").write_bytes(b"not a sound")
    codec.save_pretrained(tmp_path / "codec")
    rows = [{"audio": clip.audio, "id": clip.id, "text": clip.text, "speaker": clip.speaker} for clip in clips]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    whole = content(tmp_path / "whole")
    assert sorted(whole) == [*(f"codes-0000{n}.parquet" for n in range(4)), "prepare.json", "report.json"]
    for point in range(6):  # each file of the six, written in full but not yet in place
        assert content(tmp_path / f"killed{point}") == whole
