"""Sentences: long text in pieces that are spoken one by one, ended where a reader would end or breathe.

Owns where a sentence ends, which lines begin anew, and where a sentence that is too long is cut. Every character that
is not space is kept. What the abbreviations are is `english_words.py`'s, what a heading or an item is `markup.py`'s.
"""

from __future__ import annotations

import re

from aoede.data import english_words
from aoede.data.markup import begins_line

__all__ = ["split_sentences"]

_BOUNDARY = re.compile(r"([.!?…]+)(['\"”’»)\]]*)(?=\s|$|<)|([。！？।]+)(['\"”’»)\]」』]*)")
_STARTERS = frozenset([
    "the", "a", "an", "he", "she", "it", "we", "they", "you", "i", "this", "that", "these", "those", "there", "then",
    "but", "and", "so", "in", "on", "at", "if", "when", "what", "who", "how", "why", "my", "his", "her", "our", "their",
    "its",
])  # fmt: skip
_NEW_SENTENCE = re.compile(r"(?<=[a-z]{2}[.!?])(?=[A-Z][a-z]+[\s,.!?'])")
"""Where a space was forgotten: "home.Then he"."""

_COMPANY = re.compile(r"(?:Inc|Ltd|Corp|Co)\b")
_MEASURES = frozenset(["ft", "lb", "lbs", "hr", "hrs", "min", "gal"])
"""What is often followed by a smaller measure of the same thing."""

_LEADS_ON = [
    "a", "an", "the", "of", "to", "and", "or", "mr", "mrs", "ms", "dr", "prof", "st", "mt", "no", "vol", "fig",
    "nr", "my", "your", "his", "her", "its", "our", "their", "this", "that", "these", "those", "very", "in", "on",
    "at", "by", "for", "with", "from", "is", "are", "was", "be", "as",
    "were", "has", "have", "had", "been", "not", "will", "would", "can", "could", "should", "may", "might", "must",
]  # fmt: skip
"""Words that belong to what follows: no cut right after them while there is another place."""

_BREAKS = (
    (r"[.!?…;:—][\"'”’)]*(?=\s)|\s—(?=\s)", 0.0),
    (r",[\"'”’)]*(?=\s)(?!\s\d)", 0.15),
    (
        r"\s(?=(?:and|but|or|because|which|that|when|while|if|so|where|who|although|though|than|until|after|before)\s)",
        0.3,
    ),
    (r"\s(?=(?:in|on|at|to|for|with|from|by|into|over|under|about|through|without|between|during|as|of)\s)", 0.45),
    (r"(?<!\d)\s(?![\d$£€])", 0.6),
    (r"\s", 1.5),
)
"""Where a long sentence may be cut, and how much worse than a clause's end that is."""

_DIGIT_LETTERS = 6
"""Letters that a digit takes, about, when it is said: text in digits is longer than it looks."""


def split_sentences(text: str, limit: int) -> list[str]:
    """Text to sentences in order, none longer than `limit` characters; those with many digits are shorter, because
    digits are longer to say than to write."""
    pieces: list[str] = []
    for block in _blocks(text):
        for sentence in _with_whole_quotations(_sentences(block), limit):
            for piece in _cut(sentence, limit):
                pieces += _cut(piece, _limit_for_digits(piece, limit))
    return [piece for piece in pieces if piece]


def _blocks(text: str) -> list[str]:
    """Paragraphs, headings and items of lists, each on one line."""
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if not line.strip() or begins_line(line):
            blocks.append([])
        blocks[-1].append(_NEW_SENTENCE.sub(" ", line) if "://" not in line and "@" not in line else line)
        if line.lstrip().startswith("#"):
            blocks.append([])
    return [" ".join(" ".join(block).split()) for block in blocks if any(map(str.strip, block))]


def _with_whole_quotations(sentences: list[str], limit: int) -> list[str]:
    """The sentences of one quotation (or bracket) together again, where that is short enough."""
    found: list[str] = []
    index = 0
    while index < len(sentences):
        whole, last = sentences[index], index
        while _is_open(whole) and last + 1 < len(sentences) and len(whole) < limit:
            last += 1
            whole = f"{whole} {sentences[last]}"
        if last > index and not _is_open(whole) and len(whole) <= limit:
            found.append(whole)
            index = last + 1
        else:
            found.append(sentences[index])
            index += 1
    return found


def _is_open(text: str) -> bool:
    """Whether a quotation or a bracket begins that does not end."""
    return text.count('"') % 2 == 1 or any(text.count(a) > text.count(b) for a, b in ("“”", "«»", "()", "[]"))


def _sentences(text: str) -> list[str]:
    sentences: list[str] = []
    start = 0
    for match in _BOUNDARY.finditer(text):
        if match.group(3) or _ends_sentence(text, start, match):
            sentences.append(text[start : match.end()].strip())
            start = match.end()
    return [*sentences, text[start:].strip()]


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    marks, after = match.group(1), text[match.end() :].lstrip()
    if marks == "!" and _COMPANY.match(after):
        return False  # Yahoo! Inc.
    following = after.lstrip("'\"“‘«([—- ")[:1]
    if not following:
        return True
    if following.islower():
        return False  # "What?" he said.
    if marks != ".":
        return True
    before = text[start : match.start()]
    word = re.search(r"[^\s(\[\"'“‘]*$", before)
    last = word.group() if word else ""
    bare = last.lower()
    if bare in english_words.TITLES and last[:1].isupper():
        # "Baker St. Then": a street's dot may close the sentence, a title's may not.
        return (
            bare == "st" and bool(re.search(r"[A-Z]\w*\s+St$", before)) and following.isupper() and _is_starter(after)
        )
    if bare in english_words.BEFORE_NUMBERS and following.isdigit():
        return False
    if bare in ("e.g", "i.e", "vs", "cf", "viz", "approx", "ca") or (last == "Rt" and after.startswith("Hon")):
        return False
    if last == "v" and re.search(r"[A-Z]\w*\.? v$", before):
        return False  # Smith v. Jones
    if bare == "al" and after.startswith("("):
        return False  # et al. (2020)
    if bare in _MEASURES and following.isdigit() and re.search(r"\d\s?\w+$", before):
        return False  # 6 ft. 2 in.
    if bare in english_words.ABBREVIATIONS or "." in bare:
        return bare == "etc" or (following.isupper() and _is_starter(after))
    if len(bare) <= 4 and bare[:3] in ("jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "oct", "nov", "dec"):
        return not following.isdigit()
    if len(last) == 1 and last.isupper() and last != "I":
        return _is_starter(after)  # an initial, unless a sentence plainly starts
    return not (last.isdigit() and before.strip() == last)  # "1. Open the door": the number of an item


def _is_starter(after: str) -> bool:
    """Whether a sentence plainly begins here: with a word that is capitalised only at a beginning."""
    word = re.match(r"\W*(\w+)", after)
    return word is not None and word.group(1).lower() in _STARTERS


def _cut(sentence: str, limit: int) -> list[str]:
    """A sentence in pieces of at most `limit` characters, cut where a reader would breathe and about evenly."""
    pieces: list[str] = []
    while len(sentence) > limit:
        count = -(-len(sentence) // limit)
        target = len(sentence) / count
        best, best_cost = limit, float("inf")
        for pattern, cost in _BREAKS:
            for match in re.finditer(pattern, sentence[: limit + 1]):
                place = match.end() if match.end() <= limit else match.start()
                if (
                    place
                    and (total := cost + abs(place - target) / limit) < best_cost
                    and _may_end(sentence, place, cost)
                ):
                    best, best_cost = place, total
        pieces.append(sentence[:best].strip())
        sentence = sentence[best:].strip()
    return [*pieces, sentence]


def _may_end(sentence: str, place: int, cost: float) -> bool:
    """Whether a piece may end here: not after "the" or "Dr.", not between a number and what it counts."""
    if cost > 1:
        return True
    before = sentence[:place].rstrip()
    word = re.search(r"[^\s]*$", before)
    last = word.group().lower().strip("\"'“”’()[],") if word else ""
    if cost == 0 and last.endswith("."):
        return _ends_sentence(sentence, 0, match) if (match := _BOUNDARY.search(sentence, len(before) - 1)) else False
    return last.rstrip(".") not in _LEADS_ON and not (last[-1:].isdigit() and cost > 0.2)


def _limit_for_digits(piece: str, limit: int) -> int:
    """The limit for a piece, lower where its digits make far more words than it has characters."""
    said = len(piece) + _DIGIT_LETTERS * sum(map(str.isdigit, piece))
    return limit if said <= 1.5 * limit else max(20, limit * len(piece) // said)
