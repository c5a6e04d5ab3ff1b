"""Vocabularies by name, for a text model of any size.

Owns what the names `calliope`, `orpheus`, `guide` and `extend` mean where the text model is not the one of the public
checkpoint: the same order of slots, ranges and marker tokens, behind the text model's own rows. Knows no models.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from aoede.tokens.layout import FrameLayout
from aoede.tokens.vocabulary import CodecVocabulary

NAMES = ("calliope", "orpheus", "guide", "extend")
"""What `named_vocabulary` knows beside files."""


def named_vocabulary(
    name: str | Path,
    text_size: int,
    *,
    layout: FrameLayout | None = None,
    codebook_sizes: Sequence[int] | None = None,
) -> CodecVocabulary:
    """A vocabulary by name, or from a file.

    `calliope` and `orpheus` are the public checkpoints' own ids where `text_size` is that of their text model (131,072;
    128,256 or all rows of the checkpoint). For any other text model no id of its text is re-used: markers and ranges
    come after its rows.

    Args:
        name: one of `NAMES`, or a path of `augmented.yaml` (or of the folder that holds it).
        text_size: rows of the text model.
        layout, codebook_sizes: of the codec, for `extend`.
    Raises:
        ValueError: an unknown name, or `extend` without a codec.
        OSError: no such file.
    """
    if name == "calliope":
        exact = CodecVocabulary.calliope()
        if text_size in (exact.text_size, exact.size):
            return exact
        after = CodecVocabulary.extend(text_size, exact.layout, exact.codebook_sizes)
        return dataclasses.replace(after, open_token=exact.open_token, close_token=exact.close_token)
    if name == "orpheus":
        exact = CodecVocabulary.orpheus()
        if text_size == 128256:
            return exact
        if exact.size <= text_size <= exact.size + 64:  # the checkpoint itself, with padding rows
            return CodecVocabulary.orpheus(text_size)
        width = exact.codebook_sizes[0]
        first = text_size + 2
        return dataclasses.replace(
            exact,
            text_size=text_size,
            size=first + exact.num_slots * width,
            open_id=text_size,
            close_id=text_size + 1,
            starts=tuple(first + width * slot for slot in range(exact.num_slots)),
        )
    if name == "guide":
        return CodecVocabulary.guide(text_size)
    if name == "extend":
        if layout is None or codebook_sizes is None:
            raise ValueError("the vocabulary 'extend' is made for a codec: give its layout and codebook sizes")
        return CodecVocabulary.extend(text_size, layout, codebook_sizes)
    if not Path(name).exists():
        raise ValueError(f"there is no vocabulary {str(name)!r}: write {', '.join(NAMES)}, or a path of augmented.yaml")
    return CodecVocabulary.load(name)
