"""What can be heard and seen on a report's page: versions of a clip side by side.

Owns players, spectrograms and the words beside them. Which clips are hardest is `report.py`'s to say, how keys move
between versions `page_style.py`'s.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile  # type: ignore[import-untyped]

from aoede.data.audio import load_audio
from aoede.data.pictures import loudest_decibels, spectrogram_png
from aoede.evaluation.figures import Figure
from aoede.evaluation.intelligibility import Score
from aoede.evaluation.listening import Utterance
from aoede.evaluation.report import Report

__all__ = ["Players", "Version", "listen", "marked"]

EXCERPT_SECONDS = 12.0
"""Players and pictures hold no more of a clip than this; the whole lies in the audio folder."""

MP3_RATE = 24000
"""Players that lose something: 24 kHz is a rate of MP3, which every browser plays."""

KEYS = (
    "Within a clip <kbd>1</kbd> <kbd>2</kbd> … play another version from the same place, <kbd>Esc</kbd> pauses, "
    "<kbd>j</kbd> and <kbd>k</kbd> go to the next and the previous clip; a click on a picture plays from there. "
)


@dataclass(frozen=True, kw_only=True)
class Version:
    """One player."""

    title: str
    file: str
    """Relative to the report's folder."""
    utterance: Utterance | None = None
    """What was measured; None for a sound that stands there to be compared with."""
    words: bool = True
    """Whether what was heard is shown."""


@dataclass(frozen=True, kw_only=True)
class Players:
    """Makes players.

    Args:
        folder: the report's.
        figures: told under each.
        top_hertz: upper edge of the pictures.
        sound: FLAC hides nothing of what codecs differ in; MP3 is a sixth of it.
    """

    folder: Path
    figures: Sequence[Figure]
    top_hertz: float
    sound: Literal["flac", "mp3"] = "flac"

    def article(self, name: str, text: str, beside: str, versions: Sequence[Version]) -> str:
        """A clip's versions; all pictures have the scale of the first.

        Args:
            name: the clip's id; `beside` it stands the speaker.
        """
        loudest = self._loudest(versions[0].file)
        made = [self._player(version, key, loudest) for key, version in enumerate(versions, 1)]
        head = f"<b>{escape(text)}</b><br>" if text else ""
        return (
            f'<article tabindex="0" aria-label="{escape(text or name)}"><p>{head}'
            f"<small>{escape(name)}{', ' + escape(beside) if beside else ''}</small></p>"
            f'<div class="versions">{"".join(made)}</div></article>'
        )

    def _player(self, version: Version, key: int, loudest: float) -> str:
        samples, rate = load_audio(self.folder / version.file)
        seconds = len(samples) / rate
        samples = samples[: round(EXCERPT_SECONDS * rate)]
        picture = spectrogram_png(samples, rate, top_hertz=self.top_hertz, loudest=loudest)
        utterance = version.utterance
        notes, faults, heard = [f"{seconds:.1f} s"], "", ""
        if utterance is not None:
            found = [(figure, figure.of(utterance)) for figure in self.figures]
            notes += [
                f"{escape(f.name)} {f.show_number(value)}{f.unit and ' ' + f.unit}"
                for f, value in found
                if value is not None
            ]
            notes += map(escape, utterance.notes)
            faults = " ".join(f'<span class="fault">{escape(fault)}</span>' for fault in utterance.faults)
            heard = f"<div>{marked(utterance.score)}</div>" if utterance.score and version.words else ""
        if seconds > EXCERPT_SECONDS:
            notes.append(f"first {EXCERPT_SECONDS:g} s are here")
        mark = f"<kbd>{key}</kbd>" if key < 10 else ""
        title = escape(version.title)
        return (
            f"<figure><figcaption>{mark}<b>{title}</b>{faults}</figcaption>"
            f'<div class="spec" data-seconds="{len(samples) / rate:.3f}"><img alt="Spectrogram of {title}" '
            f'src="data:image/png;base64,{_base64(picture)}"><i></i></div>'
            f'<audio controls preload="none" aria-label="{title}" src="{self._source(version.file)}"></audio>{heard}'
            f"<small>{', '.join(notes)}</small></figure>"
        )

    def _source(self, file: str) -> str:
        samples, rate = load_audio(self.folder / file, MP3_RATE if self.sound == "mp3" else None)
        excerpt = np.clip(samples[: round(EXCERPT_SECONDS * rate)], -1, 1)
        buffer = io.BytesIO()
        if self.sound == "mp3":
            soundfile.write(buffer, excerpt, rate, format="MP3")
            return f"data:audio/mpeg;base64,{_base64(buffer.getvalue())}"
        soundfile.write(buffer, excerpt, rate, format="FLAC", subtype="PCM_16")
        return f"data:audio/flac;base64,{_base64(buffer.getvalue())}"

    def _loudest(self, file: str) -> float:
        samples, rate = load_audio(self.folder / file)
        return loudest_decibels(samples[: round(EXCERPT_SECONDS * rate)], rate)


def listen(
    report: Report,
    players: Players,
    worst: int,
    intro: str,
    first: Callable[[str], Sequence[Version]] | None = None,
) -> str:
    """The section of the clips that should be heard first; "" where there are none.

    Args:
        intro: HTML that says in which order they come.
        first: versions that stand before all systems, by the clip's id.
    """
    clips = report.worst_clips(worst)
    if not clips:
        return ""
    edge = f"Pictures: 0 to {players.top_hertz / 1000:g} kHz, 80 dB below the loudest of the first."
    lossless = " Players are lossless." if players.sound == "flac" else ""
    html = f'<p>{intro} {KEYS}<span class="quiet">{edge}{lossless}</span></p>'
    by_clip: dict[str, list[Utterance]] = {}
    for system in report.systems:
        for utterance in report.of(system):
            by_clip.setdefault(utterance.id, []).append(utterance)
    for clip in clips:
        versions = list(first(clip)) if first is not None else []
        versions += [Version(title=report.name(u.system), file=u.audio, utterance=u) for u in by_clip[clip]]
        html += players.article(clip, by_clip[clip][0].text, by_clip[clip][0].speaker or "", versions)
    return html


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


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
