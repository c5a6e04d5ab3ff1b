"""What computes the two halves of a prepared codec: torch, torch.compile, ONNX Runtime, OpenVINO.

Owns one class a backend, each with the same two verbs on padded input: `encode` to codes, `decode` with noise drawn
from an absolute position. Knows nothing of lengths, of long recordings or of which backend is best (`inference.py`).
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from aoede.codec.export import export_decoder, export_encoder, noise_strides
from aoede.codec.folding import FoldedDecoder, FoldedEncoder
from aoede.codec.model import Snac
from aoede.codec.noise import NoiseSource
from aoede.codec.padded import Half, PaddedDecoder, PaddedEncoder, example_inputs, fixed_shapes, masks, padded_units
from aoede.codec.stages import silence

Backend = Literal["eager", "compile", "openvino", "onnx"]

PACKAGES = {
    "openvino": ("openvino",),
    "onnx": ("onnxruntime", "onnx", "onnxscript"),
}
"""What a backend needs beside torch."""


class Runtime(Protocol):
    """Both halves of one codec."""

    def encode(self, audio: Tensor) -> list[Tensor]:
        """[B, 1, T], T a whole number of paddings -> one [B, T_k] int64 a level."""

    def decode(self, codes: Sequence[Tensor], noise: NoiseSource, start: int) -> Tensor:
        """One [B, T_k] a level, of which the first stands for latent `start` -> [B, 1, T] float32."""


def missing(backend: Backend) -> str | None:
    """What a backend lacks here, in words; None where it can run."""
    absent = [name for name in PACKAGES.get(backend, ()) if importlib.util.find_spec(name) is None]
    if absent:
        return f"{', '.join(absent)} is not installed: pip install 'aoede[{backend}]'"
    if backend == "compile" and not torch.cuda.is_available() and not any(map(shutil.which, ("g++", "clang++", "cl"))):
        return "torch.compile needs a C++ compiler: install g++ (Debian: apt install g++)"
    return None


def start_runtime(codec: Snac, backend: Backend, dtype: torch.dtype) -> Runtime:
    """The halves of a codec on one backend; weights are copied."""
    if backend == "eager":
        return EagerRuntime(codec, dtype)
    if backend == "compile":
        return CompiledRuntime(codec, dtype)
    return OpenVinoRuntime(codec, dtype) if backend == "openvino" else OnnxRuntime(codec)


class EagerRuntime:
    """Folded stages, run by torch on the codec's device."""

    def __init__(self, codec: Snac, dtype: torch.dtype) -> None:
        self.encoder, self.decoder = FoldedEncoder(codec), FoldedDecoder(codec)
        # The quantizer keeps its type: a code is the nearest of thousands, and rounding would choose another.
        self.encoder.chain.to(dtype)
        self.decoder.chain.to(dtype)
        self.dtype = dtype
        self.strides = noise_strides(codec)

    def encode(self, audio: Tensor) -> list[Tensor]:
        latents = self.encoder.chain(audio.to(self.dtype), silence)
        return self.encoder.quantizer.encode(latents.to(self.encoder.like.dtype))

    def decode(self, codes: Sequence[Tensor], noise: NoiseSource, start: int) -> Tensor:
        latents = self.decoder.quantizer.decode(codes).to(self.dtype)

        def draw(layer: int, first: int, steps: int) -> Tensor | None:
            return noise.draw(len(latents), layer, start * self.strides[layer] + first, steps, latents)

        audio: Tensor = self.decoder.chain(latents, draw)
        return audio.float()


class CompiledRuntime:
    """The same stages, compiled by torch when they first run, for any batch and length."""

    def __init__(self, codec: Snac, dtype: torch.dtype) -> None:
        with warnings.catch_warnings():
            # The compiler is imported here and not at its first use, where torch would warn of what torch does.
            warnings.filterwarnings("ignore", message=".*torch.jit.*is deprecated", category=DeprecationWarning)
            import torch._inductor.compile_fx
        self.eager = EagerRuntime(codec, dtype)
        encode, decode = self.eager.encoder.chain, self.eager.decoder.chain

        def encoder(audio: Tensor) -> Tensor:
            return encode(audio, silence)  # type: ignore[no-any-return]

        def decoder(latents: Tensor, tracks: list[Tensor]) -> Tensor:
            return decode(latents, lambda layer, *_: tracks[layer] if tracks else None)  # type: ignore[no-any-return]

        self.encoder: Any = torch.compile(encoder, dynamic=True)
        self.decoder: Any = torch.compile(decoder, dynamic=True)

    def encode(self, audio: Tensor) -> list[Tensor]:
        latents = self.encoder(audio.to(self.eager.dtype))
        return self.eager.encoder.quantizer.encode(latents.to(self.eager.encoder.like.dtype))

    def decode(self, codes: Sequence[Tensor], noise: NoiseSource, start: int) -> Tensor:
        latents = self.eager.decoder.quantizer.decode(codes).to(self.eager.dtype)
        audio: Tensor = self.decoder(latents, draw_tracks(self.eager.strides, latents, noise, start))
        return audio.float()


class OnnxRuntime:
    """The exported graphs in ONNX Runtime, on the CPU, with torch's number of threads."""

    def __init__(self, codec: Snac) -> None:
        import onnxruntime  # type: ignore[import-untyped,unused-ignore]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.hops = codec.config.vq_strides[0]
        self.strides = noise_strides(codec) if codec.config.noise else []
        self.like = codec.quantizer.levels[0].codebook.weight.detach().new_zeros(0)
        with tempfile.TemporaryDirectory(prefix="aoede-graphs-") as folder:
            self.encoder, self.decoder = (
                onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
                for path in (
                    export_encoder(codec, Path(folder) / "encoder.onnx"),
                    export_decoder(codec, Path(folder) / "decoder.onnx"),
                )
            )

    def encode(self, audio: Tensor) -> list[Tensor]:
        return [torch.from_numpy(level) for level in self.encoder.run(None, {"audio": audio.numpy()})]

    def decode(self, codes: Sequence[Tensor], noise: NoiseSource, start: int) -> Tensor:
        feed = {f"codes_{level}": values.contiguous().numpy() for level, values in enumerate(codes)}
        batch, latents = len(codes[0]), codes[0].shape[1] * self.hops
        tracks = draw_tracks(self.strides, self.like.new_zeros(batch, 1, latents), noise, start)
        for layer, stride in enumerate(self.strides):
            track = tracks[layer] if tracks else self.like.new_zeros(1, 1, latents * stride)  # noise off: n * W x is 0
            feed[f"noise_{layer}"] = track.expand(batch, -1, -1).contiguous().numpy()
        return torch.from_numpy(self.decoder.run(None, feed)[0])


class OpenVinoRuntime:
    """OpenVINO on the CPU, with torch's number of threads: graphs of a few fixed lengths, compiled when first needed.

    With known shapes it fuses chains of element-wise operations, and takes half the time (docs/performance.md). Its own
    default on CPUs with bfloat16 products is to use them; here the type is always said.
    """

    MEMORY = 1 << 30
    """Bytes of weights that compiled graphs may hold together; each has a copy in its own order."""

    def __init__(self, codec: Snac, dtype: torch.dtype) -> None:
        import openvino  # type: ignore[import-untyped,unused-ignore]

        self.settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if dtype == torch.bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
        }
        self.core, self.config = openvino.Core(), codec.config
        self.shape: Callable[[list[int]], Any] = openvino.PartialShape
        self.strides = noise_strides(codec) if codec.config.noise else []
        self.like = codec.quantizer.levels[0].codebook.weight.detach().new_zeros(0)
        self.models: dict[Half, Any] = {}
        halves: dict[Half, nn.Module] = {"encoder": PaddedEncoder(codec), "decoder": PaddedDecoder(codec)}
        for half, graph in halves.items():
            examples = tuple(example_inputs(codec.config, half, 3).values())
            with torch.no_grad(), warnings.catch_warnings():
                # OpenVINO traces the graph, which torch deprecates; shapes that the trace takes for constants are
                # those of layers, and a test compares every length with the network.
                warnings.filterwarnings("ignore", category=DeprecationWarning)
                warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
                self.models[half] = openvino.convert_model(graph.eval(), example_input=examples)
        size = sum(parameter.numel() for parameter in codec.parameters()) * 2  # bytes a half, roughly
        self.limit = max(4, self.MEMORY // size)
        self.compiled: OrderedDict[tuple[Half, int], Any] = OrderedDict()

    def encode(self, audio: Tensor) -> list[Tensor]:
        config = self.config
        latents = audio.shape[-1] // config.hop_length
        graph, feed = self._graph("encoder", latents)
        rows = []
        for row in audio:
            feed["audio"][..., : row.shape[-1]] = row
            result = graph([tensor.numpy() for tensor in feed.values()])
            rows.append([torch.from_numpy(result[level].copy()) for level in range(config.num_codebooks)])
        return [
            torch.cat(level)[:, : latents // stride]
            for level, stride in zip(zip(*rows, strict=True), config.vq_strides, strict=True)
        ]

    def decode(self, codes: Sequence[Tensor], noise: NoiseSource, start: int) -> Tensor:
        config = self.config
        latents, batch = codes[0].shape[1] * config.vq_strides[0], len(codes[0])
        graph, feed = self._graph("decoder", latents)
        tracks = draw_tracks(self.strides, self.like.new_zeros(batch, 1, latents), noise, start)
        out = torch.empty(batch, 1, latents * config.hop_length)
        for row in range(batch):
            for level, own in enumerate(codes):
                feed[f"codes_{level}"][:, : own.shape[1]] = own[row]
            for layer, track in enumerate(tracks):  # none where the noise is off: n * W x is 0
                feed[f"noise_{layer}"][..., : track.shape[-1]] = track[min(row, len(track) - 1)]
            result = graph([tensor.numpy() for tensor in feed.values()])[0]
            out[row] = torch.from_numpy(result[0, :, : out.shape[-1]])
        return out

    def _graph(self, half: Half, latents: int) -> tuple[Any, dict[str, Tensor]]:
        """The compiled graph that so many latents fit into, and its inputs: masks for them, zeros otherwise."""
        units = padded_units(latents // self.config.latents_multiple)
        key = (half, units)
        if key not in self.compiled:
            model = self.models[half].clone()
            shapes = fixed_shapes(self.config, half, units).values()
            model.reshape({place: self.shape(shape) for place, shape in zip(model.inputs, shapes, strict=True)})
            self.compiled[key] = self.core.compile_model(model, "CPU", self.settings)
            if len(self.compiled) > self.limit:
                self.compiled.popitem(last=False)
        self.compiled.move_to_end(key)
        feed = example_inputs(self.config, half, units)
        feed |= {f"mask_{i}": mask for i, mask in enumerate(masks(self.config, half, latents, units))}
        return self.compiled[key], feed


def draw_tracks(strides: Sequence[int], latents: Tensor, noise: NoiseSource, start: int) -> list[Tensor]:
    """Noise of every layer for latents [B, C, L] that begin at `start`; empty where there is none."""
    batch, length = latents.shape[0], latents.shape[-1]
    drawn = [noise.draw(batch, i, start * n, length * n, latents) for i, n in enumerate(strides)]
    return [track for track in drawn if track is not None]
