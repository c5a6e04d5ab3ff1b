"""Parallel positions of frames: the text of a turn and the frames that speak it share one clock.

Owns the counts of each row that a stream carries from chunk to chunk. One frame of codes takes as many positions as it
has slots, so a stride (positions a text frame) is "codes a text id", as in models of flat ids. Knows nothing of
weights; the map itself is `models/positions.py`'s. This file travels inside saved model folders.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aoede.models.positions import parallel_positions


class FrameClock:
    """Where each of B rows stands."""

    def __init__(self, batch: int, slots: int, device: torch.device, begin: int = 0) -> None:
        """`begin` is the position of the first frame: as many as columns stand before it (a trained prefix)."""
        self.slots, self.begin = slots, begin
        self.spoken = torch.zeros(batch, dtype=torch.int64, device=device)
        self.read = torch.zeros(batch, dtype=torch.int64, device=device)

    def advance(self, present: Tensor, stride: Tensor) -> Tensor:
        """Positions of the next frames.

        Args:
            present: [B, n, S + 1] bool, the entries that count; a frame without any is padding.
            stride: [B], or [B, n] where turns have strides of their own: positions a text frame.
        Returns:
            [B, n] int64; padding stands at 0. Chunk by chunk gives what all at once gives.
        """
        audio = present[..., : self.slots].any(-1)
        positions, self.spoken, self.read = parallel_positions(
            audio, audio, present.any(-1), stride, self.spoken, self.read, step=self.slots
        )
        return positions + self.begin

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows [n] only."""
        self.spoken, self.read = self.spoken[rows], self.read[rows]


def frame_strides(stride: Tensor | float, batch: int, frames: int, device: torch.device) -> Tensor:
    """Strides as the clock takes them: a number, one a row [B], or one a frame [B, F].

    Raises:
        ValueError: another shape, or a stride that is not above 0.
    """
    strides = torch.as_tensor(stride, dtype=torch.float32, device=device)
    if strides.ndim == 0:
        strides = strides.expand(batch)
    if strides.shape not in ((batch,), (batch, frames)):
        raise ValueError(
            f"text_stride is {list(strides.shape)}; give one number, one a row [{batch}], or one a frame "
            f"{[batch, frames]}"
        )
    if not bool((strides > 0).all()):
        raise ValueError(f"text_stride has {float(strides.min())}; every one must be above 0")
    return strides
