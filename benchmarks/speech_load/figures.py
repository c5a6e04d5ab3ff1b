"""What a level of load comes to: requests in, one row of a table out.

Owns the figures and what each means. Knows nothing of sockets or processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .client import Reply
from .playback import Playback, play


@dataclass(kw_only=True)
class Asked:
    """One thing to say, from the first try to its end."""

    saying: int
    """Which text."""

    seed: int
    first_try: float
    """When it was sent first; refused tries and the waits they ask for come after it."""

    refusals: int = 0
    reply: Reply | None = None
    """The one that was not refused; None where the time was over before there was one."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """So many clients at once, for a while."""

    clients: int
    slots: int
    opened: float
    """When the clients began."""

    window: float
    """Seconds in which they began requests; each is then waited for."""

    elapsed: float
    """Seconds until the last of them was done."""

    asked: Sequence[Asked]
    cpu_seconds: float
    """That the server took, from the beginning to the last byte."""

    memory: int
    """Bytes that it holds at the end."""

    rows_a_step: float | None = None
    """How many requests the model stepped together, on average; None where the voice steps each by itself."""

    client_cpu_seconds: float = 0.0
    held: float = 0.0
    """Seconds that the players collect before they start."""

    playbacks: list[Playback] = field(init=False)

    def __post_init__(self) -> None:
        # Frozen: what is computed once is put in place by hand.
        object.__setattr__(self, "playbacks", [play(reply.arrivals, self.held) for reply in self._answered])

    @property
    def _answered(self) -> list[Reply]:
        return [asked.reply for asked in self.asked if asked.reply is not None and asked.reply.status == 200]

    @property
    def finished(self) -> int:
        """Requests whose speech came whole."""
        return sum(reply.is_whole for reply in self._answered)

    @property
    def audio_seconds(self) -> float:
        """Of all that came."""
        return sum(playback.audio_seconds for playback in self.playbacks)

    @property
    def throughput(self) -> float:
        """Seconds of sound a second, of what came while all clients were at work."""
        ends = self.opened + self.window
        came = sum(a.seconds for reply in self._answered for a in reply.arrivals if a.at <= ends)
        return came / self.window

    def first_audio(self, percent: float, from_first_try: bool = False) -> float | None:
        """Percentile of the seconds to the first sound, from the try that was taken or from the first one."""
        times = []
        for asked in self.asked:
            if asked.reply is not None and asked.reply.arrivals:
                begun = asked.first_try if from_first_try else asked.reply.sent
                times.append(asked.reply.arrivals[0].at - begun)
        return float(np.percentile(times, percent)) if times else None

    @property
    def late(self) -> int:
        """Underruns: chunks that came later than their playback."""
        return sum(playback.late for playback in self.playbacks)

    @property
    def stalled_streams(self) -> int:
        """Streams with an underrun."""
        return sum(playback.late > 0 for playback in self.playbacks)

    @property
    def stalled_share(self) -> float:
        """Seconds of silence put in, a second of sound."""
        return sum(playback.stalled_seconds for playback in self.playbacks) / max(self.audio_seconds, 1e-9)

    @property
    def refusals(self) -> int:
        """429s; a client comes again when it is told to."""
        return sum(asked.refusals for asked in self.asked)

    @property
    def errors(self) -> list[str]:
        """Every other thing that went wrong."""
        replies = [asked.reply for asked in self.asked if asked.reply is not None]
        return [reply.error for reply in replies if reply.error is not None]

    @property
    def digests(self) -> dict[tuple[int, int], set[str]]:
        """What came for each text and seed."""
        found: dict[tuple[int, int], set[str]] = {}
        for asked in self.asked:
            if asked.reply is not None and asked.reply.is_whole:
                found.setdefault((asked.saying, asked.seed), set()).add(asked.reply.digest)
        return found


COLUMNS = (
    "clients", "slots", "whole", "audio s/s", "first audio p50", "p95", "with 429s p95", "late chunks",
    "streams that stall", "stall a second", "429s", "errors", "rows a step", "CPU s/audio s", "memory",
)  # fmt: skip


def cells(level: Level) -> list[str]:
    """The row of a level, in the order of `COLUMNS`."""
    return [
        str(level.clients),
        str(level.slots),
        str(level.finished),
        f"{level.throughput:.2f}",
        milliseconds(level.first_audio(50)),
        milliseconds(level.first_audio(95)),
        milliseconds(level.first_audio(95, from_first_try=True)),
        str(level.late),
        f"{level.stalled_streams} of {len(level.playbacks)}",
        f"{level.stalled_share:.3f}",
        str(level.refusals),
        str(len(level.errors)),
        "-" if level.rows_a_step is None else f"{level.rows_a_step:.1f}",
        f"{level.cpu_seconds / level.audio_seconds:.3f}" if level.audio_seconds else "-",
        f"{level.memory / 2**20:.0f} MB",
    ]


def differing(levels: Sequence[Level]) -> list[str]:
    """Texts and seeds that did not give the same bytes everywhere, in words."""
    found: dict[tuple[int, int], set[str]] = {}
    for level in levels:
        for key, digests in level.digests.items():
            found.setdefault(key, set()).update(digests)
    return [
        f"text {saying} with seed {seed} came as {len(digests)} different sounds"
        for (saying, seed), digests in sorted(found.items())
        if len(digests) > 1
    ]


def milliseconds(seconds: float | None) -> str:
    """For a person."""
    return "-" if seconds is None else f"{1000 * seconds:,.0f} ms"
