"""Normalisation for every language: one spelling of quotes, dashes, spaces; what has no sound goes, with a note.

Owns what is common to all languages and calls the rules of a language where we have some (`english.py`). Knows nothing
of phonemes, speakers or sentences. Digits and abbreviations of a language without rules are left to espeak.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from aoede.data import english
from aoede.data.english_quantities import inches
from aoede.data.markup import without_markup

_SPELLING = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛ʼ`´′", "'"),
        **dict.fromkeys('“”„‟«»″「」『』‹›"', " "),
        **dict.fromkeys("‐‑⁃", "-"),
        **dict.fromkeys("−﹣", "-"),
        **dict.fromkeys("–―─‒", "—"),
        **dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff\ufe0e\ufe0f", ""),
        **dict.fromkeys("•·‣▪●◦", ", "),
        **dict.fromkeys("¿¡", ""),
        "‥": "…",
        "⁄": "/",
    }
)
"""Quotation marks go (nobody says them); apostrophes stay. None of these is worth a note to the user."""

_OPENING, _CLOSING = "([{（【〔", ")]}）】〕"
_DASH = re.compile(r"\s+-{1,3}\s+|(?<=\w)-{2,3}(?=\w)|---?")
_LOVE = r"<3(?! (?:days|weeks|months|years|hours|minutes|seconds|people)\b)"
_SMILEY = re.compile(rf"¯\\?_\(ツ\)_/¯|(?<![\w)])(?:[:;=]['-]?[)(DPp]|{_LOVE})(?!\w)")
_POWERS = str.maketrans("⁰¹⁴⁵⁶⁷⁸⁹⁻⁺", "01456789-+")
_POWER = re.compile(r"(?<=[\d\w)])((?<=\d)[⁻⁺]?[⁰¹²³⁴-⁹]+|(?<=\b[a-zA-Z])[⁻⁺]?[⁰¹⁴-⁹][⁰¹²³⁴-⁹]*)")
_FOOTNOTE = re.compile(r"(?<=[\w.,;!?)])[⁰¹⁴-⁹]+")
_HARD_SPACES = re.compile(r"(?<=\d)[\u00a0\u202f\u2009](?=\d{3}(?!\d))|(?<=\d) (?=000(?!\d))")
_KEPT = frozenset(",.!?;:—…'-")
_ALLOWED_CATEGORIES = ("L", "N", "M")


@dataclass(frozen=True)
class Normalised:
    """Text ready to be phonemised, and what a person should know about how it got there."""

    text: str
    notes: tuple[str, ...] = ()


def normalise(text: str, language: str = "en") -> Normalised:
    """Written text to words.

    Args:
        text: as a person wrote it, without event tokens.
        language: BCP 47-like code; "en..." gets the English rules (numbers, dates, money, abbreviations, symbols).
    Returns:
        Text of letters, digits (languages without rules only), apostrophes, hyphens, spaces, `, . ! ? ; : — …`;
        notes name every character that was left out. May be empty.
    """
    text, smileys = _SMILEY.subn(" ", unicodedata.normalize("NFC", text))
    text = without_markup(_plain_characters(text))
    if is_english(language):
        text = inches(text)
    text = text.translate(_SPELLING)
    text = _DASH.sub(" — ", text)
    if is_english(language):
        text = english.expand(text, day_first=language.lower().startswith("en-gb"))
    text = re.sub(r"\.{3,}", "…", unicodedata.normalize("NFKC", text))
    for bracket in _OPENING + _CLOSING:
        text = text.replace(bracket, ", ")
    left_out: dict[str, None] = {}
    kept: list[str] = []
    for character in text:
        if (
            character.isspace()
            or character in _KEPT
            or unicodedata.category(character)[0] in _ALLOWED_CATEGORIES
            or character in "，、。！？；：।؟،%&+=@#$€£°/"
        ):
            kept.append(character)
        else:
            left_out[character] = None
            kept.append(" ")
    notes = ((_left_out(list(left_out)),) if left_out else ()) + (("left out a smiley",) if smileys else ())
    return Normalised(_tidy("".join(kept)), notes)


def is_english(language: str) -> bool:
    """Whether the English rules apply to this language code."""
    return language.lower() == "en" or language.lower().startswith("en-")


def _plain_characters(text: str) -> str:
    """Full-width, bold, ligature and other dressed characters as plain ones; powers and fractions as they are read."""
    text = _HARD_SPACES.sub(",", text).replace("№", "No. ")
    text = _POWER.sub(lambda m: m[1] if m[1] in "²³" and not _is_after_digit(m) else f"^{_as_digits(m[1])}", text)
    text = _FOOTNOTE.sub("", text)
    text = re.sub(r"(?<=\d)\s?(?=[¼½¾⅐-⅞])", " ", text)
    return "".join(map(_plain_character, text))


def _as_digits(powers: str) -> str:
    return powers.translate(_POWERS).replace("²", "2").replace("³", "3")


def _is_after_digit(match: re.Match[str]) -> bool:
    return match.string[match.start() - 1].isdigit()


def _plain_character(character: str) -> str:
    if character.isascii() or character in "²³…™ªº´¨¯¸\u00a0" or unicodedata.category(character) in ("Lm", "Mn"):
        return character
    return unicodedata.normalize("NFKC", character).replace("\u2044", "/")


def _left_out(characters: list[str]) -> str:
    named = ", ".join(f"{c} ({unicodedata.name(c, f'U+{ord(c):04X}').lower()})" for c in characters[:5])
    more = f" and {len(characters) - 5} more" if len(characters) > 5 else ""
    return f"left out, having no sound: {named}{more}"


def _tidy(text: str) -> str:
    """One space between words, no space before a mark, no comma beside another mark or at the start."""
    text = " ".join(text.split())
    text = re.sub(r"\s+([,.!?;:…])", r"\1", text)
    text = re.sub(r",(?:\s*,)+", ",", text)
    text = re.sub(r",\s*([.!?;:—…])", r"\1", text)
    text = re.sub(r"([.!?;:—…])\s*,", r"\1", text)
    return text.lstrip(",;: ").strip()
