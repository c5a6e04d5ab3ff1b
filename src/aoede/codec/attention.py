"""Local attention of the 32 and 44.1 kHz networks: full attention inside windows that do not overlap.

Owns the layer and its rotary positions. Knows nothing of what stands before or after it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEAD_DIM = 64


class RotaryFrequencies(nn.Module):
    """Rotary angles (Su et al. 2021); the frequencies are a buffer because published state dicts hold it."""

    inv_freq: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("inv_freq", 1.0 / 10000 ** (torch.arange(0, dim, 2).float() / dim))

    def forward(self, length: int) -> Tensor:
        """Angles [length, dim]."""
        angles = torch.arange(length, device=self.inv_freq.device, dtype=self.inv_freq.dtype)[:, None] * self.inv_freq
        return torch.cat((angles, angles), dim=-1)


class LocalAttention(nn.Module):
    """[B, C, T] -> [B, C, T], T a whole number of windows."""

    def __init__(self, dim: int, window_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.num_heads = dim // HEAD_DIM
        self.window_size = window_size
        self.to_qkv = nn.Linear(dim, dim * 3, bias=False)
        self.rel_pos = RotaryFrequencies(HEAD_DIM)
        self.to_out = nn.Linear(dim, dim, bias=False)

    def forward(self, x_BCT: Tensor) -> Tensor:
        batch, channels, length = x_BCT.shape
        qkv = self.to_qkv(self.norm(x_BCT.transpose(1, 2)))
        # [B, windows * window, 3 * heads * 64] -> 3 x [B * windows, heads, window, 64]: four dimensions, which is what
        # the fast kernels and the exporters of attention take.
        q, k, v = qkv.view(-1, self.window_size, 3, self.num_heads, HEAD_DIM).permute(2, 0, 3, 1, 4)
        angles = self.rel_pos(self.window_size)
        cos, sin = angles.cos(), angles.sin()
        heads = F.scaled_dot_product_attention(_rotate(q, cos, sin), _rotate(k, cos, sin), v)
        out: Tensor = self.to_out(heads.transpose(1, 2).reshape(batch, length, channels))
        return out.transpose(1, 2) + x_BCT


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin
