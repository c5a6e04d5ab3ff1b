"""Short frames of a recording and how strong each is: what voice activity and the noise estimate look at.

Owns the framing and the two powers a frame; memory is bounded by a block of frames, not by the recording. Decides
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["HOP_SECONDS", "LOWEST_RATE", "Frames", "measure_frames"]

WINDOW_SECONDS = 0.032
HOP_SECONDS = 0.01
BAND_HERTZ = (200.0, 8000.0)
"""Voices and their sibilants lie here; hum and rumble below."""

RUMBLE_HERTZ = 60.0
"""What lies below (an offset, wind, steps) is neither voice nor the noise that one hears."""

LOWEST_RATE = 4000
"""Hz; below this the band of voices is not there."""

FAINTEST = 1e-16
"""Added to a power before its logarithm: -160 dB of full scale."""

_BLOCK = 1024


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Frame i has its middle at sample i * hop."""

    rate: int
    hop: int
    """Samples from a frame to the next."""

    window: int
    """Samples that a frame looks at."""

    level: NDArray[np.float64]
    """[N] dB of full scale in the band of voices."""

    power: NDArray[np.float64]
    """[N] mean square of everything above `RUMBLE_HERTZ`."""

    def __len__(self) -> int:
        return len(self.level)


def measure_frames(samples: NDArray[np.float32], rate: int) -> Frames:
    """Powers of the frames of a recording.

    Args:
        samples: [T] float32 in [-1, 1]; N = T // hop + 1 frames.
        rate: Hz.
    Raises:
        ValueError: a rate below `LOWEST_RATE`, or samples that are not one channel.
    """
    if rate < LOWEST_RATE:
        raise ValueError(f"the rate is {rate} Hz; voice activity needs {LOWEST_RATE} Hz or more")
    if samples.ndim != 1:
        raise ValueError(f"samples have shape {samples.shape}; one channel [T] is expected")
    hop, window = round(HOP_SECONDS * rate), round(WINDOW_SECONDS * rate)
    shape = np.hanning(window + 1)[:-1]  # periodic: an offset stays in the two lowest bins
    hertz = np.fft.rfftfreq(window, 1 / rate)
    band = (hertz >= BAND_HERTZ[0]) & (hertz <= BAND_HERTZ[1])
    heard = hertz >= RUMBLE_HERTZ
    # Parseval for a windowed frame, one-sided: the sum over the bins is the mean square of the samples.
    scale = 2 / (window * float((shape**2).sum()))
    count = len(samples) // hop + 1
    level, power = np.empty(count), np.empty(count)
    for first in range(0, count, _BLOCK):
        last = min(first + _BLOCK, count)
        start, stop = first * hop - window // 2, (last - 1) * hop - window // 2 + window
        held = np.zeros(stop - start)
        inside = slice(max(start, 0), min(stop, len(samples)))
        held[inside.start - start : inside.stop - start] = samples[inside]
        bins = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(held, window)[::hop] * shape)
        square = bins.real**2 + bins.imag**2
        level[first:last] = 10 * np.log10(square[:, band].sum(1) * scale + FAINTEST)
        power[first:last] = square[:, heard].sum(1) * scale
    return Frames(rate=rate, hop=hop, window=window, level=level, power=power)
