"""Pictures of sound: a spectrogram as PNG, without a plotting library.

Owns how sound is drawn. Knows nothing of what it means or where it is shown.
"""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["loudest_decibels", "spectrogram_png"]

WINDOW_SECONDS = 0.032
RANGE_DECIBELS = 80.0
QUIETEST_TOP = -115.0
"""dB of full scale: audio that never gets louder is drawn dark, not raised."""
FAINTEST_DECIBELS = -200.0
ANCHORS = np.array([(13, 8, 40), (84, 15, 109), (187, 55, 84), (249, 142, 9), (252, 255, 164)], dtype=np.float64)
"""Colours from silent to loud, evenly spaced (dark violet, red, orange, pale yellow)."""


def spectrogram_png(
    audio: NDArray[np.float32],
    sample_rate: int,
    width: int = 480,
    height: int = 128,
    *,
    top_hertz: float | None = None,
    loudest: float | None = None,
) -> bytes:
    """A PNG of log magnitudes: time to the right, 0 Hz to `top_hertz` upwards, 80 dB from the loudest.

    Args:
        audio: [T]; may be empty, which is drawn as silence.
        top_hertz: upper edge; None is half the sample rate, and what lies above that is drawn as silence.
        loudest: level in dB that gets the brightest colour, so that pictures compare (see `loudest_decibels`).
    """
    levels = _decibels(audio, sample_rate, width)
    bins = levels.shape[1]
    rows = np.linspace(0, bins * (top_hertz or sample_rate / 2) / (sample_rate / 2), height + 1).astype(int)
    silence = np.full(width, FAINTEST_DECIBELS)
    bands = [levels[:, a : max(b, a + 1)].max(1) if a < bins else silence for a, b in pairwise(rows)]
    picture = np.stack(bands)[::-1]
    brightest = max(float(picture.max()), QUIETEST_TOP) if loudest is None else loudest
    return _png(_coloured(np.clip((picture - brightest) / RANGE_DECIBELS + 1, 0, 1)))


def loudest_decibels(audio: NDArray[np.float32], sample_rate: int) -> float:
    """The brightest level of a spectrogram of this audio, for the `loudest` of the pictures beside it."""
    return max(float(_decibels(audio, sample_rate, 480).max()), QUIETEST_TOP)


def _decibels(audio: NDArray[np.float32], sample_rate: int, width: int) -> NDArray[np.float64]:
    """[width, bins]; a tone at full scale has the same level at every sample rate."""
    window = 1 << int(np.ceil(np.log2(max(sample_rate * WINDOW_SECONDS, 16))))
    padded = np.pad(audio.astype(np.float64), (window // 2, window // 2))
    starts = np.linspace(0, len(padded) - window, width).astype(int)
    shape = np.hanning(window)
    frames = np.stack([padded[start : start + window] for start in starts]) * (shape / shape.sum())
    return 20 * np.log10(np.abs(np.fft.rfft(frames))[:, :-1] + 1e-10)


def _coloured(share: NDArray[np.float64]) -> NDArray[np.uint8]:
    """[H, W] in 0..1 to [H, W, 3]."""
    place = share * (len(ANCHORS) - 1)
    low = np.minimum(place.astype(int), len(ANCHORS) - 2)
    part = (place - low)[..., None]
    return np.asarray(ANCHORS[low] * (1 - part) + ANCHORS[low + 1] * part, dtype=np.uint8)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """[H, W, 3] as PNG (8-bit RGB, no filter)."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
        + chunk(b"IEND", b"")
    )
