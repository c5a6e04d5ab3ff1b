"""Conversations as values: turns of several speakers with their texts and sounds, and which of them are trained.

Owns `Sound`, `Message` and `Conversation`, and how they are written as JSON. What a file may hold is checked by
`reading.py`; where a sound's codes come from is `sounds.py`'s business.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Sound:
    """Where the sound of a turn is: a file, codes, a clip of a prepared folder. None of them: the caller gives it."""

    path: str | None = None
    """Absolute path of a sound file, or of a `.snac` file of codes."""

    codes: tuple[NDArray[np.uint16], ...] | None = None
    """One [T_k] a level."""

    prepared: str | None = None
    """Absolute path of a folder that `aoede prepare` wrote."""

    id: str | None = None
    """Of the clip in that folder."""

    @property
    def is_placeholder(self) -> bool:
        return self.path is None and self.codes is None and self.prepared is None

    @property
    def name(self) -> str:
        """For messages to a person."""
        if self.path is not None:
            return self.path
        if self.prepared is not None:
            return f"{self.id} in {self.prepared}"
        return "inline codes" if self.codes is not None else "a placeholder"

    def to_dict(self, folder: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """As an entry of `content`; paths relative to `folder` where one is given."""

        def place(path: str) -> str:
            return path if folder is None else os.path.relpath(path, folder)

        entry: dict[str, Any] = {"type": "audio"}
        if self.path is not None:
            entry["path"] = place(self.path)
        elif self.prepared is not None:
            entry |= {"prepared": place(self.prepared), "id": self.id}
        elif self.codes is not None:
            entry["codes"] = [level.tolist() for level in self.codes]
        return entry


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn."""

    role: str
    """Who speaks."""

    text: str = ""
    """What is said; empty where nobody knows."""

    sound: Sound | None = None
    """How it sounds; None in a turn that is still to be spoken, or that was only written."""

    def to_dict(self, folder: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "text", "text": self.text}] if self.text else []
        if self.sound is not None:
            content.append(self.sound.to_dict(folder))
        return {"role": self.role, "content": content}


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """Turns in order, and which of them a model is trained to speak."""

    messages: tuple[Message, ...]
    training_mask: tuple[bool, ...]
    """One a turn; the others are context."""

    id: str = ""
    split: str = ""
    source: str = ""
    language: str = ""
    """Empty where the file does not say."""

    where: str = ""
    """Where it stands, in words (`talks.jsonl line 3`)."""

    @property
    def name(self) -> str:
        """For messages to a person: where it stands, else its id."""
        return self.where or self.id or "a conversation"

    @property
    def has_trained_turn(self) -> bool:
        return any(self.training_mask)

    def to_dict(self, folder: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """As a line of a file; paths relative to `folder` where one is given."""
        known = {name: getattr(self, name) for name in ("id", "split", "source", "language")}
        return {
            **{name: value for name, value in known.items() if value},
            "messages": [message.to_dict(folder) for message in self.messages],
            "training_mask": list(self.training_mask),
        }


def cloning_prompt(
    reference: Sound | str | os.PathLike[str] | Sequence[ArrayLike],
    reference_text: str,
    text: str,
    *,
    role: str = "0",
) -> Conversation:
    """A prompt to say a text in the voice of a recording: the recording as an earlier turn of the same role.

    Args:
        reference: the recording: a sound or `.snac` file, or its codes, one [T_k] a level.
        reference_text: what is said in it, word for word.
        text: what is to be said.
    Raises:
        ValueError: one of the texts is empty.
    """
    for name, value in (("reference_text", reference_text), ("text", text)):
        if not value.strip():
            raise ValueError(f"{name} is empty: a voice is cloned from a recording and its text, to say another text")
    if isinstance(reference, str | os.PathLike):
        reference = Sound(path=os.path.abspath(reference))
    elif not isinstance(reference, Sound):
        reference = Sound(codes=tuple(np.asarray(level).reshape(-1) for level in reference))
    turns = (Message(role=role, text=reference_text, sound=reference), Message(role=role, text=text))
    return Conversation(messages=turns, training_mask=(False, False), id="cloning prompt")
