"""Evaluators by the names that a person gives them: recogniser, speaker encoder, further measures.

Owns which word opens what, and the way out where something is missing. What they do is their own files' business.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

import torch

from aoede.evaluation.audio_command import CommandRecogniser, CommandSimilarity
from aoede.evaluation.intelligibility import Recogniser, WhisperRecogniser
from aoede.evaluation.likeness import SpeakerComparison
from aoede.evaluation.quality import CommandMeasure, DistillMos, Pesq, QualityMeasure, Stoi, installed_measures
from aoede.evaluation.speaker import INSTALL, ResemblyzerEncoder, SpeakerEncoder

__all__ = ["MEASURES", "machine_words", "open_encoder", "open_measures", "open_recogniser", "unmeasured"]

Missing = tuple[str, str]
"""(what was not measured, why and how to get it)."""

MEASURES: dict[str, type[Pesq] | type[Stoi] | type[DistillMos]] = {"pesq": Pesq, "stoi": Stoi, "distillmos": DistillMos}


def open_recogniser(given: str | Path | None, threads: int = 1) -> Recogniser | None:
    """A recogniser.

    Args:
        given: a faster-whisper folder, or a command with `{audio}` that prints words; None leaves words unmeasured.
        threads: CPU threads of a folder's model.
    Raises:
        ValueError: no such folder, or a program that is not here.
    """
    if threads < 1:
        raise ValueError(f"threads is {threads}; at least 1")
    if given is None:
        return None
    return CommandRecogniser(str(given)) if "{" in str(given) else WhisperRecogniser(given, threads)


def open_encoder(given: str = "auto") -> tuple[SpeakerEncoder | SpeakerComparison | None, list[Missing]]:
    """A speaker encoder or comparison.

    Args:
        given: "auto" (resemblyzer where it is installed), "resemblyzer", "none", or a command with `{audio}` and
            `{reference}` that prints a number, higher for more alike.
    Raises:
        ValueError: resemblyzer was asked for and is missing, another word, or a program that is not here.
    """
    if "{" in given:
        return CommandSimilarity(given), []
    if given not in ("auto", "resemblyzer", "none"):
        raise ValueError(
            f"the encoder {given!r} is none of auto, resemblyzer, none, and no command with {{audio}} and {{reference}}"
        )
    if given == "resemblyzer" or (given == "auto" and ResemblyzerEncoder.installed()):
        return ResemblyzerEncoder(), []
    why = f"the package resemblyzer is not installed: {INSTALL}" if given == "auto" else "left out: --encoder none"
    return None, [("speaker similarity", why)]


def open_measures(
    names: str = "auto", commands: Sequence[str] = (), known: Sequence[str] = tuple(MEASURES)
) -> tuple[list[QualityMeasure], list[Missing]]:
    """Further measures by name.

    Args:
        names: "auto" (all that are installed), "none", or names as in "pesq,stoi".
        commands: `NAME=COMMAND` each, see `CommandMeasure`; `NAME:lower=COMMAND` where a lower number is better.
        known: the names that "auto" stands for.
    Returns:
        The measures, and (name, why not and how to get it) of those that "auto" could not open.
    Raises:
        ValueError: a measure that is not known, or was asked for and cannot be opened.
    """
    found: list[QualityMeasure] = []
    missing: list[Missing] = []
    if names == "auto":
        found, missing = installed_measures([MEASURES[name] for name in known])
    elif names == "none":
        missing = [(MEASURES[name].name, "left out: --measures none") for name in known]
    else:
        for name in names.split(","):
            if name not in MEASURES:
                raise ValueError(f"there is no measure {name!r}; there are {', '.join(MEASURES)} (or auto, none)")
            found.append(MEASURES[name]())
    for given in commands:
        name, sign, command = given.partition("=")
        name, _, better = name.partition(":")
        if not sign or not name.strip() or better not in ("", "lower", "higher"):
            raise ValueError(f"{given}: a command is given as NAME=COMMAND, or NAME:lower=COMMAND")
        found.append(CommandMeasure(name.strip(), command, better or "higher"))
    labels = [measure.name for measure in found]
    if len(set(labels)) < len(labels):
        raise ValueError(f"two measures share a name: {', '.join(labels)}; give the command another one")
    return found, missing


def unmeasured(
    unavailable: Sequence[Missing],
    recogniser: Recogniser | None,
    encoder: SpeakerEncoder | SpeakerComparison | None,
) -> tuple[Missing, ...]:
    """What was not measured: evaluators that could not be opened, and those that nobody gave."""
    told = list(unavailable)
    if recogniser is None:
        why = "no recogniser was given: --recogniser, a faster-whisper folder or a command with {audio}"
        told.append(("word and character errors", why))
    if encoder is None and not any(name == "speaker similarity" for name, _ in told):
        told.append(("speaker similarity", "no speaker encoder was given"))
    return tuple(told)


def machine_words(device: str = "cpu") -> str:
    """The machine, for a report."""
    return f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {device}"
