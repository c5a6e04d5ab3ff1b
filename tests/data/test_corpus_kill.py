"""`kill -9` while a corpus is prepared: whatever was in work, the same command ends at the same bytes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aoede.data import load_corpus_config, prepare_corpus
from tests.data.corpora import content, corpus_file, recordings, source

SCRIPT = """
import os, signal, sys
from aoede.data import load_corpus_config, prepare_corpus

folder = sys.argv[1]
config = load_corpus_config(folder + "/corpus.yaml")

def run(out, point, before):
    if os.fork() == 0:
        replace, left = os.replace, [point]
        def replace_or_die(*paths):
            left[0] -= 1
            if left[0] < 0 and before:
                os.kill(os.getpid(), signal.SIGKILL)
            replace(*paths)
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        if point is not None:
            os.replace = replace_or_die
        prepare_corpus(config, folder + "/" + out, workers=0)
        os._exit(0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status := os.wait()[1]) else os.WEXITSTATUS(status)

assert run("whole", None, True) == 0
for before in (True, False):
    for point in range(1000):
        out = f"killed{point}-{before}"
        if run(out, point, before) == 0:
            break
        if point % 3 == 0:
            run(out, 1, before)  # a second time, soon after
        assert run(out, None, True) == 0
    print(point)
"""


@pytest.fixture
def corpus(codec_folder, tmp_path):
    recordings(tmp_path / "a", 5)
    (tmp_path / "a/001.wav").write_bytes(b"not a sound")
    recordings(tmp_path / "b", 2, seed=1)
    (tmp_path / "b/000.wav").write_bytes((tmp_path / "a/003.wav").read_bytes())
    (tmp_path / "t.txt").write_text("one\ntwo\nthree\n")
    sources = [
        source("a", "a/manifest.jsonl", augment={"gain": [-6, -3]}),
        source("b", "b"),
        source("t", "t.txt", kind="text"),
    ]
    numbers = {"shard_clips": 3, "shard_documents": 2, "batch_seconds": 0.5}
    clean = {"trim": False, "loudness": None, "noise": None, "min_seconds": None}
    return corpus_file(tmp_path, sources, codec=str(codec_folder), clean=clean, **numbers)


def test_a_run_killed_at_any_file_and_started_again_ends_at_the_same_bytes(corpus, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    whole = content(tmp_path / "whole")
    places = [name for name in whole if not name.startswith(".")]
    assert len(places) == len(whole) and "a+aug/codes-00001.parquet" in whole
    # Each file once before and once after it came to its place, and then nothing more to be killed at.
    assert done.stdout.split() == [str(len(whole))] * 2
    for folder in tmp_path.glob("killed*"):
        assert content(folder) == whole, folder.name


def test_worker_processes_end_with_a_killed_parent_and_the_next_run_goes_on(corpus, tmp_path):
    prepare_corpus(load_corpus_config(corpus), tmp_path / "whole", workers=0)
    command = [sys.executable, "-m", "aoede.cli.main", "prepare", str(corpus), str(tmp_path / "out"), "--workers", "2"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}) as parent:
        workers = []
        while not list((tmp_path / "out").glob("a/codes-*.parquet")):
            assert parent.poll() is None
            workers = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split() or workers
            time.sleep(0.005)
        parent.kill()
    assert parent.returncode == -signal.SIGKILL and workers
    until = time.monotonic() + 20
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < until, "a worker outlived its parent"
        time.sleep(0.05)
    prepare_corpus(load_corpus_config(corpus), tmp_path / "out", workers=0)
    assert content(tmp_path / "out") == content(tmp_path / "whole")
