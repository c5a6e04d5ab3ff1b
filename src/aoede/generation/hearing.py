"""Recordings to speak like: as a turn that a two-stage model hears, or as what a flat one goes on from.

Owns which voices can, and how a recording and its text become ids and frames. Knows nothing of what is written after
them: that is `writers.py`'s.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from aoede.codec import Codec
from aoede.generation.given import Recording, as_frames
from aoede.generation.planning import Plan
from aoede.generation.reading import TextReader
from aoede.generation.writers import turn_frames
from aoede.models import CodecCausalLM, TwoStageModel
from aoede.tokens import FrameLayout


class Hearing:
    """What one voice makes of recordings."""

    def __init__(
        self, codec: Codec, layout: FrameLayout, model: CodecCausalLM | TwoStageModel, reader: TextReader, name: str
    ) -> None:
        self.codec, self.layout, self.model, self.reader, self.name = codec, layout, model, reader, name
        self.settings = reader.settings

    @property
    def can_clone(self) -> bool:
        """Whether the voice speaks like a recording."""
        return isinstance(self.model, TwoStageModel) or self.settings.reference_speaker is not None

    def turn(
        self, recording: Recording, text: str | None, speaker: str | None, notes: list[str]
    ) -> tuple[torch.Tensor, float]:
        """A recording as a turn [n, S + 1], its text ids and its frames, and its pace in seconds a text id.

        Raises:
            ValueError: a voice that cannot, a recording without its text, or one that cannot be read.
        """
        if not self.can_clone:
            raise ValueError(
                f"voice {self.name!r} cannot speak like a recording: its model is flat and hears no earlier turn; use "
                "a two-stage voice, or a flat one that was trained with speaker_dropout"
            )
        if text is None or not text.strip():
            raise ValueError("a recording to speak like needs its text, word for word (reference_text)")
        given = as_frames(recording, self.codec, self.layout)
        notes += given.notes
        if self.settings.context_turns == 0:
            notes.append(f"voice {self.name!r} was trained without earlier turns: it may not follow the recording")
        ids = self.reader.ids(text, speaker, notes)
        pace = len(given.frames) / self.codec.config.frame_rate / len(ids)
        if isinstance(self.model, TwoStageModel):
            return turn_frames(self.model, ids, given.frames), pace
        ids = self.reader.said_before(ids)
        heard = torch.full((len(ids) + len(given.frames), self.layout.num_slots + 1), -1)
        heard[: len(ids), -1], heard[len(ids) :, :-1] = torch.tensor(ids), given.frames
        return heard, pace

    def go_on(self, plan: Plan, speed: float) -> None:
        """A flat voice reads a recording's text and the new one in one breath: named once, at one pace.

        Raises:
            ValueError: another speed.
        """
        if speed != 1.0:
            raise ValueError(
                f"speed {speed}: a flat voice keeps the pace of the recording it goes on from; leave it at 1"
            )
        plan.pieces = [replace(piece, ids=self.reader.without_name(piece.ids)) for piece in plan.pieces]
        frames = sum(int((turn[:, 0] >= 0).sum()) for turn in plan.recordings)
        seconds, most = frames / self.codec.config.frame_rate, self.settings.max_seconds / 2
        if seconds > most:
            plan.notes.append(
                f"the recording has {seconds:.1f} s, and what follows is read behind it: "
                f"less than {most:g} s sounds better"
            )
