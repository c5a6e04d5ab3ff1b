"""More of the same recordings: faster, higher, noisier or louder copies, kept apart from the originals.

Owns what is drawn for a copy and how it is made. The draw depends on the seed, the clip's id and the copy's number
alone, so that neither order nor workers change it. Where copies go and what they are called is the corpus' business.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from .frames import RUMBLE_HERTZ, measure_frames
from .stretch import shift_pitch
from .voice import VoiceConfig, voiced_spans

__all__ = ["AugmentConfig", "Augmented", "augment", "change_gain", "change_noise", "change_speed"]

Range = tuple[float, float]

CEILING = 0.99
"""A copy whose peak would pass this is made quieter as a whole."""

STEEPEST = 1.5
"""Noise falls with frequency like 1/f to a power drawn from 0 (white) to this; 1 is pink."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """What is drawn, evenly, from [low, high]; null is off. With everything off there are no copies."""

    copies: int = 1
    """Of every piece."""

    speed: Range | None = None
    """Times as fast, pitch and all (Ko et al. 2015, "Audio augmentation for speech recognition")."""

    pitch: Range | None = None
    """Semitones higher, at the same length."""

    noise: Range | None = None
    """Signal-to-noise ratio in dB of coloured noise that is added."""

    gain: Range | None = None
    """dB louder."""

    def __post_init__(self) -> None:
        if not 0 <= self.copies <= 100:
            raise ValueError(f"copies is {self.copies}; it lies in 0..100")
        limits = {"speed": (0.5, 2.0), "pitch": (-12.0, 12.0), "noise": (-20.0, 100.0), "gain": (-60.0, 60.0)}
        for name, (low, high) in limits.items():
            drawn: Range | None = getattr(self, name)
            if drawn is not None and not low <= drawn[0] <= drawn[1] <= high:
                raise ValueError(
                    f"{name} is [{drawn[0]:g}, {drawn[1]:g}]; a range [low, high] within {low:g}..{high:g} is expected"
                )

    @property
    def is_on(self) -> bool:
        """Whether there are any copies."""
        return self.copies > 0 and any(r is not None for r in (self.speed, self.pitch, self.noise, self.gain))


@dataclass(frozen=True, kw_only=True)
class Augmented:
    """One copy."""

    name: str
    """`aug1`, `aug2` ...: its id is `<id>+<name>`."""

    samples: NDArray[np.float32]
    """[T'] in [-1, 1]."""

    settings: dict[str, float] = field(default_factory=dict)
    """What was drawn, by the names of `AugmentConfig`; `held_back`: dB it was made quieter by, to stay in range."""

    @property
    def changes_voice(self) -> bool:
        """Whether it sounds like another speaker."""
        return "speed" in self.settings or "pitch" in self.settings


def augment(samples: NDArray[np.float32], rate: int, config: AugmentConfig, seed: int, id: str) -> list[Augmented]:
    """The copies of one piece.

    Args:
        samples: [T] float32 in [-1, 1], one channel.
        id: of the clip; with the seed and the copy's number it decides the draw.
    Returns:
        `config.copies` of them; none where everything is off or there are no samples.
    """
    if not config.is_on or not len(samples):
        return []
    return [_copy(samples, rate, config, f"aug{number}", _random(seed, id, number)) for number in _numbers(config)]


def change_speed(samples: NDArray[np.float32], rate: int, speed: float) -> NDArray[np.float32]:
    """Played `speed` times as fast: [T] to about [T / speed]."""
    return np.asarray(soxr.resample(samples, rate * speed, rate), dtype=np.float32)


def change_noise(
    samples: NDArray[np.float32], rate: int, decibels: float, random: np.random.Generator
) -> NDArray[np.float32]:
    """Coloured noise added, `decibels` below the mean power of the voice (of everything, where none is found)."""
    frames = measure_frames(samples, rate)
    spans = voiced_spans(frames, len(samples), VoiceConfig()) or [(0, len(samples))]
    voiced = np.concatenate([frames.power[first // frames.hop : last // frames.hop + 1] for first, last in spans])
    noise = _coloured(len(samples), rate, random)
    wanted = float(voiced.mean()) * 10 ** (-decibels / 10)
    return np.asarray(samples + noise * np.sqrt(wanted), dtype=np.float32)


def change_gain(samples: NDArray[np.float32], decibels: float) -> NDArray[np.float32]:
    """Louder by so many dB."""
    return samples * np.float32(10 ** (decibels / 20))


def _numbers(config: AugmentConfig) -> range:
    return range(1, config.copies + 1)


def _copy(
    samples: NDArray[np.float32], rate: int, config: AugmentConfig, name: str, random: np.random.Generator
) -> Augmented:
    settings: dict[str, float] = {}
    for what in ("speed", "pitch", "noise", "gain"):  # every draw is made, so that one switch does not move the others
        low, high = getattr(config, what) or (0.0, 0.0)
        drawn = round(float(random.uniform(low, high)), 3)
        if getattr(config, what) is not None:
            settings[what] = drawn
    made = samples
    if "speed" in settings:
        made = change_speed(made, rate, settings["speed"])
    if "pitch" in settings:
        made = shift_pitch(made, rate, settings["pitch"])
    if "noise" in settings:
        made = change_noise(made, rate, settings["noise"], random)
    if "gain" in settings:
        made = change_gain(made, settings["gain"])
    peak = float(np.abs(made).max(initial=0))
    if peak > CEILING:
        made = made * np.float32(CEILING / peak)
        settings["held_back"] = round(20 * float(np.log10(peak / CEILING)), 3)
    return Augmented(name=name, samples=np.ascontiguousarray(made, dtype=np.float32), settings=settings)


def _random(seed: int, id: str, number: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}\0{id}\0{number}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def _coloured(count: int, rate: int, random: np.random.Generator) -> NDArray[np.float64]:
    """[count] noise of power 1, without what lies below `RUMBLE_HERTZ`."""
    size = 1 << max(count - 1, 1).bit_length()
    spectrum = np.fft.rfft(random.standard_normal(size))
    hertz = np.fft.rfftfreq(size, 1 / rate)
    spectrum[hertz < RUMBLE_HERTZ] = 0
    spectrum *= np.maximum(hertz, RUMBLE_HERTZ) ** (-float(random.uniform(0, STEEPEST)) / 2)
    noise = np.fft.irfft(spectrum, size)
    return np.asarray(noise[:count] / np.sqrt((noise**2).mean()))
