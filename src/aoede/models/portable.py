"""The code that travels inside a saved model folder, so that it loads where Aoede is not installed.

Owns which files go along (all that a model's own file imports, and what those import) and how their imports change.
Knows nothing of weights. This file travels too: a model loaded from a folder writes the same folder again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

AUTO_MAP = {"AutoConfig": "config.CodecLMConfig", "AutoModelForCausalLM": "causal_lm.CodecCausalLM"}
_IMPORT = re.compile(r"^(\s*)from (?:aoede\.(models|tokens)(?:\.(two_stage))?)?\.(\w+) import", flags=re.MULTILINE)


def write_code(
    folder: str | os.PathLike[str], first: Path | None = None, auto_map: Mapping[str, str] = AUTO_MAP
) -> dict[str, str]:
    """Copy the modelling files into `folder`, their imports made relative; returns the `auto_map` of config.json.

    Args:
        first: the file that holds the model; None: `causal_lm.py` beside this one.
    """
    here = Path(__file__).resolve().parent
    waiting, done = [(first or here / "causal_lm.py").resolve()], dict[str, Path]()
    while waiting:
        source = waiting.pop()
        if source.name in done:
            assert done[source.name] == source, f"two files of one name would travel: {source}"
            continue
        done[source.name] = source
        text = source.read_text(encoding="utf-8")
        for _, room, inner, name in _IMPORT.findall(text):
            waiting.append((here.parent / room / inner if room else source.parent) / f"{name}.py")
        partial = Path(folder) / f"{source.name}.partial"
        partial.write_text(_IMPORT.sub(r"\1from .\4 import", text), encoding="utf-8")
        os.replace(partial, Path(folder) / source.name)
    return dict(auto_map)
