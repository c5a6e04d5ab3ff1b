"""Clipping: samples cut off at a level that the recording never passes.

Owns what counts as clipped. Full scale is the usual level, but a clipped recording that was made quieter later is still
flat at its own peak. How much of it is too much is the configuration's business.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..audio import FULL_SCALE

__all__ = ["clipped_samples"]

NEAR_PEAK = 0.99
"""A flat top lies at this share of the recording's peak or above ..."""

FLAT = 1e-5
"""... and its samples differ by no more than this share of the peak, ..."""

QUIETEST_PEAK = 0.05
"""... in a recording that reaches this: below it, 16 bits make every top look flat."""


def clipped_samples(samples: NDArray[np.float32]) -> NDArray[np.int64]:
    """Places of the clipped samples, rising.

    A sample is clipped when it continues a run of two or more at full scale, as in `AudioInfo.num_clipped`, or a run of
    two or more equal ones at the recording's own peak: a wave that merely touches its peak does neither.

    Args:
        samples: [T] at the recording's own rate; resampling rounds flat tops.
    """
    if len(samples) < 3:
        return np.zeros(0, dtype=np.int64)
    peak = float(np.abs(samples).max())
    if peak < QUIETEST_PEAK:
        return np.zeros(0, dtype=np.int64)
    # Only the few samples near the peak are looked at closely, so that an hour of sound needs no copies of itself.
    near = np.flatnonzero(np.abs(samples) >= NEAR_PEAK * min(peak, FULL_SCALE))
    values = samples[near]
    follows = np.diff(near, prepend=-2) == 1
    full = np.abs(values) >= FULL_SCALE
    same = np.abs(np.diff(values, prepend=0)) <= FLAT * peak
    # Continues a flat: the sample before is its neighbour and as high, at full scale on the same side or equal.
    sides = np.concatenate(([0.0], np.sign(values[:-1]))) == np.sign(values)
    flat = follows & sides & (same | (full & np.concatenate(([False], full[:-1]))))
    return np.asarray(near[flat & np.concatenate(([False], flat[:-1]))], dtype=np.int64)
