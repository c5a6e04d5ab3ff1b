"""A process that fails brings the others down within seconds, and they say why."""

import pytest

from tests.training.test_distributed import launch

# Rank 0 waits in an exchange, or works on and never comes to one: neither may keep it.
FAILING = """
import os, sys, time, signal, torch
from aoede.training import distributed as d
how, waits = sys.argv[1], sys.argv[2] == "exchange"
try:
    with d.group("cpu"):
        d.barrier()
        if d.rank() == 1:
            if how == "word":
                raise ValueError("shard 7 of corpus x is damaged")
            os.kill(os.getpid(), signal.SIGKILL)
        if waits:
            d.barrier()
        else:
            time.sleep(60)
except ValueError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""


slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("how", "waits"),
    [
        ("word", "exchange"),
        ("killed", "work"),
        pytest.param("word", "work", marks=slow),
        pytest.param("killed", "exchange", marks=slow),
    ],
)
def test_the_failure_of_one_process_ends_the_other_with_its_words(how: str, waits: str) -> None:
    waiting, failed = launch(FAILING, [how, waits], 2, patience=20.0)
    assert waiting.returncode in (1, 2), waiting.stderr  # within 20 seconds and by itself: `launch` kills it after
    if how == "word":
        assert failed.returncode == 2 and failed.stderr == "shard 7 of corpus x is damaged\n"
        assert "process 1 failed: shard 7 of corpus x is damaged" in waiting.stderr
    else:
        assert failed.returncode == -9
        assert "process 1 failed: it ended without a word (killed, or out of memory)" in waiting.stderr
    assert "Traceback" not in waiting.stderr


BOTH = """
import sys
from aoede.training import distributed as d
try:
    with d.group("cpu"):
        d.barrier()
        raise ValueError("loss is nan at step 3")
except ValueError as error:
    print(error, file=sys.stderr)
"""


def test_processes_that_fail_alike_say_it_in_their_own_words() -> None:
    assert [process.stderr for process in launch(BOTH, [], 2)] == ["loss is nan at step 3\n"] * 2
