"""The text front end: what a person wrote to the prompt a speech model reads, and long text to sentences.

Owns the template that puts speaker and text together, and the refusals (empty text, foreign script, unknown event).
Normalisation is `normalise.py`'s, sentences are `sentences.py`'s, phonemes `phonemes.py`'s; ids are the tokenizer's.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from aoede.data.markup import is_tag
from aoede.data.normalise import normalise
from aoede.data.phonemes import phonemise
from aoede.data.sentences import split_sentences

EVENT = re.compile(r"<[A-Za-z][\w-]*>")
"""How an event token is written in text: <laugh>, <sigh>."""

_SCRIPTS = {
    **dict.fromkeys(["ru", "uk", "be", "bg", "mk", "sr", "kk", "ky", "tt", "ba", "cv", "mn"], ("CYRILLIC",)),
    **dict.fromkeys(["zh", "cmn", "yue", "hak"], ("CJK",)),
    **dict.fromkeys(["ar", "fa", "ur", "sd", "ug", "ku"], ("ARABIC",)),
    **dict.fromkeys(["hi", "mr", "ne", "kok"], ("DEVANAGARI",)),
    **dict.fromkeys(["bn", "as"], ("BENGALI",)),
    **dict.fromkeys(["el", "grc"], ("GREEK",)),
    **dict.fromkeys(["hy", "hyw"], ("ARMENIAN",)),
    **dict.fromkeys(["am", "ti"], ("ETHIOPIC",)),
    "ja": ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"), "ko": ("HANGUL", "CJK"), "he": ("HEBREW",),
    "ka": ("GEORGIAN",), "th": ("THAI",), "my": ("MYANMAR",), "gu": ("GUJARATI",), "pa": ("GURMUKHI",), 
    "ta": ("TAMIL",), "te": ("TELUGU",), "kn": ("KANNADA",), "ml": ("MALAYALAM",), "si": ("SINHALA",), "or": ("ORIYA",),
}  # fmt: skip
"""Scripts a language is written in besides Latin, by the first word of the Unicode names of its letters."""


class NothingToSay(ValueError):
    """The text is empty or holds marks only."""


@dataclass(frozen=True)
class Prompt:
    """What the model is given for one piece of text."""

    text: str
    """The whole prompt: speaker token and (phonemised) words, as the tokenizer takes it."""

    spoken: str
    """The words in writing, after normalisation."""

    notes: tuple[str, ...] = ()
    """What was left out or changed beyond ordinary reading, in words."""


@dataclass(frozen=True, kw_only=True)
class TextFrontEnd:
    """How a voice reads text. Saved with the voice: training and speaking must agree on every field."""

    language: str = "en"
    """Language of the text; "en..." gets the English rules ("en-gb" reads 3/4/2024 day first)."""

    phonemes: str | None = None
    """espeak-ng voice for phonemes, e.g. "en-us"; None feeds the words themselves (a pretrained tokenizer)."""

    dialects: Mapping[str, str] = field(default_factory=dict)
    """Speaker pattern to espeak voice where it differs, e.g. {"bf_*": "en-gb"}; the first match counts."""

    template: str = "{speaker}{text}"
    """How speaker and text make the prompt; must hold {text}."""

    speaker_token: str = "<{speaker}>"
    """How a speaker's name is written in the prompt; must hold {speaker}."""

    events: tuple[str, ...] = ()
    """Event tokens the voice knows, e.g. ("<laugh>",); they pass through untouched, others are refused."""

    max_characters: int = 200
    """Longer sentences are cut at a clause."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "events", tuple(self.events))
        object.__setattr__(self, "dialects", dict(self.dialects))
        if "{text}" not in self.template:
            raise ValueError(f"template {self.template!r} has no {{text}}")
        if "{speaker}" not in self.speaker_token:
            raise ValueError(f"speaker_token {self.speaker_token!r} has no {{speaker}}")
        if self.max_characters < 20:
            raise ValueError(f"max_characters {self.max_characters} is below 20: a sentence needs room")
        for event in self.events:
            if not EVENT.fullmatch(event):
                raise ValueError(f"event {event!r} is not written like <laugh>")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TextFrontEnd:
        """Inverse of `to_dict`; an unknown key is a ValueError that names it."""
        unknown = sorted(set(data) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(
                f"unknown text setting {', '.join(unknown)}; known: {', '.join(f.name for f in fields(cls))}"
            )
        return cls(**dict(data))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "events": list(self.events)}

    def prompt(self, text: str, speaker: str | None = None) -> str:
        """The prompt alone; see `prepare`."""
        return self.prepare(text, speaker).text

    def prepare(self, text: str, speaker: str | None = None) -> Prompt:
        """One sentence (or more) to the model's prompt.

        Args:
            text: written text, event tokens included.
            speaker: name put into the speaker token; None leaves that part empty.
        Raises:
            NothingToSay: no word in it. ValueError: a script this language is not written in, an unknown event token.
        """
        if not text.strip():
            raise NothingToSay("the text is empty: give at least one word to say")
        voice = self.voice_of(speaker)
        pieces: list[str] = []
        words: list[str] = []
        notes: list[str] = []
        for piece, is_event in self._parts(text):
            if is_event:
                pieces.append(piece)
                words.append(piece)
                continue
            normalised = normalise(piece, self.language)
            notes += normalised.notes
            self._check_script(normalised.text)
            said = phonemise(normalised.text, voice) if voice else normalised.text
            pieces += [said] if said else []
            words += [normalised.text] if normalised.text else []
        body, spoken = " ".join(pieces), " ".join(words)
        if not any(c.isalnum() or c == "<" for c in body):
            shown = text.strip()[:40]
            raise NothingToSay(f"nothing to say in {shown!r}: it holds no letters or digits; add a word")
        name = self.speaker_token.format(speaker=speaker) if speaker else ""
        return Prompt(self.template.format(speaker=name, text=body), spoken, tuple(dict.fromkeys(notes)))

    def voice_of(self, speaker: str | None) -> str | None:
        """The espeak voice for a speaker: the first matching dialect, else `phonemes`; None without phonemes."""
        if self.phonemes is None or speaker is None:
            return self.phonemes
        return next((voice for glob, voice in self.dialects.items() if fnmatchcase(speaker, glob)), self.phonemes)

    def split_sentences(self, text: str) -> list[str]:
        """Text to sentences in order, none longer than `max_characters` (unless one word is); every word is kept."""
        return split_sentences(text, self.max_characters)

    def _parts(self, text: str) -> list[tuple[str, bool]]:
        """Text and known event tokens in turn: (part, is_event)."""
        parts: list[tuple[str, bool]] = []
        end = 0
        for match in EVENT.finditer(text):
            event = match.group()
            if event not in self.events and is_tag(event):
                continue
            if event not in self.events:
                known = f"known here: {', '.join(self.events)}" if self.events else "this voice knows none"
                raise ValueError(f"{event} looks like an event token, but {known}; remove it or write it in words")
            parts += [(text[end : match.start()], False), (event, True)]
            end = match.end()
        parts.append((text[end:], False))
        return [(part, is_event) for part, is_event in parts if part.strip()]

    def _check_script(self, text: str) -> None:
        scripts = ("LATIN", *_SCRIPTS.get(self.language.lower().split("-")[0], ()))
        foreign = dict.fromkeys(c for c in text if c.isalpha() and not _is_written_in(c, scripts))
        if foreign:
            shown = "".join(list(foreign)[:10])
            script = _script(next(iter(foreign))).capitalize().replace("Cjk", "Chinese (CJK)")
            known = " or ".join(name.capitalize() for name in scripts)
            raise ValueError(
                f"{shown!r} is {script}, but this voice reads {self.language!r} ({known} letters): "
                "write it in that script, or use a voice of that language"
            )


def find_events(texts: Iterable[str]) -> list[str]:
    """The event tokens (<laugh>, <sigh>) that occur in texts, most frequent first."""
    return [event for event, _count in Counter(e for text in texts for e in EVENT.findall(text)).most_common()]


def _script(character: str) -> str:
    return unicodedata.name(character, "UNKNOWN").split()[0]


def _is_written_in(character: str, scripts: tuple[str, ...]) -> bool:
    # Modifier letters and the like ("ʰ", "ª", "ー") belong to every script.
    return unicodedata.category(character) in ("Lm", "Mn") or character in "ªºµ" or _script(character) in scripts
