"""Who may go on: a job's stop, and gates that let the most urgent of those who wait through.

Owns the waiting of a job's thread: everything it waits for ends when the job is stopped or its time is over. Knows
nothing of speech.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopped(Exception):
    """Raised in a job's thread where nobody wants its work any more."""


class Stop:
    """Whether one job shall end, and when at the latest."""

    def __init__(self, timeout: float | None = None) -> None:
        """`timeout`: seconds from `begin` on; None: no limit."""
        self.timeout = timeout
        self.is_set = False
        self._deadline: float | None = None
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    def begin(self) -> None:
        """The time counts from now."""
        self._deadline = None if self.timeout is None else time.monotonic() + self.timeout

    def set(self) -> None:
        """End the job: its thread hears of it wherever it waits."""
        with self._lock:
            self.is_set = True
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    @property
    def left(self) -> float | None:
        """Seconds that are left, 0 or more; None without a limit."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def check(self) -> None:
        """Raises Stopped where the job was ended, TimeoutError where its time is over."""
        if self.is_set:
            raise Stopped
        if self.left == 0.0:
            raise TimeoutError(f"the request took longer than the {self.timeout:g} s that it may")

    @contextmanager
    def told(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call `listener` when the job is ended meanwhile; it may be called from any thread."""
        with self._lock:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)


class Gate:
    """Lets so many through at a time; of those who wait, the most urgent, and who came first of equals."""

    def __init__(self, permits: int = 1) -> None:
        self.permits = permits
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int]] = []
        self._counter = itertools.count()

    @contextmanager
    def turn(self, stop: Stop, urgency: float = 0.0) -> Iterator[None]:
        """Wait for a turn and hold it.

        Args:
            urgency: less goes first.
        Raises:
            Stopped, TimeoutError: as `stop.check`.
        """
        with stop.told(self._look), self._changed:
            me = (urgency, next(self._counter))
            heapq.heappush(self._waiting, me)
            try:
                while not (self.permits and self._waiting[0] == me):
                    stop.check()
                    self._changed.wait(stop.left)
                self.permits -= 1
            finally:
                self._waiting.remove(me)
                heapq.heapify(self._waiting)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self.permits += 1
                self._changed.notify_all()

    def _look(self) -> None:
        with self._changed:
            self._changed.notify_all()
