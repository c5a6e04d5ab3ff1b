"""Which sound files hold the same recording, though their bytes differ.

Owns a small signature of a file's waveform and its comparison: a copy in another container, bit depth, rate, loudness
or lossy format is known for one, as long as nothing was cut off its beginning. Knows nothing of splits.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .audio import AudioReader

RATE = 8000
"""Waveforms are compared at this rate: what other rates and lossy formats change least."""

SIZE = 128
"""Numbers a signature has. Two that have nothing to do with each other agree by 0 +- 1 / sqrt(SIZE) = 0.09."""

ALIKE = 0.7
"""Cosine from which two signatures are of the same recording: eight deviations from chance."""

TOLERANCE = 0.1
"""Seconds by which the length of a copy may differ: lossy formats pad."""

_PERIOD = 1 << 16
_draw = np.random.default_rng(8000)
_BUCKETS = _draw.integers(0, SIZE, _PERIOD)
_SIGNS = _draw.choice(np.array([-1.0, 1.0]), _PERIOD)


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What is kept of a sound file."""

    seconds: float
    digest: str
    """SHA-256 of its samples at `RATE`: equal for equal samples in any container."""

    signature: NDArray[np.float64]
    """[SIZE], of length 1; zeros for silence."""


def listen(path: str | os.PathLike[str]) -> Heard:
    """Read a sound file through, in blocks.

    The signature is a count sketch (Charikar, Chen, Farach-Colton 2002, "Finding frequent items in data streams"): each
    sample is added to, or taken from, one of `SIZE` sums, as its place says. Sketches keep cosines.

    Raises:
        AudioError: as `AudioReader`.
    """
    digest, sums, place = hashlib.sha256(), np.zeros(SIZE), 0
    before: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
    with AudioReader(path, RATE) as reader:
        for block in reader.blocks():
            if len(block):
                digest.update(block.astype("<f4").tobytes())
                # Two samples apart: nothing is left of a constant, little of hum, in which the recordings of one room
                # agree, nor of what lies near RATE / 2, where resamplers differ.
                held: NDArray[np.float32] = np.concatenate((before if len(before) else block[[0, 0]], block))
                rise, before = held[2:] - held[:-2], held[-2:]
                at = np.arange(place, place + len(block)) % _PERIOD
                sums += np.bincount(_BUCKETS[at], weights=rise * _SIGNS[at], minlength=SIZE)
                place += len(block)
        seconds = reader.info.seconds
    length = float(np.linalg.norm(sums))
    return Heard(seconds=seconds, digest=digest.hexdigest(), signature=sums / length if length else sums)


def alike(heard: Sequence[Heard]) -> Iterator[tuple[int, int]]:
    """Pairs of indices whose sounds are the same recording."""
    order = sorted(range(len(heard)), key=lambda index: heard[index].seconds)
    lengths = np.array([heard[index].seconds for index in order])
    signatures = np.array([heard[index].signature for index in order]).reshape(len(order), SIZE)
    ends = np.searchsorted(lengths, lengths + TOLERANCE, side="right")
    for first, end in enumerate(ends):
        for other in np.flatnonzero(signatures[first + 1 : end] @ signatures[first] >= ALIKE):
            yield order[first], order[first + 1 + int(other)]
