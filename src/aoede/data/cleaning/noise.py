"""How far a voice stands above the noise behind it, estimated from the recording alone.

Owns the estimate: the power in the pauses is the noise, the power in the voice is voice and noise. It needs pauses;
without them it says so rather than guess. Noise that comes and goes with the voice (echo, a noise gate) is not seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .frames import HOP_SECONDS, Frames
from .voice import Span

__all__ = ["CLEANEST", "NOISIEST", "noise_power", "signal_to_noise"]

GUARD_SECONDS = 0.05
"""This much of a pause, next to a voice, still holds its echo and the frames that reach into it."""

PAUSE_SECONDS = 0.1
"""Noise is measured where at least this much of it is bare."""

CLEANEST, NOISIEST = 100.0, -20.0
"""dB: estimates are kept in here; silence in digital zeros would be infinitely clean."""


def noise_power(frames: Frames, spans: Sequence[Span], num_samples: int, within: Span | None = None) -> float | None:
    """Mean square of what is heard in the pauses, or None where there is too little of them.

    Args:
        frames: of the whole recording of `num_samples`.
        spans: voice, in samples.
        within: only the pauses of this part count.
    """
    start, stop = within or (0, num_samples)
    bare = np.ones(len(frames), dtype=bool)
    guard = round(GUARD_SECONDS / HOP_SECONDS)
    for first, last in spans:
        bare[max(first // frames.hop - guard, 0) : last // frames.hop + 1 + guard] = False
    # Frames that reach over the ends of the recording hold silence that nobody recorded.
    edge = frames.window // 2
    middles = np.arange(len(frames)) * frames.hop
    bare &= (middles >= max(start, edge)) & (middles < min(stop, num_samples - edge))
    if bare.sum() * HOP_SECONDS < PAUSE_SECONDS:
        return None
    return float(frames.power[bare].mean())


def signal_to_noise(frames: Frames, spans: Sequence[Span], noise: float, within: Span) -> float | None:
    """Estimated signal-to-noise ratio in dB of a part of the recording, or None where it holds no voice.

    Args:
        noise: from `noise_power`.
        within: samples.
    """
    start, stop = within
    voiced = np.zeros(len(frames), dtype=bool)
    for first, last in spans:
        if last > start and first < stop:
            voiced[-(-max(first, start) // frames.hop) : (min(last, stop) - 1) // frames.hop + 1] = True
    if not voiced.any():
        return None
    both = float(frames.power[voiced].mean())
    voice = both - noise
    if voice <= 0:
        return NOISIEST
    if noise <= 0:
        return CLEANEST
    return float(np.clip(10 * np.log10(voice / noise), NOISIEST, CLEANEST))
