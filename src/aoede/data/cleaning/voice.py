"""Voice activity: where in a recording somebody speaks, and where the pauses are.

Owns the detector, which goes by energy in the band of voices against the recording's own floor, with two thresholds.
It takes every sound that stands out for voice: music and slamming doors too. What is done with the pauses is the
business of `recording.py`, `cutting.py` and `noise.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .frames import HOP_SECONDS, Frames

__all__ = ["Span", "VoiceConfig", "voiced_spans"]

Span = tuple[int, int]
"""First sample, and the one after the last."""

SILENT = -70.0
"""dB of full scale: a recording that never gets louder holds no voice."""

LOUD_BELOW_PEAK = 15.0
"""The loud level lies at most this many dB below the loudest frame, however little of the recording is voice."""

WIDEST = 60.0
"""dB: a floor further below the loud level counts as this far (breath in a silent studio is no voice), and so does one
that cannot be told from the voice (a recording cut so tightly that it has no pause)."""

LOCAL_SECONDS, LOCAL_STEP_SECONDS = 30.0, 5.0
"""A long recording has its floor and loud level anew every step, from a window of this length."""

LOCAL_LOUD = 25.0
"""dB below the whole recording's loud level that a quiet passage's may lie, so that half a minute of silence is not
searched for voices in it."""


@dataclass(frozen=True, kw_only=True)
class VoiceConfig:
    """How voice activity is found. Levels are frames of 32 ms, every 10 ms, 200 Hz to 8 kHz."""

    margin_seconds: float = 0.15
    """What stays around the voice at the ends of a recording or piece."""

    pause_seconds: float = 0.2
    """A shorter gap belongs to the words around it."""

    shortest_seconds: float = 0.06
    """A shorter sound, with nothing else near, is a click."""

    begin_share: float = 0.35
    """A voice begins where the level rises this share of the way from the floor (5 % point) to the loud level (95 %
    point), ..."""

    end_share: float = 0.2
    """... and lasts as long, both ways, as the level stays above this share of it."""

    begin_decibels: float = 6.0
    """At least this far above the floor, ..."""

    end_decibels: float = 4.0
    """... and this far. A recording whose loud level does not reach `begin_decibels` holds no voice."""

    def __post_init__(self) -> None:
        for name in ("margin_seconds", "pause_seconds", "shortest_seconds"):
            value = getattr(self, name)
            if not 0 <= value <= 10:
                raise ValueError(f"{name} is {value:g}; it lies in 0..10 seconds")
        for end, begin in (("end_share", "begin_share"), ("end_decibels", "begin_decibels")):
            low, high, top = getattr(self, end), getattr(self, begin), 1 if "share" in end else 60
            if not 0 < low <= high < top:
                raise ValueError(f"{end} is {low:g} and {begin} {high:g}: 0 < {end} <= {begin} < {top} is needed")


def voiced_spans(frames: Frames, num_samples: int, config: VoiceConfig) -> list[Span]:
    """The stretches of voice, in order, none closer to the next than `pause_seconds`.

    Args:
        frames: of the whole recording.
        num_samples: its length; spans end there.
    Returns:
        samples; empty where nothing stands out of the floor.
    """
    level = frames.level
    loud, floor = _loud(level), _floor(level, config)
    if loud < SILENT or (floor is not None and loud - floor < config.begin_decibels):
        return []
    louds, floors = _local_bounds(level, loud, loud - WIDEST if floor is None else floor, config)
    floors = np.maximum(floors, louds - WIDEST)
    reach = louds - floors
    stays = level > floors + np.maximum(config.end_share * reach, config.end_decibels)
    begins = level > floors + np.maximum(config.begin_share * reach, config.begin_decibels)
    runs = [(start, stop) for start, stop in _runs(stays) if begins[start:stop].any()]
    joined = _joined(runs, round(config.pause_seconds / HOP_SECONDS))
    shortest = config.shortest_seconds / HOP_SECONDS
    half = frames.hop // 2
    return [
        (max(start * frames.hop - half, 0), min((stop - 1) * frames.hop + half, num_samples))
        for start, stop in joined
        if stop - start >= shortest
    ]


def _loud(level: NDArray[np.float64]) -> float:
    """Loud level, dB."""
    return max(float(np.percentile(level, 95)), float(level.max()) - LOUD_BELOW_PEAK)


def _floor(level: NDArray[np.float64], config: VoiceConfig) -> float | None:
    """Floor, dB, or None where it does not last as long as a pause: then it is only the softest part of the voice."""
    floor = float(np.percentile(level, 5))
    longest = max(stop - start for start, stop in _runs(level < floor + config.begin_decibels))
    return floor if longest * HOP_SECONDS >= config.pause_seconds else None


def _local_bounds(
    level: NDArray[np.float64], loud_overall: float, floor_overall: float, config: VoiceConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Loud level and floor for every frame: [N], [N]; straight lines between the middles of the windows."""
    window, step = round(LOCAL_SECONDS / HOP_SECONDS), round(LOCAL_STEP_SECONDS / HOP_SECONDS)
    middles: list[float] = []
    bounds: list[tuple[float, float]] = []
    for start in range(0, max(len(level) - window, 0) + step, step):
        part = level[start : start + window]
        if len(part) < window // 2 and bounds:  # the last window, hardly begun
            break
        floor = _floor(part, config)
        middles.append(start + len(part) / 2)
        bounds.append((max(_loud(part), loud_overall - LOCAL_LOUD), floor_overall if floor is None else floor))
    places = np.arange(len(level))
    louds, floors = (np.interp(places, middles, values) for values in zip(*bounds, strict=True))
    return louds, floors


def _runs(on: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, past the last) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], on, [False])).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _joined(runs: list[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    """Runs less than `gap` frames apart become one."""
    joined: list[tuple[int, int]] = []
    for start, stop in runs:
        if joined and start - joined[-1][1] < gap:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined
