"""What a sound file's container promises: its family, and whether the bytes it announces are all there.

libsndfile reads a WAV or Ogg file that was cut short without a word, so the promise has to be read from the container
itself. Owns that and nothing else: samples are `audio.py`'s business.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

UNREADABLE = {
    b"ftyp": "an MP4/M4A (AAC) file",
    b"\x1aE\xdf\xa3": "a Matroska/WebM file",
    b"#!AMR": "an AMR file",
    b"0&\xb2u": "a WMA/ASF file",
}
"""Audio that libsndfile does not read, by the bytes it opens with (`ftyp` stands at byte 4)."""

UNKNOWN_LENGTH = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000)
"""Data sizes that writers to a pipe leave in a WAV header, where the true size was not known yet."""


def foreign_family(head: bytes) -> str | None:
    """The name of a known audio family that cannot be read here, given a file's first bytes, or None."""
    for magic, family in UNREADABLE.items():
        if head.startswith(magic) or (magic == b"ftyp" and head[4:8] == magic):
            return family
    return None


def missing_bytes(stream: BinaryIO) -> str | None:
    """Say in words what the container announces and the file lacks; None when nothing is known to be missing.

    WAV: the data chunk is longer than the file. Ogg: the last page is cut, or is not marked as the stream's end.
    FLAC and MP3 announce samples, not bytes: there the reader compares counts. The stream's position is kept.
    """
    start = stream.tell()
    try:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        head = stream.read(12)
        if head[:4] in (b"RIFF", b"RIFX") and head[8:12] == b"WAVE":
            return _missing_from_wav(stream, size, "<" if head[:4] == b"RIFF" else ">")
        if head[:4] == b"OggS":
            return _missing_from_ogg(stream, size)
        return None
    finally:
        stream.seek(start)


def _missing_from_wav(stream: BinaryIO, size: int, order: str) -> str | None:
    position = 12
    while position + 8 <= size:
        stream.seek(position)
        name, length = struct.unpack(f"{order}4sI", stream.read(8))
        if name == b"data":
            there = size - position - 8
            if length in UNKNOWN_LENGTH or length <= there:
                return None
            return f"its header announces {length:,} bytes of audio and {there:,} are there"
        position += 8 + length + (length & 1)
    return "its data chunk is missing"


def _missing_from_ogg(stream: BinaryIO, size: int) -> str | None:
    stream.seek(max(0, size - 66_000))  # a page is at most 65,307 bytes long
    tail = stream.read()
    at = tail.rfind(b"OggS")
    page = tail[at:]
    if at < 0 or len(page) < 27 or len(page) < 27 + page[26]:
        return "its last Ogg page is cut"
    length = 27 + page[26] + sum(page[27 : 27 + page[26]])
    if len(page) < length:
        return "its last Ogg page is cut"
    if not page[5] & 4:
        return "its last Ogg page is not marked as the end of the stream"
    return None
