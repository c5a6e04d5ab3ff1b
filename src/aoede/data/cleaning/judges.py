"""Judges: what a listener would say of a recording, said by a model.

Owns the three interfaces (opinion, language, words) and the loading of whoever implements them from an import string.
Knows no model: `aoede.evaluation.judges` has those that the command line takes by default, and anyone's own will do.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from .config import CleanConfig, JudgeConfig

__all__ = [
    "Comparison",
    "Judges",
    "LanguageJudge",
    "OpinionJudge",
    "TranscriptJudge",
    "Unjudged",
    "load_judges",
]


class Unjudged(ValueError):
    """Raised by a judge that cannot judge this recording, with the reason; the recording is kept, the reason told."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a judge heard, against the text."""

    character_errors: float
    """A character of the text; 0 is word for word, 1 and more is another text."""

    heard: str


class OpinionJudge(Protocol):
    """Predicts a mean opinion score."""

    def opinion(self, samples: NDArray[np.float32], rate: int) -> float:
        """1 (bad) to 5 (excellent) for samples [T] in [-1, 1] at `rate`; raises `Unjudged`."""
        ...


class LanguageJudge(Protocol):
    """Tells languages apart."""

    def language(self, samples: NDArray[np.float32], rate: int) -> tuple[str, float]:
        """Two-letter code of the language heard and how sure that is, 0 to 1; raises `Unjudged`."""
        ...


class TranscriptJudge(Protocol):
    """Listens and compares."""

    def compare(self, samples: NDArray[np.float32], rate: int, text: str, language: str) -> Comparison:
        """What is heard against `text`, both normalised the judge's own way; raises `Unjudged`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Judges:
    """The judges of the steps that are on."""

    mos: OpinionJudge | None = None
    language: LanguageJudge | None = None
    transcript: TranscriptJudge | None = None


_METHODS = {"mos": "opinion", "language": "language", "transcript": "compare"}


def load_judges(config: CleanConfig, defaults: Mapping[str, str] | None = None) -> Judges:
    """Make the judges that a configuration asks for, and no others.

    Args:
        config: its steps `mos`, `language` and `transcript` need a judge when they are on.
        defaults: step to `module:callable`, where the configuration names none.
    Raises:
        ValueError: a step without a judge; an import string that leads nowhere; options that the callable refuses; a
            judge without the method that the step calls.
    """
    found: dict[str, Any] = {}
    for step, method in _METHODS.items():
        if getattr(config, step) is None:
            continue
        chosen = cast(JudgeConfig, getattr(config.judges, step))
        call = chosen.call or (defaults or {}).get(step)
        if not call:
            raise ValueError(
                f"the step {step} is on, but nobody judges: name a callable as judges.{step}.call "
                f"('module:callable'), or switch the step off with `{step}: null`"
            )
        judge = _made(step, call, chosen.options)
        if not callable(getattr(judge, method, None)):
            raise ValueError(f"judges.{step}: what {call} returns has no method `{method}`, which the step calls")
        found[step] = judge
    return Judges(**found)


def _made(step: str, call: str, options: Mapping[str, Any]) -> Any:
    module, _, name = call.partition(":")
    if not module or not name:
        raise ValueError(f"judges.{step}.call is {call!r}; it has the form 'package.module:callable'")
    try:
        maker: Any = importlib.import_module(module)
        for part in name.split("."):
            maker = getattr(maker, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"judges.{step}.call: {call} cannot be loaded: {error}") from error
    try:
        return maker(**options)
    except TypeError as error:
        raise ValueError(
            f"judges.{step}: {call} refuses its options {dict(options)}: {error}; set them under judges.{step}.options"
        ) from error
    except ValueError as error:
        raise ValueError(f"judges.{step}: {error}") from error
