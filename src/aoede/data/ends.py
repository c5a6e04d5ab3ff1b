"""Where sound and codes come from and where they go: files by name, or `-`, the pipes of this process.

Owns that choice and what raw samples in a pipe are. A file appears under its name when it is complete; what went into a
pipe has gone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal

from .audio import AudioReader
from .pipes import PipeReader, PipeWriter
from .saving import AudioWriter, audio_writer, replacing

PIPE = "-"
"""Stands for standard input or output."""

Damage = Literal["refuse", "keep"]
"""What to do with a sound file that ends early."""


@dataclass(frozen=True, kw_only=True)
class RawSound:
    """How raw samples in a pipe are to be read or written; a pipe without it carries WAV."""

    encoding: str
    """Such as `s16le`: see `aoede.data.pipes.RAW_FORMATS`."""

    rate: int | None = None
    """In Hz; None is the codec's own. Writing knows no other."""

    channels: int = 1


def name_of(path: str | os.PathLike[str], pipe: str) -> str:
    """What to call it in messages."""
    return pipe if os.fspath(path) == PIPE else os.fspath(path)


def open_sound(
    source: str | os.PathLike[str], rate: int, raw: RawSound | None, truncated: Damage
) -> AudioReader | PipeReader:
    """A sound file, or what comes through standard input: WAV, or samples that `raw` describes."""
    if os.fspath(source) != PIPE:
        if raw is not None:
            raise ValueError(f"{os.fspath(source)}: raw samples come through standard input: --raw ... - < FILE")
        return AudioReader(source, rate, truncated=truncated)
    options = {} if raw is None else {"raw": raw.encoding, "rate": raw.rate, "channels": raw.channels}
    return PipeReader(sys.stdin.buffer, rate, truncated=truncated, **options)  # type: ignore[arg-type]


@contextmanager
def sound_target(target: str | os.PathLike[str], rate: int, raw: RawSound | None) -> Iterator[AudioWriter | PipeWriter]:
    """A sound file in the format of its suffix, or standard output: WAV, or samples as `raw` says."""
    if os.fspath(target) == PIPE:
        yield PipeWriter(sys.stdout.buffer, rate, raw=None if raw is None else raw.encoding)
    elif raw is not None:
        raise ValueError(f"{os.fspath(target)}: raw samples go to standard output: --raw ... - > FILE")
    else:
        with audio_writer(target, rate) as writer:
            yield writer


@contextmanager
def code_source(source: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file's bytes, or those of standard input."""
    if os.fspath(source) == PIPE:
        yield sys.stdin.buffer
    else:
        with open(source, "rb") as stream:
            yield stream


@contextmanager
def code_target(target: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Takes the bytes of a file that appears when it is whole, or of standard output."""
    if os.fspath(target) == PIPE:
        yield sys.stdout.buffer
    else:
        with replacing(target) as temporary, open(temporary, "wb") as stream:
            yield stream
