"""Which voices there are and who speaks in them: what `aoede voices` shows.

Owns the lines, the plain data, and `speakers.json`, in which a voice tells of its speakers. Reads the small files of a
voice folder and no weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from aoede.generation.samples import FOLDER, PAGE, SampleSet
from aoede.generation.voice_folder import VoiceSettings, find_voices

SPEAKERS_FILE = "speakers.json"
_UNITS = 60
"""Text ids of an ordinary sentence: speakers' paces are compared on it."""


@dataclass(frozen=True, kw_only=True)
class SpeakerNotes:
    """What `speakers.json` says: for people, nothing is spoken by it."""

    about: Mapping[str, str] = field(default_factory=dict)
    """Speaker, or a pattern of names such as "af_*", to some words; the first match counts."""

    minutes: Mapping[str, float] = field(default_factory=dict)
    """Speaker to minutes of speech that the voice learnt from."""

    @classmethod
    def load(cls, folder: Path) -> SpeakerNotes:
        """The notes of a voice folder; none where it has no such file.

        Raises:
            ValueError: not JSON of this form (names file and key).
        """
        path = folder / SPEAKERS_FILE
        if not path.is_file():
            return cls()
        try:
            found = cls(**json.loads(path.read_text(encoding="utf-8")))
            texts = all(isinstance(value, str) for value in found.about.values())
            numbers = all(type(value) in (int, float) and value >= 0 for value in found.minutes.values())
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is no notes on speakers (about and minutes, by name): {error}") from error
        if not texts or not numbers:
            raise ValueError(f"{path}: about holds words and minutes numbers from 0 on, by name")
        return found

    def words(self, speaker: str) -> str | None:
        """What is told of a speaker."""
        return next((words for glob, words in self.about.items() if fnmatchcase(speaker, glob)), None)


@dataclass(frozen=True, kw_only=True)
class SpeakerCard:
    """What is known of a speaker; None where nothing is."""

    name: str
    is_default: bool
    about: str | None
    phonemes: str | None
    """espeak-ng voice that reads for it: its dialect."""
    minutes: float | None
    """Of speech that the voice learnt from."""
    pace: float | None
    """Above 1 is faster than the mean of the voice's speakers."""
    sample: str | None
    """File in the voice folder."""


@dataclass(frozen=True, kw_only=True)
class VoiceCard:
    """What is known of a voice without opening its weights."""

    name: str
    folder: str
    language: str
    kind: str
    events: tuple[str, ...]
    speakers: tuple[SpeakerCard, ...]
    """Empty for a voice with a single one, without a name."""
    samples: str | None
    """Page with the samples that came with it."""


def voice_card(folder: Path) -> VoiceCard:
    """Reads a voice folder.

    Raises:
        ValueError: what `VoiceSettings.load`, `SpeakerNotes.load` and `SampleSet.load` raise.
    """
    settings, notes, samples = VoiceSettings.load(folder), SpeakerNotes.load(folder), SampleSet.load(folder / FOLDER)
    files = {} if samples is None else {sample.speaker: f"{FOLDER}/{sample.file}" for sample in samples.samples}
    default = settings.default_speaker or next(iter(settings.speakers), None)
    paces = _paces(settings)
    cards = tuple(
        SpeakerCard(
            name=name,
            is_default=name == default,
            about=notes.words(name),
            phonemes=settings.text.voice_of(name),
            minutes=notes.minutes.get(name),
            pace=paces.get(name),
            sample=files.get(name),
        )
        for name in settings.speakers
    )
    page = folder / FOLDER / PAGE
    return VoiceCard(
        name=settings.name,
        folder=str(folder),
        language=settings.text.language,
        kind=settings.kind,
        events=settings.text.events,
        speakers=cards,
        samples=str(page) if page.is_file() else None,
    )


def voice_cards(sources: Iterable[str]) -> list[VoiceCard]:
    """The cards of some voices, or of all bundled ones."""
    return [voice_card(folder) for folder in find_voices(sources)]


def voices_json(sources: Iterable[str]) -> str:
    """The cards as JSON, a list of voices."""
    return json.dumps([asdict(card) for card in voice_cards(sources)], indent=1, ensure_ascii=False)


def describe_voices(sources: Iterable[str]) -> list[str]:
    """A block a voice: name, language and folder, then a line a speaker, then how to hear them."""
    return [line for card in voice_cards(sources) for line in _block(card)]


def _block(card: VoiceCard) -> list[str]:
    kind = "" if card.kind == "flat" else f"  {card.kind}"
    lines = [f"{card.name}  language {card.language}{kind}  {card.folder}"]
    if card.speakers:
        lines += _columns([_cells(speaker) for speaker in card.speakers])
    else:
        lines.append("  one speaker, without a name")
    if card.events:
        lines.append(f"  events: {' '.join(card.events)}")
    if any(speaker.minutes is not None for speaker in card.speakers):
        lines.append("  min: minutes of speech that it learnt from")
    if any(speaker.pace is not None for speaker in card.speakers):
        lines.append("  pace: above 1 is faster than the mean of these speakers")
    if card.samples:
        lines.append(f"  hear them: {card.samples}")
    else:
        lines.append(f"  hear them: aoede voices {card.folder} --samples FOLDER")
    return lines


def _cells(card: SpeakerCard) -> list[str]:
    return [
        card.name + (" (default)" if card.is_default else ""),
        card.about or card.phonemes or "",
        "" if card.minutes is None else f"{card.minutes:2.0f} min",
        "" if card.pace is None else f"pace {card.pace:.2f}",
        card.sample or "",
    ]


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines; columns without any word are left out."""
    kept = [column for column in zip(*rows, strict=True) if any(column)]
    widths = [max(map(len, column)) for column in kept]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*kept, strict=True)
    ]


def _paces(settings: VoiceSettings) -> dict[str, float]:
    """How fast each speaker reads against the mean; none where fewer than two are known."""
    known: dict[str, float] = {}
    for name in settings.speakers:
        seconds = settings.expected_seconds(_UNITS, name) if name in settings.seconds_per_unit else None
        if seconds:
            known[name] = seconds
    if len(known) < 2:
        return {}
    mean = sum(known.values()) / len(known)
    return {name: mean / seconds for name, seconds in known.items()}
