"""Packed documents: what `aoede pack` writes a source, opened for reading.

Owns the four files of a prefix and how they are checked against each other, and the folder of all sources. The bytes of
`.bin` and `.idx` are `index.py`'s; how documents are made is `writing.py`'s.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from aoede.tokens import CodecVocabulary

from ..saving import file_sha256, write_json
from .index import IndexedFile
from .settings import read_settings

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

PARTS = (".bin", ".idx", ".documents.parquet")
"""The files of a prefix beside `.json`, which comes last: a prefix that has it is complete."""


@dataclass(frozen=True, kw_only=True)
class PackedInfo:
    """What `<source>.json` says."""

    source: str
    kind: str
    """text, bulk-noisy, clean-read, studio."""

    language: str
    licence: str
    tokens: int
    documents: int
    forms: dict[str, int]
    """Documents of each form: text, audio, text+audio."""

    frames: int
    """Codec frames in all documents together."""

    left_out: list[dict[str, str]]
    """What could not be used: `{"id", "reason"}` each."""

    vocabulary: dict[str, Any]
    """As in `augmented.yaml`."""

    tokenizer_fingerprint: str
    codec: dict[str, Any] | None
    """The codec whose codes these are (`CodesInfo`), None for text."""

    eos_id: int
    """Ends a text document."""

    pad_id: int
    """Fills rows; also a text id."""

    max_tokens: int | None
    """No document is longer."""

    content: str
    """Digest of the shards that the documents were made from."""

    sha256: dict[str, str]
    """Of `.bin`, `.idx` and `.documents.parquet`."""

    format: int = 1

    def save(self, path: Path) -> None:
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> Self:
        """
        Raises:
            ValueError: not such a file, or one of another version.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: damaged: not JSON ({error}); run `aoede pack` again without it") from error
        names = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or set(values) != names:
            raise ValueError(f"{path}: not what `aoede pack` writes beside a .bin and .idx")
        if values["format"] != 1:
            raise ValueError(f"{path}: format {values['format']}; this version reads format 1")
        return cls(**values)


class PackedDataset:
    """The documents of one source: ids memory-mapped, what they are in a table.

    `len(dataset)` is their number, `dataset[i]` the ids of one, [L] int32 or uint16.
    """

    def __init__(self, prefix: str | os.PathLike[str]) -> None:
        """
        Args:
            prefix: `PACKED/<source>`, without a suffix.
        Raises:
            ValueError: unfinished, damaged, or files that do not belong together.
            OSError: a file that is not there.
        """
        self.prefix = Path(prefix)
        info_path = self._path(".json")
        if not info_path.is_file():
            if self._path(".idx").is_file():
                raise ValueError(
                    f"{self.prefix}: no {info_path.name} beside it: an unfinished `aoede pack` (start it again), "
                    "or a file of Megatron's own tools (IndexedFile reads that)"
                )
            raise ValueError(f"{self.prefix}: no packed documents there; `aoede pack CORPUS --out DIR` makes them")
        self.info = PackedInfo.load(info_path)
        self._file = IndexedFile(self.prefix)
        if (len(self._file), self._file.num_tokens) != (self.info.documents, self.info.tokens):
            raise ValueError(
                f"{self._file.idx_path}: {len(self._file):,} documents of {self._file.num_tokens:,} tokens, but "
                f"{info_path.name} says {self.info.documents:,} of {self.info.tokens:,}; pack this source again"
            )

    def __len__(self) -> int:
        return len(self._file)

    def __getitem__(self, number: int) -> NDArray[Any]:
        """Ids of a document, [L]; an IndexError where there is none of that number."""
        return self._file[number]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self._file[number] for number in range(len(self)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.prefix,)

    @property
    def lengths(self) -> NDArray[np.int32]:
        """[N]: ids of each document."""
        return self._file.lengths

    @cached_property
    def vocabulary(self) -> CodecVocabulary:
        """What the ids mean."""
        return CodecVocabulary.from_dict(self.info.vocabulary)

    @property
    def documents(self) -> pa.Table:
        """What each document is: id, form, source, kind, language, speaker, split, piece, is_last, num_tokens and the
        keys of its recording and text (docs/formats.md). Read anew at every use."""
        return self.columns()

    def columns(self, *names: str) -> pa.Table:
        """Some columns of `documents` only (all without names).

        Raises:
            ValueError: the table is damaged or another source's.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        path = self._path(".documents.parquet")
        try:
            table = pq.read_table(path, columns=list(names) or None, memory_map=True)
        except (pa.ArrowInvalid, OSError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(f"{path}: damaged or cut short ({error}); pack this source again") from error
        if table.num_rows != len(self):
            raise ValueError(f"{path}: {table.num_rows:,} rows for {len(self):,} documents; pack this source again")
        return table

    def check(self) -> None:
        """Read every byte and compare with the checksums.

        Raises:
            ValueError: a file that is not what was written (names it).
        """
        for suffix in PARTS:
            path = self._path(suffix)
            found = file_sha256(path)
            if found != self.info.sha256[suffix]:
                raise ValueError(f"{path}: its SHA-256 is {found[:16]}..., but {self.info.sha256[suffix][:16]}... was "
                                 "written; restore it, or delete the source's files and pack it again")  # fmt: skip

    def _path(self, suffix: str) -> Path:
        return self.prefix.with_name(self.prefix.name + suffix)


class PackedFolder:
    """What `aoede pack` wrote: one `PackedDataset` a source, one vocabulary, one tokenizer."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """
        Raises:
            ValueError: not such a folder, or one that is not finished (names the sources that are missing).
        """
        self.folder = Path(folder)
        self.settings = read_settings(self.folder)
        self.names: tuple[str, ...] = tuple(self.settings["sources"])
        missing = [name for name in self.names if not (self.folder / f"{name}.json").is_file()]
        if missing:
            raise ValueError(f"{self.folder}: unfinished, {', '.join(missing)} is missing; start `aoede pack` again")

    @cached_property
    def datasets(self) -> Mapping[str, PackedDataset]:
        """Source name -> its documents."""
        return {name: PackedDataset(self.folder / name) for name in self.names}

    @cached_property
    def vocabulary(self) -> CodecVocabulary:
        """What the ids of all sources mean."""
        return CodecVocabulary.load(self.folder)

    @property
    def tokenizer_folder(self) -> Path:
        """A Hugging Face tokenizer, as the text was read with."""
        return self.folder / "tokenizer"

    def check(self) -> None:
        """Compare every file with its checksum; a ValueError names the first that differs."""
        for dataset in self.datasets.values():
            dataset.check()
