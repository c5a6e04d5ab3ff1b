"""Rows of tables that may hold sound files inside them: Parquet and Hugging Face data sets.

Owns reading those bytes one clip at a time, so that a manifest of many hours stays small in memory. Knows nothing of
what the columns mean: `manifest.py` does.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class StoredAudio:
    """The bytes of a sound file that lie in a table, read when asked for.

    What the rows below give can be pickled: it says where the bytes lie, and each process opens the table once.
    """

    name: str
    """What to call it in messages, and the clip's id when it has no other."""

    read: Callable[[], bytes] = field(repr=False, compare=False)


def parquet_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows of a Parquet file; columns of bytes, alone or in an undecoded `Audio`, become `StoredAudio`."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: not a Parquet file: {error}") from None
    kinds = {entry.name: _holds_bytes(entry.type) for entry in file.schema_arrow}
    light = [name for name, heavy in kinds.items() if not heavy]
    place, changed = str(path.resolve()), path.stat().st_mtime_ns
    number = 0
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        small = file.read_row_group(group, columns=light).to_pylist() if light else [{} for _ in range(count)]
        heavy = {name: _paths(file, group, name, count) for name, is_heavy in kinds.items() if is_heavy}
        for index in range(count):
            number += 1
            row = dict(small[index])
            for name, paths in heavy.items():
                known, has_bytes = paths[index]
                if has_bytes:
                    label = known or f"{path.name} row {number}"
                    row[name] = StoredAudio(label, _ParquetCell(place, changed, group, name, index))
                else:
                    row[name] = known
            yield f"{path} row {number}", row


def is_saved_dataset(folder: Path) -> bool:
    """Whether `datasets.save_to_disk` wrote this folder, a data set or a dictionary of splits."""
    return any((folder / name).is_file() for name in ("dataset_info.json", "dataset_dict.json"))


def saved_rows(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows of a folder written by `datasets.save_to_disk`, a data set or a dictionary of splits."""
    datasets = _datasets()
    if not is_saved_dataset(folder):
        raise ValueError(f"{folder}: a folder, but not one that datasets.save_to_disk wrote; give a manifest file")
    yield from _dataset_rows(datasets, datasets.load_from_disk(str(folder)), str(folder), str(folder.resolve()))


def hub_rows(name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows of a data set on the hub, all its splits."""
    datasets = _datasets()
    try:
        found = datasets.load_dataset(name)
    except Exception as error:  # the hub's client raises a family of its own; the words are what helps
        raise ValueError(f"{name}: no such file, and as a data set of the hub: {error}") from error
    yield from _dataset_rows(datasets, found, name, name)


def _dataset_rows(datasets: Any, found: Any, place: str, opened_as: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    splits = found if isinstance(found, datasets.DatasetDict) else {None: found}
    for split, table in splits.items():
        heavy = [name for name, kind in table.features.items() if isinstance(kind, datasets.Audio)]
        for name in heavy:
            table = table.cast_column(name, datasets.Audio(decode=False))
        prefix = place if split is None else f"{place} {split}"
        for index, row in enumerate(table.remove_columns(heavy) if heavy else table):
            where = f"{prefix} row {index + 1}"
            row = dict(row)
            if split is not None:
                row.setdefault("split", str(split))
            for name in heavy:
                cell = _DatasetCell(opened_as, None if split is None else str(split), name, index)
                row[name] = _dataset_audio(table, cell, where)
            yield where, row


def _dataset_audio(table: Any, cell: _DatasetCell, where: str) -> StoredAudio | str | None:
    value = table.with_format("arrow")[cell.index].column(cell.name)[0]
    path = value["path"].as_py() if value.is_valid else None
    if value.is_valid and value["bytes"].is_valid:
        return StoredAudio(path or where, cell)
    return str(path) if path is not None else None


@dataclass(frozen=True)
class _DatasetCell:
    """Where in a data set the bytes of a sound file lie."""

    place: str
    split: str | None
    name: str
    index: int

    def __call__(self) -> bytes:
        return bytes(_undecoded(self.place, self.split, self.name)[self.index][self.name]["bytes"])


@functools.lru_cache(maxsize=4)
def _undecoded(place: str, split: str | None, name: str) -> Any:
    """A table of a data set with its sound left as bytes, opened once a process."""
    datasets = _datasets()
    found = datasets.load_from_disk(place) if Path(place).is_dir() else datasets.load_dataset(place)
    table = found if split is None else found[split]
    return table.cast_column(name, datasets.Audio(decode=False))


@dataclass(frozen=True)
class _ParquetCell:
    """Where in a Parquet file the bytes of a sound file lie."""

    path: str
    mtime_ns: int
    """Of the file when it was listed: a file written anew is opened anew."""

    group: int
    name: str
    index: int

    def __call__(self) -> bytes:
        return _row_groups(self.path, self.mtime_ns).read(self.group, self.name, self.index)


class _RowGroups:
    """Reads one column of one row group at a time and keeps the last, since clips are read in order."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._kept: tuple[int, str] | None = None
        self._column: Any = None

    def read(self, group: int, name: str, index: int) -> bytes:
        with self._lock:
            if self._kept != (group, name):
                self._column = self._file.read_row_group(group, columns=[name]).column(0)
                self._kept = (group, name)
            value = self._column[index].as_py()
        return bytes(value["bytes"] if isinstance(value, dict) else value)


@functools.lru_cache(maxsize=4)
def _row_groups(path: str, mtime_ns: int) -> _RowGroups:
    """A Parquet file's row groups, opened once a process."""
    import pyarrow.parquet as pq

    return _RowGroups(pq.ParquetFile(path))


def _holds_bytes(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _paths(file: Any, group: int, name: str, count: int) -> list[tuple[str | None, bool]]:
    """For each row of a column of bytes: the path beside the bytes if any, and whether there are bytes."""
    column = file.read_row_group(group, columns=[name]).column(0)
    found: list[tuple[str | None, bool]] = []
    for index in range(count):
        cell = column[index]
        if not cell.is_valid:
            found.append((None, False))
        elif hasattr(cell, "keys"):
            path = cell["path"].as_py() if "path" in cell.keys() else None  # noqa: SIM118
            found.append((path, cell["bytes"].is_valid))
        else:
            found.append((None, True))
    return found


def _datasets() -> Any:
    try:
        import datasets  # type: ignore[import-untyped]
    except ImportError:
        raise ValueError(
            "reading a Hugging Face data set needs the package datasets: pip install 'aoede[hub]'"
        ) from None
    return datasets
