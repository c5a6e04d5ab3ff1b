"""What a corpus' rows come to: counts, seconds, histograms and a few examples of each kind.

Owns the sums over rows as the corpus engine writes them (docs/cleaning.md lists their fields), one row at a time, so
that memory does not grow with the corpus. How it looks is `page.py`'s.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .histograms import MEASURES, Histogram
from .recording import STEPS

__all__ = ["Example", "SourceSummary", "StepSummary", "summarise"]

Row = Mapping[str, Any]

EXAMPLES = 3
"""Of every kind and source that can be listened to."""

LISTED = 200
"""Dropped recordings and pieces of a source that the page lists; the rows have all."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A recording, or a part of one, that something was decided about."""

    id: str
    audio: str
    """Path, or words where the sound lies in a table."""

    step: str
    """The step that dropped it; `kept`; `rejected`: it could not be read."""

    reason: str
    start_seconds: float
    seconds: float
    values: dict[str, float]
    """What was measured of it, by step."""


@dataclass
class StepSummary:
    """What one step did."""

    looked_at: int = 0
    """Recordings or pieces that it gave an event."""

    seconds: float = 0.0
    dropped: int = 0
    dropped_seconds: float = 0.0
    changed: int = 0
    """Of the kept ones, those that are not as they were: resampled, trimmed, made louder, cut."""

    left_out_seconds: float = 0.0
    """What trimming and cutting took from the kept ones."""

    unmeasured: int = 0
    """Kept because it could not be judged; the event has the reason."""

    def merge(self, other: StepSummary) -> None:
        for name in self.__dict__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass
class SourceSummary:
    """What the cleaning made of a source."""

    name: str
    recordings: int = 0
    seconds: float = 0.0
    """Of everything that could be read."""

    kept: int = 0
    """Recordings of which at least a piece is kept."""

    dropped: int = 0
    rejected: int = 0
    """Files that could not be read."""

    pieces: int = 0
    kept_seconds: float = 0.0
    steps: dict[str, StepSummary] = field(default_factory=dict)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    """By step, `kept` or `rejected`."""

    listed: list[Example] = field(default_factory=list)
    """The first that were dropped or could not be read, in the rows' order."""

    num_drops: int = 0
    """All of them: recordings and pieces."""

    def to_dict(self) -> dict[str, Any]:
        """Everything but the examples, as plain values."""
        return {
            "name": self.name,
            "recordings": self.recordings,
            "seconds": round(self.seconds, 3),
            "kept": self.kept,
            "dropped": self.dropped,
            "rejected": self.rejected,
            "pieces": self.pieces,
            "kept_seconds": round(self.kept_seconds, 3),
            "drops": self.num_drops,
            "steps": {
                name: {key: round(value, 3) for key, value in step.__dict__.items()}
                for name, step in self.steps.items()
            },
            "histograms": {name: histogram.to_dict() for name, histogram in self.histograms.items()},
        }


_CHANGING = ("resample", "trim", "loudness", "cut")


def summarise(name: str, rows: Iterable[Row]) -> SourceSummary:
    """Go once through the rows of a source.

    Raises:
        ValueError: a row without the fields that every row has (names the source, the row and the field).
    """
    total = SourceSummary(name=name)
    chosen: dict[str, list[tuple[int, int, Example]]] = {}
    for number, row in enumerate(rows):
        try:
            found = list(_add(total, row))
        except KeyError as error:
            raise ValueError(
                f"source {name}, row {number}: no field {error}; was it written by aoede prepare?"
            ) from None
        for example in found:
            if example.step != "kept":
                total.num_drops += 1
                if len(total.listed) < LISTED:
                    total.listed.append(example)
            _choose(chosen.setdefault(example.step, []), number, example)
    total.examples = {
        step: [example for *_, example in sorted(kept, reverse=True, key=lambda item: item[:2])]
        for step, kept in chosen.items()
    }
    total.steps = {step: total.steps[step] for step in (*STEPS, *sorted(total.steps)) if step in total.steps}
    return total


def _add(total: SourceSummary, row: Row) -> Iterator[Example]:
    """Count a row; yields what it has to show."""
    total.recordings += 1
    seconds = row["seconds"] or 0.0
    total.seconds += seconds
    status, pieces = row["status"], row["pieces"]
    setattr(total, status, getattr(total, status) + 1)
    total.pieces += len(pieces)
    total.kept_seconds += sum(piece["seconds"] for piece in pieces)
    if status == "rejected":
        yield _example(row, "rejected", row["reason"], 0.0, seconds, {})
        return
    # What speaks of the whole recording need not say how long that is.
    events = [
        {**event, "start_seconds": event.get("start_seconds", 0.0), "seconds": event.get("seconds") or seconds}
        for event in row["events"]
    ]
    dropped = {(event["start_seconds"], event["seconds"]) for event in events if not event["kept"]}
    for event in events:
        _count(total.steps.setdefault(event["step"], StepSummary()), event)
        place = event["start_seconds"], event["seconds"]
        if event["step"] in MEASURES and event["value"] is not None:
            histogram = total.histograms.setdefault(event["step"], Histogram(MEASURES[event["step"]]))
            histogram.add(event["value"], status == "kept" and place not in dropped)
    shown = set()
    for event in events:
        place = event["start_seconds"], event["seconds"]
        if not event["kept"] and place not in shown:  # the first step that objects counts as the one that dropped it
            shown.add(place)
            yield _example(row, event["step"], event["reason"], *place, _values(events, place))
    for piece in pieces:
        place = piece["start_seconds"], piece["seconds"]
        yield _example(row, "kept", "", *place, _values(events, place))


def _count(step: StepSummary, event: Mapping[str, Any]) -> None:
    step.looked_at += 1
    step.seconds += event["seconds"]
    if not event["kept"]:
        step.dropped += 1
        step.dropped_seconds += event["seconds"]
    elif event["step"] in _CHANGING:
        changed = event["value"] is not None and bool(event["reason"])
        step.changed += changed
        step.unmeasured += event["value"] is None
        if event["step"] in ("trim", "cut"):
            step.left_out_seconds += event["value"] or 0.0
    else:
        step.unmeasured += event["value"] is None


def _values(events: Iterable[Mapping[str, Any]], place: tuple[float, float]) -> dict[str, float]:
    return {
        event["step"]: event["value"]
        for event in events
        if event["value"] is not None and (event["start_seconds"], event["seconds"]) == place
    }


def _example(row: Row, step: str, reason: str, start: float, seconds: float, values: dict[str, float]) -> Example:
    return Example(
        id=row["id"], audio=row["audio"], step=step, reason=reason, start_seconds=start, seconds=seconds, values=values
    )


def _choose(chosen: list[tuple[int, int, Example]], number: int, example: Example) -> None:
    """Keep those of the smallest digests: an even draw that no order and no count changes."""
    draw = int.from_bytes(hashlib.sha256(f"{example.id}\0{example.start_seconds}".encode()).digest()[:8], "big")
    item = (-draw, -number, example)
    if len(chosen) < EXAMPLES:
        heapq.heappush(chosen, item)
    elif item[:2] > chosen[0][:2]:
        heapq.heapreplace(chosen, item)
