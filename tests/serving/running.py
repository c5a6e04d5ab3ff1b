"""A real server in a thread of the test: uvicorn on a free port of the loopback, with voices that the test gives."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aoede.generation import Voice
from aoede.serving.app import create_app
from aoede.serving.server import Server, address_of, listen
from aoede.serving.settings import ServerSettings


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error; fails where the body has another shape."""
        assert list(self.json) == ["error"], self.body[:200]
        assert set(self.json["error"]) == {"message", "type", "param", "code"}
        return self.json["error"]


class Running:
    """A server that runs."""

    def __init__(self, server: Server, url: str) -> None:
        self.server, self.url = server, url
        self.port = int(url.rpartition(":")[2])

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request; a dict or a list is sent as JSON."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict | list):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def speak(self, **fields: Any) -> Answer:
        """A speech of the flat voice, unless said otherwise."""
        return self.ask("POST", "/v1/audio/speech", {"model": "tiny", "input": "Hello.", "seed": 1, **fields})

    def clone(self, recording: bytes, file_name: str = "me.wav", **fields: str) -> Answer:
        """A speech like a recording."""
        values = {"model": "duo", "input": "Hello.", "seed": "1", "reference_text": "Good day.", **fields}
        parts = [
            f'--x\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode() for n, v in values.items()
        ]
        parts.append(
            f'--x\r\nContent-Disposition: form-data; name="reference"; filename="{file_name}"\r\n\r\n'.encode()
        )
        body = b"".join(parts) + recording + b"\r\n--x--\r\n"
        return self.ask("POST", "/v1/audio/speech", body, Content_Type="multipart/form-data; boundary=x")


@contextmanager
def running(voices: Mapping[str, Voice], **settings: Any) -> Iterator[Running]:
    """A server with these voices; it ends with the block."""
    listener = listen("127.0.0.1", 0)
    given = ServerSettings(**{"slots": 2, "queue": 2, "threads": 1, **settings})
    server = Server(create_app(voices, given), given)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < deadline and thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield Running(server, address_of(listener))
    finally:
        server.handle_exit(signal.SIGTERM, None)
        thread.join(20)
        listener.close()
        assert not thread.is_alive(), "the server did not end"
