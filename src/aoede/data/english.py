"""English as it is said: numbers, money, dates, times, units, abbreviations, addresses, symbols, as words.

Owns the order of the rules (`_RULES`: a rule sees what the earlier ones left) and those for abbreviations, Roman
numerals and symbols; the other `english_*.py` have the rest, `english_words.py` the word lists. Knows nothing of other
languages, phonemes or sentences. Acronyms are left alone: espeak spells what cannot be pronounced, and the corpus was
spoken that way; only the ones it gets wrong are listed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from aoede.data import english_words as words
from aoede.data.english_addresses import addresses
from aoede.data.english_dates import dates, named_dates, times
from aoede.data.english_numbers import (
    cardinal,
    decades,
    fractions_and_ranges,
    numbers,
    ordinal,
    ordinals,
    phones,
    year,
)
from aoede.data.english_quantities import money, rates, units

_NUMERAL = r"(?=[IVXL]+\b)(?:XL|L?X{0,3})(?:IX|IV|V?I{0,3})"


def expand(text: str, *, day_first: bool = False) -> str:
    """English text to words: no digits are left, symbols are words; unknown characters are left for the caller.

    Args:
        text: with straight apostrophes, no quotation marks, and dashes written as " — ".
        day_first: 3/4/2024 is the third of April (British) and not the fourth of March.
    """
    written = re.findall(r"[^\W\d_]+", text)
    if sum(len(word) > 1 for word in written) > 3 and all(word.isupper() for word in written):
        text = text.lower()  # shouted: espeak would spell the short said
    for rule in _RULES:
        text = dates(text, day_first) if rule is dates else rule(text)
    return text


def _dotted(text: str) -> str:
    def spoken(match: re.Match[str]) -> str:
        bare = match.group(1)
        said = words.DOTTED.get(bare.lower(), bare.replace(".", "").upper())
        # The dot of an abbreviation at the very end closes the sentence as well.
        return said + ("." if not text[match.end() :].strip() and bare.lower() not in ("e.g", "i.e") else "")

    text = re.sub(r"(?<=[a-z]{2})([.!?])(?=[A-Z][a-z])", r"\1 ", text)  # a space that was forgotten
    text = re.sub(r"\bPh\.\s?D\b\.?", lambda m: "PhD" + ("." if not text[m.end() :].strip() else ""), text)
    text = re.sub(r"\b((?:[A-Za-z]\.)+[A-Za-z])\.(?!\w)", spoken, text)
    text = re.sub(r"\b(eg|ie)\b\.?(?=,?\s)", lambda m: {"eg": "for example", "ie": "that is"}[m.group(1)], text)
    return re.sub(r"\b([A-Z])\.(?=\s*[A-Z])", r"\1 ", text)  # initials


def _abbreviations(text: str) -> str:
    def title(match: re.Match[str]) -> str:
        word, before, after = match.group(1), text[: match.start()].rstrip(), text[match.end() :]
        is_numbered = re.search(r"(?:\d+\w?(?: [A-Z]\w+){1,2}|\d(?:st|nd|rd|th))$", before)
        if word.lower() in ("st", "dr") and (
            is_numbered or (re.search(r"[A-Z]\w*(?:'s)?$", before) and not re.match(r"\s+[A-Z]", after))
        ):
            street = {"st": "Street", "dr": "Drive"}[word.lower()]
            return street + ("." if match.group().endswith(".") and not after.strip() else "")
        if not match.group().endswith(".") and not re.match(r"\s+[A-Z]", after):
            return match.group()
        return words.TITLES[word.lower()] if word[0].isupper() else match.group()

    def other(match: re.Match[str]) -> str:
        return words.ABBREVIATIONS[match.group(1).lower()] + ("." if not text[match.end() :].strip() else "")

    text = re.sub(rf"\b({'|'.join(words.TITLES)})\.", title, text, flags=re.IGNORECASE)
    text = re.sub(r"\b(Mr|Mrs|Ms|Dr|St|Mt)\b(?=\s+[A-Z]|,|$)", title, text)
    text = re.sub(r"\b([Tt])emp\.(?=\s+[a-z])", r"\1emperature", text)
    before_number = rf"\b({'|'.join(words.BEFORE_NUMBERS)})\.\s*#?(?=\d)"
    text = re.sub(before_number, lambda m: words.BEFORE_NUMBERS[m.group(1).lower()] + " ", text, flags=re.IGNORECASE)
    text = re.sub(
        r"\b([Vv]ol|[Cc]h|[Ff]ig|[Pp]t|[Aa]rt|[Ss]ec|[Pp]p?)\.\s*(?=[IVXL]+\b(?!'))",
        lambda m: words.BEFORE_NUMBERS[m[1].lower()] + " ",
        text,
    )
    text = re.sub(r"(?<=\d)\s*(min|sec|hrs?|ft|lbs?|oz)\.(?=\s+\S)", r" \1", text)
    text = re.sub(rf"\b({'|'.join(words.ABBREVIATIONS)})\.", other, text, flags=re.IGNORECASE)
    text = re.sub(r"\b(vs|etc)\b(?!\.\w)", lambda m: words.ABBREVIATIONS[m[1]], text)
    text = re.sub(r"\bw/o?(?=\s)", lambda m: "without" if m[0] == "w/o" else "with", text)
    either = "|".join(words.EITHER)
    return re.sub(rf"\b({either})/(?=(?:{either})\b)", r"\1 or ", text, flags=re.IGNORECASE)


def _roman(text: str) -> str:
    def value(written: str) -> int:
        worth = [{"I": 1, "V": 5, "X": 10, "L": 50}[letter] for letter in written]
        return sum(-now if now < after else now for now, after in zip(worth, [*worth[1:], 0], strict=True))

    text = re.sub(
        rf"\b((?=[XVI]{{2,}}\b){_NUMERAL})(?:th|st|nd|rd)? centur", lambda m: f"{ordinal(value(m[1]))} centur", text
    )
    # A lone I is more often the speaker than the first: "Mary I know", "the part I like".
    lone = r"(?!I\b(?!,|\.? *$| of\b))"
    popes = r"(?:Pope|King|Queen|Emperor|Tsar) [A-Z]\w+(?: [A-Z][a-z]+)?"
    names = "|".join(words.COUNTED)
    counted = f"{names.title()}|(?i:{names})(?= {lone})"
    text = re.sub(
        rf"\b({popes}|(?:{'|'.join(words.ROYAL)})(?= {lone})) ({_NUMERAL})\b(?!')",
        lambda m: f"{m[1]} the {ordinal(value(m[2]))}",
        text,
    )
    text = re.sub(rf"\b({counted}) ({_NUMERAL})\b(?!')", lambda m: f"{m[1]} {cardinal(value(m[2]))}", text)
    return re.sub(
        r"\b([A-Z][a-z]+) (II|III|IV|VI|VII|VIII|IX|XI|XII|XIII)\b", lambda m: f"{m[1]} {cardinal(value(m[2]))}", text
    )


def _symbols(text: str) -> str:
    def acronym(match: re.Match[str]) -> str:
        said = words.ACRONYMS.get(match[1])
        return match.group() if said is None else said + ("'s" if match[2] else "")

    text = re.sub(r"\band/or\b", "and or", text)
    text = re.sub(r"\b([YQM])o\1\b", lambda m: "{0} over {0}".format(words.PERIODS[m[1]]), text)
    text = re.sub(r"(?<=\w)_(?=\w)", " underscore ", text)
    text = text.replace("AT&T", "A T and T")
    text = re.sub(r"\b([A-G])#(?!\w)", r"\1 sharp", text)
    text = re.sub(r"\b([A-Z]{2,})(s?)\b", acronym, text)
    text = re.sub(r"\b([Tt]he )WHO\b", r"\1W H O", text)
    text = re.sub("|".join(map(re.escape, words.SYMBOLS)), lambda m: f" {words.SYMBOLS[m.group()]} ", text)
    return "".join(map(_plain_letter, text))


def _plain_letter(character: str) -> str:
    """Letters with signs that no English text-to-phoneme rules know ("ễ") without them; é, ø and the like stay."""
    if character == "ß":
        return "ss"
    if character < "\u0180" or not character.isalpha():
        return character
    bare = unicodedata.normalize("NFD", character)[0]
    return bare if bare.isascii() else character


_RULES: tuple[Callable[..., str], ...] = (
    addresses,
    _dotted,
    dates,
    named_dates,
    _abbreviations,
    times,
    phones,
    rates,
    money,
    decades,
    units,
    ordinals,
    fractions_and_ranges,
    _roman,
    numbers,
    _symbols,
)

__all__ = ["cardinal", "expand", "ordinal", "year"]
