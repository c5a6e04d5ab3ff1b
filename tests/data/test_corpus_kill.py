"""`kill -9` while a corpus is prepared: whatever was in work and whoever goes on, it ends at the same bytes."""

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
import pyarrow.parquet, tqdm  # once, and not in every run
from aoede.data import load_corpus_config, prepare_corpus

folder = sys.argv[1]
config = load_corpus_config(folder + "/corpus.yaml")

def run(out, point=None):
    if os.fork() == 0:
        replace, left = os.replace, [point]
        def replace_or_die(*paths):
            left[0] -= 1
            if left[0] < 0 and point % 2:
                os.kill(os.getpid(), signal.SIGKILL)  # written, but not in its place
            replace(*paths)
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)  # in its place, but not in the journal
        if point is not None:
            os.replace = replace_or_die
        prepare_corpus(config, folder + "/" + out, workers=0)
        os._exit(0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status := os.wait()[1]) else os.WEXITSTATUS(status)

assert run("whole") == 0
for point in range(1000):
    if run(f"killed{point}", point) == 0:
        break
    if point % 5 == 0:
        run(f"killed{point}", 2)  # a second time, soon after
    assert run(f"killed{point}") == 0
print(point)
"""


@pytest.fixture
def corpus(codec_folder, tmp_path):
    recordings(tmp_path / "a", 4, longest=3000)
    (tmp_path / "a/001.wav").write_bytes(b"not a sound")
    (tmp_path / "a/003.wav").write_bytes((tmp_path / "a/000.wav").read_bytes())
    (tmp_path / "t.txt").write_text("one\ntwo\nthree\n")
    sources = [source("a", "a/manifest.jsonl", augment={"gain": [-6, -3]}), source("t", "t.txt", kind="text")]
    numbers = {"shard_clips": 2, "batch_seconds": 0.5}
    clean = {"trim": False, "loudness": None, "noise": None, "min_seconds": None}
    return corpus_file(tmp_path, sources, codec=str(codec_folder), clean=clean, **numbers)


def test_a_run_killed_at_any_file_and_started_again_ends_at_the_same_bytes(corpus, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    whole = content(tmp_path / "whole")
    places = [name for name in whole if not name.startswith(".")]
    assert len(places) == len(whole) and "a+aug/codes-00001.parquet" in whole
    assert done.stdout.strip() == str(len(whole))  # at each file, until there was nothing more to be killed at
    for folder in tmp_path.glob("killed*"):
        assert content(folder) == whole, folder.name


def test_workers_end_with_a_killed_parent_and_two_others_go_on_to_the_bytes_of_one_process(corpus, tmp_path):
    prepare_corpus(load_corpus_config(corpus), tmp_path / "whole", workers=0)
    call = (
        "from aoede.data import *; import sys; prepare_corpus(load_corpus_config(sys.argv[1]), sys.argv[2], workers=1)"
    )
    command = [sys.executable, "-c", call, str(corpus), str(tmp_path / "out")]
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}) as parent:
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
    (tmp_path / "out/a/codes-00000.parquet").unlink()  # something for both, whatever was finished
    prepare_corpus(load_corpus_config(corpus), tmp_path / "out", workers=2)
    assert content(tmp_path / "out") == content(tmp_path / "whole")
