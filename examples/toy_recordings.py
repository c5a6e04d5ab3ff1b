"""What the numbered examples learn from when nothing better is at hand: words whose every letter is a tone.

`make_recordings` writes sound files and their manifest, `make_codec` a small untrained codec for them. Real recordings
come with a manifest of the same form (docs/data.md), real codecs from `aoede train codec`.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from aoede.codec import Snac, SnacConfig
from aoede.data import save_audio

Wave = Callable[[np.ndarray], np.ndarray]
RATE, WORDS = 8000, ["do", "re", "mi", "fa", "so", "la", "ti"]
SENTENCE, SECONDS = "do re mi", 0.8
"""What the examples say in the end, and how long a recording of it would be."""


def make_recordings(folder: Path, speaker: str = "flute", wave: Wave = np.sin) -> Path:
    """Write 60 recordings of one to four words (a tenth of a second a letter) and return their manifest.

    A manifest is one JSON object a clip. The speaker's tones are `wave` of their phase.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    with open(folder / "manifest.jsonl", "w", encoding="utf-8") as manifest:
        for number in range(60):
            text = " ".join(generator.choice(WORDS, generator.integers(1, 5)))
            time = np.arange(RATE // 10) / RATE
            tones = [0.5 * wave(2 * np.pi * (200 + 40 * (ord(letter) % 32)) * time) for letter in text]
            save_audio(folder / f"{number}.wav", np.concatenate(tones).astype(np.float32), RATE)
            split = "dev" if number % 10 == 9 else "train"
            line = {"audio": f"{number}.wav", "text": text, "speaker": speaker, "language": "en", "split": split}
            manifest.write(json.dumps(line) + "\n")
    return folder / "manifest.jsonl"


def make_codec() -> Snac:
    """Small and untrained: its codes tell the tones apart, but it only beeps."""
    torch.manual_seed(0)
    return Snac(
        SnacConfig(
            sample_rate=RATE, encoder_dim=8, encoder_rates=(4, 5, 5), decoder_dim=32, decoder_rates=(5, 5, 4),
            codebook_size=256,
        )
    )  # fmt: skip
