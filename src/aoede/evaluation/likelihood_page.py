"""The likelihood report as one HTML page that needs no other file: ranges by model, sources, languages, documents.

Owns the page's sections and words. Figures are `likelihood_report.py`'s, drawings `charts.py`'s, the frame `page.py`'s.
"""

from __future__ import annotations

import math
from html import escape

import numpy as np

from aoede.evaluation.charts import Point, strip_chart
from aoede.evaluation.intervals import Interval
from aoede.evaluation.likelihood_report import ALL, Group, LikelihoodReport, ModelSheet, loss_words, perplexity_words
from aoede.evaluation.page import card, choice, chosen_part, document, how, swatch
from aoede.evaluation.page_tables import difference_cell, table
from aoede.evaluation.report import verdict

__all__ = ["render"]

MOST_DOTS = 400
"""Documents drawn a row of a chart, spread evenly over all."""

MEANINGS = {
    ALL: "all ids together",
    "text": "text ids, among all text ids and the opening marker",
    "open": "the opening marker of speech after text, among all text ids",
    "close": "the closing marker, among the codes of the first slot and itself",
}


def render(report: LikelihoodReport) -> str:
    """The page."""
    everything = report.groups[0]
    return document(
        report.title,
        f"{len(report.names):,} documents of {len(set(report.sources))} sources and {len(set(report.languages))} "
        f"languages, {report.count(everything):,} ids. Lower is better everywhere. In brackets and as whiskers: 95 % "
        "intervals, bootstrap over documents.",
        [_card(report, index, sheet) for index, sheet in enumerate(report.models)],
        "",
        [
            ("ranges", "Ranges", _ranges(report) + _differences(report)),
            ("documents", "Document by document", _charts(report)),
            ("sources", "Sources", _groups(report, "source")),
            ("languages", "Languages", _groups(report, "language")),
            ("alignment", "Alignment", _alignment(report)),
            ("how", "How this was measured", _how(report)),
        ],
    )


def _card(report: LikelihoodReport, index: int, sheet: ModelSheet) -> str:
    everything = report.groups[0]
    accuracy = report.accuracy(sheet, everything)
    facts = [
        ("loss an id", loss_words(report.loss(sheet, everything)).partition(",")[0] + " nats"),
        ("likeliest id was right", f"{accuracy:.1%}" if accuracy is not None else "–"),
        ("parameters", f"{sheet.num_parameters / 1e6:.1f} M"),
        ("ids a second", f"{report.count(everything) / max(sheet.seconds, 1e-9):,.0f}"),
    ]
    return card(index, sheet.label, f"perplexity {perplexity_words(report.loss(sheet, everything))}", facts)


def _ranges(report: LikelihoodReport) -> str:
    everything = report.groups[0]
    rows = []
    for name in report.shown:
        losses = [report.loss(sheet, everything, name) for sheet in report.models]
        best = min((v.value for v in losses if v is not None), default=None) if len(losses) > 1 else None
        guess = report.uniform.get(name)
        cells = [_cell(v, bold=v is not None and v.value == best) for v in losses]
        told = "–" if guess is None else f"{math.exp(guess):,.0f} <small>({guess:.3f})</small>"
        rows.append([_name(name), *cells, told, f"{report.count(everything, name):,}"])
    head = ["", *(escape(label) for label in report.labels), "uniform guess", "ids"]
    return table(head, rows, "Perplexity by range") + (
        '<p class="quiet">Perplexity, and the loss in nats an id in brackets. Each id competes with those that its '
        "place allows: a code with the codebook of its slot.</p>"
    )


def _differences(report: LikelihoodReport) -> str:
    if len(report.models) < 2:
        return ""
    everything, first = report.groups[0], report.labels[0]
    rows = []
    for name in report.shown:
        cells = []
        for sheet in report.models[1:]:
            found = report.against_first(sheet, everything, name)
            cells.append(difference_cell(f"<td>{loss_words(found, sign=True)}</td>", verdict(found)))
        rows.append([_name(name), *cells])
    return (
        f"<h3>Loss against {escape(first)}, the same documents</h3>"
        + table(["", *(escape(label) for label in report.labels[1:])], rows, f"Differences from {first}")
        + '<p class="quiet">Paired: the same documents and the same resamples on both sides.</p>'
    )


def _charts(report: LikelihoodReport) -> str:
    parts = []
    everything = report.groups[0]
    for name in report.shown:
        rows = []
        for sheet in report.models:
            values = report.by_document(sheet, name)
            picked = values[np.linspace(0, len(values) - 1, min(MOST_DOTS, len(values))).round().astype(int)]
            loss = report.loss(sheet, everything, name)
            assert loss is not None
            note = f"{sheet.label}: {name} {loss_words(loss)}"
            mean = Point(x=loss.value, y=0.0, low=loss.low, high=loss.high, note=note)
            rows.append((sheet.label, picked.tolist(), mean))
        parts.append(chosen_part("range", name, strip_chart(rows, f"loss of {name}", "lower")))
    pick = choice("range", "Range", report.shown, ALL)
    few = f" {MOST_DOTS} of them at most, spread evenly." if len(report.names) > MOST_DOTS else ""
    return pick + "".join(parts) + f'<p class="quiet">A dot a document.{few}</p>'


def _groups(report: LikelihoodReport, kind: str) -> str:
    groups = [group for group in report.groups if group.kind == kind]
    html = ""
    for index, sheet in enumerate(report.models):
        rows = []
        for group in groups:
            cells = [_plain_cell(report.loss(sheet, group, name)) for name in report.shown]
            count = report.count(group)
            rows.append([escape(group.name), *cells, f'<td data-value="{count}">{count:,}</td>'])
        if len(report.models) > 1:
            html += f"<h3>{swatch(index, sheet.label)}</h3>"
        head = [kind, *(escape(name) for name in report.shown), "ids"]
        html += table(head, rows, f"Perplexity by {kind}, {sheet.label}", sortable=True)
        html += _language_chart(report, sheet, groups)
    return html + '<p class="quiet">Perplexity, and the loss in nats in brackets; a click on a heading sorts.</p>'


def _language_chart(report: LikelihoodReport, sheet: ModelSheet, groups: list[Group]) -> str:
    if len(groups) < 2:
        return ""
    rows = []
    for group in groups:
        loss = report.loss(sheet, group)
        counts = sheet.sums.counts[group.documents].sum(1)
        nll = sheet.sums.nll[group.documents].sum(1)
        values = nll[counts > 0] / counts[counts > 0]
        if loss is None or not len(values):
            continue
        picked = values[np.linspace(0, len(values) - 1, min(MOST_DOTS, len(values))).round().astype(int)]
        note = f"{group.name}: {loss_words(loss)}"
        rows.append((group.name, picked.tolist(), Point(x=loss.value, y=0.0, low=loss.low, high=loss.high, note=note)))
    return f'<div class="scroll">{strip_chart(rows, "loss of all ids", "lower")}</div>' if rows else ""


def _alignment(report: LikelihoodReport) -> str:
    rows = []
    for sheet in report.models:
        if sheet.shifts is not None:
            said = str(sheet.shifts).rsplit(": ", 1)[1]
            mark = f'<td class="{"better" if sheet.is_aligned else "worse"}">{escape(said)}</td>'
            losses = [sheet.shifts.losses[shift] for shift in (-1, 0, 1)]
            rows.append([escape(sheet.label), *(f"{loss:.3f}" for loss in (*losses, sheet.shifts.uniform)), mark])
    if not rows:
        return ""
    return table(["", "−1", "0", "+1", "a guess", ""], rows, "Label shifts") + (
        '<p class="quiet">Loss when the state before a code is asked for the code of its level that came before, for '
        "that code, and for the next one of its level. A model that learnt shifted labels is lowest at +1, or knows "
        "the code at 0 no better than a guess.</p>"
    )


def _how(report: LikelihoodReport) -> str:
    return how(report.settings, "What the ranges are", [(name, _meaning(name)) for name in report.shown])


def _meaning(name: str) -> str:
    return MEANINGS.get(name, f"codes of level {name}, among its codebook (and the closing marker at a frame's start)")


def _name(name: str) -> str:
    return f'<span title="{escape(_meaning(name))}">{escape(name)}</span>'


def _cell(loss: Interval | None, bold: bool) -> str:
    if loss is None:
        return '<td class="quiet">–</td>'
    return (
        f"<td{' class=best' if bold else ''}><span>{perplexity_words(loss)}</span> "
        f'<span class="between">({loss_words(loss)})</span></td>'
    )


def _plain_cell(loss: Interval | None) -> str:
    if loss is None:
        return '<td class="quiet" data-value="">–</td>'
    shown = f'{perplexity_words(loss)} <span class="between">({loss.value:.3f})</span>'
    return f'<td data-value="{loss.value}">{shown}</td>'
