"""Clients for tests of a real server: plain sockets that read as slowly, and break off as rudely, as a test likes."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

HOST = "127.0.0.1"


def request_bytes(body: Mapping[str, Any] | bytes, **headers: str) -> bytes:
    """A POST to the speech endpoint as it goes over the wire."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Host": HOST, "Content-Type": "application/json", "Content-Length": str(len(payload))}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"POST /v1/audio/speech HTTP/1.1\r\n{lines}\r\n".encode() + payload


class Stream:
    """One request whose reply is read by hand."""

    def __init__(
        self, port: int, data: bytes | Mapping[str, Any], *, receive_buffer: int | None = None, patience: float = 60.0
    ) -> None:
        """Connect and send.

        Args:
            data: a body for the speech endpoint, or bytes as they are.
            receive_buffer: bytes that the kernel may hold for us; small ones make a server wait for a slow reader soon.
            patience: the most seconds that anything may take.
        """
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            # Segments of loopback are 64 kB, and Linux lets a sender have 20 of them on their way.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self.socket.settimeout(patience)
        self.socket.connect((HOST, port))
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self._file = self.socket.makefile("rb", buffering=512)
        self.send(data if isinstance(data, bytes) else request_bytes(data))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """More bytes; a server that has hung up already is not an error here."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(data)

    def head(self) -> int:
        """Read status and headers; the status, 0 where the server hung up instead."""
        try:
            line = self._file.readline()
        except ConnectionError:
            line = b""
        if not line:
            return 0
        self.status = int(line.split()[1])
        while (line := self._file.readline().strip()) not in (b"",):
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.lower()] = value.strip()
        return self.status

    def chunk(self) -> bytes:
        """The next chunk of the body; empty at its end.

        Raises:
            ConnectionError: the server broke off before the end.
        """
        line = self._file.readline()
        if not line:
            raise ConnectionError("the server broke off between chunks")
        size = int(line, 16)
        data = self._file.read(size + 2)
        if len(data) < size + 2:
            raise ConnectionError("the server broke off in a chunk")
        return data[:-2]

    def begin(self) -> bytes:
        """Read until sound comes; that sound."""
        if self.head() != 200:
            raise AssertionError(f"status {self.status}: {self.body()!r}")
        return self.chunk()

    def rest(self) -> bytes:
        """All that is left of a body in chunks."""
        return b"".join(iter(self.chunk, b""))

    def body(self) -> bytes:
        """The body of a reply whose head was read; what came of it where the server hung up on what it had not read."""
        if self.headers.get("transfer-encoding") == "chunked":
            return self.rest()
        left, body = int(self.headers.get("content-length", 1 << 30)), b""
        with contextlib.suppress(ConnectionError):
            while left > len(body) and (data := self._file.read1(left - len(body))):
                body += data
        return body

    def close(self) -> None:
        """Hang up as a program does that ends."""
        self._file.close()
        self.socket.close()

    def reset(self) -> None:
        """Hang up as a network does that breaks: a reset instead of an end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


def whole(port: int, data: bytes | Mapping[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """Ask and read everything: status (0 where the server only hung up), headers, body."""
    with Stream(port, data) as stream:
        status = stream.head()
        return status, stream.headers, stream.body() if status else b""


def until(holds: Callable[[], bool], seconds: float, said: Callable[[], object] = lambda: "") -> None:
    """Wait until something holds; fails with what `said` says when the time is over."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, f"not so after {seconds:g} s: {said()}"
        time.sleep(0.02)
