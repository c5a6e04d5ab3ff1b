"""Scripts: the turns of a dialogue, from Python values or a JSONL file, one turn a line.

Owns what a turn is and the words for what is wrong with one. Knows nothing of voices.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from aoede.generation.given import Recording


@dataclass(frozen=True, kw_only=True, eq=False)
class Turn:
    """What one speaker says."""

    text: str
    """What is said; where there is a recording, what is said in it, word for word."""

    speaker: str | None = None
    """Who; None is the voice's default speaker."""

    audio: Recording | None = None
    """A recording of the turn: it is heard by the turns after it and not spoken. In a file the path of one, which
    starts beside the file."""

    pause: float | None = None
    """Seconds of silence after it; None: as between turns."""

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError("text is empty: write what is said, or leave the turn out")
        if self.pause is not None and not (0 <= self.pause <= 60 and math.isfinite(self.pause)):
            raise ValueError(f"pause is {self.pause}; it is 0 to 60 seconds")
        if self.pause is not None and self.audio is not None:
            raise ValueError("pause goes with turns that are spoken; this one is a recording")


TurnLike = Turn | Mapping[str, Any] | tuple[str | None, str]
"""A turn, a mapping with its fields, or (speaker, text)."""


def as_turns(given: Sequence[TurnLike]) -> list[Turn]:
    """Turns from what a caller may write.

    Raises:
        ValueError: no turn, or one that cannot be used (names it and the field).
    """
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        raise ValueError('turns are a list, such as [("ann", "Hello."), ("bob", "Hi.")]')
    if not given:
        raise ValueError("a dialogue without turns; give at least one")
    return [_turn(turn, f"turn {number}", None) for number, turn in enumerate(given, 1)]


def load_script(path: str | os.PathLike[str]) -> list[Turn]:
    """The turns of a file: one JSON object a line, such as {"speaker": "ann", "text": "Hello."}.

    Raises:
        ValueError: no such file, no turn, or a line that cannot be used (names line and field).
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f'{file}: no such script; it is a file of lines like {{"speaker": "ann", "text": "Hi."}}')
    turns = []
    for number, raw in enumerate(file.read_bytes().splitlines(), 1):
        if not raw.strip():
            continue
        where = f"{file} line {number}"
        try:
            value = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{where} is not UTF-8: {error}") from error
        except json.JSONDecodeError as error:
            raise ValueError(f"{where} is not JSON: {error.msg} at character {error.pos + 1}") from error
        if not isinstance(value, Mapping):
            raise ValueError(f'{where}: a turn is an object, such as {{"speaker": "ann", "text": "Hello."}}')
        turns.append(_turn(value, where, file.parent))
    if not turns:
        raise ValueError(f"{file} holds no turn; write one a line")
    return turns


def _turn(given: Any, where: str, folder: Path | None) -> Turn:
    """One turn; `folder` is where the paths of a file start, None for values of Python."""
    if isinstance(given, Turn):
        return given
    if isinstance(given, tuple | list) and len(given) == 2:
        given = {"speaker": given[0], "text": given[1]}
    if not isinstance(given, Mapping):
        raise ValueError(f"{where} is {type(given).__name__}; it is (speaker, text), or a mapping with these keys")
    known = [field.name for field in fields(Turn)]
    if unknown := sorted(map(str, set(given) - set(known))):
        raise ValueError(f"{where}: unknown key {', '.join(unknown)}; known: {', '.join(known)}")
    values = dict(given)
    speaker, text, pause = values.get("speaker"), values.get("text"), values.get("pause")
    if isinstance(speaker, int) and not isinstance(speaker, bool):
        values["speaker"] = speaker = str(speaker)  # as conversations of numbered speakers have it
    if not isinstance(speaker, str | None):
        raise ValueError(f"{where}: speaker is {speaker!r}; it is a name")
    if not isinstance(text, str):
        raise ValueError(f"{where}: text is {text!r}; write what is said")
    if isinstance(pause, bool) or not isinstance(pause, int | float | None):
        raise ValueError(f"{where}: pause is {pause!r}; it is a number of seconds")
    if folder is not None and values.get("audio") is not None:
        if not isinstance(values["audio"], str):
            raise ValueError(f"{where}: audio is {values['audio']!r}; it is the path of a recording")
        audio = values["audio"] = folder / values["audio"]
        if not audio.is_file():
            raise ValueError(f"{where}: audio: {audio}: no such file (paths start beside the script)")
    try:
        return Turn(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
