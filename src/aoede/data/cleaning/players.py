"""Something to listen to in a report: an excerpt of a recording as a player and a spectrogram, inside the page.

Owns the reading of an excerpt and its form. Which recordings are shown is `summary.py`'s choice.
"""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path

import numpy as np
import soundfile  # type: ignore[import-untyped]
from numpy.typing import NDArray

from ..audio import AudioReader
from ..pictures import spectrogram_png
from .summary import Example

__all__ = ["excerpt", "player"]

EXCERPT_SECONDS = 10.0
"""A player holds no more than this of a recording."""

MP3_RATE = 24000
"""A rate of MP3, which every browser plays."""


def excerpt(path: str, start_seconds: float, seconds: float) -> NDArray[np.float32]:
    """[T] float32 at `MP3_RATE`: at most `EXCERPT_SECONDS` of a file from a place on; reads no further.

    Raises:
        ValueError, OSError: as `AudioReader`.
    """
    start = round(start_seconds * MP3_RATE)
    stop = start + round(min(seconds, EXCERPT_SECONDS) * MP3_RATE)
    held: list[NDArray[np.float32]] = []
    place = 0
    with AudioReader(path, MP3_RATE, truncated="keep") as reader:
        for block in reader.blocks():
            held.append(block[max(start - place, 0) : max(stop - place, 0)])
            place += len(block)
            if place >= stop:
                break
    return np.concatenate(held) if held else np.zeros(0, dtype=np.float32)


def player(example: Example) -> str:
    """A figure of HTML; words in place of sound that cannot be had."""
    if not Path(example.audio).is_file():
        return '<p class="quiet">No player: the sound lies in a table or is no longer there.</p>'
    try:
        samples = excerpt(example.audio, example.start_seconds, example.seconds)
    except (ValueError, OSError) as error:
        return f'<p class="quiet">No player: {escape(str(error))}</p>'
    if not len(samples):
        return '<p class="quiet">No player: no samples there.</p>'
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), MP3_RATE, format="MP3")
    sound = base64.b64encode(buffer.getvalue()).decode()
    picture = base64.b64encode(spectrogram_png(samples, MP3_RATE, width=320, height=64, top_hertz=8000)).decode()
    more = f", the first {EXCERPT_SECONDS:g} s of {example.seconds:.1f}" if example.seconds > EXCERPT_SECONDS else ""
    source = f"data:audio/mpeg;base64,{sound}"
    return (
        f'<img alt="Spectrogram, 0 to 8 kHz{more}" src="data:image/png;base64,{picture}">'
        f'<audio controls preload="none" aria-label="{escape(example.id)}" src="{source}"></audio>'
    )
