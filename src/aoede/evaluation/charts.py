"""Charts of a report as SVG: quality against bit rate, a figure clip by clip, how many clips. No plotting library.

Owns axes, marks and colours. Knows nothing of what the numbers mean; colours are CSS variables of the page, which
`standalone` sets itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["PALETTE", "Point", "Series", "histogram", "palette_css", "rate_chart", "standalone", "strip_chart"]

PALETTE = (
    ("#1f6fb8", "#6fb1f0"),
    ("#c2551b", "#f2935c"),
    ("#2b8a57", "#63c994"),
    ("#8a4fb0", "#c393e6"),
    ("#a8324a", "#ef7d93"),
    ("#6b6a2e", "#c4c264"),
)
"""(on light ground, on dark ground) of each codec, in turn; marks differ in shape too."""

PEOPLE = ("#5b6470", "#9aa4b1")
"""What all others are compared with has no colour of its own."""

BINS = 20

WIDTH, LEFT, RIGHT, TOP = 720, 58, 20, 18


@dataclass(frozen=True, kw_only=True)
class Point:
    """One mark."""

    x: float
    y: float
    low: float
    high: float
    """The whisker's ends; equal where there is none."""
    note: str
    """Told when it is pointed at, and to a screen reader."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """Marks of one colour and shape, joined by a line."""

    name: str
    points: tuple[Point, ...]


def rate_chart(series: Sequence[Series], title: str, y_title: str, better: str, height: int = 300) -> str:
    """Quality upwards, bit rate to the right (a logarithmic axis where the rates differ by more than 4).

    Args:
        series: one a codec, in the order of the palette; each with at least one point.
        better: "lower" or "higher", told beside the axis.
    """
    points = [point for one in series for point in one.points]
    rates, values = [point.x for point in points], [y for point in points for y in (point.low, point.high, point.y)]
    logarithmic = max(rates) > 4 * min(rates)
    across = _axis_x(min(rates), max(rates), logarithmic)
    ticks = _ticks(min(values), max(values))
    bottom = height - 44

    def up(y: float) -> float:
        return bottom - (y - ticks[0]) / (ticks[-1] - ticks[0]) * (bottom - TOP)

    parts = [_open(height + 26, title)]
    for tick in ticks:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{up(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    marks = _rate_ticks(min(rates), max(rates), logarithmic)
    for tick in marks:
        parts.append(f'<line class="axis" x1="{across(tick):.1f}" x2="{across(tick):.1f}" y1="{bottom}" ')
        parts[-1] += f'y2="{bottom + 5}"/>'
        parts.append(f'<text x="{across(tick):.1f}" y="{bottom + 19}" text-anchor="middle">{_rate(tick)}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{bottom + 36}" text-anchor="end">bit rate</text>')
    parts.append(f'<text x="{LEFT}" y="10">{escape(y_title)}, {escape(better)} is better</text>')
    for index, one in enumerate(series):
        style = f'class="s{index % len(PALETTE)}"'
        if len(one.points) > 1:
            line = " ".join(f"{across(p.x):.1f},{up(p.y):.1f}" for p in one.points)
            parts.append(f'<polyline {style} points="{line}" fill="none" stroke="currentColor" stroke-width="2"/>')
        for point in one.points:
            x, y = across(point.x), up(point.y)
            parts.append(f"<g {style}><title>{escape(point.note)}</title>")
            if point.high > point.low:
                parts.append(_whisker(x, up(point.low), up(point.high)))
            parts.append(_mark(index, x, y) + "</g>")
    return "".join(parts) + _legend([one.name for one in series], height + 4) + "</svg>"


def strip_chart(
    rows: Sequence[tuple[str, Sequence[float], Point | None]],
    title: str,
    better: str,
    colours: Sequence[int | None] | None = None,
) -> str:
    """Every clip as a dot, a row a system, over one axis; the mean as a mark with its interval.

    Args:
        rows: (name, a value a clip, the mean: `x` is it, `low` and `high` its interval).
        better: told beside the axis.
        colours: place in the palette of each row, None for what the others are compared with; in turn by default.
    """
    places = range(len(rows)) if colours is None else colours
    values = [value for _, found, _ in rows for value in found]
    ticks = _ticks(min(values), max(values))
    step, label = 34, 150
    height = TOP + step * len(rows)

    def along(value: float) -> float:
        return label + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (WIDTH - RIGHT - label)

    parts = [_open(height + 40, title)]
    for tick in ticks:
        parts.append(f'<line class="grid" x1="{along(tick):.1f}" x2="{along(tick):.1f}" y1="{TOP}" y2="{height}"/>')
        parts.append(f'<text x="{along(tick):.1f}" y="{height + 17}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{height + 35}" text-anchor="end">{escape(title)}, clip by clip; ')
    parts[-1] += f"{escape(better)} is better</text>"
    for index, (place, (name, found, mean)) in enumerate(zip(places, rows, strict=True)):
        y = TOP + step * index + step / 2
        short = name if len(name) <= 22 else name[:21] + "…"
        parts.append(f'<text x="0" y="{y + 4:.1f}">{escape(short)}<title>{escape(name)}</title></text>')
        parts.append(f'<g class="{_class(place)}">')
        parts += [f'<circle cx="{along(value):.1f}" cy="{y:.1f}" r="4" class="dot"/>' for value in found]
        if mean is not None:
            parts.append(f"<g><title>{escape(mean.note)}</title>")
            parts.append(_whisker(along(mean.low), y, y, along(mean.high)))
            parts.append(_mark(place or 0, along(mean.x), y) + "</g>")
        parts.append("</g>")
    return "".join(parts) + "</svg>"


def histogram(
    rows: Sequence[tuple[str, Sequence[float]]],
    title: str,
    top: float | None = None,
    colours: Sequence[int | None] | None = None,
) -> str:
    """How many clips have which value: bars of several systems side by side, over one axis.

    Args:
        rows: (name, a value a clip), each with one value at least.
        top: right end of the axis, and the last bar takes what lies above; None is the largest value.
        colours: as in `strip_chart`.
    """
    places = list(range(len(rows)) if colours is None else colours)
    values = [value for _, found in rows for value in found]
    ticks = _ticks(min(0.0, *values), max(values) if top is None else top)
    size = (ticks[-1] - ticks[0]) / BINS
    counts = [[0] * BINS for _ in rows]
    for count, (_, found) in zip(counts, rows, strict=True):
        for value in found:
            count[min(int((value - ticks[0]) / size), BINS - 1)] += 1
    tallest = max(max(count) for count in counts)
    height, bottom = 210, 210 - 44
    step = (WIDTH - RIGHT - LEFT) / BINS
    wide = step * 0.86 / len(rows)
    parts = [_open(height + 26, title)]
    for clips in sorted({0, tallest // 2, tallest}):
        y = bottom - (bottom - TOP) * clips / tallest
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{clips}</text>')
    for i, (place, (name, _), count) in enumerate(zip(places, rows, counts, strict=True)):
        bars = []
        for place_of_bin, number in enumerate(count):
            if number:
                x, tall = LEFT + place_of_bin * step + (i + 0.5) * wide, (bottom - TOP) * number / tallest
                edges = f"{ticks[0] + place_of_bin * size:.4g} to {ticks[0] + (place_of_bin + 1) * size:.4g}"
                bars.append(
                    f'<rect x="{x:.1f}" y="{bottom - tall:.1f}" width="{wide:.1f}" height="{tall:.1f}" '
                    f'fill="currentColor"><title>{escape(name)}, {edges}: {number}</title></rect>'
                )
        parts.append(f'<g class="{_class(place)}">{"".join(bars)}</g>')
    for tick in ticks:
        x = LEFT + (tick - ticks[0]) / (ticks[-1] - ticks[0]) * (WIDTH - RIGHT - LEFT)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{tick:g}</text>')
    beyond = f"; {top:g} and more in the last bar" if top is not None and max(values) > top else ""
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{bottom + 35}" text-anchor="end">{escape(title)}{beyond}</text>')
    return "".join(parts) + _legend([name for name, _ in rows], height + 4, places) + "</svg>"


def palette_css() -> str:
    """The classes of the series, for light and dark grounds."""
    named = [*((f"s{i}", colours) for i, colours in enumerate(PALETTE)), ("people", PEOPLE)]
    light, dark = ("".join(f".{name}{{color:{colours[i]}}}" for name, colours in named) for i in (0, 1))
    return f"{light}@media(prefers-color-scheme:dark){{{dark}}}"


def standalone(svg: str) -> str:
    """A chart as a file of its own: with its name space, colours and ground."""
    style = (
        "svg{font:12px system-ui,sans-serif;background:#fff}text{fill:#333}.grid{stroke:#8883}.axis{stroke:#888}"
        ".dot{fill:currentColor;opacity:.35}.ground{fill:#fff}" + palette_css().partition("@media")[0]
    )
    head, _, rest = svg.partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{style}</style>{rest}\n'


def _open(height: int, title: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'


def _axis_x(low: float, high: float, logarithmic: bool) -> Callable[[float], float]:
    def place(x: float) -> float:
        return math.log(x) if logarithmic else x

    begin, end = place(low), place(high)
    margin = 0.08 * (end - begin) or 0.1 * abs(end) or 1.0

    def across(x: float) -> float:
        return LEFT + (place(x) - begin + margin) / (end - begin + 2 * margin) * (WIDTH - RIGHT - LEFT)

    return across


def _rate_ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    if low == high:
        return [low]
    if not logarithmic:
        return [tick for tick in _ticks(low, high) if low * 0.98 <= tick <= high * 1.02]
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [f * 10.0**d for d in decades for f in (1, 2, 5) if low * 0.9 <= f * 10.0**d <= high * 1.1]


def _ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`."""
    if high - low < 1e-9 * max(abs(high), 1e-6):
        margin = abs(high) * 0.1 or 1.0
        low, high = low - margin, high + margin
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(f * power for f in (1, 2, 5, 10) if f * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _rate(bits: float) -> str:
    return f"{bits:g} bit/s" if bits < 1000 else f"{bits / 1000:g} kbit/s"


def _whisker(x: float, y: float, other_y: float, other_x: float | None = None) -> str:
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{x if other_x is None else other_x:.1f}" y2="{other_y:.1f}" '
        'stroke="currentColor" stroke-width="2"/>'
    )


def _mark(index: int, x: float, y: float) -> str:
    """Circle, square, triangle, diamond in turn: told apart without colours."""
    shapes = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6"',
        f'<rect x="{x - 5.5:.1f}" y="{y - 5.5:.1f}" width="11" height="11"',
        f'<path d="M{x:.1f} {y - 7:.1f}l6.5 12h-13z"',
        f'<path d="M{x:.1f} {y - 7.5:.1f}l7.5 7.5-7.5 7.5-7.5-7.5z"',
    )
    return f'{shapes[index % len(shapes)]} fill="currentColor" stroke="var(--ground, #fff)" stroke-width="1.5"/>'


def _class(place: int | None) -> str:
    return "people" if place is None else f"s{place % len(PALETTE)}"


def _legend(names: Sequence[str], y: float, places: Sequence[int | None] | None = None) -> str:
    parts, x = [], float(LEFT)
    for place, name in zip(range(len(names)) if places is None else places, names, strict=True):
        short = name if len(name) <= 24 else name[:23] + "…"
        parts.append(f'<g class="{_class(place)}">{_mark(place or 0, x + 6, y)}</g>')
        parts.append(f'<text x="{x + 18:.1f}" y="{y + 4:.1f}">{escape(short)}<title>{escape(name)}</title></text>')
        x += 34 + 6.6 * len(short)
    return "".join(parts)
