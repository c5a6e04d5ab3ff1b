"""Whose voice it is: an utterance against recordings of the one who should be speaking, and against others.

Owns which recordings stand for a speaker, and the two ways to compare: an encoder, whose embeddings of several
recordings have a middle, or a comparison of two sounds at a time. Knows nothing of words or of how audio is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from aoede.data.audio import load_audio
from aoede.data.manifest import Clip
from aoede.evaluation.speaker import SpeakerEncoder, similarity, speaker_centre

__all__ = ["Likeness", "SpeakerComparison"]

COMPARED_STRANGERS = 1
"""A comparison runs once a recording: the floor is drawn from one other speaker an utterance, not from all."""


@runtime_checkable
class SpeakerComparison(Protocol):
    """Anything that says how alike two speakers sound."""

    name: str

    def compare(
        self, audio: NDArray[np.float32], sample_rate: int, reference: NDArray[np.float32], reference_rate: int
    ) -> float | None:
        """A number, higher for more alike; None when there is no voice in `audio`."""
        ...


class Likeness:
    """Compares utterances with speakers.

    Args:
        judge: an encoder or a comparison; None measures nothing.
        clips: the clips that will be measured.
        pool: clips that may serve as recordings of a speaker; those that are measured are used only for a speaker who
            has no others, each without itself.
        targets: the recordings that someone will be asked to speak like.
        references: how many recordings stand for a speaker.
    """

    def __init__(
        self,
        judge: SpeakerEncoder | SpeakerComparison | None,
        clips: Sequence[Clip] = (),
        pool: Sequence[Clip] = (),
        *,
        targets: Sequence[Clip] = (),
        references: int = 5,
    ) -> None:
        if references < 1:
            raise ValueError(f"references is {references}; at least 1 recording makes a speaker's middle")
        self.judge, self._references = judge, references
        measured = {clip.id for clip in clips}
        self._others: dict[str, list[Clip]] = {}
        self._own: dict[str, list[Clip]] = {}
        for clip in pool:
            if clip.id not in measured and clip.speaker is not None:
                self._others.setdefault(clip.speaker, []).append(clip)
        for clip in clips:
            if clip.speaker is not None:
                self._own.setdefault(clip.speaker, []).append(clip)
        self._targets = list({_key(clip): clip for clip in targets}.values())
        self._embeddings: dict[str, NDArray[np.float32] | None] = {}

    def of(
        self,
        audio: NDArray[np.float32],
        sample_rate: int,
        speaker: str | None,
        clip_id: str,
        target: Clip | None = None,
        strangers: bool = False,
    ) -> tuple[float | None, float | None]:
        """How alike an utterance is to its speaker, and to others.

        Args:
            target: the recording it should sound like, instead of the speaker's others.
            strangers: whether the second is wanted: what a wrong voice would get.
        Returns:
            None for what is not known: no judge, no recordings, no voice in the audio.
        """
        if self.judge is None or (speaker is None and target is None):
            return None, None
        own = [target] if target is not None else self._recordings(speaker or "", clip_id)
        if not own:
            return None, None
        others = self._strangers(speaker, clip_id, target) if strangers else []
        if isinstance(self.judge, SpeakerComparison):
            compare = self._comparer(self.judge, audio, sample_rate)
            near = [value for value in map(compare, own) if value is not None]
            far = [value for clips in others[:COMPARED_STRANGERS] if (value := compare(clips[0])) is not None]
            return _mean(near), _mean(far)
        heard = self.judge.embed(audio, sample_rate)
        middle = self._middle(own)
        if heard is None or middle is None:
            return None, None
        middles = [found for clips in others if (found := self._middle(clips)) is not None]
        return similarity(heard, middle), _mean([similarity(heard, one) for one in middles])

    def halves(self, audio: NDArray[np.float32], sample_rate: int) -> float | None:
        """How alike the first and the second half of a recording are: what one speaker reaches with themselves."""
        if self.judge is None:
            return None
        first, second = audio[: len(audio) // 2], audio[len(audio) // 2 :]
        if isinstance(self.judge, SpeakerComparison):
            return self.judge.compare(first, sample_rate, second, sample_rate)
        one, other = self.judge.embed(first, sample_rate), self.judge.embed(second, sample_rate)
        return None if one is None or other is None else similarity(one, other)

    def _recordings(self, speaker: str, clip_id: str) -> list[Clip]:
        """The recordings that stand for a speaker, never the clip that is measured."""
        clips = self._others.get(speaker) or [clip for clip in self._own.get(speaker, []) if clip.id != clip_id]
        # Short words first say little; the order is stable otherwise.
        return sorted(clips, key=lambda clip: (clip.seconds or 0) < 2)[: self._references]

    def _strangers(self, speaker: str | None, clip_id: str, target: Clip | None) -> list[list[Clip]]:
        if target is not None:
            place = next((i for i, clip in enumerate(self._targets) if _key(clip) == _key(target)), 0)
            turned = self._targets[place + 1 :] + self._targets[:place]
            return [[clip] for clip in turned[: self._references]]
        found = [self._recordings(name, clip_id) for name in self._own if name != speaker]
        return [clips for clips in found if clips]

    def _middle(self, clips: Sequence[Clip]) -> NDArray[np.float32] | None:
        found = [embedding for clip in clips if (embedding := self._embedding(clip)) is not None]
        return speaker_centre(found) if found else None

    def _embedding(self, clip: Clip) -> NDArray[np.float32] | None:
        assert self.judge is not None and not isinstance(self.judge, SpeakerComparison)
        key = _key(clip)
        if key not in self._embeddings:
            self._embeddings[key] = self.judge.embed(*load_audio(clip.audio_source()))
        return self._embeddings[key]

    @staticmethod
    def _comparer(
        judge: SpeakerComparison, audio: NDArray[np.float32], sample_rate: int
    ) -> Callable[[Clip], float | None]:
        def compare(clip: Clip) -> float | None:
            return judge.compare(audio, sample_rate, *load_audio(clip.audio_source()))

        return compare


def _key(clip: Clip) -> str:
    """A list may call a recording as a manifest calls another: files are told apart by their paths."""
    return clip.audio if isinstance(clip.audio, str) else f"id {clip.id}"


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
