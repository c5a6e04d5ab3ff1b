"""The server process: a socket, uvicorn, and an end that finishes what has begun.

Owns sockets, signals and what happens to connections that stall below HTTP. Knows nothing of speech.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from aoede.serving.entrance import ABORT
from aoede.serving.settings import ServerSettings

logger = logging.getLogger("aoede.serving")

_SEND_BUFFER = 65_536
"""Bytes that the kernel keeps for a client (it doubles them): a reader who has stopped is noticed after a second or two
of sound, and thousands of connections fit into memory."""

_LAST_READ_MILLISECONDS = 60_000

_LAST_SECONDS = 2
"""After everything was finished or given up, connections have this long to close."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        ValueError: a host or port that cannot be listened at, with the reason.
    """
    if not 0 <= port <= 65_535:
        raise ValueError(f"port {port} is outside 0 .. 65535 (0 takes a free one)")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ValueError(f"--host {host} is no address of this machine: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit this, and that their peers are asked now and then whether they still exist.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if sys.platform == "linux":  # what was sent last, too, must be read in this time
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _LAST_READ_MILLISECONDS)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise ValueError(f"cannot listen at {host}, port {port}: {error.strerror}; try another --port") from error
    return listener


def address_of(listener: socket.socket) -> str:
    """Its URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """Uvicorn, but for its end: SIGTERM and SIGINT let requests finish while new ones are answered with 503.

    A second signal gives up what is left. The exit code is 0 either way.
    """

    def __init__(self, app: FastAPI, settings: ServerSettings) -> None:
        limits = settings

        class Protocol(_Protocol):
            stall_seconds = limits.stall_seconds

        config = uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="on",
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_LAST_SECONDS,
        )
        super().__init__(config)
        self.speech_app, self.settings = app, settings
        self._drain_until: float | None = None
        self._was_told = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: the first one drains, the second one gives up what is left."""
        if self._drain_until is not None:
            self._drain_until = 0.0
            return
        self._drain_until = time.monotonic() + self.settings.drain_seconds
        # At once, and without a lock, which this very thread may hold; schedulers hear of it at the next tick.
        self.speech_app.state.refuse()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to leave the main loop."""
        if self._drain_until is not None:
            if not self._was_told:
                self._was_told = True
                self.speech_app.state.begin_draining()
                logger.info("ending: %d requests are finished, new ones are refused", len(self.server_state.tasks))
            left = len(self.server_state.tasks)
            if not left or time.monotonic() > self._drain_until:
                if left:
                    logger.warning("%d requests were not finished in %g s", left, self.settings.drain_seconds)
                self.should_exit = True
        return await super().on_tick(counter)


class _Protocol(H11Protocol):
    """HTTP, with an end to connections on which nothing comes, and a way for the app to drop one."""

    stall_seconds = 30.0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        app = self.app
        self._patience: asyncio.TimerHandle | None = None

        async def with_abort(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[ABORT] = self.transport.abort
            await app(scope, receive, send)

        self.app = with_abort

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)

    def _wait_for_request(self) -> None:
        """Half a request must become a whole one in time; once the app has it, the app watches over it."""
        waits = self.cycle is None or self.cycle.response_complete
        if waits and self._patience is None:
            self._patience = self.loop.call_later(self.stall_seconds, self.transport.abort)
        elif not waits and self._patience is not None:
            self._patience.cancel()
            self._patience = None
