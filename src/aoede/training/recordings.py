"""Which recordings a recipe names: manifests, or plain folders of sound files.

Owns the listing of a folder and what of it is held out. Opens no sound file; `audio_pool.py` and `audio_files.py` do.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aoede.data import Clip, load_manifest

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64"})
"""What counts as a sound file in a folder; a manifest may name others."""


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
        if is_plain_folder(source.manifest):
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


def is_plain_folder(place: str) -> bool:
    """Whether this is a folder of files rather than one that `datasets.save_to_disk` wrote."""
    folder = Path(place)
    return folder.is_dir() and not any((folder / name).is_file() for name in ("dataset_info.json", "dataset_dict.json"))


def folder_clips(place: str, share: float) -> list[Clip]:
    """The sound files under a folder in the order of their names, each `train` or `dev`.

    A file's split is a hash of its path without the suffix: it stays when files are added, and one recording in two
    formats is never torn apart. Where the hash holds out nothing, the file nearest to it is held out.
    """
    root = Path(place).resolve()
    paths = sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    if not paths:
        raise ValueError(f"{place}: no sound files ({', '.join(sorted(SUFFIXES))}) in this folder or in folders of it")
    clips, places = [], []
    for path in paths:
        name = path.relative_to(root)
        source = name.parts[0] if len(name.parts) > 1 else ""
        places.append(_place(name.with_suffix("").as_posix()))
        clips.append(Clip(audio=str(path), id=name.as_posix(), source=source))
    limit = max(share, min(places)) if share > 0.0 and len(set(places)) > 1 else share
    return [
        replace(clip, split="dev" if share > 0.0 and at <= limit else "train")
        for clip, at in zip(clips, places, strict=True)
    ]


def _place(name: str) -> float:
    """A name's place in [0, 1), the same on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2.0**64
