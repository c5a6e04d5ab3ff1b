"""Histograms of what the steps measured: fixed bins, filled one number at a time, drawn as SVG.

Owns the bins of each measure and the drawing. Memory does not grow with the corpus. Knows nothing of clips.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

__all__ = ["MEASURES", "Histogram", "Measure"]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What a histogram shows."""

    title: str
    unit: str
    edges: tuple[float, ...]
    """Rising; a bin holds what is at its lower edge or above and below the next. The last has no end."""

    def label(self, edge: float) -> str:
        return f"{edge:g}".replace("-", "−")


def _steps(low: float, high: float, step: float) -> tuple[float, ...]:
    return tuple(round(low + i * step, 6) for i in range(round((high - low) / step) + 1))


MEASURES: Mapping[str, Measure] = {
    "duration": Measure(
        title="Length of the pieces",
        unit="seconds",
        edges=(0, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 45, 60, 120, 300),
    ),
    "loudness": Measure(title="Loudness as found", unit="LUFS", edges=(-100.0, *_steps(-60, 0, 2.5))),
    "noise": Measure(title="Signal to noise, estimated", unit="dB", edges=(-20.0, *_steps(0, 80, 4))),
    "clipping": Measure(
        title="Clipped samples",
        unit="share of all",
        edges=(0, 1e-9, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1),
    ),
    "trim": Measure(
        title="Cut off at the ends", unit="seconds", edges=(0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)
    ),
    "transcript": Measure(title="Character errors of the transcript", unit="a character", edges=_steps(0, 1, 0.05)),
    "mos": Measure(title="Predicted opinion score", unit="1 to 5", edges=_steps(1, 5, 0.25)),
}
"""Step to what is shown of its values. (A first clipping bin for no clipped sample at all.)"""


@dataclass
class Histogram:
    """Counts of what was kept and what was dropped."""

    measure: Measure
    kept: list[int] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kept = self.kept or [0] * len(self.measure.edges)
        self.dropped = self.dropped or [0] * len(self.measure.edges)

    def add(self, value: float, kept: bool) -> None:
        place = max(bisect_right(self.measure.edges, value) - 1, 0)
        (self.kept if kept else self.dropped)[place] += 1

    def merge(self, other: Histogram) -> None:
        self.kept = [a + b for a, b in zip(self.kept, other.kept, strict=True)]
        self.dropped = [a + b for a, b in zip(self.dropped, other.dropped, strict=True)]

    @property
    def count(self) -> int:
        return sum(self.kept) + sum(self.dropped)

    def to_dict(self) -> dict[str, Any]:
        """`edges`: each bin's lower one; `kept` and `dropped`: counts."""
        return {"edges": list(self.measure.edges), "kept": self.kept, "dropped": self.dropped}

    def svg(self) -> str:
        """Bars, dropped ones on top of kept ones; every bar tells its numbers when pointed at."""
        measure, count = self.measure, len(self.measure.edges)
        used = [i for i in range(count) if self.kept[i] + self.dropped[i]]
        first, last = (used[0], used[-1]) if used else (0, 0)
        first, last = max(first - 1, 0), min(last + 1, count - 1)
        shown = range(first, last + 1)
        tallest = max((self.kept[i] + self.dropped[i] for i in shown), default=1) or 1
        width, height, top, step = 520, 130, 16, 520 / len(shown)
        every = math.ceil(len(shown) / 9)
        parts = [
            f'<svg viewBox="0 0 {width} {height + top + 34}" role="img" aria-label="{escape(measure.title)}, '
            f'{escape(measure.unit)}: {sum(self.kept):,} kept, {sum(self.dropped):,} dropped">'
            f'<text x="0" y="11">{tallest:,}</text>'
        ]
        for place, i in enumerate(shown):
            x, low = place * step, float(top + height)
            upper = f"to {measure.label(measure.edges[i + 1])}" if i + 1 < count else "and more"
            told = f"{measure.label(measure.edges[i])} {upper}: {self.kept[i]:,} kept, {self.dropped[i]:,} dropped"
            parts.append(f"<g><title>{escape(told)}</title>")
            for number, name in ((self.kept[i], "kept"), (self.dropped[i], "dropped")):
                if number:
                    tall = max(height * number / tallest, 1.5)
                    low -= tall
                    box = f'x="{x + 1:.1f}" y="{low:.1f}" width="{step - 2:.1f}" height="{tall:.1f}"'
                    parts.append(f'<rect class="{name}" {box}/>')
            parts.append("</g>")
            if place % every == 0:
                parts.append(f'<text x="{x:.1f}" y="{top + height + 15}">{measure.label(measure.edges[i])}</text>')
        parts.append(
            f'<line x1="0" x2="{width}" y1="{top + height}" y2="{top + height}"/>'
            f'<text x="{width}" y="{top + height + 31}" text-anchor="end">{escape(measure.unit)}</text></svg>'
        )
        return "".join(parts)
