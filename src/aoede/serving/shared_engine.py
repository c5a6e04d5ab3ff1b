"""The shared engine: rows of many jobs decoded together by one thread, joining and leaving at any step.

Owns the thread, who is stepped, and the frames on their way to the jobs. Knows nothing of text, sound or queues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from aoede.generation import Request, Sampling, Step, TextRequest
from aoede.generation.engine import Engine
from aoede.serving.gates import Stop


class SharedEngine:
    """Decodes requests of many threads with one session."""

    def __init__(self, engine: Engine, rows: int, *, on_step: Callable[[int], None] | None = None) -> None:
        """Start the thread."""
        raise NotImplementedError

    def of(self, stop: Stop) -> SharedEngine:
        """This engine for one job: its rows leave when the job is stopped."""
        return self

    def generate(self, requests: Sequence[Request | TextRequest], sampling: Sampling) -> Iterator[Step]:
        """As `Engine.generate`."""
        raise NotImplementedError
