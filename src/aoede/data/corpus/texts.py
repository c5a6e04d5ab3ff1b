"""Text sources: documents out of .txt, .tsv, .jsonl and tables, and shards of documents.

Owns what a document is in each format and the schema of `text-*.parquet`. A line that cannot be read costs that line
only; it is listed. Texts are carried as they are: no cleaning, no normalisation, no sentence splitting.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..manifest import manifest_rows
from ..stored import is_saved_dataset
from .config import SourceConfig

TEXT_PATTERN = "text-*.parquet"


@dataclass(frozen=True, kw_only=True)
class TextDocument:
    """One text."""

    id: str
    text: str
    language: str
    source: str
    split: str
    """Empty where the source does not say."""


@dataclass(frozen=True, kw_only=True)
class _Refused:
    where: str
    reason: str


@dataclass(kw_only=True)
class TextSurvey:
    """What a text source holds, from one reading of it."""

    documents: int = 0
    characters: int = 0
    not_selected: int = 0
    rejected: list[dict[str, str]] = field(default_factory=list)
    digest: str = ""


def survey_texts(source: SourceConfig) -> TextSurvey:
    """Read a text source through.

    Raises:
        ValueError: nothing there, no such column, a selection that keeps nothing (names the source).
    """
    survey, digest = TextSurvey(), hashlib.sha256()
    for found in _selected(source):
        if found is None:
            survey.not_selected += 1
        elif isinstance(found, _Refused):
            survey.rejected.append({"id": found.where, "audio": source.path, "reason": found.reason})
        else:
            survey.documents += 1
            survey.characters += len(found.text)
            digest.update(json.dumps([found.id, found.text, found.language, found.split]).encode())
    survey.digest = digest.hexdigest()[:16]
    if not survey.documents:
        why = f"; {len(survey.rejected):,} lines cannot be read, first: {survey.rejected[0]}" if survey.rejected else ""
        why = f"; {survey.not_selected:,} are not selected" if survey.not_selected else why
        raise ValueError(f"source {source.name}: {source.path}: no documents{why}")
    return survey


def text_shards(source: SourceConfig, size: int) -> Iterator[list[TextDocument]]:
    """The documents of a source in its order, so many at a time."""
    documents = (found for found in _selected(source) if isinstance(found, TextDocument))
    while shard := list(itertools.islice(documents, size)):
        yield shard


def text_shard_bytes(documents: list[TextDocument]) -> bytes:
    """A Parquet file of documents; the same ones give the same bytes."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    names = [entry.name for entry in fields(TextDocument)]
    table = pa.table({name: pa.array([getattr(one, name) for one in documents], pa.string()) for name in names})
    sink = io.BytesIO()
    few = ["language", "source", "split"]
    pq.write_table(table, sink, compression="zstd", use_dictionary=few, write_statistics=few)
    return sink.getvalue()


def read_text_shard(path: Path) -> Iterator[TextDocument]:
    """The documents of one shard."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: not a shard of texts that `aoede prepare` wrote: {error}") from None
    with file:
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                yield TextDocument(**row)


def _selected(source: SourceConfig) -> Iterator[TextDocument | _Refused | None]:
    """Every document, refused line, and None for what is not selected."""
    wanted = {name: set(values) for name, values in asdict(source.select).items() if values is not None}
    seen: dict[str, set[str]] = {name: set() for name in wanted}
    try:
        for where, row in _rows(source):
            if isinstance(row, str):
                yield _Refused(where=where, reason=row)
                continue
            values = {name: _cell(source, row, name) for name in ("id", "language", "source", "split", "speaker")}
            for name in wanted:
                seen[name].add(values[name])
            if any(values[name] not in chosen for name, chosen in wanted.items()):
                yield None
                continue
            text = row.get(_key(source.columns.text), None)
            if not isinstance(text, str) or not text.strip():
                yield _Refused(where=where, reason=f"column '{source.columns.text}' holds {text!r}; text is expected")
                continue
            yield TextDocument(
                id=values["id"] or where,
                text=text,
                language=values["language"] or source.language,
                source=source.name,
                split=values["split"],
            )
    except ValueError as error:
        raise ValueError(f"source {source.name}: {error}") from error
    for name, chosen in wanted.items():
        if missing := sorted(chosen - seen[name]):
            there = ", ".join(sorted(value for value in seen[name] if value)[:20]) or "none"
            raise ValueError(
                f"source {source.name}: {source.path}: no text has {name} '{missing[0]}'; there are: {there}"
            )


def _cell(source: SourceConfig, row: Mapping[str, Any], name: str) -> str:
    value = row.get(_key(getattr(source.columns, name)))
    return "" if value is None else str(value)


def _key(column: str | int | None) -> str:
    return str(column)


def _rows(source: SourceConfig) -> Iterator[tuple[str, Mapping[str, Any] | str]]:
    """(where it stands, its columns or why it cannot be read)."""
    place, columns = Path(source.path), source.columns
    if columns.text is None:
        raise ValueError("columns.text is null; a text source has its text in a column, or in the lines of a .txt")
    if place.is_dir() and not is_saved_dataset(place):
        files = sorted(file for file in place.rglob("*.txt") if file.is_file())
        if not files:
            raise ValueError(f"{place}: no .txt files in this folder, and no data set either")
        for file in files:
            where = file.relative_to(place).as_posix()
            text, problem = _decoded(file.read_bytes())
            yield where, problem or {str(columns.text): text, "id": where}
        return
    suffix = place.suffix.lower()
    if place.is_file() and suffix in (".txt", ".jsonl", ".tsv"):
        header: list[str] | None = None
        for number, text, problem in _lines(place):
            where = f"{place.name}:{number}"
            if suffix == ".tsv" and header is None and not columns.are_numbered:
                header = text.split("\t")
                if problem or columns.text not in header:
                    words = problem or f"no column '{columns.text}' among {', '.join(header)}"
                    raise ValueError(f"{where}: {words}; the first line names the columns, or columns: {{text: 1}}")
            else:
                yield where, problem or _line(suffix, text, columns.text, header)
        return
    known: bool | None = None
    for where, row in manifest_rows(source.path):
        if known is None and columns.text not in row:
            raise ValueError(f"{where}: no column '{columns.text}' among {', '.join(row)}; name it with columns: text")
        known = True
        # Where a row stands is said without its folder: the same file gives the same ids on every machine.
        yield where.replace(f"{place.parent}/", "", 1), row


def _lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """Number, text and problem of every line that is not empty: an empty one only separates."""
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
            if line.strip():
                yield number, *_decoded(line.rstrip(b"\r\n"))


def _line(suffix: str, line: str, text_column: str | int | None, header: list[str] | None) -> Mapping[str, Any] | str:
    if suffix == ".txt":
        return {str(text_column): line}
    if suffix == ".tsv":
        cells = line.split("\t")
        if header is not None and len(cells) != len(header):
            return f"{len(cells)} fields, but the first line has {len(header)}"
        return dict(zip(header or [str(number) for number in range(1, len(cells) + 1)], cells, strict=True))
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at character {error.pos + 1}"
    return row if isinstance(row, dict) else f"a JSON object a line is expected, not {type(row).__name__}"


def _decoded(raw: bytes) -> tuple[str, str]:
    """The text, or an empty one and why it cannot be read."""
    try:
        return raw.decode("utf-8"), ""
    except UnicodeDecodeError as error:
        return "", f"byte {error.start + 1} is not UTF-8; convert the file with iconv -t UTF-8"
