"""What every report of sounds shares: figures a system with their intervals, paired differences, hardest clips, tables.

Owns the data that a codec's and a voice's report have in common, their JSON and their Markdown. What only one of them
has is `codec_report.py`'s and `speech_report.py`'s, which figures there are `figures.py`'s, how both are shown
`report_sections.py`'s.
"""

from __future__ import annotations

import dataclasses
import json
import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from aoede.evaluation.charts import standalone
from aoede.evaluation.figures import FIGURES, WORD_ERRORS, Figure
from aoede.evaluation.intervals import Interval, mean
from aoede.evaluation.listening import Utterance

__all__ = ["Report", "markdown_table", "plain_interval", "plain_utterance", "verdict", "write_texts"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Recordings, and what one or more systems made of them or of their texts."""

    title: str
    settings: Mapping[str, str]
    """What a reader needs to repeat it."""
    utterances: tuple[Utterance, ...]
    failures: tuple[tuple[str, str], ...] = ()
    """(clip id, why) of clips that could not be measured."""
    extra: tuple[Figure, ...] = ()
    """Columns of the further measures."""
    unavailable: tuple[tuple[str, str], ...] = ()
    """(measure, why it was not taken and how to get it)."""
    folder: Path
    """Where the audio lies and the report goes."""

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """The systems that are compared, in the order given; the first is the base of the differences."""

    @property
    def columns(self) -> tuple[Figure, ...]:
        """Every figure that could be shown, in order."""
        return FIGURES

    def name(self, system: str) -> str:
        """A system as a person reads it: by its label."""
        return "recordings" if system == "recording" else system

    def trouble(self, made: Sequence[Utterance]) -> tuple[float, ...]:
        """How bad versions of one clip are apart from lost words; lower comes first among the clips to hear."""
        return ()

    @cached_property
    def systems(self) -> tuple[str, ...]:
        """Every system that has utterances: what the others are compared with first, then `labels`."""
        found = dict.fromkeys(u.system for u in self.utterances)
        beside = sorted(set(found) - set(self.labels), key=lambda system: (system != "recording", system))
        return (*beside, *(label for label in self.labels if label in found))

    def of(self, system: str, speaker: str | None = None) -> list[Utterance]:
        """The utterances of a system (and of a speaker), in the order of the clips."""
        return [u for u in self._by_system.get(system, ()) if speaker in (None, u.speaker)]

    @cached_property
    def _by_system(self) -> dict[str, list[Utterance]]:
        found: dict[str, list[Utterance]] = {}
        for utterance in self.utterances:
            found.setdefault(utterance.system, []).append(utterance)
        return found

    @cached_property
    def _computed(self) -> dict[tuple[Figure, str], Interval | None]:
        return {}

    def compute(self, figure: Figure, system: str) -> Interval | None:
        """A figure of a system; None where nothing was measured. A thousand resamples are drawn once."""
        key = (figure, system)
        if key not in self._computed:
            self._computed[key] = figure.compute(self.of(system))
        return self._computed[key]

    def figures(self, system: str, speaker: str | None = None) -> dict[str, Interval | None]:
        """Every figure of a system (and a speaker) by name; None where nothing was measured."""
        if speaker is None:
            return {figure.name: self.compute(figure, system) for figure in self.columns}
        chosen = self.of(system, speaker)
        return {figure.name: figure.compute(chosen) for figure in self.columns}

    def shown(self) -> list[Figure]:
        """The figures that at least one system has."""
        return [f for f in self.columns if any(self.compute(f, system) is not None for system in self.systems)]

    def added_errors(self, system: str, baseline: str = "recording") -> Interval | None:
        """Word errors a word above the baseline's, on the same texts, with a paired interval."""
        return None if system == baseline else WORD_ERRORS.against(self.of(system), self.of(baseline))

    def differences(self, label: str) -> dict[str, Interval]:
        """How much higher each figure is than the first system's on the same clips (paired), by name."""
        base = self.of(self.labels[0])
        found = {figure.name: figure.against(self.of(label), base) for figure in self.columns}
        return {name: interval for name, interval in found.items() if interval is not None}

    def best(self, figure: Figure) -> str | None:
        """The system with the best figure; None where there is one only, or a tie."""
        values = {label: self.compute(figure, label) for label in self.labels}
        known = {label: figure.badness(interval.value) for label, interval in values.items() if interval is not None}
        if len(known) < 2 or len(set(known.values())) == 1:
            return None
        return min(known, key=lambda label: known[label])

    def worst_clips(self, count: int) -> list[str]:
        """Ids of the clips to hear first: where any system loses most words above the recording, then by `trouble`."""
        clean = {u.id: u.score.wer if u.score else 0.0 for u in self.of("recording")}
        by_clip: dict[str, list[Utterance]] = {}
        for label in self.labels:
            for utterance in self.of(label):
                by_clip.setdefault(utterance.id, []).append(utterance)

        def key(clip: str) -> tuple[float, ...]:
            made = by_clip[clip]
            lost = max((u.score.wer - clean.get(clip, 0.0) for u in made if u.score), default=0.0)
            return -lost, *self.trouble(made)

        return sorted(by_clip, key=key)[:count]

    @cached_property
    def missing(self) -> tuple[tuple[str, str], ...]:
        """(measure, why) of all that has no figure: evaluators that were not there, and those that never answered."""
        told = list(self.unavailable)
        for figure in self.extra:
            if not any(self.compute(figure, system) for system in self.systems):
                reasons = (why for u in self.utterances for why in u.unmeasured if why.startswith(f"{figure.name}: "))
                first = next(reasons, f"{figure.name}: it compares with an original, and there is none")
                told.append((figure.name, f"of no clip; {first.removeprefix(figure.name + ': ')}"))
        return tuple(told)

    def stranger_similarity(self) -> float | None:
        """What recordings get against other speakers: the floor of speaker similarity."""
        found = [u.stranger_similarity for u in self.of("recording") if u.stranger_similarity is not None]
        return mean(found).value if found else None

    def parts(self) -> list[list[str]]:
        """The Markdown, in parts."""
        found = [self.figure_lines()]
        if len(self.labels) > 1:
            found.append(self.difference_lines())
        return [*found, self.note_lines()]

    def markdown(self) -> str:
        """Tables for docs/results: one row a figure, one column a system, and all that belongs to them."""
        return "\n".join("\n".join(part) + "\n" for part in self.parts() if part)

    def figure_lines(self) -> list[str]:
        """The table of figures."""
        rows = [
            [figure.title, *(figure.show(self.compute(figure, system)) for system in self.systems)]
            for figure in self.shown()
        ]
        added = [self.added_errors(system) for system in self.systems]
        if any(added):
            rows.append(["word errors above the recordings (points)", *map(WORD_ERRORS.show, added)])
        return markdown_table(["", *map(self.name, self.systems)], rows)

    def difference_lines(self) -> list[str]:
        """The table of paired differences."""
        first, others = self.labels[0], self.labels[1:]
        found = {label: self.differences(label) for label in others}
        rows = []
        for figure in self.shown():
            pairs = [found[label].get(figure.name) for label in others]
            if any(pairs):
                rows.append([figure.title, *(f"{figure.show(i)} {self.verdict(figure, i)}".strip() for i in pairs)])
        return markdown_table([f"against {self.name(first)}, same clips", *map(self.name, others)], rows)

    def verdict(self, figure: Figure, interval: Interval | None) -> str:
        """ "better", "worse" or "" of a difference from the first system."""
        base = self.compute(figure, self.labels[0])
        return verdict(interval, figure, None if base is None else base.value)

    def note_lines(self) -> list[str]:
        """Settings, what was found in fewer clips, what was not measured, what the figures mean."""
        lines = [f"- {name}: {value}" for name, value in self.settings.items()]
        floor = self.stranger_similarity()
        if floor is not None:
            lines.append(f"- speaker similarity of recordings to other speakers: {floor:.3f}")
        for figure in self.shown():
            counts = {label: interval.count for label in self.labels if (interval := self.compute(figure, label))}
            fewer = {label: n for label, n in counts.items() if n < len(self.of(label))}
            if fewer:
                said = ", ".join(f"{n} of {len(self.of(label))} clips of {label}" for label, n in fewer.items())
                lines.append(f"- {figure.name} was found in {said}")
        lines += [f"- not measured: {name}: {why}" for name, why in (*self.missing, *self.failures)]
        lines += [f"- {figure.name}: {figure.meaning}" for figure in self.shown()]
        lines.append("- in brackets: 95 % interval, bootstrap over clips; differences are paired, clip by clip")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Plain data: figures a system (and a speaker), differences, every utterance with its alignment."""
        speakers = sorted({u.speaker for u in self.utterances if u.speaker})
        return {
            "title": self.title,
            "settings": dict(self.settings),
            "figures": [
                {"name": f.name, "unit": f.unit, "better": f.better, "meaning": f.meaning} for f in self.shown()
            ],
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
            "not available": [{"name": name, "why": why} for name, why in self.missing],
            "hardest first": self.worst_clips(len(self.utterances)),
            "failures": [{"id": name, "why": why} for name, why in self.failures],
            "utterances": [plain_utterance(u) for u in self.utterances],
        }

    def save(self, worst: int = 12) -> Path:
        """Writes `report.json`, `report.md` and `report.html` (self-contained) into the folder; returns the page.

        Args:
            worst: clips with players and spectrograms on the page.
        """
        texts = {
            "report.json": json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
            "report.md": self.markdown(),
            "report.html": self.page(worst),
        }
        write_texts(self.folder, texts)
        return self.folder / "report.html"

    def picture(self) -> tuple[str, str] | None:
        """(what it shows, SVG) of the chart that stands on a results page; None where there is none."""
        return None

    def save_results(self, path: str | Path, command: str) -> Path:
        """Writes a results page (Markdown) and, beside it, its chart as SVG where there is one; returns the page.

        Args:
            path: such as `docs/results/codec.md`.
            command: what a reader should type to repeat it.
        """
        target = Path(path)
        if target.suffix != ".md":
            raise ValueError(f"{path}: a results page is Markdown, NAME.md")
        texts, shown = {}, ""
        picture = self.picture()
        if picture is not None:
            texts[f"{target.stem}.svg"] = standalone(picture[1])
            shown = f"\n![{picture[0]}]({target.stem}.svg)\n"
        texts[target.name] = f"# {self.title}\n\nMade by\n\n    {command}\n{shown}\n{self.markdown()}"
        write_texts(target.parent, texts)
        return target

    @abstractmethod
    def page(self, worst: int) -> str:
        """The whole report as HTML that needs nothing else."""


def verdict(interval: Interval | None, figure: Figure | None = None, base: float | None = None) -> str:
    """ "better" or "worse" where the paired interval leaves 0 out, else "".

    Args:
        figure: what was measured; None for losses, which are better the lower they are.
        base: what the difference is from, for figures that are best at 1 rather than low or high.
    """
    if interval is None or interval.low <= 0 <= interval.high:
        return ""
    if figure is None:
        return "better" if interval.value < 0 else "worse"
    before = base or 0.0
    return "better" if figure.badness(before + interval.value) < figure.badness(before) else "worse"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table's lines; none without rows."""
    if not rows:
        return []

    def line(cells: Sequence[str]) -> str:
        shown = (cell.replace("|", "\\|") for cell in cells)
        return "|" + "|".join(f" {cell} " if cell else " " for cell in shown) + "|"

    lines = [line(cells) for cells in (head, *rows)]
    return [lines[0], "|---" * len(head) + "|", *lines[1:]]


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
