"""Metrics: means between two rows, `metrics.jsonl`, TensorBoard, and curves at the end.

Owns what a run writes about itself. One JSON row a phase and step: `{"step": 100, "phase": "train", "loss": 3.2, ...}`.
Phases: `train`, `eval`, and `change`, which is how far `eval` has moved from the row of step 0 (-0.2 is a fifth less).
On resume the rows after the checkpoint's step are cut away, so the log reads as one uninterrupted run. Knows nothing of
what the numbers mean, except that a name's part before the first `/` is the panel it is drawn in.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Meter:
    """Running means of named numbers; a name may be missing in some steps (its own count is kept)."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """The means since the last call; starts anew."""
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])


def changes(values: Mapping[str, float], baseline: Mapping[str, float]) -> dict[str, float]:
    """`value / baseline - 1` of every number; those whose baseline is not above 0 (decibels, say) have no ratio."""
    return {name: value / baseline[name] - 1.0 for name, value in values.items() if baseline.get(name, 0.0) > 0.0}


def against(name: str, value: float, baseline: float | None) -> str:
    """A number and where it came from, for a person: `mel 1.21 (from 1.52, -20.4%)`."""
    if baseline is None:
        return f"{name} {value:.4g}"
    change = changes({name: value}, {name: baseline}).get(name)
    return f"{name} {value:.4g} (from {baseline:.4g}{'' if change is None else f', {change:+.1%}'})"


def is_detail(name: str) -> bool:
    """Whether a number is one of very many, `loss/<source>/<range>`: logged, but in no line and no chart of all."""
    return name.count("/") > 1


class MetricsLog:
    """`metrics.jsonl`, and TensorBoard where it is installed and wanted."""

    def __init__(self, out_dir: str | Path, *, start_step: int = 0, tensorboard: bool = True) -> None:
        """Open for appending after `start_step`; rows of later steps are removed first."""
        self.path = Path(out_dir) / "metrics.jsonl"
        self.notice: str | None = None
        """A sentence for the user when TensorBoard was asked for and is missing."""
        truncate_log(self.path, start_step)
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 (closed by close)
        self._writer: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                self.notice = (
                    "TensorBoard is not installed, metrics go to metrics.jsonl only; pip install 'aoede[train]' adds it"
                )
            else:
                self._writer = SummaryWriter(str(Path(out_dir) / "tensorboard"), purge_step=start_step + 1)

    def write(self, step: int, phase: str, values: Mapping[str, float]) -> None:
        """Append one row and flush it; non-finite numbers are written as strings (JSON has none)."""
        row = {name: value if math.isfinite(value) else str(value) for name, value in values.items()}
        self._file.write(json.dumps({"step": step, "phase": phase, **row}) + "\n")
        self._file.flush()
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{phase}/{name}", value, step)

    def close(self) -> None:
        self._file.close()
        if self._writer is not None:
            self._writer.close()


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a `metrics.jsonl`; a last line torn by a kill is left out."""
    rows = []
    path = Path(path)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ValueError(f"{path}, line {number} is not JSON: {line[:60]!r}") from error
    return rows


def truncate_log(path: str | Path, step: int) -> None:
    """Keep the rows up to and including `step` (atomically)."""
    path = Path(path)
    if not path.is_file():
        return
    rows = [row for row in read_log(path) if row["step"] <= step]
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    os.replace(temporary, path)


def plot_curves(log: str | Path, image: str | Path) -> bool:
    """Draw a log: one panel a name's first part (`loss/C` and `loss/M` share one), training thin, evaluation dotted.

    Where evaluation began before the first step, that baseline is a dashed line, and the label tells the change since.

    Returns:
        False where there is nothing to draw.
    Raises:
        ImportError: matplotlib is missing (extra `aoede[plot]`).
    """
    panels: dict[str, dict[tuple[str, str], tuple[list[int], list[float]]]] = {}
    for row in read_log(log):
        if row["phase"] == "change":
            continue
        for name, value in row.items():
            if name not in ("step", "phase") and not is_detail(name) and isinstance(value, int | float):
                xs, ys = panels.setdefault(name.split("/")[0], {}).setdefault((row["phase"], name), ([], []))
                xs.append(row["step"])
                ys.append(float(value))
    if not panels:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    order = sorted(panels, key=lambda name: (name != "loss", not name.startswith("utilisation"), name))
    columns = min(3, len(order))
    rows = math.ceil(len(order) / columns)
    figure = Figure(figsize=(5.2 * columns, 3.4 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for index, panel in enumerate(order):
        axes = figure.add_subplot(rows, columns, index + 1)
        for (phase, name), (xs, ys) in sorted(panels[panel].items()):
            label = f"{phase} {name}" if "/" in name else phase
            if phase == "train":
                axes.plot(xs, ys, linewidth=0.9, label=label)
            else:
                if xs[0] == 0 and len(xs) > 1:
                    change = changes({name: ys[-1]}, {name: ys[0]}).get(name)
                    label += "" if change is None else f" ({change:+.1%})"
                (line,) = axes.plot(xs, ys, linewidth=1.2, marker="o", markersize=3, linestyle=":", label=label)
                if xs[0] == 0:
                    axes.axhline(ys[0], linewidth=0.8, linestyle="--", color=line.get_color(), alpha=0.6)
        axes.set_title(panel, fontsize=10)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=6)
    image = Path(image)
    temporary = image.with_name(f".{os.getpid()}-{image.name}")
    figure.savefig(temporary, dpi=110)
    os.replace(temporary, image)
    return True
