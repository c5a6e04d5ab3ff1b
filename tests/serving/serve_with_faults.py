"""`aoede` as it is, in which some seeds run out of memory: `python -m tests.serving.serve_with_faults serve ...`.

The allocation is made for real and is larger than any address space, so torch and numpy refuse it as they refuse the
last one on a machine that is full.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aoede.cli.main import main
from aoede.generation.decoders import FrameDecoder

TORCH_AT_ONCE, NUMPY_AT_ONCE, TORCH_IN_THE_MIDDLE = 1001, 1002, 1003
"""Seeds: which allocation fails, in the first sentence or in the second."""

FAULTS: dict[tuple[int, int], Callable[[], object]] = {
    (TORCH_AT_ONCE, 0): lambda: torch.empty(1 << 60, dtype=torch.uint8),
    (NUMPY_AT_ONCE, 0): lambda: np.empty(1 << 60, dtype=np.uint8),
    (TORCH_IN_THE_MIDDLE, 1): lambda: torch.empty(1 << 60, dtype=torch.uint8),
}
_push = FrameDecoder.push


def push(decoder: FrameDecoder, frames: Sequence[Tensor]) -> NDArray[np.float32]:
    """As ever, unless this sentence is to fail: its seed is drawn from the request's and its number."""
    for (asked, sentence), allocate in FAULTS.items():
        if decoder.seed == np.random.SeedSequence([asked, sentence]).generate_state(2).tolist()[1]:
            allocate()
    return _push(decoder, frames)


if __name__ == "__main__":
    FrameDecoder.push = push  # type: ignore[method-assign]
    sys.exit(main())
