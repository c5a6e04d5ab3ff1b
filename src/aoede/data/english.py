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

_NUMERAL = r"(?=[IVXL]+\b)(?:XL|L?X{0,3})(?:IX|IV|V?I{0,3})(?<=[IVXL])"
_NO_VERB = r"(?!'(?!s\b))"
"""Not the I of "I'm": only the s of "Elizabeth II's" may follow a numeral."""


def expand(text: str, *, day_first: bool = False) -> str:
    """English text to words: no digits are left, symbols are words; unknown characters are left for the caller.

    Args:
        text: with straight apostrophes, no quotation marks, and dashes written as " — ".
        day_first: 3/4/2024 is the third of April (British) and not the fourth of March.
    """
    written = re.findall(r"[^\W\d_]+", text)
    is_prose = any(word.lower() in words.SMALL_WORDS for word in written)  # and no list of acronyms
    if is_prose and sum(len(word) > 1 for word in written) > 3 and all(word.isupper() for word in written):
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
        after = text[match.end() :]
        if match[1] == "EST" or (match[1] == "Max" and not re.match(r"\s*[a-z\d]", after)):
            return match.group()  # a time zone, a name
        if match[1].lower() == "est" and not re.match(r"\s*(?:in )?\d{4}\b", after):
            return "estimated" + ("." if not after.strip() else "")
        return words.ABBREVIATIONS[match.group(1).lower()] + ("." if not text[match.end() :].strip() else "")

    text = re.sub(rf"\b({'|'.join(words.TITLES)})\.", title, text, flags=re.IGNORECASE)
    text = re.sub(r"\b(Mr|Mrs|Ms|Dr|St|Mt|Prof|Rev|Capt|Sgt)\b(?=\s+[A-Z]|,|$)", title, text)
    text = re.sub(r"\b([bd])\. (?=1\d{3}\b)", lambda m: {"b": "born ", "d": "died "}[m[1]], text)
    text = re.sub(r"\bRt\.? (?=Hon)", "Right ", text)
    text = re.sub(r"\b(Hwy|Rte)\.?(?= \d)", lambda m: words.BEFORE_NUMBERS[m[1].lower()].capitalize(), text)
    text = re.sub(r"(\b[A-Z]\w+) v\.?(?= [A-Z][a-z])", r"\1 versus", text)  # Smith v. Jones
    text = re.sub(r"\b(pp)\.?(?= \d)", words.BEFORE_NUMBERS["pp"], text)
    street = r"[A-Z][a-z]+ (?:St|Ave|Rd|Blvd|Dr|Ln|Street|Avenue|Road|Boulevard|Drive|Lane)\b"
    text = re.sub(rf"(?<=\d )([NSEW])\b\.?(?=\s+{street})", lambda m: words.COMPASS[m[1]].capitalize(), text)
    text = re.sub(r"\b([Tt])emp\.(?=\s+[a-z])", r"\1emperature", text)
    before_number = rf"\b({'|'.join(words.BEFORE_NUMBERS)})\.\s*#?(?=\d)"
    text = re.sub(before_number, lambda m: words.BEFORE_NUMBERS[m.group(1).lower()] + " ", text, flags=re.IGNORECASE)
    text = re.sub(
        r"\b([Vv]ol|[Cc]h|[Ff]ig|[Pp]t|[Aa]rt|[Ss]ec|[Pp]p?)\.\s*(?=[IVXL]+\b(?!'))",
        lambda m: words.BEFORE_NUMBERS[m[1].lower()] + " ",
        text,
    )
    measures = r"mins?|secs?|hrs?|ft|lbs?|oz|tsp|[Tt]bsp|yds?|mi|gal|qt"
    text = re.sub(r"\b(fl)\.(?=\s?oz\b)|\b(sq)\.(?=\s?(?:ft|mi)\b)", lambda m: m[1] or m[2], text)
    text = re.sub(rf"(?<=\d)\s*((?:fl |sq )?(?:{measures}))\.(?=\s+[^\sA-Z]|[,;)])", r" \1", text)
    text = re.sub(r"(?<=\d)\s*min\.", " mins.", text)
    text = re.sub(rf"\b({'|'.join(words.ABBREVIATIONS)})\.(?!\.\.)", other, text, flags=re.IGNORECASE)
    text = re.sub(r"(?<!/)(?<!slash )\b(vs|etc|approx)\b(?![./]\w)", lambda m: words.ABBREVIATIONS[m[1]], text)
    text = re.sub(r"\b(c/o|w/c)\b", lambda m: "care of" if m[1] == "c/o" else "week commencing", text)
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
        rf"\b({popes}|(?:{'|'.join(words.ROYAL)})(?= {lone})) ({_NUMERAL})\b{_NO_VERB}",
        lambda m: f"{m[1]} the {ordinal(value(m[2]))}",
        text,
    )
    text = re.sub(rf"\b({counted}) ({_NUMERAL})\b{_NO_VERB}", lambda m: f"{m[1]} {cardinal(value(m[2]))}", text)
    return re.sub(
        r"\b([A-Z][a-z]+) (II|III|IV|VI|VII|VIII|IX|XI|XII|XIII)\b", lambda m: f"{m[1]} {cardinal(value(m[2]))}", text
    )


def _symbols(text: str) -> str:
    def acronym(match: re.Match[str]) -> str:
        said = words.ACRONYMS.get(match[1])
        return match.group() if said is None else said + ("'s" if match[2] else "")

    text = re.sub(r"\b(and|either)/or\b", r"\1 or", text)
    strokes = "|".join(words.UNSPOKEN_STROKES)
    text = re.sub(rf"(?<![\w/])(?:{strokes})(?![\w/])", lambda m: m.group().replace("/", " "), text)
    text = re.sub(r"\b([yqm])/\1\b", lambda m: "{0} over {0}".format(words.PERIODS[m[1].upper()]), text)
    text = re.sub(r"(?<=[A-Za-z])\$(?=([A-Z])|[a-z])", lambda m: "S" if m[1] else "s", text)  # Ke$ha
    # Marks of schools and groups of blood.
    text = re.sub(r"((?:\b[Gg]rade|\b[Gg]ot|\ban?) (?:an? )?[A-D])-(?![\w-])", r"\1 minus", text)
    text = re.sub(r"\b(AB|[ABO])-(?= blood\b)", r"\1 minus", text)
    # Functions: f of x, the sine of thirty degrees.
    text = re.sub(r"\b([fghP])\((\w)\)", r"\1 of \2", text)
    text = re.sub(r"\b(sin|cos|tan|log|ln)\(", lambda m: f"{words.FUNCTIONS.get(m[1], m[1])} of ", text)
    text = re.sub(r"√\s?\(", "√", text)
    text = text.replace("§§", " sections ")
    text = re.sub(r"(?<!\S)([<>≤≥])(?=[a-z\d]+)", lambda m: words.BOUNDS[m[1]] + " ", text)
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
