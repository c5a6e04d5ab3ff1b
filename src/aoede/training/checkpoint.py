"""Checkpoints: one directory a step, complete or absent, found by listing.

Owns how a state dict reaches the disk and comes back, and which checkpoints are kept. A checkpoint is written under a
temporary name and renamed, so a killed process never leaves one that looks whole. Also owns the random states (torch,
CUDA, numpy, python) that make a resumed run equal an uninterrupted one. Knows nothing of models or losses.
"""

import json
import os
import pickle
import random
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aoede import folders

_NAME = re.compile(r"step-(\d{8,})")
TEMPORARY = ".incomplete-"
"""How the name of an unfinished folder begins."""


def save_checkpoint(root: str | Path, step: int, state: dict[str, Any], recipe: str | None = None) -> Path:
    """Write `root/step-XXXXXXXX/` (`state.pt`, `meta.json`, `recipe.yaml`), atomically; one of that step is replaced.

    `state` holds tensors, numbers, strings, lists, tuples and dicts only: it is read back with `weights_only=True`.
    """
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    final = root / f"step-{step:08d}"
    temporary = root / f"{TEMPORARY}{final.name}-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    write_parts(temporary, step, state, recipe)
    put_in_place(temporary, final)
    return final


def write_parts(
    folder: Path, step: int, state: dict[str, Any], recipe: str | None = None, meta: dict[str, Any] | None = None
) -> None:
    """Write a checkpoint's files into a folder; `meta` is added to `meta.json`."""
    with open(folder / "state.pt", "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    if recipe is not None:
        (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    known = {"format": 1, "step": step, "torch": str(torch.__version__)} | (meta or {})
    (folder / "meta.json").write_text(json.dumps(known) + "\n", encoding="utf-8")


def put_in_place(temporary: Path, final: Path) -> None:
    """Give a complete folder its name; one that had it goes."""
    folders.put_in_place(temporary, final, final.with_name(f"{TEMPORARY}replaced-{final.name}-{os.getpid()}"))


def list_checkpoints(root: str | Path) -> list[Path]:
    """The complete checkpoints under `root`, oldest step first; anything else there is ignored."""
    root = Path(root)
    if not root.is_dir():
        return []
    found = [path for path in root.iterdir() if _NAME.fullmatch(path.name) and (path / "meta.json").is_file()]
    return sorted(found, key=step_of)


def latest_checkpoint(root: str | Path) -> Path | None:
    """The checkpoint of the highest step, or None."""
    found = list_checkpoints(root)
    return found[-1] if found else None


def step_of(path: str | Path) -> int:
    """The number of finished steps that a checkpoint's name states."""
    match = _NAME.fullmatch(Path(path).name)
    if not match:
        raise ValueError(f"{path} is not a checkpoint: its folder is called step-XXXXXXXX")
    return int(match[1])


def load_checkpoint(path: str | Path, map_location: str = "cpu") -> dict[str, Any]:
    """Read a checkpoint's state.

    Raises:
        ValueError: the folder is no checkpoint or its `state.pt` is damaged (says which, and what to do).
    """
    path = Path(path)
    file = path / "state.pt"
    if not file.is_file():
        raise ValueError(f"{path} is not a checkpoint: it has no state.pt")
    try:
        state: dict[str, Any] = torch.load(file, map_location=map_location, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{file} cannot be read ({first}); move {path.name} away to go on from an older one"
        ) from error
    return state


def prune_checkpoints(root: str | Path, keep: int, protect: Collection[int] = ()) -> None:
    """Delete all but the newest `keep` checkpoints and those of the steps in `protect`."""
    for path in list_checkpoints(root)[:-keep]:
        if step_of(path) not in protect:
            # Renamed first: a half-deleted folder must not look like a checkpoint.
            doomed = path.with_name(f"{TEMPORARY}pruned-{path.name}")
            os.rename(path, doomed)
            shutil.rmtree(doomed)


def sweep(root: str | Path) -> None:
    """Remove what killed writers left behind (only call it while holding the run's lock)."""
    root = Path(root)
    if root.is_dir():
        for path in root.glob(f"{TEMPORARY}*"):
            shutil.rmtree(path)


def random_states() -> dict[str, Any]:
    """The state of every random generator a training step may draw from."""
    algorithm, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    assert algorithm == "MT19937"
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": (torch.from_numpy(np.asarray(keys, dtype=np.int64)), int(position), int(has_gauss), float(cached)),
        "python": random.getstate(),
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Undo: every generator goes on where `random_states` was taken."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
    keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, cached))
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))


def seed_everything(seed: int) -> None:
    """Seed torch (all devices), numpy and python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
