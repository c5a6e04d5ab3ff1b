"""Parallel processes that encode or decode one file after another, and outlive a file that kills one of them.

Owns the pool: every process opens the codec once and computes on one thread, so that what comes out does not depend on
how many there are. Knows nothing of folders: it gets jobs and gives back what became of each.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from .ends import Damage
from .files import decode_file, encode_file

if TYPE_CHECKING:
    from aoede.codec import Codec


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is done to every file."""

    verb: Literal["encode", "decode"]
    codec: str
    """Its name, as `aoede.codec.load_codec` takes it."""

    seed: int
    truncated: Damage


@dataclass(frozen=True, kw_only=True)
class Job:
    """One file to be worked on."""

    name: str
    """As it is called in reports."""

    source: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Done:
    """What became of one file."""

    source: str
    seconds: float = 0.0
    """Length of its sound."""

    num_bytes: int = 0
    """Size of the file written."""

    notes: tuple[str, ...] = ()
    problem: str = ""
    """Why nothing was written; empty where all is well."""


def work_through(jobs: Sequence[Job], settings: Settings, workers: int) -> Iterator[tuple[Job, Done]]:
    """Work on all jobs, in this process (`workers` 1) or in others, and give each back as it is done.

    A process that dies (out of memory, a decoder that crashes) takes the files in work with it. They are tried again,
    one at a time; one that kills its process again is given up.
    """
    if workers == 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for job in jobs:
                yield job, _work(job, settings)
        finally:
            torch.set_num_threads(threads)
        return
    waiting, suspects = list(jobs), list[Job]()
    while waiting or suspects:
        alone = bool(suspects)
        batch = [suspects.pop(0)] if alone else waiting
        finished: set[Job] = set()
        at_risk: list[Job] = []
        for job, done in _pooled(batch, settings, 1 if alone else workers, at_risk):
            finished.add(job)
            yield job, done
        if not alone:
            waiting = [job for job in waiting if job not in finished and job not in at_risk]
            suspects += at_risk
        elif at_risk:
            problem = "its process died, twice: out of memory, or a file that makes the decoder crash"
            yield batch[0], Done(source=batch[0].name, problem=problem)


def _pooled(batch: Sequence[Job], settings: Settings, workers: int, at_risk: list[Job]) -> Iterator[tuple[Job, Done]]:
    """Jobs through one pool until all are done or a process dies; those in work then end up in `at_risk`."""
    context = multiprocessing.get_context("spawn")  # a fork of a process that has used torch's threads may hang
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start)
    left, running = list(batch), dict[Future[Done], Job]()
    try:
        while left or running:
            while left and len(running) < workers:
                running[pool.submit(_work, left[0], settings)] = left[0]
                del left[0]
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                done = future.result()
                yield running.pop(future), done
    except BrokenProcessPool:
        at_risk += running.values()
    finally:
        pool.shutdown(wait=not running, cancel_futures=True)
        if running:
            for child in multiprocessing.active_children():
                child.terminate()


def _start() -> None:
    torch.set_num_threads(1)


def _work(job: Job, settings: Settings) -> Done:
    codec = codec_of(settings.codec)
    try:
        if settings.verb == "encode":
            report = encode_file(job.source, job.target, codec, truncated=settings.truncated)
        else:
            report = decode_file(job.source, job.target, codec, seed=settings.seed)
    except (ValueError, OSError) as error:
        return Done(source=job.name, problem=" ".join(str(error).split()))
    notes = () if report.audio is None else report.audio.notes
    return Done(source=job.name, seconds=report.seconds, num_bytes=os.path.getsize(job.target), notes=notes)


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.lru_cache(maxsize=1)
def codec_of(name: str) -> Codec:
    """The codec of this name, opened once a process."""
    from aoede.codec import load_codec

    return load_codec(name)
