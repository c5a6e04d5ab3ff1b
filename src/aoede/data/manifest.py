"""Manifests: the list of clips a voice is made from.

Owns `Clip` and the reading of JSONL, CSV, TSV, Parquet and Hugging Face data sets, with the place of every mistake.
Opens no sound file: `encode.py` finds out which clips are good.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .stored import StoredAudio, hub_rows, parquet_rows, saved_rows

Row = tuple[str, Mapping[str, Any]]
"""Where a row stands, in words (`clips.jsonl line 3`), and its columns."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One recording and what is known of it."""

    audio: str | bytes | StoredAudio
    """Absolute path of a sound file, its bytes, or where in a table those bytes are."""

    id: str
    """Unique in its manifest: the column `id`, otherwise the audio path as the manifest writes it."""

    text: str = ""
    speaker: str = ""
    language: str = ""
    source: str = ""
    split: str = ""
    """Empty where the manifest does not say."""

    seconds: float | None = None
    """As the manifest says; not checked against the file."""

    speed: float = 1.0
    """Played so many times as fast when it is encoded, pitch and all (`at_speeds`)."""

    def audio_source(self) -> str | bytes:
        """What `load_audio` takes: the path, or the bytes, read from their table only now."""
        return self.audio.read() if isinstance(self.audio, StoredAudio) else self.audio


def load_manifest(
    path: str | os.PathLike[str],
    *,
    audio: str = "audio",
    text: str | None = "text",
    speaker: str = "speaker",
    language: str = "language",
    source: str = "source",
    split: str = "split",
    seconds: str = "seconds",
    id: str = "id",
    splits: Sequence[str] | None = None,
    languages: Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
    speakers: Sequence[str] | None = None,
) -> list[Clip]:
    """Read a manifest, keeping its order.

    Args:
        path: a `.jsonl`, `.csv`, `.tsv` (with a header line) or `.parquet` file, a folder written by
            `datasets.save_to_disk`, or the name of a data set on the hub.
        audio, text, speaker, ...: names of the columns. `audio` must be there, and `text` unless it is given as None;
            the others may be missing. Relative audio paths start beside the manifest.
        splits, languages, sources, speakers: keep only clips whose value is among these.
    Returns:
        The clips kept, in the manifest's order.
    Raises:
        ValueError: anything wrong, with file, line, column and remedy; a filter that keeps nothing.
    """
    place, folder, rows = _rows(path)
    columns = {
        "audio": audio,
        "text": text,
        "speaker": speaker,
        "language": language,
        "source": source,
        "split": split,
        "seconds": seconds,
        "id": id,
    }
    clips: list[Clip] = []
    seen: dict[str, str] = {}
    for where, row in rows:
        clip, has_id = _clip(where, row, columns, folder)
        if clip.id in seen:
            if has_id:
                raise ValueError(f"{where}: id '{clip.id}' was used before, at {seen[clip.id]}; ids are unique")
            number = 2  # the same recording listed again, without ids of its own
            while f"{clip.id}#{number}" in seen:
                number += 1
            clip = replace(clip, id=f"{clip.id}#{number}")
        seen[clip.id] = where
        clips.append(clip)
    if not clips:
        raise ValueError(f"{place}: the manifest lists no clips")
    filters = {"split": splits, "language": languages, "source": sources, "speaker": speakers}
    for field, wanted in filters.items():
        if wanted is not None:
            clips = _filtered(clips, field, [wanted] if isinstance(wanted, str) else wanted, place)
    return clips


def manifest_rows(path: str | os.PathLike[str]) -> Iterator[Row]:
    """Every row of what `load_manifest` reads, and where it stands, with its columns as they are."""
    yield from _rows(path)[2]


def _rows(given: str | os.PathLike[str]) -> tuple[str, Path, Iterable[Row]]:
    path = Path(given)
    if path.is_dir():
        return str(path), path.resolve(), saved_rows(path)
    if path.is_file():
        readers: dict[str, Callable[[Path], Iterable[Row]]] = {
            ".jsonl": _jsonl_rows,
            ".json": _jsonl_rows,
            ".csv": _table_rows,
            ".tsv": _table_rows,
            ".parquet": parquet_rows,
        }
        reader = readers.get(path.suffix.lower())
        if reader is None:
            raise ValueError(f"{path}: a manifest is a {', '.join(readers)} file, not '{path.suffix}'")
        return str(path), path.resolve().parent, reader(path)
    name = os.fspath(given)
    if (
        path.suffix.lower() in (".jsonl", ".json", ".csv", ".tsv", ".parquet")
        or name.count("/") != 1
        or name[0] in "./~"
    ):
        raise ValueError(f"{name}: no such manifest")
    return name, Path.cwd(), hub_rows(name)


def _jsonl_rows(path: Path) -> Iterator[Row]:
    for number, line in _lines(path):
        where = f"{path} line {number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{where}: not JSON: {error.msg} at character {error.pos + 1}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{where}: a JSON object a line is expected, not {type(row).__name__}")
        yield where, row


def _table_rows(path: Path) -> Iterator[Row]:
    tabs = path.suffix.lower() == ".tsv"  # transcripts hold bare quotes: a TSV file is split at tabs, nothing else
    number = 1

    def lines() -> Iterator[str]:
        nonlocal number
        for number, line in _lines(path):  # noqa: B007
            yield line

    reader = csv.reader(lines(), delimiter="\t", quoting=csv.QUOTE_NONE) if tabs else csv.reader(lines(), strict=True)
    try:
        header = next(reader, None)
        if header is None:
            return
        if len(set(header)) != len(header):
            raise ValueError(f"{path} line 1: a column name appears twice in the header: {', '.join(header)}")
        start = number + 1
        for fields in reader:
            where, start = f"{path} line {start}", number + 1
            if not fields:
                continue
            if len(fields) != len(header):
                raise ValueError(f"{where}: {len(fields)} fields, but the header has {len(header)}")
            yield where, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path} line {number}: {error}") from None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{path} line {number}: byte {error.start + 1} is not UTF-8; convert the file with iconv -t UTF-8"
                ) from None
            yield number, line


def _clip(where: str, row: Mapping[str, Any], columns: Mapping[str, str | None], folder: Path) -> tuple[Clip, bool]:
    def known(field: str) -> Any:
        column = columns[field]
        if column is None:
            return None
        value = row.get(column)
        return None if isinstance(value, float) and math.isnan(value) else value

    def words(field: str) -> str:
        value = known(field)
        if isinstance(value, bool) or not isinstance(value, str | int | None):
            raise ValueError(f"{where}: column '{columns[field]}' holds {value!r}; text is expected")
        return "" if value is None else str(value)

    for field in ("audio", "text"):
        column = columns[field]
        if column is not None and column not in row:
            near = get_close_matches(column, list(row), n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            remedy = f"name the column with {field}=" + (", or text=None for no text" if field == "text" else "")
            raise ValueError(f"{where}: no column '{column}' among {', '.join(map(str, row))}{hint} ({remedy})")
    sound, default_id = _audio(where, known("audio"), columns["audio"] or "audio", folder)
    spoken = known("text")
    if columns["text"] is not None and not isinstance(spoken, str):
        raise ValueError(f"{where}: column '{columns['text']}' holds {spoken!r}; write \"\" for a clip without text")
    given_id = words("id")
    clip = Clip(
        audio=sound,
        id=given_id or default_id or where,
        text=spoken or "",
        speaker=words("speaker"),
        language=words("language"),
        source=words("source"),
        split=words("split"),
        seconds=_seconds(where, known("seconds")),
    )
    return clip, bool(given_id)


def _audio(where: str, value: Any, column: str, folder: Path) -> tuple[str | bytes | StoredAudio, str | None]:
    if isinstance(value, StoredAudio):
        return value, value.name
    if isinstance(value, Mapping):  # an undecoded `datasets.Audio`
        if value.get("bytes") is not None:
            return bytes(value["bytes"]), value.get("path")
        value = value.get("path")
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{where}: column '{column}' holds {value!r}; the path of a sound file is expected")
    return os.path.normpath(folder / Path(value).expanduser()), value


def _seconds(where: str, value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{where}: seconds is {value!r}; a number of seconds, 0 or more, is expected")
    return seconds


def _filtered(clips: list[Clip], field: str, wanted: Sequence[str], place: str) -> list[Clip]:
    there = sorted({str(getattr(clip, field)) for clip in clips if getattr(clip, field)})
    shown = ", ".join(there[:20]) + (", ..." if len(there) > 20 else "") or "none"
    for value in wanted:
        if value not in there:
            raise ValueError(f"{place}: no clip has {field} '{value}'; there are: {shown}")
    return [clip for clip in clips if getattr(clip, field) in wanted]
