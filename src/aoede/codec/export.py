"""The codec as ONNX graphs: encoder, decoder, and one step of the streaming decoder.

Owns names, shapes and metadata of the graphs; every file says in its metadata (`aoede`, JSON) what its inputs are.
Noise is an input, drawn by `NoiseSource`, so that any runtime speaks with the same voice. Needs the extra
`aoede[onnx]`; knows nothing of the runtimes that read the files.
"""

from __future__ import annotations

import json
import logging
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from aoede.codec.folding import FoldedDecoder, FoldedEncoder
from aoede.codec.model import Snac
from aoede.codec.stages import silence
from aoede.codec.stream_step import ENDLESS, DecoderStep
from aoede.codec.weights import fingerprint

FORMAT = 1
"""Counts changes of names or shapes that a reader has to know."""

OPSET = 18


class _Encoder(nn.Module):
    def __init__(self, codec: Snac) -> None:
        super().__init__()
        self.folded = FoldedEncoder(codec)

    def forward(self, audio: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.folded.quantizer.encode(self.folded.chain(audio, silence)))


class _Decoder(nn.Module):
    def __init__(self, codec: Snac) -> None:
        super().__init__()
        self.folded = FoldedDecoder(codec)
        self.levels = codec.config.num_codebooks

    def forward(self, *inputs: Tensor) -> Tensor:
        codes, tracks = inputs[: self.levels], inputs[self.levels :]
        latents = self.folded.quantizer.decode(codes)
        return cast(Tensor, self.folded.chain(latents, lambda layer, *_: tracks[layer] if tracks else None))


class _Step(nn.Module):
    def __init__(self, codec: Snac) -> None:
        super().__init__()
        self.step = DecoderStep(FoldedDecoder(codec), codec.config)
        self.levels = codec.config.num_codebooks

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        codes, states = inputs[: self.levels], inputs[len(inputs) - len(self.step.state_shapes) :]
        start, end, *tracks = inputs[self.levels : len(inputs) - len(states)]
        audio, following = self.step(codes, tracks, start, end, states)
        return (audio, *following)


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

    Inputs `codes_0` .. [B, T_k] int64, one a level, whole frames (whole attention windows where the codec has them),
    and `noise_0` .. [B, 1, latents * stride_i] float32, one a decoder block, where stride_i is the product of the
    first i + 1 `decoder_rates`: what `NoiseSource.draw(B, i, 0, latents * stride_i, like)` gives for seeded noise,
    zeros for none. Output `audio` [B, 1, T]. B and the number of frames are free.

    Args:
        codec: its weights are copied; the codec stays as it is.
        path: the `.onnx` file, replaced when it exists.
        streaming: one step of a stream instead. Further inputs: `start` [B] and `end` [B] int64, the latents that
            each row has had and will have (`stream_step.ENDLESS` until that is known), and `state_0` .. [B, C, n],
            zeros at first. Further outputs: `state_0_out` ... The audio is `delay` samples late, and noise input i
            begins at step start * stride_i - delay_i; the metadata holds these numbers and the shapes of the states.
            `onnx_streaming.OnnxStreamDecoder` drives such a file.
        noise: False leaves the noise blocks and their inputs out.
    Returns:
        the path written.
    Raises:
        ModuleNotFoundError: `onnx` or `onnxscript` is not installed (`pip install 'aoede[onnx]'`).
    """
    if streaming:
        return _export_step(codec, path, noise=noise)
    like = _like(codec)
    names, examples, shapes = decoder_inputs(codec, like, noise=noise)
    return _write(
        _Decoder(codec), tuple(examples), names, ["audio"], [tuple(shapes)], _described(codec, "decoder", noise), path
    )


def _export_step(codec: Snac, path: str | Path, *, noise: bool) -> Path:
    graph = _Step(codec)
    batch = torch.export.Dim("batch", min=1)
    names, examples, shapes = decoder_inputs(codec, _like(codec), noise=noise)
    levels = codec.config.num_codebooks
    counts = torch.zeros(2, dtype=torch.long)
    states = graph.step.begin(2)
    state_names = [f"state_{index}" for index in range(len(states))]
    described = _described(codec, "decoder_step", noise)
    described["delay"] = graph.step.delay
    for track, place in zip(described.get("noise", []), graph.step.noise_places, strict=False):
        track["delay"] = place.delay
    described["states"] = [
        {"name": name, "channels": channels, "steps": steps}
        for name, (channels, steps) in zip(state_names, graph.step.state_shapes, strict=True)
    ]
    return _write(
        graph,
        (*examples[:levels], counts, counts + ENDLESS, *examples[levels:], *states),
        [*names[:levels], "start", "end", *names[levels:], *state_names],
        ["audio", *(f"{name}_out" for name in state_names)],
        [(*shapes[:levels], {0: batch}, {0: batch}, *shapes[levels:], *({0: batch} for _ in states))],
        described,
        path,
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


@contextmanager
def _no_word_of_torchvision() -> Iterator[None]:
    """The exporter logs a warning for each operator of torchvision where that is not installed; none is used here."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


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
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name the .onnx file to write")
    with torch.no_grad(), warnings.catch_warnings(), _no_word_of_torchvision():
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
