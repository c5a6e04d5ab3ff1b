"""Samples as bytes of a sound format: whole, or piece by piece for a body that is sent while it is made.

Owns the formats of the speech endpoint, their headers and rates. Knows nothing of HTTP. A stream's bytes are never
changed after they were given out, so what a header says of the whole stays open there: a WAV has the sizes that mean
"until the end", a FLAC "unknown" many samples, an MP3 neither seek table nor gap information. A whole file has all.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
import soundfile  # type: ignore[import-untyped]
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from aoede.data.saving import FORMATS as FILE_FORMATS
from aoede.data.saving import written_rate

FormatName = Literal["wav", "pcm", "flac", "mp3", "opus"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)

MEDIA_TYPES: dict[FormatName, str] = {
    "wav": "audio/wav",
    "pcm": "audio/pcm",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
}

PCM_RATE = 24_000
"""Hz of `pcm`, which has no header to say so: 16 bit, little endian, mono, as clients of OpenAI's API expect it."""

UNKNOWN_SIZE = 0xFFFFFFFF
"""Sizes of a WAV header that end with the stream."""

# Variable bitrate needs a table in front that is known at the end only: without it readers misjudge the length.
# 0.63 is 64 kbit/s at 16 to 24 kHz, and about 128 above.
_MP3 = {"bitrate_mode": "CONSTANT", "compression_level": 0.63}

# libsndfile collects a second of Opus in a page otherwise; from sndfile.h, with a double in milliseconds.
_SET_OGG_PAGE_LATENCY_MS, _PAGE_MS = 0x1303, 100.0

_PIECE = 65_536


class Encoder(Protocol):
    """Takes the samples of one sound and gives its bytes as they become complete."""

    rate: int
    """Hz of what comes out."""

    def push(self, samples: NDArray[np.float32]) -> bytes:
        """Samples [T] in [-1, 1] to the bytes that they complete, which may be none."""

    def finish(self) -> bytes:
        """The rest; nothing may be pushed afterwards."""

    def close(self) -> None:
        """Let go without finishing; may be called at any time, more than once."""


def output_rate(name: FormatName, rate: int) -> int:
    """The rate in Hz of a format for samples at `rate`: the same, or the next one that the format allows."""
    return PCM_RATE if name == "pcm" else written_rate(f"speech.{name}", rate)


def open_encoder(name: FormatName, rate: int) -> Encoder:
    """An encoder for a stream: its bytes are final as they come.

    Args:
        rate: Hz of the samples that will be pushed.
    """
    if name in ("pcm", "wav"):
        target = output_rate(name, rate)
        return _Pcm(rate, target, wav_header(target) if name == "wav" else b"")
    return _File(name, rate, _Sink())


def encode(name: FormatName, samples: NDArray[np.float32], rate: int) -> bytes:
    """A whole sound, with a header that knows its length.

    Args:
        samples: [T] in [-1, 1]; beyond it they come out at full scale.
        rate: their rate in Hz.
    """
    if name in ("pcm", "wav"):
        plain = _Pcm(rate, output_rate(name, rate), b"")
        data = plain.push(samples) + plain.finish()
        return data if name == "pcm" else wav_header(plain.rate, len(data)) + data
    stream = io.BytesIO()
    file = _File(name, rate, stream)
    file.push(samples)
    file.finish()
    return stream.getvalue()


def wav_header(rate: int, size: int | None = None) -> bytes:
    """The 44 bytes before the samples of a mono 16-bit WAV; size is in bytes, None of one that ends when it ends."""
    whole = UNKNOWN_SIZE if size is None else size + 36
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    data = struct.pack("<4sI", b"data", UNKNOWN_SIZE if size is None else size)
    return struct.pack("<4sI4s", b"RIFF", whole, b"WAVE") + form + data


@dataclass
class _Resampling:
    """Samples at one rate to samples at another, piece by piece."""

    given: int
    wanted: int

    def __post_init__(self) -> None:
        self._stream = None
        if self.given != self.wanted:
            self._stream = soxr.ResampleStream(self.given, self.wanted, 1, dtype="float32")

    def push(self, samples: NDArray[np.float32], last: bool = False) -> NDArray[np.float32]:
        if self._stream is None:
            return samples
        made: NDArray[np.float32] = self._stream.resample_chunk(np.ascontiguousarray(samples, np.float32), last=last)
        return made.reshape(-1)

    def finish(self) -> NDArray[np.float32]:
        return self.push(np.zeros(0, np.float32), last=True)


class _Pcm:
    """16-bit samples behind a header."""

    def __init__(self, rate: int, target: int, header: bytes) -> None:
        self.rate = target
        self._resampling, self._header = _Resampling(rate, target), header

    def push(self, samples: NDArray[np.float32]) -> bytes:
        return self._take(self._resampling.push(samples))

    def finish(self) -> bytes:
        return self._take(self._resampling.finish())

    def close(self) -> None:
        """Nothing is held."""

    def _take(self, samples: NDArray[np.float32]) -> bytes:
        header, self._header = self._header, b""
        return header + np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


class _Sink(io.RawIOBase):
    """A file that only grows: what libsndfile writes at its end is kept, what it goes back to write is not.

    It goes back at the very end, to complete a header that has been sent long since.
    """

    def __init__(self) -> None:
        self._new, self._size, self._position = bytearray(), 0, 0

    def take(self) -> bytes:
        """What came since the last time."""
        new, self._new = bytes(self._new), bytearray()
        return new

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if self._position == self._size:
            self._new += data
            self._size += len(data)
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position


class _File:
    """What libsndfile writes: into a sink for a stream, into memory for a whole file."""

    def __init__(self, name: FormatName, rate: int, target: _Sink | io.BytesIO) -> None:
        container, encoding = FILE_FORMATS[f".{name}"]
        self.rate = output_rate(name, rate)
        self._resampling, self._target = _Resampling(rate, self.rate), target
        options = _MP3 if name == "mp3" else {}
        self._file = soundfile.SoundFile(target, "w", self.rate, 1, format=container, subtype=encoding, **options)
        if name == "opus":
            # soundfile has no public word for this command.
            milliseconds = soundfile._ffi.new("double *", _PAGE_MS)
            soundfile._snd.sf_command(self._file._file, _SET_OGG_PAGE_LATENCY_MS, milliseconds, 8)

    def push(self, samples: NDArray[np.float32]) -> bytes:
        self._write(self._resampling.push(samples))
        return self._new()

    def finish(self) -> bytes:
        self._write(self._resampling.finish())
        self._file.close()
        return self._new()

    def close(self) -> None:
        self._file.close()

    def _write(self, samples: NDArray[np.float32]) -> None:
        for start in range(0, len(samples), _PIECE):
            self._file.write(np.clip(samples[start : start + _PIECE], -1, 1))

    def _new(self) -> bytes:
        return self._target.take() if isinstance(self._target, _Sink) else b""
