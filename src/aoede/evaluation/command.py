"""An evaluation from folders and file names: what `aoede evaluate codec`, `aoede evaluate speech` and run scripts call.

Owns the opening of lists, codecs, voices and evaluators, cheapest first, so that a wrong path is told at once. The runs
themselves are `roundtrip.py`'s (codecs) and `speech.py`'s (voices).
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from aoede.data.manifest import Clip, load_manifest
from aoede.evaluation.codec_report import CodecReport
from aoede.evaluation.coder import open_coders
from aoede.evaluation.evaluators import machine_words, open_encoder, open_measures, open_recogniser
from aoede.evaluation.recordings import open_recordings
from aoede.evaluation.roundtrip import CodecEvaluationConfig, evaluate_codecs
from aoede.evaluation.speech import SpeechEvaluationConfig, evaluate_speech
from aoede.evaluation.speech_report import SpeechReport
from aoede.evaluation.systems import open_systems
from aoede.evaluation.texts import TextList, open_texts, with_reference

__all__ = ["evaluate_codec_folders", "evaluate_speech_folders", "repeat_words"]

REPEATED = (
    "split", "source", "language", "speaker", "limit", "rate", "batch", "seed", "device", "threads", "level_clips",
    "measures",
)  # fmt: skip
"""Options whose values stand in a command line as they are."""
PATHS = ("recogniser", "encoder", "recordings", "reference", "voice_prompt")
"""Options that name files, which are told without their folders; or commands."""


def evaluate_speech_folders(
    systems: Sequence[str | os.PathLike[str]],
    texts: str | Path,
    out: str | Path,
    *,
    split: str | None = None,
    source: Sequence[str] | None = None,
    language: str | None = None,
    recordings: str | Path | None = None,
    reference: str | Path | None = None,
    reference_text: str | None = None,
    voice_prompt: Sequence[str] = (),
    recogniser: str | Path | None = None,
    encoder: str = "auto",
    measures: str = "auto",
    commands: Sequence[str] = (),
    config: SpeechEvaluationConfig | None = None,
    threads: int = 1,
    device: str = "cpu",
    title: str | None = None,
    progress: bool = True,
) -> SpeechReport:
    """Measures voices side by side on a list of texts.

    Args:
        systems: see `open_systems`; none is the bundled voice.
        texts, split, source, language: see `open_texts`.
        recordings: a manifest of people saying other texts: the ceiling where the list has no recordings, and
            recordings of the speakers it names.
        reference, reference_text: a recording that every text is spoken like, and what is said in it.
        voice_prompt: the file of a voice prompt for every voice, or `LABEL=FILE` each.
        recogniser, encoder: see `open_recogniser` and `open_encoder`.
        measures, commands: see `open_measures`; "auto" is a predicted opinion score.
    Raises:
        ValueError: anything that cannot be opened, with the way out.
    """
    listening = open_recogniser(recogniser, threads)
    embedding, unmeasured = open_encoder(encoder)
    further, unavailable = open_measures(measures, commands, known=("distillmos",))
    found = open_texts(texts, split=split, sources=source, language=language)
    passages = list(found.passages)
    if reference is not None:
        passages = with_reference(passages, reference, reference_text)
    elif reference_text is not None:
        raise ValueError("--reference-text is the text of a recording: give the recording too, --reference")
    heard = [] if recordings is None else _recordings(recordings, found)
    torch.set_num_threads(threads)
    opened = open_systems(systems, prompts=_prompts(voice_prompt), device=device)
    names = [system.source.partition(" (")[0] if system.label == "voice" else system.label for system in opened]
    return evaluate_speech(
        passages,
        opened,
        out,
        pool=found.pool,
        recordings=heard,
        recogniser=listening,
        encoder=embedding,
        measures=further,
        unavailable=[*unavailable, *unmeasured],
        config=config,
        title=title or f"{' and '.join(names)} on {found.told}",
        settings={
            "list": found.told,
            **({"spoken like": Path(reference).name} if reference is not None else {}),
            "machine": machine_words(device),
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
    encoder: str = "auto",
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
        recogniser, encoder: see `open_recogniser` and `open_encoder`.
        measures, commands: see `open_measures`.
        speaker: only this speaker's clips.
        text: the manifest's column of texts; None where it has none.
    Raises:
        ValueError: anything that cannot be opened, with the way out.
    """
    listening = open_recogniser(recogniser, threads)
    embedding, unmeasured = open_encoder(encoder)
    further, unavailable = open_measures(measures, commands)
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
        unavailable=[*unavailable, *unmeasured],
        config=config,
        title=title or f"{names} on {where}",
        settings={
            **{f"codec {coder.label}": Path(coder.source).name for coder in coders},
            "recordings": where,
            "machine": machine_words(device),
        },
        progress=progress,
    )


def repeat_words(kind: str, models: Sequence[str], subject: str, options: Mapping[str, object]) -> str:
    """The command line of `aoede evaluate KIND` with these options, folders by their names alone.

    Args:
        models: codecs or systems.
        subject: what they are measured on.
        options: values by the names of the options; those that are None are left out.
    """
    line = [f"aoede evaluate {kind}", *map(_short, models), "/".join(Path(subject).resolve().parts[-2:])]
    for name in REPEATED + PATHS:
        value = options.get(name)
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                shown = _short(str(one)) if name in PATHS else shlex.quote(str(one))
                line.append(f"--{name.replace('_', '-')} {shown}")
    if options.get("reference_text"):
        line.append(f"--reference-text {shlex.quote(str(options['reference_text']))}")
    commands = options.get("command") or []
    assert isinstance(commands, Sequence)
    line += [f"--command {shlex.quote(str(command))}" for command in commands]
    return " ".join([*line, *(["--no-clone"] if options.get("clone") is False else []), "--out OUT"])


def _short(value: str) -> str:
    """A folder's name, with its label; a command stays whole."""
    if "{" in value:
        return shlex.quote(value)
    label, sign, rest = value.rpartition("=")
    return shlex.quote(f"{label}{sign}{Path(rest).name}")


def _recordings(path: str | Path, texts: TextList) -> list[Clip]:
    """Recordings of other texts: those held out, where a manifest has splits; in the languages of the texts."""
    clips = load_manifest(path)
    splits = {clip.split for clip in clips}
    if "heldout" in splits:
        clips = [clip for clip in clips if clip.split == "heldout"]
    elif splits != {""}:
        there = ", ".join(sorted(splits))
        raise ValueError(f"{path}: no clip has split 'heldout'; there are: {there}")
    spoken = {(passage.language or "en")[:2] for passage in texts.passages}
    kept = [clip for clip in clips if (clip.language or "en")[:2] in spoken]
    if not kept:
        raise ValueError(f"{path}: no recording is in the language of the texts ({', '.join(sorted(spoken))})")
    return kept


def _prompts(given: Sequence[str]) -> Mapping[str, str] | str | None:
    """Files of voice prompts: one for all, or by label."""
    pairs = {}
    for one in given:
        label, sign, file = one.partition("=")
        if not sign or Path(one).exists():
            if len(given) > 1:
                raise ValueError(f"{one}: with several voice prompts each is given as LABEL=FILE")
            return one
        pairs[label] = file
    return pairs or None
