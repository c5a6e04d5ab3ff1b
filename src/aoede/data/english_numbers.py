"""Numbers of English in words: counts, ordinals, years, digit by digit, phone numbers, fractions, ranges.

Owns how a number is said, and the rules for numbers that stand without a unit. Dates, money and units have files of
their own, which call these. Knows nothing of the order in which rules are applied: `english.py` has it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from aoede.data import english_words as words

NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
"""How a number is written: 7, 3.14, 1,234.5."""

_LONGEST_NUMBER = 15
"""Digits beyond this are read one by one: it is a code, not a count."""

_DENOMINATORS = frozenset([*range(2, 11), 12, 15, 16, 20, 24, 25, 30, 32, 40, 50, 60, 64, 100, 1000])
"""Below these a stroke is a fraction's; 24/7 and 11/21 are none."""

_OLD_YEAR_BEFORE = re.compile(
    r"(?:\b(?:in|since|until|till|by|from|before|after|during|year|years|circa|early|late|mid|of|for|and|to|between|spring|"
    r"established|founded|"
    rf"summer|autumn|fall|winter|born|died|copyright|{'|'.join(words.MONTHS)}),?|\()\s*$",
    re.IGNORECASE,
)
_COUNT_BEFORE = re.compile(
    r"(?:\b(?:number|numbers|pages?|plus|minus|times|by|over|than|point|equals|room|code|pin|port|first|last|next|another)"
    r"|[=+×÷*/^√≈~±])\s*$",
    re.IGNORECASE,
)
_SCORE_BEFORE = re.compile(
    r"\b(?:scor\w+|rat(?:e|ed|es|ing)|mark(?:ed|s)?|got|gets?|give|gave|given|solid|test)"
    r"(?: (?:it|this|that|them|him|her|me|you|us|a|an|of|at|was|is|solid)){0,2}:?\s*$",
    re.IGNORECASE,
)
_SCORE_AFTER = re.compile(r"\s*(?:[.,;:!?)]|$|(?:rating|score|stars|would)\b)")
_ASKED_AFTER = re.compile(
    r" (?:people|adults|men|women|children|kids|parents|doctors|dentists|users|customers|patients|students|voters|"
    r"times)\b"
)
"""Who is asked or counted: 9/10 dentists are nine out of ten, 3/10 miles are three tenths."""
_COUNTED_AFTER = re.compile(
    r"\s+(?:people|men|women|children|of\b|percent|hundred|thousand|million|billion|feet|hertz|by\b|other|more\b|new\b|"
    r"(?!(?:was|is|has|as|its|his|this|does|across|us|plus|versus|minus|less|class|crisis|series|news|census)\b)[a-z]\w*s\b)"
    r"|\s*[=+×÷*^]"
)


@lru_cache(maxsize=4096)
def cardinal(number: int) -> str:
    """1234 -> "one thousand two hundred and thirty-four"."""
    from num2words import num2words  # type: ignore[import-untyped]

    return str(num2words(number)).replace(",", "")


@lru_cache(maxsize=4096)
def ordinal(number: int) -> str:
    """21 -> "twenty-first"."""
    from num2words import num2words

    return str(num2words(number, to="ordinal")).replace(",", "")


def year(number: int) -> str:
    """1984 -> "nineteen eighty-four", 1905 -> "nineteen oh five", 2007 -> "two thousand seven"."""
    century, rest = divmod(number, 100)
    if 2000 <= number <= 2009:
        return "two thousand" + (f" {cardinal(rest)}" if rest else "")
    if not 1100 <= number <= 2099:
        return cardinal(number)
    tail = "hundred" if rest == 0 else f"oh {cardinal(rest)}" if rest < 10 else cardinal(rest)
    return f"{cardinal(century)} {tail}"


def short_year(written: str) -> str:
    """The last two digits of a year: "05" -> "oh five", "69" -> "sixty-nine"."""
    return f"oh {cardinal(int(written[1]))}" if written[0] == "0" and written != "00" else digits_or(written)


def digits_or(written: str) -> str:
    """Two digits as a number, or "hundred" for 00."""
    return "hundred" if written == "00" else cardinal(int(written))


def in_pairs(number: int) -> str:
    """1080 -> "ten eighty": sizes of screens are said like years; round ones are not."""
    return f"{cardinal(number // 100)} {cardinal(number % 100)}" if number % 100 >= 10 else cardinal(number)


def model_number(written: str) -> str:
    """911 -> "nine eleven", 501 -> "five oh one", 1549 -> "fifteen forty-nine"."""
    front, back = divmod(int(written), 100)
    if not back:
        return cardinal(int(written))
    return f"{cardinal(front)} {'oh ' if back < 10 else ''}{cardinal(back)}"


def say_number(written: str) -> str:
    """ "1,250.50" -> "one thousand two hundred and fifty point five zero"; "007" and very long ones digit by digit."""
    whole, _, fraction = written.replace(",", "").partition(".")
    if len(whole) > _LONGEST_NUMBER or (len(whole) > 1 and whole[0] == "0"):
        said = digits(whole)
    else:
        said = cardinal(int(whole or "0"))
    return f"{said} point {digits(fraction)}" if fraction else said


def digits(written: str) -> str:
    """Every digit of a string by its name; other characters part the groups with a comma."""
    groups = re.findall(r"\d+", written)
    return ", ".join(" ".join(cardinal(int(digit)) for digit in group) for group in groups)


def phones(text: str) -> str:
    """Phone numbers and codes, digit by digit in their groups."""
    # "Your code is 4829", "text STOP to 40404", "the card ending in 4321", and the code after a state of the USA.
    code = r"(?:codes?|PIN|pin|passcode|password|OTP|account number)(?: (?:is|was|to))?:?"
    code = rf"{code}|(?:card|account|number) ending in"
    text = re.sub(
        rf"\b({code}) (\d{{5}}-\d{{4}}|\d{{4,8}})\b(?![.,-]?\d| times| lines)", lambda m: f"{m[1]} {digits(m[2])}", text
    )
    text = re.sub(r"\b([Tt]ext [A-Z]+ to) (\d{4,6})\b", lambda m: f"{m[1]} {digits(m[2])}", text)
    text = re.sub(
        rf"(?<=[a-z.,] )({'|'.join(words.STATES)}) (\d{{5}}(?:-\d{{4}})?)\b(?!,?\d)",
        lambda m: f"{words.STATES[m[1]]} {digits(m[2])}",
        text,
    )
    keys = r"\b((?:press|dial|push|hit)(?: the)?) \*(\d*)"
    text = re.sub(keys, lambda m: f"{m[1]} star {digits(m[2])}".strip(), text, flags=re.IGNORECASE)
    call = r"\b((?:call|dial|phone|ring|text)(?:s|ed|ing|ling)?) (911|999|112|111|101|988)\b"
    text = re.sub(call, lambda m: f"{m[1]} {digits(m[2])}", text, flags=re.IGNORECASE)
    abroad = r"(?<![\w.+])\+(\d{1,3}(?:[ .-]?\(?\d{1,5}\)?){2,5})(?![\w-])"
    text = re.sub(abroad, lambda m: "plus " + digits(m[1]) if sum(map(str.isdigit, m[1])) > 7 else m[0], text)
    text = re.sub(
        r"(?<![\w.])(\+?)((?:\d{1,3}[ .-])?\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4})\b",
        lambda m: ("plus " if m[1] else "") + digits(m[2]),
        text,
    )
    text = re.sub(r"(?<![\w.-])(\(?0\d{2,4}\)?[ -]\d{3,4}[ -]\d{3,4})\b(?![-.]\d)", lambda m: digits(m[1]), text)
    # Numbers of books, cards and accounts: ten digits and more in four groups and more.
    groups = r"(?<![\w.-])(?=(?:\d-?){10}|\d-\d-\d-|\d{4} )(\d+(?:-\d+){3,}|\d{4}(?: \d{4}){3})(?![\w-])"
    text = re.sub(r"#" + groups, lambda m: "number " + digits(m[1]), text)
    text = re.sub(groups, lambda m: digits(m[1]), text)
    return re.sub(r"(?<![\w-])(\d{3}-\d{4})\b(?!-)", lambda m: digits(m[1]), text)


def ordinals(text: str) -> str:
    """1st, 22nd, 1,000th."""
    return re.sub(
        r"\b(\d{1,3}(?:,\d{3})+|\d{1,9})(?:st|nd|rd|th)\b", lambda m: ordinal(int(m[1].replace(",", ""))), text
    )


def decades(text: str) -> str:
    """The 1990s, the '80s; and the summer of '69."""

    def spoken(match: re.Match[str]) -> str:
        said = year(int(match.group(1))) if len(match.group(1)) == 4 else cardinal(int(match.group(1)))
        return said[:-1] + "ies" if said.endswith("y") else said + ("es" if said.endswith("six") else "s")

    text = re.sub(r"(?<=\b[A-Z]-)(\d{1,3})s\b", spoken, text)  # B-52s
    text = _models(text)
    text = re.sub(r"(?<=\d0s)\s?[—-]\s?(?='?\d+0s\b)", " to ", text)
    text = re.sub(r"(?<!\w)'00s\b", "two thousands", text)
    text = re.sub(r"(?<='\d\d)\s?[—-]\s?(?='\d\d\b)", " to ", text)
    text = re.sub(r"\b(10|100|1,?000)s(?= of\b)", lambda m: f"{say_number(m[1]).removeprefix('one ')}s", text)
    text = re.sub(r"\b(1[1-9]\d0|20\d0)'?s\b", spoken, text)
    text = re.sub(
        r"(?<!\w)(?<!\bfor )(?<!\bafter )(?<!\b[Ee]very )(?<!\btook )(?<!\b[Ww]ait )'?([2-9]0)'?s\b", spoken, text
    )
    return re.sub(r"(?<!\w)'(\d\d)(?!\w)", lambda m: short_year(m[1]), text)


def _models(text: str) -> str:
    """A Porsche 911, the Boeing 737-800, flight UA 328: in pairs."""

    def spoken(match: re.Match[str]) -> str:
        made, number, kind, tail = match.groups()
        said = model_number(number) + (f" {cardinal(int(kind))}" if kind else "")
        if tail == "s":
            said = said[:-1] + "ie" if said.endswith("y") else said
        return made + " " * made.endswith("A") + said + tail + " " * match.string[match.end() :][:1].isalpha()

    counted = r"(?![.,]?\d| (?:km|kilomet|mi\b|miles|feet|ft\b|m\b|people|passengers|seats|hours))"
    made = rf"\b((?:{'|'.join(words.MODELS)}) |Airbus A)"
    text = re.sub(rf"{made}(\d{{3,4}})(?:-(\d{{2,3}}))?(s?)(?=[A-Z]?\b|neo\b){counted}", spoken, text)
    return re.sub(r"(?<![\w.-])()(7[0-8]7)-([89]|10|[1-9]00)()(?![\w-])", spoken, text)


def fractions_and_ranges(text: str) -> str:
    """3 1/2, 10-15, 1990-95, 3:1."""

    def fraction(match: re.Match[str]) -> str:
        whole, top, bottom = match.group(1) or "", int(match.group(2)), int(match.group(3))
        if top == bottom > 1:
            return f"{whole}{top} out of {top}" if top in (5, 10, 100) else f"{whole}{top} {top}"
        before, after = match.string[: match.start()], match.string[match.end() :]
        is_score = _SCORE_BEFORE.search(before) or _SCORE_AFTER.match(after)
        if not whole and bottom in (10, 100) and is_score:
            return f"{top} out of {bottom}"
        if bottom == 10 and _ASKED_AFTER.match(after):
            return f"{top} out of {bottom}"
        if (top, bottom) in ((24, 7), (9, 11)) or (top < bottom <= 31 and bottom not in _DENOMINATORS):
            return f"{whole}{top} {bottom}"
        if bottom not in _DENOMINATORS or top >= bottom:
            return f"{whole}{top} over {bottom}" if bottom else match.group()
        name = {2: "half", 4: "quarter"}.get(bottom) or ordinal(bottom)
        plural = "" if top == 1 else "s" if bottom != 2 else ""
        return (f"{whole.strip()} and " if whole else "") + f"{cardinal(top)} {name}{plural}"

    def years(match: re.Match[str]) -> str:
        first, sign, second = match.groups()
        if len(second) == 2 and int(second) <= int(first[2:]):
            if sign == "-" and 1 <= int(second) <= 12:
                return f"{words.MONTHS[int(second) - 1]} {year(int(first))}"
            return match.group()
        if _COUNT_BEFORE.search(match.string[: match.start()]):
            return f"{cardinal(int(first))} to {cardinal(int(second))}"
        said = year(int(second)) if len(second) == 4 else short_year(second)
        return f"{year(int(first))}{' ' if sign == '/' else ' to '}{said}"

    def span(match: re.Match[str]) -> str:
        first, second = match.groups()
        return f"{first} {second}" if first == second or (first, second) == ("24", "7") else f"{first} to {second}"

    text = re.sub(r"\b(1[1-9]\d\d|20\d\d)\s?([—/-])\s?(1[1-9]\d\d|20\d\d|\d\d)\b(?![—/-]?\d)", years, text)
    text = text.replace("24/7/365", "24 7, 365")
    text = re.sub(r"\b(\d+\s+)?(\d{1,3})/(\d{1,4})\b(?!/)", fraction, text)
    text = re.sub(r"(?<=[=+×÷*])(\s*\d+)\s[—-]\s(?=\d)|\b(\d+)\s[—-]\s(?=\d+\s*=)", r"\1\2 minus ", text)
    if "=" in text:
        text = re.sub(r"(?<=\d[a-z])\s[—-]\s(?=\d)", " minus ", text)  # 3x - 5
    text = re.sub(rf"(?<![\w.-])({NUMBER})\s?[—-]\s?({NUMBER})(?![\w-])", span, text)
    text = re.sub(rf"(?<![\w.-])({NUMBER})\s?[—-]\s?(?={NUMBER})(?=[\d.,]+ [a-z]+\b)", r"\1 to ", text)
    return re.sub(r"(?<=\d):(?=\d)", " to ", text)


def numbers(text: str) -> str:
    """Whatever digits are left, with the signs of arithmetic beside them."""

    def plain(match: re.Match[str]) -> str:
        sign, written = match.group(1) or "", match.group(2)
        before, after = match.string[: match.start()], match.string[match.end() :]
        return ("minus " if sign else "") + (
            year(int(written)) if not sign and _is_year(written, before, after) else say_number(written)
        )

    def power(match: re.Match[str]) -> str:
        exponent = match[2].lstrip("+").replace("-", "minus ")
        return f"{match[1]} times ten to the power of {exponent}"

    text = re.sub(r"\bCO2\b", "C O 2", text)
    # The number of a flight or a model: BA2490, RTX4090.
    text = re.sub(r"\b([A-Z]{2,3})([1-9]\d{3})\b", lambda m: f"{m[1]} {in_pairs(int(m[2]))}", text)
    text = re.sub(r"\b([A-G])#\s?(?=\d)", r"\1 sharp ", text)
    text = re.sub(r"(?<![A-G])#\s?(?=\d)", "number ", text)
    text = re.sub(r"(?<=\d)!(?=\s*=)", " factorial", text)
    text = re.sub(r"(?<=\d)\s?[xX]\s?(?=10\s?\^)", " × ", text)
    text = re.sub(r"(?<![\w.])\.(?=\d\d[ -]cal)", "", text)  # a .45 caliber pistol
    often = r"\b(\d+)x(?:/(?=day|week|month|year|hour)|(?= (?:a|per|daily|weekly|monthly|yearly)\b))"
    text = re.sub(often, lambda m: _how_often(m[1]) + (" a " if m[0].endswith("/") else ""), text)
    text = re.sub(r"#(?=[A-Za-z])", "hashtag ", text)
    text = re.sub(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}\b(?!\.?\d)", lambda m: _network_address(m.group()), text)
    text = re.sub(r"(?<![\w.])[vV]?\d+(?:\.\d+){2,}", lambda m: _version(m.group()), text)
    text = re.sub(r"(?<![\w.])(?:[vV](?=\d+\.\d)|v(?=\d))", "version ", text)
    text = re.sub(rf"(?<![\w.])({NUMBER})[eE]([+-]?\d+)\b", power, text)
    text = re.sub(r"\b(480|720|1080|1440|2160)(?=[pi]\b)", lambda m: in_pairs(int(m[1])) + " ", text)
    text = re.sub(
        r"\b(\d{3,4})\s?[xX×]\s?(\d{3,4})\b", lambda m: f"{in_pairs(int(m[1]))} by {in_pairs(int(m[2]))}", text
    )
    text = re.sub(r"(?<=\d)\s*[xX]\s*(?=\d+\s*=)", " times ", text)
    text = re.sub(r"(?<=\d)\s*[xX]\s*(?=\d)", " by ", text)
    text = re.sub(r"\b([1-5])\*(?=\s|$)", r"\1 star", text)
    text = re.sub(r"(?<=\d)\s*\*\s*(?=\d)", " times ", text)
    text = re.sub(r"(?<=[\w)])\s*\^\s*([23])(?!\d)", lambda m: f" {'squared' if m[1] == '2' else 'cubed'}", text)
    text = re.sub(r"(?<=[\w)])\s*\^\s*(-?)(?=\w)", lambda m: " to the power of " + "minus " * bool(m[1]), text)
    text = re.sub(r"(?<=\d)\s?~\s?(?=\d)", " to ", text)
    text = re.sub(r"\b(UTC|GMT)-(?=\d)", r"\1 minus ", text)
    text = re.sub(r"(?<![\d])~\s?(?=[\d$£€])", "about ", text)
    text = re.sub(r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])", " ", text)
    text = re.sub(r"(?<![\w.])\.(?=\d)", "0.", text)
    return re.sub(rf"((?<![\w)])-)?({NUMBER})", plain, text)


def _is_year(written: str, before: str, after: str) -> bool:
    """Whether four digits without a comma are a year: recent ones unless something is counted, older ones where a word
    like "in" says so."""
    if not re.fullmatch(r"1[1-9]\d\d|20\d\d", written) or _COUNTED_AFTER.match(after) or _COUNT_BEFORE.search(before):
        return False
    return bool(re.fullmatch(r"19\d\d|20[0-4]\d", written)) or bool(_OLD_YEAR_BEFORE.search(before))


def _version(written: str) -> str:
    parts = [cardinal(int(part)) if len(part) < 5 else digits(part) for part in re.findall(r"\d+", written)]
    return ("version " if written[0] in "vV" else "") + " point ".join(parts)


def _how_often(times: str) -> str:
    return {"1": "once", "2": "twice"}.get(times) or f"{times} times"


def _network_address(written: str) -> str:
    return " dot ".join(map(digits, written.split(".")))
