"""A stretch from the middle of a sound file: only that stretch is read and decoded.

Owns seeking and resampling a stretch so that it lines up with the same samples of the whole file. Knows nothing of what
the stretch is for; whole files are `audio.py`'s business.
"""

from __future__ import annotations

import math
import os

import numpy as np
import soundfile  # type: ignore[import-untyped]
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from .audio import AudioError

MARGIN = 1024
"""Samples read on either side where a file is resampled: more than the filter reaches."""


def load_span(path: str | os.PathLike[str], start: int, length: int, sample_rate: int) -> NDArray[np.float32]:
    """Samples `start .. start + length` of a sound file, counted at `sample_rate`; mono.

    WAV and FLAC seek at once; OGG and MP3 too, if more slowly. Where the file has another rate, the stretch equals that
    part of `load_audio(path, sample_rate)` within rounding (1e-5).

    Returns:
        float32 [T], T = length, or less where the file ends.
    Raises:
        AudioError: the file cannot be opened, or not be read there, or holds NaN or infinity there.
    """
    name = os.fspath(path)
    if start < 0 or length < 1:
        raise ValueError(f"start={start}, length={length}: a stretch begins at 0 or later and holds a sample at least")
    try:
        with soundfile.SoundFile(name) as file:
            samples = _span(file, start, length, sample_rate)
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"{name}: samples {start:,} to {start + length:,} (at {sample_rate} Hz) cannot be read: "
            f"{error.error_string.strip()} Look at the file with aoede codec info, repair it or leave it out"
        ) from error
    if not np.isfinite(samples).all():
        raise AudioError(f"{name}: NaN or infinite samples near {start / sample_rate:.3f} s; repair it or leave it out")
    return samples


def _span(file: soundfile.SoundFile, start: int, length: int, sample_rate: int) -> NDArray[np.float32]:
    rate = file.samplerate
    # Both rates tick together once in `step` of our samples: only there may a stretch be cut for its samples to fall
    # where those of the whole file fall.
    common = math.gcd(rate, sample_rate)
    step, native_step = sample_rate // common, rate // common
    margin = 0 if rate == sample_rate else MARGIN
    first = max(0, (start - margin) // step)
    last = -(-(start + length + margin) // step)
    begin = first * native_step
    if begin >= file.frames:
        return np.zeros(0, dtype=np.float32)
    file.seek(begin)
    block = file.read(min(last * native_step, file.frames) - begin, dtype="float32", always_2d=True)
    mono = np.ascontiguousarray(block.mean(axis=1), dtype=np.float32)
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate)
    return np.asarray(mono[start - first * step :][:length], dtype=np.float32)
