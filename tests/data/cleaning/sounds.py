"""Signals whose right answers a person can work out: tones, pauses, noise of known power."""

import numpy as np

RATE = 24000


def tone(seconds, amplitude=0.5, hertz=997.0, rate=RATE):
    """A sine: its mean square is amplitude ** 2 / 2."""
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def pause(seconds, rate=RATE):
    return np.zeros(round(seconds * rate), dtype=np.float32)


def noise(seconds, power, seed=0, rate=RATE):
    """White noise of this mean square."""
    random = np.random.default_rng(seed)
    return (random.standard_normal(round(seconds * rate)) * np.sqrt(power)).astype(np.float32)


def row(*parts):
    """Seconds of tone where positive, of pause where negative: row(-1, 2, -0.5, 2)."""
    return np.concatenate([tone(part) if part > 0 else pause(-part) for part in parts])
