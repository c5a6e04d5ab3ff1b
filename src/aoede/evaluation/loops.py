"""Loops in sound: the same words or noises again and again, found without a recogniser.

Owns the measure alone; where it is a fault is `faults.py`'s. Compares a stretch of an utterance with the stretch that
follows it, by the shape of their spectra, for every length of a stretch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["self_likeness"]

HOP_SECONDS, WINDOW_SECONDS = 0.02, 0.032
BANDS, CEPSTRA, HIGHEST_HERTZ = 26, 12, 7600.0
QUIET_DECIBELS = -30.0
"""Frames this far below the loud ones say nothing: every pause is like every other."""
SHORTEST, LONGEST = 0.24, 2.5
"""Seconds of a stretch that comes again."""
LEAST_SECONDS = 1.2
"""So much must be like what came a stretch before, and twice the stretch: that is three times the same."""
DRIFT = 2
"""Frames by which a repeated word may be early or late."""


def self_likeness(audio: NDArray[np.float32], sample_rate: int) -> float:
    """How much an utterance repeats itself: the highest mean cosine between a passage and what came a stretch before.

    Args:
        audio: [T] at `sample_rate`.
    Returns:
        0 to 1; 1 is an exact copy, three times the same. Speech of people stays below 0.6; 0 where less than a second
        and a half is heard.
    """
    shapes, levels = _shapes(audio, sample_rate)
    count = len(shapes)
    shortest, least = round(SHORTEST / HOP_SECONDS), round(LEAST_SECONDS / HOP_SECONDS)
    if count < shortest + least:
        return 0.0
    loud = levels > np.quantile(levels, 0.95) + QUIET_DECIBELS
    shapes = (shapes - shapes[loud].mean(0)) / (shapes[loud].std(0) + 1e-6)
    shapes /= np.linalg.norm(shapes, axis=1, keepdims=True) + 1e-9
    alike = shapes @ shapes.T
    highest = 0.0
    for lag in range(shortest, min(count // 2, round(LONGEST / HOP_SECONDS)) + 1):
        width = max(2 * lag, least)
        if width > count - lag:
            break
        near = np.stack([_diagonal(alike, lag + drift, count - lag) for drift in range(-DRIFT, DRIFT + 1)]).max(0)
        both = loud[: count - lag] & loud[lag:]
        heard = _sums(both.astype(np.float64), width)
        mean = _sums(np.where(both, near, 0.0), width) / np.maximum(heard, 1)
        highest = max(highest, float(np.where(heard > 0.6 * width, mean, 0.0).max()))
    return min(highest, 1.0)


def _shapes(audio: NDArray[np.float32], sample_rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cepstra [F, 12] and levels [F] in dB, a frame every 20 ms."""
    size, hop = round(sample_rate * WINDOW_SECONDS), round(sample_rate * HOP_SECONDS)
    if len(audio) < size:
        return np.zeros((0, CEPSTRA)), np.zeros(0)
    frames = np.lib.stride_tricks.sliding_window_view(audio.astype(np.float64), size)[::hop] * np.hanning(size)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    mels = np.linspace(0, 2595 * np.log10(1 + min(HIGHEST_HERTZ, sample_rate / 2) / 700), BANDS + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    bins = np.arange(size // 2 + 1) * sample_rate / size
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    bands = np.log(power @ np.clip(np.minimum(rise, fall), 0, None).T + 1e-8)
    cosines = np.cos(np.pi * np.arange(1, CEPSTRA + 1)[:, None] * (np.arange(BANDS) + 0.5) / BANDS)
    return bands @ cosines.T, 10 * np.log10(power.sum(1) + 1e-12)


def _diagonal(alike: NDArray[np.float64], lag: int, count: int) -> NDArray[np.float64]:
    found = np.diagonal(alike, lag)[:count]
    return np.pad(found, (0, count - len(found)))


def _sums(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Sums of every `width` neighbours."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(total[width:] - total[:-width])
