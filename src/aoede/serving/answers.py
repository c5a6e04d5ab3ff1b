"""Answers of the speech endpoint: a whole file, a body that is sent while it is made, events that carry it.

Owns the way from a job's chunks to what goes over the wire, and that the job ends when its client has gone. Knows
nothing of how speech is made or how a request was read.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from aoede.serving.buffer import Chunk
from aoede.serving.encoders import MEDIA_TYPES, Encoder, FormatName, encode, open_encoder, output_rate
from aoede.serving.errors import ApiError
from aoede.serving.jobs import Job, JobError
from aoede.serving.reading import until_gone

logger = logging.getLogger("aoede.serving")
T = TypeVar("T")

_LONGEST_NOTES = 2000
_PART = 65_536


class ClientGone(Exception):
    """The client has hung up; nobody waits for an answer."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a client wants its speech."""

    format: FormatName
    who: str = ""
    """Model and voice, for the log."""

    include: frozenset[str] = frozenset()
    num_slots: int = 1


def headers_of(job: Job, form: Form) -> dict[str, str]:
    """What every answer says of its speech."""
    return {
        "x-aoede-seed": str(job.seed),
        "x-aoede-sample-rate": str(output_rate(form.format, job.sample_rate)),
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",  # what proxies of nginx's kind must not do to a stream
    }


async def whole(request: Request, job: Job, form: Form) -> Response:
    """All of it at once, with a header that knows its length; notes of the voice are in the answer's headers.

    Raises:
        ApiError: it failed, took too long, or nothing was said. ClientGone.
    """

    async def collect() -> list[Chunk]:
        return [chunk async for chunk in job.chunks()]

    chunks = await unless_gone(request, job, collect())
    samples = np.concatenate([np.zeros(0, np.float32), *(chunk.samples for chunk in chunks)])
    if not len(samples):
        raise nothing_said(job)
    body = await run_in_threadpool(encode, form.format, samples, job.sample_rate)
    headers = headers_of(job, form) | {"Content-Length": str(len(body))}
    if job.cut:
        headers["x-aoede-cut"] = "true"
    if job.notes:
        headers["x-aoede-notes"] = _in_a_header(job.notes)
    return _Sent(job, form, _parts(body), MEDIA_TYPES[form.format], headers)


async def streamed(request: Request, job: Job, form: Form) -> Response:
    """The sound while it is made, from when its beginning is there; errors before that have their own status.

    Raises:
        ApiError: as in `whole`. ClientGone.
    """
    chunks = job.chunks()
    first = await unless_gone(request, job, _first(job, chunks))
    media = MEDIA_TYPES[form.format]
    return _Sent(job, form, _bytes(job, form.format, first, chunks), media, headers_of(job, form))


async def events(request: Request, job: Job, form: Form) -> Response:
    """The sound as server-sent events, as OpenAI names them, and what was asked to be included.

    Raises:
        ApiError: as in `whole`. ClientGone.
    """
    chunks = job.chunks()
    first = await unless_gone(request, job, _first(job, chunks))
    return _Sent(job, form, _events(job, form, first, chunks), "text/event-stream", headers_of(job, form))


async def unless_gone(request: Request, job: Job, work: Awaitable[T]) -> T:
    """The result of `work`; the job is cancelled when the client leaves before.

    Raises:
        ApiError: the job failed or took too long. ClientGone.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(until_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    except JobError as error:
        job.cancel()
        raise failure(error) from error
    except BaseException:
        job.cancel()
        raise
    finally:
        await _end(working, leaving)


def failure(error: JobError) -> ApiError:
    """A job's failure as an answer; what it was goes to the log."""
    if error.end == "timed out":
        return ApiError(504, f"{error}: send a shorter text, or try again", code="timeout")
    logger.error("a request failed", exc_info=error.__cause__ or error)
    cause = error.__cause__
    if isinstance(cause, MemoryError) or (isinstance(cause, RuntimeError) and "allocate" in str(cause)):
        return ApiError(503, "the server has no memory for this request: try again later", code="out_of_memory")
    return ApiError(500, "the server failed to speak this; its log says why", code="speaking_failed")


def nothing_said(job: Job) -> ApiError:
    """A speech without a sample: the voice ended at once."""
    words = "; ".join(job.notes) or "the voice ended at once"
    return ApiError(422, f"no sound came: {words} (seed {job.seed})", code="no_sound", param="seed")


class _Sent(Response):
    """A body that is sent as it comes; when it ends, for whatever reason, so does the job."""

    def __init__(
        self, job: Job, form: Form, body: AsyncIterator[bytes], media_type: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(media_type=media_type, headers=headers)
        if "Content-Length" not in headers:
            del self.headers["content-length"]
        self.job, self.form, self.pieces = job, form, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(until_gone(Request(scope, receive)))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        except JobError as error:
            # What was promised cannot be sent: an answer that breaks off is told from one that ends.
            failure(error)
            logger.warning("an answer was broken off: %s", error)
        finally:
            self.job.cancel()
            await _end(sending, leaving)
            _log(self.job, self.form)

    async def _send(self, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for piece in self.pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await self.pieces.aclose()  # type: ignore[attr-defined]


async def _first(job: Job, chunks: AsyncIterator[Chunk]) -> list[Chunk]:
    """The chunks up to the first one with samples."""
    first: list[Chunk] = []
    async for chunk in chunks:
        first.append(chunk)
        if len(chunk.samples):
            return first
    raise nothing_said(job)


async def _all(first: list[Chunk], rest: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
    for chunk in first:
        yield chunk
    async for chunk in rest:
        yield chunk


async def _bytes(job: Job, name: FormatName, first: list[Chunk], rest: AsyncIterator[Chunk]) -> AsyncIterator[bytes]:
    encoder = open_encoder(name, job.sample_rate)
    push = _pusher(encoder, name)
    try:
        async for chunk in _all(first, rest):
            if data := await push(chunk.samples):
                yield data
        if data := encoder.finish():
            yield data
    finally:
        encoder.close()


async def _events(job: Job, form: Form, first: list[Chunk], rest: AsyncIterator[Chunk]) -> AsyncIterator[bytes]:
    encoder = open_encoder(form.format, job.sample_rate)
    push = _pusher(encoder, form.format)
    with_frames = "frames" in form.include
    num_frames = 0
    try:
        async for chunk in _all(first, rest):
            num_frames += len(chunk.frames)
            data = await push(chunk.samples)
            if data or (with_frames and chunk.frames):
                yield _event(_delta(data, chunk if with_frames else None))
        if data := encoder.finish():  # of an encoder that looks ahead: the sound of the frames before
            end = job.timings.audio
            last = Chunk(samples=np.zeros(0, np.float32), start=end, frames=[], frames_start=end)
            yield _event(_delta(data, last if with_frames else None))
        yield _event(_done(job, form, num_frames))
    except JobError as error:
        yield _event({"type": "error", **failure(error).body()})
    finally:
        encoder.close()


async def _parts(body: bytes) -> AsyncIterator[bytes]:
    """A body in parts, so that a client who does not read is noticed."""
    for start in range(0, len(body), _PART):
        yield body[start : start + _PART]


def _pusher(encoder: Encoder, name: FormatName) -> Callable[[Any], Awaitable[bytes]]:
    """Pushes in a thread where that is work; PCM is copied in microseconds."""

    async def push(samples: Any) -> bytes:
        return encoder.push(samples) if name in ("pcm", "wav") else await run_in_threadpool(encoder.push, samples)

    return push


def _delta(data: bytes, chunk: Chunk | None = None) -> dict[str, Any]:
    event: dict[str, Any] = {"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()}
    if chunk is not None:
        event |= {"start": chunk.start, "frames": chunk.frames, "frames_start": chunk.frames_start}
    return event


def _done(job: Job, form: Form, num_frames: int) -> dict[str, Any]:
    spoken = num_frames * form.num_slots
    read = job.num_text_ids
    usage = {"input_tokens": read, "output_tokens": spoken, "total_tokens": read + spoken}
    event: dict[str, Any] = {"type": "speech.audio.done", "usage": usage}
    if "timings" in form.include:
        timings = job.timings
        event["timings"] = {
            "queued_seconds": timings.queued,
            "first_audio_seconds": timings.first_audio,
            "compute_seconds": timings.running,
            "audio_seconds": timings.audio,
            "rtf": timings.rtf,
        }
    if form.include:
        event |= {"seed": job.seed, "notes": list(job.notes), "cut": job.cut}
    return event


def _event(data: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


def _log(job: Job, form: Form) -> None:
    """A line a speech, without its text."""
    timings = job.timings
    first = "no sound" if timings.first_audio is None else f"first sound after {timings.first_audio:.2f} s"
    pace = "" if timings.rtf is None else f", {timings.rtf:.2f} s of compute a second"
    logger.info("%s: %s, %.1f s of speech, %s%s", form.who, job.state, timings.audio, first, pace)


def _in_a_header(notes: tuple[str, ...]) -> str:
    """Notes as a JSON list of ASCII signs; where they are long, how many there are."""
    text = json.dumps(list(notes))
    return text if len(text) <= _LONGEST_NOTES else json.dumps([f"{len(notes)} notes; stream_format sse tells them"])


async def _end(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, Exception):
            await task
