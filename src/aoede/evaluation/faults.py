"""Faults of synthetic speech that an average hides: loops, cut-offs, long silences, wrong length.

Owns the detectors and their thresholds. Each looks at the audio, at its length against the recording or the voice's own
pace, or at the alignment of what was said and heard; none needs a model. Knows nothing of who made the audio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aoede.evaluation.intelligibility import Score
from aoede.evaluation.loops import self_likeness

__all__ = ["FaultLimits", "find_faults", "longest_silence", "repeats"]

WINDOW_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class FaultLimits:
    """Where a detector starts to complain."""

    silence_seconds: float = 1.0
    """A pause longer than this, anywhere, is a long silence."""

    silence_decibels: float = -40.0
    """A window this far below the loud windows (their 95 % point) is silent."""

    ending_decibels: float = -15.0
    """An utterance whose last window is louder than this, against the loud windows, was cut off."""

    lost_words: int = 3
    """This many reference words missing at the very end count as a cut-off."""

    slow: float = 2.0
    """A duration of more than this many times the recording's is too long."""

    fast: float = 0.5
    """A duration of less than this share of the recording's is too short."""

    slow_pace: float = 1.4
    """A duration of more than this many times what the voice's own pace tells, and half a second more, is too long."""

    fast_pace: float = 0.7
    """A duration of less than this share of what the voice's own pace tells, less 0.2 s, is too short: words are
    missing. 200 recordings lay between 0.79 and 1.19."""

    self_likeness: float = 0.69
    """Sound that is more like what came just before, three times in a row, is a loop, where nobody listened to the
    words. 150 recordings stayed below 0.59, 60 sound utterances of a voice below 0.68."""

    repeat_words: int = 3
    """A run of up to this many words heard `repeat_times` times in a row, and not so in the text, is a loop."""

    repeat_times: int = 3


def find_faults(
    audio: NDArray[np.float32],
    sample_rate: int,
    score: Score | None = None,
    recording_seconds: float | None = None,
    cut: bool = False,
    limits: FaultLimits | None = None,
    *,
    paced_seconds: float | None = None,
    repeats_itself: bool = False,
) -> tuple[str, ...]:
    """What is wrong with an utterance, of: "silent", "long silence", "cut off", "too long", "too short", "loop".

    Args:
        audio: [T] at `sample_rate`.
        score: alignment with the text, where a recogniser listened.
        recording_seconds: how long a person (or the teacher) takes for the same text.
        cut: the engine says that its length guard stopped it.
        paced_seconds: how long the voice takes for it by its own pace, which is known more exactly.
        repeats_itself: the text does, so its sound may.
    """
    limits = limits or FaultLimits()
    levels = _levels(audio, sample_rate)
    if not len(levels) or levels.max() < -70:
        return ("silent",)
    loud = float(np.quantile(levels, 0.95))
    faults = []
    if longest_silence(audio, sample_rate, limits.silence_decibels) > limits.silence_seconds:
        faults.append("long silence")
    if cut or levels[-1] > loud + limits.ending_decibels or (score and _lost_at_the_end(score) >= limits.lost_words):
        faults.append("cut off")
    if recording_seconds:
        duration = len(audio) / sample_rate / recording_seconds
        if duration > limits.slow:
            faults.append("too long")
        if duration < limits.fast:
            faults.append("too short")
    seconds = len(audio) / sample_rate
    if paced_seconds is not None and not {"too long", "too short"} & set(faults):
        if seconds > limits.slow_pace * paced_seconds + 0.5:
            faults.append("too long")
        if seconds < limits.fast_pace * paced_seconds - 0.2:
            faults.append("too short")
    if score is None and not repeats_itself and self_likeness(audio, sample_rate) > limits.self_likeness:
        faults.append("loop")
    if score:
        said = [edit.said for edit in score.edits if edit.said]
        heard = [edit.heard for edit in score.edits if edit.heard]
        most = repeats(heard, limits.repeat_words)
        if most >= limits.repeat_times and most > repeats(said, limits.repeat_words):
            faults.append("loop")
    return tuple(faults)


def longest_silence(audio: NDArray[np.float32], sample_rate: int, decibels: float = -40.0) -> float:
    """Seconds of the longest stretch whose 20 ms windows all lie `decibels` below the loud ones (their 95 % point)."""
    levels = _levels(audio, sample_rate)
    if not len(levels):
        return 0.0
    longest = run = 0
    for quiet in levels < np.quantile(levels, 0.95) + decibels:
        run = run + 1 if quiet else 0
        longest = max(longest, run)
    return longest * WINDOW_SECONDS


def repeats(words: Sequence[str], longest: int = 3) -> int:
    """How often a run of 1 to `longest` words occurs in a row at most; 1 where nothing repeats, 0 without words."""
    most = min(len(words), 1)
    for size in range(1, longest + 1):
        for start in range(len(words) - size + 1):
            count, unit = 1, words[start : start + size]
            while words[start + count * size : start + (count + 1) * size] == unit:
                count += 1
            most = max(most, count)
    return most


def _levels(audio: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """Level of each whole 20 ms window, in dB of full scale; the last window ends with the audio."""
    size = int(sample_rate * WINDOW_SECONDS)
    used = audio[len(audio) % size :].astype(np.float64).reshape(-1, size)
    return np.asarray(10 * np.log10((used**2).mean(1) + 1e-12))


def _lost_at_the_end(score: Score) -> int:
    lost = 0
    for edit in reversed(score.edits):
        if edit.kind != "deleted":
            break
        lost += 1
    return lost
