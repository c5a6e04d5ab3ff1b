"""The scheduler: requests in, speech out, so many at a time, the others in a queue of bounded length.

Owns slots, queue, timeouts and the threads in which jobs run. Jobs write their frames together
(`shared_engine.py`) or in turn (`served_voice.py`) and decode them in the order of urgency; either way the samples
of a job are those of `Voice.speak`. Knows nothing of HTTP.
"""

from __future__ import annotations

import logging
import math
import threading
import traceback
from collections import Counter, deque
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from aoede.generation import SpeechStream, Voice
from aoede.serving.buffer import Chunk, ChunkBuffer
from aoede.serving.gates import Gate, Stop, Stopped
from aoede.serving.jobs import End, Job, SpeechJob, Timings
from aoede.serving.served_voice import ServedVoice
from aoede.serving.shared_engine import SharedEngine

_LOG = logging.getLogger(__name__)
_FIRST_GUESS_SECONDS, _LONGEST_RETRY_SECONDS = 2.0, 60.0


_CLOSED = "the server is shutting down: it finishes what it began and takes nothing new"


class QueueFull(Exception):
    """All slots are taken and the queue is full; come again after `retry_after_seconds` (an estimate, 1 or more)."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"all slots are taken and the queue is full; try again in {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class SchedulerClosed(Exception):
    """The scheduler finishes what it began and takes nothing new."""


class Observer(Protocol):
    """Is told what happens, from any thread; must not block."""

    def step(self, rows: int) -> None:
        """So many rows were stepped together."""

    def first_audio(self, seconds: float) -> None:
        """A job's first samples came so long after it was submitted."""

    def ended(self, end: End | Literal["refused"], timings: Timings | None) -> None:
        """A job ended, or was refused (no timings)."""


@dataclass(frozen=True, kw_only=True)
class SchedulerStats:
    """How things stand."""

    slots: int
    running: int
    """Jobs that have a slot."""

    queue: int
    """The most that wait."""

    queued: int
    rows: int
    """Rows of the shared session in use; 0 where jobs write in turn."""

    steps_by_rows: dict[int, int]
    """Steps of the shared session so far, by the number of rows stepped together."""

    ended: dict[str, int]
    """Jobs so far: done, cancelled, failed, timed out, refused."""

    audio_seconds: float
    """Of sound, of all jobs that ended."""

    is_draining: bool


@dataclass(eq=False)
class _Task:
    job: Job
    stream: SpeechStream
    voice: ServedVoice
    stop: Stop


class Scheduler:
    """Speaks for many at a time with one voice.

    `close` (or leaving the `with` block) ends its threads.
    """

    def __init__(
        self,
        voice: Voice,
        *,
        slots: int = 8,
        queue: int = 32,
        threads: int | None = None,
        decoders: int = 1,
        job_timeout: float | None = 600.0,
        reader_timeout: float | None = 60.0,
        buffer_seconds: float = 10.0,
        observer: Observer | None = None,
    ) -> None:
        """Start.

        Args:
            voice: flat or two-stage; others may go on using it.
            slots: jobs at a time.
            queue: jobs that may wait for a slot.
            threads: torch's threads for one operation, in the scheduler's threads; None: a quarter of what torch would
                take, 1 to 4. Model and codec are at work beside each other, and threads that wait for one another
                lose more than they give where somebody else is at work, too. Torch has one such number for all
                threads that begin later, so set it here and nowhere else.
            decoders: codecs at work at a time, beside the model.
            job_timeout: seconds a job may take from its slot on; None: no limit.
            reader_timeout: seconds that a reader may take nothing while samples wait; None: no limit.
            buffer_seconds: sound made ahead of a job's reader; then the job waits, and no other does.
            observer: is told what happens (`metrics.py`).
        Raises:
            ValueError: a number out of range.
        """
        threads = max(1, min(4, torch.get_num_threads() // 4)) if threads is None else threads
        for name, number, least in (
            ("slots", slots, 1), ("queue", queue, 0), ("threads", threads, 1), ("decoders", decoders, 1),
        ):  # fmt: skip
            if number < least:
                raise ValueError(f"{name} is {number}; at least {least} is needed")
        for name, seconds in (
            ("job_timeout", job_timeout), ("reader_timeout", reader_timeout), ("buffer_seconds", buffer_seconds),
        ):  # fmt: skip
            if seconds is not None and not 0 < seconds < math.inf:
                raise ValueError(f"{name} is {seconds}; it is seconds above 0, or None for no limit")
        self.voice, self.slots, self.queue = voice, slots, queue
        self._job_timeout, self._reader_timeout, self._buffer_seconds = job_timeout, reader_timeout, buffer_seconds
        self._observer, self._threads = observer, threads
        self._writing, self._decoding = Gate(), Gate(decoders)
        self._shared: SharedEngine | None = None
        if voice.engine is not None and voice.engine.stage() is not None:
            self._shared = SharedEngine(
                voice.engine, slots, threads=threads, on_step=lambda rows: self._observe("step", rows)
            )
        self._preparation = threading.Lock()  # tokenizers are not made for several threads
        self._changed = threading.Condition()
        self._waiting: deque[_Task] = deque()
        self._tasks: dict[Job, _Task] = {}
        self._preparing = self._running = self._number = 0
        self._ended: Counter[str] = Counter()
        self._audio_seconds = 0.0
        self._job_seconds = _FIRST_GUESS_SECONDS
        self._is_draining = self._is_closed = False
        self._workers = [
            threading.Thread(target=self._work, name=f"aoede-job-{number}", daemon=True) for number in range(slots)
        ]
        for worker in self._workers:
            worker.start()

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- for those who ask --------------------------------------------------------------------------------------

    def submit(self, request: SpeechJob) -> Job:
        """Take a request; it runs as soon as it has a slot.

        Reading the text takes milliseconds, a recording as long as encoding it: a caller who must not wait calls this
        in a thread. It may be called from many.

        Raises:
            QueueFull: at once, where no slot and no place in the queue is free.
            SchedulerClosed: after `drain` or `close`.
            ValueError: what `Voice.speak` refuses.
        """
        with self._changed:
            if self._is_draining:
                raise SchedulerClosed(_CLOSED)
            if self._running + len(self._waiting) + self._preparing >= self.slots + self.queue:
                self._ended["refused"] += 1
                retry = self._retry_after()
                self._observe("ended", "refused", None)
                raise QueueFull(retry)
            self._preparing += 1
            number, self._number = self._number, self._number + 1
        task: _Task | None = None
        try:
            with self._preparation:
                task = self._prepare(number, request)
        finally:
            with self._changed:
                self._preparing -= 1
                if task is not None and not self._is_closed:
                    self._tasks[task.job] = task
                    self._waiting.append(task)
                self._changed.notify_all()
        if self._is_closed:
            raise SchedulerClosed(_CLOSED)
        return task.job

    def stats(self) -> SchedulerStats:
        """How things stand."""
        with self._changed:
            return SchedulerStats(
                slots=self.slots,
                running=self._running,
                queue=self.queue,
                queued=len(self._waiting),
                rows=0 if self._shared is None else self._shared.rows,
                steps_by_rows={} if self._shared is None else self._shared.steps_by_rows,
                ended=dict(self._ended),
                audio_seconds=self._audio_seconds,
                is_draining=self._is_draining,
            )

    def drain(self, timeout: float | None = None) -> bool:
        """Take nothing new and wait until all that was taken has ended; False when the time is over first."""
        with self._changed:
            self._is_draining = True
            return self._changed.wait_for(lambda: not (self._tasks or self._preparing), timeout)

    def close(self) -> None:
        """Cancel what is left and end the threads."""
        with self._changed:
            self._is_draining = self._is_closed = True
            left = list(self._tasks)
            self._changed.notify_all()
        for job in left:
            job.cancel()
        for worker in self._workers:
            worker.join()
        if self._shared is not None:
            self._shared.close()

    # -- the life of a job --------------------------------------------------------------------------------------

    def _prepare(self, number: int, request: SpeechJob) -> _Task:
        rate = self.voice.sample_rate
        buffer = ChunkBuffer(round(self._buffer_seconds * rate))
        job = Job(number, request, rate, buffer=buffer, on_cancel=self._cancel)
        stop = Stop(self._job_timeout)
        voice = ServedVoice(
            self.voice,
            stop=stop,
            shared=self._shared,
            writing=self._writing,
            decoding=self._decoding,
            urgency=lambda: job.runs_dry_at,
        )
        stream = voice.stream(
            request.text,
            request.speaker,
            seed=request.seed,
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=request.top_k,
            guidance=request.guidance,
            speed=request.speed,
            reference=request.reference,
            reference_text=request.reference_text,
        )
        job.num_text_ids = stream.num_text_ids
        return _Task(job, stream, voice, stop)

    def _cancel(self, job: Job) -> None:
        if not job.finish("cancelled"):
            return
        with self._changed:
            task = self._tasks.get(job)
            if task is not None and task in self._waiting:
                self._waiting.remove(task)
                task.stream.close()
                self._forget(task)
        if task is not None:
            task.stop.set()

    def _work(self) -> None:
        torch.set_num_threads(self._threads)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if not self._waiting:
                    return
                task = self._waiting.popleft()
                self._running += 1
            try:
                self._run(task)
            finally:
                with self._changed:
                    self._running -= 1
                    self._forget(task)
                del task  # or it would stay until the next one comes

    def _run(self, task: _Task) -> None:
        job, stream = task.job, task.stream
        if not job.start():
            return
        task.stop.begin()
        try:
            self._speak(task)
            job.finish("done")
        except Stopped:
            assert job.end == "cancelled"
        except TimeoutError as error:
            _let_go(error)
            job.finish("timed out", error)
        except Exception as error:
            # Whatever it was (memory for one of them): it ended this job, and the next one starts afresh.
            _LOG.error("job %d failed", job.number, exc_info=error)
            _let_go(error)
            job.finish("failed", error)
        finally:
            task.stop.set()
            stream.close()

    def _speak(self, task: _Task) -> None:
        job, stream, voice = task.job, task.stream, task.voice
        rate, frame_seconds = job.sample_rate, 1.0 / self.voice.frame_rate
        count, frames_start = 0, 0.0
        for samples in stream:
            task.stop.check()
            frames, is_first_of_utterance = voice.collect()
            if frames and is_first_of_utterance:
                frames_start = count / rate
            chunk = Chunk(samples=samples, start=count / rate, frames=frames, frames_start=frames_start)
            frames_start += len(frames) * frame_seconds
            count += len(samples)
            job.tell(stream.notes, stream.cut)
            is_first = not job.buffer.num_samples
            limits = [limit for limit in (self._reader_timeout, task.stop.left) if limit is not None]
            try:
                if not job.give(chunk, min(limits) if limits else None):
                    raise Stopped
            except TimeoutError:
                task.stop.check()
                raise
            if is_first:
                self._observe("first_audio", job.timings.first_audio or 0.0)
        job.tell(stream.notes, stream.cut)

    def _forget(self, task: _Task) -> None:
        """Count a job that has ended. The lock is held."""
        job, timings, end = task.job, task.job.timings, task.job.end
        assert end is not None, "a job that is forgotten has ended"
        self._tasks.pop(job, None)
        self._ended[end] += 1
        self._audio_seconds += timings.audio
        if end == "done":
            self._job_seconds += 0.2 * (timings.running - self._job_seconds)
        self._changed.notify_all()
        self._observe("ended", end, timings)

    def _observe(self, what: Literal["step", "first_audio", "ended"], *told: object) -> None:
        """Tell the observer; its faults are its own."""
        if self._observer is None:
            return
        try:
            getattr(self._observer, what)(*told)
        except Exception:
            _LOG.exception("the observer of jobs failed")

    def _retry_after(self) -> int:
        """Seconds until a place is free, as things go."""
        ahead = (1 + self.queue / self.slots) * self._job_seconds
        return math.ceil(min(max(ahead / 2, 1.0), _LONGEST_RETRY_SECONDS))


def _let_go(error: BaseException) -> None:
    """Drop what the frames of an error hold: it would stay for as long as the job is looked at."""
    traceback.clear_frames(error.__traceback__)
