"""A codec prepared to run: weight norm folded, layout and kernels chosen for the machine, any length in bounded memory.

Owns the choice of a backend, the cutting of long recordings and batches of mixed length. What computes is in
`runtimes.py`; that a cut changes nothing is the arithmetic of `receptive.py`. Inference only: there are no gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

import torch
from torch import Tensor

from aoede.codec.model import Snac
from aoede.codec.noise import NoiseMode, NoiseSource
from aoede.codec.receptive import latents_needed, samples_needed
from aoede.codec.runtimes import Backend, missing, start_runtime

PIECE_SECONDS = 10.0
"""Audio computed at once: enough that the context of a piece costs little, little enough for any memory."""


def prepare(
    codec: Snac,
    backend: Backend | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    piece_seconds: float = PIECE_SECONDS,
) -> PreparedCodec:
    """Makes a codec fast, once, for many calls.

    Args:
        codec: its weights are copied; what is trained afterwards is not seen.
        backend: `eager` (torch), `compile` (torch.compile: compiled during the first calls), `openvino`, `onnx`; None
            takes the fastest of those that are installed (docs/performance.md has the figures): on a CPU OpenVINO,
            otherwise torch.
        dtype: float32, or bfloat16, which is faster where the processor multiplies it, and differs (the same page).
        piece_seconds: audio computed at once; longer recordings are cut, and come out as they would uncut.
    Raises:
        ValueError: a backend that is unknown, not installed (with how to get it), or cannot do this.
    """
    device = codec.quantizer.levels[0].codebook.weight.device
    if backend is None:
        backend = "openvino" if device.type == "cpu" and missing("openvino") is None else "eager"
    if backend not in get_args(Backend):
        raise ValueError(f"backend={backend!r}: choose {', '.join(get_args(Backend))}, or None for the best here")
    reason = missing(backend)
    if reason is not None:
        raise ValueError(f"backend={backend!r}: {reason}")
    if dtype not in (torch.float32, torch.bfloat16):
        raise ValueError(f"dtype={dtype}: choose torch.float32 or torch.bfloat16")
    if backend == "onnx" and dtype != torch.float32:
        raise ValueError("backend='onnx' computes in float32 only: choose another backend for bfloat16")
    if backend in ("onnx", "openvino") and device.type != "cpu":
        raise ValueError(f"backend={backend!r} runs on the CPU, and the codec is on {device}: move it, or take 'eager'")
    if not piece_seconds > 0:
        raise ValueError(f"piece_seconds={piece_seconds}: must be above 0")
    return PreparedCodec(codec, backend, dtype, piece_seconds)


class PreparedCodec:
    """`encode` and `decode` of one codec; made by `prepare`."""

    def __init__(self, codec: Snac, backend: Backend, dtype: torch.dtype, piece_seconds: float) -> None:
        self.config, self.backend, self.dtype = codec.config, backend, dtype
        self._codec = codec
        self._runtime = start_runtime(codec, backend, dtype)
        units = round(piece_seconds * self.config.sample_rate / self.config.pad_multiple)
        self._piece = max(1, units) * self.config.latents_multiple

    def __repr__(self) -> str:
        return f"PreparedCodec(backend={self.backend!r}, dtype={self.dtype}, {self.config})"

    def frames(self, length: int) -> int:
        """Frames that `length` samples take, padding included."""
        return self._codec.frames(length)

    @torch.inference_mode()
    def encode(self, audio: Tensor, lengths: Tensor | Sequence[int] | None = None) -> list[Tensor]:
        """Audio [B, 1, T] to codes, one [B, T_k] int64 a level; as `Snac.encode`, errors included."""
        codec, config = self._codec, self.config
        codec._check_audio(audio)
        limits = codec._check_lengths(lengths, audio.shape[0], audio.shape[-1], audio.device)
        padded = codec._pad(audio)
        if limits is None:
            return self._encode(padded)
        out = [
            torch.zeros(len(audio), codec.frames(audio.shape[-1]) * count, dtype=torch.long, device=audio.device)
            for count in config.codes_per_frame
        ]
        for rows, frames in self._alike(limits):
            length = frames * config.frame_length
            group = padded[rows, :, :length].clone()
            for row, limit in zip(group, limits[rows].tolist(), strict=True):
                row[:, limit:] = 0.0
            for whole, level, count in zip(out, self._encode(group), config.codes_per_frame, strict=True):
                whole[rows, : frames * count] = level
        return out

    @torch.inference_mode()
    def decode(
        self,
        codes: Sequence[Tensor],
        length: int | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        *,
        noise: NoiseMode = "seeded",
        seed: int = 0,
    ) -> Tensor:
        """Codes to audio [B, 1, T] float32; as `Snac.decode`, errors included."""
        config = self.config
        total, limits = self._codec._check_decode(codes, length, lengths)
        source = NoiseSource(noise, seed)
        if limits is None:
            return self._decode(codes, source)[..., :length]
        out = torch.zeros(len(codes[0]), 1, total, device=codes[0].device)
        for rows, frames in self._alike(limits):
            group = [level[rows, : frames * n] for level, n in zip(codes, config.codes_per_frame, strict=True)]
            audio = self._decode(group, source)
            for row, sound in zip(rows.tolist(), audio, strict=True):
                limit = int(limits[row])
                out[row, :, :limit] = sound[:, :limit]
        return out[..., :length]

    def _alike(self, limits: Tensor) -> Iterator[tuple[Tensor, int]]:
        """Rows whose items take equally many frames, and how many."""
        frames = [self.frames(limit) for limit in limits.tolist()]
        for count in sorted(set(frames)):
            rows = [row for row, own in enumerate(frames) if own == count]
            yield torch.tensor(rows, device=limits.device), count

    def _encode(self, audio: Tensor) -> list[Tensor]:
        config = self.config
        latents = audio.shape[-1] // config.hop_length
        pieces = []
        for first, last in self._cuts(latents):
            low, high = samples_needed(config, first, last - 1)
            start = max(0, low // config.pad_multiple)
            stop = min(audio.shape[-1] // config.pad_multiple, -(-(high + 1) // config.pad_multiple))
            codes = self._runtime.encode(audio[..., start * config.pad_multiple : stop * config.pad_multiple])
            skip = first - start * config.latents_multiple
            pieces.append([
                level[:, skip // stride : (skip + last - first) // stride]
                for level, stride in zip(codes, config.vq_strides, strict=True)
            ])  # fmt: skip
        return [torch.cat(level, dim=1) for level in zip(*pieces, strict=True)]

    def _decode(self, codes: Sequence[Tensor], noise: NoiseSource) -> Tensor:
        config, hop = self.config, self.config.hop_length
        latents = codes[0].shape[1] * config.vq_strides[0]
        # Pieces go where they belong: joined at the end, an hour would be held twice.
        out = torch.empty(len(codes[0]), 1, latents * hop, device=codes[0].device)
        for first, last in self._cuts(latents):
            low, high = latents_needed(config, first * hop, last * hop - 1)
            multiple = config.latents_multiple
            start = max(0, low // multiple * multiple)
            stop = min(latents, -(-(high + 1) // multiple) * multiple)
            window = [
                level[:, start // stride : stop // stride]
                for level, stride in zip(codes, config.vq_strides, strict=True)
            ]
            audio = self._runtime.decode(window, noise, start)
            out[..., first * hop : last * hop] = audio[..., (first - start) * hop : (last - start) * hop]
        return out

    def _cuts(self, latents: int) -> Iterator[tuple[int, int]]:
        """First and last latent of each piece."""
        for first in range(0, latents, self._piece):
            yield first, min(first + self._piece, latents)
