"""The evaluation of voices: every text by every system, measured alike, beside recordings of people.

Owns which texts are spoken and what is told of the whole. The way through them is `speech_run.py`'s, what speaks
`systems.py`'s, how an utterance is measured `listening.py`'s, how it is shown `speech_report.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from aoede.data.manifest import Clip
from aoede.evaluation.evaluators import unmeasured
from aoede.evaluation.figures import measure_figure
from aoede.evaluation.intelligibility import Recogniser
from aoede.evaluation.likeness import SpeakerComparison
from aoede.evaluation.quality import QualityMeasure
from aoede.evaluation.recordings import spread
from aoede.evaluation.speaker import SpeakerEncoder
from aoede.evaluation.speech_report import SpeechReport, SystemSheet
from aoede.evaluation.speech_run import SpeechEvaluationConfig, SpeechRun
from aoede.evaluation.spelling import words
from aoede.evaluation.systems import System
from aoede.evaluation.texts import Passage

__all__ = ["SpeechEvaluationConfig", "evaluate_speech"]


def evaluate_speech(
    passages: Sequence[Passage],
    systems: Sequence[System],
    out: str | Path,
    *,
    pool: Sequence[Clip] = (),
    recordings: Sequence[Clip] = (),
    recogniser: Recogniser | None = None,
    encoder: SpeakerEncoder | SpeakerComparison | None = None,
    measures: Sequence[QualityMeasure] = (),
    unavailable: Sequence[tuple[str, str]] = (),
    config: SpeechEvaluationConfig | None = None,
    title: str = "Voices",
    settings: dict[str, str] | None = None,
    progress: bool = True,
) -> SpeechReport:
    """Measures what systems make of texts, and recordings of people.

    Args:
        passages: candidates; `config.limit` of those that every system has a speaker for are used.
        systems: the first is what the others are compared with, text by text.
        out: folder for `audio/`; the report itself is written by `SpeechReport.save`.
        pool: clips from which recordings of each speaker are taken for the speaker's middle.
        recordings: people saying other texts, heard as the ceiling where nobody recorded the texts themselves.
        recogniser, encoder: None leaves words, or speakers, unmeasured; the report says so.
        measures: further evaluators; those that compare with an original measure the codec round trip alone.
        unavailable: (name, why and how to get it) of evaluators that could not be opened, told in the report.
        settings: what a reader needs to repeat this, shown in the report.
    Returns:
        The report. A text whose recording cannot be read, or that a system refuses, is listed in `failures` and left
        out for all systems.
    Raises:
        ValueError: no texts, no systems, labels that clash, a speaker that a system lacks, no text that could be
            measured, an evaluator that never answers.
    """
    config = config or SpeechEvaluationConfig()
    if not passages or not systems:
        raise ValueError(f"{len(passages)} texts and {len(systems)} systems; at least one of each")
    if len({system.label for system in systems}) < len(systems):
        raise ValueError(f"labels {[system.label for system in systems]} must differ")
    run = SpeechRun(
        _choose(passages, systems, config),
        systems,
        Path(out),
        pool=pool,
        recordings=recordings,
        recogniser=recogniser,
        encoder=encoder,
        measures=measures,
        config=config,
    )
    run.go(progress)
    return SpeechReport(
        title=title,
        settings={
            **{f"system {system.label}": system.source for system in systems},
            **(settings or {}),
            "texts": f"{len(run.chosen)} of {len(passages)}",
            "spoken as": run.spoken_words(),
            "seed": str(config.seed),
            "recogniser": recogniser.name if recogniser else "none: words were not measured",
            "speaker encoder": encoder.name if encoder else "none: speaker similarity was not measured",
            "further measures": ", ".join(measure.name for measure in measures) or "none",
            "threads": str(torch.get_num_threads()),
        },
        utterances=tuple(run.utterances),
        failures=tuple(run.failures),
        folder=run.folder,
        extra=tuple(measure_figure(measure) for measure in measures),
        unavailable=unmeasured(unavailable, recogniser, encoder),
        sheets=tuple(SystemSheet(label=system.label, source=system.source) for system in systems),
        codecs=run.codec_uses(),
        ceiling=run.ceiling,
        references=run.reference_files,
    )


def _choose(passages: Sequence[Passage], systems: Sequence[System], config: SpeechEvaluationConfig) -> list[Passage]:
    """The texts that have words and whose speaker every system has, at most `limit`, spread evenly."""
    spoken = [passage for passage in passages if words(passage.text, passage.language or "en")]
    if not spoken:
        raise ValueError(f"none of the {len(passages)} texts has a word to say")
    for system in systems:
        if config.clone and not system.can_clone and any(passage.reference is not None for passage in spoken):
            raise ValueError(
                f"{system.label} cannot speak like a recording, as is asked here (two-stage voices can, and commands "
                "with {reference}); --no-clone has every system speak as its own speakers"
            )
        known = system.speakers
        if known is None:
            continue
        names = ", ".join(known) or "one, without a name"
        if config.speaker is not None and config.speaker not in known:
            raise ValueError(f"{system.label} has no speaker {config.speaker!r}; it has {names}")
        if config.speaker is not None or not known:
            continue
        own = [p for p in spoken if p.speaker in ("", *known) or (config.clone and p.reference is not None)]
        if not own:
            there = ", ".join(sorted({p.speaker for p in spoken})[:10])
            raise ValueError(
                f"no text is by a speaker of {system.label} ({names}), only by {there}; name one to speak all texts: "
                "--speaker"
            )
        spoken = own
    return spread(spoken, config.limit)
