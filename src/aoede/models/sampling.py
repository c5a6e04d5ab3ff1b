"""Sampling: from scores of the legal ids to one id a row.

Owns temperature, top-k, top-p and min-p, and the choice itself given one uniform number a row. Knows nothing of slots,
models or where the numbers come from: `generation/sampling.py` draws them from a generator of each row.
This file travels inside saved model folders: torch alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How ids are drawn. The filters apply in the order temperature, top_k, top_p, min_p."""

    temperature: float = 0.8
    """Divides the scores; 0 takes the highest score (greedy, no randomness)."""

    top_p: float = 1.0
    """Keep the most likely ids whose probabilities reach this sum; 1 keeps all."""

    top_k: int | None = None
    """Keep this many of the most likely ids; None keeps all."""

    min_p: float = 0.0
    """Drop ids less likely than this share of the most likely one; 0 drops none."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature <= 10.0:
            raise ValueError(f"temperature {self.temperature} is outside 0 .. 10 (0 is greedy, 0.6 to 1 is usual)")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p {self.top_p} is outside (0, 1] (1 keeps all)")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k {self.top_k} is below 1; leave it out to keep all")
        if not 0.0 <= self.min_p < 1.0:
            raise ValueError(f"min_p {self.min_p} is outside [0, 1) (0 drops none)")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Sampling:
        """Inverse of `to_dict`; missing keys take their defaults, an unknown one is a ValueError that names it."""
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(data) - set(known))
        if unknown:
            raise ValueError(f"unknown sampling setting {', '.join(unknown)}; known: {', '.join(known)}")
        return cls(**dict(data))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    def override(self, **changes: float | int | None) -> Sampling:
        """A copy with the given values; None leaves a value as it is."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


def choose(logits: Tensor, sampling: Sampling, uniform: Tensor | None) -> Tensor:
    """One column a row.

    Args:
        logits: [N, R] scores; -inf is never chosen.
        sampling: the filters.
        uniform: [N] float64 numbers of [0, 1), on any device; not read when greedy.
    Returns:
        [N] int64 columns of `logits`, on its device.
    """
    if sampling.temperature == 0.0:
        return logits.argmax(-1)
    assert uniform is not None
    scores = logits.float() / sampling.temperature
    k = min(sampling.top_k or scores.shape[-1], scores.shape[-1])
    # Sorted by score, so that the filters are prefixes and equal draws pick equal ids.
    top, columns = scores.topk(k, dim=-1)
    probabilities = top.double().softmax(-1)
    if sampling.top_p < 1.0:
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities.masked_fill(before >= sampling.top_p, 0.0)
    if sampling.min_p > 0.0:
        probabilities = probabilities.masked_fill(probabilities < sampling.min_p * probabilities[:, :1], 0.0)
    mass = probabilities.cumsum(-1)
    place = torch.searchsorted(mass, uniform.to(mass.device)[:, None] * mass[:, -1:], right=True)
    # A draw in the last rounding error of the mass must not fall on an id that was filtered out.
    last = (probabilities > 0).sum(-1, keepdim=True) - 1
    return columns.gather(-1, torch.minimum(place, last))[:, 0]
