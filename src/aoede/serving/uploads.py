"""A recording out of an upload: bytes that nobody vouches for to samples, in bounded memory and time.

Owns the limits of what is decoded. Knows nothing of HTTP or voices. The upload's file name and type are not looked at:
what it is, its bytes say.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aoede.data.audio import AudioError, AudioReader

# A block of a second is what is decoded at a time: these bound it (12 MB), whatever a header claims.
LOWEST_RATE, HIGHEST_RATE, MOST_CHANNELS = 4_000, 384_000, 8
_NAME = "the recording"


def decode_recording(content: bytes, rate: int, max_seconds: float) -> NDArray[np.float32]:
    """A sound file's samples.

    Args:
        content: wav, flac, ogg, mp3, opus or what else libsndfile reads.
        rate: Hz that is wanted.
        max_seconds: the longest recording; decoding stops there.
    Returns:
        [T] float32, mono.
    Raises:
        ValueError: no sound, a damaged or silent one, too long, or of a rate or channel count that no recording has.
    """
    try:
        with AudioReader(content, rate) as reader:
            info = reader.info
            if not LOWEST_RATE <= info.sample_rate <= HIGHEST_RATE:
                raise ValueError(f"{_NAME} has {info.sample_rate} Hz; {LOWEST_RATE} to {HIGHEST_RATE} Hz are taken")
            if info.channels > MOST_CHANNELS:
                raise ValueError(f"{_NAME} has {info.channels} channels; {MOST_CHANNELS} at most are taken")
            blocks, count = [], 0
            for block in reader.blocks(seconds=1.0):
                blocks.append(block)
                count += len(block)
                if count > max_seconds * rate:
                    raise ValueError(f"{_NAME} is longer than {max_seconds:g} s, the most this server takes: cut it")
            if reader.info.is_silent:
                raise ValueError(f"{_NAME} is silent: its peak is {reader.info.peak:.1g}")
    except AudioError as error:
        # What the reader advises beyond the first clause is for files and options that a client does not have.
        raise ValueError(str(error).replace("<bytes>", _NAME).partition("; truncated=")[0]) from None
    return np.concatenate(blocks)
