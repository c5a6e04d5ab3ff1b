"""`packing.yaml`: how the documents of a folder are made, and which sources it holds.

Owns the file and the refusal to go on with a folder that was begun in another way. Knows nothing of documents.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from ..saving import replacing

SETTINGS = "packing.yaml"
"""Written first into the folder: how its documents are made, and which sources it will hold."""


def read_settings(folder: Path) -> dict[str, Any]:
    """`packing.yaml` of a folder.

    Raises:
        ValueError: it is not there, or damaged.
    """
    path = folder / SETTINGS
    if not path.is_file():
        raise ValueError(f"{folder}: no {SETTINGS}; `aoede pack CORPUS --out {folder}` makes such a folder")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: damaged: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict) or values.get("format") != 1 or not isinstance(values.get("sources"), dict):
        raise ValueError(f"{path}: not the settings that `aoede pack` writes (format 1)")
    return values


def hold_to_settings(folder: Path, settings: dict[str, Any], only: Collection[str]) -> None:
    """Write the settings, or compare them with those that the folder was begun with.

    Args:
        settings: `sources` are all of the corpus, name to digest.
        only: those that are packed now; the folder's list becomes these and the ones it had.
    Raises:
        ValueError: other settings, or a finished source that changed or is gone since.
    """
    path = folder / SETTINGS
    listed = set(only)
    if path.exists():
        before = read_settings(folder)
        listed |= set(before["sources"])
        for key in ("tokenizer", "codec", "vocabulary", "max_tokens", "text_before_audio"):
            # A folder of texts alone may get its first recordings later.
            if before.get(key) != settings[key] and not (key == "codec" and before.get(key) is None):
                raise ValueError(
                    f"{folder}: was begun with another {key}: {before.get(key)}, now {settings[key]}; "
                    "give another --out, or delete this folder to begin anew"
                )
        for name, content in before["sources"].items():
            # What is not finished may have been mended by preparing it again.
            if settings["sources"].get(name) != content and (folder / f"{name}.json").is_file():
                what = "has changed" if name in settings["sources"] else "is not in the corpus any more"
                raise ValueError(
                    f"{folder}: source {name} {what} since it was packed; give another --out, or delete "
                    "this folder to begin anew"
                )
    elif any(folder.glob("*.idx")):
        raise ValueError(f"{folder}: holds .idx files that no run of `aoede pack` began; give another --out")
    sources = {name: content for name, content in settings["sources"].items() if name in listed}
    settings = {**settings, "sources": sources}
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")
