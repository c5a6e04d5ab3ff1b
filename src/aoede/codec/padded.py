"""Both halves of a codec as graphs of fixed lengths, for compilers that are fast where every shape is known.

Owns the padding: an input is padded up to one of a few lengths, and masks keep what lies behind its end at zero, as a
convolution finds it behind an end; so one graph a length serves every input that fits it, and gives what the network
gives. Owns Snake in operations that such compilers fuse. Knows nothing of the compilers (`runtimes.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aoede.codec.config import SnacConfig
from aoede.codec.folding import FoldedDecoder, FoldedEncoder
from aoede.codec.model import Snac
from aoede.codec.stages import Chain, Conv, Residual, Snake, Upsample

SQUARED_SINE = (9.86960431, -32.46967117, 42.72719634, -30.10146584, 13.05009892, -3.35659262)
"""sin^2(pi r) = u P(u) with u = r^2, on |r| <= 1/2: coefficients of P, fitted at Chebyshev nodes; in float32 it is off
by 2.3e-7 at most, where one rounding of a number near 1 is 1.2e-7."""


Half = Literal["encoder", "decoder"]


def padded_units(units: int) -> int:
    """The length that so many units (paddings of the encoder's input) are padded to.

    Four lengths an octave: a fourth more at most, and a tenth on average.
    """
    step = 1 << max(0, units.bit_length() - 3)
    return -(-units // step) * step


def rates(config: SnacConfig, half: Half) -> list[int]:
    """Steps a latent at each place that needs a mask: the encoder's from the audio on, the decoder's to the audio."""
    if half == "decoder":
        return list(accumulate(config.decoder_rates, mul, initial=1))
    return [config.hop_length // step for step in accumulate(config.encoder_rates, mul, initial=1)]


def masks(config: SnacConfig, half: Half, latents: int, units: int) -> list[Tensor]:
    """One [1, 1, T] float32 a rate, of so many units: 1 up to the end of `latents`, 0 behind it."""
    out = []
    for steps in rates(config, half):
        mask = torch.zeros(1, 1, units * config.latents_multiple * steps)
        mask[..., : latents * steps] = 1.0
        out.append(mask)
    return out


class FusedSnake(nn.Module):
    """Snake without a sine: compilers for CPUs have fast products and roundings, but compute sines one by one.

    With t = alpha x / pi and r = t - round(t), sin^2(alpha x) is sin^2(pi r), an even polynomial in r.
    """

    turns: Tensor
    inverse: Tensor

    def __init__(self, snake: Snake) -> None:
        super().__init__()
        self.register_buffer("turns", snake.alpha / math.pi)
        self.register_buffer("inverse", snake.inverse.clone())

    def forward(self, x_BCT: Tensor) -> Tensor:
        turns = x_BCT * self.turns
        rest = turns - torch.round(turns)
        square = rest * rest
        value = square * SQUARED_SINE[-1] + SQUARED_SINE[-2]
        for coefficient in SQUARED_SINE[-3::-1]:
            value = value * square + coefficient
        return x_BCT + square * value * self.inverse


class MaskedChain(nn.Module):
    """A chain whose convolutions see zeros behind the end of what was padded."""

    def __init__(self, chain: Chain) -> None:
        super().__init__()
        for module in list(chain.modules()):
            if isinstance(module, Conv | Upsample) and module.snake is not None:
                module.snake = FusedSnake(module.snake)  # type: ignore[assignment]
        self.chain = chain

    def forward(self, x_BCT: Tensor, masks: Sequence[Tensor], tracks: Sequence[Tensor]) -> Tensor:
        place = 0
        for stage in self.chain.stages:
            mask = masks[place]
            if isinstance(stage, Conv):
                x_BCT = self._conv(stage, x_BCT, mask)
                place += stage.stride > 1
            elif isinstance(stage, Residual):
                x_BCT = x_BCT + self._conv(stage.mix, self._conv(stage.wide, x_BCT, mask), mask)
            elif isinstance(stage, Upsample):
                steps = x_BCT.shape[-1] * stage.stride
                out = stage.spread(F.pad(cast(nn.Module, stage.snake)(x_BCT) * mask, (1, 1)))
                out = out[..., stage.padding : stage.padding + steps]
                x_BCT = stage.disturb(out, lambda layer, *_: tracks[layer] if tracks else None, 0)
                place += 1
            else:  # attention windows are whole: what is padded has windows of its own
                x_BCT = stage(x_BCT, None)
        return x_BCT

    @staticmethod
    def _conv(stage: Conv, x_BCT: Tensor, mask: Tensor) -> Tensor:
        x_BCT = stage.activate(x_BCT)
        return stage.convolve(x_BCT if stage.span == 1 else x_BCT * mask, stage.padding)


class PaddedEncoder(nn.Module):
    """Audio [1, 1, T] and a mask a rate -> codes."""

    def __init__(self, codec: Snac) -> None:
        super().__init__()
        folded = FoldedEncoder(codec)
        self.chain, self.quantizer = MaskedChain(folded.chain), folded.quantizer

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.quantizer.encode(self.chain(inputs[0], inputs[1:], ())))


class PaddedDecoder(nn.Module):
    """Codes, noise tracks and a mask a rate -> audio [1, 1, T]."""

    def __init__(self, codec: Snac) -> None:
        super().__init__()
        folded = FoldedDecoder(codec)
        self.chain, self.quantizer = MaskedChain(folded.chain), folded.quantizer
        self.levels, self.num_masks = codec.config.num_codebooks, len(rates(codec.config, "decoder"))

    def forward(self, *inputs: Tensor) -> Tensor:
        codes, tracks = inputs[: self.levels], inputs[self.levels : len(inputs) - self.num_masks]
        latents = self.quantizer.decode(codes)
        return cast(Tensor, self.chain(latents, inputs[len(inputs) - self.num_masks :], tracks))


def example_inputs(config: SnacConfig, half: Half, units: int) -> dict[str, Tensor]:
    """Zeros of the shapes that `fixed_shapes` says, in the order in which the halves take them."""
    return {
        name: torch.zeros(shape, dtype=torch.long if name.startswith("codes") else torch.float32)
        for name, shape in fixed_shapes(config, half, units).items()
    }


def fixed_shapes(config: SnacConfig, half: Half, units: int) -> dict[str, list[int]]:
    """The shape of every input of a half for one row of so many units, in the order in which it takes them."""
    latents = units * config.latents_multiple
    shapes = {"audio": [1, 1, latents * config.hop_length]} if half == "encoder" else {}
    if half == "decoder":
        shapes |= {f"codes_{level}": [1, latents // stride] for level, stride in enumerate(config.vq_strides)}
        if config.noise:
            strides = rates(config, "decoder")[1:]
            shapes |= {f"noise_{layer}": [1, 1, latents * stride] for layer, stride in enumerate(strides)}
    return shapes | {f"mask_{place}": [1, 1, latents * steps] for place, steps in enumerate(rates(config, half))}
