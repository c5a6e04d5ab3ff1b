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

_FEW = 128
"""Ids that are sorted first: most draws fall among them, and sorting thousands takes longer than a small layer."""

_TIE = 1e-12
"""Far below the rounding of a score."""


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
    scores = (logits.float() / sampling.temperature).double()
    size = scores.shape[-1]
    # Equal scores stand in the order of their columns, whichever way the rows are sorted.
    scores = scores - _TIE * torch.arange(size, device=scores.device)
    k = min(sampling.top_k or size, size)
    if k < size:
        top, columns = scores.topk(k, dim=-1)
        return columns.gather(-1, _place(top.softmax(-1), sampling, uniform)[0])[:, 0]
    probabilities = scores.softmax(-1)
    most, columns = probabilities.topk(min(_FEW, size), dim=-1)
    place, is_sure = _place(most, sampling, uniform)
    chosen = columns.gather(-1, place)[:, 0]
    if size > _FEW and not bool(is_sure.all()):  # few draws go beyond them
        rows = (~is_sure).nonzero()[:, 0]
        most, columns = probabilities[rows].topk(size, dim=-1)
        chosen[rows] = columns.gather(-1, _place(most, sampling, uniform.to(rows.device)[rows])[0])[:, 0]
    return chosen


def _place(probabilities: Tensor, sampling: Sampling, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Where draws fall in the highest probabilities.

    Args:
        probabilities: [N, n], falling; the rest of each row's 1 is what was left out.
    Returns:
        [N, 1] int64 places, and [N] bool: what was left out makes no difference.
    """
    kept = probabilities
    if sampling.top_p < 1.0:
        before = probabilities.cumsum(-1) - probabilities
        kept = kept.masked_fill(before >= sampling.top_p, 0.0)
    if sampling.min_p > 0.0:
        kept = kept.masked_fill(probabilities < sampling.min_p * probabilities[:, :1], 0.0)
    mass = kept.cumsum(-1)
    uniform = uniform.to(mass.device)[:, None]
    is_filtered = sampling.top_p < 1.0 or sampling.min_p > 0.0
    draw = uniform * mass[:, -1:] if is_filtered else uniform
    place = torch.searchsorted(mass, draw, right=True)
    is_sure = kept[:, -1] == 0 if is_filtered else draw[:, 0] < mass[:, -1]
    # A draw in the last rounding error of the mass must not fall on an id that was filtered out.
    last = (kept > 0).sum(-1, keepdim=True) - 1
    return torch.minimum(place, last), is_sure
