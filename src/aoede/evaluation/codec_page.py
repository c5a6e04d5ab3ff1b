"""The codec report as one HTML page that needs no other file: figures, charts, codebooks, levels, players.

Owns the sections that only codecs have, and the order of all. What they share with voices is `report_sections.py`'s,
figures are `codec_report.py`'s, drawings `charts.py`'s, what can be heard `players.py`'s.
"""

from __future__ import annotations

import math
from html import escape

from aoede.evaluation.charts import Point, Series, rate_chart
from aoede.evaluation.codec_levels import levels
from aoede.evaluation.codec_report import CodecReport, CodecSheet, rate_words
from aoede.evaluation.figures import Figure
from aoede.evaluation.intervals import Interval
from aoede.evaluation.page import bar, card, choice, chosen_part, document, missing, swatch
from aoede.evaluation.page_tables import table
from aoede.evaluation.players import Players, listen
from aoede.evaluation.report_sections import (
    all_clips,
    differences,
    figures,
    of_sound,
    scaled,
    settings,
    speakers,
    strips,
)

__all__ = ["chart_of", "render"]

INTRO = "Hardest clips first: most words lost, then furthest from the recording."


def render(report: CodecReport, worst: int = 12) -> str:
    """The page.

    Args:
        report: its audio files are read from its folder.
        worst: how many clips get players and spectrograms: see `CodecReport.worst_clips`.
    """
    lags = "; ".join(f"{escape(label)}: {escape(report.timing(label))}" for label in report.labels)
    told = [figure for figure in of_sound(report) if figure.name != "faulty clips"]
    players = Players(folder=report.folder, figures=told, top_hertz=max(s.sample_rate for s in report.sheets) / 2)
    return document(
        report.title,
        f"{escape(report.settings.get('clips', ''))}, compared at {report.rate / 1000:g} kHz. In brackets and as "
        "whiskers: 95 % intervals, bootstrap over clips.",
        [_card(report, index, sheet) for index, sheet in enumerate(report.sheets)],
        missing(report.missing),
        [
            ("figures", "Figures", figures(report, f"In time: {lags}.") + differences(report)),
            ("rate", "Quality and bit rate", _charts(report)),
            ("codebooks", "Codebooks", _codebooks(report)),
            ("levels", "Level by level", levels(report)),
            ("listen", "Listen", listen(report, players, worst, INTRO)),
            ("speakers", "Speakers", speakers(report)),
            ("clips", "All clips", all_clips(report)),
            ("how", "How this was measured", settings(report)),
        ],
    )


def chart_of(report: CodecReport, figure: Figure) -> str:
    """One figure of every codec against its bit rate, as SVG; with prefixes, a line a codec on the clips they share."""
    return rate_chart(_whole(report, figure), f"{figure.name} against bit rate", figure.title, figure.better)


def _whole(report: CodecReport, figure: Figure) -> list[Series]:
    found = []
    for sheet in report.sheets:
        interval = report.compute(figure, sheet.label)
        points = () if interval is None else (_point(sheet.label, figure, interval, sheet.bit_rate),)
        found.append(Series(name=sheet.label, points=points))
    return found


def _point(name: str, figure: Figure, interval: Interval, bits: float) -> Point:
    scale = scaled(figure)
    note = f"{name}, {rate_words(bits)}: {figure.name} {figure.show(interval)}, {interval.count} clips"
    return Point(x=bits, y=interval.value * scale, low=interval.low * scale, high=interval.high * scale, note=note)


def _card(report: CodecReport, index: int, sheet: CodecSheet) -> str:
    facts = [
        ("entropy of the codes", rate_words(sheet.entropy_bit_rate)),
        ("sample rate", f"{sheet.sample_rate / 1000:g} kHz"),
        ("levels", f"{len(sheet.levels)}, {sum(sheet.code_rates):.1f} codes/s"),
        ("parameters", f"{sheet.num_parameters / 1e6:.1f} M"),
    ]
    for name, title in (("encode real-time factor", "encode"), ("decode real-time factor", "decode")):
        interval = report.figures(sheet.label)[name]
        if interval is not None and interval.value > 0:
            facts.append((title, f"{1 / interval.value:.1f} x real time"))
    return card(index, sheet.label, rate_words(sheet.bit_rate), facts)


def _charts(report: CodecReport) -> str:
    shown = [f for f in report.shown() if any(report.compute(f, label) for label in report.labels)]
    usual = next((f for f in shown if f.name in ("PESQ", "mel distance")), shown[0])
    whole, parts = "", ""
    partial = {f.name for f in report.prefix_figures()}
    for figure in shown:
        if all(one.points for one in _whole(report, figure)):
            whole += chosen_part("figure", figure.name, chart_of(report, figure))
        if figure.name in partial:
            lines = [_line(sheet, figure) for sheet in report.sheets]
            if any(len(line.points) > 1 for line in lines) and all(line.points for line in lines):
                chart = rate_chart(lines, f"{figure.name}, first levels", figure.title, figure.better)
                parts += chosen_part("figure", figure.name, chart)
    html = choice("figure", "Figure", [f.name for f in shown], usual.name)
    if len(report.sheets) > 1:
        html += whole
    dots = strips(report, report.labels, shown, "figure")
    html += f"<h3>Clip by clip</h3>{dots}" if dots else ""
    if parts:
        count = len(report.sheets[0].prefixes[-1].utterances) if report.sheets[0].prefixes else 0
        html += (
            "<h3>From the first levels alone</h3>"
            f'<p class="quiet">Each point adds levels, on the same {count} clips. The decoders were trained with all '
            f"of their levels: this is what each level adds, not what a codec made for that rate would give.</p>{parts}"
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


def _codebooks(report: CodecReport) -> str:
    rows = []
    for index, sheet in enumerate(report.sheets):
        for i, (use, rate, size) in enumerate(zip(sheet.levels, sheet.code_rates, sheet.codebook_sizes, strict=True)):
            full = math.log2(size)
            rows.append(
                [
                    swatch(index, f"{sheet.label}, level {i + 1}"),
                    f"{rate:.2f}",
                    f"{bar(index, use.utilisation)}{use.utilisation:.1%} of {size:,}",
                    f"{bar(index, use.bits / full)}{use.bits:.2f} of {full:g} bits",
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
