"""The judges that the cleaning takes by default: a predicted opinion, the language heard, the words heard.

Owns the forms that `aoede.data.cleaning` asks of a judge, around this room's own recogniser and opinion score. What is
made missing or unusable is told when a judge is made, before any recording is read.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aoede.data.cleaning import Comparison, Unjudged
from aoede.evaluation.intelligibility import WhisperRecogniser, score
from aoede.evaluation.quality import DistillMos, Unmeasurable
from aoede.evaluation.spelling import words

__all__ = ["DEFAULT_JUDGES", "HeardLanguage", "HeardWords", "PredictedOpinion"]

DEFAULT_JUDGES = {
    "mos": "aoede.evaluation.judges:PredictedOpinion",
    "language": "aoede.evaluation.judges:HeardLanguage",
    "transcript": "aoede.evaluation.judges:HeardWords",
}
"""Step of the cleaning to import string."""


class PredictedOpinion:
    """DistillMOS (Stahl and Gamper 2025), from the recording alone."""

    def __init__(self) -> None:
        """Raises ValueError where the package distillmos is not installed."""
        self._measure = DistillMos()

    def opinion(self, samples: NDArray[np.float32], rate: int) -> float:
        """1 to 5; see `aoede.data.cleaning.OpinionJudge`."""
        try:
            found = self._measure.measure(None, samples, rate)
        except Unmeasurable as error:
            raise Unjudged(str(error)) from error
        assert found is not None  # it compares with nothing
        return found


class HeardLanguage:
    """A multilingual Whisper model's guess at the language of the first 30 s.

    Args:
        folder: faster-whisper model.
        threads: CPU threads of it.
    Raises:
        ValueError: no such model, one of English only, or faster-whisper is not installed.
    """

    def __init__(self, folder: str, threads: int = 1) -> None:
        self._recogniser = _recogniser(folder, threads)
        if not self._recogniser.is_multilingual:
            raise ValueError(f"{folder} knows English only; telling languages apart needs a multilingual model")

    def language(self, samples: NDArray[np.float32], rate: int) -> tuple[str, float]:
        """See `aoede.data.cleaning.LanguageJudge`."""
        if len(samples) < rate // 2:
            raise Unjudged("shorter than 0.5 s")
        return self._recogniser.detect_language(samples, rate)


class HeardWords:
    """What a Whisper model writes down, against the text; both normalised as for word errors.

    Args:
        folder: faster-whisper model.
        threads: CPU threads of it.
    Raises:
        ValueError: no such model, or faster-whisper is not installed.
    """

    def __init__(self, folder: str, threads: int = 1) -> None:
        self._recogniser = _recogniser(folder, threads)

    def compare(self, samples: NDArray[np.float32], rate: int, text: str, language: str) -> Comparison:
        """See `aoede.data.cleaning.TranscriptJudge`."""
        if not language:
            raise Unjudged("the clip does not say its language")
        if not words(text, language):
            raise Unjudged("the text has no words")
        if not language.lower().startswith("en") and not self._recogniser.is_multilingual:
            raise Unjudged(f"the recogniser {self._recogniser.name} knows English only")
        heard = self._recogniser.transcribe(samples, rate, language)
        return Comparison(character_errors=score(text, heard, language).cer, heard=heard)


def _recogniser(folder: str, threads: int) -> WhisperRecogniser:
    if importlib.util.find_spec("faster_whisper") is None:
        raise ValueError("the package faster-whisper is not installed: pip install 'aoede[eval]'")
    return WhisperRecogniser(Path(folder).expanduser(), threads)
