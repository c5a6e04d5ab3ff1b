"""The report on voices as one HTML page that needs no other file: figures, charts, what goes wrong, players.

Owns the sections that only voices have, and the order of all. What they share with codecs is `report_sections.py`'s,
figures are `speech_report.py`'s, drawings `charts.py`'s, what can be heard `players.py`'s.
"""

from __future__ import annotations

from html import escape

from aoede.data.audio import describe
from aoede.evaluation.charts import histogram
from aoede.evaluation.figures import WORD_ERRORS
from aoede.evaluation.page import bar, card, choice, chosen_part, document, missing, swatch
from aoede.evaluation.page_tables import cell, name_of, table
from aoede.evaluation.players import Players, Version, listen
from aoede.evaluation.report_sections import (
    all_clips,
    differences,
    figures,
    of_sound,
    rows_of,
    settings,
    speakers,
    strips,
)
from aoede.evaluation.speech_report import SpeechReport

__all__ = ["render"]

INTRO = (
    "Hardest texts first: most words lost above the recording by any system, then most faults, then least like the "
    "speaker."
)


def render(report: SpeechReport, worst: int = 12) -> str:
    """The page.

    Args:
        report: its audio files are read from its folder.
        worst: how many texts get players and spectrograms: see `Report.worst_clips`.
    """
    texts = len(report.of(report.labels[0]))
    notes = [] if report.ceiling == "same texts" else [f"{_capital(report)}: {escape(report.ceiling_words)}."]
    told = [figure for figure in of_sound(report) if figure.name not in ("faulty clips", "STFT distance")]
    players = Players(folder=report.folder, figures=told, top_hertz=_top(report), sound="mp3")
    what = {"none": ""}.get(report.ceiling, ", beside recordings of people")
    return document(
        report.title,
        f"{texts} texts spoken by {len(report.labels)} system{'s' * (len(report.labels) > 1)}{what}. In brackets and "
        "as whiskers: 95 % intervals, bootstrap over texts.",
        [_card(report, index) for index in range(len(report.labels))],
        missing(report.missing, notes),
        [
            ("figures", "Figures", figures(report) + differences(report)),
            ("texts", "Text by text", _charts(report)),
            ("wrong", "Where it goes wrong", _wrong(report)),
            ("listen", "Listen", listen(report, players, worst, INTRO, lambda clip: _reference(report, clip))),
            ("speakers", "Speakers", speakers(report)),
            ("codebooks", "Codebooks", _codebooks(report)),
            ("clips", "All utterances", all_clips(report)),
            ("how", "How this was measured", settings(report, report.details())),
        ],
    )


def _capital(report: SpeechReport) -> str:
    name = "Ceiling" if report.ceiling == "none" else report.name("recording")
    return escape(name[0].upper() + name[1:])


def _card(report: SpeechReport, index: int) -> str:
    sheet = report.sheets[index]
    found = report.figures(sheet.label)
    known = {figure.name: figure for figure in report.columns}
    headline = sheet.source
    facts = []
    for name, title in (
        ("character errors", "character errors"),
        ("speaker similarity", "like the speaker"),
        *((figure.name, figure.name) for figure in report.extra),
        ("duration ratio", "duration ratio"),
        ("faulty clips", "faulty"),
        ("first audio", "first audio"),
    ):
        interval = found[name]
        if interval is not None:
            unit = known[name].unit
            facts.append((title, f"{known[name].show_number(interval.value)}{unit and ' ' + unit}"))
    speed = found["real-time factor"]
    if speed is not None and speed.value > 0:
        facts.append(("speed", f"{1 / speed.value:.1f} x real time"))
    errors = found[WORD_ERRORS.name]
    if errors is not None:
        headline = f"{WORD_ERRORS.show_number(errors.value)} % word errors"
        facts.append(("is", sheet.source))
    return card(index, sheet.label, headline, facts)


def _charts(report: SpeechReport) -> str:
    shown = [f for f in report.shown() if any(report.compute(f, label) for label in report.labels)]
    usual = next((f.name for f in shown if f.name in ("word errors", "duration ratio")), shown[0].name)
    histograms = ""
    for figure in shown:
        rows, colours = rows_of(report, report.systems, figure)
        if rows and max(len(values) for _, values, _ in rows) > 1:
            counted = [(name, values) for name, values, _ in rows]
            chart = histogram(counted, figure.title, 100.0 if figure.unit == "%" else None, colours)
            histograms += chosen_part("figure", figure.name, chart)
    dots = strips(report, report.systems, shown, "figure")
    if not dots:
        return ""
    html = choice("figure", "Figure", [f.name for f in shown], usual)
    html += f"{dots}<h3>How many texts</h3>{histograms}"
    return html + '<p class="quiet">A dot a text; its own rate of errors, where the tables have that of all words.</p>'


def _wrong(report: SpeechReport) -> str:
    rows = [
        [name_of(figure), *(cell(figure, report.compute(figure, system)) for system in report.systems)]
        for figure in report.details()
    ]
    head = ["", *(escape(report.name(system)) for system in report.systems)]
    return table(head, rows, "Where it goes wrong") + (
        '<p class="quiet">Word errors by kind, then the share of the texts with each fault; a text may have several. '
        "What people are accused of here is what the detectors get wrong.</p>"
    )


def _reference(report: SpeechReport, clip: str) -> list[Version]:
    """The recording that a text was to be spoken like."""
    file = report.references.get(clip)
    return [] if file is None else [Version(title="to speak like", file=file)]


def _codebooks(report: SpeechReport) -> str:
    rows = []
    for index, codec in enumerate(report.codecs):
        for i, use in enumerate(codec.levels, 1):
            of = f"{report.name(codec.system)} ({', '.join(codec.voices)}), level {i}"
            used = f"{bar(index, use.utilisation)}{use.utilisation:.1%}"
            rows.append(
                [swatch(index, of), used, f"{use.bits:.2f} bits", f"{use.perplexity:,.0f}", f"{use.num_codes:,}"]
            )
    if not rows:
        return ""
    head = ["", "codes used", "entropy", "perplexity", "codes counted"]
    return table(head, rows, "Codebooks") + '<p class="quiet">Of the recordings on their way through the codec.</p>'


def _top(report: SpeechReport) -> float:
    """Half the highest rate of the systems' sound: what their pictures reach to."""
    return max(describe(report.folder / report.of(label)[0].audio).sample_rate for label in report.labels) / 2
