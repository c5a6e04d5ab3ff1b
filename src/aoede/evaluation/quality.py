"""Measures of quality by evaluators that others made: PESQ, STOI, a predicted opinion score, any command.

Owns the interface of such a measure, its forms, and the words that say how to get one that is not installed. Knows
nothing of codecs, clips or reports. The packages come with the extra `aoede[quality]`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from aoede.evaluation.audio_command import TIMEOUT_SECONDS, AudioCommand, CommandFailed, last_number

__all__ = ["CommandMeasure", "DistillMos", "Pesq", "QualityMeasure", "Stoi", "Unmeasurable", "installed_measures"]

MEASURE_RATE = 16000
STOI_RATE = 10000
PESQ_SECONDS = 20
"""PESQ was made for sentences (P.862.3 advises 8 to 20 s), and its code holds 50 utterances: longer audio is cut."""


class Unmeasurable(ValueError):
    """This clip has no such figure, as a silent one has no PESQ; the message says why."""


class QualityMeasure(Protocol):
    """Anything that gives a clip one number."""

    name: str
    """Names the column, such as "PESQ"."""
    better: str
    """ "higher" or "lower"."""
    digits: int
    """Shown after the point."""
    source: str
    """Who defined it, for the page."""

    def measure(
        self, reference: NDArray[np.float32] | None, audio: NDArray[np.float32], sample_rate: int
    ) -> float | None:
        """The figure of `audio` [T] in [-1, 1], heard beside the original [T] where there is one.

        Returns:
            None where the measure compares and there is nothing to compare with (a recording with itself).
        Raises:
            Unmeasurable: this clip has none, with the reason.
        """
        ...


class Pesq:
    """PESQ, wide band: how a listener would rate the copy beside the original, 1 to 4.64.

    Audio longer than 20 s is measured in equal pieces of at most that; the mean of the pieces with speech counts.
    """

    name, better, digits = "PESQ", "higher", 2
    source = "ITU-T P.862.2 (wide band, both at 16 kHz), package pesq; aligns the two by itself"
    package, install = "pesq", "pip install 'aoede[quality]' (builds with a C compiler)"

    def __init__(self) -> None:
        """Raises ValueError where the package is missing."""
        self._module = _import(self)

    def measure(
        self, reference: NDArray[np.float32] | None, audio: NDArray[np.float32], sample_rate: int
    ) -> float | None:
        """See `QualityMeasure`."""
        if reference is None:
            return None
        original, copy = (_resampled(x, sample_rate, MEASURE_RATE) for x in (reference, audio))
        if len(original) < MEASURE_RATE // 4:
            raise Unmeasurable("shorter than 0.25 s")
        if not np.abs(copy).max() > 0:  # the package divides by the copy's level
            raise Unmeasurable("the copy is silent")
        pieces = -(-len(original) // (PESQ_SECONDS * MEASURE_RATE))
        values, reason = [], ""
        for part, heard in zip(np.array_split(original, pieces), np.array_split(copy, pieces), strict=True):
            try:
                values.append(float(self._module.pesq(MEASURE_RATE, part, heard, "wb")))
            except self._module.PesqError as error:
                said = error.args[0] if error.args else type(error).__name__
                reason = said.decode() if isinstance(said, bytes) else str(said)
        if not values:
            raise Unmeasurable(reason)
        return sum(values) / len(values)


class Stoi:
    """STOI: how much of the speech a listener would follow, 0 to 1."""

    name, better, digits = "STOI", "higher", 3
    source = "Taal et al. 2011, package pystoi; at 10 kHz, without alignment"
    package, install = "pystoi", "pip install 'aoede[quality]'"

    def __init__(self) -> None:
        """Raises ValueError where the package is missing."""
        self._module = _import(self)

    def measure(
        self, reference: NDArray[np.float32] | None, audio: NDArray[np.float32], sample_rate: int
    ) -> float | None:
        """See `QualityMeasure`."""
        if reference is None:
            return None
        original, copy = (_resampled(x, sample_rate, STOI_RATE).astype(np.float64) for x in (reference, audio))
        if not np.abs(original).max(initial=0) > 0:
            raise Unmeasurable("the original is silent")
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            value = float(self._module.stoi(original, copy, STOI_RATE, extended=False))
        # Too little speech is told by a warning and the number 1e-5, which must not enter a mean.
        if any("Not enough STFT frames" in str(warning.message) for warning in told):
            raise Unmeasurable("less than 0.4 s of it is sound")
        if not np.isfinite(value):
            raise Unmeasurable(f"the package returned {value}")
        return value


class DistillMos:
    """The opinion score that a small network predicts from the copy alone, 1 to 5; its weights come with the package.

    Learned on 16 kHz speech: says little of music or of languages far from its training.
    """

    name, better, digits = "DistillMOS", "higher", 2
    source = "Stahl and Gamper 2025, package distillmos; predicted from the copy alone, at 16 kHz"
    package, install = "distillmos", "pip install distillmos (with the torchaudio that fits your torch)"

    def __init__(self) -> None:
        """Raises ValueError where the package is missing or cannot be loaded; weights are read at the first use."""
        self._module = _import(self)
        self._model: Any = None

    def measure(
        self, reference: NDArray[np.float32] | None, audio: NDArray[np.float32], sample_rate: int
    ) -> float | None:
        """See `QualityMeasure`."""
        import torch

        samples = _resampled(audio, sample_rate, MEASURE_RATE)
        if len(samples) < MEASURE_RATE // 4:
            raise Unmeasurable("shorter than 0.25 s")
        if self._model is None:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints where its weights are
                self._model = self._module.ConvTransformerSQAModel().eval()
        with torch.inference_mode():
            return float(self._model(torch.from_numpy(samples)[None]).reshape(()))


class CommandMeasure:
    """A command that prints a number: `visqol --reference_file {reference} --degraded_file {audio}`.

    Args:
        name: column of the report.
        command: words as in a shell, run without one; `{audio}` and, for a measure that compares, `{reference}` stand
            for WAV files (16 bit, mono, at the codecs' common rate). The last number it prints is taken.
        better: "higher" or "lower".
        timeout: seconds for a clip.
    Raises:
        ValueError: a command without `{audio}`, or whose program is not found.
    """

    digits = 2

    def __init__(self, name: str, command: str, better: str = "higher", timeout: float = TIMEOUT_SECONDS) -> None:
        self.name, self.better = name, better
        self._command = AudioCommand(name, command, timeout=timeout)
        self.compares = self._command.has("{reference}")
        self.source = f"printed by `{self._command.program}`"

    def measure(
        self, reference: NDArray[np.float32] | None, audio: NDArray[np.float32], sample_rate: int
    ) -> float | None:
        """See `QualityMeasure`."""
        sounds = {"{audio}": (audio, sample_rate)}
        if self.compares:
            if reference is None:
                return None
            sounds["{reference}"] = (reference, sample_rate)
        try:
            return last_number(self._command.run(sounds))
        except CommandFailed as error:
            raise Unmeasurable(str(error)) from error


def installed_measures(
    wanted: Sequence[type[Pesq] | type[Stoi] | type[DistillMos]] = (Pesq, Stoi, DistillMos),
) -> tuple[list[QualityMeasure], list[tuple[str, str]]]:
    """The measures that can run here, and (name, why not and how to get it) of those that cannot."""
    found: list[QualityMeasure] = []
    missing = []
    for kind in wanted:
        try:
            found.append(kind())
        except ValueError as error:
            missing.append((kind.name, str(error)))
    return found, missing


def _import(measure: Pesq | Stoi | DistillMos) -> Any:
    if importlib.util.find_spec(measure.package) is None:
        raise ValueError(f"the package {measure.package} is not installed: {measure.install}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a package says of its own dependencies is not for our reader
            return importlib.import_module(measure.package)
    except (ImportError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"the package {measure.package} is there but cannot be loaded ({type(error).__name__}: {reason}): "
            f"{measure.install}"
        ) from error


def _resampled(audio: NDArray[np.float32], rate: int, to: int) -> NDArray[np.float32]:
    samples: NDArray[np.float32] = audio.astype(np.float32)
    return samples if rate == to else np.asarray(soxr.resample(samples, rate, to), dtype=np.float32)
