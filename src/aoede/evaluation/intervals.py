"""Means, ratios and differences over utterances, with a bootstrap interval beside each.

Owns the arithmetic of "how sure are we": a corpus figure from per-utterance numbers, a 95 % percentile interval
from resampled utterances, the paired difference of two systems. Knows nothing of words or audio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Interval", "difference", "mean", "ratio"]

RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure over a set of utterances."""

    value: float
    low: float
    """2.5 % point of the bootstrap."""
    high: float
    """97.5 % point of the bootstrap."""
    count: int
    """Utterances it was computed from."""


def ratio(numerators: Sequence[float], denominators: Sequence[float], seed: int = 0) -> Interval:
    """sum(numerators) / sum(denominators), as word errors over words; utterances are resampled whole.

    Raises:
        ValueError: no utterances, lists of different length, or denominators that sum to 0.
    """
    top, bottom = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    if len(top) != len(bottom) or not len(top):
        raise ValueError(f"{len(top)} numerators and {len(bottom)} denominators; both lists need one item an utterance")
    if bottom.sum() <= 0:
        raise ValueError("the denominators sum to 0 (no words in the references); a ratio needs something to divide by")
    picks = _picks(len(top), seed)
    sums = bottom[picks].sum(1)
    drawn = top[picks].sum(1)[sums > 0] / sums[sums > 0]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(value=float(top.sum() / bottom.sum()), low=float(low), high=float(high), count=len(top))


def mean(values: Sequence[float], seed: int = 0) -> Interval:
    """The mean of one number an utterance."""
    return ratio(values, [1.0] * len(values), seed)


def difference(
    numerators: Sequence[float],
    baseline: Sequence[float],
    denominators: Sequence[float],
    seed: int = 0,
    *,
    baseline_denominators: Sequence[float] | None = None,
) -> Interval:
    """How much higher a ratio is than the baseline's on the same utterances (paired: the same resamples for both).

    Args:
        baseline_denominators: where they are others than `denominators`, as the lengths of two voices' speech are.
    Raises:
        ValueError: lists of different length, or denominators that sum to 0.
    """
    if len(numerators) != len(baseline):
        raise ValueError(
            f"{len(numerators)} utterances against {len(baseline)}; a paired difference needs the same ones"
        )
    if baseline_denominators is None or list(baseline_denominators) == list(denominators):
        return ratio([a - b for a, b in zip(numerators, baseline, strict=True)], denominators, seed)
    ours, theirs = ratio(numerators, denominators, seed), ratio(baseline, baseline_denominators, seed)
    picks = _picks(len(numerators), seed)
    tops, bottoms, others, unders = (
        np.asarray(values, dtype=np.float64)[picks].sum(1)
        for values in (numerators, denominators, baseline, baseline_denominators)
    )
    whole = (bottoms > 0) & (unders > 0)
    low, high = np.quantile(tops[whole] / bottoms[whole] - others[whole] / unders[whole], (0.025, 0.975))
    return Interval(value=ours.value - theirs.value, low=float(low), high=float(high), count=len(numerators))


def _picks(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, count, size=(RESAMPLES, count))
