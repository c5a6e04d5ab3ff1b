"""Jobs: what is asked of the scheduler, what comes back, and how long it took.

Owns a request's life: queued, running, ended, and the four ways to end. Knows nothing of models, threads or HTTP; the
samples wait in `buffer.py`, and `scheduler.py` makes them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from aoede.generation.given import Recording
from aoede.serving.buffer import Chunk, ChunkBuffer

End = Literal["done", "cancelled", "failed", "timed out"]
"""How a job ended."""


class JobError(Exception):
    """A job ended before its time; `end` says how ("failed" or "timed out"), the cause is chained."""

    def __init__(self, end: End, words: str) -> None:
        super().__init__(words)
        self.end = end


@dataclass(frozen=True, kw_only=True)
class SpeechJob:
    """What is to be said; fields and limits are those of `Voice.speak`."""

    text: str
    speaker: str | None = None
    seed: int = 0
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    guidance: float | None = None
    speed: float = 1.0
    reference: Recording | None = None
    """A recording to speak like: samples [T] at the voice's `sample_rate`; only two-stage voices take one."""

    reference_text: str | None = None
    """What is said in it, word for word."""


@dataclass(frozen=True, kw_only=True)
class Timings:
    """How long a job took; seconds. What has not come yet is None."""

    queued: float
    """Waiting for a slot, so far."""

    first_audio: float | None
    """From `submit` to the first samples."""

    running: float
    """From the slot to the end, so far, without the time in which the reader was waited for."""

    audio: float
    """Of sound made, so far."""

    @property
    def rtf(self) -> float | None:
        """Seconds it took a second of sound, among its neighbours; None before the first samples."""
        return self.running / self.audio if self.audio else None


class Job:
    """One request on its way; `Scheduler.submit` makes them. Any thread may call any of this.

    Attributes:
        number: of this scheduler's jobs, counted from 0.
        request: what was asked for.
        seed: the request's.
        sample_rate: Hz of the samples.
        num_text_ids: of all its sentences.
    """

    def __init__(
        self,
        number: int,
        request: SpeechJob,
        sample_rate: int,
        *,
        buffer: ChunkBuffer,
        on_cancel: Callable[[Job], None],
    ) -> None:
        self.number, self.request, self.seed, self.sample_rate = number, request, request.seed, sample_rate
        self.buffer = buffer
        self.num_text_ids = 0
        self._on_cancel = on_cancel
        self._lock = threading.Lock()
        self._submitted = time.monotonic()
        self._started: float | None = None
        self._first: float | None = None
        self._ended: float | None = None
        self._end: End | None = None
        self._error: BaseException | None = None
        self._finished = threading.Event()
        self._cut = False
        self._notes: tuple[str, ...] = ()

    # -- for the reader -----------------------------------------------------------------------------------------

    async def chunks(self) -> AsyncIterator[Chunk]:
        """Samples as they are made. One reader a job; one that stops reading early cancels the job.

        Raises:
            JobError: the job failed or ran out of time; chunks that were made before come first.
        """
        try:
            while (chunk := await self.buffer.take()) is not None:
                yield chunk
            self.check()
        finally:
            self.cancel()

    def __iter__(self) -> Iterator[Chunk]:
        """The same for a reader that may block."""
        try:
            while (chunk := self.buffer.get()) is not None:
                yield chunk
            self.check()
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Give up: the slot is free at once, samples that wait are dropped. Nothing happens where it has ended."""
        self._on_cancel(self)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing more is made (samples may still wait to be read); False when the time is over."""
        return self._finished.wait(timeout)

    def check(self) -> None:
        """Raises JobError where the job failed or ran out of time."""
        if self._end == "failed":
            raise JobError("failed", f"speaking failed: {_told(self._error)}") from self._error
        if self._end == "timed out":
            raise JobError("timed out", str(self._error)) from self._error

    @property
    def state(self) -> Literal["queued", "running"] | End:
        """Where it stands."""
        with self._lock:
            return self._end or ("queued" if self._started is None else "running")

    @property
    def end(self) -> End | None:
        """How it ended; None where it has not."""
        return self._end

    @property
    def error(self) -> BaseException | None:
        """What made it fail or run out of time."""
        return self._error

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know (see `Audio.notes`), so far."""
        return self._notes

    @property
    def cut(self) -> bool:
        """Whether the length guard cut an utterance, so far."""
        return self._cut

    @property
    def timings(self) -> Timings:
        """How long it has taken so far."""
        with self._lock:
            now = time.monotonic() if self._ended is None else self._ended
            started = now if self._started is None else self._started
            return Timings(
                queued=started - self._submitted,
                first_audio=None if self._first is None else self._first - self._submitted,
                running=max(0.0, now - started - self.buffer.waited_seconds),
                audio=self.buffer.num_samples / self.sample_rate,
            )

    @property
    def runs_dry_at(self) -> float:
        """When a listener who plays all samples at once as they come has heard them; before the first, long ago."""
        if self._first is None:
            return self._submitted - 1e9
        return self._first + self.buffer.num_samples / self.sample_rate

    # -- for the scheduler --------------------------------------------------------------------------------------

    def start(self) -> bool:
        """It has a slot now; False where it has ended before."""
        with self._lock:
            if self._end is None:
                self._started = time.monotonic()
            return self._end is None

    def give(self, chunk: Chunk, timeout: float | None) -> bool:
        """Hand samples to the reader; waits while too many are unread. False where nobody wants them.

        Raises:
            TimeoutError: the reader took nothing for so long.
        """
        if self._first is None:
            self._first = time.monotonic()
        return self.buffer.put(chunk, timeout)

    def tell(self, notes: tuple[str, ...], cut: bool) -> None:
        """What is known by now."""
        self._notes, self._cut = notes, cut

    def finish(self, end: End, error: BaseException | None = None) -> bool:
        """It has ended; False where it had ended before."""
        with self._lock:
            if self._end is not None:
                return False
            self._end, self._error, self._ended = end, error, time.monotonic()
        self.buffer.close(drop=end == "cancelled")
        self._finished.set()
        return True


def _told(error: BaseException | None) -> str:
    """An exception in words."""
    return str(error) or type(error).__name__
