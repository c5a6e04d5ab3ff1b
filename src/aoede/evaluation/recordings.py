"""Which recordings are measured: a manifest's split, or every sound file of a folder.

Owns the choice between the two and the even spread of a limited number of clips. Reads no audio.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from aoede.data.listing import SOUNDS, is_sound_folder, sound_names
from aoede.data.manifest import Clip, load_manifest

__all__ = ["folder_clips", "open_recordings", "spread"]

Item = TypeVar("Item")


def folder_clips(folder: str | Path) -> list[Clip]:
    """Every sound file in a folder and the folders in it, by path; hidden ones are passed over.

    A text file of the same name (`a.txt` beside `a.wav`) is the clip's text.

    Raises:
        ValueError: no sound file in it.
    """
    root = Path(folder)
    names = sound_names(root)
    if not names:
        raise ValueError(f"{folder}: no sound file in it ({', '.join(sorted(name[1:] for name in SOUNDS))})")
    clips = []
    for name in names:
        path = root / name
        beside = path.with_suffix(".txt")
        text = " ".join(beside.read_text(encoding="utf-8").split()) if beside.is_file() else ""
        clips.append(Clip(audio=str(path.resolve()), id=name, text=text))
    return clips


def open_recordings(
    path: str | Path,
    split: str | None,
    sources: Sequence[str] | None = None,
    speakers: Sequence[str] | None = None,
    text: str | None = "text",
) -> tuple[list[Clip], list[Clip]]:
    """The clips to measure and the others, which may serve as recordings of each speaker.

    Args:
        path: a manifest, or a folder of sound files (which has no splits, sources or speakers).
        split: clips to measure; None is "heldout" for a manifest.
        text: the manifest's column of texts; None where it has none (words are not measured then).
    Raises:
        ValueError: nothing there, no clip of the split, or a filter on a folder of sound files.
    """
    where = Path(path)
    if is_sound_folder(where):
        asked = [name for name, given in (("split", split), ("source", sources), ("speaker", speakers)) if given]
        if asked:
            raise ValueError(f"{path} is a folder of sound files, without a {asked[0]}; a manifest can have one")
        return folder_clips(where), []
    split = split or "heldout"
    pool = load_manifest(path, text=text, sources=sources, speakers=speakers)
    clips = [clip for clip in pool if clip.split == split]
    if not clips:
        there = ", ".join(sorted({str(clip.split) for clip in pool}))
        raise ValueError(f"{path}: no clip has split '{split}'; there are: {there}")
    return clips, [clip for clip in pool if clip.split != split]


def spread(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` items, spread evenly, in their order; None takes all."""
    count = min(limit or len(items), len(items))
    return [items[i * len(items) // count] for i in range(count)]
