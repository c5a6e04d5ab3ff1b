"""Spoken audio: the samples, how they came about, and what a person does with them (save, look).

Owns `Audio` and where its turns stand. Knows nothing of voices or models.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aoede.data import save_audio

_FFT, _HOP, _MELS = 1024, 256, 80


@dataclass(frozen=True, kw_only=True)
class SpokenTurn:
    """Where a turn of a speech or a dialogue stands in the samples."""

    text: str
    speaker: str | None
    start: float
    """Seconds from the first sample."""

    end: float
    """Seconds; the silence after it is not part of it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Audio:
    """What a voice said."""

    samples: NDArray[np.float32]
    """[T], mono, in [-1, 1]."""

    sample_rate: int
    """Hz."""

    text: str = ""
    """The text that was asked for."""

    speaker: str | None = None
    seed: int = 0

    cut: bool = False
    """Whether the length guard ended a sentence before the model did; `notes` says which."""

    notes: tuple[str, ...] = ()
    """What a person should know: characters left out, sentences cut."""

    turns: tuple[SpokenTurn, ...] = ()
    """Who says what when; a text is one turn."""

    compute_seconds: float = 0.0
    """Wall time from the call to the last sample."""

    first_audio_seconds: float = 0.0
    """Wall time from the call to the first samples."""

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate

    @property
    def real_time_factor(self) -> float:
        """Seconds of compute a second of audio; below 1 is faster than it plays."""
        return self.compute_seconds / self.duration if len(self.samples) else 0.0

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a sound file; the suffix gives the format: wav, flac, ogg, mp3 or opus. Returns the path."""
        save_audio(path, self.samples, self.sample_rate)
        return Path(path)

    def plot(self, path: str | os.PathLike[str]) -> Path:
        """Draw waveform and mel spectrogram into an image (PNG, SVG, PDF by suffix). Returns the path.

        Raises:
            ValueError: a suffix matplotlib does not write.
            ModuleNotFoundError: matplotlib is not installed.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        path = Path(path)
        figure = Figure(figsize=(10, 5), layout="constrained")
        kinds = FigureCanvasAgg(figure).get_supported_filetypes()
        kind = path.suffix.lstrip(".").lower() or "png"
        if kind not in kinds:
            raise ValueError(f"{path} ends in .{kind}, which is no picture: use .png, .svg or .pdf")
        wave, mel = figure.subplots(2, 1, sharex=True)
        seconds = np.arange(len(self.samples)) / self.sample_rate
        wave.plot(seconds, self.samples, linewidth=0.4)
        wave.set_ylim(-1, 1)
        wave.set_ylabel("amplitude")
        wave.set_title(" ".join(part for part in (self.speaker, f"{self.duration:.2f} s, seed {self.seed}") if part))
        picture = mel_spectrogram(self.samples, self.sample_rate)
        mel.imshow(picture, origin="lower", aspect="auto", extent=(0, self.duration, 0, len(picture)), vmin=-80, vmax=0)
        mel.set_ylabel("mel band")
        mel.set_xlabel("seconds")
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        os.close(handle)
        try:
            figure.savefig(temporary, format=kind, dpi=120)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        return path


def mel_spectrogram(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """Decibels below the loudest cell, [80, frames]: 1024-sample Hann windows every 256 samples, floor -80."""
    padded = np.pad(samples, (_FFT // 2, _FFT // 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::_HOP] * np.hanning(_FFT + 1)[:-1]
    power = np.abs(np.fft.rfft(windows, axis=-1)) ** 2
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, _MELS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(_FFT, 1 / sample_rate)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling))
    decibels = 10 * np.log10(np.maximum(filters @ power.T, 1e-10))
    return np.maximum(decibels - decibels.max(), -80).astype(np.float32)
