"""`aoede serve` as a whole: options to settings, voices from their folders, the server until it is told to end.

Owns what is printed. The options are the verb's, the server is `server.py`'s.
"""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from aoede.serving.settings import ServerSettings, read_token

if TYPE_CHECKING:
    from aoede.generation import Voice

_OPTIONS = {
    "slots": "slots",
    "queue": "queue",
    "threads": "threads",
    "max_characters": "max_characters",
    "max_upload_mb": "max_upload_mb",
    "max_reference_seconds": "max_reference_seconds",
    "timeout": "timeout_seconds",
    "stall": "stall_seconds",
    "drain": "drain_seconds",
}


def serve(args: argparse.Namespace) -> None:
    """Load, listen, serve; returns after SIGTERM or SIGINT.

    Raises:
        ValueError: an option out of range, no such voice, two voices of one name, an address that is taken.
    """
    settings = read_settings(args)

    from aoede.generation import Voice
    from aoede.serving.app import create_app
    from aoede.serving.server import Server, address_of, listen

    # First of all: an address that is taken is told before seconds of loading.
    listener = listen(args.host, args.port)
    with listener:
        voices: dict[str, Voice] = {}
        for source in args.voice or [None]:
            voice = Voice.from_pretrained(source, device=args.device)
            if voice.name in voices:
                raise ValueError(f"two voices are called {voice.name!r}: change the name in one's voice.json")
            _warm(voice)
            voices[voice.name] = voice
        server = Server(create_app(voices, settings), settings)
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
        url = address_of(listener)
        for line in announcement(url, args.host, {name: voice.speakers for name, voice in voices.items()}, settings):
            print(line, flush=True)
        server.run(sockets=[listener])


def _warm(voice: Voice) -> None:
    """Say something that nobody hears: the first words pay for dictionaries and for weights that are laid out."""
    with suppress(ValueError):  # a voice that does not read digits; its first listener then waits a little longer
        voice.speak("1, 2.")


def read_settings(args: argparse.Namespace) -> ServerSettings:
    """The settings that options and environment ask for.

    Raises:
        ValueError: one is out of range. OSError: the token file cannot be read.
    """
    given = {setting: getattr(args, option) for option, setting in _OPTIONS.items()}
    return ServerSettings(
        **{name: value for name, value in given.items() if value is not None},
        token=read_token(args.token_file, dict(os.environ)),
        page=not args.no_page,
    )


def announcement(url: str, host: str, models: dict[str, Sequence[str]], settings: ServerSettings) -> list[str]:
    """What a person wants to know of a server that has begun: where, who, and who may come in."""
    lines = [f"{url}  {'the page, and ' if settings.page else ''}POST /v1/audio/speech (Ctrl-C ends)"]
    for name, speakers in models.items():
        shown = ", ".join(speakers[:6]) + (f" and {len(speakers) - 6} more" if len(speakers) > 6 else "")
        lines.append(f"model {name}  voices: {shown or 'one, without a name'}")
    if settings.token is None and not _is_loopback(host):
        lines.append(f"note: everybody who reaches {host} may use it; --token-file or AOEDE_TOKEN asks for a token")
    return lines


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
