"""The same work on a Ray cluster: tasks through a pool of Ray Data actors, results back to this process.

Owns the connection and the waves in which tasks go out. The sources must lie where every machine sees them under the
same path; the corpus folder is written by this process alone.
"""

from __future__ import annotations

import itertools
import logging
import os
import pickle
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from .local import run_alone
from .work import Result, Settings, Task, work

WAVE = 1000
"""Tasks given to Ray at once: enough to keep a large cluster busy, few enough to hold in memory."""


def check_ray() -> None:
    """Raises ValueError, naming the extra, where Ray is not installed."""
    if find_spec("ray") is None:
        raise ValueError("--engine ray needs the package ray, which is not installed: pip install 'aoede[ray]'")


def run_ray(tasks: Iterator[Task], settings: Settings, workers: int | None) -> Iterator[tuple[Task, Result]]:
    """Do all tasks on the Ray cluster that `RAY_ADDRESS` names, or on one that is started on this machine.

    A task whose actor died is done again by this process' own workers, which find the recording that ended it.

    Args:
        workers: actors, one CPU each (and one GPU where the device is one); None takes as many as the cluster has CPUs.
    Raises:
        ValueError: ray is not installed; any error of a task.
    """
    check_ray()
    ray: Any = import_module("ray")
    started = not ray.is_initialized()
    if started:
        # A cluster that is there has its own number of CPUs.
        options = {"num_cpus": workers} if workers and not os.environ.get("RAY_ADDRESS") else {}
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, **options)
    try:
        resources = ray.cluster_resources()
        count = workers or int(resources.get("GPU" if settings.device != "cpu" else "CPU", 1)) or 1
        while wave := list(itertools.islice(tasks, WAVE)):
            yield from _one_wave(wave, settings, count)
    finally:
        if started:
            ray.shutdown()


def _one_wave(wave: list[Task], settings: Settings, workers: int) -> Iterator[tuple[Task, Result]]:
    data: Any = import_module("ray.data")
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # errors come back as results; only an actor that died leaves a block out
    rows = [{"place": place, "task": pickle.dumps(task)} for place, task in enumerate(wave)]
    done = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _Worker,
        fn_constructor_args=(settings,),
        batch_size=1,
        compute=data.ActorPoolStrategy(size=min(workers, len(rows))),
        num_cpus=1,
        num_gpus=1 if settings.device != "cpu" else 0,
        max_task_retries=0,  # a recording that ends its process would end every actor it is given to
    )
    left = dict(enumerate(wave))
    for row in done.iter_rows():
        outcome = pickle.loads(row["outcome"])
        if isinstance(outcome, Exception):
            raise outcome
        yield left.pop(int(row["place"])), outcome
    for task in left.values():
        yield task, run_alone(task, settings)


class _Worker:
    """One actor: one thread, the codec opened once."""

    def __init__(self, settings: Settings) -> None:
        torch.set_num_threads(1)
        self._settings = settings

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        outcomes = []
        for packed in batch["task"]:
            try:
                outcomes.append(pickle.dumps(work(pickle.loads(packed), self._settings)))
            except Exception as error:
                outcomes.append(pickle.dumps(error))
        return {"place": list(batch["place"]), "outcome": outcomes}
