"""What a server allows: how many requests, how long, how large, how slow, and who may ask.

Owns the limits and their checks. Knows nothing of HTTP: `app.py` holds requests to them, `scheduler.py` the queue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path

_TOKEN_VARIABLE = "AOEDE_TOKEN"
_MOST_TOKEN_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Limits of `aoede serve`; all of them have a value that suits a small machine."""

    slots: int = 8
    """Requests that speak at the same time, a voice."""

    queue: int = 32
    """Requests that wait for a slot, a voice; one more is refused with 429."""

    threads: int | None = None
    """Threads of torch for one operation; None is a quarter of what torch would take, 1 to 4."""

    max_characters: int = 4096
    """The longest `input`, in characters (and the longest `reference_text`)."""

    max_upload_mb: float = 10.0
    """The largest recording that is taken, in MB of 10^6 bytes."""

    max_reference_seconds: float = 30.0
    """The longest recording to speak like."""

    timeout_seconds: float = 600.0
    """The longest that a request may take from when it has a slot: more than a long text lasts, since a player may take
    it at the pace it plays."""

    stall_seconds: float = 30.0
    """A client that neither reads nor writes for this long is let go."""

    drain_seconds: float = 30.0
    """After SIGTERM, what has begun may take this long."""

    token: str | None = field(default=None, repr=False)
    """What clients send as `Authorization: Bearer TOKEN`; None lets everybody in."""

    page: bool = True
    """Whether `/` shows the page."""

    def __post_init__(self) -> None:
        least = {"slots": 1, "queue": 0, "threads": 1, "max_characters": 1}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name in least:
                if value is not None and value < least[entry.name]:
                    raise ValueError(f"{entry.name} is {value}; it is {least[entry.name]} or more")
            elif isinstance(value, int | float) and entry.name != "page" and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{entry.name} is {value}; it is a number above 0")
        if self.token is not None:
            check_token(self.token, "the token")

    @property
    def max_upload_bytes(self) -> int:
        """The largest recording, in bytes."""
        return round(self.max_upload_mb * 1e6)

    @property
    def max_text_bytes(self) -> int:
        """The largest body without a recording: JSON may write a character as two escapes of six bytes."""
        return 2 * 12 * self.max_characters + 65_536


def check_token(token: str, name: str) -> str:
    """The token itself.

    Raises:
        ValueError: empty, or nothing that fits into a header.
    """
    if not token:
        raise ValueError(f"{name} is empty: give it a long random word, or leave it out to let everybody in")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(f"{name} holds spaces or signs that no header can carry; use letters and digits")
    return token


def read_token(file: str | None, environment: dict[str, str]) -> str | None:
    """The token of a file (its only line), else of the environment's AOEDE_TOKEN, else None.

    Raises:
        ValueError: the file holds no token. OSError: it cannot be read.
    """
    if file is not None:
        with Path(file).open("rb") as stream:
            content = stream.read(_MOST_TOKEN_BYTES + 1)
        if len(content) > _MOST_TOKEN_BYTES:
            raise ValueError(f"{file} is longer than {_MOST_TOKEN_BYTES} bytes; a token file holds one word")
        try:
            return check_token(content.decode("ascii").strip(), file)
        except UnicodeDecodeError:
            raise ValueError(f"{file} holds signs that no header can carry; use letters and digits") from None
    token = environment.get(_TOKEN_VARIABLE)
    return None if token is None else check_token(token.strip(), _TOKEN_VARIABLE)
