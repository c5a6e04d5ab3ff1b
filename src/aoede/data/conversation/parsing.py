"""One conversation out of JSON, with the field of every mistake.

Owns what a conversation may hold. Opens no sound file, but says where one is missing; whether codes fit a codec is
`sounds.py`'s business, whether a turn fits a model the processor's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from ..codes import clip_seconds
from .messages import Conversation, Message, Sound

KEYS = ("messages", "training_mask", "id", "split", "source", "language")
MESSAGE_KEYS = ("role", "content")
TEXT_KEYS = ("type", "text")
AUDIO_KEYS = ("type", "url", "path", "codes", "prepared", "id")
TYPES = ("text", "audio")


class ConversationError(ValueError):
    """A conversation that cannot be used: where it stands, the field, and what is wrong with it."""

    def __init__(self, where: str, field: str, reason: str) -> None:
        super().__init__(f"{where}: {field}: {reason}" if field else f"{where}: {reason}")
        self.where, self.field, self.reason = where, field, reason


def parse_conversation(
    row: Any,
    where: str,
    folder: str | os.PathLike[str] = ".",
    *,
    placeholders: bool = False,
    folders: dict[str, frozenset[str]] | None = None,
) -> Conversation:
    """One conversation as JSON has it: a mapping with `messages`, or the messages alone.

    Args:
        where: where it stands, for errors.
        folder: relative paths start here.
        placeholders: allow `{"type": "audio"}` alone, whose sound the caller gives.
        folders: ids of prepared folders that were looked up before; filled.
    Raises:
        ConversationError: anything wrong, with the field.
    """
    if isinstance(row, Sequence) and not isinstance(row, str | bytes):
        row = {"messages": row}
    parser = _Parser(where, Path(folder), placeholders, {} if folders is None else folders)
    return parser.conversation(row)


class _Parser:
    """The checks of one conversation."""

    def __init__(self, where: str, folder: Path, placeholders: bool, folders: dict[str, frozenset[str]]) -> None:
        self.where, self.folder, self.placeholders, self.folders = where, folder, placeholders, folders

    def bad(self, field: str, reason: str) -> NoReturn:
        raise ConversationError(self.where, field, reason)

    def conversation(self, row: Any) -> Conversation:
        if not isinstance(row, Mapping):
            self.bad("", f"a JSON object with 'messages' is expected, not {_kind(row)}")
        self.keys(row, KEYS, "")
        given = row.get("messages")
        if not isinstance(given, Sequence) or isinstance(given, str):
            self.bad("messages", f"a list of turns is expected, not {_kind(given)}")
        if not given:
            self.bad("messages", "the list is empty; a conversation has at least one turn")
        messages = tuple(self.message(message, f"messages[{index}]") for index, message in enumerate(given))
        words = {}
        for name in ("id", "split", "source", "language"):
            value = row.get(name)
            if isinstance(value, bool) or not isinstance(value, str | int | None):
                self.bad(name, f"{value!r} is {_kind(value)}; text is expected")
            words[name] = "" if value is None else str(value)
        mask = self.mask(row.get("training_mask"), messages)
        return Conversation(messages=messages, training_mask=mask, where=self.where, **words)

    def mask(self, given: Any, messages: Sequence[Message]) -> tuple[bool, ...]:
        if given is None:  # every turn that can be trained is
            return tuple(bool(message.text) and message.sound is not None for message in messages)
        if not isinstance(given, Sequence) or isinstance(given, str):
            self.bad("training_mask", f"a list of true and false is expected, not {_kind(given)}")
        if len(given) != len(messages):
            counts = _count(len(given), "entry", "entries"), _count(len(messages), "turn", "turns")
            self.bad("training_mask", f"{counts[0]} for {counts[1]}; it has one a turn")
        for index, value in enumerate(given):
            if value not in (0, 1) or not isinstance(value, bool | int):
                self.bad(f"training_mask[{index}]", f"{value!r} is neither true nor false")
            lacking = "audio" if messages[index].sound is None else "text" if not messages[index].text else ""
            if value and lacking:
                remedy = f"give messages[{index}] its {lacking}, or write false"
                self.bad(f"training_mask[{index}]", f"true, but that turn has no {lacking} to train on; {remedy}")
        return tuple(map(bool, given))

    def message(self, given: Any, field: str) -> Message:
        if not isinstance(given, Mapping):
            self.bad(field, f"an object with 'role' and 'content' is expected, not {_kind(given)}")
        self.keys(given, MESSAGE_KEYS, field)
        role = given.get("role")
        if isinstance(role, int) and not isinstance(role, bool):
            role = str(role)
        if not isinstance(role, str) or not role.strip():
            self.bad(f"{field}.role", f'{role!r} names nobody; write who speaks, such as "0" or "ann"')
        content = given.get("content")
        if isinstance(content, str):  # as text-only chats have it
            content = [{"type": "text", "text": content}]
        if not isinstance(content, Sequence):
            self.bad(f"{field}.content", f"a list of text and audio is expected, not {_kind(content)}")
        texts: list[str] = []
        sound: Sound | None = None
        for index, entry in enumerate(content):
            here = f"{field}.content[{index}]"
            kind = self.type_of(entry, here)
            if kind == "text":
                if sound is not None:
                    self.bad(here, "text behind the audio of its turn; write what is said before how it sounds")
                texts.append(self.text(entry, here))
            elif sound is not None:
                self.bad(here, "a second audio in one turn; give it a turn of its own")
            else:
                sound = self.sound(entry, here)
        if not texts and sound is None:
            self.bad(f"{field}.content", "an empty turn, without text and without audio; leave the turn out")
        return Message(role=role, text=" ".join(texts), sound=sound)

    def type_of(self, entry: Any, field: str) -> str:
        if not isinstance(entry, Mapping):
            self.bad(field, f"an object with 'type' is expected, not {_kind(entry)}")
        kind = entry.get("type")
        if kind not in TYPES:
            near = get_close_matches(str(kind), TYPES, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else "; it is 'text' or 'audio'"
            self.bad(
                f"{field}.type",
                f"unknown content type {kind!r}{hint}" if "type" in entry else "missing; it is 'text' or 'audio'",
            )
        self.keys(entry, TEXT_KEYS if kind == "text" else AUDIO_KEYS, field)
        return str(kind)

    def text(self, entry: Mapping[str, Any], field: str) -> str:
        text = entry.get("text")
        if not isinstance(text, str):
            self.bad(f"{field}.text", f"{text!r} is {_kind(text)}; text is expected")
        if not text.strip():
            self.bad(f"{field}.text", "empty; leave the entry out where nobody knows what is said")
        return text

    def sound(self, entry: Mapping[str, Any], field: str) -> Sound:
        sources = [key for key in ("url", "path", "codes", "prepared") if entry.get(key) is not None]
        if "id" in entry and "prepared" not in sources:
            self.bad(f"{field}.id", "goes with 'prepared', the folder of codes in which it names a clip")
        if len(sources) > 1:
            self.bad(field, f"{' and '.join(sources)} at once; one of them says where the audio is")
        if not sources:
            if self.placeholders:
                return Sound()
            self.bad(field, "missing audio: give its 'url' or 'path', its 'codes', or 'prepared' and 'id'")
        (source,) = sources
        if source == "codes":
            return Sound(codes=self.codes(entry["codes"], f"{field}.codes"))
        value = entry[source]
        if not isinstance(value, str) or not value.strip():
            self.bad(f"{field}.{source}", f"{value!r} is no path")
        if source == "prepared":
            return self.clip(value, entry.get("id"), field)
        path = self.local(value, f"{field}.{source}") if source == "url" else value
        place = os.path.normpath(self.folder.absolute() / Path(path).expanduser())
        if not os.path.isfile(place):
            reason = "a folder" if os.path.isdir(place) else "no such file"
            self.bad(f"{field}.{source}", f"missing audio: {place}: {reason} (relative paths start beside the file)")
        return Sound(path=place)

    def local(self, url: str, field: str) -> str:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ftp", "s3", "gs", "hf", "data"):
            self.bad(field, f"{url[:80]} is not on this machine; download it and write its path")
        return unquote(parts.path) if parts.scheme == "file" else url

    def clip(self, value: str, name: Any, field: str) -> Sound:
        if not isinstance(name, str) or not name:
            self.bad(f"{field}.id", f"{name!r} names no clip of the prepared folder")
        folder = os.path.normpath(self.folder.absolute() / Path(value).expanduser())
        if folder not in self.folders:
            try:
                self.folders[folder] = frozenset(clip_seconds(folder))
            except ValueError as error:
                self.bad(f"{field}.prepared", str(error))
        if name not in self.folders[folder]:
            self.bad(f"{field}.id", f"missing audio: no clip '{name}' in {folder}")
        return Sound(prepared=folder, id=name)

    def codes(self, given: Any, field: str) -> tuple[NDArray[np.uint16], ...]:
        if not isinstance(given, Sequence) or isinstance(given, str) or not given:
            self.bad(field, "one list of codes a level is expected, coarsest first")
        levels = []
        for index, level in enumerate(given):
            here = f"{field}[{index}]"
            if not isinstance(level, Sequence | np.ndarray) or isinstance(level, str) or not len(level):
                self.bad(here, "a list of codes is expected, at least one frame long")
            wrong = next((c for c in level if isinstance(c, bool) or not isinstance(c, int | np.integer)), None)
            if wrong is not None:
                self.bad(here, f"{wrong!r} is no code; codes are whole numbers")
            if min(level) < 0 or max(level) > 65_535:
                self.bad(here, f"code {min(level) if min(level) < 0 else max(level)} is outside 0..65535")
            levels.append(np.asarray(level, dtype=np.uint16))
        return tuple(levels)

    def keys(self, given: Mapping[str, Any], known: Sequence[str], field: str) -> None:
        for key in given:
            if key not in known:
                near = get_close_matches(str(key), known, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
                self.bad(f"{field}.{key}" if field else str(key), f"unknown key; {hint}")


_KINDS: dict[type, str] = {
    type(None): "nothing",
    str: "text",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    int: "a number",
    float: "a number",
}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
