"""Folding: a codec's network as chains that compute and do not train.

Owns which layer becomes which stage, and copies of the weights with weight norm multiplied out. A folded half is a
snapshot: training goes on without it. Knows nothing of pieces (`stages.py`) or of files (`export.py`).
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from aoede.codec.attention import LocalAttention
from aoede.codec.config import SnacConfig
from aoede.codec.layers import Decoder, DecoderBlock, Encoder, EncoderBlock, NoiseBlock, ResidualUnit
from aoede.codec.layers import Snake as TrainedSnake
from aoede.codec.model import Snac
from aoede.codec.quantize import ResidualQuantizer
from aoede.codec.stages import Chain, Conv, Residual, Stage, Upsample, Windows


class FoldedDecoder(nn.Module):
    """Quantizer and decoder of a codec, folded: what streams of the same codec can share."""

    def __init__(self, codec: Snac) -> None:
        super().__init__()
        self.quantizer = fold_quantizer(codec.quantizer, codec.config)
        self.chain = decoder_chain(codec.decoder)

    @property
    def like(self) -> Tensor:
        """A tensor of the type and device that this computes in."""
        return self.quantizer.levels[0].codebook.weight.detach()


class FoldedEncoder(nn.Module):
    """Encoder and quantizer of a codec, folded: what streams of the same codec can share."""

    def __init__(self, codec: Snac) -> None:
        super().__init__()
        self.chain = encoder_chain(codec.encoder)
        self.quantizer = fold_quantizer(codec.quantizer, codec.config)

    @property
    def like(self) -> Tensor:
        """A tensor of the type and device that this computes in."""
        return self.quantizer.levels[0].codebook.weight.detach()


def decoder_chain(decoder: Decoder) -> Chain:
    """A decoder's stages, with copies of its weights."""
    stages: list[Stage] = []
    snake: TrainedSnake | None = None
    for layer in decoder.model:
        if isinstance(layer, DecoderBlock):
            activation, upsampling, *others = layer.block
            disturbance = others.pop(0) if isinstance(others[0], NoiseBlock) else None
            stages.append(
                Upsample(
                    cast(TrainedSnake, activation),
                    cast(nn.ConvTranspose1d, upsampling),
                    cast("NoiseBlock | None", disturbance),
                )
            )
            stages += [Residual(cast(ResidualUnit, unit)) for unit in others]
        elif isinstance(layer, LocalAttention):
            stages.append(Windows(copy.deepcopy(layer).requires_grad_(False)))
        elif isinstance(layer, TrainedSnake):
            snake = layer
        elif isinstance(layer, nn.Conv1d):
            stages.append(Conv(layer, snake, tanh=snake is not None))
        else:
            assert isinstance(layer, nn.Tanh)
    return Chain(stages)


def encoder_chain(encoder: Encoder) -> Chain:
    """An encoder's stages, with copies of its weights."""
    stages: list[Stage] = []
    for layer in encoder.block:
        if isinstance(layer, EncoderBlock):
            *units, activation, downsampling = layer.block
            stages += [Residual(cast(ResidualUnit, unit)) for unit in units]
            stages.append(Conv(cast(nn.Conv1d, downsampling), cast(TrainedSnake, activation)))
        elif isinstance(layer, LocalAttention):
            stages.append(Windows(copy.deepcopy(layer).requires_grad_(False)))
        else:
            stages.append(Conv(cast(nn.Conv1d, layer)))
    return Chain(stages)


def fold_quantizer(quantizer: ResidualQuantizer, config: SnacConfig) -> ResidualQuantizer:
    """A copy whose weight norm is folded in."""
    # Not a deep copy whose parametrizations are removed: the copy's class is the original's, which would lose them too.
    with torch.device("meta"):
        copied = ResidualQuantizer(config)
    for mine, theirs in zip(copied.levels, quantizer.levels, strict=True):
        mine.in_proj, mine.out_proj = _plain(theirs.in_proj), _plain(theirs.out_proj)
        mine.codebook.weight = nn.Parameter(theirs.codebook.weight.detach().clone(), requires_grad=False)
    return copied


def _plain(layer: nn.Conv1d) -> nn.Conv1d:
    assert layer.bias is not None and layer.kernel_size == (1,)
    with torch.device("meta"):
        copied = nn.Conv1d(layer.in_channels, layer.out_channels, 1)
    copied.weight = nn.Parameter(layer.weight.detach().clone(), requires_grad=False)
    copied.bias = nn.Parameter(layer.bias.detach().clone(), requires_grad=False)
    return copied
