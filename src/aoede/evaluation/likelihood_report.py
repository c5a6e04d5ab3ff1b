"""What an evaluation of likelihood found: loss and perplexity by range, source and language, models side by side.

Owns the data of such a report, its JSON and its Markdown. The page is `likelihood_page.py`'s, the sums behind each
figure `likelihood.py`'s. Every model of a report scored the very same ids.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aoede.evaluation.intervals import Interval, difference, ratio
from aoede.evaluation.likelihood import DocumentSums, LabelShifts
from aoede.evaluation.report import markdown_table, plain_interval, verdict, write_texts

__all__ = ["ALL", "Group", "LikelihoodReport", "ModelSheet", "loss_words", "perplexity_words"]

ALL = "lm"
"""The range of all ids."""

MOST_UNITS = 4000
"""Units that intervals are drawn from: a thousand resamples of more would take gigabytes and say the same."""


@dataclass(frozen=True, kw_only=True)
class ModelSheet:
    """What is known of a model, and its sums over each document."""

    label: str
    source: str
    """Name of its folder."""
    num_parameters: int
    sums: DocumentSums
    shifts: LabelShifts | None
    """See `label_shifts`; None where no speech was measured."""
    seconds: float
    """What scoring took."""

    @property
    def is_aligned(self) -> bool | None:
        """See `LabelShifts.is_aligned`; None where it was not measured."""
        return None if self.shifts is None else self.shifts.is_aligned


@dataclass(frozen=True, kw_only=True)
class Group:
    """Some of the documents."""

    kind: str
    """ "all", "source" or "language"."""
    name: str
    documents: NDArray[np.int64]
    """Their numbers."""


@dataclass(frozen=True, kw_only=True)
class LikelihoodReport:
    """All that an evaluation found."""

    title: str
    settings: Mapping[str, str]
    """What a reader needs to repeat it."""
    names: tuple[str, ...]
    """A name a document, and so on."""
    sources: tuple[str, ...]
    languages: tuple[str, ...]
    ranges: tuple[str, ...]
    """The columns of the sums."""
    uniform: Mapping[str, float]
    """What a uniform guess loses, nats, by level."""
    models: tuple[ModelSheet, ...]
    """In the order given; the first is what the others are compared with."""
    folder: Path

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(sheet.label for sheet in self.models)

    @cached_property
    def shown(self) -> tuple[str, ...]:
        """All ids, then the ranges that the documents have."""
        counts = self.models[0].sums.counts.sum(0)
        return (ALL, *(name for name, count in zip(self.ranges, counts, strict=True) if count))

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Everything, then each source, then each language."""
        found = [Group(kind="all", name="all documents", documents=np.arange(len(self.names)))]
        for kind, values in (("source", self.sources), ("language", self.languages)):
            for name in dict.fromkeys(values):
                members = np.array([i for i, value in enumerate(values) if value == name])
                found.append(Group(kind=kind, name=name, documents=members))
        return tuple(found)

    def loss(self, sheet: ModelSheet, group: Group, name: str = ALL) -> Interval | None:
        """Mean loss in nats an id, documents resampled whole; None where the group has no ids of the range."""
        nll, counts = self._columns(sheet, group, name)
        return ratio(_blocks(nll), _blocks(counts)) if counts.sum() else None

    def accuracy(self, sheet: ModelSheet, group: Group, name: str = ALL) -> float | None:
        """Share of the ids that the model found likeliest."""
        columns = self._at(name)
        count = sheet.sums.counts[group.documents][:, columns].sum()
        return float(sheet.sums.hits[group.documents][:, columns].sum() / count) if count else None

    def against_first(self, sheet: ModelSheet, group: Group, name: str = ALL) -> Interval | None:
        """How much higher the loss is than the first model's, on the same documents (paired)."""
        if sheet is self.models[0]:
            return None
        nll, counts = self._columns(sheet, group, name)
        base, _ = self._columns(self.models[0], group, name)
        return difference(_blocks(nll), _blocks(base), _blocks(counts)) if counts.sum() else None

    def by_document(self, sheet: ModelSheet, name: str = ALL) -> NDArray[np.float64]:
        """Loss of every document that has ids of the range."""
        nll, counts = self._columns(sheet, self.groups[0], name)
        return np.asarray(nll[counts > 0] / counts[counts > 0])

    def count(self, group: Group, name: str = ALL) -> int:
        """Ids that were scored."""
        return int(self.models[0].sums.counts[group.documents][:, self._at(name)].sum())

    def _at(self, name: str) -> list[int]:
        return list(range(len(self.ranges))) if name == ALL else [self.ranges.index(name)]

    def _columns(self, sheet: ModelSheet, group: Group, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
        columns = self._at(name)
        return (
            sheet.sums.nll[group.documents][:, columns].sum(1),
            sheet.sums.counts[group.documents][:, columns].sum(1),
        )

    def markdown(self) -> str:
        """Tables for docs/results: ranges by model, differences, then each model by source and language."""
        everything = self.groups[0]
        rows = []
        for name in self.shown:
            losses = [self.loss(sheet, everything, name) for sheet in self.models]
            cells = [f"{perplexity_words(loss)} ({loss_words(loss)})" for loss in losses]
            rows.append([name, *cells, f"{self.count(everything, name):,}"])
        lines = markdown_table(["perplexity (loss in nats, 95 %)", *self.labels, "ids"], rows)
        if len(self.models) > 1:
            rows = []
            for name in self.shown:
                found = [self.against_first(m, everything, name) for m in self.models[1:]]
                rows.append([name, *(f"{loss_words(one, sign=True)} {verdict(one)}".strip() for one in found)])
            lines += ["", *markdown_table([f"loss against {self.labels[0]}, same documents", *self.labels[1:]], rows)]
        for sheet in self.models:
            rows = []
            for group in self.groups:
                title = {"all": "**all**", "language": f"*{group.name}*"}.get(group.kind, group.name)
                losses = [self.loss(sheet, group, name) for name in self.shown]
                cells = ["-" if v is None else f"{perplexity_words(v)} ({v.value:.3f})" for v in losses]
                rows.append([title, *cells, f"{self.count(group):,}"])
            known = [self.uniform.get(name) for name in self.shown]
            guess = ["-" if v is None else f"{math.exp(v):,.0f} ({v:.3f})" for v in known]
            rows.append(["uniform guess", *guess, ""])
            lines += ["", *markdown_table([f"{sheet.label}: perplexity (loss)", *self.shown, "ids"], rows)]
        lines += ["", *(f"- {name}: {value}" for name, value in self.settings.items())]
        for sheet in self.models:
            if sheet.shifts is not None:
                lines.append(f"- label shift, {sheet.label}: {sheet.shifts}")
        lines.append("- intervals: 95 %, bootstrap over documents; differences are paired, document by document")
        return "\n".join(lines) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Plain data: every figure by model, group and range, and the sums of every document."""
        return {
            "format": 1,
            "title": self.title,
            "settings": dict(self.settings),
            "ranges": list(self.shown),
            "uniform": dict(self.uniform),
            "models": {
                sheet.label: {
                    "source": sheet.source,
                    "parameters": sheet.num_parameters,
                    "seconds": sheet.seconds,
                    "label shifts": None
                    if sheet.shifts is None
                    else {f"{shift:+d}": loss for shift, loss in sheet.shifts.losses.items()},
                    "groups": [
                        {
                            "kind": group.kind,
                            "name": group.name,
                            "documents": len(group.documents),
                            "ranges": {name: self._figures(sheet, group, name) for name in self.shown
                                       if self.count(group, name)},
                        }
                        for group in self.groups
                    ],
                }
                for sheet in self.models
            },
            "documents": [
                {
                    "id": name, "source": source, "language": language,
                    "ids": dict(zip(self.ranges, self.models[0].sums.counts[i].tolist(), strict=True)),
                    "nll": {m.label: dict(zip(self.ranges, m.sums.nll[i].tolist(), strict=True)) for m in self.models},
                }
                for i, (name, source, language) in enumerate(
                    zip(self.names, self.sources, self.languages, strict=True)
                )
            ],
        }  # fmt: skip

    def _figures(self, sheet: ModelSheet, group: Group, name: str) -> dict[str, Any]:
        loss = self.loss(sheet, group, name)
        assert loss is not None
        return {
            "ids": self.count(group, name),
            "loss": plain_interval(loss),
            "perplexity": math.exp(loss.value),
            "accuracy": self.accuracy(sheet, group, name),
            "against the first model": plain_interval(self.against_first(sheet, group, name)),
        }

    def save(self) -> Path:
        """Writes `report.json`, `report.md` and `report.html` (self-contained) into the folder; returns the page."""
        from aoede.evaluation.likelihood_page import render

        texts = {
            "report.json": json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
            "report.md": self.markdown(),
            "report.html": render(self),
        }
        write_texts(self.folder, texts)
        return self.folder / "report.html"


def _blocks(values: NDArray[Any]) -> list[float]:
    """Documents as the bootstrap resamples them: one by one, or of very many neighbours together."""
    step = -(-len(values) // MOST_UNITS)
    return [float(part) for part in np.add.reduceat(values, np.arange(0, len(values), step))]


def perplexity_words(loss: Interval | None) -> str:
    """e to the loss: `3.12`, `1,204`, or a dash."""
    if loss is None:
        return "-"
    value = math.exp(loss.value)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def loss_words(loss: Interval | None, sign: bool = False) -> str:
    """`7.103, 7.001 to 7.200`, or a dash."""
    if loss is None:
        return "-"
    form = "+.3f" if sign else ".3f"
    if loss.count < 2:
        return f"{loss.value:{form}}"
    return f"{loss.value:{form}}, {loss.low:{form}} to {loss.high:{form}}"
