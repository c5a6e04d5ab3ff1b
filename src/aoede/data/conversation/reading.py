"""Conversation files: JSONL in, conversations out, each mistake with its line and field.

Owns lines: which are read, which are bad, what is told of them, how they are written. What a line may hold is
`parsing.py`'s.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .messages import Conversation
from .parsing import ConversationError, parse_conversation


@dataclass(frozen=True)
class ConversationScan:
    """What a file holds: the conversations that can be used, and a mistake for every line that cannot."""

    path: str
    conversations: list[Conversation]
    mistakes: list[ConversationError]


def load_conversations(path: str | os.PathLike[str], skip_bad: bool = False) -> list[Conversation]:
    """Read a file of conversations, keeping its order.

    Args:
        path: a `.jsonl` file, or a folder that `aoede prepare` made of one.
        skip_bad: leave bad lines out, with a warning that lists them, instead of raising.
    Raises:
        ValueError: a line that cannot be used (names line, field and remedy), or none that can.
    """
    return usable(scan_conversations(path), skip_bad, warn=True)


def usable(scan: ConversationScan, skip_bad: bool, *, warn: bool = False) -> list[Conversation]:
    """The conversations of a scan; bad lines are an error unless they are to be skipped."""
    if scan.mistakes and not skip_bad:
        more = len(scan.mistakes) - 1
        rest = f" ({more} more bad {'line' if more == 1 else 'lines'}; --skip-bad leaves them out and lists them)"
        first = scan.mistakes[0]
        raise ConversationError(first.where, first.field, first.reason + (rest if more else ""))
    if not scan.conversations:
        first_mistake = (
            f"; all {len(scan.mistakes)} lines are bad, the first: {scan.mistakes[0]}" if scan.mistakes else ""
        )
        raise ValueError(f"{scan.path}: no conversations{first_mistake}")
    if scan.mistakes and warn:
        listed = "".join(f"\n  {mistake}" for mistake in scan.mistakes)
        warnings.warn(f"{scan.path}: {len(scan.mistakes)} bad lines are left out:{listed}", stacklevel=3)
    return scan.conversations


def scan_conversations(path: str | os.PathLike[str]) -> ConversationScan:
    """Read a whole file of conversations, bad lines and all.

    Raises:
        ValueError: there is no such file.
    """
    file = conversation_file(path)
    found: list[Conversation] = []
    mistakes: list[ConversationError] = []
    seen: dict[str, str] = {}
    folders: dict[str, frozenset[str]] = {}
    with file.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            if not raw.strip():
                continue
            where = f"{file} line {number}"
            try:
                conversation = parse_conversation(_row(raw, number, where), where, file.parent, folders=folders)
                if conversation.id and conversation.id in seen:
                    reason = f"'{conversation.id}' was used before, at {seen[conversation.id]}; ids are unique"
                    raise ConversationError(where, "id", reason)
            except ConversationError as mistake:
                mistakes.append(mistake)
                continue
            seen[conversation.id] = where
            found.append(conversation)
    return ConversationScan(os.fspath(path), found, mistakes)


def conversation_file(path: str | os.PathLike[str]) -> Path:
    """The file itself, of a file or of a folder of prepared conversations."""
    file = Path(path)
    if file.is_dir():
        folder, file = file, file / "conversations.jsonl"
        if not file.is_file():
            raise ValueError(
                f"{folder}: no prepared conversations; `aoede prepare CONVERSATIONS.jsonl {folder}` makes them"
            )
    if not file.is_file():
        raise ValueError(f"{file}: no such file of conversations")
    return file


def is_conversation_file(path: str | os.PathLike[str]) -> bool:
    """Whether the first object of a `.jsonl` file is a conversation: one with `messages`, unlike a manifest's rows."""
    if Path(path).suffix.lower() not in (".jsonl", ".json") or not Path(path).is_file():
        return False
    with open(path, "rb") as stream:
        for line in stream:
            try:
                row = json.loads(line)
            except ValueError:  # an empty line, or a bad one, which is told when the file is read
                continue
            return isinstance(row, dict) and "messages" in row
    return False


def _row(raw: bytes, number: int, where: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        row = dict(pairs)
        if len(row) != len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ConversationError(where, twice, "this key stands twice in one object")
        return row

    try:
        return json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"), object_pairs_hook=once)
    except UnicodeDecodeError as error:
        reason = f"byte {error.start + 1} is not UTF-8; convert the file with iconv -t UTF-8"
        raise ConversationError(where, "", reason) from None
    except json.JSONDecodeError as error:
        raise ConversationError(where, "", f"not JSON: {error.msg} at character {error.pos + 1}") from None


def lines_of(conversations: Sequence[Conversation], folder: str | os.PathLike[str]) -> Iterator[str]:
    """The lines of a file in `folder` that `load_conversations` reads back."""
    for conversation in conversations:
        yield json.dumps(conversation.to_dict(folder), ensure_ascii=False, separators=(", ", ": ")) + "\n"
