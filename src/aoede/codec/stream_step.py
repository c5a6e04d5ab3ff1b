"""One step of the streaming decoder as a pure function of fixed shapes: for exported graphs and batches out of step.

Owns the form in which every state has one shape for ever and every step of n latents gives n * hop samples, `delay`
samples late. What that computes before a stream's first sample and past its last is set to zero by position, so each
row of a batch may be anywhere in a stream of its own. `streaming.py` is the form for torch, without work on samples
that nobody hears; both give the same audio. Knows nothing of files (`export.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aoede.codec.config import SnacConfig
from aoede.codec.folding import FoldedDecoder
from aoede.codec.stages import Conv, Residual, Stage, Upsample, Windows

ENDLESS = 1 << 40
"""An `end` that no stream reaches."""


@dataclass(frozen=True)
class Place:
    """Where a stage's output stands in time: step t of a call is position `start * rate - delay + t` of the stream."""

    rate: int
    """Steps a latent."""

    delay: int
    """Steps that the output is late."""


class DecoderStep(nn.Module):
    """Codes, noise, positions and states -> audio and the next states.

    Attributes:
        state_shapes: (channels, steps) of each state; a stream begins with zeros.
        noise_places: where each noise input stands.
        delay: samples by which the audio is late, `receptive.decoder_tail`.
    """

    def __init__(self, folded: FoldedDecoder, config: SnacConfig) -> None:
        super().__init__()
        self.folded = folded
        self.config = config
        self._stages = [stage for stage in folded.chain.stages if isinstance(stage, Stage)]
        self.state_shapes: list[tuple[int, int]] = []
        self.places: list[Place] = []
        self.noise_places: list[Place] = []
        rate, delay = 1, 0
        for stage in self._stages:
            if isinstance(stage, Upsample):
                rate, delay = rate * stage.stride, delay * stage.stride + stage.padding
                self.state_shapes.append((stage.channels, 1))
                if stage.layer is not None:
                    self.noise_places.append(Place(rate, delay))
            elif isinstance(stage, Windows):
                held = -delay % stage.size  # so that windows of the stream are windows of the call
                delay += held
                self.state_shapes.append((stage.channels, held))
            elif isinstance(stage, Residual):
                delay += stage.wide.padding
                self.state_shapes += [(stage.channels, 2 * stage.wide.padding), (stage.channels, stage.wide.padding)]
            else:
                assert isinstance(stage, Conv) and stage.stride == 1
                delay += stage.padding
                if stage.padding:
                    self.state_shapes.append((stage.channels, 2 * stage.padding))
            self.places.append(Place(rate, delay))
        self.delay = delay

    def begin(self, batch: int) -> list[Tensor]:
        """The states of streams that have not begun."""
        return [self.folded.like.new_zeros(batch, channels, steps) for channels, steps in self.state_shapes]

    def forward(
        self, codes: Sequence[Tensor], noise: Sequence[Tensor], start: Tensor, end: Tensor, states: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """One step of n latents, whole frames and whole attention windows.

        Args:
            codes: one [B, T_k] a level. Past a stream's end any code will do.
            noise: one [B, 1, n * rate] a noise block at `noise_places`, or none at all; before position 0 any number.
            start: [B] int64, latents that each row has had before this call.
            end: [B] int64, latents of each row's whole stream; `ENDLESS` while it is not known.
            states: what the last call returned, or `begin`.
        Returns:
            audio [B, 1, n * hop], of positions `start * hop - delay` on, and the next states.
        """
        following: list[Tensor] = []
        waiting = iter(states)
        tracks = iter(noise)
        x = keep(self.folded.quantizer.decode(codes), Place(1, 0), start, end)
        for index, (stage, place) in enumerate(zip(self._stages, self.places, strict=True)):
            if isinstance(stage, Residual):
                seen, late = next(waiting), next(waiting)
                window = torch.cat((seen, stage.wide.activate(x)), dim=-1)
                x = torch.cat((late, x), dim=-1)
                following += [window[..., -seen.shape[-1] :], x[..., -late.shape[-1] :]]
                out = stage.mix.convolve(stage.mix.activate(stage.wide.convolve(window)))
                x = x[..., : -late.shape[-1]] + out
            elif isinstance(stage, Upsample):
                window = torch.cat((next(waiting), stage.snake(x)), dim=-1)
                following.append(window[..., -1:])
                x = stage.spread(window)
                if stage.layer is not None and noise:
                    x = stage.disturb(x, lambda *_: next(tracks), 0)
            elif isinstance(stage, Windows):
                late = next(waiting)
                if late.shape[-1]:
                    x = torch.cat((late, x), dim=-1)
                    following.append(x[..., -late.shape[-1] :])
                    x = x[..., : -late.shape[-1]]
                else:
                    following.append(late)
                x = stage.attention(x)
            else:
                assert isinstance(stage, Conv)
                x = stage.activate(x)
                if stage.padding:
                    seen = next(waiting)
                    x = torch.cat((seen, x), dim=-1)
                    following.append(x[..., -seen.shape[-1] :])
                x = stage.convolve(x)
            if index + 1 < len(self._stages):
                x = keep(x, place, start, end)
        return x, following


def keep(x_BCT: Tensor, place: Place, start: Tensor, end: Tensor) -> Tensor:
    """Zero before each row's first step and past its last, as the next layer's padding is."""
    steps = torch.arange(x_BCT.shape[-1], device=x_BCT.device) + (start * place.rate - place.delay)[:, None]
    inside = (steps >= 0) & (steps < (end * place.rate)[:, None])
    return torch.where(inside[:, None], x_BCT, 0.0)
