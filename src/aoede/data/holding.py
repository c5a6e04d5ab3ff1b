"""One process at a time in a folder. Owns the lock on it and the clearing of what a killed run left half written."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
