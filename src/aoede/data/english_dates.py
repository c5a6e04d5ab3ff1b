"""Dates and times of day of English in words.

Owns the written forms of days, months and hours: 2026-11-21, 11/21/26, 21.11.2026, Nov. 21st, 4-6 July, Mon-Fri,
7:30pm. Years, ordinals and counts are said by `english_numbers.py`.
"""

from __future__ import annotations

import re

from aoede.data import english_words as words
from aoede.data.english_numbers import cardinal, digits, ordinal, year

_SHORT = {"Sept": "September", **{month[:3]: month for month in words.MONTHS}}
_LOWER = [month.lower() for month in words.MONTHS if month not in ("March", "May")]  # those two are words as well
_MONTH = rf"({'|'.join([*words.MONTHS, *_LOWER])}|(?:{'|'.join(_SHORT)})\b\.?)"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:,?\s+(\d{4})\b(?!\s*[:,]\d))?"
_WEEKDAY = rf"({'|'.join(sorted(words.WEEKDAYS, key=len, reverse=True))})\b"
_WITHOUT_YEAR = re.compile(
    r"\b([Oo]n|[Uu]ntil|[Tt]ill|[Dd]ue|RSVP by|[Dd]ue by|[Bb]efore|[Aa]fter|[Ss]ince|[Ff]rom|"
    rf"{'|'.join(words.WEEKDAYS)}|\w+day,?)"
    r" (\d{1,2})/(\d{1,2})(?:\s?(?:[—-]|to)\s?(\d{1,2})/(\d{1,2}))?\b(?![/\d]|\.\d| (?:of|an?|inch|acre|cup)\b)"
)
"""11/21 after a word like "on" or the name of a day."""
_THIS_CENTURY = 50
"""Two digits below this are a year of 2000 to 2049."""


def dates(text: str, day_first: bool) -> str:
    """Dates that are digits only.

    Args:
        day_first: 3/4/2024 is the third of April; a date with dots always begins with its day.
    """

    def spoken(day: int, month: int, written: str, otherwise: str, tail: str = "") -> str:
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return otherwise
        number = int(written)
        if len(written) == 2:
            number += 2000 if number < _THIS_CENTURY else 1900
        return f"{words.MONTHS[month - 1]} {ordinal(day)}, {year(number)}{tail}"

    def with_strokes(match: re.Match[str]) -> str:
        first, second = int(match[1]), int(match[2])
        month, day = (second, first) if (day_first and second <= 12) or first > 12 else (first, second)
        return spoken(day, month, match[3], match.group())

    def without_year(match: re.Match[str]) -> str:
        said = [match[1]]
        # "From 1/2 to 3/4" are shares more often than days.
        if match[1].lower() in ("until", "till", "before", "after", "since", "from") and match[3] in "23458":
            return match.group()
        for first, second in ((match[2], match[3]), (match[4], match[5])):
            if first:
                month, day = (second, first) if day_first else (first, second)
                if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31) or (first, second) == ("9", "11"):
                    return match.group()
                said.append(f"{words.MONTHS[int(month) - 1]} {ordinal(int(day))}")
        return f"{said[0]} {' to '.join(said[1:])}"

    text = re.sub(
        r"\b(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:(T(?=\d))|\b)",
        lambda m: spoken(int(m[3]), int(m[2]), m[1], m.group(), ", " if m[4] else ""),
        text,
    )
    text = re.sub(r"\b(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})\b(?!/)", with_strokes, text)
    text = re.sub(r"(?<![\w-])(\d{1,2})-(\d{1,2})-(\d{4})\b(?!-)", with_strokes, text)
    text = re.sub(_WITHOUT_YEAR, without_year, text)
    return re.sub(
        r"(?<![\w.])(\d{1,2})\.(\d{1,2})\.(\d{4})\b(?!\.\d)",
        lambda m: spoken(int(m[1]), int(m[2]), m[3], m.group()),
        text,
    )


def named_dates(text: str) -> str:
    """Dates with the name of a month or of a day, short or long."""

    def spoken_year(written: str | None) -> str:
        return f", {year(int(written))}" if written else ""

    text = _weekdays(text)
    one = rf"(?:{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?|\b\d{{1,2}}(?:st|nd|rd|th)?\s+{_MONTH})"
    text = re.sub(rf"({one})\s?[—-]\s?(?={one}\b)", r"\1 to ", text)
    text = re.sub(rf"\b{_MONTH}\s?[—-]\s?{_MONTH}(?![\w-])", lambda m: f"{_month(m[1])} to {_month(m[2])}", text)
    text = re.sub(
        rf"\b{_MONTH}\s+{_DAY}\s?[—-]\s?{_DAY}\b(?![:/.-]\d){_YEAR}",
        lambda m: f"{_month(m[1])} {ordinal(int(m[2]))} to {ordinal(int(m[3]))}{spoken_year(m[4])}",
        text,
    )
    text = re.sub(
        rf"\b(?:the\s+)?{_DAY}\s?[—-]\s?{_DAY}\s+(?:of\s+)?{_MONTH}{_YEAR}",
        lambda m: f"the {ordinal(int(m[1]))} to the {ordinal(int(m[2]))} of {_month(m[3])}{spoken_year(m[4])}",
        text,
    )
    text = re.sub(
        rf"\b{_MONTH}\s+{_DAY}\b(?![:/.]\d){_YEAR}",
        lambda m: f"{_month(m[1])} {ordinal(int(m[2]))}{spoken_year(m[3])}",
        text,
    )
    text = re.sub(
        rf"\b(?:the\s+)?{_DAY}[\s-]+(?:of\s+)?{_MONTH}(?:-(\d{{4}})\b|{_YEAR})",
        lambda m: f"the {ordinal(int(m[1]))} of {_month(m[2])}{spoken_year(m[3] or m[4])}",
        text,
    )
    text = re.sub(rf"\b{_MONTH},?\s+(\d{{4}})\b", lambda m: f"{_month(m[1])} {year(int(m[2]))}", text)
    return re.sub(rf"\b({'|'.join(_SHORT)})\.(?=,|\s+[a-z])", lambda m: _month(m[1]), text)


def times(text: str) -> str:
    """Times of day and lengths of time with a colon."""

    def spoken(match: re.Match[str]) -> str:
        hour, minute, second, half = match.groups()
        if int(hour) > 24:
            return match.group()
        half = f" {half[0].upper()}M" if half else ""
        if minute == "00" and not second:
            clock = "" if half else " o'clock" if 1 <= int(hour) <= 12 else " hundred"
        else:
            clock = f" oh {cardinal(int(minute))}" if minute[0] == "0" else f" {cardinal(int(minute))}"
        seconds = f" and {cardinal(int(second))} seconds" if second else ""
        return f"{cardinal(int(hour))}{clock}{seconds}{half}"

    text = re.sub(
        r"\b(?:(?<=at )|(?<=by )|(?<=until )|(?<=from )|(?<=hours to )|(?=0))([01]\d|2[0-3])([0-5]\d) (?:hours|hrs)\b",
        _military,
        text,
    )
    parts = r"(?<=:[0-5]\d)\.(\d{1,3})\b(?!\.?\d)"  # of a second: 3:59.4
    text = re.sub(parts, lambda m: f" point {digits(m[1])}", text)
    half = r"\s*[AaPp]\.?[Mm]\b"
    text = re.sub(r"\b(\d{1,2})\.([0-5]\d)(?=\s*[ap]m\b)", r"\1:\2", text)
    text = re.sub(rf"\b(\d{{1,2}}(?::\d\d)?(?:{half})?)\s?[—-]\s?(?=\d{{1,2}}(?::[0-5]\d\b|{half}))", r"\1 to ", text)
    text = re.sub(rf"\b(\d{{1,2}}:[0-5]\d(?:{half})?|\d{{1,2}}{half})\s?[—-]\s?(?=\w)", r"\1 to ", text)
    text = re.sub(r"\b(\d+)\s?h\s?(\d+)\s?m(?:in)?\b", r"\1 h \2 min", text)
    text = re.sub(r"\b(\d{1,2}):([0-5]\d)(?::([0-5]\d))?(?:\s*([AaPp])\.?[Mm]\b)?(?![:\d])", spoken, text)
    return re.sub(
        r"\b(1[0-2]|[1-9])\s*([AaPp])[Mm]\b", lambda m: f"{cardinal(int(m.group(1)))} {m.group(2).upper()}M", text
    )


def _military(match: re.Match[str]) -> str:
    """1600 hours, 0830 hours."""
    hour = ("oh " if match[1][0] == "0" else "") + cardinal(int(match[1]))
    return f"{hour} {'hundred' if match[2] == '00' else 'oh ' * (match[2][0] == '0') + cardinal(int(match[2]))} hours"


def _weekdays(text: str) -> str:
    def day(match: re.Match[str]) -> str:
        at_the_end = "." if match.group().endswith(".") and not text[match.end() :].strip() else ""
        return words.WEEKDAYS[match[1]] + at_the_end

    text = re.sub(
        rf"\b{_WEEKDAY}\.?\s?(?:[—-]|to)\s?{_WEEKDAY}\.?",
        lambda m: f"{words.WEEKDAYS[m[1]]} to {words.WEEKDAYS[m[2]]}",
        text,
    )
    listed = rf"\b{_WEEKDAY}(?:(?:, ?| ?/ ?| ?& ?| and | or ){_WEEKDAY})+"
    text = re.sub(
        listed, lambda m: re.sub(_WEEKDAY, lambda day: words.WEEKDAYS[day[1]], m.group().replace("/", ", ")), text
    )
    text = re.sub(r"\b(Tues?|Thu(?:rs?)?|Fri|Weds)\b(?!\.)", lambda m: words.WEEKDAYS[m[1]], text)
    text = re.sub(r"(?<=[a-z] )Wed\.(?=\s+[a-z])", "Wednesday", text)
    part = r"(?= (?:night|morning|afternoon|evening|noon)\b)"
    after = r"(?:(?<=on )|(?<=closed )|(?<=open )|(?<=until )|(?<=every ))"
    text = re.sub(
        rf"\b{after}(Sat|Sun)\b(?! [A-Z])|\b(Mon|Wed|Sat|Sun)\b{part}",
        lambda m: words.WEEKDAYS[m[1] or m[2]],
        text,
    )
    beside = rf"(?=,?\s+(?:the\s+)?(?:\d|{'|'.join(words.MONTHS)}|(?:{'|'.join(_SHORT)})\b))"
    text = re.sub(rf"\b{_WEEKDAY}\.?{beside}", day, text)
    return re.sub(rf"\b{_WEEKDAY}\.(?=,)|\b(Mon|Tues?|Thu|Thurs?|Fri)\.(?!\w)", _short_day, text)


def _short_day(match: re.Match[str]) -> str:
    at_the_end = "." if not match.string[match.end() :].strip() else ""
    return words.WEEKDAYS[match[1] or match[2]] + at_the_end


def _month(written: str) -> str:
    bare = written.rstrip(".")
    return _SHORT.get(bare) or bare.capitalize()
