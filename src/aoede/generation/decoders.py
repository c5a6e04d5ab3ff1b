"""From a voice's frames to sound: an exact stream for SNAC, an utterance at a time for other codecs.

Owns the choice between the two. How SNAC streams is `codec/streaming.py`'s business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from aoede.codec import Codec, Snac, StreamDecoder
from aoede.codec.folding import FoldedDecoder


class UtteranceDecoder(Protocol):
    """Codes in, audio out; `StreamDecoder` is one."""

    def push(self, codes: Sequence[Tensor]) -> Tensor:
        """One [1, T_k] a level -> [1, 1, T], T >= 0."""

    def flush(self) -> Tensor:
        """What was held back, [1, 1, T]."""


class WholeDecoder:
    """Holds an utterance's codes back and decodes all of them at its end, for codecs without an exact stream."""

    def __init__(self, codec: Codec, seed: int) -> None:
        self.codec, self.seed = codec, seed
        self.held: list[Sequence[Tensor]] = []

    def push(self, codes: Sequence[Tensor]) -> Tensor:
        """Nothing comes yet."""
        self.held.append(codes)
        return torch.zeros(1, 1, 0)

    def flush(self) -> Tensor:
        """All of it."""
        if not self.held:
            return torch.zeros(1, 1, 0)
        levels = [torch.cat(level, dim=1) for level in zip(*self.held, strict=True)]
        return self.codec.decode(levels, seed=self.seed)


def open_decoder(codec: Codec, seed: int, folded: FoldedDecoder | None) -> UtteranceDecoder:
    """The decoder of one utterance; `seed` names its noise, `folded` are the weights that streams of a SNAC share."""
    if isinstance(codec, Snac):
        return StreamDecoder(codec, seed=seed, folded=folded)
    return WholeDecoder(codec, seed)
