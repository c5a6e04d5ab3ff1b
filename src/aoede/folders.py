"""Folders that appear only when they are complete.

Owns the temporary name that a folder is written under, and how it takes the place of an older one. Knows nothing of
what stands in a folder. Lies below all rooms, and loads nothing but the standard library.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def put_in_place(temporary: Path, folder: Path, aside: Path) -> None:
    """Give a complete folder its name; one that had it stands aside under another name until then, and goes."""
    if folder.exists():
        os.rename(folder, aside)
        os.rename(temporary, folder)
        shutil.rmtree(aside)
    else:
        os.rename(temporary, folder)


@contextmanager
def replacing_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """A new, empty folder beside `folder`; when the block ends well it becomes `folder`, and an older one goes;
    otherwise it is removed."""
    folder = Path(folder)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        put_in_place(temporary, folder, folder.with_name(f".{folder.name}.old.{os.getpid()}"))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
