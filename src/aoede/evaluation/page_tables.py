"""Tables of a report's page.

Owns how figures and differences stand in cells, and that a wide table scrolls by keyboard.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from aoede.evaluation.figures import Figure
from aoede.evaluation.intervals import Interval

__all__ = ["cell", "difference_cell", "name_of", "number_cell", "table"]

MARKS = {"better": "▲ better", "worse": "▼ worse"}


def table(head: Sequence[str], rows: Sequence[Sequence[str]], label: str, sortable: bool = False) -> str:
    """Cells are HTML already, `<td>` or `<th>` included where they begin with one; the first of a row is its head."""
    names = "".join(
        f'<th scope="col">{f"<button type=button>{name}</button>" if sortable and name else name}</th>' for name in head
    )
    lines = []
    for first, *rest in rows:
        cells = "".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in rest)
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    return (
        f'<div class="scroll" role="region" aria-label="{escape(label)}" tabindex="0"><table><thead><tr>{names}</tr>'
        f"</thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def cell(figure: Figure, interval: Interval | None, best: bool = False, *, signed: bool = False) -> str:
    """A figure with its interval, as `<td>`; `signed` has a plus before what is above 0."""
    if interval is None:
        return '<td class="quiet">–</td>'
    plus = "+" if signed and interval.value > 0 else ""
    value = f"<span>{plus}{_minus(figure.show_number(interval.value))}</span>"
    if interval.count > 1:
        low, high = _minus(figure.show_number(interval.low)), _minus(figure.show_number(interval.high))
        value += f' <span class="between">({low} to {high})</span>'
    return f"<td{' class=best' if best else ''}>{value}</td>"


def difference_cell(shown: str, said: str) -> str:
    """A difference, as `<td>` already, with what is said of it: "better", "worse" or ""."""
    return shown.removesuffix("</td>") + f' <span class="{said}">{MARKS[said]}</span></td>' if said else shown


def number_cell(figure: Figure, value: float | None) -> str:
    """A number that its column is sorted by."""
    shown = "–" if value is None else _minus(figure.show_number(value))
    return f'<td data-value="{"" if value is None else value}">{shown}</td>'


def name_of(figure: Figure) -> str:
    """A figure's name as a row's head, with an arrow to the better side, told in full when pointed at."""
    unit = f" <small>{escape(figure.unit)}</small>" if figure.unit else ""
    arrow = {"lower": "↓", "higher": "↑"}.get(figure.better, "→ 1")
    told = f"{figure.better} is better"
    return (
        f'<span title="{escape(figure.meaning)}">{escape(figure.name)}</span>{unit} '
        f'<small role="img" aria-label="{told}" title="{told}">{arrow}</small>'
    )


def _minus(number: str) -> str:
    return number.replace("-", "−")
