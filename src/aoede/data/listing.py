"""The sound files of a folder: which suffixes count, and in which order they come.

Owns the one list of suffixes and the walk below a folder; opens nothing. What is done with the files (encoded, split,
trained on, measured) is the business of whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .stored import is_saved_dataset

_READ = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64")
_NOT_READ = (".m4a", ".mp4", ".aac", ".wma", ".webm", ".mka", ".amr", ".3gp")

SOUNDS = frozenset((*_READ, *_NOT_READ))
"""Suffixes of the files that are taken for sound; those that are not read are told rather than passed over."""


def sound_names(folder: Path) -> list[str]:
    """Paths of the sound files below a folder, with slashes, sorted."""
    return names_below(folder, SOUNDS)[0]


def names_below(folder: Path, suffixes: frozenset[str]) -> tuple[list[str], int]:
    """Names below the folder, sorted, and how many files have other suffixes. Hidden files are not looked at."""
    names, others = [], 0
    for path in _files(folder):
        if path.suffix.lower() in suffixes:
            names.append(path.relative_to(folder).as_posix())
        else:
            others += 1
    return sorted(names), others


def is_sound_folder(place: Path) -> bool:
    """Whether this is a folder of files rather than one that `datasets.save_to_disk` wrote, which is a manifest."""
    return place.is_dir() and not is_saved_dataset(place)


def _files(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():  # a link may lead in circles
            yield from _files(entry)
        elif entry.is_file():
            yield entry
