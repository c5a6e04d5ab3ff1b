"""What packing reads: the shards of prepared sources, some rows at a time.

Owns what a source must have to be packed, the codec that all of them share, and how much is read at once. What becomes
of the rows is `documents.py`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..codes import PATTERN as CODES
from ..codes import REPORT, CodesInfo, codes_info
from .documents import DocumentMaker, Documents

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

TEXTS = "text-*.parquet"
"""Names of the shards of a source of texts."""

BATCH_ROWS = 1024
"""Rows made into documents at once."""

BATCH_BYTES = 1 << 23
"""Text made into documents at once, whole texts at least."""


class PackSource(Protocol):
    """What packing wants to know of a source; `corpus.SourceInfo` is one."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def licence(self) -> str: ...
    @property
    def folder(self) -> Path:
        """Holds `codes-*.parquet` or `text-*.parquet`, and `report.json`."""
        ...


def documents_of(source: PackSource, maker: DocumentMaker) -> Iterator[Documents]:
    """The documents of a source, in its order, a batch at a time.

    Raises:
        ValueError: a shard that is damaged, or codes that do not fit (names the file and the clip).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    text = source.kind == "text"
    for path in _shards(source):
        try:
            with pq.ParquetFile(path) as file:
                for rows in file.iter_batches(batch_size=BATCH_ROWS):
                    for part in _by_size(rows) if text else (rows,):
                        yield maker.from_text(part) if text else maker.from_codes(part)
        except (pa.ArrowInvalid, KeyError, OSError) as error:
            raise ValueError(f"{path}: damaged or no shard of `aoede prepare`: {error}; prepare it again") from error
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def _by_size(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch of texts in slices of so many bytes at once: a thousand books are more than a thousand sentences."""
    import pyarrow.compute as pc  # type: ignore[import-untyped]

    ends = np.cumsum(pc.fill_null(pc.binary_length(rows["text"]), 0).to_numpy(), dtype=np.int64)
    start = 0
    while start < rows.num_rows:
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + BATCH_BYTES, side="right")))
        yield rows.slice(start, stop - start)
        start = stop


def _shards(source: PackSource) -> list[Path]:
    pattern = TEXTS if source.kind == "text" else CODES
    paths = sorted(source.folder.glob(pattern))
    if not paths or not (source.folder / REPORT).is_file():
        raise ValueError(
            f"source {source.name}: {source.folder} is not finished (it has {len(paths)} shards {pattern}, and "
            f"{'a' if (source.folder / REPORT).is_file() else 'no'} {REPORT}); run `aoede prepare` to its end"
        )
    return paths


def codec_of(sources: Sequence[PackSource]) -> CodesInfo | None:
    """The codec that all codes belong to, None where there are none; a ValueError names sources of two codecs."""
    found: tuple[str, CodesInfo] | None = None
    for source in sources:
        if source.kind == "text":
            continue
        info = codes_info(source.folder)
        if found is not None and info != found[1]:
            raise ValueError(
                f"source {source.name} has codes of codec {info.codec_fingerprint}, source {found[0]} of "
                f"{found[1].codec_fingerprint}; one model speaks one codec: prepare both with the same"
            )
        found = found or (source.name, info)
    return None if found is None else found[1]


def content_of(source: PackSource) -> str:
    """A digest of a source's shards by name, size, rows and schema metadata: changes when they are made anew."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    digest = hashlib.sha256()
    for path in _shards(source):
        try:
            meta = pq.read_metadata(path)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path}: damaged or cut short ({error}); prepare it again") from error
        digest.update(f"{path.name} {path.stat().st_size} {meta.num_rows}".encode())
        for key, value in sorted((meta.metadata or {}).items()):
            digest.update(key + b"\0" + value)
    return digest.hexdigest()[:16]
