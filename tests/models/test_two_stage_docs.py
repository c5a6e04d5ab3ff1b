"""docs/two-stage.md tells the truth: its examples run, its arguments and settings exist."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from aoede.models import TwoStageConfig, TwoStageModel

PAGE = (Path(__file__).parents[2] / "docs" / "two-stage.md").read_text(encoding="utf-8")


def first_column(section):
    """Names in the first column of the first table behind a heading."""
    rows = re.search(rf"{section}.*?\n\|---\|---\|\n(.*?)(?:\n\n|\Z)", PAGE, flags=re.DOTALL).group(1)
    cells = " ".join(row.split("|")[1] for row in rows.splitlines())
    return [name.partition("=")[0] for name in re.findall(r"`([^`]+)`", cells)]


def test_the_python_of_the_page_runs_and_gives_the_shapes_it_says():
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(block, "two-stage.md", "exec"), names)
        if "out = model(frames, labels=labels)\n" in block:
            assert names["out"].backbone_logits.shape == (1, 8, 16) and names["out"].depth_logits.shape == (4, 6, 16)
    assert int(names["drawn"].sum()) == 1 and names["scores"].shape == (1, 8, 7)
    assert all(row.shape[1] == 7 and len(row) <= 6 for row in names["sound"])
    assert names["second"].codes.shape == (1, 7)


def test_its_settings_and_arguments_exist():
    settings = [name for name in first_column("# Two-stage models") if name]
    assert len(settings) == 12 and all(hasattr(TwoStageConfig, name) for name in settings)
    arguments = inspect.signature(TwoStageModel.generate).parameters
    names = [name for name in first_column("## Generating") if name != "depth_..."]
    assert len(names) == 14 and all(name in arguments for name in names)


def test_its_weights_are_those_of_a_model(two_stage):
    model = two_stage(slot_tables=[0, 1, 2, 2, 1, 2, 2], slot_gains=True)
    rest = {name.removesuffix(".weight") for name in model.state_dict() if not name.startswith(("backbone", "depth_d"))}
    assert rest == {name.removesuffix(".weight") for name in first_column("## Folders") if not name.endswith("*")}
