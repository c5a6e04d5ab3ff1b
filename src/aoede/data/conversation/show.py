"""What `aoede converse show` does: some conversations of a file, as text and as a page.

Owns which of them are shown. Lines are `showing.py`'s, the page is `page.py`'s.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..codefile import is_code_file
from ..inspection import open_codec
from .messages import Conversation
from .page import save_page
from .parsing import ConversationError
from .reading import scan_conversations, usable
from .showing import line_words, overview, shown

SHOWN = 10
"""Conversations that are shown where nobody says how many."""


@dataclass(frozen=True)
class Shown:
    """What is printed, and the bad lines that were left out."""

    text: str
    mistakes: list[ConversationError]


def show_file(
    path: str | os.PathLike[str],
    *,
    lines: Sequence[int] | None = None,
    limit: int | None = None,
    html: str | os.PathLike[str] | None = None,
    codec: str | None = None,
    skip_bad: bool = False,
) -> Shown:
    """Show conversations of a file or of a prepared folder.

    Args:
        lines: numbers of lines, from 1; None takes the first ones.
        limit: how many at most; None is `SHOWN`, or all lines that are named.
        html: also write a page with players there.
        codec: decodes turns that are codes; None is the bundled codec.
    Raises:
        ValueError: bad lines, a line without a conversation.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; at least one conversation is shown")
    scan = scan_conversations(path)
    conversations = usable(scan, skip_bad)
    chosen = conversations if lines is None else [_at(number, conversations, path) for number in lines]
    most = limit if limit is not None else len(chosen) if lines is not None else SHOWN
    part = chosen[:most]
    head = overview(path, conversations)
    text = f"{head}\n\n{shown(part)}"
    if len(part) < len(chosen):
        text += f"\n\n{len(chosen) - len(part):,} more are not shown; --limit N shows more, --line N another one"
    if html is not None:
        sounds = [message.sound for one in part for message in one.messages if message.sound is not None]
        are_codes = any(sound.path is None or is_code_file(sound.path) for sound in sounds)
        opened = open_codec(codec) if are_codes or codec is not None else None
        save_page(html, part, title=os.path.basename(os.fspath(path)) or os.fspath(path), summary=head, codec=opened)
        count = "1 conversation" if len(part) == 1 else f"{len(part):,} conversations"
        text += f"\n\nwritten {os.fspath(html)}: {count} with players"
    return Shown(text, scan.mistakes)


def _at(number: int, conversations: Sequence[Conversation], path: str | os.PathLike[str]) -> Conversation:
    for conversation in conversations:
        if line_words(conversation) == f"line {number}":
            return conversation
    raise ValueError(f"{os.fspath(path)}: no conversation in line {number}")
