"""What a corpus folder is being made from: `corpus.json`, written first and held to ever after.

Owns the comparison of a run with the one that began the folder. Sources may be added behind the others; anything else
that would change a byte of what is there is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..codes import REPORT, CodesInfo
from ..manifest import Clip
from ..saving import write_json
from ..strict import to_dict
from .config import CorpusConfig, SourceConfig
from .sources import clips_digest, place_size
from .texts import TextSurvey

PLAN = "corpus.json"

_SHARED = ("codec_fingerprint", "seed", "shard_clips", "shard_documents", "batch_seconds")
_OWN = ("name", "kind", "language", "rows", "content", "clean", "augment")
_WORDS = {
    "rows": "another number of recordings or texts",
    "content": "other recordings or texts (an id, a text, an order or a file changed)",
}


def plan_of(config: CorpusConfig, info: CodesInfo | None, sources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The plan of a run; `sources` as `recordings_plan` and `texts_plan` give them."""
    return {
        "format": 1,
        "codec_fingerprint": None if info is None else info.codec_fingerprint,
        "seed": config.seed,
        "shard_clips": config.shard_clips,
        "shard_documents": config.shard_documents,
        "batch_seconds": config.batch_seconds,
        "sources": list(sources),
    }


def recordings_plan(source: SourceConfig, clips: Sequence[Clip]) -> dict[str, Any]:
    """What is told of a source of recordings."""
    content = clips_digest(clips)
    if any(not isinstance(clip.audio, str) for clip in clips):
        content += f"-{place_size(source.path)}"
    return {
        **_told(source),
        "rows": len(clips),
        "content": content,
        "clean": to_dict(source.clean),
        "augment": None if source.augment is None else to_dict(source.augment),
    }


def texts_plan(source: SourceConfig, survey: TextSurvey) -> dict[str, Any]:
    """What is told of a source of texts."""
    return {**_told(source), "rows": survey.documents, "content": survey.digest, "clean": None, "augment": None}


def hold_to_plan(folder: Path, plan: Mapping[str, Any]) -> None:
    """Write the plan where there is none; accept one that only adds sources, or tells licences and places anew.

    Raises:
        ValueError: the folder holds something else, or was begun with another plan (names what differs).
    """
    path = folder / PLAN
    if not path.exists():
        others = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
        if others:
            raise ValueError(f"{folder}: holds {others[0]}, which no corpus run began; give an empty or a new folder")
        write_json(path, plan)
        return
    before = read_plan(folder)
    _compare(folder, before, plan)
    if before != plan:
        (folder / REPORT).unlink(missing_ok=True)  # it would call the folder finished
        write_json(path, plan)


def read_plan(folder: Path) -> dict[str, Any]:
    """The plan of a corpus folder.

    Raises:
        ValueError: not a corpus folder, or one of another version.
    """
    path = folder / PLAN
    if not path.is_file():
        raise ValueError(f"{folder}: not a corpus (no {PLAN}); `aoede prepare corpus.yaml {folder}` makes one")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values["format"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: damaged; it is no plan that `aoede prepare` wrote") from None
    if version != 1:
        raise ValueError(f"{path}: format {version}; this Aoede reads format 1")
    return dict(values)


def _told(source: SourceConfig) -> dict[str, Any]:
    return {
        "name": source.name,
        "kind": source.kind,
        "language": source.language,
        "licence": source.licence,
        "path": source.path,
    }


def _compare(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    remedy = "give another folder, or delete this one to begin anew"
    for key in _SHARED:
        was = before.get(key)
        if was != now[key] and not (key == "codec_fingerprint" and was is None):
            raise ValueError(f"{folder}: was begun with another {key}: it was {was} and is {now[key]}; {remedy}")
    for number, old in enumerate(before["sources"]):
        if number >= len(now["sources"]):
            raise ValueError(f"{folder}: source {old['name']} is no longer in the corpus file; {remedy}")
        new = now["sources"][number]
        for key in _OWN:
            if not _same(old.get(key), new[key]):
                what = _WORDS.get(key, f"another {key}")
                raise ValueError(
                    f"{folder}: source {old['name']} was begun with {what}: {_change(old.get(key), new[key])}; {remedy}"
                )


def _same(old: Any, new: Any) -> bool:
    """Equal, where a key that one of them lacks counts as null: a step that is younger than the folder was off."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(_same(old.get(key), new.get(key)) for key in {**old, **new})
    return bool(old == new)


def _change(old: Any, new: Any, key: str = "") -> str:
    """Where two values differ first, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys([*old, *new]):
            if not _same(old.get(name), new.get(name)):
                return _change(old.get(name), new.get(name), f"{key}.{name}" if key else name)
    return f"{key + ' ' if key else 'it '}was {old!r} and is {new!r}"
