"""What became of a corpus: `report.json` of every source and of the whole, and the words a person reads.

Owns the counting, all of it from the shards alone, so that a resumed run and an uninterrupted one agree. The page with
histograms and players is the cleaning's (`cleaning/report.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..audio import duration_words
from ..codes import REPORT, read_shard_metadata
from ..saving import write_json
from .folder import SourceInfo, source_rows
from .texts import TEXT_PATTERN, TextSurvey


@dataclass(frozen=True, kw_only=True)
class SourceSummary:
    """What a source gave."""

    name: str
    kind: str
    language: str
    licence: str
    rows: int
    """Recordings, or lines of text, that were there."""

    kept: int
    """Recordings of which something was kept, or documents."""

    pieces: int
    """Clips in the shards: more than `kept` where recordings were cut."""

    dropped: int
    """By a step of the cleaning."""

    rejected: int
    """Cannot be read."""

    seconds: float
    codes: int
    characters: int
    """Of the texts of a text source."""


@dataclass(frozen=True, kw_only=True)
class CorpusSummary:
    """What a corpus folder holds, and what the last run did; `str()` is for a person."""

    folder: str
    sources: tuple[SourceSummary, ...]
    num_shards: int
    num_bytes: int
    new_seconds: float
    """Sound encoded by this run; the rest was there."""

    new_shards: int
    work_seconds: float

    def __str__(self) -> str:
        head = ("source", "kind", "language", "rows", "kept", "dropped", "rejected", "hours", "codes", "characters")
        table: list[tuple[str, ...]] = [head]
        for one in self.sources:
            counts = (one.rows, one.kept, one.dropped, one.rejected)
            hours = "" if one.kind == "text" else f"{one.seconds / 3600:.{2 if one.seconds >= 360 else 4}f}"
            codes, characters = (f"{number:,}" if number else "" for number in (one.codes, one.characters))
            table.append((one.name, one.kind, one.language, *(f"{n:,}" for n in counts), hours, codes, characters))
        widths = [max(len(row[column]) for row in table) for column in range(len(head))]
        lines = [f"{self.folder}  {len(self.sources):,} sources, {self.num_shards:,} shards, {_size(self.num_bytes)}"]
        for row in table:
            cells = [
                cell.ljust(width) if column < 3 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append(("  " + "  ".join(cells)).rstrip())
        if not self.new_shards:
            lines.append("nothing left to do")
        elif self.new_seconds:
            speed = self.new_seconds / self.work_seconds
            lines.append(f"{duration_words(self.new_seconds)} encoded now, {speed:.1f} x faster than it plays")
        lines.append(f"what was kept, dropped and why: {self.folder}/report.html, every recording: */clips-*.jsonl")
        return "\n".join(lines)


def report_recordings(info: SourceInfo) -> SourceSummary:
    """Count a source of recordings and write its `report.json`."""
    counts: Counter[str] = Counter()
    dropped: list[dict[str, Any]] = []
    for row in source_rows(info.folder):
        counts[row["status"]] += 1
        if row["status"] == "dropped":
            dropped.append({key: row[key] for key in ("id", "audio", "seconds", "reason", "events")})
    shards, rejected, notes, seconds = [], list[Any](), list[Any](), 0.0
    for path in sorted(info.folder.glob("codes-*.parquet")):
        part = read_shard_metadata(path)[1]
        size = path.stat().st_size
        shards.append({"file": path.name, "clips": part["clips"], "codes": part["codes"], "bytes": size})
        rejected += part["rejected"]
        notes += part["notes"]
        seconds += part["seconds"]
    summary = SourceSummary(
        **_told(info),
        rows=sum(counts.values()),
        kept=counts["kept"],
        pieces=sum(shard["clips"] for shard in shards),
        dropped=counts["dropped"],
        rejected=counts["rejected"],
        seconds=seconds,
        codes=sum(shard["codes"] for shard in shards),
        characters=0,
    )
    report = {
        "format": 1,
        **_told(info),
        "clips": summary.rows,
        "kept": summary.kept,
        "coded": summary.pieces,
        "seconds": seconds,
        "codes": summary.codes,
        "bytes": sum(shard["bytes"] for shard in shards),
        "rejected": rejected,
        "dropped": dropped,
        "notes": notes,
        "shards": shards,
    }
    write_json(info.folder / REPORT, report)
    return summary


def report_texts(info: SourceInfo, survey: TextSurvey) -> SourceSummary:
    """Count a source of texts and write its `report.json`."""
    paths = sorted(info.folder.glob(TEXT_PATTERN))
    report = {
        "format": 1,
        **_told(info),
        "documents": survey.documents,
        "characters": survey.characters,
        "not_selected": survey.not_selected,
        "rejected": survey.rejected,
        "shards": [{"file": path.name, "bytes": path.stat().st_size} for path in paths],
    }
    write_json(info.folder / REPORT, report)
    return SourceSummary(
        **_told(info),
        rows=survey.documents + len(survey.rejected),
        kept=survey.documents,
        pieces=survey.documents,
        dropped=0,
        rejected=len(survey.rejected),
        seconds=0.0,
        codes=0,
        characters=survey.characters,
    )


def report_corpus(folder: Path, sources: Sequence[SourceSummary], cleaning: Mapping[str, Any]) -> None:
    """Write the report of the whole, last of all: a folder that has it is finished."""
    rows = [dict(vars(one)) for one in sources]
    write_json(folder / REPORT, {"format": 1, "sources": rows, "cleaning": dict(cleaning)})


def _told(info: SourceInfo) -> dict[str, str]:
    return {"name": info.name, "kind": info.kind, "language": info.language, "licence": info.licence}


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.2f} MB"
