"""Recordings written prefix, suffix, middle, so that a model learns to fill in between two pieces of audio.

Owns which documents are rearranged, where they are cut, and their order: `[open] A B C [close]` becomes `[open] A
[close] [open] C [close] [open] B [close]`, each part whole frames, so that every id stays legal where it stands. The
order with the middle last is that of Bavarian et al. 2022, "Efficient training of language models to fill in the
middle".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aoede.tokens import CodecVocabulary

from .chance import key_of, uniform

EXTRA_IDS = 4
"""How much longer a rearranged document is: two more spans, two markers each."""

LEAST_FRAMES = 3


def can_be_rearranged(
    lengths: NDArray[np.integer[Any]], is_span: NDArray[np.bool_], num_slots: int, row_tokens: int
) -> NDArray[np.bool_]:
    """Which documents have three frames or more and still fit a row afterwards.

    Args:
        lengths: [N] ids.
        is_span: [N], audio alone with both markers: no text, no piece that goes on in another.
    """
    fits = lengths + EXTRA_IDS <= row_tokens
    chosen: NDArray[np.bool_] = is_span & fits & (lengths >= 2 + LEAST_FRAMES * num_slots)
    return chosen


def is_drawn(seed: int, source: str, documents: NDArray[np.integer[Any]], rate: float) -> NDArray[np.bool_]:
    """Which documents of a source are rearranged at a rate, if they can be; those at a lower rate are among them."""
    drawn: NDArray[np.bool_] = uniform(key_of("fim", seed, source), documents) < rate
    return drawn


def rearranged(
    ids: NDArray[Any], vocabulary: CodecVocabulary, seed: int, source: str, document: int
) -> NDArray[np.int64]:
    """A document in the order prefix, suffix, middle; its two cuts are uniform between frames.

    Args:
        ids: [2 + F * S]: open marker, F >= 3 frames, close marker.
    Returns:
        [6 + F * S]
    """
    slots, codes = vocabulary.num_slots, np.asarray(ids[1:-1], dtype=np.int64)
    frames = len(codes) // slots
    at = np.array([document])
    first = 1 + int(uniform(key_of("first cut", seed, source), at)[0] * (frames - 1))
    second = 1 + int(uniform(key_of("second cut", seed, source), at)[0] * (frames - 2))
    low, high = sorted((first, second + (second >= first)))
    prefix, middle, suffix = np.split(codes, [low * slots, high * slots])
    around = [np.array([marker]) for marker in (vocabulary.open_id, vocabulary.close_id)]
    return np.concatenate([part for span in (prefix, suffix, middle) for part in (around[0], span, around[1])])
