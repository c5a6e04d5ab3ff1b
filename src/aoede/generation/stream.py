"""A speech while it is made: utterance after utterance, frames to samples, samples to chunks.

Owns the order of things between a prepared text and its samples: seeds, the length guard, decoding, edges and pauses.
What is said, and by whom, is `speech.py`'s; who writes the frames is `writers.py`'s.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from aoede.generation.decoders import FrameDecoder, piece_lengths
from aoede.generation.joining import EdgeFader, pause, silence
from aoede.generation.reading import shorten
from aoede.generation.sound import Audio, SpokenTurn
from aoede.generation.writers import Utterance, Writer


@dataclass(frozen=True)
class Piece:
    """One utterance: a sentence, or a part of a long one; or a recording that is heard and not spoken."""

    written: str
    ids: list[int]
    speaker: str | None
    turn: int = 0
    gap: float | None = None
    """Seconds of silence after it; None: what its last sign asks for, where something follows."""

    pace: float | None = None
    """Seconds a text id, as in a recording of the speaker; None: what the voice knows of the speaker."""

    heard: torch.Tensor | None = None
    """[n, S + 1], the frames of a recorded turn."""


class Pacing(Protocol):
    """What a stream asks of a voice."""

    @property
    def sample_rate(self) -> int:
        """Hz."""

    @property
    def frame_rate(self) -> float:
        """Frames a second."""

    def guard_seconds(
        self, num_units: int, speaker: str | None, speed: float = 1.0, pace: float | None = None
    ) -> float:
        """The most seconds that so many text ids may take."""

    def redraw_seconds(
        self, num_units: int, speaker: str | None, speed: float = 1.0, pace: float | None = None
    ) -> float | None:
        """Seconds after which a short utterance is drawn anew; None: never."""

    def text_stride(
        self, num_units: int, speaker: str | None, speed: float = 1.0, pace: float | None = None
    ) -> float | None:
        """Codec ids a text id."""

    def open_decoder(self, seed: int) -> FrameDecoder:
        """A decoder for one utterance."""


class SpeechStream:
    """Samples of a text as they are made: iterate for float32 chunks [T].

    Afterwards `cut`, `notes` and `turns` are complete.
    """

    def __init__(
        self,
        voice: Pacing,
        writer: Writer,
        pieces: Sequence[Piece],
        texts: Sequence[str],
        *,
        seed: int,
        speed: float,
        notes: list[str],
        chunk_frames: int | None = None,
    ) -> None:
        """Begin.

        Args:
            texts: what each turn says, for `turns`.
            chunk_frames: frames a chunk; None begins with few and lets them grow.
        """
        self.sample_rate, self.seed = voice.sample_rate, seed
        speakers = list(dict.fromkeys(piece.speaker for piece in pieces if piece.heard is None))
        self.speaker = speakers[0] if len(speakers) == 1 else None
        self.num_text_ids = sum(len(piece.ids) for piece in pieces if piece.heard is None)
        self.cut = False
        self.compute_seconds = 0.0
        self.first_audio_seconds = 0.0
        self._notes, self._writer, self._texts = notes, writer, texts
        self._spans: dict[int, SpokenTurn] = {}
        self._count = 0
        self._chunks = self._run(voice, pieces, speed, chunk_frames)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know, so far."""
        return tuple(dict.fromkeys([*self._notes, *self._writer.notes]))

    @property
    def turns(self) -> tuple[SpokenTurn, ...]:
        """Who said what when, so far."""
        return tuple(self._spans.values())

    def __iter__(self) -> SpeechStream:
        return self

    def __next__(self) -> NDArray[np.float32]:
        started = time.perf_counter()
        try:
            chunk: NDArray[np.float32] = next(self._chunks)
            self._count += len(chunk)
            return chunk
        finally:
            self.compute_seconds += time.perf_counter() - started
            self.first_audio_seconds = self.first_audio_seconds or self.compute_seconds

    def close(self) -> None:
        """Stop early."""
        self._chunks.close()

    def collect(self, text: str, prepared: float = 0.0) -> Audio:
        """All of it.

        Args:
            text: what was asked for.
            prepared: seconds that went by before the stream began.
        """
        samples = np.concatenate([np.zeros(0, np.float32), *self])
        return Audio(
            samples=samples,
            sample_rate=self.sample_rate,
            text=text,
            speaker=self.speaker,
            seed=self.seed,
            cut=self.cut,
            notes=self.notes,
            turns=self.turns,
            compute_seconds=prepared + self.compute_seconds,
            first_audio_seconds=prepared + self.first_audio_seconds,
        )

    def _run(
        self, voice: Pacing, pieces: Sequence[Piece], speed: float, chunk_frames: int | None
    ) -> Iterator[NDArray[np.float32]]:
        number = 0
        last = max(index for index, piece in enumerate(pieces) if piece.heard is None)
        for index, piece in enumerate(pieces):
            if piece.heard is not None:
                self._writer.hear(piece.heard)
                continue
            fader = EdgeFader(self.sample_rate)
            start = self._count
            for samples in self._speak(voice, piece, number, speed, chunk_frames):
                if len(chunk := fader.push(samples)):
                    yield chunk
            if len(chunk := fader.finish()):
                yield chunk
            self._mark(piece, start)
            number += 1
            if piece.gap is not None:
                yield silence(piece.gap, self.sample_rate)
            elif index < last:
                yield pause(piece.written, self.sample_rate)

    def _mark(self, piece: Piece, start: int) -> None:
        before = self._spans.get(piece.turn)
        self._spans[piece.turn] = SpokenTurn(
            text=self._texts[piece.turn],
            speaker=piece.speaker,
            start=start / self.sample_rate if before is None else before.start,
            end=self._count / self.sample_rate,
        )

    def _speak(
        self, voice: Pacing, piece: Piece, number: int, speed: float, chunk_frames: int | None
    ) -> Iterator[NDArray[np.float32]]:
        """One utterance, sample for sample what one decode of all its frames gives."""
        # Independent of one another and of how many sentences there are: sentence i sounds the same in any text.
        draw_seed, noise_seed = np.random.SeedSequence([self.seed, number]).generate_state(2).tolist()
        units, pace = len(piece.ids), piece.pace
        limit = voice.guard_seconds(units, piece.speaker, speed, pace)
        beyond = voice.redraw_seconds(units, piece.speaker, speed, pace)
        utterance = Utterance(
            ids=piece.ids,
            redraw_beyond=None if beyond is None else math.ceil(beyond * voice.frame_rate),
            seed=draw_seed,
            max_frames=max(1, math.ceil(limit * voice.frame_rate)),
            text_stride=voice.text_stride(units, piece.speaker, speed, pace),
        )
        decoder = voice.open_decoder(noise_seed)
        frames: list[torch.Tensor] = []
        count = 0
        lengths = piece_lengths() if chunk_frames is None else itertools.repeat(chunk_frames)
        wanted = next(lengths)
        for step in self._writer.write(utterance):
            if step.frame is not None:
                frames.append(step.frame)
                count += 1
                if len(frames) >= wanted:
                    yield decoder.push(frames)
                    frames, wanted = [], next(lengths)
            elif step.end == "cut":
                self.cut = True
                seconds = count / voice.frame_rate
                self._notes.append(f"cut after {seconds:.1f} s without an end: {shorten(piece.written)}")
            elif count < 2:  # a two-stage model always has a first frame
                said = f"the model ended at once and said {'next to ' * count}nothing of {shorten(piece.written)}"
                self._notes.append(f"{said}: try another seed")
        if frames:
            yield decoder.push(frames)
        yield decoder.finish()
