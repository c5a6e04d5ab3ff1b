"""What a plan realises, for a person: a table of every phase, and a picture of it.

Owns words, columns and bars. Knows nothing of how a plan is drawn.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..saving import replacing
from .config import KIND, kind_in_shares, sources_of
from .plan import MixturePlan, PlanPhase


def describe_plan(plan: MixturePlan) -> str:
    """Tables: the sources and what is held out of them; each phase by source, asked and realised."""
    lines = ["held out first, in tokens"]
    rows: list[tuple[str, ...]] = [("source", "kind", "all", "dev", "withheld", "drawn", "unused")]
    for name, about in plan.about.items():
        counts = (about.tokens, about.dev_tokens, about.withheld_tokens, about.train_tokens, about.unused_tokens)
        rows.append((name, about.kind, *(f"{count:,}" for count in counts)))
    lines += _columns(rows, 2)
    for phase in plan.phases:
        lines += ["", *_phase(plan, phase)]
    rows_words = f"{plan.num_rows:,} rows of {plan.row_tokens:,}"
    lines += ["", f"{rows_words}, {plan.utilisation:.2%} of them documents, the rest padding; seed {plan.config.seed}"]
    return "\n".join(lines)


def plot_plan(plan: MixturePlan, image: str | os.PathLike[str]) -> None:
    """Bars, one a phase: the realised share of each source, and how long the phase is.

    Raises:
        ModuleNotFoundError: matplotlib is missing (extra `aoede[plot]`).
    """
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.6 + 0.6 * len(plan.phases) + 0.12 * len(plan.sources)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    many = len(plan.sources) > 20
    colours = colormaps["turbo"].resampled(len(plan.sources)) if many else colormaps["tab20"]
    names = [f"{phase.name}\n{_short(phase.num_tokens)}" for phase in plan.phases]
    left = [0.0] * len(plan.phases)
    for index, source in enumerate(plan.sources):
        shares = [phase.realised[source] for phase in plan.phases]
        label = f"{source} ({plan.about[source].kind})"
        bars = axes.barh(names, shares, left=left, color=colours(index), label=label, edgecolor="white")
        axes.bar_label(bars, [f"{share:.0%}" if share >= 0.05 else "" for share in shares], label_type="center", size=7)
        left = [before + share for before, share in zip(left, shares, strict=True)]
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the phase's tokens")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    with replacing(image) as temporary:
        figure.savefig(temporary, dpi=120, format=Path(image).suffix.removeprefix(".") or "png")


def _phase(plan: MixturePlan, phase: PlanPhase) -> list[str]:
    title = (
        f"{phase.name}  {phase.num_tokens:,} tokens of {phase.tokens:,} asked, rows {phase.first_row:,} to "
        f"{phase.first_row + phase.num_rows - 1:,}, {phase.filled / (phase.num_rows * plan.row_tokens):.2%} full"
    )
    kinds = {name: kind_in_shares(name, about.kind) for name, about in plan.about.items()}
    rows: list[tuple[str, ...]] = [("", "asked", "realised", "tokens", "documents")]
    for share, asked in phase.shares.items():
        meant = sources_of(share, phase, kinds)
        rows.append(_row(share, f"{asked:.1%}", phase, meant))
        if share.startswith(KIND):
            rows += [_row(f"  {name}", "", phase, [name]) for name in meant]
    return [title, *_columns(rows, 1)]


def _row(label: str, asked: str, phase: PlanPhase, names: Sequence[str]) -> tuple[str, ...]:
    tokens = sum(phase.source_tokens[name] for name in names)
    documents = sum(phase.source_documents[name] for name in names)
    return (label, asked, f"{tokens / phase.num_tokens:.1%}", f"{tokens:,}", f"{documents:,}")


def _columns(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Rows as lines; the first `left` columns stand left, the others right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) if i < left else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def _short(count: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {letter} tokens"
    return f"{count} tokens"
