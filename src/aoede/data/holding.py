"""One process at a time in a folder, and one plan. Owns the lock on it, the clearing of what a killed run left half
written, and the refusal to go on with what was begun otherwise."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .saving import write_json


@contextmanager
def holding(folder: Path, verb: str) -> Iterator[None]:
    """Hold a folder against a second run; the hold ends with the process, however it ends.

    Args:
        verb: what the second run is told is at work, such as `aoede prepare`.
    Raises:
        ValueError: another process holds it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{folder}: another `{verb}` is writing there; wait for it, or stop it") from None
        yield
    finally:
        os.close(handle)


def clear_leftovers(folder: Path) -> None:
    """Remove the files that a killed run was writing, in this folder and below; only while it is held."""
    for leftover in folder.rglob(".*.tmp"):
        leftover.unlink()


def hold_to_plan(path: Path, plan: Mapping[str, Any], words: Mapping[str, str], foreign: str = "") -> None:
    """Write the plan that a folder is made by, first of all, or compare it with the one it was begun with.

    Args:
        path: of the plan, in the folder.
        words: the keys that are compared, and what to call another value of each.
        foreign: what a folder without a plan holds although no run began it; empty where there is no such thing.
    Raises:
        ValueError: another plan (names what differs), or a folder of something else.
    """
    folder = path.parent
    if not path.exists():
        if foreign:
            raise ValueError(f"{folder}: holds {foreign}; give another folder")
        write_json(path, plan)
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    for key, what in words.items():
        if before.get(key) != plan[key]:
            raise ValueError(
                f"{folder}: was begun with {what}: {key} was {before.get(key)} and is {plan[key]}; "
                "give another folder, or delete this one to begin anew"
            )
