"""Where a long recording is cut: in its pauses, and inside a voice only where one goes on for too long.

Owns the choice of the cuts. It is the cheapest of all possible ones, found by dynamic programming: long pauses and
pieces that use the length well are cheap. Knows nothing of why the recording is to be short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .frames import Frames
from .voice import Span

__all__ = ["Cut", "cut_at_pauses"]

SHORT_PAUSE = 0.3
"""Cutting at a pause of so many seconds costs half as much as at none; three times as long, a quarter."""

PAUSE_WEIGHT = 1.0
"""What a cut at no pause costs, against a piece of no length (which costs 1)."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One piece."""

    start: int
    stop: int
    """Samples of the recording."""

    forced: bool
    """It begins inside a voice: no pause was within reach."""


def cut_at_pauses(frames: Frames, spans: Sequence[Span], within: Span, *, longest: int, margin: int) -> list[Cut]:
    """Pieces of at most `longest` samples that hold all voice of a recording.

    Args:
        frames: of the whole recording.
        spans: voice, in samples, at least one of them.
        within: the part of the recording to be cut.
        longest: samples of a piece, its margins included.
        margin: samples of pause that a piece keeps at its ends at most; a shorter pause is shared by its two sides,
            and what is further from any voice is left out.
    Returns:
        in order, not overlapping. A voice without a pause for longer than a piece is cut at its quietest places.
    """
    rate = frames.rate
    parts = _parts(frames, spans, within, longest)
    bounds = _bounds(parts, within, margin)
    # best[j]: cheapest way to have parts 0..j-1 in pieces; back[j]: where its last piece begins.
    best, back = [0.0] + [np.inf] * len(parts), [0] * (len(parts) + 1)
    for end in range(1, len(parts) + 1):
        for begin in range(end - 1, -1, -1):
            length = bounds[end - 1][1] - bounds[begin][0]
            if length > longest and begin < end - 1:
                break
            unused = max(longest - length, 0) / longest
            pause = (parts[begin][0] - parts[begin - 1][1]) / rate if begin else np.inf
            cost = best[begin] + unused**2 + PAUSE_WEIGHT / (1 + pause / SHORT_PAUSE)
            if cost < best[end]:
                best[end], back[end] = cost, begin
    cuts, end = [], len(parts)
    while end:
        begin = back[end]
        start, stop = bounds[begin][0], bounds[end - 1][1]
        if stop - start > longest:  # one voice, as long as a piece: its margins must go
            start, stop = max(start, parts[begin][0]), min(stop, parts[end - 1][1])
        forced = begin > 0 and parts[begin - 1][1] == parts[begin][0]
        cuts.append(Cut(start=start, stop=stop, forced=forced))
        end = begin
    return cuts[::-1]


def _parts(frames: Frames, spans: Sequence[Span], within: Span, longest: int) -> list[Span]:
    """The spans inside `within`; those longer than a piece in touching parts that are not."""
    parts: list[Span] = []
    for first, last in spans:
        start, stop = max(first, within[0]), min(last, within[1])
        while stop - start > longest:
            place = _quietest(frames, start + longest // 2, start + longest)
            parts.append((start, place))
            start = place
        if stop > start:
            parts.append((start, stop))
    return parts


def _quietest(frames: Frames, start: int, stop: int) -> int:
    """The sample in start..stop around which it is quietest for three frames."""
    first, last = -(-start // frames.hop), stop // frames.hop
    if last <= first:
        return stop
    near = np.pad(
        frames.power[max(first - 1, 0) : last + 2], (int(first == 0), int(last + 1 >= len(frames))), mode="edge"
    )
    return (first + int(np.convolve(near, np.ones(3), mode="valid").argmin())) * frames.hop


def _bounds(parts: Sequence[Span], within: Span, margin: int) -> list[Span]:
    """Each part with its margins, which meet in the middle of a pause too short for two of them."""
    bounds = []
    for index, (start, stop) in enumerate(parts):
        before = parts[index - 1][1] if index else None
        after = parts[index + 1][0] if index + 1 < len(parts) else None
        low = max(start - margin, within[0] if before is None else (before + start + 1) // 2)
        high = min(stop + margin, within[1] if after is None else (stop + after + 1) // 2)
        bounds.append((low, high))
    return bounds
