"""Gaussian noise drawn by counter: a sample depends on (seed, layer, absolute index) and on nothing else.

Owns the generator, so that a decoder cut anywhere hears the same noise (DESIGN.md, decision 3). Knows nothing of the
network: `layers.py` says which layer asks, `streaming.py` says at which index a chunk begins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

NoiseMode = Literal["seeded", "random", "off"]

_MASK = 0xFFFFFFFF


def philox(counter: Tensor, *, key: int, stream: int) -> Tensor:
    """Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").

    Args:
        counter: [N] int64, the low 64 bits of the counter.
        key: 64-bit key.
        stream: the high 64 bits of the counter.
    Returns:
        [N, 4] int64, each a 32-bit word.
    """
    c0, c1 = counter & _MASK, (counter >> 32) & _MASK
    c2, c3 = torch.full_like(counter, stream & _MASK), torch.full_like(counter, (stream >> 32) & _MASK)
    k0, k1 = key & _MASK, (key >> 32) & _MASK
    for _ in range(10):
        # int64 products wrap, which keeps their low 64 bits; the mask undoes the sign that >> drags in.
        a, b = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (b >> 32) & _MASK ^ c1 ^ k0, b & _MASK, (a >> 32) & _MASK ^ c3 ^ k1, a & _MASK
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return torch.stack((c0, c1, c2, c3), dim=-1)


def counter_noise(seed: int, layer: int, start: int, length: int, device: torch.device | None = None) -> Tensor:
    """Standard normal samples `start .. start + length` of the track that (seed, layer) names.

    Returns:
        [length] float32; any two calls agree wherever their intervals overlap.
    """
    first, last = start // _BLOCK, (start + length - 1) // _BLOCK
    blocks = [_block(seed, layer, index, device) for index in range(first, last + 1)]
    if not blocks:
        return torch.empty(0, device=device)
    track = blocks[0] if len(blocks) == 1 else torch.cat(blocks)
    return track[start - _BLOCK * first :][:length]


_BLOCK = 1 << 14
"""Samples that are drawn and kept together."""


@lru_cache(maxsize=256)
def _block(seed: int, layer: int, index: int, device: torch.device | None) -> Tensor:
    """Samples `index * _BLOCK ..` of a track. Kept (16 MB at most): most calls ask for the beginning of the same seed's
    tracks, or go on where they were, and drawing costs a tenth of a fast decoder's time."""
    first = index * _BLOCK // 4
    with torch.inference_mode(False), torch.no_grad():  # kept for calls that record gradients too
        words = philox(torch.arange(first, first + _BLOCK // 4, device=device), key=seed, stream=layer)
        uniform = (words.double() + 0.5) / 2.0**32
        radius = torch.sqrt(-2.0 * torch.log(uniform[:, :2]))
        angle = (2.0 * math.pi) * uniform[:, 2:]
        return torch.cat((radius * torch.cos(angle), radius * torch.sin(angle)), dim=-1).float().reshape(-1)


@dataclass(frozen=True)
class NoiseSource:
    """Where a decoder's noise comes from."""

    mode: NoiseMode = "seeded"
    """`seeded`: by counter, the same for every item of a batch. `random`: torch's generator. `off`: none."""

    seed: int = 0
    """Names the tracks of `seeded`; any whole number, of which the low 64 bits count."""

    def __post_init__(self) -> None:
        if self.mode not in ("seeded", "random", "off"):
            raise ValueError(f"noise={self.mode!r}: choose 'seeded', 'random' or 'off'")

    def draw(self, batch: int, layer: int, start: int, length: int, like: Tensor) -> Tensor | None:
        """Noise for one layer: [1 or B, 1, length], or None where there is none."""
        if self.mode == "off":
            return None
        if self.mode == "random":
            return torch.randn(batch, 1, length, device=like.device, dtype=like.dtype)
        return counter_noise(self.seed, layer, start, length, like.device).to(like.dtype)[None, None]
