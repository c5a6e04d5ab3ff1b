"""Encoding and decoding of recordings of any length, a piece at a time.

Owns how arrays and blocks of any length become pieces of a good size; that pieces join exactly is the codec's own
streaming. Knows nothing of files. With SNAC memory is bounded by the piece, not by the recording; other codecs cannot
stream and take the recording whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aoede.codec import Codec, NoiseMode, Snac, StreamDecoder, StreamEncoder

from .codestream import CodeReader

PIECE_SECONDS = 10.0
"""Sound in work at once: long enough that its surroundings cost little, short enough for the caches of a CPU."""

Codes = Sequence[NDArray[np.uint16]]
"""One [T_k] a level, whole frames."""


def encode_blocks(
    codec: Codec, blocks: Iterable[NDArray[np.float32]], *, seconds: float = PIECE_SECONDS
) -> Iterator[tuple[int, list[NDArray[np.uint16]]]]:
    """Encode sound that arrives in blocks.

    Args:
        blocks: [T] float32 at the codec's rate, any lengths.
        seconds: how much is gathered before it is encoded.
    Yields:
        the samples that came in since the last piece, and its codes, one [T_k] a level. Joined, the codes are those
        of `codec.encode` on the whole.
    """
    device = next(codec.parameters()).device
    if not isinstance(codec, Snac):
        held = [block for block in blocks if len(block)]
        if held:
            whole = np.concatenate(held)
            yield len(whole), _arrays(codec.encode(_tensor(whole, device)))
        return
    stream, total = StreamEncoder(codec), 0
    for piece in _gathered(blocks, max(1, round(seconds * codec.config.sample_rate))):
        total += len(piece)
        yield len(piece), _arrays(stream.push(_tensor(piece, device)))
    if total:
        yield 0, _arrays(stream.flush())


def decode_blocks(
    codec: Codec,
    codes: Codes,
    num_samples: int | None = None,
    *,
    noise: NoiseMode = "seeded",
    seed: int = 0,
    seconds: float = PIECE_SECONDS,
) -> Iterator[NDArray[np.float32]]:
    """Decode codes of any length piece by piece.

    Args:
        codes: one [T_k] a level.
        num_samples: length to trim to; None keeps whole frames.
        noise: `seeded` or `off`; `random` noise cannot be joined.
    Yields:
        [T] float32; joined, what `codec.decode(codes, num_samples)` gives, to rounding.
    Raises:
        ValueError: codes that do not fit the codec.
    """
    config = codec.config
    codec.check_codes([torch.from_numpy(level.astype(np.int64))[None] for level in codes])
    frames = len(codes[0]) // config.codes_per_frame[0]
    step = frames_in(codec, seconds)
    pieces = (
        [level[start * n : (start + step) * n] for level, n in zip(codes, config.codes_per_frame, strict=True)]
        for start in range(0, frames, step)
    )
    left = frames * config.frame_length if num_samples is None else num_samples
    for block in _decoded(codec, pieces, noise, seed):
        trimmed = block[:left]
        left -= len(trimmed)
        if len(trimmed):
            yield trimmed


def decode_reader(
    codec: Codec,
    reader: CodeReader,
    *,
    noise: NoiseMode = "seeded",
    seed: int = 0,
    seconds: float = PIECE_SECONDS,
) -> Iterator[NDArray[np.float32]]:
    """Decode a `.snac` stream as it arrives; its length stands at its end, so what may be padding is held back.

    Yields:
        [T] float32; joined, as long as the recording was.
    Raises:
        ValueError: whatever `CodeReader` finds, possibly after sound has been given out.
    """
    config = codec.config
    held, given = np.zeros(0, dtype=np.float32), 0
    for block in _decoded(codec, reader.blocks(frames_in(codec, seconds)), noise, seed):
        held = np.concatenate((held, block))
        # At most this much of what has arrived is padding.
        certain = reader.num_frames * config.frame_length - config.pad_multiple
        count = max(0, (certain if reader.num_samples is None else reader.num_samples) - given)
        sure, held = held[:count], held[count:]
        given += len(sure)
        if len(sure):
            yield sure


def frames_in(codec: Codec, seconds: float) -> int:
    """Whole frames in so many seconds, at least one."""
    return max(1, round(seconds * codec.config.frame_rate))


def _decoded(codec: Codec, pieces: Iterable[Codes], noise: NoiseMode, seed: int) -> Iterator[NDArray[np.float32]]:
    """Sound of whole frames, piece by piece; the pieces are asked for one at a time."""
    device = next(codec.parameters()).device
    if not isinstance(codec, Snac):
        levels = [np.concatenate(level) for level in zip(*pieces, strict=True)]
        if levels:
            yield _samples(codec.decode(_levels(levels, device), noise=noise, seed=seed))
        return
    stream, any_pushed = StreamDecoder(codec, noise=noise, seed=seed), False
    for piece in pieces:
        any_pushed = True
        yield _samples(stream.push(_levels(piece, device)))
    if any_pushed:
        yield _samples(stream.flush())


def _gathered(blocks: Iterable[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """The same sound in arrays of `size` samples; the last is shorter."""
    held: list[NDArray[np.float32]] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += len(block)
        if count >= size:
            whole = np.concatenate(held)
            stop = count // size * size
            for start in range(0, stop, size):
                yield whole[start : start + size]
            held, count = [whole[stop:]], count - stop
    if count:
        yield np.concatenate(held)


def _tensor(samples: NDArray[np.float32], device: torch.device) -> Tensor:
    return torch.from_numpy(samples)[None, None].to(device)


def _samples(audio: Tensor) -> NDArray[np.float32]:
    samples: NDArray[np.float32] = audio[0, 0].float().cpu().numpy()
    return samples


def _levels(codes: Codes, device: torch.device) -> list[Tensor]:
    return [torch.from_numpy(level.astype(np.int64))[None].to(device) for level in codes]


def _arrays(levels: Sequence[Tensor]) -> list[NDArray[np.uint16]]:
    return [level[0].cpu().numpy().astype(np.uint16) for level in levels]
