"""A codec by its name: `mimi:DIR`, `dac:DIR`, `encodec:DIR`, `snac:DIR`, or a plain folder, which is a SNAC.

Owns the reading of such names. `weights.py` opens a SNAC, `other.py` the rest.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from aoede.codec.interface import Codec

_NAME = re.compile(r"(?P<kind>[a-z0-9]+)(?:@(?P<levels>\d+))?:(?P<source>.+)", re.DOTALL)

KINDS = ("snac", "mimi", "dac", "encodec")


def load_codec(name: str | os.PathLike[str]) -> Codec:
    """Opens a codec, ready to use.

    Args:
        name: a folder or hub repository of a SNAC, with or without `snac:` before it; or `mimi:`, `dac:`, `encodec:`
            and a folder or hub repository in the form of `transformers`. `mimi@8:DIR` uses the first 8 levels.
    Raises:
        ValueError: an unknown kind, no such folder or repository, or one that does not hold such a codec.
    """
    text = os.fspath(name)
    parts = None if Path(text).is_dir() else _NAME.fullmatch(text)
    kind, levels, source = ("snac", None, text) if parts is None else parts.group("kind", "levels", "source")
    if kind not in KINDS:
        raise ValueError(f"{text}: no codec is called '{kind}'; there are {', '.join(KINDS)}")
    if kind == "snac":
        from aoede.codec.weights import load_codec as load_snac

        if levels is not None:
            raise ValueError(f"{text}: a SNAC needs all its levels; leave @{levels} out")
        if (found := _model_type(Path(source))) in KINDS[1:]:
            raise ValueError(f"{source}: holds a model of type '{found}'; name it {found}:{source}")
        return load_snac(source)
    from aoede.codec.other import open_other

    return open_other(kind, source, None if levels is None else int(levels))


def names_codec(name: str | os.PathLike[str]) -> bool:
    """Whether a name says which kind of codec it means, as `mimi:DIR` does."""
    parts = _NAME.fullmatch(os.fspath(name))
    return parts is not None and parts["kind"] in KINDS


def _model_type(folder: Path) -> str | None:
    """What a config.json in the form of `transformers` says it belongs to."""
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # whoever opens the folder says what is wrong with it
    return values.get("model_type") if isinstance(values, dict) else None
