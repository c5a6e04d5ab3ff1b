"""The way through an evaluation of voices: prompts, recordings, round trips, then every text by every system.

Owns whom each system is asked for, in which order, what is timed, what is saved where. How an utterance is measured is
`listening.py`'s; what is made of the result `speech.py`'s.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from aoede.data.audio import load_audio
from aoede.data.manifest import Clip
from aoede.data.saving import save_audio
from aoede.evaluation.codec_trip import trips_of
from aoede.evaluation.intelligibility import Recogniser
from aoede.evaluation.likeness import SpeakerComparison
from aoede.evaluation.listening import EvaluatorFailed, Listener, Utterance
from aoede.evaluation.pace import expected_seconds
from aoede.evaluation.quality import QualityMeasure
from aoede.evaluation.recordings import spread
from aoede.evaluation.speaker import SpeakerEncoder
from aoede.evaluation.speech_report import Ceiling, CodecUse
from aoede.evaluation.spelling import words
from aoede.evaluation.systems import System
from aoede.evaluation.texts import Passage

__all__ = ["SpeechEvaluationConfig", "SpeechRun"]

Sound = tuple[NDArray[np.float32], int]
"""Samples [T] and their rate."""


@dataclass(frozen=True, kw_only=True)
class SpeechEvaluationConfig:
    """What is run; what is measured follows from the evaluators given."""

    limit: int | None = None
    """At most this many texts, spread evenly over the list; None takes all."""

    seed: int = 0
    """Seed of text i is seed + i, the same for every system."""

    speaker: str | None = None
    """Have every text spoken as this speaker, instead of as the list says."""

    clone: bool = True
    """Speak like the list's recordings to speak like, where it has them."""

    roundtrip: bool = True
    """Send the recordings through the voices' codecs as well."""

    references: int = 5
    """Recordings that make the middle of a speaker."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit is {self.limit}; at least 1 text is needed, or leave it out for all")
        if self.references < 1:
            raise ValueError(f"references is {self.references}; at least 1 recording makes a speaker's middle")
        if self.seed < 0:
            raise ValueError(f"seed {self.seed} is negative; use 0 or more")


class SpeechRun:
    """One evaluation on its way; the arguments are those of `evaluate_speech`, `chosen` the texts that are spoken."""

    def __init__(
        self,
        chosen: Sequence[Passage],
        systems: Sequence[System],
        folder: Path,
        *,
        pool: Sequence[Clip],
        recordings: Sequence[Clip],
        recogniser: Recogniser | None,
        encoder: SpeakerEncoder | SpeakerComparison | None,
        measures: Sequence[QualityMeasure],
        config: SpeechEvaluationConfig,
    ) -> None:
        self.chosen, self.systems, self.folder, self.config = chosen, systems, folder, config
        self.own = [passage.recording for passage in chosen if passage.recording is not None]
        prompts = [passage.reference for passage in chosen if passage.reference is not None]
        self.prompts = list({clip.audio: clip for clip in prompts}.values()) if config.clone else []
        self.other = [] if self.own else spread([clip for clip in recordings if clip.text], len(chosen))
        self.ceiling: Ceiling = (
            "same texts" if self.own else "other texts" if self.other else "prompts" if self.prompts else "none"
        )
        self.trips = trips_of(systems) if self.own and config.roundtrip else []
        self.listener = Listener(
            self.own or self.other,
            [*pool, *recordings],
            recogniser=recogniser,
            encoder=encoder,
            targets=self.prompts,
            references=config.references,
            measures=measures,
        )
        self.utterances: list[Utterance] = []
        self.failures: list[tuple[str, str]] = []
        self.reference_files: dict[str, str] = {}
        self._pace: dict[str, float] = {}

    def speaker_of(self, system: System, passage: Passage) -> str | None:
        """Whom a system is asked for."""
        if self.config.speaker is not None:
            return self.config.speaker
        if system.speakers is not None and passage.speaker not in system.speakers:
            return None
        return passage.speaker or None

    def reference_of(self, passage: Passage) -> Clip | None:
        """What a text is to be spoken like."""
        return passage.reference if self.config.clone else None

    def spoken_words(self) -> str:
        """As whom the texts were spoken, for the report."""
        cloned = sum(self.reference_of(passage) is not None for passage in self.chosen)
        if cloned:
            rest = f", {len(self.chosen) - cloned} without one" if cloned < len(self.chosen) else ""
            files = f"{len(self.prompts)} recording{'s' * (len(self.prompts) > 1)}"
            return f"like a recording given with the text ({files}{rest})"
        if self.config.speaker:
            return self.config.speaker
        return "the list's speakers" if any(p.speaker for p in self.chosen) else "each system's own speaker"

    def codec_uses(self) -> tuple[CodecUse, ...]:
        """What the round trips counted."""
        return tuple(
            CodecUse(system=trip.name, voices=tuple(trip.voices), levels=tuple(trip.use.levels()))
            for trip in self.trips
        )

    def go(self, progress: bool) -> None:
        """Measures everything; the first run of a network is slow, and is not timed."""
        for trip in self.trips:
            trip.warm_up()
        for system in self.systems:
            with contextlib.suppress(ValueError):  # a text that it refuses is told when its turn comes
                first = self.chosen[0]
                system.warm_up(first, self.speaker_of(system, first), self.reference_of(first))
        self._hear_prompts()
        for place, clip in enumerate(self.other):
            with self._reported(clip.id):
                self.utterances.append(self._real(clip, place))
        found: list[list[Utterance]] = []
        with tqdm(total=len(self.chosen), unit="text", disable=not progress, dynamic_ncols=True) as bar:
            for place, passage in enumerate(self.chosen):
                with self._reported(passage.id):
                    found.append(self._one(passage, place))
                bar.update()
                if self.failures:
                    bar.set_postfix_str(f"{len(self.failures)} failed")
        if not found:
            name, why = self.failures[-1]
            raise ValueError(f"none of {len(self.chosen)} texts could be measured; the last: {name}: {why}")
        self.utterances += [utterance for one in found for utterance in one]

    @contextlib.contextmanager
    def _reported(self, name: str) -> Iterator[None]:
        """Unreadable audio, a text that a system refuses: listed, never fatal."""
        try:
            yield
        except EvaluatorFailed:
            raise
        except ValueError as error:
            self.failures.append((name, str(error)))

    def _hear_prompts(self) -> None:
        """Keeps the recordings to speak like, and hears them where they are the ceiling."""
        for place, clip in enumerate(self.prompts):
            with self._reported(clip.id):
                self._hear_prompt(clip, place)

    def _hear_prompt(self, clip: Clip, place: int) -> None:
        sound = load_audio(clip.audio_source())
        file = self._keep("reference", place, sound)
        for passage in self.chosen:
            if passage.reference is not None and passage.reference.audio == clip.audio:
                self.reference_files[passage.id] = file
        letters = len("".join(words(clip.text, clip.language or "en")))
        if letters:
            self._pace[str(clip.audio)] = len(sound[0]) / sound[1] / letters
        if self.ceiling == "prompts" and letters:
            heard = self.listener.listen("recording", clip, *sound, file=file, target=clip)
            alike = None if heard.similarity is None else self.listener.likeness.halves(*sound)
            self.utterances.append(replace(heard, similarity=alike))

    def _real(self, clip: Clip, place: int) -> Utterance:
        """A person saying another text."""
        samples, rate = load_audio(clip.audio_source())
        samples = np.clip(samples, -1, 1)
        file = self._keep("recording", place, (samples, rate))
        return self.listener.listen("recording", clip, samples, rate, file=file)

    def _one(self, passage: Passage, place: int) -> list[Utterance]:
        """One text by everybody; all of them or, on an error, none."""
        found: list[Utterance] = []
        codes = []
        target = self.reference_of(passage)
        length = None
        if passage.recording is not None:
            samples, rate = load_audio(passage.recording.audio_source())
            samples = np.clip(samples, -1, 1)
            length = len(samples) / rate
            file = self._keep("recording", place, (samples, rate))
            near = target if target is not None and target.speaker == passage.speaker else None
            found.append(
                self.listener.listen("recording", passage, samples, rate, file=file, target=near, recording=samples)
            )
            for trip in self.trips:
                copy = trip.send(passage.recording)
                file = self._keep(trip.name.replace(" ", "-"), place, (copy.audio, copy.sample_rate))
                found.append(
                    self.listener.listen(
                        trip.name,
                        passage,
                        copy.audio,
                        copy.sample_rate,
                        file=file,
                        target=near,
                        recording=copy.recording,
                        aligned=True,
                        compute_seconds=copy.compute_seconds,
                    )
                )
                codes.append((trip, copy.codes))
        for index, system in enumerate(self.systems):
            spoken = system.say(passage, self.speaker_of(system, passage), target, self.config.seed + place)
            samples = spoken.samples
            if not len(samples):  # who says nothing has lost every word: that is measured, not passed over
                samples = np.zeros(spoken.sample_rate // 10, dtype=np.float32)
            file = self._keep(_folder_name(index, system.label), place, (samples, spoken.sample_rate))
            found.append(
                self.listener.listen(
                    system.label,
                    passage,
                    samples,
                    spoken.sample_rate,
                    file=file,
                    speaker=spoken.speaker if target is None else target.speaker,
                    target=target,
                    length_seconds=length,
                    paced_seconds=self._paced(passage, target),
                    own_seconds=self._own_pace(system, passage, target),
                    compute_seconds=spoken.compute_seconds,
                    first_audio_seconds=spoken.first_audio_seconds,
                    cut=spoken.cut,
                    notes=spoken.notes,
                )
            )
        for trip, used in codes:
            trip.use.update(used)
        return found

    def _paced(self, passage: Passage, target: Clip | None) -> float | None:
        """Seconds that a text would take at the pace of the recording to speak like, by letters."""
        pace = None if target is None else self._pace.get(str(target.audio))
        return None if pace is None else pace * len("".join(words(passage.text, passage.language or "en")))

    def _own_pace(self, system: System, passage: Passage, target: Clip | None) -> float | None:
        """Seconds that a text takes by the voice's own pace; None like a recording, whose pace is another."""
        voice = getattr(system, "voice", None)
        return None if target is not None else expected_seconds(voice, passage.text, self.speaker_of(system, passage))

    def _keep(self, system: str, place: int, sound: Sound) -> str:
        file = f"audio/{system}/{place:04d}.flac"
        (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
        save_audio(self.folder / file, *sound)
        return file


def _folder_name(index: int, label: str) -> str:
    """A label as a folder's name: letters, digits, dots and dashes, told apart by a number where need be."""
    plain = re.sub(r"[^\w.-]+", "-", label).strip("-.") or "system"
    taken = plain != label or label in ("recording", "reference") or label.startswith("codec")
    return f"{index + 1}-{plain}" if taken else plain
