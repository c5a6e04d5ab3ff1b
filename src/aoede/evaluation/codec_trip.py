"""Recordings through the codecs of voices: what a voice could reach at best, each codec once.

Owns the timing of a round trip and the count of its codes. Knows nothing of texts or figures.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from aoede.codec import Codec
from aoede.data.audio import load_audio
from aoede.data.manifest import Clip
from aoede.evaluation.codec import CodebookUse
from aoede.evaluation.systems import System

__all__ = ["CodecTrip", "Copy", "trips_of"]


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One recording, there and back."""

    recording: NDArray[np.float32]
    """[T] at `sample_rate`."""
    audio: NDArray[np.float32]
    """[T]"""
    sample_rate: int
    codes: list[torch.Tensor]
    """One [1, T_k] a level, on the CPU."""
    compute_seconds: float


class CodecTrip:
    """A codec that recordings are sent through, and the use of its books.

    Args:
        voices: labels of the voices that speak through it.
    """

    def __init__(self, codec: Codec, voices: Sequence[str]) -> None:
        self.codec, self.voices = codec, list(voices)
        self.name = "codec"
        """Its name among the systems of a report."""
        self.use = CodebookUse([codec.config.codebook_size] * codec.config.num_codebooks)
        first = next(iter(codec.parameters()), None)
        self._device = torch.device("cpu") if first is None else first.device

    def warm_up(self) -> None:
        """The first run of a network is slow: it is not timed."""
        self.codec.decode(self.codec.encode(torch.zeros(1, 1, self.codec.config.sample_rate, device=self._device)))

    def send(self, clip: Clip) -> Copy:
        """A recording and its copy, at the codec's rate; its codes are not counted yet."""
        rate = self.codec.config.sample_rate
        recording, _ = load_audio(clip.audio_source(), rate)
        recording = np.clip(recording, -1, 1)
        started = time.perf_counter()
        codes = self.codec.encode(torch.from_numpy(recording)[None, None].to(self._device))
        audio = self.codec.decode(codes, length=len(recording))[0, 0].cpu().numpy()
        return Copy(
            recording=recording,
            audio=audio,
            sample_rate=rate,
            codes=[level.cpu() for level in codes],
            compute_seconds=time.perf_counter() - started,
        )


def trips_of(systems: Sequence[System]) -> list[CodecTrip]:
    """The codecs of the systems, each once: checkpoints of one voice mostly share theirs."""
    found: list[CodecTrip] = []
    for system in systems:
        if system.codec is None:
            continue
        known = next((trip for trip in found if _equal(trip.codec, system.codec)), None)
        if known is None:
            found.append(CodecTrip(system.codec, [system.label]))
        else:
            known.voices.append(system.label)
    if len(found) > 1:
        for trip in found:
            trip.name = f"codec of {trip.voices[0]}"
    return found


def _equal(one: Codec, other: Codec) -> bool:
    """Whether two codecs make the same sound; codes that mean the same may still go through another decoder."""
    if one is other:
        return True
    ours, theirs = list(one.parameters()), list(other.parameters())
    return (
        type(one) is type(other)
        and one.fingerprint() == other.fingerprint()
        and len(ours) == len(theirs)
        and all(a.shape == b.shape and bool((a == b).all()) for a, b in zip(ours, theirs, strict=True))
    )
