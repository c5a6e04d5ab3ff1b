"""The sections that the pages of codecs and of voices share: figures, differences, every clip as a dot, speakers, all.

Owns what of a `Report` stands in which table or chart. The frame is `page.py`'s, what can be heard `players.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from aoede.evaluation.charts import Point, strip_chart
from aoede.evaluation.figures import WORD_ERRORS, Figure
from aoede.evaluation.intervals import Interval
from aoede.evaluation.page import chosen_part, details, failures, how
from aoede.evaluation.page_tables import cell, difference_cell, name_of, number_cell, table
from aoede.evaluation.players import marked
from aoede.evaluation.recordings import spread
from aoede.evaluation.report import Report

__all__ = [
    "all_clips",
    "differences",
    "figures",
    "of_sound",
    "rows_of",
    "scaled",
    "settings",
    "speakers",
    "strips",
]

MOST_DOTS = 400
"""Clips drawn a row of a chart, spread evenly over all."""


def figures(report: Report, note: str = "") -> str:
    """Every figure of every system; `note` is HTML that stands under it."""
    rows = []
    for figure in report.shown():
        best = report.best(figure)
        rows.append([name_of(figure), *(cell(figure, report.compute(figure, s), s == best) for s in report.systems)])
        if figure.name == WORD_ERRORS.name:
            added = [report.added_errors(system) for system in report.systems]
            if any(added):
                cells = [cell(figure, interval, signed=True) for interval in added]
                rows.append(["above the recordings <small>points, paired</small>", *cells])
    told = "↓: lower is better, ↑: higher is better"
    told += "; the best is in bold. " if len(report.labels) > 1 else ". "
    floor = report.stranger_similarity()
    if floor is not None:
        told += (
            f"Recordings compared with <em>other</em> speakers have a similarity of {floor:.3f}: that is the floor. "
        )
    head = ["", *(escape(report.name(system)) for system in report.systems)]
    return table(head, rows, "Figures") + f'<p class="quiet">{told}{note}</p>'


def differences(report: Report) -> str:
    """The others against the first system; "" where there is one only."""
    if len(report.labels) < 2:
        return ""
    first, others = report.labels[0], report.labels[1:]
    found = {label: report.differences(label) for label in others}
    rows = []
    for figure in report.shown():
        pairs = [found[label].get(figure.name) for label in others]
        if any(pairs):
            cells = [difference_cell(cell(figure, i, signed=True), report.verdict(figure, i)) for i in pairs]
            rows.append([name_of(figure), *cells])
    name = escape(report.name(first))
    return (
        f"<h3>Against {name}, clip by clip</h3>"
        + table(["", *(escape(report.name(label)) for label in others)], rows, f"Differences from {first}")
        + '<p class="quiet">Paired: the same clips and the same resamples on both sides. “Better” and “worse” stand '
        "where the interval leaves 0 out; of many figures, one in twenty would do so by chance.</p>"
    )


def strips(report: Report, systems: Sequence[str], shown: Sequence[Figure], group: str) -> str:
    """Every clip as a dot, a chart a figure; which is seen is chosen elsewhere (`page.choice`)."""
    parts = []
    for figure in shown:
        rows, colours = rows_of(report, systems, figure)
        if rows and max(len(values) for _, values, _ in rows) > 1:
            dots = [(name, spread(values, MOST_DOTS), mean) for name, values, mean in rows]
            parts.append(chosen_part(group, figure.name, strip_chart(dots, figure.title, figure.better, colours)))
    return "".join(parts)


def rows_of(
    report: Report, systems: Sequence[str], figure: Figure
) -> tuple[list[tuple[str, list[float], Point | None]], list[int | None]]:
    """Rows of `strip_chart` of the systems that have the figure, and their colours: those of the cards."""
    rows: list[tuple[str, list[float], Point | None]] = []
    colours: list[int | None] = []
    for system in systems:
        found = _row(report, system, figure)
        if found[1]:
            rows.append(found)
            colours.append(report.labels.index(system) if system in report.labels else None)
    return rows, colours


def _row(report: Report, system: str, figure: Figure) -> tuple[str, list[float], Point | None]:
    """A row of `strip_chart`."""
    scale = scaled(figure)
    values = [value for u in report.of(system) if (value := figure.of(u)) is not None]
    interval = report.compute(figure, system)
    name = report.name(system)
    mean = None if interval is None else _mean(name, figure, interval, scale)
    return name, [value * scale for value in values], mean


def _mean(name: str, figure: Figure, interval: Interval, scale: int) -> Point:
    note = f"{name}: {figure.name} {figure.show(interval)}"
    return Point(x=interval.value * scale, y=0.0, low=interval.low * scale, high=interval.high * scale, note=note)


def scaled(figure: Figure) -> int:
    """What a figure's numbers are multiplied by on an axis."""
    return 100 if figure.unit == "%" else 1


def of_sound(report: Report) -> list[Figure]:
    """The figures that say something of a clip or a speaker: no times."""
    return [figure for figure in report.shown() if "real-time" not in figure.name and figure.name != "first audio"]


def speakers(report: Report) -> str:
    """A table a system, a row a speaker; "" where there is one speaker only."""
    names = sorted({u.speaker for u in report.utterances if u.speaker})
    if len(names) < 2:
        return ""
    shown = of_sound(report)
    html = ""
    for label in report.labels:
        rows = []
        for name in names:
            chosen = report.of(label, name)
            if not chosen:
                continue
            values = [figure.compute(chosen) for figure in shown]
            cells = [
                number_cell(figure, None if v is None else v.value) for figure, v in zip(shown, values, strict=True)
            ]
            rows.append([escape(name), f"{len(chosen)}", *cells])
        head = ["speaker", "clips", *(escape(figure.name) for figure in shown)]
        html += f"<h3>{escape(label)}</h3>" + table(head, rows, f"Speakers, {label}", sortable=True)
    return html


def all_clips(report: Report) -> str:
    """Every utterance, with what was heard."""
    shown = of_sound(report)
    rows = []
    for utterance in report.utterances:
        heard = marked(utterance.score) if utterance.score else escape(utterance.text)
        notes = escape(", ".join((*utterance.faults, *utterance.notes, *utterance.unmeasured)))
        rows.append(
            [
                f'<a href="{escape(utterance.audio)}">{escape(utterance.id)}</a>',
                escape(report.name(utterance.system)),
                f'<td data-value="{utterance.seconds}">{utterance.seconds:.1f} s</td>',
                *(number_cell(figure, figure.of(utterance)) for figure in shown),
                f'<td class="words">{heard}</td>',
                f'<td class="words">{notes}</td>' if notes else "",
            ]
        )
    head = ["clip", "system", "length", *(escape(f.name) for f in shown), "text", "notes"]
    versions = table(head, rows, "All clips", sortable=True)
    return details(f"All {len(rows)} versions; a click on a heading sorts", versions)


def settings(report: Report, more: Sequence[Figure] = ()) -> str:
    """How it was measured, what the figures mean, what could not be measured."""
    meanings = [(figure.name, figure.meaning) for figure in (*report.shown(), *more)]
    return how(report.settings, "What the figures mean", meanings) + failures(report.failures)
