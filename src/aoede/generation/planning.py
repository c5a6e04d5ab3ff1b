"""Plans: what is to be spoken of a text or a dialogue, piece by piece, and which recordings are heard on the way.

Owns speakers, sentences, pauses and paces; reads texts with `reading.py`. How a recording becomes frames is told by the
voice. Everything that can be wrong with a request is found here, before the first frame is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from aoede.generation.given import Recording
from aoede.generation.joining import TURN_PAUSE_SECONDS
from aoede.generation.reading import TextReader
from aoede.generation.script import Turn
from aoede.generation.stream import Piece

Hear = Callable[[Recording, str | None, str | None, list[str]], tuple[Tensor, float]]
"""A recording, its text, who speaks, notes to add to -> its turn [n, S + 1] and its pace in seconds a text id."""


@dataclass
class Plan:
    """What a stream goes through."""

    texts: list[str]
    """One a turn."""

    pieces: list[Piece] = field(default_factory=list)
    recordings: list[Tensor] = field(default_factory=list)
    """Turns [n, S + 1] that come first."""

    notes: list[str] = field(default_factory=list)


class Planner:
    """Plans for one voice."""

    def __init__(self, reader: TextReader, hear: Hear, default_speaker: str | None) -> None:
        self.reader, self.hear, self.default_speaker = reader, hear, default_speaker

    def text(
        self, text: str, speaker: str | None, reference: Recording | None = None, reference_text: str | None = None
    ) -> Plan:
        """One text, perhaps in the voice of a recording.

        Raises:
            ValueError: an unknown speaker, nothing to say, a recording without its text or the other way round.
        """
        plan = Plan([text])
        speaker = self.speaker(speaker, is_clone=reference is not None)
        pace = None
        if reference is not None:
            heard, pace = self.hear(reference, reference_text, speaker, plan.notes)
            plan.recordings.append(heard)
        elif reference_text is not None:
            raise ValueError("reference_text is the text of a recording: give the recording too (reference)")
        plan.pieces += self._pieces(text, speaker, plan.notes, pace)
        return plan

    def turns(self, turns: Sequence[Turn]) -> Plan:
        """A dialogue. Recordings before the first spoken turn are heard by all turns, later ones as they come.

        Raises:
            ValueError: what is wrong with a turn, with its number; no turn to speak.
        """
        plan = Plan([turn.text for turn in turns])
        last = max((index for index, turn in enumerate(turns) if turn.audio is None), default=None)
        if last is None:
            raise ValueError("every turn of the dialogue is a recording: add one that is to be spoken")
        paces: dict[str | None, float] = {}
        for index, turn in enumerate(turns):
            try:
                speaker = self.speaker(turn.speaker)
                if turn.audio is None:
                    gap = TURN_PAUSE_SECONDS if turn.pause is None and index < last else turn.pause
                    plan.pieces += self._pieces(turn.text, speaker, plan.notes, paces.get(speaker), index, gap)
                    continue
                heard, paces[speaker] = self.hear(turn.audio, turn.text, speaker, plan.notes)
            except ValueError as error:
                raise ValueError(f"turn {index + 1}: {error}") from None
            if plan.pieces:
                plan.pieces.append(Piece(turn.text, [], speaker, index, heard=heard))
            else:
                plan.recordings.append(heard)
        return plan

    def speaker(self, speaker: str | None, is_clone: bool = False) -> str | None:
        """Whose name is written.

        Raises:
            ValueError: a name that the voice does not have (lists those it has).
        """
        settings = self.reader.settings
        if speaker is None:
            if is_clone and settings.reference_speaker is not None:
                return settings.reference_speaker or None
            return self.default_speaker
        if speaker not in settings.speakers:
            known = ", ".join(settings.speakers) or "none, it has a single unnamed speaker"
            raise ValueError(f"unknown speaker {speaker!r}; this voice has: {known}")
        return speaker

    def _pieces(
        self,
        text: str,
        speaker: str | None,
        notes: list[str],
        pace: float | None,
        turn: int = 0,
        gap: float | None = None,
    ) -> list[Piece]:
        """The sentences of one turn; `gap` follows the last."""
        sentences = self.reader.sentences(text, speaker, notes)
        pieces = [Piece(sentence, ids, speaker, turn, pace=pace) for sentence, ids in sentences]
        return [*pieces[:-1], replace(pieces[-1], gap=gap)]
