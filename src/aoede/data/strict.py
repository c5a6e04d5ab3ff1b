"""Strict settings: YAML into nested frozen dataclasses, and back into plain values.

Owns the checks that make a settings file trustworthy: an unknown key, a doubled key or a value of the wrong type is an
error that names the file, the key and the nearest thing that exists. Knows nothing of what the settings are for: a
corpus, a mixture and a training recipe each bring their own dataclass.
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import yaml

R = TypeVar("R")


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice in one mapping (plain YAML keeps the last in silence)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":  # `<<: *other`; what the mapping says itself goes before it
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise ValueError(f"line {key_node.start_mark.line + 1}: key {key!r} stands twice in one mapping")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def read_mapping(path: str | Path, what: str = "settings file") -> dict[str, Any]:
    """A YAML file as a mapping; an empty file is an empty one.

    Args:
        what: what the file is called in errors.
    Raises:
        ValueError: not UTF-8, not YAML, a key twice, or not a mapping (names the file and the place).
        OSError: the file cannot be read.
    """
    path = Path(path)
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start + 1} is not UTF-8; convert it with iconv -t UTF-8") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    except ValueError as error:
        raise ValueError(f"{path}, {error}") from error
    data = {} if data is None else data
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds a {type(data).__name__}, but a {what} is a mapping of keys to values")
    return data


def from_dict(expected: type[R], data: Mapping[str, Any], source: str = "settings") -> R:
    """Build a dataclass (and those nested in it) from plain values; a value that does not fit is a ValueError."""
    return typing.cast(R, _build(expected, data, source, ""))


def to_dict(settings: Any) -> dict[str, Any]:
    """A dataclass as plain values (dicts, lists, scalars) that `from_dict` reads back to an equal object."""
    return {field.name: _plain(getattr(settings, field.name)) for field in dataclasses.fields(settings) if field.init}


def _build(expected: Any, data: Any, source: str, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise ValueError(f"{source}: {where or 'the whole'} is {data!r}, but a mapping of keys is expected")
    fields = {field.name: field for field in dataclasses.fields(expected) if field.init}
    for key in data:
        if key not in fields:
            near = difflib.get_close_matches(str(key), list(fields), n=2, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known keys: {', '.join(fields)}"
            raise ValueError(f"{source}: unknown key {_join(where, key)!r}; {hint}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in data:
            raise ValueError(f"{source}: key {_join(where, name)!r} is missing, and it has no default")
    hints = typing.get_type_hints(expected)
    values = {key: _convert(hints[key], value, source, _join(where, key)) for key, value in data.items()}
    try:
        return expected(**values)
    except ValueError as error:
        raise ValueError(f"{source}: {where + ': ' if where else ''}{error}") from error


def _convert(expected: Any, value: Any, source: str, where: str) -> Any:
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        options = [argument for argument in arguments if argument is not type(None)]
        for position, option in enumerate(options):
            try:
                return _convert(option, value, source, where)
            except ValueError:
                if position == len(options) - 1:
                    raise
    if origin is Literal:
        if value in arguments:
            return value
        raise ValueError(f"{source}: {where} is {value!r}; it may be {', '.join(map(str, arguments))}")
    if dataclasses.is_dataclass(expected):
        return _build(expected, value, source, where)
    if origin in (tuple, list, Sequence):
        if not isinstance(value, list | tuple):
            raise ValueError(f"{source}: {where} is {value!r}, but a list is expected")
        if origin is tuple and arguments[-1] is not Ellipsis:
            if len(value) != len(arguments):
                raise ValueError(f"{source}: {where} has {len(value)} entries, but takes {len(arguments)}")
            items = [_convert(a, v, source, f"{where}[{i}]") for i, (a, v) in enumerate(zip(arguments, value))]  # noqa: B905
        else:
            items = [_convert(arguments[0], v, source, f"{where}[{i}]") for i, v in enumerate(value)]
        return list(items) if origin is list else tuple(items)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise ValueError(f"{source}: {where} is {value!r}, but a mapping is expected")
        return {
            _convert(arguments[0], k, source, f"{where} (key)"): _convert(arguments[1], v, source, _join(where, k))
            for k, v in value.items()
        }
    return _scalar(expected, value, source, where)


def _scalar(expected: Any, value: Any, source: str, where: str) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # PyYAML reads `1e-4` as a string (it wants `1.0e-4`); people write the former.
    if expected in (int, float) and isinstance(value, str):
        try:
            value, is_number = float(value), True
        except ValueError:
            is_number = False
    if expected is float and is_number:
        return float(value)
    if expected is int and is_number and float(value).is_integer():
        return int(value)
    if expected is bool and isinstance(value, bool):
        return value
    if expected is str and isinstance(value, str):
        return value
    if expected is Path and isinstance(value, str):
        return Path(value)
    name = getattr(expected, "__name__", str(expected))
    raise ValueError(f"{source}: {where} is {value!r} ({type(value).__name__}), but {name} is expected")


def _join(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
