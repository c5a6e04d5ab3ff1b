"""Recipes: a YAML file read into nested frozen dataclasses, strictly, and written back.

Owns what is a recipe's own: overrides from the command line, the resolved copy beside a run, what differs between two.
The strictness (unknown and doubled keys, wrong types) is `data/strict.py`'s. Knows nothing of what a recipe trains:
every objective brings its own dataclass, and any dataclass that is nested in it works the same way.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from aoede.data.strict import from_dict, read_mapping, to_dict

__all__ = ["differences", "dump_recipe", "from_dict", "from_settings", "load_recipe", "to_dict"]

R = TypeVar("R")


def load_recipe(path: str | Path, recipe_class: type[R], overrides: Sequence[str] = ()) -> R:
    """Read a recipe.

    Args:
        path: a YAML file whose keys are the fields of `recipe_class` (nested dataclasses are nested mappings).
        recipe_class: a dataclass.
        overrides: `a.b=value` strings, applied after the file; the value is read as YAML.
    Raises:
        ValueError: the file is no YAML mapping, or a key or value does not fit (names file, key and remedy).
        OSError: the file cannot be read.
    """
    data = read_mapping(path, "recipe")
    for override in overrides:
        _override(data, override)
    return from_dict(recipe_class, data, source=str(path))


def from_settings(recipe_class: type[R], settings: Sequence[str]) -> R:
    """A dataclass out of `a.b=value` strings alone, what is not said being as the class has it.

    Raises:
        ValueError: a key or value that does not fit.
    """
    data: dict[str, Any] = {}
    for setting in settings:
        _override(data, setting)
    return from_dict(recipe_class, data, source="command line")


def dump_recipe(recipe: Any, path: str | Path | None = None) -> str:
    """The recipe, every default resolved, as YAML text; written to `path` (atomically) where one is given."""
    text = yaml.safe_dump(to_dict(recipe), sort_keys=False, allow_unicode=True, width=100)
    if path is not None:
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    return text


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Lines `key: old -> new` for every value in which two plain dicts (`to_dict`, or YAML read back) differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        lines = []
        for key in dict.fromkeys([*old, *new]):
            name = f"{prefix}.{key}" if prefix else str(key)
            lines += differences(old.get(key), new.get(key), name)
        return lines
    return [] if old == new else [f"{prefix}: {old} -> {new}"]


def _override(data: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not all(key.split(".")):
        raise ValueError(f"override {override!r} is not of the form key.subkey=value")
    *parents, last = key.split(".")
    for depth, parent in enumerate(parents):
        if data.get(parent) is None:
            data[parent] = {}
        data = data[parent]
        if not isinstance(data, dict):
            raise ValueError(f"override {override!r}: {'.'.join(parents[: depth + 1])} is a value, not a mapping")
    try:
        data[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"override {override!r}: {text!r} is not valid YAML") from error
