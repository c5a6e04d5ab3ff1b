"""Which recordings a recipe names: manifests, or plain folders of sound files.

Owns the listing of a folder and what of it is held out. Opens no sound file; `audio_pool.py` and `audio_files.py` do.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from aoede.data import Clip, load_manifest
from aoede.data.listing import SOUNDS, is_sound_folder, sound_names


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Recordings to learn from."""

    manifest: str
    """What `aoede.data.load_manifest` reads, or a folder of sound files (and folders of them)."""

    sources: tuple[str, ...] = ()
    """Only these values of the manifest's `source` (of a folder: names of its own folders); empty takes all."""


def find_clips(sources: Sequence[SourceConfig], split: str | None, share: float) -> list[Clip]:
    """All clips of a split.

    Args:
        split: None takes every clip.
        share: of a folder's files, how many make up its split `dev`; the others are `train`.
    Raises:
        ValueError: a manifest or folder that cannot be read, holds nothing, or nothing of that split.
    """
    clips: list[Clip] = []
    for source in sources:
        splits = None if split is None else [split]
        if is_sound_folder(Path(source.manifest)):
            found = folder_clips(source.manifest, share)
            if source.sources:
                there = sorted({clip.source for clip in found if clip.source})
                for name in source.sources:
                    if name not in there:
                        raise ValueError(f"{source.manifest}: no folder {name!r} in it; there are: {', '.join(there)}")
                found = [clip for clip in found if clip.source in source.sources]
            if splits is not None:
                held = sorted({clip.split for clip in found})
                found = [clip for clip in found if clip.split in splits]
                if not found:
                    raise ValueError(
                        f"{source.manifest}: nothing of split {split!r}; a folder is split into train and dev, "
                        f"here: {', '.join(held)} (two files are needed at least; or name a folder with data.valid)"
                    )
            clips += found
        else:
            clips += load_manifest(source.manifest, text=None, splits=splits, sources=source.sources or None)
    if not clips:
        raise ValueError(f"split {split!r} of the manifests holds no clips")
    return clips


def folder_clips(place: str, share: float) -> list[Clip]:
    """The sound files under a folder in the order of their names, each `train` or `dev`.

    A file's split is a hash of its path without the suffix: it stays when files are added, and one recording in two
    formats is never torn apart. Where the hash holds out nothing, the file nearest to it is held out.
    """
    root = Path(place).resolve()
    names = [PurePosixPath(name) for name in sound_names(root)]
    if not names:
        raise ValueError(f"{place}: no sound files ({', '.join(sorted(SOUNDS))}) in this folder or in folders of it")
    clips, places = [], []
    for name in names:
        source = name.parts[0] if len(name.parts) > 1 else ""
        places.append(_place(name.with_suffix("").as_posix()))
        clips.append(Clip(audio=str(root / name), id=name.as_posix(), source=source))
    limit = max(share, min(places)) if share > 0.0 and len(set(places)) > 1 else share
    return [
        replace(clip, split="dev" if share > 0.0 and at <= limit else "train")
        for clip, at in zip(clips, places, strict=True)
    ]


def _place(name: str) -> float:
    """A name's place in [0, 1), the same on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2.0**64
