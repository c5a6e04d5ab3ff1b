"""Amortization: the frames on which the depth decoder trains in one epoch.

Owns the draw, which depends on (seed, epoch, item) and on nothing else: not on the batch, the worker or the process.
Knows nothing of models. From the CSM write-up of Sesame (2025): the depth decoder trains on one frame of 16, the
backbone on all.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def amortized_frames(ratio: int, seed: int, epoch: int, item: int | str, labels: Tensor) -> Tensor:
    """Draw one of `ratio` trained frames of an item, anew in every epoch.

    Args:
        ratio: 1 takes all; else ceil(n / ratio) of the n frames whose slots above 0 are trained.
        item: what the item is called in its data set (its number, or a name).
        labels: [F, S], -100 where untrained.
    Returns:
        [F] bool; the stop frame is drawn like any other.
    Raises:
        ValueError: a ratio below 1, labels of another shape.
    """
    if ratio < 1:
        raise ValueError(f"amortization ratio {ratio} is below 1; 1 trains every frame, 16 one of 16")
    if labels.ndim != 2:
        raise ValueError(f"labels are {list(labels.shape)}, expected [F, S]: draw item by item, then stack the rows")
    trained = (labels[:, 1:] != -100).any(-1)
    if ratio == 1:
        return trained
    digest = hashlib.blake2b(f"{seed}/{epoch}/{item}".encode(), digest_size=7).digest()
    return draw_frames(trained, ratio, torch.Generator().manual_seed(int.from_bytes(digest)))


def draw_frames(trained: Tensor, ratio: int, generator: torch.Generator | None = None) -> Tensor:
    """ceil(n / ratio) of the n frames that are True, drawn without replacement; any shape, the same shape back."""
    places = trained.flatten().nonzero().flatten().cpu()
    order = torch.randperm(len(places), generator=generator)
    kept = places[order[: -(-len(places) // ratio)]].to(trained.device)
    drawn = torch.zeros_like(trained).flatten()
    drawn[kept] = True
    return drawn.view(trained.shape)
