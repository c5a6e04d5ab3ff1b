"""The codec report as one HTML page that needs no other file: figures, charts, codebooks, levels, players.

Owns the page's sections and words. Figures are `codec_report.py`'s, drawings `charts.py`'s, what can be heard
`codec_players.py`'s, looks and behaviour `page_style.py`'s.
"""

from __future__ import annotations

import math
from html import escape

from aoede.evaluation.charts import Point, Series, rate_chart, strip_chart
from aoede.evaluation.codec_players import levels, listen
from aoede.evaluation.codec_report import CodecReport, CodecSheet, rate_words, verdict
from aoede.evaluation.figures import WORD_ERRORS, Figure
from aoede.evaluation.intervals import Interval
from aoede.evaluation.page import marked
from aoede.evaluation.page_style import SCRIPT, STYLE
from aoede.evaluation.page_tables import cell, name_of, table

__all__ = ["chart_of", "render"]


def render(report: CodecReport, worst: int = 12) -> str:
    """The page.

    Args:
        report: its audio files are read from its folder.
        worst: how many clips get players and spectrograms: see `CodecReport.worst_clips`.
    """
    sections = [
        ("figures", "Figures", _figures(report) + _differences(report)),
        ("rate", "Quality and bit rate", _charts(report)),
        ("codebooks", "Codebooks", _codebooks(report)),
        ("levels", "Level by level", levels(report)),
        ("listen", "Listen", listen(report, worst)),
        ("speakers", "Speakers", _speakers(report)),
        ("clips", "All clips", _all(report)),
        ("how", "How this was measured", _how(report)),
    ]
    shown = [(name, title, body) for name, title, body in sections if body]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in shown)
    body = "".join(f'<section id="{name}"><h2>{title}</h2>{body}</section>' for name, title, body in shown)
    clips = report.settings.get("clips", "")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.title)}</title><style>{STYLE}</style></head><body>"
        '<a class="skip" href="#figures">To the figures</a>'
        f'<header><h1>{escape(report.title)}</h1><p class="quiet">{escape(clips)}, compared at '
        f"{report.rate / 1000:g} kHz. In brackets and as whiskers: 95 % intervals, bootstrap over clips.</p>"
        f"{_cards(report)}{_missing(report)}</header>"
        f'<nav aria-label="Sections"><div>{links}</div></nav><main>{body}</main>'
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def chart_of(report: CodecReport, figure: Figure) -> str:
    """One figure of every codec against its bit rate, as SVG; with prefixes, a line a codec on the clips they share."""
    return rate_chart(_whole(report, figure), f"{figure.name} against bit rate", figure.title, figure.better)


def _whole(report: CodecReport, figure: Figure) -> list[Series]:
    found = []
    for sheet in report.sheets:
        interval = figure.compute(report.of(sheet.label))
        points = () if interval is None else (_point(sheet.label, figure, interval, sheet.bit_rate),)
        found.append(Series(name=sheet.label, points=points))
    return found


def _point(name: str, figure: Figure, interval: Interval, bits: float) -> Point:
    scale = 100 if figure.unit == "%" else 1
    note = f"{name}, {rate_words(bits)}: {figure.name} {figure.show(interval)}, {interval.count} clips"
    return Point(x=bits, y=interval.value * scale, low=interval.low * scale, high=interval.high * scale, note=note)


def _cards(report: CodecReport) -> str:
    cards = []
    for index, sheet in enumerate(report.sheets):
        facts = [
            ("entropy of the codes", rate_words(sheet.entropy_bit_rate)),
            ("sample rate", f"{sheet.sample_rate / 1000:g} kHz"),
            ("levels", f"{len(sheet.levels)}, {sum(sheet.code_rates):.1f} codes/s"),
            ("parameters", f"{sheet.num_parameters / 1e6:.1f} M"),
        ]
        for name, title in (("encode real-time factor", "encode"), ("decode real-time factor", "decode")):
            figure = next(f for f in report.columns if f.name == name)
            interval = figure.compute(report.of(sheet.label))
            if interval is not None and interval.value > 0:
                facts.append((title, f"{1 / interval.value:.1f} x real time"))
        rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
        cards.append(
            f'<li class="s{index % 6}"><b>{escape(sheet.label)}</b><div class="rate">{rate_words(sheet.bit_rate)}</div>'
            f"<dl>{rows}</dl></li>"
        )
    return f'<ul class="cards">{"".join(cards)}</ul>'


def _missing(report: CodecReport) -> str:
    if not report.unavailable:
        return ""
    items = "".join(f"<li><b>{escape(name)}</b>: {escape(why)}</li>" for name, why in report.unavailable)
    return f'<div class="note">Not measured here:<ul>{items}</ul></div>'


def _figures(report: CodecReport) -> str:
    rows = []
    for figure in report.shown():
        best = report.best(figure)
        cells = [cell(figure, figure.compute(report.of(s)), s == best) for s in report.systems]
        rows.append([name_of(figure), *cells])
        if figure.name == WORD_ERRORS.name:
            added = [cell(figure, report.added_errors(system)) for system in report.systems]
            rows.append(["above the recordings <small>points, paired</small>", *added])
    note = "↓: lower is better, ↑: higher is better; the best codec is in bold. "
    floor = report.stranger_similarity()
    if floor is not None:
        note += (
            f"Recordings compared with <em>other</em> speakers have a similarity of {floor:.3f}: that is the floor. "
        )
    lags = "; ".join(f"{escape(label)}: {escape(report.timing(label))}" for label in report.labels)
    head = ["", *(escape(report.name(system)) for system in report.systems)]
    return table(head, rows, "Figures") + f'<p class="quiet">{note}In time: {lags}.</p>'


def _differences(report: CodecReport) -> str:
    if len(report.sheets) < 2:
        return ""
    first, others = report.labels[0], report.labels[1:]
    found = {label: report.differences(label) for label in others}
    rows = []
    for figure in report.shown():
        cells = []
        for label in others:
            interval = found[label].get(figure.name)
            said = verdict(figure, interval)
            mark = {"better": "▲ better", "worse": "▼ worse"}.get(said, "")
            shown = cell(figure, interval)
            if interval is not None and interval.value > 0:
                shown = shown.replace("<span>", "<span>+", 1)
            tail = f' <span class="{said}">{mark}</span>' if said else ""
            cells.append(shown.removesuffix("</td>") + tail + "</td>")
        rows.append([name_of(figure), *cells])
    return (
        f"<h3>Against {escape(first)}, clip by clip</h3>"
        + table(["", *(escape(label) for label in others)], rows, f"Differences from {first}")
        + '<p class="quiet">Paired: the same clips and the same resamples on both sides. “Better” and “worse” stand '
        "where the interval leaves 0 out; of many figures, one in twenty would do so by chance.</p>"
    )


def _charts(report: CodecReport) -> str:
    figures = [f for f in report.shown() if any(f.compute(report.of(label)) for label in report.labels)]
    usual = next((f for f in figures if f.name in ("PESQ", "mel distance")), figures[0])
    whole, strips, parts = [], [], []
    partial = {f.name for f in report.prefix_figures()}
    for figure in figures:
        attributes = f'class="scroll" data-pick="pick-figure" data-value="{escape(figure.name)}"'
        if all(one.points for one in _whole(report, figure)):
            whole.append(f"<div {attributes}>{chart_of(report, figure)}</div>")
        if figure.name in partial:
            lines = [_line(sheet, figure) for sheet in report.sheets]
            if any(len(line.points) > 1 for line in lines) and all(line.points for line in lines):
                chart = rate_chart(lines, f"{figure.name}, first levels", figure.title, figure.better)
                parts.append(f"<div {attributes}>{chart}</div>")
        rows = [_row(report, label, figure) for label in report.labels]
        if all(len(values) > 1 for _, values, _ in rows):
            strips.append(f"<div {attributes}>{strip_chart(rows, figure.title, figure.better)}</div>")
    choices = "".join(
        f'<label><input type="radio" name="figure" value="{escape(f.name)}"{" checked" * (f is usual)}>'
        f"{escape(f.name)}</label>"
        for f in figures
    )
    html = f'<fieldset class="pick" id="pick-figure" hidden><legend>Figure</legend>{choices}</fieldset>'
    if len(report.sheets) > 1:
        html += "".join(whole)
    html += ("<h3>Clip by clip</h3>" + "".join(strips)) if strips else ""
    if parts:
        count = len(report.sheets[0].prefixes[-1].utterances) if report.sheets[0].prefixes else 0
        html += (
            "<h3>From the first levels alone</h3>"
            f'<p class="quiet">Each point adds levels, on the same {count} clips. The decoders were trained with all '
            "of their levels: this is what each level adds, not what a codec made for that rate would give.</p>"
            + "".join(parts)
        )
    return html


def _line(sheet: CodecSheet, figure: Figure) -> Series:
    points = []
    for prefix in sheet.prefixes:
        interval = figure.compute(prefix.utterances)
        if interval is not None:
            name = f"{sheet.label}, first {prefix.levels} of {len(sheet.levels)}"
            points.append(_point(name, figure, interval, prefix.bit_rate))
    return Series(name=sheet.label, points=tuple(points))


def _row(report: CodecReport, label: str, figure: Figure) -> tuple[str, list[float], Point | None]:
    scale = 100 if figure.unit == "%" else 1
    values = [figure.of(u) for u in report.of(label)]
    interval = figure.compute(report.of(label))
    mean = None
    if interval is not None:
        low, high = interval.low * scale, interval.high * scale
        note = f"{label}: {figure.name} {figure.show(interval)}"
        mean = Point(x=interval.value * scale, y=0.0, low=low, high=high, note=note)
    return label, [value * scale for value in values if value is not None], mean


def _codebooks(report: CodecReport) -> str:
    rows = []
    for index, sheet in enumerate(report.sheets):
        for i, (use, rate, size) in enumerate(zip(sheet.levels, sheet.code_rates, sheet.codebook_sizes, strict=True)):
            full = math.log2(size)
            rows.append(
                [
                    f'<span class="s{index % 6}">■</span> {escape(sheet.label)}, level {i + 1}',
                    f"{rate:.2f}",
                    f'<span class="s{index % 6}">{_bar(use.utilisation)}</span>{use.utilisation:.1%} of {size:,}',
                    f'<span class="s{index % 6}">{_bar(use.bits / full)}</span>{use.bits:.2f} of {full:g} bits',
                    f"{use.perplexity:,.0f}",
                    f"{use.num_codes:,}",
                ]
            )
    head = ["", "codes a second", "codes used", "entropy", "perplexity", "codes counted"]
    short = [
        f"{escape(sheet.label)} level {i + 1}"
        for sheet in report.sheets
        for i, (use, size) in enumerate(zip(sheet.levels, sheet.codebook_sizes, strict=True))
        if use.num_codes < 10 * size
    ]
    note = "Entropy of single codes over this set; perplexity is 2 to that power."
    if short:
        note += (
            " Fewer than ten codes an entry were counted here, so use and entropy are lower bounds: "
            f"{', '.join(short[:6])}{' and others' if len(short) > 6 else ''}."
        )
    return table(head, rows, "Codebooks") + f'<p class="quiet">{note}</p>'


def _bar(share: float) -> str:
    return f'<span class="bar" aria-hidden="true"><i style="width:{min(max(share, 0), 1):.1%}"></i></span>'


def _speakers(report: CodecReport) -> str:
    names = sorted({u.speaker for u in report.utterances if u.speaker})
    if len(names) < 2:
        return ""
    figures = [figure for figure in report.shown() if "real-time" not in figure.name]
    html = ""
    for label in report.labels:
        rows = []
        for name in names:
            chosen = report.of(label, name)
            values = [figure.compute(chosen) for figure in figures]
            cells = [
                f'<td data-value="{"" if v is None else v.value}">{figure.show(v, with_interval=False)}</td>'
                for figure, v in zip(figures, values, strict=True)
            ]
            rows.append([escape(name), f"{len(chosen)}", *cells])
        head = ["speaker", "clips", *(escape(figure.name) for figure in figures)]
        html += f"<h3>{escape(label)}</h3>" + table(head, rows, f"Speakers, {label}", sortable=True)
    return html


def _all(report: CodecReport) -> str:
    figures = [figure for figure in report.shown() if "real-time" not in figure.name]
    rows = []
    for utterance in report.utterances:
        cells = []
        for figure in figures:
            value = figure.of(utterance)
            shown = "–" if value is None else figure.show_number(value)
            cells.append(f'<td data-value="{"" if value is None else value}">{shown}</td>')
        heard = marked(utterance.score) if utterance.score else escape(utterance.text)
        notes = escape(", ".join((*utterance.faults, *utterance.unmeasured)))
        rows.append(
            [
                f'<a href="{escape(utterance.audio)}">{escape(utterance.id)}</a>',
                escape(report.name(utterance.system)),
                f'<td data-value="{utterance.seconds}">{utterance.seconds:.1f} s</td>',
                *cells,
                f'<td class="words">{heard}</td>',
                notes,
            ]
        )
    head = ["clip", "system", "length", *(escape(f.name) for f in figures), "text", "notes"]
    versions = table(head, rows, "All clips", sortable=True)
    return f"<details><summary>All {len(rows)} versions; a click on a heading sorts</summary>{versions}</details>"


def _how(report: CodecReport) -> str:
    rows = [[escape(name), f'<td class="words">{escape(value)}</td>'] for name, value in report.settings.items()]
    html = table(["", ""], rows, "Settings")
    meanings = "".join(f"<li><b>{escape(f.name)}</b>: {escape(f.meaning)}</li>" for f in report.shown())
    html += f"<h3>What the figures mean</h3><ul>{meanings}</ul>"
    if report.failures:
        failed = [[escape(name), f'<td class="words">{escape(why)}</td>'] for name, why in report.failures]
        html += f"<h3>Clips that could not be measured ({len(failed)})</h3>" + table(
            ["clip", "why"], failed, "Failures"
        )
    return html
