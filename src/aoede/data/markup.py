"""Markup that people paste: Markdown, HTML tags and entities, rules and bullets, signs made of several characters.

Owns what of it is not said, in every language. Knows nothing of words, numbers or sentences; `text.py` asks which lines
begin anew.
"""

from __future__ import annotations

import html
import re

__all__ = ["begins_line", "is_tag", "without_markup"]

_TAGS = [
    "a", "b", "i", "u", "s", "p", "em", "strong", "br", "hr", "div", "span", "code", "pre", "small", "big", "sub",
    "sup", "mark", "ins", "del", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "table", "tr", "td", "th",
    "thead", "tbody", "img", "blockquote", "q", "cite", "kbd", "html", "body", "head", "title", "font", "center",
    "section", "article", "header", "footer", "nav", "button",
]  # fmt: skip
_TAG = re.compile(rf"</?({'|'.join(_TAGS)})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_BREAKING = ("br", "hr", "p", "div", "li", "tr", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6")
_ENTITY = re.compile(r"&(?:#\d{1,6}|#[xX][0-9a-fA-F]{1,5}|[A-Za-z]{2,8}\d?);")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*(?:\s[\"'][^\"']*[\"'])?\)")
_RULE = re.compile(r"(?m)^[ \t]*[-|:=*_+#~ \t]*(?:[-=*_+#~][ \t]*){3}[-|:=*_+#~ \t]*$")
_BULLET = r"[ \t]*(?:#{1,6}|>+|[-*+•·‣▪●◦–—])[ \t]+(?:\[[ xX]\][ \t]+)?"
_ITEM = re.compile(rf"(?:{_BULLET}|[ \t]*(?:\d{{1,3}}[.)]|[a-zA-Z]\))[ \t]+)(?=\S)")
_SIGNS = {
    "<=>": "↔",
    "-->": "→",
    "->": "→",
    "==>": "→",
    "=>": "→",
    "<--": "←",
    "<-": "←",
    "<=": "≤",
    ">=": "≥",
    "!=": "≠",
    "==": "=",
}
_SIGN = re.compile(rf"(?<![<>=!-])(?:{'|'.join(map(re.escape, _SIGNS))})(?![<>=-])")


def without_markup(text: str) -> str:
    """A text without its markup; what stood in it stays, and lines stay lines."""
    text = _ENTITY.sub(lambda m: html.unescape(m.group()), text)
    text = _TAG.sub(lambda m: ", " if m[1].lower() in _BREAKING else " ", text)
    text = _LINK.sub(r"\1", text)
    text = _RULE.sub("", text)
    text = re.sub(rf"(?m)^{_BULLET}(?=\S)", "", text)
    text = re.sub(r"(?<![\w*])(\*{1,3})(?=[^\s*])(.+?)(?<=[^\s*])\1(?![\w*])", r"\2", text)
    text = re.sub(r"(?<!\w)(_{1,3})(?=[^\s_])(.+?)(?<=[^\s_])\1(?!\w)", r"\2", text)
    text = re.sub(r"~~(?=\S)(.+?)(?<=\S)~~", r"\1", text)
    text = re.sub(r"```\w*\n|`{2,}|(?<!\w)`|`(?!\w)", " ", text)
    text = re.sub(r"([=*#_~+])\1{2,}|-{4,}", " ", text)
    text = re.sub(r"([$€£&@%^])\1+", r"\1", text)
    return _SIGN.sub(lambda m: f" {_SIGNS[m.group()]} ", text).replace("|", ", ")


def begins_line(line: str) -> bool:
    """Whether a line is a heading, a quotation or an item of a list, and so no continuation of the line before."""
    return _ITEM.match(line) is not None or _RULE.match(line) is not None


def is_tag(event: str) -> bool:
    """Whether what looks like an event token ("<b>") is a tag of HTML."""
    return _TAG.fullmatch(event) is not None
