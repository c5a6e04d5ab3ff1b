"""What a prior gives: the samples as they are made, and the whole.

Owns the order in which frames become samples (what was given before, what is generated, what was given after) and the
account of it. Which request is made is `prior.py`'s business, drawing the engine's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aoede.generation.decoders import FrameDecoder, piece_lengths
from aoede.generation.engine import Engine
from aoede.generation.requests import End, Request
from aoede.generation.sampling import Sampling
from aoede.generation.sound import Audio


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneratedAudio(Audio):
    """Sound of a prior, what was given to it included."""

    frames: Tensor
    """[F, S] int64, all of it as codes in slot order."""

    made: tuple[float, float]
    """From where to where it is generated, in seconds."""

    end: End
    """"closed" where the model ended it, "cut" where the budget did."""

    @property
    def new_samples(self) -> NDArray[np.float32]:
        """The generated part alone, [T]; it begins and ends wherever the sound around it stands."""
        start, stop = (round(seconds * self.sample_rate) for seconds in self.made)
        return self.samples[start:stop]


class PriorStream:
    """Samples as they are made: iterate for float32 chunks [T]. What was given comes first, as the codec decodes it.

    Attributes:
        sample_rate: Hz.
        seed: as asked for.
        end: None until it has ended; then "closed" or "cut".
        compute_seconds, first_audio_seconds: wall time so far, and until the first samples.
    """

    def __init__(
        self,
        engine: Engine,
        request: Request,
        decoder: FrameDecoder,
        *,
        before: Sequence[Tensor],
        after: Sequence[Tensor],
        seed: int,
        notes: Sequence[str],
    ) -> None:
        """Frames [S] that stand before and after what the request generates."""
        config = decoder.codec.config
        self.sample_rate, self.seed = int(config.sample_rate), seed
        self.compute_seconds = self.first_audio_seconds = 0.0
        self.end: End | None = None
        self._notes = list(notes)
        self._frames = [*before]
        self._num_before, self._num_made = len(self._frames), 0
        self._frame_seconds = config.frame_length / config.sample_rate
        self._chunks = self._run(engine, request, decoder, after)

    @property
    def frames(self) -> Tensor:
        """[F, S] int64 so far, what was given included."""
        return torch.stack(self._frames)

    @property
    def made(self) -> tuple[float, float]:
        """From where to where it is generated, in seconds, so far."""
        start = self._num_before
        return start * self._frame_seconds, (start + self._num_made) * self._frame_seconds

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know, so far."""
        return tuple(self._notes)

    def __iter__(self) -> PriorStream:
        return self

    def __next__(self) -> NDArray[np.float32]:
        started = time.perf_counter()
        try:
            return next(self._chunks)
        finally:
            self.compute_seconds += time.perf_counter() - started
            self.first_audio_seconds = self.first_audio_seconds or self.compute_seconds

    def close(self) -> None:
        """Stop early."""
        self._chunks.close()

    def collect(self) -> GeneratedAudio:
        """Run to the end and give the whole."""
        samples = np.concatenate(list(self))
        assert self.end is not None
        return GeneratedAudio(
            samples=samples,
            sample_rate=self.sample_rate,
            seed=self.seed,
            cut=self.end == "cut",
            notes=self.notes,
            compute_seconds=self.compute_seconds,
            first_audio_seconds=self.first_audio_seconds,
            frames=self.frames,
            made=self.made,
            end=self.end,
        )

    def _run(
        self, engine: Engine, request: Request, decoder: FrameDecoder, after: Sequence[Tensor]
    ) -> Iterator[NDArray[np.float32]]:
        if self._frames:
            yield from _some(decoder.push(self._frames))
        waiting: list[Tensor] = []
        lengths = piece_lengths()
        wanted = next(lengths)
        for step in engine.generate([request], request.sampling or Sampling()):
            if step.frame is None:
                self.end = step.end
                continue
            self._frames.append(step.frame)
            waiting.append(step.frame)
            self._num_made += 1
            if len(waiting) >= wanted:
                yield from _some(decoder.push(waiting))
                waiting, wanted = [], next(lengths)
        if self._num_made < request.max_frames:
            made, asked = (frames * self._frame_seconds for frames in (self._num_made, request.max_frames))
            self._notes.append(f"the model ended it after {made:.2f} of {asked:.2f} s")
        self._frames += after
        if waiting := [*waiting, *after]:
            yield from _some(decoder.push(waiting))
        yield from _some(decoder.finish())


def _some(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """A chunk, or none where there is nothing in it."""
    return [samples] if len(samples) else []
