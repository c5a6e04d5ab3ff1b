"""Longer or shorter at the same pitch, and higher or lower at the same length.

Owns time stretching by waveform similarity (WSOLA: Verhelst and Roelands 1993, "An overlap-add technique based on
waveform similarity"), which keeps the periods of a voice whole. How much of it is wanted is `augment.py`'s business.
"""

from __future__ import annotations

import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

__all__ = ["shift_pitch", "stretch"]

WINDOW_SECONDS = 0.03
SEARCH_SECONDS = 0.0125
"""A piece may be taken from this much earlier or later: one period of an 80 Hz voice, to and fro."""


def stretch(samples: NDArray[np.float32], rate: int, factor: float) -> NDArray[np.float32]:
    """Speech that takes `factor` times as long, at the same pitch.

    Args:
        samples: [T] float32.
        factor: 0.5..2.
    Returns:
        [round(T * factor)] float32.
    Raises:
        ValueError: the factor lies outside.
    """
    if not 0.5 <= factor <= 2:
        raise ValueError(f"factor {factor:g}: stretching stays natural in 0.5..2 at most")
    count = round(len(samples) * factor)
    hop = max(round(WINDOW_SECONDS * rate / 2), 1)
    window, search = 2 * hop, round(SEARCH_SECONDS * rate)
    shape = np.hanning(window + 1)[:-1]  # periodic: two halves over each other sum to 1
    before = search + hop
    held = np.pad(samples.astype(np.float64), (before, 2 * window + search + hop))
    made = np.zeros(count + 2 * window)
    size = 1 << (window + 2 * search + window - 1).bit_length()
    place = before - hop
    for start in range(-hop, count, hop):
        ideal = before + round(start / factor)
        if start >= 0:
            # What naturally follows the last piece, looked for around where the next one should come from.
            wanted = held[place + hop : place + hop + window]
            region = held[ideal - search : ideal + search + window]
            match = np.fft.irfft(np.fft.rfft(region, size) * np.conj(np.fft.rfft(wanted, size)), size)
            energy = np.concatenate(([0.0], np.cumsum(region**2)))
            energy = energy[window:] - energy[: len(energy) - window]
            place = ideal - search + int(np.argmax(match[: len(energy)] / np.sqrt(energy + 1e-9)))
        made[start + hop : start + hop + window] += shape * held[place : place + window]
    return made[hop : hop + count].astype(np.float32)


def shift_pitch(samples: NDArray[np.float32], rate: int, semitones: float) -> NDArray[np.float32]:
    """Speech at the same length, `semitones` higher (formants too); [T] to [T] float32.

    Raises:
        ValueError: more than an octave.
    """
    ratio = 2 ** (semitones / 12)
    longer = stretch(samples, rate, ratio)
    shifted = np.asarray(soxr.resample(longer, rate * ratio, rate), dtype=np.float32)[: len(samples)]
    return np.pad(shifted, (0, len(samples) - len(shifted)))
