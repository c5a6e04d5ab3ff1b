"""`aoede prepare corpus.yaml` as a user meets it."""

import pytest

from aoede.cli.main import main
from tests.data.corpora import corpus_file, recordings, source


@pytest.fixture
def corpus(codec_folder, tmp_path):
    recordings(tmp_path / "a", 3)
    (tmp_path / "a/001.wav").write_bytes(b"not a sound")
    (tmp_path / "t.txt").write_text("one\ntwo\n")
    sources = [source("a", "a/manifest.jsonl"), source("t", "t.txt", kind="text")]
    return str(corpus_file(tmp_path, sources, codec=str(codec_folder)))


def test_a_corpus_is_prepared_summed_up_and_checked(corpus, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["prepare", corpus, str(out), "--workers", "0"]) == 0
    told, bars = capsys.readouterr()
    assert told.startswith(f"{out}  2 sources, 2 shards, ") and "3/3" in bars
    row = next(line for line in told.splitlines() if line.startswith("  a "))
    assert row.split()[:7] == ["a", "clean-read", "en", "3", "2", "0", "1"]
    assert main(["codec", "info", str(out)]) == 0
    assert f"{out}  corpus\n  a  clean-read, en, 0.00 hours, CC0-1.0\n  t  text, en, 2 texts" in capsys.readouterr().out
    assert main(["prepare", "--check", str(out)]) == 0
    assert "every checksum is right" in capsys.readouterr().out
    (out / "a/codes-00000.parquet").write_bytes(b"x")
    assert main(["prepare", "--check", str(out)]) == 3
    assert "damaged: a/codes-00000.parquet: 1 bytes; " in capsys.readouterr().out
    assert main(["prepare", corpus, str(out), "--workers", "0"]) == 0  # its size tells: it is made anew
    assert main(["prepare", "--check", str(out)]) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--codec", "x"], "--codec goes with a manifest; write it into"),
        (["--text-column", "x"], "--text-column goes with a manifest"),
        (["--no-text"], "--no-text goes with a manifest"),
        (["--workers", "-2"], "workers=-2: at least 1"),
        (["--check", "x"], "takes no"),
    ],
)
def test_options_that_do_not_fit_a_corpus_are_told(corpus, tmp_path, capsys, options, words):
    assert main(["prepare", corpus, str(tmp_path / "out"), *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_told_without_a_traceback(tmp_path, capsys):
    for command, words in [
        (["prepare"], "give a manifest or a corpus file, and a folder"),
        (["prepare", "m.jsonl", "out", "--engine", "local"], "--engine goes with a corpus file"),
        (["prepare", str(tmp_path / "none.yaml"), "out"], "No such file"),
        (["prepare", "--check", str(tmp_path)], "not a corpus (no corpus.json)"),
    ]:
        assert main(command) == 2
        assert words in capsys.readouterr().err
