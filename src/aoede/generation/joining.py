"""Joining: sentences one after the other as a single stream, with faded edges and a pause, so that nothing clicks.

Owns what happens to samples between the codec and the listener. Works on whatever pieces arrive: the result does not
depend on where they were cut.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FADE_SECONDS = 0.005
SENTENCE_PAUSE_SECONDS = 0.25
CLAUSE_PAUSE_SECONDS = 0.1
"""After a piece of a sentence that was cut for its length."""

TURN_PAUSE_SECONDS = 0.4
"""Between the turns of a dialogue."""


class EdgeFader:
    """Fades the first and the last samples of one utterance (raised cosine) while it streams through.

    The last samples are held back until `finish`, because only then are they known to be the last.
    """

    def __init__(self, sample_rate: int) -> None:
        length = max(1, round(FADE_SECONDS * sample_rate))
        self.ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / length)).astype(np.float32)
        self.seen = 0
        self.held: NDArray[np.float32] = np.zeros(0, np.float32)

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Samples [T] in, those that are surely not the last ones out (possibly none)."""
        samples = samples.copy()
        if self.seen < len(self.ramp):
            part = self.ramp[self.seen : self.seen + len(samples)]
            samples[: len(part)] *= part
        self.seen += len(samples)
        waiting = np.concatenate([self.held, samples])
        keep = min(len(waiting), len(self.ramp))
        self.held = waiting[len(waiting) - keep :]
        return waiting[: len(waiting) - keep]

    def finish(self) -> NDArray[np.float32]:
        """The last samples, faded out."""
        held, self.held = self.held, np.zeros(0, np.float32)
        return held * self.ramp[::-1][len(self.ramp) - len(held) :] if len(held) else held


def pause(after: str, sample_rate: int) -> NDArray[np.float32]:
    """Silence between a written piece and the next: longer after a sentence's end than inside one."""
    is_end = after.rstrip("'\"”’»)]").endswith((".", "!", "?", "…", "。", "！", "？"))
    seconds = SENTENCE_PAUSE_SECONDS if is_end else CLAUSE_PAUSE_SECONDS
    return silence(seconds, sample_rate)


def silence(seconds: float, sample_rate: int) -> NDArray[np.float32]:
    """So much silence."""
    return np.zeros(round(seconds * sample_rate), np.float32)
