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

from aoede.codec import Codec, Snac, StreamDecoder
from aoede.codec.folding import FoldedDecoder
from aoede.generation.engine import Engine
from aoede.generation.requests import End, Request
from aoede.generation.sampling import Sampling
from aoede.generation.sound import Audio
from aoede.tokens import FrameLayout

FIRST_FRAMES, GROWTH, MOST_FRAMES = 4, 1.5, 24
"""Frames of the first piece that is decoded, how much longer the next may be, and the longest."""


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


class FrameDecoder:
    """Frames in, samples out: the pieces are, sample for sample, one decode of all frames.

    A codec that is no SNAC decodes all at once, at the end.
    """

    def __init__(self, codec: Codec, layout: FrameLayout, seed: int, folded: FoldedDecoder | None) -> None:
        self.codec, self.layout, self.seed = codec, layout, seed
        self.device = next(codec.parameters()).device
        self.stream = StreamDecoder(codec, seed=seed, folded=folded) if isinstance(codec, Snac) else None
        self._held: list[Tensor] = []
        self._last: Tensor | None = None
        self._num_frames = self._num_given = 0

    def push(self, frames: Sequence[Tensor]) -> Iterator[NDArray[np.float32]]:
        """Frames [S] each; yields the samples that are final now, if any."""
        self._num_frames += len(frames)
        self._last = frames[-1]
        if self.stream is None:
            self._held += frames
            return
        with torch.inference_mode():
            audio = self.stream.push(self._codes(frames))
        yield from self._given(audio)

    def finish(self) -> Iterator[NDArray[np.float32]]:
        """The samples held back."""
        with torch.inference_mode():
            audio = self.codec.decode(self._codes(self._held), seed=self.seed) if self.stream is None else self._rest()
        yield from self._given(audio)

    def _rest(self) -> Tensor:
        assert isinstance(self.codec, Snac) and self.stream is not None and self._last is not None
        config = self.codec.config
        # Where a codec attends in windows, the last one is filled with its last frame, which is then cut off.
        missing = -self._num_frames % (config.latents_multiple // config.vq_strides[0])
        first = self.stream.push(self._codes([self._last] * missing)) if missing else None
        rest = self.stream.flush()
        return rest if first is None else torch.cat([first, rest], dim=-1)

    def _codes(self, frames: Sequence[Tensor]) -> list[Tensor]:
        return self.layout.unflatten(torch.stack(list(frames))[None].to(self.device))

    def _given(self, audio: Tensor) -> Iterator[NDArray[np.float32]]:
        left = self._num_frames * self.codec.config.frame_length - self._num_given
        samples: NDArray[np.float32] = audio[0, 0, :left].float().cpu().numpy()
        self._num_given += len(samples)
        if len(samples):
            yield samples


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
            yield from decoder.push(self._frames)
        waiting: list[Tensor] = []
        wanted = float(FIRST_FRAMES)
        for step in engine.generate([request], request.sampling or Sampling()):
            if step.frame is None:
                self.end = step.end
                continue
            self._frames.append(step.frame)
            waiting.append(step.frame)
            self._num_made += 1
            if len(waiting) >= int(wanted):
                yield from decoder.push(waiting)
                waiting, wanted = [], min(wanted * GROWTH, MOST_FRAMES)
        if self._num_made < request.max_frames:
            made, asked = (frames * self._frame_seconds for frames in (self._num_made, request.max_frames))
            self._notes.append(f"the model ended it after {made:.2f} of {asked:.2f} s")
        self._frames += after
        if waiting := [*waiting, *after]:
            yield from decoder.push(waiting)
        yield from decoder.finish()
