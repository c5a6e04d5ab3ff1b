"""The network as a chain of folded stages, each of which can work at once or piece by piece.

Owns what a layer needs between pieces: the tail of a convolution's input, the last column of an upsampling, a residual
that waits for its wide kernel. Weights are copied with their norm folded in. States are values: `step` returns a new
one and leaves the old one whole. Knows nothing of codes: `folding.py` makes a chain of a codec, `streaming.py` drives
it.

A stage pads with zeros at its own input, as the layers of `layers.py` do: its first state is that padding, and a step
with `final` appends it. So a piece's output holds every step that later input cannot change, and nothing before zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aoede.codec.attention import LocalAttention
from aoede.codec.layers import NoiseBlock, ResidualUnit
from aoede.codec.layers import Snake as TrainedSnake

Noise = Callable[[int, int, int], "Tensor | None"]
"""(layer, first absolute step, steps) -> a track [1 or B, 1, steps], or None for silence."""


def silence(layer: int, start: int, steps: int) -> None:
    """The noise of a network that adds none."""


class Snake(nn.Module):
    """x + sin^2(alpha x) / alpha with its reciprocal kept; zero stays zero, so padding may come before or after."""

    alpha: Tensor
    inverse: Tensor

    def __init__(self, layer: TrainedSnake) -> None:
        super().__init__()
        alpha = layer.alpha.detach().clone()
        self.register_buffer("alpha", alpha)
        self.register_buffer("inverse", (alpha + 1e-9).reciprocal())

    def forward(self, x_BCT: Tensor) -> Tensor:
        return torch.addcmul(x_BCT, torch.mul(x_BCT, self.alpha).sin_().square_(), self.inverse)


class Stage(nn.Module):
    """One link of a chain."""

    channels: int
    """Channels of the input."""

    out_channels: int
    """Channels of the output."""

    def forward(self, x_BCT: Tensor, noise: Noise) -> Tensor:
        """All at once."""
        raise NotImplementedError

    def begin(self, like: Tensor) -> Any:
        """The state before the first piece of streams that look like `like` [B, ...]."""
        raise NotImplementedError

    def step(self, x_BCT: Tensor, state: Any, noise: Noise, final: bool) -> tuple[Tensor, Any]:
        """The next piece, any number of steps, and the state -> what is final now and the next state."""
        raise NotImplementedError

    def _zeros(self, like: Tensor, channels: int, steps: int) -> Tensor:
        return like.new_zeros((like.shape[0], channels, steps))


class Conv(Stage):
    """A convolution, with the Snake before it and the tanh after it where there are such.

    State: the input (after Snake) that later output still reads, [B, C, n].
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: nn.Conv1d, snake: TrainedSnake | None = None, tanh: bool = False) -> None:
        super().__init__()
        assert layer.bias is not None
        self.snake = None if snake is None else Snake(snake)
        self.tanh = tanh
        self.stride, self.padding = layer.stride[0], int(layer.padding[0])
        self.dilation, self.groups = layer.dilation[0], layer.groups
        self.span = self.dilation * (layer.kernel_size[0] - 1) + 1
        self.channels, self.out_channels = layer.in_channels, layer.out_channels
        self.register_buffer("weight", layer.weight.detach().clone())
        self.register_buffer("bias", layer.bias.detach().clone())

    def forward(self, x_BCT: Tensor, noise: Noise) -> Tensor:
        return self.convolve(self.activate(x_BCT), self.padding)

    def begin(self, like: Tensor) -> Tensor:
        return self._zeros(like, self.channels, self.padding)

    def step(self, x_BCT: Tensor, state: Tensor, noise: Noise, final: bool) -> tuple[Tensor, Tensor]:
        x_BCT = self.activate(x_BCT)
        if self.span > 1:
            x_BCT = joined(state, x_BCT, self.padding if final else 0)
        count = (x_BCT.shape[-1] - self.span) // self.stride + 1
        if count <= 0:
            return self._zeros(x_BCT, self.out_channels, 0), x_BCT
        return self.convolve(x_BCT), state if self.span == 1 else rest(x_BCT, count * self.stride)

    def activate(self, x_BCT: Tensor) -> Tensor:
        """What stands before the convolution."""
        return x_BCT if self.snake is None else self.snake(x_BCT)

    def convolve(self, x_BCT: Tensor, padding: int = 0) -> Tensor:
        """The convolution and what stands after it; where `padding` is 0, only steps that see no edge come out."""
        out = F.conv1d(x_BCT, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)
        return out.tanh_() if self.tanh else out


class Residual(Stage):
    """A residual unit: its input, and what Snake, wide kernel, Snake, 1x1 make of it.

    State: what the wide kernel still reads [B, C, n], and the input that waits to be added [B, C, m].
    """

    def __init__(self, unit: ResidualUnit) -> None:
        super().__init__()
        first, wide, second, mix = unit.block
        self.wide = Conv(cast(nn.Conv1d, wide), cast(TrainedSnake, first))
        self.mix = Conv(cast(nn.Conv1d, mix), cast(TrainedSnake, second))
        self.channels = self.out_channels = self.wide.channels

    def forward(self, x_BCT: Tensor, noise: Noise) -> Tensor:
        return x_BCT + cast(Tensor, self.mix(self.wide(x_BCT, noise), noise))

    def begin(self, like: Tensor) -> tuple[Tensor, Tensor]:
        return self.wide.begin(like), self._zeros(like, self.channels, 0)

    def step(
        self, x_BCT: Tensor, state: tuple[Tensor, Tensor], noise: Noise, final: bool
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        wide, seen = self.wide.step(x_BCT, state[0], noise, final)
        x_BCT = joined(state[1], x_BCT)
        count = wide.shape[-1]
        if count == 0:
            return wide, (seen, x_BCT)
        out = self.mix.convolve(self.mix.activate(wide))
        return out.add_(x_BCT[..., :count]), (seen, rest(x_BCT, count))


class Upsample(Stage):
    """Snake, a transposed convolution of kernel 2 * stride, and noise.

    Outputs i * stride .. (i + 1) * stride - 1, before padding is cut off, read inputs i - 1 and i and no others: so
    this is a convolution of kernel 2 to stride times as many channels, which are then laid out in time. Each product
    is computed once, and only one column of input has to be kept.

    State: that column (after Snake) [B, C, 1], outputs of the padding still to be cut, outputs given out.
    """

    weight: Tensor
    bias: Tensor
    linear: Tensor

    def __init__(self, snake: TrainedSnake, layer: nn.ConvTranspose1d, noise: NoiseBlock | None) -> None:
        super().__init__()
        assert layer.bias is not None
        self.snake = Snake(snake)
        self.stride, self.padding = layer.stride[0], int(layer.padding[0])
        self.channels, self.out_channels = layer.in_channels, layer.out_channels
        early, late = torch.split(layer.weight.detach(), self.stride, dim=-1)  # [C, C', stride] each
        pair = torch.stack((late, early), dim=-1)  # the older input first
        self.register_buffer("weight", pair.permute(1, 2, 0, 3).flatten(0, 1).contiguous())
        self.register_buffer("bias", layer.bias.detach().repeat_interleave(self.stride))
        self.layer = None if noise is None else noise.layer
        self.register_buffer("linear", None if noise is None else noise.linear.weight.detach().clone())

    def forward(self, x_BCT: Tensor, noise: Noise) -> Tensor:
        steps = x_BCT.shape[-1] * self.stride
        out = self.spread(F.pad(self.snake(x_BCT), (1, 1)))
        return self.disturb(out[..., self.padding : self.padding + steps], noise, 0)

    def begin(self, like: Tensor) -> tuple[Tensor, int, int]:
        return self._zeros(like, self.channels, 1), self.padding, 0

    def step(
        self, x_BCT: Tensor, state: tuple[Tensor, int, int], noise: Noise, final: bool
    ) -> tuple[Tensor, tuple[Tensor, int, int]]:
        last, cut, start = state
        x_BCT = joined(last, self.snake(x_BCT), 1 if final else 0)
        inputs = x_BCT.shape[-1] - 1
        if inputs == 0:
            return self._zeros(x_BCT, self.out_channels, 0), state
        skip = min(cut, inputs * self.stride)
        stop = inputs * self.stride - (self.stride - self.padding if final else 0)
        out = self.spread(x_BCT)
        if (skip, stop) != (0, out.shape[-1]):
            out = out[..., skip : max(skip, stop)]
        count = out.shape[-1]
        return self.disturb(out, noise, start), (rest(x_BCT, inputs), cut - skip, start + count)

    def spread(self, x_BCT: Tensor) -> Tensor:
        """[B, C, n + 1], of which the first is older -> [B, C', n * stride]."""
        out = F.conv1d(x_BCT, self.weight, self.bias)
        return out.view(out.shape[0], self.out_channels, self.stride, -1).transpose(2, 3).flatten(2)

    def disturb(self, x_BCT: Tensor, noise: Noise, start: int) -> Tensor:
        """Adds the noise of steps `start ..`."""
        if self.layer is None or x_BCT.shape[-1] == 0:
            return x_BCT
        track = noise(self.layer, start, x_BCT.shape[-1])
        return x_BCT if track is None else torch.addcmul(x_BCT, track, F.conv1d(x_BCT, self.linear))


class Windows(Stage):
    """Local attention. State: the input of the window that is not complete, [B, C, n]."""

    def __init__(self, attention: LocalAttention) -> None:
        super().__init__()
        self.attention = attention
        self.size = attention.window_size
        self.channels = self.out_channels = attention.to_out.in_features

    def forward(self, x_BCT: Tensor, noise: Noise) -> Tensor:
        return cast(Tensor, self.attention(x_BCT))

    def begin(self, like: Tensor) -> Tensor:
        return self._zeros(like, self.channels, 0)

    def step(self, x_BCT: Tensor, state: Tensor, noise: Noise, final: bool) -> tuple[Tensor, Tensor]:
        x_BCT = joined(state, x_BCT)
        count = x_BCT.shape[-1] // self.size * self.size
        assert not final or count == x_BCT.shape[-1], "a stream ends at the end of a window"
        return (self.attention(x_BCT[..., :count]) if count else x_BCT[..., :0]), rest(x_BCT, count)


class Chain(nn.Module):
    """Stages in a row."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self._stages = list(stages)  # a plain list: looking modules up costs as much as a small kernel
        self.channels = stages[0].channels

    def forward(self, x_BCT: Tensor, noise: Noise) -> Tensor:
        """All at once."""
        for stage in self._stages:
            x_BCT = stage(x_BCT, noise)
        return x_BCT

    def begin(self, like: Tensor) -> list[Any]:
        """The states before the first piece."""
        return [stage.begin(like) for stage in self._stages]

    def step(self, x_BCT: Tensor, states: Sequence[Any], noise: Noise, final: bool = False) -> tuple[Tensor, list[Any]]:
        """The next piece and the states -> what is final now and the next states."""
        following = list(states)
        for index, stage in enumerate(self._stages):
            if x_BCT.shape[-1] == 0 and not final:
                return x_BCT.new_zeros((x_BCT.shape[0], self._stages[-1].out_channels, 0)), following
            x_BCT, following[index] = stage.step(x_BCT, states[index], noise, final)
        return x_BCT, following


def joined(held: Tensor, x_BCT: Tensor, padding: int = 0) -> Tensor:
    """`held`, then x, then so many zeros."""
    if held.shape[-1] == 0 and padding == 0:
        return x_BCT
    parts = [held, x_BCT]
    if padding:
        parts.append(x_BCT.new_zeros((*x_BCT.shape[:2], padding)))
    return torch.cat(parts, dim=-1)


def rest(x_BCT: Tensor, start: int) -> Tensor:
    """x from `start` on; copied where a view would keep a long piece alive for a short tail."""
    tail = x_BCT[..., start:]
    return tail.clone() if x_BCT.shape[-1] > 8 * (tail.shape[-1] + 8) else tail
