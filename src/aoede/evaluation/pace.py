"""Pace: how long a voice takes for a text, by what it says of its own speakers.

Owns the sum over sentences and pauses. What a speaker's pace is was measured on recordings when the voice was made.
"""

from __future__ import annotations

from typing import Any

from aoede.generation.joining import pause

__all__ = ["expected_seconds"]


def expected_seconds(voice: Any, text: str, speaker: str | None) -> float | None:
    """Seconds that a text should take; None of a voice that does not know its pace.

    Args:
        voice: a `Voice`; anything else has no pace.
        speaker: None is the voice's own.
    Raises:
        ValueError: a text that the voice refuses.
    """
    reader, settings = getattr(voice, "reader", None), getattr(voice, "settings", None)
    if reader is None or settings is None:
        return None
    speaker = speaker or voice.default_speaker
    total, before = 0.0, ""
    for sentence, ids in reader.sentences(text, speaker, []):
        seconds = settings.expected_seconds(len(ids), speaker)
        if seconds is None:
            return None
        total += seconds + (len(pause(before, 1000)) / 1000 if before else 0.0)
        before = sentence
    return total
