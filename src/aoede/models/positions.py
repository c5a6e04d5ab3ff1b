"""Parallel positions: text and the audio that speaks it share one clock.

Owns the map from "is this id inside an audio span" to position ids, and the counts carried from chunk to chunk.
Knows nothing of routers or models. Under rotary positions a phoneme and the codes that speak it are then close
(cf. PM-RoPE of VoiceStar, 2025). This file travels inside saved model folders: torch alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def parallel_positions(
    in_span: Tensor,
    closes: Tensor,
    real: Tensor | None,
    stride: Tensor,
    spoken: Tensor,
    read: Tensor,
    step: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    """Positions of a chunk of ids, and the counts after it.

    An id of an audio span stands at the number of span ids before it; text id i since the last span stands at that
    number plus round(i * stride) (halves to even). So a row's first text and its first audio both start at 0, and
    text after a span goes on from the position after the span's end.

    Args:
        in_span: [B, L] bool, the id is a marker or a code.
        closes: [B, L] bool, the id is the closing marker of a span.
        real: [B, L] bool, False at padding (which gets position 0 and is not counted); None: no padding.
        stride: [B] float, positions a text id; or [B, L], those of the text ids themselves.
        spoken, read: [B] int64, counts before this chunk: span ids, and text ids since the last span.
        step: positions from one id of a span to the next.
    Returns:
        positions [B, L] int64, spoken [B], read [B] after the chunk. Chunk by chunk equals all at once.
    """
    audio, text = in_span, ~in_span
    if real is not None:
        audio, text, closes = audio & real, text & real, closes & real
    audio_upto = audio.cumsum(-1)
    before = (spoken[:, None] + audio_upto - audio.long()) * step
    text_upto = text.cumsum(-1)
    floor = torch.where(closes, text_upto, -read[:, None]).cummax(-1).values
    index = text_upto - 1 - floor
    pace = stride.to(torch.float32)
    shift = torch.round(index.to(torch.float32) * (pace if pace.ndim == 2 else pace[:, None])).long()
    positions = before + torch.where(text, shift, 0)
    if real is not None:
        positions = positions.masked_fill(~real, 0)
    return positions, spoken + audio_upto[:, -1], text_upto[:, -1] - floor[:, -1]


def as_stride(stride: Tensor | float, batch: int, device: torch.device) -> Tensor:
    """A stride for every row, [B] float32.

    Raises:
        ValueError: neither one number nor one a row, or one that is not above 0.
    """
    if isinstance(stride, (int, float)) and stride > 0:  # the common case, without a look at a tensor
        return torch.full((batch,), float(stride), device=device)
    strides = torch.as_tensor(stride, dtype=torch.float32, device=device).reshape(-1)
    if strides.shape[0] not in (1, batch):
        raise ValueError(f"{strides.shape[0]} text strides for {batch} rows; give one a row, or one number")
    if not bool((strides > 0).all()):
        raise ValueError(f"text_stride has {float(strides.min())}; every one must be above 0")
    return strides.expand(batch)


def uses_rotary(backbone: nn.Module) -> bool:
    """Whether a backbone turns queries and keys by position ids."""
    return any("RotaryEmbedding" in type(module).__name__ for module in backbone.modules())
