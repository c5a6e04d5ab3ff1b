"""A client with little overhead: one request for speech over a plain asyncio connection, timed chunk by chunk.

Owns the bytes of HTTP/1.1 as the load test needs them, since 64 full clients in one process would take from the server
the time that is to be measured. Knows nothing of what the figures mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .playback import Arrival

BYTES_A_SECOND = 48_000
"""Of `response_format` pcm: 24 kHz, 16 bits, one channel."""


@dataclass(kw_only=True)
class Reply:
    """What came of a request."""

    sent: float
    """When it was begun, before connecting; `time.perf_counter` seconds, as all times here."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """Names in lower case."""

    arrivals: list[Arrival] = field(default_factory=list)
    digest: str = ""
    """Of the whole body, where it came whole."""

    text: str = ""
    """The body of a reply that is not 200."""

    error: str | None = None
    """Why it did not come whole; a refusal (429) is whole."""

    @property
    def is_whole(self) -> bool:
        """Whether all of the speech came."""
        return self.status == 200 and self.error is None

    @property
    def retry_after(self) -> float | None:
        """Seconds after which a refused client is asked to come again."""
        return float(value) if (value := self.headers.get("retry-after")) is not None else None


async def speak(host: str, port: int, body: Mapping[str, Any], timeout: float = 120.0) -> Reply:
    """Ask for speech and take all of it, chunk by chunk; never raises for what the server or the network does."""
    reply = Reply(sent=time.perf_counter())
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                payload = json.dumps(body).encode()
                head = (
                    f"POST /v1/audio/speech HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n"
                )
                writer.write(head.encode() + payload)
                await _receive(reader, reply)
            finally:
                writer.transport.abort()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError:
        reply.error = f"not done after {timeout:g} s"
    except asyncio.IncompleteReadError as error:
        reply.error = f"the connection ended in the middle, after {len(error.partial)} of {error.expected} bytes"
    except (OSError, ValueError) as error:
        reply.error = f"{type(error).__name__}: {error}"
    if reply.error is None and reply.status not in (200, 429):
        reply.error = f"status {reply.status}: {reply.text[:200]}"
    return reply


async def _receive(reader: asyncio.StreamReader, reply: Reply) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    reply.status = int(head[0].split()[1])
    reply.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
    digest, body = hashlib.sha256(), bytearray()
    while data := await _chunk(reader, reply, len(body)):
        if reply.status == 200:
            reply.arrivals.append(Arrival(time.perf_counter(), len(data) / BYTES_A_SECOND))
            digest.update(data)
        else:
            body += data
    reply.digest, reply.text = digest.hexdigest(), body.decode("utf-8", "replace")


async def _chunk(reader: asyncio.StreamReader, reply: Reply, taken: int) -> bytes:
    """The next chunk of the body, empty at its end."""
    if reply.headers.get("transfer-encoding", "").lower() == "chunked":
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        data = await reader.readexactly(size + 2)
        return data[:-2]
    return await reader.readexactly(int(reply.headers["content-length"])) if not taken and not reply.arrivals else b""
