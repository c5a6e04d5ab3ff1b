"""What a listener hears of a stream: when the first sound comes, and where playback runs dry.

Owns the arithmetic on arrival times. Knows nothing of sockets or servers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Arrival:
    """A chunk of sound that has come whole."""

    at: float
    """Seconds on the client's clock."""

    seconds: float
    """Of sound."""


@dataclass(frozen=True, kw_only=True)
class Playback:
    """A stream as it is heard by a player that starts as soon as it can and waits where it must."""

    first_audio: float | None
    """When the first sound arrived; None where none did."""

    audio_seconds: float

    late: int
    """Underruns: chunks that arrived when everything before them had been played."""

    stalled_seconds: float
    """Silence that this put into the sound, all together."""

    ends: float | None
    """When the last sample is played."""


def play(arrivals: Sequence[Arrival], held: float = 0.0) -> Playback:
    """Play a stream.

    Args:
        arrivals: in the order of their times; chunks without sound do not count.
        held: seconds of sound that the player collects before it starts; 0 starts with the first chunk, which is the
            strictest. A stream that is over earlier starts when its last chunk is there.
    Raises:
        ValueError: times that go back, a length below 0.
    """
    clock: float | None = None
    first: float | None = None
    waiting = stalled = total = 0.0
    late, before = 0, float("-inf")
    for arrival in arrivals:
        if arrival.at < before or arrival.seconds < 0:
            raise ValueError(f"{arrival} comes after one at {before}: give chunks in their order, of lengths from 0 on")
        before = arrival.at
        if arrival.seconds == 0:
            continue
        total += arrival.seconds
        if first is None:
            first = arrival.at
        if clock is None:  # `clock`: when all that has arrived so far is played
            waiting += arrival.seconds
            if waiting >= held:
                clock = arrival.at + waiting
            continue
        if arrival.at > clock:
            late += 1
            stalled += arrival.at - clock
            clock = arrival.at
        clock += arrival.seconds
    if clock is None and first is not None:
        clock = before + waiting
    return Playback(first_audio=first, audio_seconds=total, late=late, stalled_seconds=stalled, ends=clock)
