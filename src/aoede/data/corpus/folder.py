"""A prepared corpus on disk, as everything after `aoede prepare` sees it.

Owns the list of its sources and the checking of its checksums. The codes of a source are read by `load_codes`, its
texts by `CorpusFolder.texts`, what became of every recording by `CorpusFolder.rows`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ..codes import REPORT
from ..saving import file_sha256
from .config import AUGMENTED, Kind
from .journal import read_checksums
from .plan import read_plan
from .texts import TEXT_PATTERN, TextDocument, read_text_shard


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """One source of a prepared corpus."""

    name: str
    kind: Kind
    language: str
    """Of the rows that did not say; a row's own language stands in the shards."""

    licence: str
    folder: Path
    augments: str = ""
    """The source whose copies these are; empty for one that was recorded or written."""


@dataclass(frozen=True, kw_only=True)
class CorpusCheck:
    """Whether a corpus is as it was written; `str()` is for a person."""

    folder: str
    num_files: int
    num_bytes: int
    damaged: tuple[str, ...]
    """Files and what is wrong with each."""

    unlisted: tuple[str, ...]
    """Shards that no checksum is known of: not this corpus' own."""

    @property
    def exit_code(self) -> int:
        """0, or 3 where something is wrong."""
        return 3 if self.damaged or self.unlisted else 0

    def __str__(self) -> str:
        lines = [f"{self.folder}  {self.num_files:,} files, {self.num_bytes / 1e6:.2f} MB: "]
        if not self.exit_code:
            return lines[0] + "every checksum is right"
        lines[0] += f"{len(self.damaged):,} damaged, {len(self.unlisted):,} unlisted"
        lines += [f"damaged: {words}" for words in self.damaged]
        lines += [f"unlisted: {name}" for name in self.unlisted]
        lines.append("delete what is listed here and start the same `aoede prepare` again: it makes only that anew")
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class CorpusFolder:
    """A finished corpus; `CorpusFolder.open(path)`."""

    path: Path
    sources: list[SourceInfo]
    """In the order of the corpus file; augmented copies (`<name>+aug`) right behind their originals."""

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Raises ValueError where there is no corpus, or an unfinished one."""
        folder = Path(path)
        plan = read_plan(folder)
        if not (folder / REPORT).is_file():
            raise ValueError(f"{folder}: an unfinished corpus (no {REPORT}); start the same `aoede prepare` again")
        sources = []
        for told in plan["sources"]:
            known = {key: told[key] for key in ("kind", "language", "licence")}
            name = told["name"]
            sources.append(SourceInfo(name=name, folder=folder / name, **known))
            if told["augment"] is not None:
                copies = name + AUGMENTED
                sources.append(SourceInfo(name=copies, folder=folder / copies, augments=name, **known))
        return cls(path=folder, sources=sources)

    def source(self, name: str) -> SourceInfo:
        """The source of this name; ValueError where there is none."""
        for one in self.sources:
            if one.name == name:
                return one
        raise ValueError(f"{self.path}: no source '{name}'; there are: {', '.join(one.name for one in self.sources)}")

    def texts(self, name: str) -> Iterator[TextDocument]:
        """The documents of a text source, in its order."""
        for shard in sorted(self.source(name).folder.glob(TEXT_PATTERN)):
            yield from read_text_shard(shard)

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """What became of every recording of a source, in its order; docs/formats.md describes a row."""
        yield from source_rows(self.source(name).folder)

    def check(self) -> CorpusCheck:
        """Compare every shard with its checksum."""
        return check_corpus(self.path)


def source_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of one source's folder."""
    for shard in sorted(folder.glob("clips-*.jsonl")):
        with shard.open(encoding="utf-8") as stream:
            for line in stream:
                yield json.loads(line)


def check_corpus(path: str | os.PathLike[str]) -> CorpusCheck:
    """Compare every shard of a corpus with its checksum; an unfinished corpus has none yet.

    Raises:
        ValueError: not a corpus, or an unfinished one.
    """
    folder = Path(path)
    read_plan(folder)
    listed = read_checksums(folder)
    damaged = []
    for name, known in listed.items():
        file = folder / name
        if not file.is_file():
            damaged.append(f"{name}: missing")
        elif file.stat().st_size != known["bytes"]:
            damaged.append(f"{name}: {file.stat().st_size:,} bytes; {known['bytes']:,} were written")
        elif file_sha256(file) != known["sha256"]:
            damaged.append(f"{name}: its content has changed")
    shards = [file for kind in ("codes-*.parquet", TEXT_PATTERN, "clips-*.jsonl") for file in folder.glob(f"*/{kind}")]
    names = sorted(file.relative_to(folder).as_posix() for file in shards)
    return CorpusCheck(
        folder=os.fspath(path),
        num_files=len(listed),
        num_bytes=sum(known["bytes"] for known in listed.values()),
        damaged=tuple(damaged),
        unlisted=tuple(name for name in names if name not in listed),
    )
