"""One codec under test: opened, labelled, timed, batched, and decoded from its first levels alone.

Owns what an evaluation asks of any codec with the numbers and verbs of `Snac` (`aoede.codec`'s interface). Knows
nothing of clips or figures.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aoede.codec import Codec, NoiseSource, Snac
from aoede.codec.other import OtherCodec
from aoede.data.inspection import open_codec

__all__ = ["Coded", "Coder", "open_coders"]


@dataclass(frozen=True, kw_only=True)
class Coded:
    """One recording, there and back."""

    codes: list[Tensor]
    """One [1, T_k] a level, on the CPU."""
    audio: NDArray[np.float32]
    """[T], as long as the recording."""
    encode_seconds: float
    """Its share of the batch, by length."""
    decode_seconds: float


class Coder:
    """A codec with a name.

    Args:
        label: how the report calls it.
        codec: `Snac`, or another codec of its interface.
        source: where it came from, for the report.
        device: where it runs.
    """

    def __init__(self, label: str, codec: Codec, source: str = "", device: str = "cpu") -> None:
        self.label, self.source, self.device = label, source or label, torch.device(device)
        self.codec = codec.to(self.device)
        config = codec.config
        self.sample_rate: int = config.sample_rate
        self.num_levels: int = config.num_codebooks
        self.codebook_sizes: list[int] = [config.codebook_size] * config.num_codebooks
        self.code_rates: list[float] = [
            config.sample_rate / (config.hop_length * stride) for stride in config.vq_strides
        ]
        """Codes a second, a level."""
        self.num_parameters = sum(parameter.numel() for parameter in codec.parameters())

    def bit_rate(self, levels: int | None = None) -> float:
        """Bits a second of the first `levels` levels (all by default), each code worth log2(codebook size) bits."""
        chosen = list(zip(self.code_rates, self.codebook_sizes, strict=True))[:levels]
        return sum(rate * math.log2(size) for rate, size in chosen)

    def ladder(self) -> tuple[int, ...]:
        """How many first levels are tried: each number up to 6 levels, else 1, 2, 4, ... and all."""
        if self.num_levels <= 6:
            return tuple(range(1, self.num_levels + 1))
        return (*(1 << i for i in range((self.num_levels - 1).bit_length())), self.num_levels)

    def warm_up(self) -> None:
        """The first run of a network is slow: it is not timed."""
        self.roundtrip([np.zeros(self.sample_rate // 2, dtype=np.float32)])

    def roundtrip(self, recordings: Sequence[NDArray[np.float32]]) -> list[Coded]:
        """Encodes and decodes recordings ([T] each, at this codec's rate) as one batch; each comes out as alone."""
        lengths = [len(recording) for recording in recordings]
        audio = torch.zeros(len(lengths), 1, max(lengths))
        for row, recording in zip(audio, recordings, strict=True):
            row[0, : len(recording)] = torch.from_numpy(recording)
        audio = audio.to(self.device)
        several = None if len(lengths) == 1 else torch.tensor(lengths, device=self.device)
        started = self._clock()
        codes = self.codec.encode(audio, several)
        encoded = self._clock()
        decoded = self.codec.decode(codes, max(lengths), several)
        finished = self._clock()
        samples = decoded[:, 0].float().cpu().numpy()
        found = []
        for i, length in enumerate(lengths):
            share = length / sum(lengths)
            counts = [level.shape[1] for level in codes]
            if several is not None:
                frames = self.codec.frames(length)
                counts = [frames * count for count in self.codec.config.codes_per_frame]
            found.append(
                Coded(
                    codes=[level[i : i + 1, :count].cpu() for level, count in zip(codes, counts, strict=True)],
                    audio=np.ascontiguousarray(samples[i, :length]),
                    encode_seconds=(encoded - started) * share,
                    decode_seconds=(finished - encoded) * share,
                )
            )
        return found

    @torch.no_grad()
    def decode_first(self, codes: Sequence[Tensor], levels: int, length: int) -> NDArray[np.float32]:
        """Audio [length] of the first `levels` levels of a recording: what the later ones add is left out.

        In a residual quantizer the latents are a sum over levels (Siuzdak et al. 2024, section 2.1), so that leaving a
        level out is leaving its summand out. The decoder was trained on the whole sum: what is heard is what each
        level adds, not what a codec made for that rate would give.

        Raises:
            ValueError: levels out of range, or a codec that decodes all of its levels only.
        """
        if not 1 <= levels <= self.num_levels:
            raise ValueError(f"levels is {levels}; {self.label} has 1 to {self.num_levels}")
        chosen = [level.to(self.device) for level in codes[:levels]]
        if isinstance(self.codec, Snac):
            latents = torch.zeros((), device=self.device)
            for level, part in zip(self.codec.quantizer.levels, chosen, strict=False):
                latents = latents + level.expand(level.entries(part))
            audio = self.codec.decoder(latents, NoiseSource("seeded", 0))
        elif isinstance(self.codec, OtherCodec):
            audio = type(self.codec)(self.codec.model, levels).decode(chosen, length)
        else:
            audio = self.codec.decode(chosen, length)
        return np.asarray(audio[0, 0, :length].float().cpu().numpy(), dtype=np.float32)

    def _clock(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def open_coders(names: Sequence[str | os.PathLike[str]], device: str = "cpu") -> list[Coder]:
    """Codecs from `DIR`, `LABEL=DIR`, a kind such as `mimi:DIR`, or the word `bundled`; none at all is `bundled`.

    A codec without a label is called by its folder's name; where two would share it, by the folder above as well.

    Raises:
        ValueError: a codec that cannot be opened, a label given twice or that the report needs itself.
    """
    if device != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"device is {device}, but torch finds no CUDA device here; use cpu")
    wanted = [_split(os.fspath(name)) for name in names or ["bundled"]]
    short = [label or _called(source, 1) for label, source in wanted]
    labels = [
        label or (_called(source, 2) if short.count(name) > 1 else name)
        for (label, source), name in zip(wanted, short, strict=True)
    ]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"two codecs are called {label}; name them: LABEL=DIR")
        if label in ("recording", "voice"):
            raise ValueError(f"the report has its own {label}; give that codec another label: LABEL=DIR")
    return [Coder(label, _open(source), source, device) for label, (_, source) in zip(labels, wanted, strict=True)]


def _split(name: str) -> tuple[str, str]:
    label, sign, source = name.partition("=")
    if not sign or Path(name).exists():
        return "", name
    if not label.strip() or not source:
        raise ValueError(f"{name}: a codec is named LABEL=DIR or DIR")
    return label.strip(), source


def _called(source: str, parts: int) -> str:
    kind, sign, folder = source.partition(":")
    path = Path(folder if sign and folder else source).resolve()
    name = "/".join(path.parts[-parts:])
    return f"{kind}:{name}" if sign and folder else (source if source == "bundled" else name)


def _open(source: str) -> Codec:
    return open_codec(None if source == "bundled" else source)
