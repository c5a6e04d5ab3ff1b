"""Speech examples and their batches: prompt, open marker, frames, close marker, right-padded.

Owns how a coded clip and its prompt become one sequence of ids, what is left out (and told), which examples share a
batch, and what is trained in it. Knows nothing of models or losses. Batches are a pure function of (seed, number), so a
resumed run sees what an uninterrupted one sees.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aoede.data.codes import CodedClip
from aoede.tokens import CodecVocabulary

IGNORED = -100
"""Label of a position that is not trained (the convention of torch and HF)."""


@dataclass(frozen=True, kw_only=True)
class SpeechExample:
    """One clip as ids."""

    id: str
    speaker: str
    ids: NDArray[np.int32]
    """[L]: prompt, open marker, F * S codes, close marker."""

    num_text: int
    """Length of the prompt."""

    seconds: float
    """Length of the audio."""

    @property
    def num_codes(self) -> int:
        return len(self.ids) - self.num_text - 2

    @property
    def text_stride(self) -> float:
        """Codes a text id: the exact pace of this clip, for models with parallel positions."""
        return self.num_codes / self.num_text

    def without(self, token: int) -> SpeechExample:
        """This example with one id (a speaker's) taken out of its prompt; itself where nothing would be left."""
        prompt = self.ids[: self.num_text]
        kept = prompt[prompt != token]
        if not 0 < len(kept) < self.num_text:
            return self
        ids = np.concatenate([kept, self.ids[self.num_text :]])
        return SpeechExample(id=self.id, speaker=self.speaker, ids=ids, num_text=len(kept), seconds=self.seconds)

    def without_text(self, speaker_ids: Collection[int], pad_id: int) -> SpeechExample:
        """This example behind `textless` of its prompt."""
        prompt = textless(self.ids[: self.num_text].tolist(), speaker_ids, pad_id)
        ids = np.concatenate([np.asarray(prompt, dtype=self.ids.dtype), self.ids[self.num_text :]])
        return SpeechExample(id=self.id, speaker=self.speaker, ids=ids, num_text=len(prompt), seconds=self.seconds)


def textless(prompt: Sequence[int], speaker_ids: Collection[int], pad_id: int) -> list[int]:
    """A prompt that says who speaks and nothing else: its speaker tokens, or `pad_id` where it has none."""
    return [token for token in prompt if token in speaker_ids] or [pad_id]


@dataclass
class LeftOut:
    """What was not used, and why; nothing is left out in silence."""

    reasons: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> ids of the clips."""

    def add(self, reason: str, clip_id: str) -> None:
        self.reasons.setdefault(reason, []).append(clip_id)

    @property
    def count(self) -> int:
        return sum(len(ids) for ids in self.reasons.values())

    def __str__(self) -> str:
        """`left out 3: 2 without text (a, b); 1 ...`, naming at most three clips a reason."""
        if not self.reasons:
            return "nothing left out"
        parts = []
        for reason, ids in self.reasons.items():
            parts.append(f"{len(ids)} {reason} ({', '.join(ids[:3])}{', ...' if len(ids) > 3 else ''})")
        return f"left out {self.count}: {'; '.join(parts)}"


def speech_examples(
    clips: Iterable[tuple[CodedClip, str]],
    tokenize: Callable[[str], Sequence[int]],
    vocabulary: CodecVocabulary,
    left_out: LeftOut,
    *,
    max_ids: int | None = None,
) -> list[SpeechExample]:
    """Coded clips and their prompts as ids.

    Args:
        clips: (clip, prompt); the prompt is what the text front end made of the clip's text and speaker.
        tokenize: prompt -> text ids.
        left_out: takes note of the clips that are not used: no frames, no text ids, more than `max_ids` ids in all.
    Raises:
        ValueError: codes that do not fit the vocabulary, or text ids outside its text rows (names the clip).
    """
    examples = []
    for clip, prompt in clips:
        try:
            frames = vocabulary.layout.flatten([torch.from_numpy(level.astype(np.int64)) for level in clip.codes])
            audio = vocabulary.ids_from_frames(frames, open=True, close=True)[0]
        except ValueError as error:
            raise ValueError(f"clip {clip.id}: {error}") from error
        text = np.asarray(tokenize(prompt), dtype=np.int32)
        if frames.shape[1] == 0:
            left_out.add("without frames", clip.id)
        elif len(text) == 0:
            left_out.add("whose prompt has no text ids", clip.id)
        elif max_ids is not None and len(text) + len(audio) > max_ids:
            left_out.add(f"longer than max_ids={max_ids}", clip.id)
        else:
            if int(text.max()) >= vocabulary.text_size:
                raise ValueError(
                    f"clip {clip.id}: text id {int(text.max())} is no text row, the vocabulary has "
                    f"{vocabulary.text_size}; was the vocabulary made for another tokenizer?"
                )
            ids = np.concatenate([text, audio.numpy().astype(np.int32)])
            examples.append(
                SpeechExample(id=clip.id, speaker=clip.speaker, ids=ids, num_text=len(text), seconds=clip.seconds)
            )
    return examples


def collate(
    examples: Sequence[SpeechExample],
    *,
    pad_id: int = 0,
    train_text: bool = False,
    strides: Sequence[float] | None = None,
) -> dict[str, Tensor]:
    """Pad examples on the right.

    Args:
        pad_id: a text id; where it stands as padding the mask is 0 and the label is ignored.
        train_text: keep the labels of the prompt (from its second id: nothing predicts the first).
        strides: text strides to use instead of the examples' exact ones.
    Returns:
        input_ids, labels, attention_mask: [B, L] int64. `labels` equal `input_ids` where trained (HF convention: the
        model shifts), -100 on the prompt and on padding. text_stride: [B] float32.
    """
    batch, length = len(examples), max(len(example.ids) for example in examples)
    input_ids = torch.full((batch, length), pad_id, dtype=torch.int64)
    labels = torch.full((batch, length), IGNORED, dtype=torch.int64)
    attention_mask = torch.zeros((batch, length), dtype=torch.int64)
    for row, example in enumerate(examples):
        ids = torch.from_numpy(example.ids.astype(np.int64))
        trained = 0 if train_text else example.num_text
        input_ids[row, : len(ids)] = ids
        labels[row, trained : len(ids)] = ids[trained:]
        attention_mask[row, : len(ids)] = 1
    exact = [example.text_stride for example in examples] if strides is None else list(strides)
    return {
        "input_ids": input_ids,
        "labels": labels,
        "attention_mask": attention_mask,
        "text_stride": torch.tensor(exact, dtype=torch.float32),
    }


class TokenBatches:
    """Which examples stand in which batch: neighbours in length, within a budget of padded ids.

    Every epoch sorts by length times a random factor near 1 (so that neighbours vary), cuts into batches whose padded
    size keeps the budget, and shuffles the batches. Every example occurs once an epoch.
    """

    def __init__(self, lengths: Sequence[int], ids_per_batch: int, *, seed: int = 0, spread: float = 0.05) -> None:
        """
        Args:
            lengths: ids of each example.
            ids_per_batch: rows times the longest row is at most this.
            spread: the random factor lies in [1 - spread, 1 + spread].
        Raises:
            ValueError: there is no example, or one is longer than the budget.
        """
        self._lengths = np.asarray(lengths, dtype=np.int64)
        self._budget, self._seed, self._spread = ids_per_batch, seed, spread
        if len(self._lengths) == 0:
            raise ValueError("there is no example to make batches of")
        if int(self._lengths.max()) > ids_per_batch:
            raise ValueError(
                f"the longest example has {int(self._lengths.max())} ids, a batch takes {ids_per_batch}; "
                "raise the budget, or leave long examples out with max_ids"
            )
        self._starts = [0]
        self._epoch: tuple[int, list[NDArray[np.int64]]] = (0, self.epoch(0))

    def epoch(self, number: int) -> list[NDArray[np.int64]]:
        """The batches of an epoch, in order: indices of examples."""
        generator = np.random.default_rng((self._seed, number))
        keys = self._lengths * generator.uniform(1.0 - self._spread, 1.0 + self._spread, len(self._lengths))
        batches = list(self._cut(np.argsort(keys, kind="stable")))
        return [batches[i] for i in generator.permutation(len(batches))]

    def batch(self, number: int) -> NDArray[np.int64]:
        """The batch of a number (0 is the first), counted over all epochs."""
        while number >= self._starts[-1]:
            self._starts.append(self._starts[-1] + len(self._batches(len(self._starts) - 1)))
        epoch = int(np.searchsorted(self._starts, number, side="right")) - 1
        return self._batches(epoch)[number - self._starts[epoch]]

    def _batches(self, epoch: int) -> list[NDArray[np.int64]]:
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self.epoch(epoch))
        return self._epoch[1]

    def _cut(self, order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        start, longest = 0, 0
        for position, index in enumerate(order):
            length = int(self._lengths[index])
            if max(longest, length) * (position - start + 1) > self._budget:
                yield order[start:position]
                start, longest = position, 0
            longest = max(longest, length)
        yield order[start:]
