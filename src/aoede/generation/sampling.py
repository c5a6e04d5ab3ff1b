"""Sampling: one id a row, each row from its own generator.

Owns where the random numbers come from: one number a draw and row, so a row's choices depend on its seed and its
scores and not on its partners. The filters and the choice are `models/sampling.py`'s. Knows nothing of slots or models.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from aoede.models.sampling import Sampling, choose


def draw(logits: Tensor, sampling: Sampling, generators: Sequence[torch.Generator]) -> Tensor:
    """One column a row.

    Args:
        logits: [N, R] scores; -inf is never drawn.
        sampling: the filters.
        generators: one a row, on the CPU whatever the device of the scores; each gives exactly one number
            (none when greedy).
    Returns:
        [N] int64 columns of `logits`, on its device.
    """
    if sampling.temperature == 0.0:
        return choose(logits, sampling, None)
    return choose(logits, sampling, torch.cat([number(generator) for generator in generators]))


def number(generator: torch.Generator) -> Tensor:
    """[1] float64: the number that a row's next id is drawn with."""
    return torch.rand(1, generator=generator, dtype=torch.float64)
