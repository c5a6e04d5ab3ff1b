"""Validation of a prior: the loss of each range on every source's dev split, by source, by language and blended.

Owns what an evaluation of training measures and the files that tell it: `validation.md` (the latest table),
`validation.json` (every evaluation) and `validation.png` (curves, what a uniform guess loses drawn in). How a document
is scored is `aoede.evaluation.likelihood`'s. Knows nothing of training steps.
"""

import itertools
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from aoede.data.mixture import MixturePlan, PlanPhase
from aoede.evaluation.documents import HeldDocuments
from aoede.evaluation.likelihood import RangeTable, score_rows, spread_batches, uniform_losses
from aoede.models import CodecCausalLM
from aoede.tokens import CodecVocabulary
from aoede.training import distributed

FILE = "validation.json"


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """What an evaluation of training costs."""

    tokens_per_source: int | None = None
    """Dev documents of a source up to so many ids, always the same ones; None: all."""

    tokens_per_batch: int = 16384
    """Places (padding included) of a batch of rows."""

    def __post_init__(self) -> None:
        for name in ("tokens_per_source", "tokens_per_batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, but must be 1 or more")


Losses = dict[str, tuple[float, int]]
"""(mean loss in nats, ids it is of) of each range; `lm` is over all of them. Ranges without ids are absent."""


@dataclass(frozen=True, kw_only=True)
class ValidationRow:
    """One evaluation."""

    step: int
    phase: str
    blended: dict[str, float]
    """Loss of each range, the sources weighed by their shares of the phase."""
    sources: dict[str, Losses]
    languages: dict[str, Losses]
    weights: dict[str, float]
    """Share of each source in the phase."""

    @property
    def even(self) -> float:
        """Loss of all ids, every source weighed alike: what can be compared from phase to phase."""
        return sum(found["lm"][0] for found in self.sources.values()) / len(self.sources)

    def metrics(self) -> dict[str, float]:
        """`loss` (all ids, blended), `loss/<range>` (blended), `loss/even`, `loss/<source>/<range>`."""
        named = {f"loss/{name}": value for name, value in self.blended.items() if name != "lm"}
        parts = {f"loss/{s}/{name}": loss for s, found in self.sources.items() for name, (loss, _) in found.items()}
        return {"loss": self.blended["lm"], "loss/even": self.even} | named | parts

    def to_dict(self) -> dict[str, Any]:
        def plain(groups: Mapping[str, Losses]) -> dict[str, Any]:
            return {
                group: {name: {"loss": loss, "ids": ids} for name, (loss, ids) in found.items()}
                for group, found in groups.items()
            }

        return {
            "step": self.step, "phase": self.phase, "blended": self.blended, "even": self.even, "weights": self.weights,
            "sources": plain(self.sources), "languages": plain(self.languages),
        }  # fmt: skip


class Validation:
    """The dev splits of a plan, measured on a model again and again."""

    def __init__(self, plan: MixturePlan, vocabulary: CodecVocabulary, config: ValidationConfig) -> None:
        self.vocabulary = vocabulary
        self.ranges = RangeTable.of(vocabulary).names
        self.documents = HeldDocuments.of_plan(plan, tokens_per_source=config.tokens_per_source)
        rows = self.documents.rows(one_a_row=plan.config.one_document_a_row)
        self._batches = list(self.documents.batches(rows, tokens=config.tokens_per_batch))
        cells = list(zip(self.documents.sources, self.documents.languages, strict=True))
        self._cells = list(dict.fromkeys(cells))
        """(source, language) of each sum."""
        self._cell_of = np.array([self._cells.index(cell) for cell in cells])

    @property
    def speech_batches(self) -> list[Mapping[str, Tensor]]:
        """Some batches with speech in them, from all of them, for the check of alignment."""
        return spread_batches(self._batches, self.vocabulary)

    def describe(self) -> str:
        sources = len(set(self.documents.sources))
        return (
            f"validation: {len(self.documents.ids):,} documents of {sources} sources, {self.documents.num_tokens:,} ids"
        )

    def measure(
        self, model: CodecCausalLM, step: int, phase: PlanPhase, *, precision: str = "float32"
    ) -> ValidationRow:
        """Score every dev document; of several processes each scores its share, and all get the same row."""
        size, rank = distributed.world_size(), distributed.rank()
        # Every process makes the same number of passes, whatever there is to share: sharded weights are gathered
        # together. One that has nothing left scores its first batch again and does not count it.
        mine = self._batches[rank::size]
        again = [self._batches[0]] * (-(-len(self._batches) // size) - len(mine))
        sums = score_rows(model, mine, len(self.documents.ids), precision=precision)
        score_rows(model, again, len(self.documents.ids), precision=precision)
        keys = [(cell, name) for cell in range(len(self._cells)) for name in range(len(self.ranges))]
        flat: dict[str, float] = {}
        for what, values in (("nll", sums.nll), ("count", sums.counts)):
            added = np.zeros((len(self._cells), len(self.ranges)))
            np.add.at(added, self._cell_of, values)
            flat |= {f"{what}/{cell}/{name}": float(added[cell, name]) for cell, name in keys}
        total = {key: value * size for key, value in distributed.mean_values(flat).items()}
        cells = {
            (what, self._cells[cell], self.ranges[name]): total[f"{what}/{cell}/{name}"]
            for what in ("nll", "count") for cell, name in keys
        }  # fmt: skip
        sources = {s: self._losses(cells, 0, s) for s in dict.fromkeys(source for source, _ in self._cells)}
        languages = {l_: self._losses(cells, 1, l_) for l_ in sorted({language for _, language in self._cells})}
        weights = {source: phase.realised.get(source, 0.0) for source in sources}
        return ValidationRow(
            step=step, phase=phase.name, blended=blend(sources, weights), sources=sources, languages=languages,
            weights=weights,
        )  # fmt: skip

    def _losses(self, cells: Mapping[tuple[str, tuple[str, str], str], float], place: int, group: str) -> Losses:
        """Means over the cells whose source (place 0) or language (1) is `group`, ids counting alike."""
        found: Losses = {}
        chosen = [cell for cell in self._cells if cell[place] == group]
        for name in ("lm", *self.ranges):
            ranges = self.ranges if name == "lm" else (name,)
            count = sum(cells["count", cell, one] for cell in chosen for one in ranges)
            if count:
                nll = sum(cells["nll", cell, one] for cell in chosen for one in ranges)
                found[name] = (nll / count, round(count))
        return found

    def write(self, folder: Path, row: ValidationRow) -> None:
        """Add an evaluation to the run's folder: JSON, table and curves. Rows of that step and later ones go: a resumed
        run writes them anew."""
        rows = [one for one in read_rows(folder) if one["step"] < row.step] + [row.to_dict()]
        data = {"format": 1, "uniform": uniform_losses(self.vocabulary), "rows": rows}
        _write(folder / FILE, json.dumps(data, indent=1, ensure_ascii=False) + "\n")
        _write(folder / "validation.md", table(row, self.ranges, uniform_losses(self.vocabulary)))
        draw(folder / FILE, folder / "validation.png")


def blend(sources: Mapping[str, Losses], weights: Mapping[str, float]) -> dict[str, float]:
    """Loss of each range, a source weighed by its share of the phase among the sources that have the range.

    Sources that the phase does not read count nothing; a range that none of the phase's sources has is a plain mean
    over those that have it, so that it can be followed all the same.
    """
    result = {}
    for name in dict.fromkeys(name for found in sources.values() for name in found):
        having = {source: found[name][0] for source, found in sources.items() if name in found}
        total = sum(weights.get(source, 0.0) for source in having)
        if total > 0.0:
            result[name] = sum(loss * weights.get(source, 0.0) for source, loss in having.items()) / total
        else:
            result[name] = sum(having.values()) / len(having)
    return result


def table(row: ValidationRow, ranges: Sequence[str], uniform: Mapping[str, float]) -> str:
    """Perplexity (loss in nats) as Markdown: blended, each source, each language, and what a uniform guess gets."""
    names = [name for name in ("lm", *ranges) if name in row.blended]

    def cell(loss: float | None) -> str:
        return "-" if loss is None else f"{_perplexity(loss)} ({loss:.3f})"

    def line(title: str, share: str, losses: Mapping[str, float]) -> str:
        return f"| {title} | {share} | " + " | ".join(cell(losses.get(name)) for name in names) + " |"

    lines = [
        f"Step {row.step:,}, phase {row.phase}: perplexity (loss in nats) on the dev splits", "",
        "| | share | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|",
        line("**blended**", "", row.blended),
    ]  # fmt: skip
    for source, found in row.sources.items():
        lines.append(line(source, f"{row.weights[source]:.1%}", {name: loss for name, (loss, _) in found.items()}))
    for language, found in row.languages.items():
        lines.append(line(f"*{language}*", "", {name: loss for name, (loss, _) in found.items()}))
    lines.append(line("uniform guess", "", dict(uniform)))
    return "\n".join(lines) + "\n"


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The evaluations in a run's `validation.json`, as plain data; none where there is no such file."""
    path = folder / FILE
    if not path.is_file():
        return []
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return rows


def draw(data: Path, image: Path) -> bool:
    """Curves of a `validation.json`: ranges blended with the uniform guess dashed, then `lm` by source and by language.

    Returns:
        False where matplotlib (extra `aoede[plot]`) is missing; the JSON has all the numbers.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    history = json.loads(data.read_text(encoding="utf-8"))
    rows, uniform = history["rows"], history["uniform"]
    figure = Figure(figsize=(15.6, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(1, 3, i + 1) for i in range(3)]
    for name in dict.fromkeys(name for row in rows for name in row["blended"]):
        points = [(row["step"], row["blended"][name]) for row in rows if name in row["blended"]]
        (line,) = axes[0].plot(*zip(*points, strict=True), marker="o", markersize=3, linewidth=1.2, label=name)
        if name in uniform:
            axes[0].axhline(uniform[name], color=line.get_color(), linestyle="--", linewidth=0.8, alpha=0.7)
    for level, loss in uniform.items():
        axes[0].annotate(
            f"uniform guess ({round(math.exp(loss)):,})" if level == next(iter(uniform)) else "",
            (0.01, loss), xycoords=("axes fraction", "data"), fontsize=7, va="bottom",
        )  # fmt: skip
    for place, groups in ((1, "sources"), (2, "languages")):
        for group in dict.fromkeys(group for row in rows for group in row[groups]):
            points = [(row["step"], row[groups][group]["lm"]["loss"]) for row in rows if "lm" in row[groups][group]]
            if points:
                axes[place].plot(*zip(*points, strict=True), marker="o", markersize=3, linewidth=1.2, label=group)
    titles = ("loss by range, blended by the phase's shares", "loss by source", "loss by language")
    for axis, title in zip(axes, titles, strict=True):
        for before, after in itertools.pairwise(rows):
            if before["phase"] != after["phase"]:
                axis.axvline(before["step"], linewidth=0.7, color="grey", alpha=0.6)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25)
        axis.legend(fontsize=6)
    temporary = image.with_name(f".{os.getpid()}-{image.name}")
    figure.savefig(temporary, dpi=110)
    os.replace(temporary, image)
    return True


def _perplexity(loss: float) -> str:
    value = math.exp(min(loss, 700.0))
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
