"""What is finished in a corpus folder, with the checksum of every file, safe against a kill at any moment.

Owns `checksums.json` and the journal that stands in for it while a run is at work. A file counts as finished when it is
listed and has the size that is listed; its checksum is taken of the bytes as they were computed, so that it tells
damage on the disk. Knows nothing of what the files hold.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..saving import replacing, write_json

CHECKSUMS = "checksums.json"
JOURNAL = ".journal.jsonl"


class Journal:
    """The files of a corpus; only one process has it open for writing (the folder is held)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, dict[str, Any]] = read_checksums(folder) if (folder / CHECKSUMS).is_file() else {}
        self._digests: dict[tuple[str, int], list[str]] = {}
        self._path = folder / JOURNAL
        before = self._path.read_bytes() if self._path.is_file() else b""
        if before[-1:] not in (b"", b"\n"):
            self._append_text("\n")  # a line that a kill cut short must not swallow the next
        for line in before.splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # the line that a kill cut short: its file is done again
            if "digests" in row:
                self._digests[row["source"], row["shard"]] = row["digests"]
            else:
                self._known[row["file"]] = {"sha256": row["sha256"], "bytes": row["bytes"]}

    def has(self, name: str) -> bool:
        """Whether a file is there as it was written, by its size."""
        known, path = self._known.get(name), self._folder / name
        return known is not None and path.is_file() and path.stat().st_size == known["bytes"]

    def write(self, name: str, content: bytes) -> None:
        """Write a file and then list it."""
        path = self._folder / name
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as temporary, temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())  # the name must not come before the content, even when the machine stops
        self._known[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        self._append({"file": name, **self._known[name]})

    def digests(self, source: str, shard: int) -> list[str] | None:
        """What was heard in a shard's recordings, if it was kept."""
        return self._digests.get((source, shard))

    def keep_digests(self, source: str, shard: int, digests: list[str]) -> None:
        self._digests[source, shard] = digests
        self._append({"source": source, "shard": shard, "digests": digests})

    def finish(self, wanted: Callable[[str], bool]) -> None:
        """Put `checksums.json` in the journal's place.

        Args:
            wanted: whether a file belongs to the corpus; others are not listed.
        """
        files = {name: self._known[name] for name in sorted(self._known) if wanted(name)}
        write_json(self._folder / CHECKSUMS, {"format": 1, "files": files})
        self._path.unlink(missing_ok=True)

    def _append(self, row: Mapping[str, Any]) -> None:
        self._append_text(json.dumps(row) + "\n")

    def _append_text(self, text: str) -> None:
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(text)


def read_checksums(folder: Path) -> dict[str, dict[str, Any]]:
    """Name below the folder to sha256 and size of every file that a finished corpus lists.

    Raises:
        ValueError: no such file, or one that this version does not read.
    """
    path = folder / CHECKSUMS
    if not path.is_file():
        raise ValueError(f"{folder}: an unfinished corpus (no {CHECKSUMS}); start the same `aoede prepare` again")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return dict(values["files"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: damaged; delete it and start the same `aoede prepare` again") from None
