"""Listening: everything that is measured about one utterance, whoever made it.

Owns `Utterance`, the record of one clip by one system, and the `Listener` that fills it in: words, speaker, length,
faults, distance from the recording. Knows nothing of how the audio came about or how it is reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from aoede.data.audio import load_audio
from aoede.data.manifest import Clip
from aoede.evaluation.codec import align_si_sdr, mel_distance, si_sdr, stft_distance
from aoede.evaluation.faults import FaultLimits, find_faults
from aoede.evaluation.intelligibility import Recogniser, Score, score
from aoede.evaluation.quality import QualityMeasure, Unmeasurable
from aoede.evaluation.speaker import SpeakerEncoder, similarity, speaker_centre
from aoede.evaluation.spelling import words

__all__ = ["Listener", "Utterance"]

SILENCE = 1e-4
"""A recording whose peak is not above this (-80 dBFS) has no signal that could be compared with a distortion."""


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One clip as one system gave it; None where a thing was not measured or does not apply."""

    system: str
    """ "recording", "voice", "codec", or the label of one of several codecs."""
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
    """Cosine with the middle of the speaker's other recordings."""
    stranger_similarity: float | None = None
    """The same against every other speaker's middle, averaged: what a wrong voice would get."""
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
    """Seconds over the recording's seconds, same text and speaker."""
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
    """Measures utterances against clips.

    Args:
        clips: the clips that will be measured.
        pool: clips that may serve as recordings of a speaker (a manifest's other splits); those that are measured are
            used only for a speaker who has no others, each without itself.
        references: how many recordings make a speaker's middle.
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
        encoder: SpeakerEncoder | None = None,
        references: int = 5,
        limits: FaultLimits | None = None,
        measures: Sequence[QualityMeasure] = (),
        max_lag_seconds: float = 0.05,
    ) -> None:
        if references < 1:
            raise ValueError(f"references is {references}; at least 1 recording makes a speaker's middle")
        if not 0 <= max_lag_seconds <= 1:
            raise ValueError(f"max_lag_seconds is {max_lag_seconds}; 0 to 1 s can be searched")
        self.recogniser, self.encoder, self.limits = recogniser, encoder, limits
        self.measures, self.max_lag_seconds = tuple(measures), max_lag_seconds
        self._references = references
        measured = {clip.id for clip in clips}
        self._others: dict[str, list[Clip]] = {}
        self._own: dict[str, list[Clip]] = {}
        for clip in [clip for clip in pool if clip.id not in measured]:
            if clip.speaker is not None:
                self._others.setdefault(clip.speaker, []).append(clip)
        for clip in clips:
            if clip.speaker is not None:
                self._own.setdefault(clip.speaker, []).append(clip)
        self._embeddings: dict[str, NDArray[np.float32] | None] = {}

    def listen(
        self,
        system: str,
        clip: Clip,
        audio: NDArray[np.float32],
        sample_rate: int,
        *,
        file: str,
        speaker: str | None = None,
        recording: NDArray[np.float32] | None = None,
        aligned: bool = False,
        compute_seconds: float | None = None,
        encode_seconds: float | None = None,
        decode_seconds: float | None = None,
        first_audio_seconds: float | None = None,
        cut: bool = False,
        notes: tuple[str, ...] = (),
    ) -> Utterance:
        """Measures one utterance.

        Args:
            audio: [T] float32 at `sample_rate`.
            file: where it was saved, relative to the report.
            speaker: who was asked to speak; None is the clip's own.
            recording: the clip's own audio at the same rate, to compare length (and spectrum, where `aligned` says
                that both are the same sound, sample for sample) with.
            cut: the engine's length guard stopped it.
            notes: kept as they are.
        """
        speaker = speaker or clip.speaker
        same_speaker = speaker == clip.speaker
        length = len(recording) / sample_rate if recording is not None and same_speaker else None
        language = clip.language or "en"
        heard = None if self.recogniser is None else self.recogniser.transcribe(audio, sample_rate, language)
        compared = None
        if heard is not None and words(clip.text, language):
            compared = score(clip.text, heard, language)
        near, far = self._similarities(audio, sample_rate, speaker, clip.id)
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
            unmeasured=unmeasured,
            duration_ratio=len(audio) / sample_rate / length if length else None,
            compute_seconds=compute_seconds,
            encode_seconds=encode_seconds,
            decode_seconds=decode_seconds,
            first_audio_seconds=first_audio_seconds,
            faults=find_faults(audio, sample_rate, compared, length, cut, self.limits),
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

    def _similarities(
        self, audio: NDArray[np.float32], sample_rate: int, speaker: str | None, clip_id: str
    ) -> tuple[float | None, float | None]:
        if self.encoder is None or speaker is None:
            return None, None
        own = self._middle(speaker, clip_id)
        heard = self.encoder.embed(audio, sample_rate)
        if own is None or heard is None:
            return None, None
        strangers = [self._middle(name, clip_id) for name in self._own if name != speaker]
        far = [similarity(heard, middle) for middle in strangers if middle is not None]
        return similarity(heard, own), float(np.mean(far)) if far else None

    def _middle(self, speaker: str, clip_id: str) -> NDArray[np.float32] | None:
        """The middle of a speaker's recordings, never with the clip that is measured."""
        clips = self._others.get(speaker) or [clip for clip in self._own.get(speaker, []) if clip.id != clip_id]
        clips = sorted(
            clips, key=lambda clip: (clip.seconds or 0) < 2
        )  # short words first say little; stable otherwise
        found = [self._embedding(clip) for clip in clips[: self._references]]
        known = [embedding for embedding in found if embedding is not None]
        return speaker_centre(known) if known else None

    def _embedding(self, clip: Clip) -> NDArray[np.float32] | None:
        assert self.encoder is not None
        if clip.id not in self._embeddings:
            self._embeddings[clip.id] = self.encoder.embed(*load_audio(clip.audio_source()))
        return self._embeddings[clip.id]
