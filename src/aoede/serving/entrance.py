"""The entrance of a server: who may enter, how large and how slow a request may be, what its number is.

Owns three ASGI layers that see every request before the app does. Knows nothing of speech; what it refuses has the
shape of `errors.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aoede.serving.errors import ApiError

ABORT = "aoede.abort"
"""Name of the scope's extension that drops a connection with all that is not sent yet (`server.py` puts it there)."""

logger = logging.getLogger("aoede.serving")


class Stalled(Exception):
    """The client has read nothing for too long."""


class RequestNumbers:
    """Gives every answer an `x-request-id`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        number = f"req_{secrets.token_hex(12)}"

        async def numbered(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = number
            await send(message)

        await self.app(scope, receive, numbered)


class BearerToken:
    """Lets those in who send the token; some paths are open to all."""

    def __init__(self, app: ASGIApp, token: str, is_open: Callable[[str], bool]) -> None:
        """Guard an app.

        Args:
            is_open: whether a path needs no token.
        """
        self.app, self.is_open = app, is_open
        self._digest = hashlib.sha256(token.encode()).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.is_open(scope["path"]):
            return await self.app(scope, receive, send)
        scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        # Digests have one length, so that the time tells nothing of the token's either.
        same = hmac.compare_digest(hashlib.sha256(given.strip().encode("latin-1")).digest(), self._digest)
        if scheme.lower() == "bearer" and same:
            return await self.app(scope, receive, send)
        words = "the token is not this server's" if given else "this server wants a token: Authorization: Bearer TOKEN"
        error = ApiError(401, words, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        await error.response()(scope, receive, send)


class BodyLimits:
    """Bounds what a request may send, in bytes and in time, and how long its answer may wait for its reader."""

    def __init__(
        self, app: ASGIApp, most_bytes: Callable[[Scope], int], stall_seconds: float, timeout_seconds: float
    ) -> None:
        """Bound an app.

        Args:
            most_bytes: the largest body of a request.
            stall_seconds: the longest wait for the next bytes, in either direction.
            timeout_seconds: the longest that a whole body may take to come.
        """
        self.app, self.most_bytes = app, most_bytes
        self.stall_seconds, self.timeout_seconds = stall_seconds, timeout_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        most = self.most_bytes(scope)
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdigit() or int(announced[:20]) > most:
            return await _too_large(most).response()(scope, receive, send)
        deadline = asyncio.get_running_loop().time() + self.timeout_seconds
        count, is_whole = 0, False

        async def bounded() -> Message:
            nonlocal count, is_whole
            if is_whole:  # from here on, what comes is only that the client has gone
                return await receive()
            try:
                patience = min(self.stall_seconds, deadline - asyncio.get_running_loop().time())
                async with asyncio.timeout(max(0.0, patience)):
                    message = await receive()
            except TimeoutError:
                headers = {"Connection": "close"}
                raise ApiError(408, "the body did not come in time", code="timeout", headers=headers) from None
            if message["type"] == "http.request":
                count += len(message.get("body", b""))
                is_whole = not message.get("more_body", False)
                if count > most:
                    raise _too_large(most)
            return message

        async def patient(message: Message) -> None:
            try:
                async with asyncio.timeout(self.stall_seconds):
                    await send(message)
            except TimeoutError:
                raise Stalled from None

        try:
            await self.app(scope, bounded, patient)
        except Stalled:
            logger.warning("a client read nothing for %g s: its request is given up", self.stall_seconds)
            scope.get("extensions", {}).get(ABORT, lambda: None)()
            await asyncio.sleep(0)  # in which the connection hears of it


def _too_large(most: int) -> ApiError:
    return ApiError(
        413,
        f"the body is larger than {most:,} bytes, the most this server takes here",
        code="body_too_large",
        headers={"Connection": "close"},
    )
