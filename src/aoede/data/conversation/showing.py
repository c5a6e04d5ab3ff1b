"""A file of conversations as a person reads it: every turn with its role, length, words, and whether it is trained.

Owns the lengths of turns and the lines of text. The page with players is `page.py`'s.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..audio import AudioReader
from ..codefile import check_code_file, is_code_file
from ..codes import clip_seconds
from .messages import Conversation, Message, Sound


class Lengths:
    """Seconds of sounds; keeps what it has read of prepared folders."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, float]] = {}

    def of(self, sound: Sound) -> float | None:
        """None for inline codes, whose codec nobody knows, and for files that cannot be read."""
        if sound.prepared is not None:
            if sound.prepared not in self._folders:
                self._folders[sound.prepared] = clip_seconds(sound.prepared)
            return self._folders[sound.prepared].get(sound.id or "")
        if sound.path is None:
            return None
        try:
            if is_code_file(sound.path):
                size = check_code_file(sound.path)
                return size.num_samples / size.info.sample_rate
            with AudioReader(sound.path) as reader:
                return reader.info.seconds
        except (ValueError, OSError):
            return None  # told where the sound is asked for: on the page, or by `aoede prepare`


def overview(path: str | os.PathLike[str], conversations: Sequence[Conversation]) -> str:
    """One line on a whole file."""
    turns = sum(len(one.messages) for one in conversations)
    trained = sum(sum(one.training_mask) for one in conversations)
    roles = {message.role for one in conversations for message in one.messages}
    silent = sum(message.sound is None for one in conversations for message in one.messages)
    rest = f", {silent:,} without audio" if silent else ""
    return (
        f"{os.fspath(path)}  {len(conversations):,} conversations, {turns:,} turns ({trained:,} trained, "
        f"{turns - trained:,} context{rest}), {len(roles):,} roles"
    )


def shown(conversations: Sequence[Conversation], lengths: Lengths | None = None) -> str:
    """Conversations as text, a line a turn."""
    lengths = lengths or Lengths()
    width = max((len(message.role) for one in conversations for message in one.messages), default=0)
    blocks = []
    for one in conversations:
        head = "  ".join(filter(None, (line_words(one), one.id, one.split, one.language)))
        turns = []
        for message, is_trained in zip(one.messages, one.training_mask, strict=True):
            mask, length = "trained" if is_trained else "context", _length(message, lengths)
            turns.append(f"  {mask}  {message.role:<{width}}  {length:>8}  {_text(message)}")
        blocks.append("\n".join([head, *turns]))
    return "\n\n".join(blocks)


def line_words(conversation: Conversation) -> str:
    """`line 3` of `talks.jsonl line 3`."""
    _, found, number = conversation.where.rpartition(" line ")
    return f"line {number}" if found else conversation.where


def _length(message: Message, lengths: Lengths) -> str:
    if message.sound is None:
        return "no audio"
    seconds = lengths.of(message.sound)
    if seconds is not None:
        return f"{seconds:.1f} s"
    return "codes" if message.sound.codes is not None else "?"


def _text(message: Message) -> str:
    return " ".join(message.text.split()) or "(no text)"
