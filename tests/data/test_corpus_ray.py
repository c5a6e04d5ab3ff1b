"""Ray Data as the engine: two workers of a local cluster write what one process writes; without Ray, words."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from aoede.data import load_corpus_config, prepare_corpus
from tests.data.corpora import content, corpus_file, recordings, source


@pytest.fixture
def corpus(codec_folder, tmp_path):
    recordings(tmp_path / "a", 7)
    (tmp_path / "a/001.wav").write_bytes(b"not a sound")
    recordings(tmp_path / "b", 2, seed=1)
    (tmp_path / "b/000.wav").write_bytes((tmp_path / "a/003.wav").read_bytes())
    sources = [source("a", "a/manifest.jsonl", augment={"gain": [-6, -3]}), source("b", "b")]
    clean = {"trim": False, "loudness": None, "noise": None, "min_seconds": None}
    return corpus_file(tmp_path, sources, codec=str(codec_folder), clean=clean, shard_clips=2, batch_seconds=0.5)


@pytest.mark.skipif(find_spec("ray") is None, reason="the extra aoede[ray] is not installed")
def test_two_ray_workers_write_the_bytes_that_one_process_writes(corpus, tmp_path):
    prepare_corpus(load_corpus_config(corpus), tmp_path / "here", workers=0)
    command = [sys.executable, "-m", "aoede.cli.main", "prepare", str(corpus), str(tmp_path / "ray")]
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--engine", "ray", "--workers", "2"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert content(tmp_path / "ray") == content(tmp_path / "here")


def test_without_ray_the_extra_is_named_and_nothing_is_written(corpus, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"--engine ray needs the package ray.*pip install 'aoede\[ray\]'"):
        prepare_corpus(load_corpus_config(corpus), tmp_path / "out", engine="ray")
    assert not (tmp_path / "out").exists()
