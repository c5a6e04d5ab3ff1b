"""Conversations that are too long: how many of the oldest turns go, and what is said of it. Knows nothing of frames."""

from __future__ import annotations

from collections.abc import Sequence

from .messages import Conversation


def first_turn_that_fits(lengths: Sequence[int], limit: int | None, name: str) -> int:
    """How many of the oldest turns must go so that the rest has at most `limit` frames.

    Raises:
        ValueError: the last turn alone is longer.
    """
    if limit is None:
        return 0
    if lengths[-1] > limit:
        raise ValueError(
            f"{name}: the last turn alone takes {lengths[-1]} frames, max_frames is {limit}; turns are not cut: "
            "raise it, or use a shorter recording or text"
        )
    first, total = 0, sum(lengths)
    while total > limit:
        total -= lengths[first]
        first += 1
    return first


def dropping_words(conversation: Conversation, count: int, frames: int, trained: int, limit: int | None) -> str:
    """What was dropped, for a person; empty where nothing was."""
    if not count:
        return ""
    turns = f"the oldest {count} of {len(conversation.messages)} turns ({frames} frames) are dropped"
    lost = f"; {trained} of them trained" if trained else ""
    return f"{conversation.name}: {turns} to fit {limit} frames{lost}"
