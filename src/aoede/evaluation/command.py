"""An evaluation from folders and file names: what `aoede evaluate` and run scripts call.

Owns the opening of recordings, codecs, voice and evaluators, cheapest first, so that a wrong path is told at once. The
runs themselves are `roundtrip.py`'s (codecs) and `speech.py`'s (voices).
"""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch

from aoede.evaluation.codec_report import CodecReport
from aoede.evaluation.coder import open_coders
from aoede.evaluation.intelligibility import WhisperRecogniser
from aoede.evaluation.quality import CommandMeasure, DistillMos, Pesq, QualityMeasure, Stoi, installed_measures
from aoede.evaluation.recordings import open_recordings
from aoede.evaluation.report import Report
from aoede.evaluation.roundtrip import CodecEvaluationConfig, evaluate_codecs
from aoede.evaluation.speaker import INSTALL, ResemblyzerEncoder, SpeakerEncoder
from aoede.evaluation.speech import EvaluationConfig, evaluate

__all__ = ["evaluate_codec_folders", "evaluate_folder", "open_measures", "repeat_words"]

Encoder = Literal["auto", "resemblyzer", "none"]

MEASURES: dict[str, type[Pesq] | type[Stoi] | type[DistillMos]] = {"pesq": Pesq, "stoi": Stoi, "distillmos": DistillMos}


def evaluate_folder(
    kind: Literal["codec", "speech"],
    model: str | Path,
    manifest: str | Path,
    out: str | Path,
    *,
    split: str | None = None,
    recogniser: str | Path | None = None,
    encoder: Encoder = "auto",
    limit: int | None = None,
    threads: int = 1,
    source: Sequence[str] | None = None,
    speaker: str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Report:
    """Measures a voice folder with its own codec, or one codec folder as `evaluate_codec_folders` does.

    Args:
        split: clips that are measured (a manifest's "heldout" by default); the manifest's other clips serve as
            recordings of each speaker.
        encoder: "auto" measures speaker similarity where resemblyzer is installed.
        speaker: for a codec, only this speaker's clips; for a voice, who speaks every text.
    Raises:
        ValueError: anything that cannot be opened, with the way out.
    """
    if kind == "codec":
        return evaluate_codec_folders(
            [model],
            manifest,
            out,
            split=split,
            recogniser=recogniser,
            encoder=encoder,
            config=CodecEvaluationConfig(limit=limit),
            threads=threads,
            source=source,
            speaker=speaker,
            progress=progress,
        )
    config = EvaluationConfig(limit=limit, seed=seed, speaker=speaker)
    listening = _open_recogniser(recogniser, threads)
    embedding = _open_encoder(encoder)
    clips, pool = open_recordings(manifest, split, source)
    torch.set_num_threads(threads)
    from aoede.generation import Voice

    voice = Voice.from_pretrained(model)
    return evaluate(
        clips,
        voice.codec,
        out,
        voice=voice,
        pool=pool,
        recogniser=listening,
        encoder=embedding,
        config=config,
        title=f"Voice {Path(model).resolve().name} on {split or 'heldout'}",
        settings={
            "speech": f"{model} ({voice.settings.kind})",
            "manifest": f"{manifest}, split {split or 'heldout'}",
            "machine": _machine(),
        },
        progress=progress,
    )


def evaluate_codec_folders(
    codecs: Sequence[str | os.PathLike[str]],
    recordings: str | Path,
    out: str | Path,
    *,
    split: str | None = None,
    recogniser: str | Path | None = None,
    encoder: Encoder = "auto",
    measures: str = "auto",
    commands: Sequence[str] = (),
    config: CodecEvaluationConfig | None = None,
    threads: int = 1,
    device: str = "cpu",
    source: Sequence[str] | None = None,
    speaker: str | None = None,
    text: str | None = "text",
    title: str | None = None,
    progress: bool = True,
) -> CodecReport:
    """Measures codecs side by side.

    Args:
        codecs: see `open_coders`; none is the bundled one.
        recordings: a manifest, or a folder of sound files.
        split: of a manifest, "heldout" by default; the others serve as recordings of each speaker.
        encoder: "auto" measures speaker similarity where resemblyzer is installed.
        measures, commands: see `open_measures`.
        speaker: only this speaker's clips.
        text: the manifest's column of texts; None where it has none.
    Raises:
        ValueError: anything that cannot be opened, with the way out.
    """
    listening = _open_recogniser(recogniser, threads)
    embedding = _open_encoder(encoder)
    further, unavailable = open_measures(measures, commands)
    if embedding is None:
        why = (
            f"the package resemblyzer is not installed: {INSTALL}" if encoder == "auto" else "left out: --encoder none"
        )
        unavailable.append(("speaker similarity", why))
    clips, pool = open_recordings(recordings, split, source, [speaker] if speaker else None, text)
    torch.set_num_threads(threads)
    coders = open_coders(codecs, device)
    names = " and ".join(coder.label for coder in coders)
    on = Path(recordings).resolve()
    where = f"{on.parent.name if on.is_file() else on.name}" + (f", {split or 'heldout'}" if pool or split else "")
    return evaluate_codecs(
        clips,
        coders,
        out,
        pool=pool,
        recogniser=listening,
        encoder=embedding,
        measures=further,
        unavailable=unavailable,
        config=config,
        title=title or f"{names} on {where}",
        settings={
            **{f"codec {coder.label}": Path(coder.source).name for coder in coders},
            "recordings": where,
            "machine": f"{_machine()}, {device}",
        },
        progress=progress,
    )


def open_measures(
    names: str = "auto", commands: Sequence[str] = ()
) -> tuple[list[QualityMeasure], list[tuple[str, str]]]:
    """Further measures by name.

    Args:
        names: "auto" (all that are installed), "none", or names as in "pesq,stoi".
        commands: `NAME=COMMAND` each, see `CommandMeasure`; `NAME:lower=COMMAND` where a lower number is better.
    Returns:
        The measures, and (name, why not and how to get it) of those that "auto" could not open.
    Raises:
        ValueError: a measure that is not known, or was asked for and cannot be opened.
    """
    found: list[QualityMeasure] = []
    missing: list[tuple[str, str]] = []
    if names == "auto":
        found, missing = installed_measures()
    elif names == "none":
        missing = [(kind.name, "left out: --measures none") for kind in MEASURES.values()]
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


def _open_recogniser(folder: str | Path | None, threads: int) -> WhisperRecogniser | None:
    if threads < 1:
        raise ValueError(f"threads is {threads}; at least 1")
    return WhisperRecogniser(folder, threads) if folder is not None else None


def _open_encoder(encoder: Encoder) -> SpeakerEncoder | None:
    wanted = encoder == "resemblyzer" or (encoder == "auto" and ResemblyzerEncoder.installed())
    return ResemblyzerEncoder() if wanted else None


def _machine() -> str:
    return f"{platform.processor() or platform.machine()}, torch {torch.__version__}"


def repeat_words(options: Mapping[str, object]) -> str:
    """The command line of `aoede evaluate codec` with these options, folders by their names alone."""

    def short(value: object) -> str:
        label, sign, rest = str(value).rpartition("=")
        return shlex.quote(f"{label}{sign}{Path(rest).name}")

    models = options["model"]
    assert isinstance(models, Sequence)
    words = ["aoede evaluate codec", *map(short, models)]
    words.append("/".join(Path(str(options["manifest"])).resolve().parts[-2:]))
    for name in (
        "split",
        "source",
        "speaker",
        "limit",
        "rate",
        "batch",
        "device",
        "threads",
        "level_clips",
        "measures",
    ):
        value = options.get(name)
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                words.append(f"--{name.replace('_', '-')} {shlex.quote(str(one))}")
    if options.get("recogniser"):
        words.append(f"--recogniser {short(options['recogniser'])}")
    commands = options.get("command") or []
    assert isinstance(commands, Sequence)
    words += [f"--command {shlex.quote(str(command))}" for command in commands]
    return " ".join([*words, f"--encoder {options['encoder']}", "--out OUT"])
