"""`<source>.documents.parquet` as it is written: what each document is, in row groups of one size.

Owns the file's encoding. The columns are `documents.py`'s and come with the tables.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

_TABLE_ROWS = 65_536
"""Rows of a row group of the documents' table."""


class TableWriter:
    """The documents' table, in row groups of one size whatever the batches were."""

    def __init__(self, path: Path, source: str, kind: str) -> None:
        self._path, self._same = path, {"source": source, "kind": kind}
        self._waiting: list[Any] = []
        self._rows = 0
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def add(self, table: pa.Table) -> None:
        import pyarrow as pa

        for place, (name, value) in enumerate(self._same.items(), start=2):
            table = table.add_column(place, name, pa.array([value] * table.num_rows, pa.string()))
        self._waiting.append(table)
        self._rows += table.num_rows
        while self._rows >= _TABLE_ROWS:
            self._write(_TABLE_ROWS)

    def close(self) -> None:
        """Write what waits, and the file's end."""
        if self._rows:
            self._write(self._rows)
        self._end()

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, rows: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        whole = pa.concat_tables(self._waiting)
        few = ["form", "source", "kind", "language", "speaker", "split"]
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._path, whole.schema, compression="zstd", use_dictionary=few, write_statistics=few
            )
        self._writer.write_table(whole.slice(0, rows).combine_chunks(), row_group_size=_TABLE_ROWS)
        self._waiting = [whole.slice(rows)]
        self._rows -= rows
