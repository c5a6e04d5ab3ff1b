"""Loudness of speech as ears weigh it: integrated loudness in LUFS (ITU-R BS.1770-4).

Owns the weighting filter, for any rate, and the gated mean over one channel. Memory is bounded by a block. What level
is wanted is `recording.py`'s business.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["integrated_loudness", "k_weighting"]

OFFSET = -0.691
"""dB, from the standard: a sine of 997 Hz at full scale in one channel reads -3.01."""

ABSOLUTE_GATE = -70.0
RELATIVE_GATE = -10.0
HOPS_PER_BLOCK = 4
"""Blocks of 400 ms, every 100 ms."""

_RING_SECONDS = 0.25
"""The filter's answer to a click has died away by 250 dB after this."""

_PIECE_HOPS = 100
"""Hops that are weighted at once."""


def integrated_loudness(samples: NDArray[np.float32], rate: int) -> float | None:
    """Integrated loudness of one channel.

    Args:
        samples: [T] in [-1, 1]. Shorter than the standard's block of 400 ms, it is measured as one block.
        rate: Hz.
    Returns:
        LUFS, or None where every block lies below the gate of -70 LUFS.
    """
    if not len(samples):
        return None
    hops = _hop_powers(samples, rate)
    if len(hops) < HOPS_PER_BLOCK:
        blocks = np.array([hops.mean()])
    else:
        blocks = np.lib.stride_tricks.sliding_window_view(hops, HOPS_PER_BLOCK).mean(1)
    loud = blocks[_lufs(blocks) > ABSOLUTE_GATE]
    if not len(loud):
        return None
    gated = loud[_lufs(loud) > float(_lufs(loud.mean())) + RELATIVE_GATE]
    return float(_lufs(gated.mean()))


def k_weighting(rate: int) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """The two second-order sections at any rate: (b, a) of the shelf that stands for the head, (b, a) of the high-pass.

    The standard prints coefficients for 48 kHz only; these are the bilinear transforms of the analogue filters behind
    them, and equal the printed ones there (a test holds that).
    """
    tangent, quality = float(np.tan(np.pi * 1681.974450955533 / rate)), 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    middle = high**0.4996667741545416
    first = 1 + tangent / quality + tangent**2
    shelf_b = (
        (high + middle * tangent / quality + tangent**2) / first,
        2 * (tangent**2 - high) / first,
        (high - middle * tangent / quality + tangent**2) / first,
    )
    shelf_a = (1.0, 2 * (tangent**2 - 1) / first, (1 - tangent / quality + tangent**2) / first)
    tangent, quality = float(np.tan(np.pi * 38.13547087602444 / rate)), 0.5003270373238773
    first = 1 + tangent / quality + tangent**2
    pass_a = (1.0, 2 * (tangent**2 - 1) / first, (1 - tangent / quality + tangent**2) / first)
    return shelf_b, shelf_a, (1.0, -2.0, 1.0), pass_a


@lru_cache(maxsize=8)
def _ring(rate: int) -> NDArray[np.float64]:
    """The weighting's answer to a click: [taps]. Applying it by FFT needs no recursive filter."""
    taps = round(_RING_SECONDS * rate)
    size = 1 << (4 * taps - 1).bit_length()
    turn = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    shelf_b, shelf_a, pass_b, pass_a = k_weighting(rate)

    def value(c: tuple[float, ...]) -> NDArray[np.complex128]:
        return np.asarray(c[0] + c[1] * turn + c[2] * turn**2)

    answer = value(shelf_b) * value(pass_b) / (value(shelf_a) * value(pass_a))
    return np.asarray(np.fft.irfft(answer, size)[:taps])


def _hop_powers(samples: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Mean square of the weighted samples in every 100 ms; a rest shorter than that counts only if it is all."""
    ring, hop = _ring(rate), rate / 10
    edges = np.round(np.arange(int(len(samples) / hop) + 1) * hop).astype(int)
    if len(edges) == 1:
        edges = np.array([0, len(samples)])
    size = 1 << (min(round(_PIECE_HOPS * hop), len(samples)) + len(ring)).bit_length()
    answer, tail = np.fft.rfft(ring, size), np.zeros(len(ring) - 1)
    sums = np.empty(len(edges) - 1)
    for first in range(0, len(sums), _PIECE_HOPS):
        borders = edges[first : first + _PIECE_HOPS + 1]
        part = samples[borders[0] : borders[-1]]
        weighted = np.fft.irfft(np.fft.rfft(part, size) * answer, size)
        weighted[: len(tail)] += tail
        tail = weighted[len(part) : len(part) + len(tail)].copy()
        square = weighted[: len(part)] ** 2
        sums[first : first + len(borders) - 1] = np.add.reduceat(square, borders[:-1] - borders[0])
    return np.asarray(sums / np.diff(edges))


def _lufs(power: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(OFFSET + 10 * np.log10(np.maximum(power, 1e-30)))
