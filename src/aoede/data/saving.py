"""Sound files out: wav, flac, ogg, mp3, opus, whole or block by block, and files that appear only when complete.

Owns the choice of format by suffix, the sample rates that MP3 and Opus allow, and the atomic write and the checksum
used by every file of this room. Knows nothing of codes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile  # type: ignore[import-untyped]
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from .audio import AudioError, channel_words

FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".oga": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".opus": ("OGG", "OPUS"),
}
"""libsndfile's container and encoding for each suffix that can be written."""

ALLOWED_RATES = {
    "OPUS": (8000, 12000, 16000, 24000, 48000),
    "MPEG_LAYER_III": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
}
"""Sample rates of the encodings that do not take any rate."""

_PIECE = 65_536
"""Samples handed to libsndfile at once; its Vorbis encoder keeps a whole call on the stack."""


def written_rate(path: str | os.PathLike[str], sample_rate: int) -> int:
    """The rate a file of this suffix gets: the same, or the next one that MP3 or Opus allows.

    Raises:
        AudioError: the suffix is none that can be written.
    """
    rates = ALLOWED_RATES.get(_format(path)[1])
    if rates is None or sample_rate in rates:
        return sample_rate
    return min((rate for rate in rates if rate >= sample_rate), default=rates[-1])


def check_target(path: str | os.PathLike[str]) -> Path:
    """Raises ValueError unless a file could stand at `path`: its folder exists, and it is not itself a folder."""
    target = Path(path)
    if not target.parent.is_dir():
        raise ValueError(f"{target}: the folder {target.parent} does not exist; make it first")
    if target.is_dir():
        raise ValueError(f"{target}: a folder; give the name of a file in it")
    return target


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`; when the block ends well it becomes `path`, otherwise it is removed.

    Raises:
        ValueError: see `check_target`.
    """
    target = check_target(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], values: Mapping[str, Any]) -> None:
    """Write JSON that a person can read, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, in hex."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class AudioWriter:
    """Takes the blocks of a sound file that `audio_writer` has opened.

    `sample_rate` is that of the file, which MP3 and Opus may need to differ from `rate`, that of the blocks: they are
    resampled on the way. `num_samples` counts what came in, at `rate`.
    """

    def __init__(self, name: str, file: soundfile.SoundFile, rate: int) -> None:
        self.name = name
        self.sample_rate: int = file.samplerate
        self.num_samples = 0
        self._file = file
        self._resample = None
        if self.sample_rate != rate:
            self._resample = soxr.ResampleStream(rate, self.sample_rate, file.channels, dtype="float32")

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append [T] or [C, T] float32. Samples beyond [-1, 1] come out at full scale.

        Raises:
            AudioError: samples that are not finite.
        """
        block = np.asarray(samples, dtype=np.float32)
        block = block[:, None] if block.ndim == 1 else block.T
        if block.ndim != 2 or block.shape[1] != self._file.channels:
            raise ValueError(f"samples have shape {np.shape(samples)}; expected [T] or [{self._file.channels}, T]")
        if not np.isfinite(block).all():
            raise AudioError(f"{self.name}: not written: the samples hold NaN or infinite values")
        self.num_samples += len(block)
        self._put(block if self._resample is None else self._resample.resample_chunk(np.ascontiguousarray(block)))

    def finish(self) -> None:
        """Write what the resampler still holds; a file without samples is an AudioError."""
        if self.num_samples == 0:
            raise AudioError(f"{self.name}: nothing to write: no samples")
        if self._resample is not None:
            rest = np.zeros((0, self._file.channels), dtype=np.float32)
            self._put(self._resample.resample_chunk(rest, last=True))

    def _put(self, block: NDArray[np.float32]) -> None:
        for start in range(0, len(block), _PIECE):
            self._file.write(block[start : start + _PIECE])


@contextmanager
def audio_writer(path: str | os.PathLike[str], rate: int, *, channels: int = 1) -> Iterator[AudioWriter]:
    """Open a sound file for writing block by block; it appears under its name when the block ends without an error.

    Args:
        path: its suffix chooses the format (wav, flac, ogg, mp3, opus).
        rate: rate of the blocks in Hz; MP3 and Opus files get the next rate those formats allow.
    Raises:
        AudioError: unknown suffix, a rate or channel count the format refuses, samples not finite, none at all.
    """
    if rate <= 0:
        raise ValueError(f"rate is {rate}; a rate in Hz is above 0")
    container, encoding = _format(path)
    sample_rate = written_rate(path, rate)
    with replacing(path) as temporary:
        try:
            file = soundfile.SoundFile(temporary, "w", sample_rate, channels, format=container, subtype=encoding)
        except soundfile.LibsndfileError as error:
            sound = f"{container} {encoding} of {channel_words(channels)} at {sample_rate} Hz"
            raise AudioError(f"{os.fspath(path)}: cannot be written as {sound}: {error.error_string}") from None
        with file:
            writer = AudioWriter(os.fspath(path), file, rate)
            yield writer
            writer.finish()


def save_audio(path: str | os.PathLike[str], samples: NDArray[np.float32], rate: int) -> int:
    """Write a whole sound file in the format of its suffix (wav, flac, ogg, mp3, opus), atomically.

    Args:
        samples: [T] or [C, T] float32 in [-1, 1]; beyond it they come out at full scale.
        rate: their rate in Hz; MP3 and Opus files get the next rate those formats allow.
    Returns:
        the rate of the file.
    Raises:
        AudioError: unknown suffix, no samples, samples that are not finite.
    """
    block = np.asarray(samples, dtype=np.float32)
    with audio_writer(path, rate, channels=1 if block.ndim == 1 else block.shape[0]) as writer:
        writer.write(block)
    return writer.sample_rate


def _format(path: str | os.PathLike[str]) -> tuple[str, str]:
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise AudioError(f"{os.fspath(path)}: cannot write '{suffix}'; the suffix is one of {', '.join(FORMATS)}")
    return FORMATS[suffix]
