"""Numbers that look random and depend on nothing but their keys: the same in every version, on every machine.

Owns the mixing. The streams of numpy's distributions may change from version to version; a plan must not.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def key_of(*parts: object) -> int:
    """64 bits from anything that prints the same everywhere."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little")


def bits(key: int, counters: NDArray[np.integer[Any]]) -> NDArray[np.uint64]:
    """64 bits for each counter (SplitMix64; Steele, Lea, Flood 2014)."""
    with np.errstate(over="ignore"):
        z = counters.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed


def uniform(key: int, counters: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """A number in [0, 1) for each counter."""
    return (bits(key, counters) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def shuffled(key: int, count: int) -> NDArray[np.int64]:
    """The numbers 0 .. count - 1 in an order that the key decides."""
    return np.argsort(bits(key, np.arange(count)), kind="stable").astype(np.int64)
