"""The samples between a job and its reader: a bounded buffer that one thread fills and one reader empties.

Owns back-pressure: who is too far ahead waits. The reader may block or be a coroutine. Knows nothing of jobs.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Samples, and the frames behind them."""

    samples: NDArray[np.float32]
    """[T], the next samples of the speech."""

    start: float
    """Seconds of the speech before them."""

    frames: list[list[int]]
    """Codes [S] of each frame that was written since the chunk before, in the layout's order; samples come later than
    their frames by what the codec holds back. Pauses have no frames."""

    frames_start: float
    """Seconds at which the first of these frames begins in the speech."""


class ChunkBuffer:
    """Chunks on their way.

    Attributes:
        num_samples: put so far.
        waited_seconds: that `put` waited for the reader, so far.
    """

    def __init__(self, most_samples: int) -> None:
        """Room for so many samples that nobody has read; one chunk may always wait, however long."""
        self.most_samples = most_samples
        self.num_samples = 0
        self.waited_seconds = 0.0
        self._changed = threading.Condition()
        self._chunks: deque[Chunk] = deque()
        self._held = 0
        self._is_closed = False
        self._waker: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None

    def put(self, chunk: Chunk, timeout: float | None = None) -> bool:
        """Add a chunk, as soon as there is room.

        Returns:
            False where the buffer was closed.
        Raises:
            TimeoutError: nothing was read for so many seconds.
        """
        with self._changed:
            began = time.monotonic()
            try:
                while self._held and self._held + len(chunk.samples) > self.most_samples and not self._is_closed:
                    held = self._held
                    if not self._changed.wait(timeout) and self._held == held:
                        raise TimeoutError(f"the reader took nothing for {timeout:g} s")
            finally:
                self.waited_seconds += time.monotonic() - began
            if self._is_closed:
                return False
            self._chunks.append(chunk)
            self._held += len(chunk.samples)
            self.num_samples += len(chunk.samples)
            self._wake()
            return True

    def close(self, *, drop: bool = False) -> None:
        """Nothing more comes; with `drop`, what waits is not wanted either."""
        with self._changed:
            self._is_closed = True
            if drop:
                self._chunks.clear()
                self._held = 0
            self._wake()

    def get(self, timeout: float | None = None) -> Chunk | None:
        """The next chunk, as soon as there is one; None at the end.

        Raises:
            TimeoutError: none came for so many seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._chunks or self._is_closed, timeout):
                raise TimeoutError(f"no chunk came for {timeout:g} s")
            return self._next()

    async def take(self) -> Chunk | None:
        """The same for a coroutine."""
        loop = asyncio.get_running_loop()
        while True:
            with self._changed:
                if self._chunks or self._is_closed:
                    return self._next()
                waiting = loop.create_future()
                self._waker = (loop, waiting)
            await waiting

    def _next(self) -> Chunk | None:
        if not self._chunks:
            return None
        chunk = self._chunks.popleft()
        self._held -= len(chunk.samples)
        self._changed.notify_all()
        return chunk

    def _wake(self) -> None:
        self._changed.notify_all()
        if self._waker is None:
            return
        (loop, waiting), self._waker = self._waker, None
        if not loop.is_closed():
            loop.call_soon_threadsafe(_done, waiting)


def _done(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
