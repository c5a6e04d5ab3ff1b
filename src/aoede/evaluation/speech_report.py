"""What an evaluation of voices found beside the figures: who spoke, what real recordings reach, where it goes wrong.

Owns the data that only a voice's report has, their JSON and Markdown. What it shares with a codec's is `report.py`'s,
the page with players `speech_page.py`'s.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aoede.evaluation.codec import LevelUse
from aoede.evaluation.figures import FAULT_SHARES, FIGURES, WORD_KINDS, Figure
from aoede.evaluation.listening import Utterance
from aoede.evaluation.report import Report, markdown_table, plain_interval

__all__ = ["CodecUse", "SpeechReport", "SystemSheet"]

Ceiling = Literal["same texts", "prompts", "other texts", "none"]

CEILINGS = {
    "same texts": "people saying the same texts: the ceiling",
    "prompts": "the recordings to speak like, with their own texts: the ceiling. Their speaker similarity is that of "
    "one half with the other",
    "other texts": "people saying other texts: the ceiling",
    "none": "no recording of a person was heard: how much of the errors is the recogniser's own is not known here "
    "(--recordings MANIFEST has it hear some)",
}


@dataclass(frozen=True, kw_only=True)
class SystemSheet:
    """What is known of a system apart from its speech."""

    label: str
    source: str


@dataclass(frozen=True, kw_only=True)
class CodecUse:
    """The round trip of the recordings through the codec of a voice."""

    system: str
    """The round trip's own name among the systems."""
    voices: tuple[str, ...]
    """Labels of the voices that speak through it."""
    levels: tuple[LevelUse, ...]


@dataclass(frozen=True, kw_only=True)
class SpeechReport(Report):
    """Texts said by one or more systems, with recordings of people and their codec round trip beside them."""

    sheets: tuple[SystemSheet, ...]
    """In the order given; the first is what the others are compared with."""
    codecs: tuple[CodecUse, ...] = ()
    ceiling: Ceiling = "same texts"
    """What "recording" holds."""
    references: Mapping[str, str] = field(default_factory=dict)
    """File of the recording that a text was to be spoken like, by the text's id."""

    @property
    def labels(self) -> tuple[str, ...]:
        """See `Report.labels`."""
        return tuple(sheet.label for sheet in self.sheets)

    @property
    def columns(self) -> tuple[Figure, ...]:
        """See `Report.columns`: the further measures after speaker similarity."""
        found: list[Figure] = []
        for figure in FIGURES:
            found.append(figure)
            if figure.name == "speaker similarity":
                found += self.extra
        return tuple(found)

    def name(self, system: str) -> str:
        """See `Report.name`."""
        if system == "recording":
            return {"prompts": "prompts (recordings)", "other texts": "recordings of other texts"}.get(
                self.ceiling, "recordings"
            )
        return "codec round trip" if system == "codec" else system

    @property
    def ceiling_words(self) -> str:
        """What "recording" holds, in words."""
        return CEILINGS[self.ceiling]

    def trouble(self, made: Sequence[Utterance]) -> tuple[float, ...]:
        """See `Report.trouble`: most faults, then least like the speaker."""
        near = [u.similarity for u in made if u.similarity is not None]
        return -max(len(u.faults) for u in made), min(near, default=0.0)

    def details(self) -> list[Figure]:
        """Word errors by kind, then the share of clips with each fault, as far as there are any."""
        known = [f for f in WORD_KINDS if any(self.compute(f, system) is not None for system in self.systems)]
        return [*known, *FAULT_SHARES]

    def parts(self) -> list[list[str]]:
        """See `Report.parts`: what goes wrong, and codebooks, before the notes."""
        *figures, notes = super().parts()
        told = [] if self.ceiling == "same texts" else [f"- {self.name('recording')}: {self.ceiling_words}"]
        return [*figures, self._details(), self._codebooks(), told + notes]

    def _details(self) -> list[str]:
        rows = [[f.title, *(f.show(self.compute(f, system)) for system in self.systems)] for f in self.details()]
        return markdown_table(["where it goes wrong", *map(self.name, self.systems)], rows)

    def _codebooks(self) -> list[str]:
        rows = [
            [self.name(codec.system), str(i), f"{use.utilisation:.1%}", f"{use.bits:.2f}", f"{use.perplexity:.0f}",
             f"{use.num_codes:,}"]
            for codec in self.codecs
            for i, use in enumerate(codec.levels, 1)
        ]  # fmt: skip
        return markdown_table(["", "level", "codes used", "entropy, bits", "perplexity", "codes counted"], rows)

    def to_dict(self) -> dict[str, Any]:
        """`Report.to_dict`, and what only voices have."""
        data = super().to_dict()
        for sheet in self.sheets:
            compared = {} if sheet.label == self.labels[0] else dict(self.differences(sheet.label))
            data["systems"][sheet.label] |= {
                "source": sheet.source,
                "against the first system": plain_interval(compared),
            }
        for system in self.systems:
            data["systems"][system]["where it goes wrong"] = plain_interval(
                {figure.name: self.compute(figure, system) for figure in self.details()}
            )
        data["recordings hold"] = self.ceiling
        data["references"] = dict(self.references)
        data["codecs"] = [dataclasses.asdict(codec) for codec in self.codecs]
        return data

    def page(self, worst: int) -> str:
        """The whole report as HTML that needs nothing else."""
        from aoede.evaluation.speech_page import render

        return render(self, worst)
