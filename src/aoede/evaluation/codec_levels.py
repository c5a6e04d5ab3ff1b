"""The first levels of codecs alone, as tables and players on a codec's page.

Owns which clips and levels stand side by side. How they are played is `players.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from aoede.evaluation.codec_report import CodecReport, rate_words
from aoede.evaluation.listening import Utterance
from aoede.evaluation.page import swatch
from aoede.evaluation.page_tables import cell, name_of, table
from aoede.evaluation.players import Players, Version

__all__ = ["levels"]

CLIPS_SHOWN = 3


def levels(report: CodecReport) -> str:
    """The section of the first levels alone; "" where nothing was decoded so."""
    sheets = [sheet for sheet in report.sheets if sheet.prefixes]
    refused = "".join(f"<p>{escape(s.label)}: {escape(s.refused)}</p>" for s in report.sheets if s.refused)
    if not sheets:
        return refused
    figures = report.prefix_figures()
    rows = []
    for index, sheet in enumerate(report.sheets):
        for prefix in sheet.prefixes:
            cells = [cell(figure, figure.compute(prefix.utterances)) for figure in figures]
            name = swatch(index, f"{sheet.label}, first {prefix.levels}")
            rows.append([name, rate_words(prefix.bit_rate), *cells])
    whole = sheets[0].prefixes[-1].utterances
    html = (
        "<p>The first levels alone, what the later ones add left out of the sum. "
        f'<span class="quiet">{len(whole)} clips.</span></p>'
        + table(["", "bit rate", *(name_of(figure) for figure in figures)], rows, "First levels")
    )
    players = Players(folder=report.folder, figures=figures, top_hertz=max(s.sample_rate for s in report.sheets) / 2)
    for clip in [utterance.id for utterance in whole[:CLIPS_SHOWN]]:
        recording = _by_id(report.of("recording"), clip)
        if recording is None:
            continue
        versions = [Version(title="recording", file=recording.audio, utterance=recording)]
        for sheet in sheets:
            for prefix in sheet.prefixes:
                found = _by_id(prefix.utterances, clip)
                if found is not None:
                    title = f"{sheet.label}, first {prefix.levels} of {len(sheet.levels)}"
                    versions.append(Version(title=title, file=found.audio, utterance=found, words=False))
        html += players.article(clip, recording.text, recording.speaker or "", versions)
    return html + refused


def _by_id(utterances: Sequence[Utterance], clip: str) -> Utterance | None:
    return next((u for u in utterances if u.id == clip), None)
