"""Worker processes on this machine, and what is done when one of them dies.

Owns the pool: tasks in, results out in whatever order they are done, and the search for the recording that ended a
process.
Knows nothing of files: `engine.py` collects.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import Any

import torch

from .work import Result, Settings, Task, try_one, work

DIED = "its process died, twice: out of memory, or a file that makes a decoder crash"


def run_here(tasks: Iterator[Task], settings: Settings) -> Iterator[tuple[Task, Result]]:
    """Do all tasks in this process, on one thread: what a debugger can follow. A file that ends the process ends it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for task in tasks:
            yield task, work(task, settings)
    finally:
        torch.set_num_threads(threads)


def run_local(tasks: Iterator[Task], settings: Settings, workers: int) -> Iterator[tuple[Task, Result]]:
    """Do all tasks in processes of this machine, one thread each.

    Tasks are drawn as they are needed. When a process dies, what was in work is done again task by task, and a
    recording that ends its process again is left out of its shard.

    Raises:
        ValueError: a process dies although every recording of its shard can be read alone; any error of a task.
    """
    ended = False
    while not ended:
        at_risk: list[Task] = []
        drawn: Task | None = None
        with _Pool(workers) as pool:
            running: dict[Future[Result], Task] = {}
            try:
                while not ended or running:
                    while not ended and len(running) < workers + 1:  # one more, so that nobody waits for this process
                        drawn = next(tasks, None)
                        if drawn is None:
                            ended = True
                        else:
                            running[pool.submit(work, drawn, settings)] = drawn
                            drawn = None
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        result = future.result()
                        yield running.pop(future), result
            except BrokenProcessPool:
                at_risk = [*running.values(), *([drawn] if drawn else [])]
        for task in at_risk:
            yield task, run_alone(task, settings)


def run_alone(task: Task, settings: Settings) -> Result:
    """A task whose process died: once more, and then without the recordings that end the process.

    Raises:
        ValueError: it dies without them too.
    """
    result = _alone(task, settings)
    if result is None:
        result = _alone(replace(task, banned={**task.banned, **_deadly(task, settings)}), settings)
    if result is None:
        raise ValueError(
            f"{task.source} shard {task.number}: the process that encodes it dies, and no single recording is to "
            "blame; is there too little memory? Take fewer workers, or a smaller batch_seconds or clean.cut"
        )
    return result


def _alone(task: Task, settings: Settings) -> Result | None:
    """A task in a process of its own, or None where that dies."""
    with _Pool(1) as pool:
        try:
            return pool.submit(work, task, settings).result()
        except BrokenProcessPool:
            return None


def _deadly(task: Task, settings: Settings) -> dict[int, str]:
    """The recordings of a task that end the process that reads and cleans them, and the words for it."""
    found: dict[int, str] = {}
    left = [index for index in range(len(task.clips)) if index not in task.banned and index not in task.duplicates]
    while left:
        with _Pool(1) as pool:
            try:
                while left:
                    pool.submit(try_one, task, left[0], settings).result()
                    del left[0]
            except BrokenProcessPool:
                found[left.pop(0)] = DIED
    return found


class _Pool(ProcessPoolExecutor):
    """Fresh interpreters, because a fork of a process that has used torch's threads may hang."""

    def __init__(self, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        super().__init__(workers, mp_context=context, initializer=_start)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Ends the processes at once when the block ended in an error; then their work is of no use."""
        processes = list((getattr(self, "_processes", None) or {}).values())
        self.shutdown(wait=error is None, cancel_futures=True)
        if error is not None:
            for process in processes:
                process.terminate()


def _start() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()  # also after kill -9, which leaves no other sign
    os._exit(1)
