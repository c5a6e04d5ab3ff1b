"""Starting weights from data: every layer of a fresh codec begins with an output of a known size.

Owns the one pass that scales them. Knows nothing of training: it is given a batch of audio.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from aoede.codec.layers import NoiseBlock, ResidualUnit
from aoede.codec.model import Snac
from aoede.codec.noise import NoiseSource

RESIDUAL = 0.3
"""Size of what a residual unit adds to its unit input: three in a row still leave it near one."""

NOISE = 0.1
"""Size of the noise that a noise block adds."""


@torch.no_grad()
def scale_to_data(codec: Snac, audio: Tensor) -> None:
    """Scales each weight-normalised layer until its output has unit variance on `audio`, and zeroes its bias.

    Speech is quiet (RMS near 0.05), torch's own initialisation shrinks it further from layer to layer, and
    Snake is a straight line for small inputs: a codec initialised so starts as a nearly linear network and takes
    a thousand steps to leave that. The last layer is scaled to the audio's own size.

    Source: Mishkin and Matas 2016, "All you need is a good init" (LSUV), here in one pass.

    Args:
        codec: with fresh weights; quantization is left out of this pass.
        audio: [B, 1, T] in [-1, 1], not silent; a few seconds of what it will be trained on.
    Raises:
        ValueError: silent audio.
    """
    if not float(audio.std()) > 0.0:
        raise ValueError("the audio is silent: scaling to it is not defined; give some seconds of real recordings")
    targets: dict[nn.Module, float] = {}
    for module in codec.modules():
        if isinstance(module, ResidualUnit):
            targets[module.block[-1]] = RESIDUAL
        elif isinstance(module, NoiseBlock):
            targets[module.linear] = NOISE
    scaled = [module for module in codec.modules() if hasattr(module, "parametrizations")]
    last = [module for module in codec.decoder.modules() if hasattr(module, "parametrizations")][-1]
    targets[last] = float(audio.std())
    for module in scaled:
        if isinstance(module.bias, Tensor):
            module.bias.zero_()

    def scale(module: Any, _: Any, output: Tensor) -> Tensor:
        # Forward order is the order of the data: what this layer reads is scaled already.
        factor = targets.get(module, 1.0) / output.std().clamp(min=1e-6)
        module.parametrizations.weight.original0.mul_(factor)
        return output * factor

    handles = [module.register_forward_hook(scale) for module in scaled]
    try:
        bypass = torch.ones(len(audio), dtype=torch.bool, device=audio.device)
        codec.reconstruct(audio, NoiseSource("seeded", 0), bypass)
    finally:
        for handle in handles:
            handle.remove()
