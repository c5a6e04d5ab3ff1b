"""Intelligibility: what a recogniser hears, against what should have been said.

Owns the recogniser interface, its faster-whisper form and error rates of words and characters (an utterance and a
set, with an interval). What counts as the same word is `spelling.py`'s; where the audio came from is nobody's here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import soxr  # type: ignore[import-untyped]

from aoede.evaluation.intervals import Interval, ratio
from aoede.evaluation.spelling import words

__all__ = ["Edit", "Recogniser", "Score", "WhisperRecogniser", "align", "error_rate", "score"]

WHISPER_RATE = 16000

EDIT, SWAP = 1_000_000, 1_000_001
"""Cost of an edit; a substitution is dearer by a hair, so that equal alignments keep the words they share."""

Kind = Literal["same", "substituted", "deleted", "inserted"]


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One step of an alignment: `said` is "" where something was inserted, `heard` is "" where it was deleted."""

    kind: Kind
    said: str
    heard: str


@dataclass(frozen=True, kw_only=True)
class Score:
    """One utterance compared with its transcript."""

    edits: tuple[Edit, ...]
    """The cheapest alignment, word by word, of the normalised texts."""
    num_words: int
    """Words of the reference."""
    character_errors: int
    num_characters: int
    """Characters of the reference, without spaces."""

    @property
    def word_errors(self) -> int:
        return sum(edit.kind != "same" for edit in self.edits)

    @property
    def wer(self) -> float:
        """Word errors a reference word; above 1 when more was heard than said."""
        return self.word_errors / max(self.num_words, 1)

    @property
    def cer(self) -> float:
        """Character errors a reference character, spaces left out (so "file system" equals "filesystem")."""
        return self.character_errors / max(self.num_characters, 1)


class Recogniser(Protocol):
    """Anything that writes down what it hears."""

    name: str

    def transcribe(self, audio: np.ndarray, sample_rate: int, language: str = "en") -> str:
        """The words of `audio` ([T] float32 in [-1, 1] at `sample_rate`); "" when none were heard."""
        ...


def align(said: Sequence[str], heard: Sequence[str]) -> tuple[Edit, ...]:
    """The alignment with the fewest edits (Levenshtein) and, among those, the most words in common.

    Args:
        said: reference items (words or characters), [N].
        heard: transcript items, [M].
    """
    rows, columns = len(said) + 1, len(heard) + 1
    cost = np.zeros((rows, columns), dtype=np.int64)
    cost[:, 0], cost[0, :] = np.arange(rows) * EDIT, np.arange(columns) * EDIT
    for i in range(1, rows):
        for j in range(1, columns):
            swap = cost[i - 1, j - 1] + SWAP * (said[i - 1] != heard[j - 1])
            cost[i, j] = min(swap, cost[i - 1, j] + EDIT, cost[i, j - 1] + EDIT)
    edits: list[Edit] = []
    i, j = rows - 1, columns - 1
    while i or j:
        a, b = said[i - 1] if i else "", heard[j - 1] if j else ""
        if i and j and cost[i, j] == cost[i - 1, j - 1] + SWAP * (a != b):
            edits.append(Edit(kind="same" if a == b else "substituted", said=a, heard=b))
            i, j = i - 1, j - 1
        elif i and cost[i, j] == cost[i - 1, j] + EDIT:
            edits.append(Edit(kind="deleted", said=a, heard=""))
            i -= 1
        else:
            edits.append(Edit(kind="inserted", said="", heard=b))
            j -= 1
    return tuple(reversed(edits))


def score(text: str, transcript: str, language: str = "en") -> Score:
    """Compares a transcript with the text that should have been spoken, both normalised.

    Raises:
        ValueError: the text has no words to compare with.
    """
    said, heard = words(text, language), words(transcript, language)
    if not said:
        raise ValueError(f"the text {text!r} has no words; leave clips without text out of an intelligibility score")
    letters = "".join(said)
    return Score(
        edits=align(said, heard),
        num_words=len(said),
        character_errors=distance(letters, "".join(heard)),
        num_characters=len(letters),
    )


def distance(said: str, heard: str) -> int:
    """Levenshtein distance of two strings, two rows at a time."""
    previous = list(range(len(heard) + 1))
    for i, a in enumerate(said, 1):
        current = [i]
        for j, b in enumerate(heard, 1):
            current.append(min(previous[j - 1] + (a != b), previous[j] + 1, current[-1] + 1))
        previous = current
    return previous[-1]


def error_rate(scores: Sequence[Score], unit: Literal["word", "character"] = "word") -> Interval:
    """Errors over reference units of a whole set (not the mean of the utterances' rates), with a 95 % interval."""
    if unit == "word":
        return ratio([s.word_errors for s in scores], [s.num_words for s in scores])
    return ratio([s.character_errors for s in scores], [s.num_characters for s in scores])


class WhisperRecogniser:
    """A Whisper model in a faster-whisper (CTranslate2) folder, on the CPU in int8.

    Beam 5 at temperature 0 without the temperature fallback, no voice-activity filter and no text carried over, so
    that a broken utterance is heard as broken. Timestamps are on: without them whisper-base ends some utterances at
    the first full stop (5.2 % word errors instead of 4.0 on the corpus' held-out recordings).
    """

    def __init__(self, folder: str | Path, threads: int = 1) -> None:
        """Checks the folder; the model itself is loaded at the first use.

        Raises:
            ValueError: no such folder, or not a faster-whisper model.
        """
        self.folder = Path(folder)
        self.name = self.folder.name
        self.threads = threads
        self._model: Any = None
        missing = [
            name for name in ("model.bin", "config.json", "tokenizer.json") if not (self.folder / name).is_file()
        ]
        if missing:
            raise ValueError(
                f"{self.folder} lacks {', '.join(missing)}; a recogniser is a faster-whisper folder: download one with "
                "`huggingface-cli download Systran/faster-whisper-base --local-dir DIR` (or tools/fetch_models.py "
                "whisper-base DIR)"
            )

    def transcribe(self, audio: np.ndarray, sample_rate: int, language: str = "en") -> str:
        """See `Recogniser`.

        Raises:
            ValueError: the package faster-whisper is not installed, or the audio is not one channel.
        """
        if audio.ndim != 1:
            raise ValueError(f"audio has shape {tuple(audio.shape)}; a recogniser takes one channel, [T]")
        if len(audio) < sample_rate // 50:
            return ""
        model = self._load()
        samples = soxr.resample(audio.astype(np.float32), sample_rate, WHISPER_RATE)
        segments, _ = model.transcribe(
            samples,
            language=language[:2] if model.model.is_multilingual else "en",
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
        )
        return " ".join(segment.text.strip() for segment in segments)

    @property
    def is_multilingual(self) -> bool:
        """Whether it knows more than English; loads the model."""
        return bool(self._load().model.is_multilingual)

    def detect_language(self, audio: np.ndarray, sample_rate: int) -> tuple[str, float]:
        """The language of the first 30 s of `audio` [T] as a two-letter code, and how sure the model is, 0 to 1.

        Raises:
            ValueError: the model knows English only, or faster-whisper is not installed.
        """
        if not self.is_multilingual:
            raise ValueError(f"{self.folder} knows English only; telling languages apart needs a multilingual model")
        samples = soxr.resample(audio[: 30 * sample_rate].astype(np.float32), sample_rate, WHISPER_RATE)
        language, sure, _ = self._load().detect_language(samples)
        return str(language), float(sure)

    def _load(self) -> Any:
        if self._model is None:
            try:
                from faster_whisper import WhisperModel  # type: ignore[import-not-found, unused-ignore]
            except ImportError as error:
                raise ValueError(
                    f"the recogniser in {self.folder} needs the package faster-whisper ({error}); "
                    "`pip install faster-whisper`, or leave the recogniser out to measure without word errors"
                ) from error
            self._model = WhisperModel(str(self.folder), device="cpu", compute_type="int8", cpu_threads=self.threads)
        return self._model
