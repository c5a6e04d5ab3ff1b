"""The report of a corpus' cleaning: `report.html`, and the same figures as plain values.

Owns what is written where. Every decision stands in the rows that come in; this counts them and shows some.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..saving import replacing
from .page import render
from .players import player
from .summary import summarise

__all__ = ["ReportedSource", "write_report"]

PAGE = "report.html"


class ReportedSource(Protocol):
    """What a report says of a source beside its figures."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def licence(self) -> str: ...


def write_report(
    folder: str | os.PathLike[str],
    sources: Sequence[ReportedSource],
    rows: Callable[[str], Iterable[Mapping[str, Any]]],
) -> dict[str, Any]:
    """Write `report.html` into a folder, atomically; the same rows and recordings give the same bytes.

    Args:
        sources: in the order in which they are shown.
        rows: the rows of a source by its name, one a recording, in order: `id`, `audio`, `seconds`, `status` (`kept`,
            `dropped`, `rejected`), `reason`, `events` (fields of `Event`) and `pieces` (`id`, `start_seconds`,
            `seconds`). They are gone through once.
    Returns:
        `{"sources": [...]}`: the counts, seconds and histograms of each source, as JSON takes them.
    Raises:
        ValueError: a row without a field.
    """
    summaries = [summarise(source.name, rows(source.name)) for source in sources]
    page = render(
        [(s, source.kind, source.language, source.licence) for s, source in zip(summaries, sources, strict=True)],
        player,
    )
    with replacing(Path(folder) / PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return {"sources": [summary.to_dict() for summary in summaries]}
