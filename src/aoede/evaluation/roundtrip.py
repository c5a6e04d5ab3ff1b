"""The evaluation of codecs: every recording through every codec, all of them measured alike, side by side.

Owns the run: which clips, at which rate they are compared, what is timed, what is saved where. How one codec is driven
is `coder.py`'s, how an utterance is measured `listening.py`'s, how it is shown `codec_report.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from aoede.data.audio import load_audio
from aoede.data.manifest import Clip
from aoede.data.saving import save_audio
from aoede.evaluation.codec import CodebookUse
from aoede.evaluation.codec_report import CodecReport, CodecSheet, Prefix
from aoede.evaluation.coder import Coded, Coder
from aoede.evaluation.evaluators import unmeasured
from aoede.evaluation.figures import measure_figure
from aoede.evaluation.intelligibility import Recogniser
from aoede.evaluation.likeness import SpeakerComparison
from aoede.evaluation.listening import EvaluatorFailed, Listener, Utterance
from aoede.evaluation.quality import QualityMeasure
from aoede.evaluation.recordings import spread
from aoede.evaluation.speaker import SpeakerEncoder

__all__ = ["CodecEvaluationConfig", "evaluate_codecs"]


@dataclass(frozen=True, kw_only=True)
class CodecEvaluationConfig:
    """What is run; what is measured follows from the evaluators given."""

    limit: int | None = None
    """At most this many clips, spread evenly over the manifest; None takes all."""

    rate: int | None = None
    """Sample rate in Hz at which copies and recordings are compared; None is the lowest of the codecs' own."""

    batch: int = 1
    """Clips coded at a time; real-time factors are those of this batch."""

    level_clips: int = 8
    """Clips, spread evenly, that are also decoded from the first levels alone; 0 leaves that out."""

    max_lag_seconds: float = 0.05
    """How far a copy may be off in time for the aligned SI-SDR."""

    references: int = 5
    """Recordings that make the middle of a speaker."""

    def __post_init__(self) -> None:
        for name, least in (("limit", 1), ("batch", 1), ("level_clips", 0), ("references", 1), ("rate", 8000)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}; at least {least}")


@dataclass(frozen=True, kw_only=True)
class _Recording:
    clip: Clip
    place: int
    """Among the chosen clips; names the files."""
    by_rate: dict[int, NDArray[np.float32]]
    """[T] at each codec's rate and at the rate of comparison."""


def evaluate_codecs(
    clips: Sequence[Clip],
    coders: Sequence[Coder],
    out: str | Path,
    *,
    pool: Sequence[Clip] = (),
    recogniser: Recogniser | None = None,
    encoder: SpeakerEncoder | SpeakerComparison | None = None,
    measures: Sequence[QualityMeasure] = (),
    unavailable: Sequence[tuple[str, str]] = (),
    config: CodecEvaluationConfig | None = None,
    title: str = "Codecs",
    settings: dict[str, str] | None = None,
    progress: bool = True,
) -> CodecReport:
    """Measures recordings and their copies by one or more codecs.

    Args:
        clips: candidates, with or without texts; `config.limit` of them are used.
        coders: the first is what the others are compared with, clip by clip.
        out: folder for `audio/`; the report itself is written by `CodecReport.save`.
        pool: clips from which recordings of each speaker are taken for the speaker's middle.
        recogniser, encoder: None leaves words, or speakers, unmeasured; the report says so.
        measures: further evaluators.
        unavailable: (name, why and how to get it) of evaluators that could not be opened, told in the report.
    Returns:
        The report. A clip that cannot be read is listed in `failures`, for all systems.
    Raises:
        ValueError: no clips, no codecs, labels that clash, or no clip that could be measured.
    """
    config = config or CodecEvaluationConfig()
    if not clips or not coders:
        raise ValueError(f"{len(clips)} clips and {len(coders)} codecs; at least one of each")
    if len({coder.label for coder in coders}) < len(coders):
        raise ValueError(f"labels {[coder.label for coder in coders]} must differ")
    folder = Path(out)
    rate = config.rate or min(coder.sample_rate for coder in coders)
    chosen = spread(clips, config.limit)
    listener = Listener(
        chosen,
        pool,
        recogniser=recogniser,
        encoder=encoder,
        references=config.references,
        measures=measures,
        max_lag_seconds=config.max_lag_seconds,
    )
    uses = [CodebookUse(coder.codebook_sizes) for coder in coders]
    for coder in coders:
        coder.warm_up()
    found: dict[int, list[Utterance]] = {}
    failures: dict[int, tuple[str, str]] = {}
    kept: dict[int, list[Coded]] = {}
    levelled = {int(i) for i in np.linspace(0, len(chosen) - 1, min(config.level_clips, len(chosen))).round()}
    rates = {rate, *(coder.sample_rate for coder in coders)}
    with tqdm(total=len(chosen), unit="clip", desc="measuring", disable=not progress, dynamic_ncols=True) as bar:
        for group in _groups(chosen, config.batch):
            recordings = []
            for place, clip in group:
                try:
                    recordings.append(_load(place, clip, rates))
                except ValueError as error:  # reported, never fatal
                    failures[place] = (clip.id, str(error))
            coded = [_coded(coder, recordings) for coder in coders] if recordings else []
            for row, recording in enumerate(recordings):
                copies = [copies_of_coder[row] for copies_of_coder in coded]
                try:
                    found[recording.place] = _listen(recording, coders, copies, listener, folder, rate)
                except EvaluatorFailed:
                    raise
                except ValueError as error:  # an evaluator gave no answer to this clip
                    failures[recording.place] = (recording.clip.id, str(error))
                    continue
                for use, copy in zip(uses, copies, strict=True):
                    use.update(copy.codes)
                if recording.place in levelled:
                    kept[recording.place] = copies
            bar.update(len(group))
            if failures:
                bar.set_postfix_str(f"{len(failures)} failed")
    if not found:
        name, why = next(iter(failures.values()))
        raise ValueError(f"none of {len(chosen)} clips could be measured; the first: {name}: {why}")
    plain = Listener([], measures=measures, max_lag_seconds=config.max_lag_seconds)
    sheets = []
    for index, (coder, use) in enumerate(zip(coders, uses, strict=True)):
        parts = {place: copies[index] for place, copies in sorted(kept.items())}
        prefixes, refused = _prefixes(index, coder, chosen, parts, found, plain, folder, rate, progress)
        sheets.append(_sheet(coder, use, prefixes, refused))
    seconds = sum(found[place][0].seconds for place in found)
    return CodecReport(
        title=title,
        settings={
            **(settings or {}),
            "clips": f"{len(chosen)} of {len(clips)}, {seconds / 60:.1f} min measured",
            "compared at": f"{rate} Hz (each codec runs at its own rate)",
            "batch": f"{config.batch} clip{'s' * (config.batch > 1)} at a time",
            "threads": str(torch.get_num_threads()),
            "recogniser": recogniser.name if recogniser else "none: words were not measured",
            "speaker encoder": encoder.name if encoder else "none: speaker similarity was not measured",
            "further measures": ", ".join(measure.name for measure in measures) or "none",
        },
        utterances=tuple(u for place in sorted(found) for u in found[place]),
        failures=tuple(failures[place] for place in sorted(failures)),
        folder=folder,
        rate=rate,
        sheets=tuple(sheets),
        extra=tuple(measure_figure(measure) for measure in measures),
        unavailable=unmeasured(unavailable, recogniser, encoder),
    )


def _sheet(coder: Coder, use: CodebookUse, prefixes: tuple[Prefix, ...], refused: str | None) -> CodecSheet:
    return CodecSheet(
        label=coder.label,
        source=coder.source,
        sample_rate=coder.sample_rate,
        num_parameters=coder.num_parameters,
        code_rates=tuple(coder.code_rates),
        codebook_sizes=tuple(coder.codebook_sizes),
        levels=tuple(use.levels()),
        prefixes=prefixes,
        refused=refused,
    )


def _groups(clips: Sequence[Clip], batch: int) -> Iterator[list[tuple[int, Clip]]]:
    """Batches of (place, clip); clips of like length together, where lengths are known, so that little is padding."""
    order = list(enumerate(clips))
    if batch > 1:
        order.sort(key=lambda item: item[1].seconds or 0.0)
    for start in range(0, len(order), batch):
        yield order[start : start + batch]


def _load(place: int, clip: Clip, rates: set[int]) -> _Recording:
    by_rate = {}
    for rate in sorted(rates):
        samples, _ = load_audio(clip.audio_source(), rate)
        by_rate[rate] = np.clip(samples, -1, 1)
    return _Recording(clip=clip, place=place, by_rate=by_rate)


def _coded(coder: Coder, recordings: Sequence[_Recording]) -> list[Coded]:
    return coder.roundtrip([recording.by_rate[coder.sample_rate] for recording in recordings])


def _listen(
    recording: _Recording,
    coders: Sequence[Coder],
    copies: Sequence[Coded],
    listener: Listener,
    folder: Path,
    rate: int,
) -> list[Utterance]:
    """One clip by every system, the recording first."""
    clip, original = recording.clip, recording.by_rate[rate]
    best = max(recording.by_rate)
    file = _keep(folder, "recording", recording.place, recording.by_rate[best], best)
    found = [listener.listen("recording", clip, original, rate, file=file, recording=original)]
    for index, (coder, copy) in enumerate(zip(coders, copies, strict=True)):
        file = _keep(folder, _folder_name(index, coder.label), recording.place, copy.audio, coder.sample_rate)
        found.append(
            listener.listen(
                coder.label,
                clip,
                _as_long(copy.audio, coder.sample_rate, rate, len(original)),
                rate,
                file=file,
                recording=original,
                aligned=True,
                compute_seconds=copy.encode_seconds + copy.decode_seconds,
                encode_seconds=copy.encode_seconds,
                decode_seconds=copy.decode_seconds,
            )
        )
    return found


def _prefixes(
    index: int,
    coder: Coder,
    chosen: Sequence[Clip],
    coded: dict[int, Coded],
    found: dict[int, list[Utterance]],
    listener: Listener,
    folder: Path,
    rate: int,
    progress: bool,
) -> tuple[tuple[Prefix, ...], str | None]:
    """The kept clips from the first levels alone, and why not where the codec refuses."""
    if not coded or coder.num_levels == 1:
        return (), None
    prefixes = []
    name = _folder_name(index, coder.label)
    steps = [levels for levels in coder.ladder() if levels < coder.num_levels]
    with tqdm(
        total=len(steps) * len(coded), unit="clip", desc=f"levels of {coder.label}", disable=not progress, leave=False
    ) as bar:
        for levels in steps:
            utterances = []
            for place, copy in coded.items():
                original, _ = load_audio(chosen[place].audio_source(), rate)
                original = np.clip(original, -1, 1)
                try:
                    audio = coder.decode_first(copy.codes, levels, len(copy.audio))
                except ValueError as error:
                    return (), str(error)
                file = _keep(folder, f"{name}.first-{levels}", place, audio, coder.sample_rate)
                heard = _as_long(audio, coder.sample_rate, rate, len(original))
                utterances.append(
                    listener.listen(
                        coder.label, chosen[place], heard, rate, file=file, recording=original, aligned=True
                    )
                )
                bar.update()
            prefixes.append(Prefix(levels=levels, bit_rate=coder.bit_rate(levels), utterances=tuple(utterances)))
    whole = tuple(found[place][index + 1] for place in coded)
    prefixes.append(Prefix(levels=coder.num_levels, bit_rate=coder.bit_rate(), utterances=whole))
    return tuple(prefixes), None


def _keep(folder: Path, system: str, place: int, audio: NDArray[np.float32], rate: int) -> str:
    file = f"audio/{system}/{place:04d}.flac"
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    save_audio(folder / file, audio, rate)
    return file


def _folder_name(index: int, label: str) -> str:
    """A label as a folder's name: letters, digits, dots and dashes, told apart by a number where need be."""
    plain = re.sub(r"[^\w.-]+", "-", label).strip("-.") or "codec"
    return plain if plain == label and label != "recording" else f"{index + 1}-{plain}"


def _as_long(audio: NDArray[np.float32], rate: int, to: int, length: int) -> NDArray[np.float32]:
    """Resampled to `to` Hz and cut or filled with zeros to `length` (resampling rounds by a sample)."""
    samples = audio if rate == to else np.asarray(soxr.resample(audio, rate, to), dtype=np.float32)
    samples = samples[:length]
    return np.pad(samples, (0, length - len(samples))) if len(samples) < length else samples
