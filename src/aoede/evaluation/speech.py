"""The evaluation of a codec or a voice on a manifest: recordings, their codec round trip, the voice, side by side.

Owns the run: which clips, in which order, what is timed, what is saved where. Every text is spoken by every system,
and the recordings, the ceiling, are measured like the rest. How things are measured is `listening.py`'s, how they
are shown `report.py`'s.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from aoede.codec import Codec
from aoede.data.audio import load_audio
from aoede.data.manifest import Clip
from aoede.data.saving import save_audio
from aoede.evaluation.codec import CodebookUse
from aoede.evaluation.intelligibility import Recogniser
from aoede.evaluation.listening import Listener, Utterance
from aoede.evaluation.report import Report
from aoede.evaluation.speaker import SpeakerEncoder
from aoede.evaluation.spelling import words

__all__ = ["EvaluationConfig", "SpeakingVoice", "choose", "evaluate"]


class SpokenAudio(Protocol):
    """What a voice returns; `aoede.generation.Audio` is one."""

    @property
    def samples(self) -> NDArray[np.float32]:
        """[T]"""
        ...

    @property
    def sample_rate(self) -> int: ...

    @property
    def cut(self) -> bool:
        """Whether the length guard ended it."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know: characters left out, sentences cut."""
        ...

    @property
    def compute_seconds(self) -> float: ...

    @property
    def first_audio_seconds(self) -> float:
        """From the call to the first samples that could be played."""
        ...


class SpeakingVoice(Protocol):
    """What is asked of a voice; `aoede.generation.Voice` is one."""

    @property
    def speakers(self) -> Sequence[str]:
        """Empty for a voice with a single unnamed speaker."""
        ...

    def speak(self, text: str, speaker: str | None = None, *, seed: int = 0) -> SpokenAudio: ...


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What is run; what is measured follows from the recogniser and the encoder given."""

    limit: int | None = None
    """At most this many clips, spread evenly over the manifest; None takes all."""

    seed: int = 0
    """Seed of clip i is seed + i, so that a clip is spoken the same whatever the limit's neighbours."""

    speaker: str | None = None
    """Have the voice speak every text as this speaker, instead of as the clip's own."""

    references: int = 5
    """Recordings that make the middle of a speaker."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit is {self.limit}; at least 1 clip is needed, or leave it out for all")
        if self.references < 1:
            raise ValueError(f"references is {self.references}; at least 1 recording makes a speaker's middle")


def choose(clips: Sequence[Clip], limit: int | None) -> list[Clip]:
    """The clips that have words, at most `limit`, spread evenly in the manifest's order.

    Raises:
        ValueError: no clip has words.
    """
    spoken = [clip for clip in clips if words(clip.text, clip.language or "en")]
    if not spoken:
        raise ValueError(f"none of the {len(clips)} clips has a text; error rates need texts")
    count = min(limit or len(spoken), len(spoken))
    return [spoken[i * len(spoken) // count] for i in range(count)]


def evaluate(
    clips: Sequence[Clip],
    codec: Codec,
    out: str | Path,
    *,
    voice: SpeakingVoice | None = None,
    pool: Sequence[Clip] = (),
    recogniser: Recogniser | None = None,
    encoder: SpeakerEncoder | None = None,
    config: EvaluationConfig | None = None,
    title: str = "Evaluation",
    settings: dict[str, str] | None = None,
    progress: bool = True,
) -> Report:
    """Measures recordings, codec round trip and, where one is given, a voice.

    Args:
        clips: candidates with texts, usually one split; `config.limit` of them are used.
        codec: the codec of the round trip (a voice's own).
        out: folder for `audio/`; the report itself is written by `Report.save`.
        pool: clips from which recordings of each speaker are taken for the speaker's middle.
        recogniser, encoder: None leaves words, or speakers, unmeasured; the report says so.
        settings: what a reader needs to repeat this, shown in the report.
    Returns:
        The report. A clip that cannot be read, or that the voice refuses, is listed in `failures`.
    Raises:
        ValueError: no clip has a text, or the voice has none of the speakers.
    """
    config = config or EvaluationConfig()
    folder = Path(out)
    chosen = _speakable(clips, voice, config)
    chosen = choose(chosen, config.limit)
    listener = Listener(chosen, pool, recogniser=recogniser, encoder=encoder, references=config.references)
    use = CodebookUse([codec.config.codebook_size] * codec.config.num_codebooks)
    utterances: list[Utterance] = []
    failures: list[tuple[str, str]] = []
    for system in ("recording", "codec", *(["voice"] if voice is not None else [])):
        (folder / "audio" / system).mkdir(parents=True, exist_ok=True)
    codec.decode(codec.encode(torch.zeros(1, 1, codec.config.sample_rate)))  # the first run is slow: not timed
    bar = tqdm(enumerate(chosen), total=len(chosen), unit="clip", disable=not progress, dynamic_ncols=True)
    for i, clip in bar:
        name = f"{i:04d}.flac"
        try:
            utterances += _one(i, clip, name, codec, voice, listener, use, config, folder)
        except ValueError as error:  # unreadable audio, a text the voice refuses: reported, never fatal
            failures.append((clip.id, str(error)))
        bar.set_postfix_str(f"{len(failures)} failed" if failures else "")
    if not utterances:
        raise ValueError(f"none of {len(chosen)} clips could be measured; the first: {': '.join(failures[0])}")
    return Report(
        title=title,
        settings={
            **(settings or {}),
            "clips": f"{len(chosen)} of {len(clips)}",
            "seed": str(config.seed),
            "recogniser": recogniser.name if recogniser else "none: words were not measured",
            "speaker encoder": encoder.name if encoder else "none: speaker similarity was not measured",
            "threads": str(torch.get_num_threads()),
        },
        utterances=tuple(utterances),
        levels=tuple(use.levels()),
        failures=tuple(failures),
        folder=folder,
    )


def _speakable(clips: Sequence[Clip], voice: SpeakingVoice | None, config: EvaluationConfig) -> Sequence[Clip]:
    """The clips whose speaker the voice has; all of them when one speaker is asked for, or without a voice."""
    if voice is None or (not voice.speakers and config.speaker is None):
        return clips
    known = ", ".join(voice.speakers)
    if config.speaker is not None:
        if config.speaker not in voice.speakers:
            raise ValueError(f"the voice has no speaker {config.speaker!r}; it has {known or 'one, without a name'}")
        return clips
    own = [clip for clip in clips if clip.speaker in voice.speakers]
    if not own:
        there = ", ".join(sorted({str(clip.speaker) for clip in clips})[:10])
        raise ValueError(
            f"no clip is by a speaker of the voice ({known}), only by {there}; name one to speak all texts"
        )
    return own


def _one(
    i: int,
    clip: Clip,
    name: str,
    codec: Codec,
    voice: SpeakingVoice | None,
    listener: Listener,
    use: CodebookUse,
    config: EvaluationConfig,
    folder: Path,
) -> list[Utterance]:
    """One clip by every system; all of them or, on an error, none."""
    rate = codec.config.sample_rate
    recording, _ = load_audio(clip.audio_source(), rate)
    recording = np.clip(recording, -1, 1)

    def keep(system: str, audio: NDArray[np.float32], sample_rate: int) -> str:
        file = f"audio/{system}/{name}"
        save_audio(folder / file, audio, sample_rate)
        return file

    file = keep("recording", recording, rate)
    found = [listener.listen("recording", clip, recording, rate, file=file, recording=recording)]

    started = time.perf_counter()
    codes = codec.encode(torch.from_numpy(recording)[None, None])
    copy = codec.decode(codes, length=len(recording))[0, 0].numpy()
    spent = time.perf_counter() - started
    file = keep("codec", copy, rate)
    found.append(
        listener.listen("codec", clip, copy, rate, file=file, recording=recording, aligned=True, compute_seconds=spent)
    )

    if voice is not None:
        speaker = config.speaker or (clip.speaker if voice.speakers else None)
        spoken = voice.speak(clip.text, speaker, seed=config.seed + i)
        if spoken.sample_rate != rate:
            raise ValueError(f"the voice speaks at {spoken.sample_rate} Hz, its codec at {rate} Hz: give its own codec")
        samples = np.asarray(spoken.samples, dtype=np.float32)
        if not len(samples):  # a voice that says nothing has lost every word: that is measured, not passed over
            samples = np.zeros(rate // 10, dtype=np.float32)
        file = keep("voice", samples, rate)
        found.append(
            listener.listen(
                "voice",
                clip,
                samples,
                rate,
                file=file,
                speaker=speaker,
                recording=recording,
                compute_seconds=spoken.compute_seconds,
                first_audio_seconds=spoken.first_audio_seconds,
                cut=spoken.cut,
                notes=spoken.notes,
            )
        )
    use.update(codes)
    return found
