"""The report as one HTML page that needs no other file: tables, distribution, worst cases with players.

Owns the page's layout and words. Figures are `report.py`'s, drawings `aoede.data.pictures`'s.
"""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile  # type: ignore[import-untyped]
from numpy.typing import NDArray

from aoede.data.audio import load_audio
from aoede.data.pictures import histogram_svg, spectrogram_png
from aoede.evaluation.intelligibility import Score
from aoede.evaluation.listening import Utterance

if TYPE_CHECKING:
    from aoede.evaluation.report import Report

__all__ = ["render"]

NAMES = {"recording": "recordings", "codec": "codec round trip", "voice": "voice"}
MP3_RATE = 24000
"""Embedded players: 24 kHz is a rate of MP3, which every browser plays."""

STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: #c0392b; --new: #b9770e; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
td, th { border-bottom: 1px solid var(--line); padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top; }
small, .quiet { opacity: .7; } .quiet { font-size: 13px; }
del { color: var(--bad); } ins { color: var(--new); text-decoration: underline; }
article { border-top: 1px solid var(--line); padding: 1rem 0; } figure { margin: 0; }
.row { display: flex; gap: 1rem; flex-wrap: wrap; } .row > * { flex: 1 1 18rem; min-width: 0; }
img, svg, audio { width: 100%; display: block; } img { image-rendering: pixelated; height: 8rem; }
svg { max-width: 44rem; font-size: 11px; fill: currentColor; }
.fault { border: 1px solid var(--bad); border-radius: 3px; padding: 0 .3rem; font-size: 12px; }
"""


def render(report: Report, worst: int = 12) -> str:
    """The page.

    Args:
        report: its audio files are read from its folder.
        worst: how many clips get players and spectrograms; those of the last system with the most word errors.
    """
    last = report.systems[-1]
    body = [
        f"<h1>{escape(report.title)}</h1>",
        _figures(report),
        _codebooks(report),
        _distributions(report),
        _speakers(report),
        f"<h2>Worst cases of the {escape(NAMES.get(last, last))}</h2>",
        *(_case(report, utterance) for utterance in report.worst(last, worst)),
        _all(report),
        _failures(report),
        _settings(report),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>{escape(report.title)}</title><style>{STYLE}</style></head><body>'
        + "\n".join(part for part in body if part)
        + "</body></html>\n"
    )


def marked(score: Score) -> str:
    """The text as HTML, what was lost struck out and what was heard instead underlined."""
    parts = []
    for edit in score.edits:
        if edit.kind == "same":
            parts.append(escape(edit.said))
        else:
            parts += [f"<del>{escape(edit.said)}</del>"] * bool(edit.said) + [
                f"<ins>{escape(edit.heard)}</ins>"
            ] * bool(edit.heard)
    return " ".join(parts)


def _table(head: list[str], rows: list[list[str]]) -> str:
    """Cells are HTML already."""
    cells = "".join(f"<th>{cell}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>"


def _figures(report: Report) -> str:
    systems = report.systems
    rows = []
    for figure in report.shown():
        unit = f" <small>{figure.unit}</small>" if figure.unit else ""
        cells = [figure.show(figure.compute(report.of(system))) for system in systems]
        rows.append([f"{figure.name}{unit} <small>({figure.better} is better)</small>", *cells])
        if figure.name == "word errors" and len(systems) > 1:
            added = [report.added_errors(system) for system in systems]
            rows.append(["&nbsp; above the recordings <small>points, paired</small>", *(figure.show(a) for a in added)])
    floor = report.stranger_similarity()
    note = "In brackets: 95 % interval, bootstrap over clips."
    if floor is not None:
        note += f" Recordings compared with <em>other</em> speakers have a similarity of {floor:.3f}."
    return _table(["", *(escape(NAMES.get(s, s)) for s in systems)], rows) + f'<p class="quiet">{note}</p>'


def _codebooks(report: Report) -> str:
    if not report.levels:
        return ""
    rows = [
        [str(i), f"{use.utilisation:.1%}", f"{use.perplexity:.0f}", f"{use.bits:.2f}", f"{use.num_codes:,}"]
        for i, use in enumerate(report.levels)
    ]
    return "<h2>Codebooks</h2>" + _table(["level", "codes used", "perplexity", "bits a code", "codes counted"], rows)


def _distributions(report: Report) -> str:
    shown = ""
    rates = {NAMES.get(s, s): [u.score.wer for u in report.of(s) if u.score] for s in report.systems}
    if any(rates.values()):
        shown += histogram_svg(rates, "word errors a word, clip by clip (1 and more in the last bar)", top=1.0)
    lengths = [u.duration_ratio for u in report.of("voice") if u.duration_ratio is not None]
    if lengths:
        shown += histogram_svg({"voice": lengths}, "seconds against the recording's", top=3.0)
    return f"<h2>Distribution</h2>{shown}" if shown else ""


def _speakers(report: Report) -> str:
    last = report.systems[-1]
    names = sorted({u.speaker for u in report.of(last) if u.speaker is not None})
    if len(names) < 2:
        return ""
    figures = report.shown()
    rows = []
    for name in names:
        found = report.figures(last, name)
        cells = [figure.show(found[figure.name], with_interval=False) for figure in figures]
        rows.append([escape(name), str(len(report.of(last, name))), *cells])
    head = ["speaker", "clips", *(figure.name for figure in figures)]
    return f"<h2>Speakers, {escape(NAMES.get(last, last))}</h2>" + _table(head, rows)


def _case(report: Report, worst: Utterance) -> str:
    columns = []
    for system in report.systems:
        for utterance in [u for u in report.of(system) if u.id == worst.id]:
            columns.append(_player(report.folder, utterance))
    return (
        f"<article><p>{escape(worst.text)}<br><small>{escape(worst.id)}, {escape(worst.speaker or 'speaker unknown')}"
        f'</small></p><div class="row">{"".join(columns)}</div></article>'
    )


def _player(folder: Path, utterance: Utterance) -> str:
    samples, rate = load_audio(folder / utterance.audio)
    picture = base64.b64encode(spectrogram_png(samples, rate)).decode()
    sound = base64.b64encode(_mp3(folder / utterance.audio)).decode()
    notes = [f"{utterance.seconds:.1f} s, 0 to {rate / 2000:g} kHz"]
    if utterance.score:
        notes.append(f"word errors {utterance.score.wer:.0%}")
    if utterance.similarity is not None:
        notes.append(f"similarity {utterance.similarity:.2f}")
    if utterance.mel_distance is not None:
        notes.append(f"mel distance {utterance.mel_distance:.2f}")
    faults = " ".join(f'<span class="fault">{escape(fault)}</span>' for fault in utterance.faults)
    heard = f"<div>{marked(utterance.score)}</div>" if utterance.score else ""
    return (
        f"<figure><figcaption><b>{escape(NAMES.get(utterance.system, utterance.system))}</b> "
        f"<small>{', '.join(notes)}</small> {faults}</figcaption>"
        f'<img alt="spectrogram" src="data:image/png;base64,{picture}">'
        f'<audio controls preload="none" src="data:audio/mpeg;base64,{sound}"></audio>{heard}</figure>'
    )


def _mp3(path: Path) -> bytes:
    samples: NDArray[np.float32]
    samples, _ = load_audio(path, MP3_RATE)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), MP3_RATE, format="MP3")
    return buffer.getvalue()


def _all(report: Report) -> str:
    rows = []
    for utterance in report.utterances:
        heard = marked(utterance.score) if utterance.score else escape(utterance.transcript or "")
        rows.append(
            [
                escape(utterance.system),
                escape(utterance.speaker or ""),
                heard or escape(utterance.text),
                f"{utterance.score.wer:.0%}" if utterance.score else "-",
                f"{utterance.similarity:.2f}" if utterance.similarity is not None else "-",
                f"{utterance.seconds:.1f} s",
                escape(", ".join(utterance.faults + utterance.notes)),
                f'<a href="{escape(utterance.audio)}">{escape(Path(utterance.audio).name)}</a>',
            ]
        )
    head = ["system", "speaker", "text, <del>lost</del> <ins>heard</ins>", "errors", "similarity", "length", "", "file"]
    return f"<details><summary>All {len(rows)} utterances</summary>{_table(head, rows)}</details>"


def _failures(report: Report) -> str:
    if not report.failures:
        return ""
    rows = [[escape(name), escape(why)] for name, why in report.failures]
    return f"<h2>Not measured ({len(rows)})</h2>" + _table(["clip", "why"], rows)


def _settings(report: Report) -> str:
    rows = [[escape(name), escape(value)] for name, value in report.settings.items()]
    return "<h2>How this was measured</h2>" + _table(["", ""], rows)
