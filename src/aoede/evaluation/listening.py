"""Listening: everything that is measured about one utterance, whoever made it.

Owns `Utterance`, the record of one clip by one system, and the `Listener` that fills it in: words, speaker, length,
faults, distance from the recording. Knows nothing of how the audio came about or how it is reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from aoede.data.manifest import Clip
from aoede.evaluation.audio_command import CommandFailed
from aoede.evaluation.codec import align_si_sdr, mel_distance, si_sdr, stft_distance
from aoede.evaluation.faults import FaultLimits, find_faults, repeats
from aoede.evaluation.intelligibility import Recogniser, Score, score
from aoede.evaluation.likeness import Likeness, SpeakerComparison
from aoede.evaluation.quality import QualityMeasure, Unmeasurable
from aoede.evaluation.speaker import SpeakerEncoder
from aoede.evaluation.spelling import words

__all__ = ["EvaluatorFailed", "Listener", "Utterance"]

PACED_SECONDS = 1.5
"""Texts that should take less by their speaker's pace are not judged by it."""

SILENCE = 1e-4
"""A recording whose peak is not above this (-80 dBFS) has no signal that could be compared with a distortion."""


class EvaluatorFailed(ValueError):
    """An evaluator gave no answer to the first thing that it was asked: nothing can be measured with it."""


class Asked(Protocol):
    """What should have been said; a `Clip` is one, and so is a `Passage`."""

    @property
    def id(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def speaker(self) -> str: ...

    @property
    def language(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One clip as one system gave it; None where a thing was not measured or does not apply."""

    system: str
    """ "recording", "codec" (the round trip beside a voice), or the label of a voice or codec."""
    id: str
    text: str
    speaker: str | None
    """Who speaks here (for a voice: the speaker it was asked for)."""
    audio: str
    """File, relative to the report's folder."""
    seconds: float
    transcript: str | None = None
    score: Score | None = None
    similarity: float | None = None
    """With the middle of the speaker's other recordings, or with the recording that it should sound like."""
    stranger_similarity: float | None = None
    """Of a recording: the same against other speakers, averaged: what a wrong voice would get."""
    mel_distance: float | None = None
    stft_distance: float | None = None
    si_sdr: float | None = None
    si_sdr_aligned: float | None = None
    """At the lag that suits it best, see `align_si_sdr`."""
    lag_seconds: float | None = None
    """That lag; above 0 where the copy is late."""
    gain: float | None = None
    """The gain at that lag; below 0 where the polarity is turned."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """What further evaluators gave it, by their names: PESQ, STOI, a predicted opinion score."""
    unmeasured: tuple[str, ...] = ()
    """ "NAME: reason" of the measures that found nothing to measure in this clip."""
    duration_ratio: float | None = None
    """Seconds over the recording's seconds, same text and speaker; over what the pace of the recording to speak like
    would take, where that is all there is."""
    compute_seconds: float | None = None
    """Time it took to make, on the clock."""
    encode_seconds: float | None = None
    """A codec's share of it for sound to codes."""
    decode_seconds: float | None = None
    """A codec's share of it for codes to sound."""
    first_audio_seconds: float | None = None
    """Time from asking to the first samples that could be played."""
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What the voice said about it: signs left out, sentences cut."""


class Listener:
    """Measures utterances.

    Args:
        clips, pool, targets, references: see `Likeness`.
        recogniser, encoder: None leaves words, or the speaker, unmeasured.
        measures: further evaluators, each a column of its own.
        max_lag_seconds: how far a copy may be off in time for the aligned SI-SDR.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        pool: Sequence[Clip] = (),
        *,
        recogniser: Recogniser | None = None,
        encoder: SpeakerEncoder | SpeakerComparison | None = None,
        targets: Sequence[Clip] = (),
        references: int = 5,
        limits: FaultLimits | None = None,
        measures: Sequence[QualityMeasure] = (),
        max_lag_seconds: float = 0.05,
    ) -> None:
        if not 0 <= max_lag_seconds <= 1:
            raise ValueError(f"max_lag_seconds is {max_lag_seconds}; 0 to 1 s can be searched")
        self.recogniser, self.limits = recogniser, limits
        self.measures, self.max_lag_seconds = tuple(measures), max_lag_seconds
        self.likeness = Likeness(encoder, clips, pool, targets=targets, references=references)
        self._answered: set[str] = set()

    def listen(
        self,
        system: str,
        clip: Asked,
        audio: NDArray[np.float32],
        sample_rate: int,
        *,
        file: str,
        speaker: str | None = None,
        target: Clip | None = None,
        recording: NDArray[np.float32] | None = None,
        aligned: bool = False,
        length_seconds: float | None = None,
        paced_seconds: float | None = None,
        own_seconds: float | None = None,
        compute_seconds: float | None = None,
        encode_seconds: float | None = None,
        decode_seconds: float | None = None,
        first_audio_seconds: float | None = None,
        cut: bool = False,
        notes: tuple[str, ...] = (),
    ) -> Utterance:
        """Measures one utterance.

        Args:
            clip: what should have been said.
            audio: [T] float32 at `sample_rate`.
            file: where it was saved, relative to the report.
            speaker: who was asked to speak; None is the clip's own.
            target: the recording that it should sound like, in place of the speaker's others.
            recording: the clip's own audio at the same rate, to compare length (and spectrum, where `aligned` says
                that both are the same sound, sample for sample) with.
            length_seconds: length of the same text by the same speaker, where the samples are not at hand.
            paced_seconds: what the text should take about, where nobody recorded it.
            own_seconds: what it takes by the voice's own pace, for the faults.
            cut: the engine's length guard stopped it.
            notes: kept as they are.
        Raises:
            EvaluatorFailed: a command that measures gave no answer, and never has.
            ValueError: the recogniser gave no answer to this utterance.
        """
        speaker = speaker or clip.speaker
        same_speaker = speaker == clip.speaker
        if recording is not None:
            length_seconds = len(recording) / sample_rate
        length = length_seconds if same_speaker else None
        expected = length or paced_seconds
        # A pace says little of a word or two, where pauses at the ends count.
        judged = length or (paced_seconds if (paced_seconds or 0) > PACED_SECONDS else None)
        language = clip.language or "en"
        heard = self._heard(audio, sample_rate, language)
        compared = None
        if heard is not None and words(clip.text, language):
            compared = score(clip.text, heard, language)
        near, far, reason = self._similarities(audio, sample_rate, speaker, clip.id, target, system == "recording")
        distances = self._distances(audio, recording if aligned else None, sample_rate)
        measures, unmeasured = self._measured(audio, recording if aligned else None, sample_rate)
        return Utterance(
            system=system,
            id=clip.id,
            text=clip.text,
            speaker=speaker,
            audio=file,
            seconds=len(audio) / sample_rate,
            transcript=heard,
            score=compared,
            similarity=near,
            stranger_similarity=far,
            **distances,
            measures=measures,
            unmeasured=reason + unmeasured,
            duration_ratio=len(audio) / sample_rate / expected if expected else None,
            compute_seconds=compute_seconds,
            encode_seconds=encode_seconds,
            decode_seconds=decode_seconds,
            first_audio_seconds=first_audio_seconds,
            faults=find_faults(
                audio,
                sample_rate,
                compared,
                judged,
                cut,
                self.limits,
                paced_seconds=own_seconds,
                repeats_itself=repeats(words(clip.text, language)) > 1,
            ),
            notes=notes,
        )

    def _distances(
        self, audio: NDArray[np.float32], recording: NDArray[np.float32] | None, sample_rate: int
    ) -> dict[str, float]:
        """Spectral distances and SI-SDR by field; none of a clip too short for a window, no SI-SDR of a silent one."""
        if recording is None or len(recording) <= 1024:
            return {}
        original, copy = torch.from_numpy(recording).float(), torch.from_numpy(audio).float()
        found = {
            "mel_distance": mel_distance(original, copy, sample_rate),
            "stft_distance": stft_distance(original, copy),
        }
        if float(np.abs(recording).max()) > SILENCE:
            max_lag = min(round(self.max_lag_seconds * sample_rate), len(recording) // 2)
            alignment = align_si_sdr(original, copy, max_lag)
            found |= {
                "si_sdr": si_sdr(original, copy),
                "si_sdr_aligned": alignment.si_sdr,
                "lag_seconds": alignment.lag / sample_rate,
                "gain": alignment.gain,
            }
        return found

    def _measured(
        self, audio: NDArray[np.float32], recording: NDArray[np.float32] | None, sample_rate: int
    ) -> tuple[dict[str, float], tuple[str, ...]]:
        found, unmeasured = {}, []
        for measure in self.measures:
            try:
                value = measure.measure(recording, audio, sample_rate)
            except Unmeasurable as reason:
                unmeasured.append(f"{measure.name}: {reason}")
                continue
            if value is not None:
                found[measure.name] = value
        return found, tuple(unmeasured)

    def _heard(self, audio: NDArray[np.float32], sample_rate: int, language: str) -> str | None:
        if self.recogniser is None:
            return None
        try:
            heard = self.recogniser.transcribe(audio, sample_rate, language)
        except CommandFailed as error:
            raise self._failure("the recogniser", error) from error
        self._answered.add("the recogniser")
        return heard

    def _similarities(
        self,
        audio: NDArray[np.float32],
        sample_rate: int,
        speaker: str | None,
        clip_id: str,
        target: Clip | None,
        strangers: bool,
    ) -> tuple[float | None, float | None, tuple[str, ...]]:
        try:
            near, far = self.likeness.of(audio, sample_rate, speaker, clip_id, target, strangers)
        except CommandFailed as error:
            failure = self._failure("the speaker encoder", error)
            if isinstance(failure, EvaluatorFailed):
                raise failure from error
            return None, None, (f"speaker similarity: {error}",)
        if near is not None:
            self._answered.add("the speaker encoder")
        return near, far, ()

    def _failure(self, name: str, error: CommandFailed) -> ValueError:
        """What a broken command comes to: the end of the run if it never worked."""
        kind = ValueError if name in self._answered else EvaluatorFailed
        return kind(f"{name} gave no answer: {error}")
