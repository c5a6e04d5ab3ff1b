"""What can be heard and seen on a codec's page: versions of a clip side by side, and the first levels alone.

Owns players, spectrograms and the words beside them. Players are FLAC: a lossy player would hide what codecs differ
in. Which clips are hardest is `codec_report.py`'s to say, how keys move between versions `page_style.py`'s.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
import soundfile  # type: ignore[import-untyped]

from aoede.data.audio import load_audio
from aoede.data.pictures import loudest_decibels, spectrogram_png
from aoede.evaluation.codec_report import CodecReport, rate_words
from aoede.evaluation.figures import Figure
from aoede.evaluation.listening import Utterance
from aoede.evaluation.page import marked
from aoede.evaluation.page_tables import cell, name_of, table

__all__ = ["levels", "listen"]

EXCERPT_SECONDS = 12.0
"""Players and pictures hold no more of a clip than this; the whole lies in the audio folder."""

LEVEL_CLIPS_SHOWN = 3


def levels(report: CodecReport) -> str:
    """The section of the first levels alone; "" where nothing was decoded so."""
    sheets = [sheet for sheet in report.sheets if sheet.prefixes]
    refused = [f"<p>{escape(s.label)}: {escape(s.refused)}</p>" for s in report.sheets if s.refused]
    if not sheets:
        return "".join(refused)
    figures = report.prefix_figures()
    rows = []
    for index, sheet in enumerate(report.sheets):
        for prefix in sheet.prefixes:
            title = f'<span class="s{index % 6}">■</span> {escape(sheet.label)}, first {prefix.levels}'
            cells = [cell(figure, figure.compute(prefix.utterances)) for figure in figures]
            rows.append([title, rate_words(prefix.bit_rate), *cells])
    html = (
        "<p>The first levels alone, what the later ones add left out of the sum. "
        f'<span class="quiet">{len(sheets[0].prefixes[-1].utterances)} clips.</span></p>'
        + table(["", "bit rate", *(name_of(figure) for figure in figures)], rows, "First levels")
    )
    shown = [u.id for u in sheets[0].prefixes[-1].utterances[:LEVEL_CLIPS_SHOWN]]
    for clip in shown:
        recording = _by_id(report.of("recording"), clip)
        if recording is None:
            continue
        loudest = _loudest(report.folder, recording)
        figure_list = [_player(report, recording, "recording", 1, loudest, figures)]
        for sheet in sheets:
            for prefix in sheet.prefixes:
                utterance = _by_id(prefix.utterances, clip)
                if utterance is not None:
                    title = f"{sheet.label}, first {prefix.levels} of {len(sheet.levels)}"
                    figure_list.append(
                        _player(report, utterance, title, len(figure_list) + 1, loudest, figures, words=False)
                    )
        html += _article(recording, figure_list)
    return html + "".join(refused)


def listen(report: CodecReport, worst: int) -> str:
    """The section of the clips that should be heard first."""
    clips = report.worst_clips(worst)
    if not clips:
        return ""
    figures = [f for f in report.shown() if "real-time" not in f.name and f.name != "faulty clips"]
    html = (
        "<p>Hardest clips first: most words lost, then furthest from the recording. Within a clip "
        "<kbd>1</kbd> <kbd>2</kbd> … play another version from the same place, <kbd>Esc</kbd> pauses, <kbd>j</kbd> and "
        "<kbd>k</kbd> go to the next and the previous clip; a click on a picture plays from there. "
        f'<span class="quiet">Pictures: 0 to {_top(report) / 1000:g} kHz, 80 dB below the recording\'s loudest. '
        "Players are lossless.</span></p>"
    )
    for clip in clips:
        recording = _by_id(report.of("recording"), clip)
        assert recording is not None  # worst_clips are ids of recordings
        loudest = _loudest(report.folder, recording)
        versions = [recording, *(u for label in report.labels for u in report.of(label) if u.id == clip)]
        players = [_player(report, u, report.name(u.system), i + 1, loudest, figures) for i, u in enumerate(versions)]
        html += _article(recording, players)
    return html


def _article(recording: Utterance, players: Sequence[str]) -> str:
    text = f"<b>{escape(recording.text)}</b><br>" if recording.text else ""
    return (
        f'<article tabindex="0" aria-label="{escape(recording.text or recording.id)}"><p>{text}'
        f"<small>{escape(recording.id)}{', ' + escape(recording.speaker) if recording.speaker else ''}</small></p>"
        f'<div class="versions">{"".join(players)}</div></article>'
    )


def _player(
    report: CodecReport,
    utterance: Utterance,
    title: str,
    key: int,
    loudest: float,
    figures: Sequence[Figure],
    words: bool = True,
) -> str:
    samples, rate = load_audio(report.folder / utterance.audio)
    samples = samples[: round(EXCERPT_SECONDS * rate)]
    picture = spectrogram_png(samples, rate, top_hertz=_top(report), loudest=loudest)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), rate, format="FLAC", subtype="PCM_16")
    found = [(figure, figure.of(utterance)) for figure in figures]
    notes = [
        f"{escape(f.name)} {f.show_number(value)}{f.unit and ' ' + f.unit}" for f, value in found if value is not None
    ]
    if utterance.seconds > EXCERPT_SECONDS:
        notes.append(f"first {EXCERPT_SECONDS:g} of {utterance.seconds:.1f} s")
    faults = " ".join(f'<span class="fault">{escape(fault)}</span>' for fault in utterance.faults)
    heard = f"<div>{marked(utterance.score)}</div>" if utterance.score and words else ""
    mark = f"<kbd>{key}</kbd>" if key < 10 else ""
    return (
        f"<figure><figcaption>{mark}<b>{escape(title)}</b>{faults}</figcaption>"
        f'<div class="spec" data-seconds="{len(samples) / rate:.3f}"><img alt="Spectrogram of {escape(title)}" '
        f'src="data:image/png;base64,{_base64(picture)}"><i></i></div>'
        f'<audio controls preload="none" aria-label="{escape(title)}" '
        f'src="data:audio/flac;base64,{_base64(buffer.getvalue())}"></audio>{heard}'
        f"<small>{', '.join(notes)}</small></figure>"
    )


def _by_id(utterances: Sequence[Utterance], clip: str) -> Utterance | None:
    return next((u for u in utterances if u.id == clip), None)


def _loudest(folder: Path, recording: Utterance) -> float:
    samples, rate = load_audio(folder / recording.audio)
    return loudest_decibels(samples[: round(EXCERPT_SECONDS * rate)], rate)


def _top(report: CodecReport) -> float:
    return max(sheet.sample_rate for sheet in report.sheets) / 2


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
