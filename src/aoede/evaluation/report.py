"""The report: figures of each system with their intervals, as data, JSON and a Markdown table.

Owns what is said of each system and how it is written down. Which figures there are is `figures.py`'s, the page with
players `page.py`'s, how an utterance is measured `listening.py`'s.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aoede.evaluation.codec import LevelUse
from aoede.evaluation.figures import FIGURES, WORD_ERRORS, Figure
from aoede.evaluation.intervals import Interval, mean
from aoede.evaluation.listening import Utterance

__all__ = ["Report", "plain_interval", "plain_utterance", "write_texts"]

NAMES = {"recording": "recordings", "codec": "codec round trip", "voice": "voice"}


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that an evaluation found."""

    title: str
    settings: Mapping[str, str]
    """What a reader needs to repeat it."""
    utterances: tuple[Utterance, ...]
    levels: tuple[LevelUse, ...] = ()
    """Use of each codebook over the set."""
    failures: tuple[tuple[str, str], ...] = ()
    """(clip id, why) of clips that could not be measured."""
    folder: Path
    """Where the audio lies and the report goes."""

    @property
    def columns(self) -> tuple[Figure, ...]:
        """Every figure that could be shown, in order."""
        return FIGURES

    def name(self, system: str) -> str:
        """A system as a person reads it."""
        return NAMES.get(system, system)

    @property
    def systems(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(u.system for u in self.utterances))

    def of(self, system: str, speaker: str | None = None) -> list[Utterance]:
        """The utterances of a system (and of a speaker), in the order of the clips."""
        return [u for u in self.utterances if u.system == system and speaker in (None, u.speaker)]

    def figures(self, system: str, speaker: str | None = None) -> dict[str, Interval | None]:
        """Every figure of a system by name; None where nothing was measured."""
        chosen = self.of(system, speaker)
        return {figure.name: figure.compute(chosen) for figure in self.columns}

    def added_errors(self, system: str, baseline: str = "recording") -> Interval | None:
        """Word errors a word above the baseline's, on the same texts, with a paired interval."""
        return None if system == baseline else WORD_ERRORS.against(self.of(system), self.of(baseline))

    def shown(self) -> list[Figure]:
        """The figures that at least one system has."""
        return [f for f in self.columns if any(f.compute(self.of(system)) is not None for system in self.systems)]

    def worst(self, system: str, count: int) -> list[Utterance]:
        """The utterances a listener should hear first: most word errors a word, then faults, then least similar."""
        order = sorted(
            self.of(system),
            key=lambda u: (-(u.score.wer if u.score else 0), -len(u.faults), u.similarity or 0, -(u.mel_distance or 0)),
        )
        return order[:count]

    def stranger_similarity(self) -> float | None:
        """What recordings get against other speakers: the floor of speaker similarity."""
        found = [u.stranger_similarity for u in self.of("recording") if u.stranger_similarity is not None]
        return mean(found).value if found else None

    def markdown(self) -> str:
        """Tables for docs/results: one row a figure, one column a system, then the codebooks."""
        systems = self.systems
        lines = ["| | " + " | ".join(NAMES.get(s, s) for s in systems) + " |", "|---" * (len(systems) + 1) + "|"]
        for figure in self.shown():
            lines.append(
                f"| {figure.title} | " + " | ".join(figure.show(figure.compute(self.of(s))) for s in systems) + " |"
            )
        added = [self.added_errors(system) for system in systems]
        if any(added):
            cells = " | ".join(WORD_ERRORS.show(interval) for interval in added)
            lines.append(f"| word errors above the recordings (points) | {cells} |")
        if self.levels:
            lines += ["", "| level | codes used | perplexity | bits a code | codes counted |", "|---|---|---|---|---|"]
            lines += [
                f"| {i} | {level.utilisation:.1%} | {level.perplexity:.0f} | {level.bits:.2f} | {level.num_codes:,} |"
                for i, level in enumerate(self.levels)
            ]
        lines += ["", *(f"- {name}: {value}" for name, value in self.settings.items())]
        floor = self.stranger_similarity()
        if floor is not None:
            lines.append(f"- speaker similarity of recordings to other speakers: {floor:.3f}")
        lines += [f"- not measured: {name}: {why}" for name, why in self.failures]
        lines.append("- in brackets: 95 % interval, bootstrap over clips")
        return "\n".join(lines) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Plain data: figures a system (and a speaker), codebooks, every utterance with its alignment."""
        speakers = sorted({u.speaker for u in self.utterances if u.speaker is not None})
        return {
            "title": self.title,
            "settings": dict(self.settings),
            "systems": {
                system: {
                    "figures": plain_interval(self.figures(system)),
                    "word errors above the recordings": plain_interval(self.added_errors(system)),
                    "speakers": {
                        name: plain_interval(self.figures(system, name)) for name in speakers if self.of(system, name)
                    },
                }
                for system in self.systems
            },
            "speaker similarity of strangers": self.stranger_similarity(),
            "codebooks": [dataclasses.asdict(level) for level in self.levels],
            "failures": [{"id": name, "why": why} for name, why in self.failures],
            "utterances": [plain_utterance(u) for u in self.utterances],
        }

    def save(self, worst: int = 12) -> Path:
        """Writes `report.json`, `report.md` and `report.html` (self-contained) into the folder; returns the page.

        Args:
            worst: utterances with players and spectrograms on the page.
        """
        texts = {
            "report.json": json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
            "report.md": self.markdown(),
            "report.html": self.page(worst),
        }
        write_texts(self.folder, texts)
        return self.folder / "report.html"

    def page(self, worst: int) -> str:
        """The whole report as HTML that needs nothing else."""
        from aoede.evaluation.page import render

        return render(self, worst)


def write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    """Writes files into a folder, each under a temporary name first."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        temporary = folder / f".{name}.{os.getpid()}.tmp"
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, folder / name)


def plain_interval(value: Interval | Mapping[str, Interval | None] | None) -> Any:
    if isinstance(value, Mapping):
        return {name: plain_interval(part) for name, part in value.items()}
    return None if value is None else dataclasses.asdict(value)


def plain_utterance(utterance: Utterance) -> dict[str, Any]:
    fields = {
        f.name: getattr(utterance, f.name) for f in dataclasses.fields(utterance) if f.name not in ("score", "measures")
    }
    fields["measures"] = dict(utterance.measures)
    if utterance.score is not None:
        score = utterance.score
        fields |= {"wer": score.wer, "cer": score.cer, "word_errors": score.word_errors, "num_words": score.num_words}
        fields["edits"] = [[edit.kind, edit.said, edit.heard] for edit in score.edits if edit.kind != "same"]
    return fields
