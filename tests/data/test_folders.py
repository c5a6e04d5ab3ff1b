"""A folder at once: every file as it would be alone, what is finished is left, a bad file costs itself."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from aoede.data import CodeFile, load_audio, save_audio
from aoede.data.files import encode_file
from aoede.data.folders import process_folder
from aoede.data.holding import holding


def sound(seconds, seed):
    return (0.2 * np.random.default_rng(seed).standard_normal(round(24000 * seconds))).astype(np.float32)


@pytest.fixture
def corpus(tmp_path):
    """Three good files in two folders, one that is no sound, one of another kind, one hidden."""
    root = tmp_path / "in"
    (root / "ann").mkdir(parents=True)
    save_audio(root / "a.wav", sound(0.5, 1), 24000)
    save_audio(root / "ann" / "b.flac", sound(0.3, 2), 24000)
    save_audio(root / "ann" / "c.ogg", sound(0.2, 3), 24000)
    (root / "bad.wav").write_bytes(b"not a sound")
    (root / "notes.txt").write_text("x")
    (root / ".hidden.wav").write_bytes(b"x")
    return root


def encode(corpus, out, codec_folder, **options):
    return process_folder("encode", corpus, out, str(codec_folder), **{"workers": 1, **options})


def test_every_file_is_as_it_would_be_alone_and_the_bad_one_is_listed(corpus, codec, codec_folder, tmp_path):
    report = encode(corpus, tmp_path / "out", codec_folder)
    for name in ("a", "ann/b", "ann/c"):
        source = next(corpus.glob(f"{name}.*"))
        encode_file(source, tmp_path / "alone.snac", codec)
        assert (tmp_path / "out" / f"{name}.snac").read_bytes() == (tmp_path / "alone.snac").read_bytes()
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert written == {"a.snac", "ann/b.snac", "ann/c.snac", "encode.jsonl"}
    assert report.exit_code == 3 and [done.source for done in report.failed] == ["bad.wav"]
    lines = str(report).splitlines()
    assert lines[0].endswith("4 files: 3 encoded, 1 failed, 1 other files left alone")
    assert lines[1].startswith("1.0 s of sound, ")
    assert lines[2].startswith("failed: bad.wav: ") and "not audio that can be read" in lines[2]


def test_what_is_finished_is_skipped_as_long_as_it_fits(corpus, codec_folder, tmp_path):
    out = tmp_path / "out"
    (corpus / "bad.wav").unlink()
    assert encode(corpus, out, codec_folder).exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.snac")}
    again = encode(corpus, out, codec_folder)
    assert (again.num_finished_before, list(again.done), again.exit_code) == (3, [], 0)
    assert "3 files: 0 encoded, 3 finished before" in str(again)
    save_audio(corpus / "a.wav", sound(0.5, 9), 24000)  # the source has changed
    (out / "ann" / "b.snac").unlink()  # the output is gone
    third = encode(corpus, out, codec_folder)
    assert [done.source for done in third.done] == ["a.wav", "ann/b.flac"]
    (out / "ann" / "c.snac").write_bytes(b"")  # the output is another
    assert [done.source for done in encode(corpus, out, codec_folder).done] == ["ann/c.ogg"]
    assert [done.source for done in encode(corpus, out, codec_folder, truncated="keep").done] == [
        "a.wav",
        "ann/b.flac",
        "ann/c.ogg",
    ]  # in another way
    assert {path for path in out.rglob("*.snac")} == set(before)


def test_a_journal_that_a_kill_cut_short_costs_one_file(corpus, codec_folder, tmp_path):
    (corpus / "bad.wav").unlink()
    encode(corpus, tmp_path / "out", codec_folder)
    journal = tmp_path / "out" / "encode.jsonl"
    journal.write_text(journal.read_text()[:-20])
    (tmp_path / "out" / "ann" / ".c.snac.123.tmp").write_bytes(b"half")
    assert [done.source for done in encode(corpus, tmp_path / "out", codec_folder).done] == ["ann/c.ogg"]
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert encode(corpus, tmp_path / "out", codec_folder).num_finished_before == 3
    rows = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("}")]
    assert set(rows[-1]) == {"source", "source_bytes", "source_mtime_ns", "target", "target_bytes", "how"}


def test_processes_side_by_side_give_the_same_bytes(corpus, codec_folder, tmp_path):
    one = encode(corpus, tmp_path / "one", codec_folder)
    two = encode(corpus, tmp_path / "two", codec_folder, workers=2)
    assert [done.source for done in two.done] == [done.source for done in one.done]
    assert two.exit_code == 3
    for path in (tmp_path / "one").rglob("*.snac"):
        twin = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert twin.read_bytes() == path.read_bytes()


def test_decoding_a_folder_gives_the_lengths_back_and_heeds_seed_and_format(corpus, codec_folder, tmp_path):
    encode(corpus, tmp_path / "out", codec_folder)
    (tmp_path / "out" / "ann" / "d.snac").write_bytes(b"\x89SNAC\x07")

    def decode(**options):
        return process_folder("decode", tmp_path / "out", tmp_path / "back", str(codec_folder), workers=1, **options)

    report = decode(suffix=".flac")
    assert [(done.source, done.problem.partition(";")[0]) for done in report.failed] == [
        ("ann/d.snac", f"{tmp_path / 'out' / 'ann' / 'd.snac'}: version 7 of the .snac format")
    ]
    for path in (tmp_path / "out").rglob("[abc].snac"):
        back = (tmp_path / "back" / path.relative_to(tmp_path / "out")).with_suffix(".flac")
        assert len(load_audio(back)[0]) == CodeFile.load(path).num_samples
    assert decode(suffix=".flac").num_finished_before == 3
    assert decode(suffix=".flac", seed=1).num_finished_before == 0


def test_two_files_that_would_become_one_are_told(corpus, codec_folder, tmp_path):
    save_audio(corpus / "a.flac", sound(0.1, 4), 24000)
    report = encode(corpus, tmp_path / "out", codec_folder)
    assert ("a.wav", "a.flac becomes a.snac too; rename one of the two") in [
        (done.source, done.problem) for done in report.failed
    ]
    assert CodeFile.load(tmp_path / "out" / "a.snac").num_samples == 2400


def test_mistakes_are_refused_before_anything_is_done(corpus, codec_folder, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="a file; a folder is encoded into a folder"):
        encode(corpus, tmp_path / "file", codec_folder)
    with pytest.raises(ValueError, match=r"no sound files in it \(0 others\)"):
        encode(tmp_path / "empty", tmp_path / "out", codec_folder)
    with pytest.raises(ValueError, match=r"no \.snac files in it \(5 others\)"):
        process_folder("decode", corpus, tmp_path / "out", str(codec_folder))
    with pytest.raises(ValueError, match="workers=0: at least 1"):
        encode(corpus, tmp_path / "out", codec_folder, workers=0)
    with pytest.raises(ValueError, match="--format is one of wav, flac"):
        process_folder("decode", corpus, tmp_path / "out", str(codec_folder), suffix=".aac")
    with pytest.raises(ValueError, match="not a codec folder"):
        encode(corpus, tmp_path / "out", tmp_path / "empty")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    with (
        holding(tmp_path / "out", "aoede codec encode"),
        pytest.raises(ValueError, match="another `aoede codec encode`"),
    ):
        encode(corpus, tmp_path / "out", codec_folder)


@pytest.mark.slow  # a process starts four times
def test_a_file_that_kills_its_process_costs_that_file_only(corpus, codec_folder, tmp_path):
    """A pipe that nobody writes to holds whoever opens it; its half-written output names the process to be killed."""
    from aoede.data.workers import Job, Settings, work_through

    os.mkfifo(tmp_path / "trap.wav")
    settings = Settings(verb="encode", codec=str(codec_folder), seed=0, truncated="refuse")
    names = {"a": corpus / "a.wav", "trap": tmp_path / "trap.wav", "b": corpus / "ann" / "b.flac"}
    jobs = [Job(name=name, source=str(path), target=str(tmp_path / f"{name}.snac")) for name, path in names.items()]
    over = threading.Event()

    def kill_whoever_is_in_the_trap():
        while not over.wait(0.05):
            for half in tmp_path.glob(".trap.snac.*.tmp"):
                half.unlink()
                os.kill(int(half.name.split(".")[-2]), signal.SIGKILL)

    hunter = threading.Thread(target=kill_whoever_is_in_the_trap)
    hunter.start()
    try:
        done = {job.name: done for job, done in work_through(jobs, settings, 2)}
    finally:
        over.set()
        hunter.join()
    assert set(done) == {"a", "trap", "b"}
    assert not done["a"].problem and not done["b"].problem
    assert done["trap"].problem.startswith("its process died, twice")
    assert CodeFile.load(tmp_path / "b.snac").num_samples == 7200


@pytest.mark.slow
def test_a_run_that_was_interrupted_goes_on(corpus, codec_folder, tmp_path):
    """Ctrl-C in the middle: exit code 130, no process left behind, and the next run does the rest."""
    (corpus / "bad.wav").unlink()
    save_audio(corpus / "z.wav", sound(600, 5), 24000)
    command = [sys.executable, "-m", "aoede.cli.main", "codec", "encode", str(corpus), str(tmp_path / "out")]
    command += ["--codec", str(codec_folder), "--workers", "2"]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    journal = tmp_path / "out" / "encode.jsonl"
    while not (journal.is_file() and journal.read_text().count("\n") == 3):
        assert run.poll() is None, run.stderr.read()
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 130 and "Traceback" not in err
    save_audio(corpus / "z.wav", sound(0.2, 6), 24000)
    report = encode(corpus, tmp_path / "out", codec_folder)
    assert (report.num_finished_before, [done.source for done in report.done]) == (3, ["z.wav"])
