"""Which recordings are identical: equal samples, whatever the file that holds them.

Owns the digest. Copies that differ in a sample (another lossy format, rate or loudness) are other recordings here:
only what is certain is dropped. `data/twins.py` finds the rest, for splits.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["sample_digest"]


def sample_digest(samples: NDArray[np.float32]) -> str:
    """SHA-256 of decoded samples ([T] float32, little endian): equal exactly for equal samples."""
    # -0.0 and 0.0 are the same sample with other bits; adding 0.0 makes the former the latter.
    return hashlib.sha256((np.asarray(samples, dtype="<f4") + np.float32(0)).tobytes()).hexdigest()
