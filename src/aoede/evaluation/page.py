"""Pages that need no other file: the frame of every report's page, and the pieces that are the same in all of them.

Owns head, cards, sections, choices, notes. Knows nothing of what is reported: sections of sounds are
`report_sections.py`'s, looks and behaviour `page_style.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from aoede.evaluation.page_style import SCRIPT, STYLE
from aoede.evaluation.page_tables import table

__all__ = ["bar", "card", "choice", "chosen_part", "details", "document", "failures", "how", "missing", "swatch"]


def document(title: str, lead: str, cards: Sequence[str], note: str, sections: Sequence[tuple[str, str, str]]) -> str:
    """The page.

    Args:
        title: plain text; all others are HTML.
        lead: the sentence under the title.
        cards: see `card`.
        note: under the cards.
        sections: (id, title, body) each; one without a body is left out.
    """
    shown = [(name, heading, body) for name, heading, body in sections if body]
    links = "".join(f'<a href="#{name}">{heading}</a>' for name, heading, _ in shown)
    body = "".join(f'<section id="{name}"><h2>{heading}</h2>{part}</section>' for name, heading, part in shown)
    skip = f'<a class="skip" href="#{shown[0][0]}">To the figures</a>' if shown else ""
    listed = f'<ul class="cards">{"".join(cards)}</ul>' if cards else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{skip}"
        f'<header><h1>{escape(title)}</h1><p class="quiet">{lead}</p>{listed}{note}</header>'
        f'<nav aria-label="Sections"><div>{links}</div></nav><main>{body}</main>'
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def card(index: int, name: str, headline: str, facts: Sequence[tuple[str, str]]) -> str:
    """What is compared, by its colour, with its foremost figure and some facts; all plain text."""
    rows = "".join(f"<dt>{escape(term)}</dt><dd>{escape(value)}</dd>" for term, value in facts)
    return (
        f'<li class="s{index % 6}"><b>{escape(name)}</b><div class="rate">{escape(headline)}</div><dl>{rows}</dl></li>'
    )


def choice(group: str, legend: str, names: Sequence[str], chosen: str) -> str:
    """A choice of one of several; shows what has `data-pick="pick-GROUP"` and the `data-value` chosen."""
    choices = "".join(
        f'<label><input type="radio" name="{group}" value="{escape(name)}"{" checked" * (name == chosen)}>'
        f"{escape(name)}</label>"
        for name in names
    )
    return f'<fieldset class="pick" id="pick-{group}" hidden><legend>{escape(legend)}</legend>{choices}</fieldset>'


def chosen_part(group: str, value: str, body: str) -> str:
    """What is shown when `value` is chosen."""
    return f'<div class="scroll" data-pick="pick-{group}" data-value="{escape(value)}">{body}</div>'


def missing(unavailable: Sequence[tuple[str, str]], other: Sequence[str] = ()) -> str:
    """A note of what was not measured and why (plain text), and of other things a reader must know (HTML)."""
    html = ""
    if unavailable:
        items = "".join(f"<li><b>{escape(name)}</b>: {escape(why)}</li>" for name, why in unavailable)
        html = f'<div class="note">Not measured here:<ul>{items}</ul></div>'
    return html + "".join(f'<div class="note">{words}</div>' for words in other)


def how(settings: Mapping[str, str], heading: str, meanings: Sequence[tuple[str, str]]) -> str:
    """Settings, and what names mean; plain text."""
    rows = [[escape(name), f'<td class="words">{escape(value)}</td>'] for name, value in settings.items()]
    items = "".join(f"<li><b>{escape(name)}</b>: {escape(meaning)}</li>" for name, meaning in meanings)
    return table(["", ""], rows, "Settings") + f"<h3>{escape(heading)}</h3><ul>{items}</ul>"


def failures(found: Sequence[tuple[str, str]]) -> str:
    """What could not be measured."""
    if not found:
        return ""
    rows = [[escape(name), f'<td class="words">{escape(why)}</td>'] for name, why in found]
    return f"<h3>What could not be measured ({len(rows)})</h3>" + table(["clip", "why"], rows, "Failures")


def details(summary: str, body: str) -> str:
    """What opens when asked for."""
    return f"<details><summary>{summary}</summary>{body}</details>"


def swatch(index: int, words: str) -> str:
    """The colour of what is compared, and its name."""
    return f'<span class="s{index % 6}">■</span> {escape(words)}'


def bar(index: int, share: float) -> str:
    """A share of 0 to 1, drawn."""
    inside = f'<i style="width:{min(max(share, 0), 1):.1%}"></i>'
    return f'<span class="s{index % 6}"><span class="bar" aria-hidden="true">{inside}</span></span>'
