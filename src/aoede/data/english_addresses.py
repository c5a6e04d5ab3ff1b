"""Addresses of English in words: e-mail, web, files and folders, hashtags and names with an at sign.

Owns what counts as one and how its marks are called. Nothing here reads numbers.
"""

from __future__ import annotations

import re

from aoede.data import english_words as words

_FILE = rf"(?:~?/)?\b[\w-]+(?:[./][\w-]+)*\.(?:{'|'.join(words.FILE_SUFFIXES)})\b(?!\.?\w)"
_SITE = rf"\b[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:{'|'.join(map(re.escape, words.SUFFIXES))})\b(?:/[\w./-]*\w)?(?!\.?\w)"


def addresses(text: str) -> str:
    """Every address in a text with its marks as words."""
    text = re.sub(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", _spoken, text)
    text = re.sub(r"(?:https?|ftp)://[^\s<>,]*[^\s<>,.;:!?)'\]]|\bwww\.[^\s<>,]*[^\s<>,.;:!?)'\]]", _spoken, text)
    text = re.sub(_SITE, _spoken, text, flags=re.IGNORECASE)
    text = re.sub(r"\b[a-z][a-z0-9-]+\.(?:ly|be|me|gl|co|us|to|gg|it)/[\w/-]*\w", _spoken, text)
    text = re.sub(r"\b(localhost|\d+(?:\.\d+){3}):(?=\d{2,5}\b)", r"\1 colon ", text)
    text = re.sub(r"(?<!\S)(\.{1,2})(?=/)", lambda m: "dot " * len(m[1]), text)  # ./run, ../lib
    text = re.sub(_FILE, _spoken, text, flags=re.IGNORECASE)
    text = re.sub(r"\b([A-Za-z]):(?=\\)", r"\1 colon ", text)
    text = re.sub(r"(?<!\w)~(?=/)", "tilde ", text)
    text = re.sub(r"(?<!\S)\.NET\b", "dot NET", text)
    text = re.sub(r"(?<=/)\.(?=[A-Za-z])", " dot ", text)  # ~/.profile
    text = re.sub(rf"\b({'|'.join(words.NUMBERED)}):? #(?=[A-Z]*\d)", r"\1 number ", text, flags=re.IGNORECASE)
    text = re.sub(r"(?<!\w)#([A-Za-z]\w*)", _hashtag, text)
    return re.sub(r"(?<!\w)@(?=[A-Za-z])", "at ", text)


def _spoken(match: re.Match[str]) -> str:
    address = re.sub(r"^[a-z]+://", "", match.group(), flags=re.IGNORECASE).rstrip("/").replace("www", "w w w")
    return " ".join(re.sub(r"[^\w\s]|_", lambda mark: f" {words.IN_ADDRESS.get(mark.group(), '')} ", address).split())


def _hashtag(match: re.Match[str]) -> str:
    """Words that are told apart by their capitals are read apart."""
    return "hashtag " + re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", match[1])
