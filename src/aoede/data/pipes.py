"""Sound through a pipe: WAV or raw samples, in and out, without ever seeking.

libsndfile has to seek, so the few encodings that pipes carry are read and written here. Owns those, and that a WAV file
whose length was not known when it began is taken to its end. What is odd about the sound itself is told as for files:
`PipeReader` is an `AudioReader`.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from .audio import AudioError, AudioInfo, AudioReader
from .containers import UNKNOWN_LENGTH, foreign_family

RAW_FORMATS = ("s16le", "s24le", "s32le", "f32le", "f64le")
"""Raw samples, named as ffmpeg names them: signed integers or floats, so many bits, little endian."""

_BYTES = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4, "f64le": 8}
_WAV = {(1, 8): "u8", (1, 16): "s16le", (1, 24): "s24le", (1, 32): "s32le", (3, 32): "f32le", (3, 64): "f64le"}
_EXTENSIBLE = 0xFFFE


class PipeReader(AudioReader):
    """Reads sound from a stream that cannot seek, with the verbs of `AudioReader`.

    Args:
        stream: gives bytes; `read(n)` waits for n bytes or the end. It is not closed.
        sample_rate: rate of the blocks.
        raw: one of `RAW_FORMATS` for samples without a header; None expects a WAV file.
        rate, channels: of raw samples.
    Raises:
        AudioError: not WAV, an encoding of WAV that is not read here; from `blocks` as `AudioReader`.
        ValueError: no such raw format, or a rate or channel count below 1.
    """

    def __init__(
        self,
        stream: BinaryIO,
        sample_rate: int,
        *,
        name: str = "standard input",
        raw: str | None = None,
        rate: int | None = None,
        channels: int = 1,
        truncated: Literal["refuse", "keep"] = "refuse",
    ) -> None:
        self.name = name
        self.mono = True
        self.truncated = truncated
        self.sample_rate = sample_rate
        self._stream = stream
        self._ahead = b""
        self._left: int | None = None
        if raw is None:
            self._encoding, rate, channels, self._left = _wav_header(stream, name)
        else:
            if raw not in RAW_FORMATS:
                raise ValueError(f"raw format '{raw}'; it is one of {', '.join(RAW_FORMATS)}")
            rate = sample_rate if rate is None else rate
            if rate < 1 or channels < 1:
                raise ValueError(f"raw samples of {rate} Hz and {channels} channels; both must be 1 or more")
            self._encoding = raw
            self._ahead = stream.read(4)
            if self._ahead in (b"RIFF", b"fLaC", b"OggS"):
                raise AudioError(f"{name}: begins as a sound file does, not as raw samples; leave --raw out")
        self._width = _BYTES[self._encoding] * channels
        self.info = AudioInfo(
            name=name,
            container=f"{'WAV' if raw is None else 'RAW'} {self._encoding}",
            sample_rate=rate,
            channels=channels,
            num_samples=0 if self._left is None else self._left // self._width,
        )
        self._full_scale = np.zeros((2, channels), dtype=bool)

    def close(self) -> None:
        """Nothing: the stream belongs to who gave it."""

    def _read(self, size: int, position: int) -> NDArray[np.float32] | None:
        wanted = size * self._width - len(self._ahead)
        if self._left is not None:
            wanted = min(wanted, self._left)
        content = self._stream.read(wanted)
        if self._left is not None:
            self._left -= len(content)
            if len(content) < wanted:
                lack = f"its header announces {self._left:,} bytes of audio more than came"
                self.info = replace(self.info, truncated=lack)
        content, self._ahead = self._ahead + content, b""
        whole = len(content) // self._width * self._width
        if whole < len(content) and self._left is None:
            raise AudioError(
                f"{self.name}: ends inside a sample of {self._width} bytes ({self._encoding}, {self.info.channels} "
                "channels); are --raw and --channels right, and did all of it come?"
            )
        return _floats(content[:whole], self._encoding, self.info.channels)


class PipeWriter:
    """Writes sound to a stream that cannot seek: WAV of 16 bits with an open length, or raw samples.

    Args:
        raw: `s16le` or `f32le` for samples without a header; None writes WAV.
    Raises:
        ValueError: another raw format.
    """

    def __init__(self, stream: BinaryIO, rate: int, *, raw: str | None = None) -> None:
        if raw not in (None, "s16le", "f32le"):
            raise ValueError(f"raw format '{raw}' cannot be written; s16le and f32le can")
        self.sample_rate = rate
        self._stream = stream
        self._floats = raw == "f32le"
        if raw is None:
            sizes = 0xFFFFFFFF  # what is usual where the length is not known yet
            form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
            self._put(struct.pack("<4sI4s", b"RIFF", sizes, b"WAVE") + form + struct.pack("<4sI", b"data", sizes))

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append [T] float32; integers saturate at full scale."""
        if self._floats:
            self._put(samples.astype("<f4").tobytes())
        else:
            self._put(np.clip(np.floor(samples.astype(np.float64) * 32768), -32768, 32767).astype("<i2").tobytes())

    def _put(self, content: bytes) -> None:
        self._stream.write(content)
        self._stream.flush()


def _wav_header(stream: BinaryIO, name: str) -> tuple[str, int, int, int | None]:
    """Encoding, rate, channels and bytes of sound (None: until the end); the stream then stands at the sound."""
    head = stream.read(12)
    if not head:
        raise AudioError(f"{name}: nothing came")
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        family = foreign_family(head) or "not a WAV file"
        raise AudioError(
            f"{name}: {family}; a pipe carries WAV, or raw samples (--raw {RAW_FORMATS[0]} --rate HZ): convert it, "
            "ffmpeg -i IN -f wav -, or give the name of a file"
        )
    form: tuple[str, int, int] | None = None
    while True:
        chunk = stream.read(8)
        if len(chunk) < 8:
            raise AudioError(f"{name}: cut short: the WAV header has no data chunk")
        kind, size = struct.unpack("<4sI", chunk)
        if kind == b"data":
            if form is None:
                raise AudioError(f"{name}: a WAV file without a format before its data")
            return *form, None if size in UNKNOWN_LENGTH or head[:4] == b"RF64" else size
        content = stream.read(size + (size & 1))
        if kind == b"fmt " and len(content) >= 16:
            form = _wav_format(content, name)


def _wav_format(content: bytes, name: str) -> tuple[str, int, int]:
    tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", content[:16])
    if tag == _EXTENSIBLE and len(content) >= 26:
        tag = struct.unpack("<H", content[24:26])[0]
    if (tag, bits) not in _WAV or not rate or not channels:
        raise AudioError(
            f"{name}: WAV of format {tag} with {bits} bits, {channels} channels at {rate} Hz; a pipe carries PCM of 8, "
            "16, 24 or 32 bits or float of 32 or 64: convert it, or give the name of a file"
        )
    return _WAV[tag, bits], rate, channels


def _floats(content: bytes, encoding: str, channels: int) -> NDArray[np.float32]:
    """[T, C] in [-1, 1]."""
    if encoding == "u8":
        values = (np.frombuffer(content, "u1").astype(np.float32) - 128) / 128
    elif encoding == "s24le":
        parts = np.frombuffer(content, "u1").reshape(-1, 3).astype(np.int32)
        values = ((parts[:, 0] << 8 | parts[:, 1] << 16 | parts[:, 2] << 24) / np.float64(1 << 31)).astype(np.float32)
    elif encoding in ("s16le", "s32le"):
        bits = int(encoding[1:3])
        whole = np.frombuffer(content, f"<i{bits // 8}")
        values = (whole / np.float64(1 << (bits - 1))).astype(np.float32)
    else:
        values = np.frombuffer(content, f"<f{_BYTES[encoding]}").astype(np.float32)
    return np.ascontiguousarray(values.reshape(-1, channels))
