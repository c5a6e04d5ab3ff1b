"""What a source's path yields: recordings, with the source's own word on language and origin filled in.

Owns the kinds of places that hold recordings. Texts are `texts.py`'s; what is done with the recordings, `work.py`'s.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from ..listing import is_sound_folder, sound_names
from ..manifest import Clip, load_manifest
from .config import SourceConfig


def source_clips(source: SourceConfig) -> list[Clip]:
    """The recordings of a source in its order: a manifest's, or those of a folder of sound files by their names.

    Raises:
        ValueError: nothing there that lists recordings, a bad row, a selection that keeps nothing (names the source).
    """
    try:
        clips = _clips(source)
    except ValueError as error:
        raise ValueError(f"source {source.name}: {error}") from error
    return [replace(clip, language=clip.language or source.language, source=source.name) for clip in clips]


def _clips(source: SourceConfig) -> list[Clip]:
    place = Path(source.path)
    if is_sound_folder(place):
        names = sound_names(place)
        if not names:
            raise ValueError(f"{place}: no sound files in this folder, and no data set either")
        wanted = [name for name, values in asdict(source.select).items() if values is not None]
        if wanted:
            raise ValueError(f"{place}: sound files say nothing of {', '.join(wanted)}; select by it in a manifest")
        folder = place.resolve()
        return [Clip(audio=os.path.join(folder, name), id=name) for name in names]
    wanted_values = {f"{field}s": values for field, values in asdict(source.select).items()}
    return load_manifest(source.path, **asdict(source.columns), **wanted_values)


def clips_digest(clips: Sequence[Clip]) -> str:
    """A fingerprint of what is to be encoded: every clip's columns and the size of its sound file."""
    digest = hashlib.sha256()
    for clip in clips:
        # Bytes that lie in a table are not read for this: the size of the table stands for them (`place_size`).
        size = os.path.getsize(clip.audio) if isinstance(clip.audio, str) and os.path.isfile(clip.audio) else -1
        digest.update(json.dumps([clip.id, clip.text, clip.speaker, clip.language, clip.split, size]).encode())
    return digest.hexdigest()[:16]


def place_size(path: str) -> int:
    """Bytes of a file, or of all files of a folder; -1 for a name on a hub."""
    place = Path(path)
    if place.is_dir():
        return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    return place.stat().st_size if place.is_file() else -1
