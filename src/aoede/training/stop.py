"""When a run stops before its end, and that a folder belongs to one run at a time.

Owns signals, the clock and the lock. Knows nothing of steps: the loop asks between two of them.
"""

import fcntl
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

_ECHO_SECONDS = 3.0


class Stop:
    """Why to stop, if at all: a signal or the clock."""

    def __init__(self, max_minutes: float | None) -> None:
        self._deadline = math.inf if max_minutes is None else time.monotonic() + 60.0 * max_minutes
        self._minutes = max_minutes
        self._signal: str | None = None
        self._asked = 0.0

    def reason(self) -> str | None:
        if self._signal is not None:
            return self._signal
        return f"max_minutes={self._minutes:g} is over" if time.monotonic() >= self._deadline else None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            # torchrun repeats every signal that the terminal has sent us already: an echo is not a second wish.
            if "TORCHELASTIC_RUN_ID" in os.environ and time.monotonic() - self._asked < _ECHO_SECONDS:
                return
            raise KeyboardInterrupt  # asked twice: now
        self._asked = time.monotonic()
        self._signal = signal.Signals(number).name
        print(f"\n{self._signal}: finishing this step, then a checkpoint (again: stop at once)", file=sys.stderr)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Signals are turned into a reason while inside; only the main thread can listen."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        old: dict[signal.Signals, Callable[..., Any] | int | None] = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            old[number] = signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the run's folder; the lock dies with the process, however it dies."""
    with open(out / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"{out} is in use by another training run; give another --out") from error
        yield
