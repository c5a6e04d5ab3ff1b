"""Money and measures of English in words: $3.50, a $20 bill, £2m, 5-10kg, 16 MB/s, 5'10", 20k.

Owns what stands beside a number and how it is said, one or many; the names are in `english_words.py`, numbers left in
digits here are said by `english_numbers.py` later.
"""

from __future__ import annotations

import re

from aoede.data import english_words as words
from aoede.data.english_numbers import NUMBER, cardinal, say_number

_SIGNS = "".join(words.CURRENCIES)
_MAGNITUDE = r"(?:[\s-]?(thousand|million|billion|trillion|lakh|crore)|\s?(trn)|([kKMBmb]|mn|bn|tn))\b"
_UNIT = "|".join(sorted(map(re.escape, words.UNITS), key=len, reverse=True))
_BEFORE_ONE = re.compile(rf"\ban?\s+(?:(?:{NUMBER})\s?(?:[—-]|to|by)\s?)?$")
_NO_NOUN = "and or to for per in on at each a an is was are off more less with from than of if when that which by as"
_NOUN_AFTER = re.compile(rf"[\s-](?!(?:{'|'.join(_NO_NOUN.split())})\b)[a-z]")

_CONTAINER_AFTER = re.compile(rf" (?:{'|'.join(words.CONTAINERS)})(?:s|es)?\b")
_HYPHENED = [*(unit for unit in words.UNITS if unit.isalpha() and unit.isascii() and len(unit) > 1), "in", "m"]


def inches(text: str) -> str:
    """5'10" and 27" before the marks of quotation go: a mark after a number that closes no quotation means inches.

    Minutes and seconds of an angle (51°30'26"N) or of a time (24'30") have the same marks.
    """
    text = re.sub(
        r"(\d+)°\s?(\d{1,2})['′’](?:\s?(\d{1,2}(?:\.\d+)?)(?:[\"″”]|''))?",
        lambda m: f"{m[1]}° {m[2]} min " + (f"{m[3]} sec " if m[3] else ""),
        text,
    )
    text = re.sub(r"\b(\d{1,3})['′’]\s?(0\d|1[2-9]|[2-5]\d)(?:[\"″”]|'')", r"\1 min \2 sec", text)
    text = re.sub(r"\b(\d{1,2})['′’]\s?(\d{1,2})(?:[\"″”]|'')", r"\1 foot \2", text)
    text = re.sub(r"(?<![\w'’.])([4-7])['′’](1[01]|\d)(?![\w'’\"″”]|\.\d)", r"\1 foot \2", text)  # he is 6'2

    def inch(match: re.Match[str]) -> str:
        before = match.string[: match.start()]
        if before.count('"') % 2 or before.count("“") > before.count("”"):
            return match.group()
        one = before.endswith("/") or (
            _BEFORE_ONE.search(before) and re.match(r"\s+[a-z]", match.string[match.end() :])
        )
        return f"{match[1]} {'inch' if one or match[1] == '1' else 'inches'}"

    text = re.sub(r"(?<![\w.])(\d+)[\"″]\s?[xX×]\s?(?=\d+[\"″])", r"\1 by ", text)
    return re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)[\"″](?!\w)", inch, text)


def rates(text: str) -> str:
    """The stroke of a price or a measure: $20/hour, 16 MB/s, 9.8 m/s²."""
    text = re.sub(r"(?<=\d)(\s?)μ(?=[mgs]\b)", r"\1µ", text)
    text = re.sub(r"\bp/([mwa])\b", lambda m: {"m": "per month", "w": "per week", "a": "per annum"}[m[1]], text)
    below = "|".join(sorted(map(re.escape, words.PER), key=len, reverse=True))

    def per(match: re.Match[str]) -> str:
        said = words.PER[match[2]]
        power = {"²": "square ", "³": "cubic "}.get(match[3] or "", "")
        if power and said == "second":
            return f"{match[1]} per second {'squared' if match[3] == '²' else 'cubed'}"
        also = f" per {words.PER[match[4]]}" if match[4] else ""  # 5 mg/kg/day
        return f"{match[1]} per {power}{said}{also}"

    amount = rf"[{_SIGNS}]\s?(?:{NUMBER})(?:\s?[a-z]+)?|(?<![\w.])(?:{NUMBER})\s?(?:{_UNIT})[²³]?"
    text = re.sub(rf"({amount})\s?/\s?({below})([²³])?(?:/({below}))?(?![\w/])", per, text)
    text = re.sub(
        r"(?<![\w/])(km|mi|m)/([hs])(?![\w/²³])", lambda m: f"{words.UNITS[m[1]]}s per {words.PER[m[2]]}", text
    )
    return re.sub(rf"({amount})/(?=\d+\s?km\b(?! per))", r"\1 per ", text)


def money(text: str) -> str:
    """Amounts with a sign of currency, before or after."""

    def spoken(sign: str, amount: str, magnitude: str | None, is_one: bool) -> str:
        one, many, small_one, small_many = words.CURRENCIES[sign]
        many = one if is_one else many
        if magnitude:
            return f"{say_number(amount)} {words.MAGNITUDES.get(magnitude.lower(), magnitude)} {many}"
        whole, _, fraction = amount.partition(".")
        if len(fraction) != 2:
            return f"{say_number(amount)} {one if amount == '1' else many}"
        small = int(fraction)
        parts = (
            [f"{say_number(whole)} {one if whole == '1' else many}"] if int(whole.replace(",", "")) or not small else []
        )
        parts += [f"{cardinal(small)} {small_one if small == 1 else small_many}"] if small else []
        return " and ".join(parts)

    def before(match: re.Match[str]) -> str:
        is_one = _is_one(match) or bool(
            re.search(r"-[a-z]+$", match.group()) and _NOUN_AFTER.match(match.string, match.end())
        )
        return spoken(match[1], match[2], match[3] or match[4] or match[5], is_one)

    text = _continental(text)
    text = re.sub(r"\bRs\.?\s?(?=\d)", "₹", text)
    text = re.sub(rf"\bR\$\s?({NUMBER})", r"\1 reais", text)
    text = re.sub(rf"([{_SIGNS}])\.(?=\d)", r"\g<1>0.", text)
    text = re.sub(rf"(?<![\w.-])({NUMBER})\s?[—-]\s?(?=(?:{NUMBER})\s?[{_SIGNS}](?!\d))", r"\1 to ", text)
    text = re.sub(rf"(?<![\w)])-\s?([{_SIGNS}])(?=\s?\d)", r"minus \1", text)
    text = re.sub(rf"([{_SIGNS}])\s?-(?=\d)", r"minus \1", text)
    text = re.sub(rf"([{_SIGNS}])\s?({NUMBER})\s?[—-]\s?(?=(?:{NUMBER}))", r"\2 to \1", text)
    text = re.sub(rf"(?<=\d)\s?[—-]\s?(?=[{_SIGNS}]\s?\d)", " to ", text)
    text = re.sub(rf"(?:\b(?:US|AU|CA|NZ|HK|NT|MX|A|C|S))?([{_SIGNS}])\s?({NUMBER})(?:{_MAGNITUDE})?", before, text)
    text = re.sub(
        rf"\b({NUMBER})(?:{_MAGNITUDE})?\s?([{_SIGNS}])",
        lambda m: spoken(m[5], m[1], m[2] or m[3] or m[4], _is_one(m)),
        text,
    )
    return re.sub(r"\b(\d+)\s?¢", lambda m: f"{say_number(m[1])} {'cent' if m[1] == '1' else 'cents'}", text)


def _continental(text: str) -> str:
    """€1.499,00 and 5,50 € as 1,499.00 and 5.50: a comma before two digits parts the cents; 1.000.000 as a million."""

    def swapped(match: re.Match[str]) -> str:
        return match[1] + match[2].replace(".", ",") + "." + match[3]

    text = re.sub(r"(?<![\w.])\d{1,3}(?:\.000){2,}(?![\w.])", lambda m: m.group().replace(".", ","), text)
    amount = r"(\d{1,3}(?:\.\d{3})+|\d+),(\d\d)(?!,?\d)"
    text = re.sub(r"(?<=\d),-(?!\w)", "", text)  # €50,-
    text = re.sub(r"(?<![\w'])\d{1,3}(?:'\d{3})+(?![\w'])", lambda m: m.group().replace("'", ","), text)  # Swiss
    text = re.sub(rf"([{_SIGNS}]\s?){amount}", swapped, text)
    return re.sub(rf"(?<![\w.,])(){amount}(?=\s?[{_SIGNS}])", swapped, text)


def units(text: str) -> str:
    """Numbers with a unit, thousands and millions as one letter, percent."""

    def spoken(match: re.Match[str]) -> str:
        number, unit, power = match.groups()
        one, _, many = words.UNITS[unit].partition("/")
        said = one if number == "1" or _is_one(match) else many or one + "s"
        return f"{number} {dict(zip(('²', '³'), ('square ', 'cubic '), strict=True)).get(power or '', '')}{said}"

    def large(match: re.Match[str]) -> str:
        number, letter = match.groups()
        if letter in "kK" and "." not in number and int(number.replace(",", "")) <= 10:
            return f"{number} {letter}"  # a 4K film, a 5k run
        return f"{number} {words.MAGNITUDES[letter.lower()]}"

    text = re.sub(r"(?<=\d)(\s?)([ck]?m|ft)([23])\b", lambda m: f"{m[1]}{m[2]}{'²³'[int(m[3]) - 2]}", text)
    text = re.sub(r"(?<![\w/-])(\d{1,2})-(?=[1-7]/(?:2|3|4|8|16)\b)", r"\1 ", text)  # 2-1/2 lbs
    text = re.sub(r"(?<![\d.,])(\d+),(\d{1,2})(?=\s?(?:[kcm]?m|k?g|m?l)\b)", r"\1.\2", text)  # 1,5 kg
    text = re.sub(r"(?<=\d)º", "°", text)
    text = re.sub(r"(?<=\d°)\s?[—-]\s?(?=\d)", " to ", text)
    lengths = "|".join(words.LENGTHS)
    text = re.sub(rf"(?<=\d)\s?[xX×]\s?(?=(?:{NUMBER})\s?-?(?:{lengths})\b)", " by ", text)
    text = re.sub(rf"(\d\s?(?:{lengths})\b\.?)\s?[xX×]\s?(?=\d)", r"\1 by ", text)
    after = r"(?:\.(?=\s+(?:of|by|wide|long|tall|deep|thick|high|in|and|or)\b|[,;)])|(?= of (?:rain|snow|ice|water)\b))"
    text = re.sub(rf"(?<![\w.])({NUMBER})\s?in\b{after}", _inches, text)
    text = re.sub(rf"(?<=inches by )({NUMBER})\s?in\b\.?", _inches, text)
    text = re.sub(r"(?<![\w.])(\d{1,3})[\s-]?(?:YO|yo|y/o)\b(\s[a-z])?", _aged, text)
    twice = rf"\d[\d./ ]*\s?(?:°|(?:{'|'.join(words.IMPERIAL)})\b)|gas mark"  # 350°F/180°C, 200g/7oz
    text = re.sub(
        rf"(\d\s?(?:k?g|m?l|[cm]?m|°[CF]|mph|km per hour))\s?/\s?(?={twice}|\d+\s?(?:mph|km per hour))", r"\1 or ", text
    )
    text = re.sub(r"(?<=\d°)(.{0,20}?)\s?\b([NSEW])\b(?!\.\w)", lambda m: f"{m[1]} {words.COMPASS[m[2]]}", text)
    text = re.sub(r"(?<=\d)°(?= (?:angle|turn|bend|view|rotation|heat|weather|slope)\b)", " degree", text)
    text = re.sub(rf"(?<!\d )(?<![\w/])(\d/\d) ({_UNIT})(?![\w/'])", _part_of_one, text)
    text = re.sub(r"\bsq\.\s?(?=ft|m|km|mi)", "sq ", text)
    text = re.sub(r"(?<![\w.])(\d+)\s?(?:ft|feet|foot)\.?\s(\d+)\s?in\b\.?(?=\W|$)", r"\1 ft \2 inches", text)
    text = re.sub(rf"(?<![\w.])({NUMBER})in\b", r"\1 inches", text)
    text = re.sub(
        rf"(?<![\w.])(?<![a-z]\d-)({NUMBER})([kKM]|B(?= (?:param|token|people|user|dollar))|mn|bn|tn)\b(?!['/])",
        large,
        text,
    )
    text = re.sub(rf"(?<![\w.])({NUMBER})-({'|'.join(_HYPHENED)})\b(?:\.(?=-|\s[a-z]))?", _described, text)
    text = re.sub(rf"(?<![\w.])({NUMBER})\s?({_UNIT})([²³])?(?![\w/'])", spoken, text)
    text = re.sub(r"(?<=\d)\s?%\s?[—-]\s?(?=\d)", " percent to ", text)
    return re.sub(rf"({NUMBER})\s?%", r"\1 percent", text)


def _part_of_one(match: re.Match[str]) -> str:
    """3/4 tsp: three quarters of a teaspoon."""
    one = words.UNITS[match[2]].partition("/")[0]
    share = "half" if match[1] == "1/2" else f"{match[1]} of"
    return f"{share} {'an' if one[0] in 'aeio' or one == 'hour' else 'a'} {one}"


def _is_one(match: re.Match[str]) -> bool:
    """Whether a measure describes a noun, and so stands in the singular: a $20 bill, a five minute walk."""
    before, after = match.string[: match.start()], match.string[match.end() :]
    return bool(_BEFORE_ONE.search(before) and _NOUN_AFTER.match(after)) or bool(_CONTAINER_AFTER.match(after))


def _inches(match: re.Match[str]) -> str:
    return f"{match[1]} {'inch' if match[1] == '1' else 'inches'}"


def _aged(match: re.Match[str]) -> str:
    return f"{match[1]} year{'' if match[2] else 's'} old{match[2] or ''}"


def _described(match: re.Match[str]) -> str:
    """A 25-yd line, a 6-ft.-tall man: with a hyphen it is always one."""
    return f"{match[1]}-{words.UNITS[match[2]].partition('/')[0] if match[2] != 'in' else 'inch'}"
