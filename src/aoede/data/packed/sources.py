"""Which sources of a prepared corpus are packed. Owns their choice by name; the corpus' folder is `corpus/`'s."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence

from ..corpus import CorpusFolder, SourceInfo


def corpus_sources(corpus: str | os.PathLike[str], names: Sequence[str] | None = None) -> list[SourceInfo]:
    """The sources of a finished corpus, in its order.

    Args:
        names: these only; None takes all, augmented copies with them.
    Raises:
        ValueError: no corpus, an unfinished one, or no source of a name (tells the near ones).
    """
    sources = CorpusFolder.open(corpus).sources
    if names is None:
        return sources
    known = [source.name for source in sources]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3) or known
            raise ValueError(f"{os.fspath(corpus)}: no source {name!r}; there are {', '.join(near)}")
    return [source for source in sources if source.name in names]
