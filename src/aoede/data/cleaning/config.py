"""Settings of the cleaning: one field a step, and a step whose field is null (or false) is off.

Owns the defaults, which docs/cleaning.md derives from real recordings, and their checks. What a step does stands in
the file of its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from .voice import VoiceConfig

__all__ = ["CleanConfig", "JudgeConfig", "JudgesConfig"]


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """A callable that makes a judge; see `judges.py`."""

    call: str | None = None
    """`module:callable`; null takes the default of whoever runs the cleaning (the command line has one a step)."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the callable, such as `folder: models/whisper-base`."""


@dataclass(frozen=True, kw_only=True)
class JudgesConfig:
    """Who judges, for the three steps that a listener or a model must decide."""

    mos: JudgeConfig = field(default_factory=JudgeConfig)
    language: JudgeConfig = field(default_factory=JudgeConfig)
    transcript: JudgeConfig = field(default_factory=JudgeConfig)


@dataclass(frozen=True, kw_only=True)
class CleanConfig:
    """The steps of the cleaning, in the order in which they run."""

    resample: bool = True
    """Recordings of another rate are brought to the codec's; off, they are dropped."""

    lowest_rate: int | None = None
    """A recording of a lower rate in Hz is dropped: what lies above half of it was never recorded."""

    trim: bool = True
    """What lies before the first voice and after the last is cut off, but for `voice.margin_seconds`; a recording
    without any is dropped."""

    loudness: float | None = -23.0
    """Integrated loudness in LUFS (ITU-R BS.1770) that each recording is brought to, by one gain."""

    highest_peak: float = -1.0
    """dB of full scale that no sample passes after that gain: the gain is held back instead."""

    language: float | None = None
    """A recording in which the judge hears another language, at least this sure (0 to 1), is dropped."""

    transcript: float | None = None
    """A recording whose words, as the judge hears them, differ from its text by more than this many character errors a
    character is dropped; recordings without text are not judged."""

    cut: float | None = 30.0
    """Longer recordings (seconds) are cut at pauses into pieces of at most this."""

    min_seconds: float | None = 0.3
    """A shorter piece is dropped."""

    max_seconds: float | None = None
    """A longer piece is dropped (what `cut` leaves is never longer than `cut`)."""

    clipping: float | None = 0.01
    """A piece with a larger share of clipped samples is dropped."""

    noise: float | None = 10.0
    """A piece whose estimated signal-to-noise ratio in dB lies below this is dropped."""

    mos: float | None = None
    """A piece whose predicted mean opinion score (1 to 5) lies below this is dropped."""

    duplicates: bool = True
    """Of identical recordings (sample for sample, whatever the file) the first stays."""

    voice: VoiceConfig = field(default_factory=VoiceConfig)
    """Where the voice is: for `trim`, `cut` and `noise`."""

    judges: JudgesConfig = field(default_factory=JudgesConfig)

    def __post_init__(self) -> None:
        _within("loudness", self.loudness, -70, 0, "LUFS; speech is usually kept at -23")
        _within("highest_peak", self.highest_peak, -60, 0, "dB of full scale")
        _within("language", self.language, 0, 1, "how sure the judge must be")
        _within("transcript", self.transcript, 0, 10, "character errors a character; 0.5 forgives a recogniser's own")
        _within("cut", self.cut, 1, 3600, "seconds")
        _within("min_seconds", self.min_seconds, 0, 3600, "seconds")
        _within("max_seconds", self.max_seconds, 0, 1e9, "seconds")
        _within("clipping", self.clipping, 0, 1, "a share of the samples; 0.01 is one in a hundred")
        _within("noise", self.noise, -20, 100, "dB")
        _within("mos", self.mos, 1, 5, "a mean opinion score")
        _within("lowest_rate", self.lowest_rate, 1, 10_000_000, "Hz")
        low = self.min_seconds or 0.0
        for name in ("cut", "max_seconds"):
            high = getattr(self, name)
            if high is not None and high <= low:
                raise ValueError(f"{name} is {high:g} s and min_seconds {low:g} s: nothing would be kept; raise {name}")

    @classmethod
    def off(cls) -> Self:
        """Every step off but resampling, without which the codec cannot read other rates."""
        return cls(
            trim=False, loudness=None, cut=None, min_seconds=None, clipping=None, noise=None, duplicates=False
        )  # fmt: skip


def _within(name: str, value: float | None, low: float, high: float, unit: str) -> None:
    if value is not None and not low <= value <= high:
        raise ValueError(f"{name} is {value:g}; it lies in {low:g}..{high:g} ({unit}), or is null, which is off")
