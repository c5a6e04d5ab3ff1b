"""From frames to sound: an exact stream for SNAC, all at once for other codecs; and how many frames go at once.

Owns the way from frames to samples. How SNAC streams is `codec/streaming.py`'s business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aoede.codec import Codec, Snac, StreamDecoder
from aoede.codec.folding import FoldedDecoder
from aoede.tokens import FrameLayout

FIRST_FRAMES = 4
"""Frames before the codec is asked for the first samples: it can give some from three frames on."""

GROWTH = 1.5
"""Each later piece may be this much longer: a long piece wastes less on its edges, a short one comes sooner."""

MOST_FRAMES = 24


def piece_lengths() -> Iterator[int]:
    """Frames of the first piece that is decoded, of the next, and so on: 4, 3, 4, 6, 9, 13, 20, then 24 for ever.

    The second is short: of the first, the codec holds the end back, and what it gives must last until the second comes,
    when eight speak at once at twice the pace of speech too.
    """
    yield FIRST_FRAMES
    yield FIRST_FRAMES - 1
    wanted = float(FIRST_FRAMES)
    while True:
        yield int(wanted)
        wanted = min(wanted * GROWTH, MOST_FRAMES)


class FrameDecoder:
    """Frames in, samples out: the pieces are, sample for sample, one decode of all frames.

    A codec that is no SNAC decodes all at once, at the end.
    """

    def __init__(self, codec: Codec, layout: FrameLayout, seed: int, folded: FoldedDecoder | None) -> None:
        """Begin.

        Args:
            seed: names the codec's noise.
            folded: the weights that streams of a SNAC share.
        """
        self.codec, self.layout, self.seed = codec, layout, seed
        self.device = next(codec.parameters()).device
        self.stream = StreamDecoder(codec, seed=seed, folded=folded) if isinstance(codec, Snac) else None
        self._held: list[Tensor] = []
        self._last: Tensor | None = None
        self._num_frames = self._num_given = 0

    def push(self, frames: Sequence[Tensor]) -> NDArray[np.float32]:
        """Frames [S] each: the samples [T] that are final now, possibly none."""
        self._num_frames += len(frames)
        self._last = frames[-1]
        if self.stream is None:
            self._held += frames
            return np.zeros(0, np.float32)
        with torch.inference_mode():
            return self._given(self.stream.push(self._codes(frames)))

    def finish(self) -> NDArray[np.float32]:
        """The samples held back."""
        if self._last is None:
            return np.zeros(0, np.float32)
        with torch.inference_mode():
            if self.stream is None:
                return self._given(self.codec.decode(self._codes(self._held), seed=self.seed))
            assert isinstance(self.codec, Snac)
            config = self.codec.config
            # Where a codec attends in windows, the last one is filled with its last frame, which is then cut off.
            missing = -self._num_frames % (config.latents_multiple // config.vq_strides[0])
            filled = [self.stream.push(self._codes([self._last] * missing))] if missing else []
            return self._given(torch.cat([*filled, self.stream.flush()], dim=-1))

    def _codes(self, frames: Sequence[Tensor]) -> list[Tensor]:
        return self.layout.unflatten(torch.stack(list(frames))[None].to(self.device))

    def _given(self, audio: Tensor) -> NDArray[np.float32]:
        left = self._num_frames * self.codec.config.frame_length - self._num_given
        samples: NDArray[np.float32] = audio[0, 0, :left].float().cpu().numpy()
        self._num_given += len(samples)
        return samples
