"""The codec as ONNX graphs: encoder, decoder, and one step of the streaming decoder.

Owns names, shapes and metadata of the graphs; every file says in its metadata (`aoede`, JSON) what its inputs are. Noise
is an input, drawn by `NoiseSource`, so that any runtime speaks with the same voice. Needs the extra `aoede[onnx]`; knows
nothing of the runtimes that read the files.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from aoede.codec.config import SnacConfig
from aoede.codec.model import Snac
from aoede.codec.quantize import ResidualQuantizer
from aoede.codec.stages import decoder_chain, encoder_chain
from aoede.codec.weights import fingerprint

FORMAT = 1
"""Counts changes of names or shapes that a reader has to know."""

OPSET = 18


class _Encoder(nn.Module):
    def __init__(self, codec: Snac) -> None:
        super().__init__()
        self.chain = encoder_chain(codec.encoder)
        self.quantizer = folded(codec.quantizer, codec.config)

    def forward(self, audio: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.quantizer.encode(self.chain(audio, lambda *_: None)))


class _Decoder(nn.Module):
    def __init__(self, codec: Snac) -> None:
        super().__init__()
        self.chain = decoder_chain(codec.decoder)
        self.quantizer = folded(codec.quantizer, codec.config)
        self.levels = codec.config.num_codebooks

    def forward(self, *inputs: Tensor) -> Tensor:
        codes, tracks = inputs[: self.levels], inputs[self.levels :]
        latents = self.quantizer.decode(codes)
        return cast(Tensor, self.chain(latents, lambda layer, start, length: tracks[layer] if tracks else None))


def export_encoder(codec: Snac, path: str | Path) -> Path:
    """Write the encoder as one graph: audio in, codes out.

    Input `audio` [B, 1, T] float32, T a whole number of `pad_multiple` samples (pad with zeros yourself); outputs
    `codes_0` .. [B, T_k] int64, one a level. B and T are free.

    Args:
        codec: its weights are copied; the codec stays as it is.
        path: the `.onnx` file, replaced when it exists.
    Returns:
        the path written.
    Raises:
        ModuleNotFoundError: `onnx` or `onnxscript` is not installed (`pip install 'aoede[onnx]'`).
    """
    config = codec.config
    units = torch.export.Dim("units", min=1)
    audio = _like(codec).new_zeros(2, 1, 3 * config.pad_multiple)
    return _write(
        _Encoder(codec),
        (audio,),
        ["audio"],
        [f"codes_{level}" for level in range(config.num_codebooks)],
        [{0: torch.export.Dim("batch", min=1), 2: config.pad_multiple * units}],
        _described(codec, "encoder"),
        path,
    )


def export_decoder(codec: Snac, path: str | Path, *, streaming: bool = False, noise: bool = True) -> Path:
    """Write the decoder as one graph: codes and noise in, audio out.

    Inputs `codes_0` .. [B, T_k] int64, one a level, whole frames (whole attention windows where the codec has them), and
    `noise_0` .. [B, 1, latents * stride_i] float32, one a decoder block, where stride_i is the product of the first
    i + 1 `decoder_rates`: what `NoiseSource.draw(B, i, 0, latents * stride_i, like)` gives for seeded noise, zeros for
    none. Output `audio` [B, 1, T]. B and the number of frames are free.

    Args:
        codec: its weights are copied; the codec stays as it is.
        path: the `.onnx` file, replaced when it exists.
        streaming: one step of a stream instead, with its state as inputs and outputs (see `stream_step.py`).
        noise: False leaves the noise blocks and their inputs out.
    Returns:
        the path written.
    Raises:
        ModuleNotFoundError: `onnx` or `onnxscript` is not installed (`pip install 'aoede[onnx]'`).
    """
    if streaming:
        raise ValueError("streaming=True is not there yet")
    config = codec.config
    like = _like(codec)
    names, examples, shapes = decoder_inputs(codec, like, noise=noise)
    return _write(
        _Decoder(codec), tuple(examples), names, ["audio"], [tuple(shapes)], _described(codec, "decoder", noise), path
    )


def decoder_inputs(codec: Snac, like: Tensor, *, noise: bool) -> tuple[list[str], list[Tensor], list[dict[int, Any]]]:
    """Names, examples and free dimensions of the codes and noise that a decoder takes."""
    config = codec.config
    units, batch = torch.export.Dim("units", min=1), torch.export.Dim("batch", min=1)
    names, examples, shapes = [], [], []
    for level, stride in enumerate(config.vq_strides):
        steps = config.latents_multiple // stride
        names.append(f"codes_{level}")
        examples.append(torch.zeros((2, 3 * steps), dtype=torch.long, device=like.device))
        shapes.append({0: batch, 1: steps * units})
    if noise and config.noise:
        for layer, stride in enumerate(noise_strides(codec)):
            names.append(f"noise_{layer}")
            examples.append(like.new_zeros(2, 1, 3 * config.latents_multiple * stride))
            shapes.append({0: batch, 2: config.latents_multiple * stride * units})
    return names, examples, shapes


def noise_strides(codec: Snac) -> list[int]:
    """Steps a latent at each noise block."""
    rates = codec.config.decoder_rates
    return [math.prod(rates[: block + 1]) for block in range(len(rates))]


def folded(quantizer: ResidualQuantizer, config: SnacConfig) -> ResidualQuantizer:
    """A copy whose weight norm is folded in."""
    # Not a deep copy whose parametrizations are removed: the copy's class is the original's, which would lose them too.
    with torch.device("meta"):
        copied = ResidualQuantizer(config)
    for mine, theirs in zip(copied.levels, quantizer.levels, strict=True):
        mine.in_proj, mine.out_proj = _plain(theirs.in_proj), _plain(theirs.out_proj)
        mine.codebook = nn.Embedding.from_pretrained(theirs.codebook.weight.detach().clone())
    return copied


def _plain(layer: nn.Conv1d) -> nn.Conv1d:
    assert layer.bias is not None and layer.kernel_size == (1,)
    with torch.device("meta"):
        copied = nn.Conv1d(layer.in_channels, layer.out_channels, 1)
    copied.weight = nn.Parameter(layer.weight.detach().clone(), requires_grad=False)
    copied.bias = nn.Parameter(layer.bias.detach().clone(), requires_grad=False)
    return copied


def _like(codec: Snac) -> Tensor:
    return codec.quantizer.levels[0].codebook.weight.detach()


def _described(codec: Snac, kind: str, noise: bool = False) -> dict[str, Any]:
    """What a reader has to know, as JSON."""
    config = codec.config
    described: dict[str, Any] = {
        "format": FORMAT,
        "kind": kind,
        "config": config.to_dict(),
        "fingerprint": fingerprint(codec),
        "frames_multiple": config.latents_multiple // config.vq_strides[0],
    }
    if noise and config.noise:
        described["noise"] = [
            {"name": f"noise_{layer}", "layer": layer, "steps_per_latent": stride}
            for layer, stride in enumerate(noise_strides(codec))
        ]
    return described


def _write(
    graph: nn.Module,
    examples: tuple[Tensor, ...],
    names: list[str],
    outputs: list[str],
    shapes: list[Any],
    described: dict[str, Any],
    path: str | Path,
) -> Path:
    import onnx  # noqa: F401  # asked for here, so that its absence is told before any work is done
    import onnxscript  # noqa: F401

    path = Path(path)
    with torch.no_grad(), warnings.catch_warnings():
        # Of torch's own making: it copies its graphs in a way it deprecates, and renames equal axes more than once.
        warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*axis name: .* will not be used", category=UserWarning)
        program = torch.onnx.export(
            graph.eval(),
            examples,
            input_names=names,
            output_names=outputs,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props["aoede"] = json.dumps(described, sort_keys=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        program.save(str(temporary), external_data=False)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
