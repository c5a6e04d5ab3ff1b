"""Streaming through an exported graph: codes in, audio out, by onnxruntime.

Owns what `export_decoder(streaming=True)` leaves to its caller: positions, the noise at each, the states, the samples
before the first and past the last. Reads all it needs from the file's metadata; knows nothing of the network.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aoede.codec.config import SnacConfig
from aoede.codec.export import FORMAT
from aoede.codec.noise import NoiseMode, NoiseSource
from aoede.codec.stream_step import ENDLESS


class OnnxStreamDecoder:
    """As `StreamDecoder`, from a file; codes go in as whole frames (whole attention windows where there are such).

    Attributes:
        config: the codec's.
        delay: samples by which the audio is late.
        num_samples: samples given out so far.
    """

    def __init__(
        self, path: str | Path, *, noise: NoiseMode = "seeded", seed: int = 0, threads: int | None = None
    ) -> None:
        """Open a file.

        Args:
            path: what `export_decoder(codec, path, streaming=True)` wrote.
            noise: `seeded` or `off`.
            seed: names the noise.
            threads: of one operation; None leaves it to onnxruntime.
        Raises:
            ValueError: a file that is no such graph, or noise that cannot stream.
            ModuleNotFoundError: onnxruntime is not installed (`pip install 'aoede[onnx]'`).
        """
        import onnxruntime  # type: ignore[import-untyped]

        if noise == "random":
            raise ValueError("noise='random' cannot stream exactly: choose 'seeded' or 'off'")
        options = onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        described = json.loads(self._session.get_modelmeta().custom_metadata_map.get("aoede", "{}"))
        if described.get("kind") != "decoder_step" or described.get("format") != FORMAT:
            kind = described.get("kind", "no graph of aoede")
            raise ValueError(
                f"{path} is {kind!r}, format {described.get('format')}: export it with export_decoder(codec, path, "
                f"streaming=True), which writes 'decoder_step', format {FORMAT}"
            )
        self.config = SnacConfig.from_dict(described["config"])
        self.delay: int = described["delay"]
        self.num_samples = 0
        self._tracks: list[dict[str, Any]] = described.get("noise", [])
        self._source = NoiseSource(noise, seed)
        self._shapes = [(state["name"], state["channels"], state["steps"]) for state in described["states"]]
        self._states: dict[str, NDArray[np.float32]] | None = None
        self._batch = 1
        self._latents = 0
        self._flushed = False

    def push(self, codes: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """One [B, T_k] a level -> [B, 1, T], T >= 0: the samples that are final now.

        Raises:
            ValueError: codes that are not whole frames (and windows), or do not fit the stream.
        """
        if self._flushed:
            raise ValueError("the stream was flushed: start a new OnnxStreamDecoder")
        config = self.config
        latents = codes[-1].shape[1] * config.vq_strides[-1] if len(codes) == config.num_codebooks else -1
        if latents < 1 or latents % config.latents_multiple:
            raise ValueError(
                f"codes of {[level.shape for level in codes]}: this graph takes {config.num_codebooks} levels of a "
                f"multiple of {config.latents_multiple // config.vq_strides[0]} frames, {config.codes_per_frame} each"
            )
        expected = [(codes[0].shape[0], latents // stride) for stride in config.vq_strides]
        if [level.shape for level in codes] != expected:
            raise ValueError(f"codes of {[level.shape for level in codes]} do not fit each other: {expected} would")
        if self._states is not None and codes[0].shape[0] != self._batch:
            raise ValueError(f"{codes[0].shape[0]} rows pushed into a stream of {self._batch}")
        if any(level.min() < 0 or level.max() >= config.codebook_size for level in codes):
            raise ValueError(f"a code is outside 0..{config.codebook_size - 1}")
        return self._step(codes, latents, ENDLESS)

    def flush(self) -> NDArray[np.float32]:
        """The samples held back, [B, 1, T]; the stream is over."""
        if self._flushed:
            raise ValueError("the stream was flushed before: start a new OnnxStreamDecoder")
        self._flushed = True
        if self._states is None:
            return np.zeros((1, 1, 0), dtype=np.float32)
        config, total = self.config, self._latents
        latents = -(-self.delay // config.pad_multiple) * config.latents_multiple
        codes = [np.zeros((self._batch, latents // stride), dtype=np.int64) for stride in config.vq_strides]
        left = total * config.hop_length - self.num_samples
        audio = self._step(codes, latents, total)[..., :left]
        self.num_samples = total * config.hop_length
        return audio

    def _step(self, codes: Sequence[NDArray[np.int64]], latents: int, end: int) -> NDArray[np.float32]:
        batch = self._batch = codes[0].shape[0]
        if self._states is None:
            self._states = {
                name: np.zeros((batch, channels, steps), dtype=np.float32) for name, channels, steps in self._shapes
            }
        feed: dict[str, Any] = {f"codes_{level}": values for level, values in enumerate(codes)}
        feed |= {"start": np.full(batch, self._latents), "end": np.full(batch, end)}
        for track in self._tracks:
            feed[track["name"]] = np.repeat(self._noise(track, latents), batch, axis=0)
        audio, *states = self._session.run(None, feed | self._states)
        self._states = dict(zip(self._states, states, strict=True))
        first = self._latents * self.config.hop_length - self.delay
        self._latents += latents
        out: NDArray[np.float32] = audio[..., max(0, -first) :]
        self.num_samples += out.shape[-1]
        return out

    def _noise(self, track: dict[str, Any], latents: int) -> NDArray[np.float32]:
        """[1, 1, steps] of one layer; zeros before the stream's first step, where the graph looks at none."""
        rate = track["steps_per_latent"]
        steps = latents * rate
        first = self._latents * rate - track["delay"]
        out = np.zeros((1, 1, steps), dtype=np.float32)
        stop = first + steps
        if stop > 0:
            begin = max(0, first)
            drawn = self._source.draw(1, track["layer"], begin, stop - begin, torch.zeros(0))
            if drawn is not None:
                out[..., begin - first :] = drawn.numpy()
        return out
