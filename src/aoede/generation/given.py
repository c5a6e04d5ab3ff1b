"""What a recording to go on from may be given as: a sound file, a `.snac` file, samples, codes or frames.

Owns the way from those to frames, whole ones only, and the words for what was left out. Knows nothing of models.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aoede.codec import Codec
from aoede.data import CodeFile, load_audio
from aoede.data.codefile import is_code_file
from aoede.tokens import FrameLayout

Recording = str | os.PathLike[str] | NDArray[Any] | Tensor | Sequence[Any]
"""A path to a sound file or a `.snac` file; float samples [T] at the codec's rate; codes, one [T_k] or [1, T_k] a
level; or frames [F, S] as an integer tensor."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """A recording as frames."""

    frames: Tensor
    """[F, S] int64, slots in the layout's order."""

    notes: tuple[str, ...] = ()
    """What of it is not in the frames."""


def as_frames(source: Recording, codec: Codec, layout: FrameLayout, name: str = "the recording") -> Given:
    """Frames of a recording; what is less than a frame at its end is left out, with a note.

    The codec pads the end of a sound with silence, and a model that reads that silence ends there.

    Args:
        name: what messages call it.
    Raises:
        ValueError: nothing there, no sound or codes, codes of another codec, or less than a frame.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_file() and is_code_file(path):
            file = CodeFile.load(path)
            file.info.check(codec, str(path))
            levels = [torch.from_numpy(level.astype(np.int64))[None] for level in file.codes]
            return _whole(layout.flatten(levels)[0], file.num_samples, codec, str(path))
        samples, _ = load_audio(path, sample_rate=codec.config.sample_rate)
        return _encoded(samples, codec, layout, str(path))
    if isinstance(source, Tensor) and not source.is_floating_point():
        if source.ndim != 2 or source.shape[1] != layout.num_slots:
            raise ValueError(f"{name}: frames are {list(source.shape)}, expected [F, {layout.num_slots}]")
        return _checked(source.long().cpu(), name)
    if isinstance(source, Tensor | np.ndarray) and np.ndim(source) == 1:
        return _encoded(np.asarray(source, dtype=np.float32), codec, layout, name)
    if isinstance(source, Sequence):
        levels = [torch.as_tensor(np.asarray(level, dtype=np.int64)).reshape(1, -1) for level in source]
        return _checked(layout.flatten(levels)[0], name)
    raise ValueError(
        f"{name}: {type(source).__name__} is none of: a path, samples [T] at {codec.config.sample_rate} Hz, codes (one "
        f"[T_k] a level), frames [F, {layout.num_slots}]"
    )


def _encoded(samples: NDArray[np.float32], codec: Codec, layout: FrameLayout, name: str) -> Given:
    device = next(codec.parameters()).device
    with torch.inference_mode():
        codes = codec.encode(torch.from_numpy(samples)[None, None].to(device))
    return _whole(layout.flatten([level.cpu() for level in codes])[0].clone(), len(samples), codec, name)


def _whole(frames: Tensor, num_samples: int, codec: Codec, name: str) -> Given:
    """The frames that the sound fills."""
    length, rate = codec.config.frame_length, codec.config.sample_rate
    count, rest = divmod(num_samples, length)
    if count == 0:
        raise ValueError(
            f"{name}: {num_samples / rate:.3f} s is less than a frame of this codec, {length / rate:.3f} s; give more"
        )
    note = f"{name}: its last {rest / rate:.3f} s are less than a frame and are left out"
    return Given(frames=frames[:count], notes=(note,) if rest else ())


def _checked(frames: Tensor, name: str) -> Given:
    if len(frames) == 0:
        raise ValueError(f"{name}: no frames; give at least one")
    return Given(frames=frames)
