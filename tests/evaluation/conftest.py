"""A language of tones: three words, each a pitch, with a voice that speaks it and a recogniser that hears it.

Small and real: the recogniser finds the words in the sound, so what the codec or the voice breaks is really lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Self

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

from aoede.codec import Snac, SnacConfig
from aoede.data.manifest import Clip

RATE = 24000
PITCHES = {"low": 400.0, "middle": 800.0, "high": 1600.0}


def spoken(text: str, gain: float = 0.5, pace: float = 1.0) -> np.ndarray:
    """A fifth of a second a word and a tenth of silence after it, divided by `pace`."""
    parts = [np.zeros(RATE // 10)]
    for word in text.split():
        time = np.arange(int(RATE / 5 / pace)) / RATE
        parts += [gain * np.sin(2 * np.pi * PITCHES[word] * time), np.zeros(int(RATE / 10 / pace))]
    return np.concatenate(parts).astype(np.float32)


class ToneRecogniser:
    """Cuts at silence and takes each stretch for the word whose pitch is nearest."""

    name = "tones"

    def transcribe(self, audio: np.ndarray, sample_rate: int, language: str = "en") -> str:
        window = sample_rate // 100
        loud = np.abs(audio[: len(audio) // window * window]).reshape(-1, window).max(1) > 0.1
        edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(int))) * window
        heard = []
        for start, stop in edges.reshape(-1, 2):
            spectrum = np.abs(np.fft.rfft(audio[start:stop]))
            pitch = spectrum.argmax() * sample_rate / (stop - start)
            heard.append(min(PITCHES, key=lambda word: abs(PITCHES[word] - pitch)))
        return " ".join(heard)


class PitchEncoder:
    """A speaker is how loud they are: quiet ones point one way, loud ones another."""

    name = "loudness"

    def embed(self, audio: np.ndarray, sample_rate: int) -> np.ndarray | None:
        peak = float(np.abs(audio).max())
        return np.array([peak, 1 - peak], dtype=np.float32) if peak > 1e-3 else None


@dataclass(frozen=True, kw_only=True)
class Spoken:
    samples: np.ndarray
    sample_rate: int = RATE
    cut: bool = False
    notes: tuple[str, ...] = ()
    compute_seconds: float = 0.5
    first_audio_seconds: float = 0.25


@dataclass
class ToneVoice:
    """Speaks tones; `habits` changes what it says for a text: a wrong text, or silence where it is ""."""

    speakers: tuple[str, ...] = ("quiet", "loud")
    habits: dict[str, str] = field(default_factory=dict)
    pace: float = 1.0
    notes: tuple[str, ...] = ()

    def speak(self, text: str, speaker: str | None = None, *, seed: int = 0) -> Spoken:
        if "cough" in text:
            raise ValueError("this voice does not cough")
        said = self.habits.get(text, text)
        gain = {"quiet": 0.2, "loud": 0.8}[speaker or "loud"]
        samples = spoken(said, gain, self.pace) if said else np.zeros(0, np.float32)
        return Spoken(samples=samples, notes=self.notes)


class RulerCodec:
    """Writes each sample down on a ruler of 256 marks, as two levels of 16: coarse marks, and marks between them.

    A codec of another kind with nothing to learn, whose every figure can be worked out: 24,000 codes a second a level,
    4 bits each. It may be `late` by samples, and `upside_down`.
    """

    def __init__(self, late: int = 0, upside_down: bool = False) -> None:
        self.late, self.sign = late, -1 if upside_down else 1
        self.config = SimpleNamespace(
            sample_rate=RATE, hop_length=1, vq_strides=(1, 1), codebook_size=16, num_codebooks=2, codes_per_frame=(1, 1)
        )

    def encode(self, audio: Tensor, lengths: Tensor | None = None) -> list[Tensor]:
        marks = ((audio[:, 0] + 1) * 127.5).round().long()
        return [marks // 16, marks % 16]

    def decode(self, codes: Sequence[Tensor], length: int, lengths: Tensor | None = None) -> Tensor:
        fine = codes[1] if len(codes) > 1 else torch.full_like(codes[0], 8)
        audio = self.sign * ((codes[0] * 16 + fine) / 127.5 - 1)
        late = nn.functional.pad(audio, (self.late, 0))[:, : audio.shape[1]]
        return late[:, None, :length]

    def frames(self, length: int) -> int:
        return length

    def parameters(self) -> list[nn.Parameter]:
        return []

    def to(self, device: torch.device | str) -> Self:
        return self


@pytest.fixture
def recogniser() -> ToneRecogniser:
    return ToneRecogniser()


@pytest.fixture
def encoder() -> PitchEncoder:
    return PitchEncoder()


@pytest.fixture
def make_voice() -> type[ToneVoice]:
    return ToneVoice


@pytest.fixture(scope="session")
def codec() -> Snac:
    """A tiny untrained codec: its audio is noise, its codes are codes."""
    config = SnacConfig(
        encoder_dim=4,
        encoder_rates=(2, 4, 4, 4),
        decoder_dim=32,
        decoder_rates=(4, 4, 4, 2),
        codebook_size=16,
        codebook_dim=4,
    )
    return Snac(config).eval()


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Four held-out clips of two speakers and two training clips."""
    folder = tmp_path_factory.mktemp("recordings")
    rows = [
        ("quiet", "low middle high", "heldout"),
        ("loud", "high high low", "heldout"),
        ("quiet", "middle low", "heldout"),
        ("loud", "low low middle high", "heldout"),
        ("quiet", "high middle", "train"),
        ("loud", "middle middle", "train"),
    ]
    found = []
    for i, (speaker, text, split) in enumerate(rows):
        path = folder / f"{i}.wav"
        soundfile.write(path, spoken(text, {"quiet": 0.2, "loud": 0.8}[speaker]), RATE)
        found.append(Clip(audio=str(path), id=str(i), text=text, speaker=speaker, language="en", split=split))
    return found
