"""What two-stage training reads: rows of frames out of coded clips, with or without earlier turns before them.

Owns which clips stand before which (drawn anew in every epoch from seed, epoch and item), the exact pace of a row's
texts, and batches of rows whose lengths change from epoch to epoch. Clips, prompts and tokenizer are
`speech_data.py`'s, rows of written conversations `aoede.data.conversation`'s. Knows nothing of models.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aoede.data.collate import IGNORED, SpeechExample, TokenBatches
from aoede.data.conversation import ConversationDataset, EncodedConversation, padded
from aoede.tokens import CodecVocabulary


@dataclass(frozen=True, kw_only=True)
class ContextConfig:
    """Earlier turns before a clip, out of other clips of its split."""

    turns: int = 1
    """At most so many; how many is drawn evenly from 1 to this."""

    share: float = 0.5
    """Share of the clips of an epoch that have any."""

    speaker: Literal["same", "any"] = "same"
    """Of the clip's speaker (the voice is heard before it is needed: cloning), or of anybody (dialogue)."""

    trained: bool = False
    """Train the earlier turns as well; else their labels, the stop frame's too, are masked."""

    max_frames: int = 1024
    """Turns that would make a row longer are not taken."""

    def __post_init__(self) -> None:
        if self.turns < 1:
            raise ValueError(f"context.turns is {self.turns}, but must be 1 or more (context: null has none)")
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"context.share is {self.share}, but must lie in (0, 1]: it is a share")


class Rows(Protocol):
    """Items that become rows of frames."""

    def __len__(self) -> int: ...

    def lengths(self, epoch: int) -> Sequence[int]:
        """Frames of every item in an epoch."""

    def row(self, epoch: int, index: int) -> EncodedConversation:
        """An item in an epoch."""


class UtteranceRows:
    """Coded clips, one a row, perhaps behind other clips of the list."""

    def __init__(
        self,
        examples: Sequence[SpeechExample],
        vocabulary: CodecVocabulary,
        stop_frame: Sequence[int],
        *,
        context: ContextConfig | None = None,
        speaker_tokens: dict[str, int] | None = None,
        speaker_dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        """
        Args:
            examples: clips as flat ids of `vocabulary`.
            stop_frame: [S], -1 where it has no entry.
            context: earlier turns; None: no row has any.
            speaker_tokens: speaker -> the id that names it, taken out of the whole row in `speaker_dropout` of them.
        Raises:
            ValueError: a clip with a frame that a model would read as the stop.
        """
        self.context, self.seed, self.speaker_dropout = context, seed, speaker_dropout
        self.speakers = [example.speaker for example in examples]
        self.names = [example.id for example in examples]
        self.tokens = speaker_tokens or {}
        self.texts = [example.ids[: example.num_text].astype(np.int64) for example in examples]
        starts = np.array([vocabulary.range_of(slot).start for slot in range(vocabulary.num_slots)])
        self.codes = [
            example.ids[example.num_text + 1 : -1].reshape(-1, len(starts)).astype(np.int64) - starts
            for example in examples
        ]
        self.stop = np.asarray(stop_frame, dtype=np.int64)
        for name, codes in zip(self.names, self.codes, strict=True):
            if bool((codes == self.stop).all(1).any()):
                raise ValueError(f"clip {name} has a frame of zeros, which says stop: set model.stop=row")
        self._own = [len(text) + len(codes) + 1 for text, codes in zip(self.texts, self.codes, strict=True)]
        self._of_speaker: dict[str, list[int]] = {}
        for index, speaker in enumerate(self.speakers):
            self._of_speaker.setdefault(speaker, []).append(index)
        self._drawn: tuple[int, list[tuple[list[int], bool]]] = (-1, [])

    def __len__(self) -> int:
        return len(self.texts)

    def lengths(self, epoch: int) -> list[int]:
        return [
            self._own[index] + sum(self._own[i] for i in before) for index, (before, _) in enumerate(self._draw(epoch))
        ]

    def row(self, epoch: int, index: int) -> EncodedConversation:
        before, is_nameless = self._draw(epoch)[index]
        turns = [self._turn(i, is_nameless) for i in (*before, index)]
        frames = np.concatenate(turns)
        labels = frames[:, :-1].copy()
        labels[labels < 0] = IGNORED
        if before and self.context is not None and not self.context.trained:
            labels[: len(frames) - len(turns[-1])] = IGNORED
        return EncodedConversation(
            frames=torch.from_numpy(frames), labels=torch.from_numpy(labels), name=self.names[index]
        )

    def _turn(self, index: int, is_nameless: bool) -> NDArray[np.int64]:
        text, codes = self.texts[index], self.codes[index]
        if is_nameless:
            kept = text[text != self.tokens.get(self.speakers[index], -1)]
            text = kept if len(kept) else text
        frames = np.full((len(text) + len(codes) + 1, codes.shape[1] + 1), -1, dtype=np.int64)
        frames[: len(text), -1] = text
        frames[len(text) : -1, :-1] = codes
        frames[-1, :-1] = self.stop
        return frames

    def _draw(self, epoch: int) -> list[tuple[list[int], bool]]:
        """Of every item: which come before it, and whether its row is read without names."""
        if self._drawn[0] != epoch:
            if self.context is None and self.speaker_dropout == 0.0:
                self._drawn = (epoch, [([], False)] * len(self))
            else:
                self._drawn = (epoch, [self._draw_one(epoch, index) for index in range(len(self))])
        return self._drawn[1]

    def _draw_one(self, epoch: int, index: int) -> tuple[list[int], bool]:
        generator = np.random.default_rng((self.seed, 2, epoch, index))
        is_nameless = bool(generator.random() < self.speaker_dropout)
        context = self.context
        if context is None or generator.random() >= context.share:
            return [], is_nameless
        others: Sequence[int] = self._of_speaker[self.speakers[index]]
        if context.speaker == "any":
            others = range(len(self))
        count = int(generator.integers(1, context.turns + 1))
        chosen: list[int] = []
        room = context.max_frames - self._own[index]
        for place in generator.choice(len(others), min(len(others), count + 1), replace=False).tolist():
            other = others[place]
            if other != index and len(chosen) < count and self._own[other] <= room:
                chosen.append(other)
                room -= self._own[other]
        return chosen, is_nameless


class ConversationRows:
    """Prepared conversations, one a row, the same in every epoch."""

    def __init__(self, dataset: ConversationDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def lengths(self, epoch: int) -> list[int]:
        return self.dataset.lengths

    def row(self, epoch: int, index: int) -> EncodedConversation:
        return self.dataset.encoded(index)


class RowBatches:
    """Which items stand in which batch: a pure function of (seed, number), for lengths that change with the epoch."""

    def __init__(self, rows: Rows, frames_per_batch: int, *, seed: int = 0, spread: float = 0.05) -> None:
        """`frames_per_batch`: rows times the longest row is at most this.

        Raises:
            ValueError: no items, or one that is longer than a batch.
        """
        self._rows, self._budget, self._seed, self._spread = rows, frames_per_batch, seed, spread
        self._starts = [0]
        self._epoch: tuple[int, list[NDArray[np.int64]]] = (0, self._make(0))

    def epoch(self, number: int) -> list[NDArray[np.int64]]:
        """The batches of an epoch, in order: numbers of items."""
        if self._epoch[0] != number:
            self._epoch = (number, self._make(number))
        return self._epoch[1]

    def batch(self, number: int) -> tuple[int, list[int]]:
        """The epoch of a batch (counted from 0 over all epochs), and its items."""
        while number >= self._starts[-1]:
            self._starts.append(self._starts[-1] + len(self.epoch(len(self._starts) - 1)))
        epoch = int(np.searchsorted(self._starts, number, side="right")) - 1
        return epoch, self.epoch(epoch)[number - self._starts[epoch]].tolist()

    def _make(self, epoch: int) -> list[NDArray[np.int64]]:
        lengths = self._rows.lengths(epoch)
        return TokenBatches(lengths, self._budget, seed=self._seed, spread=self._spread).epoch(epoch)


def collate(
    rows: Sequence[EncodedConversation],
    *,
    has_paces: bool,
    jitter: float = 0.0,
    generator: np.random.Generator | None = None,
) -> dict[str, Tensor]:
    """A batch of rows, padded on the right, where causal attention never looks: without a mask, the fast path.

    Args:
        has_paces: the model has parallel positions; each turn's exact pace comes along.
        jitter: with a generator, each pace is multiplied by a number drawn from [1 - jitter, 1 + jitter].
    Returns:
        input_ids [B, F, S + 1], labels [B, F, S], and with paces text_stride [B, F].
    """
    batch = padded(rows, "right")
    inputs = {"input_ids": batch["input_ids"], "labels": batch["labels"]}
    if has_paces:
        paces = torch.ones(inputs["labels"].shape[:2])
        for place, row in enumerate(rows):
            exact, turn = exact_strides(row.frames)
            if generator is not None and jitter > 0.0:
                drawn = generator.uniform(1 - jitter, 1 + jitter, int(turn[-1]) + 1)
                exact = exact * torch.from_numpy(drawn.astype(np.float32))[turn]
            paces[place, : row.num_frames] = exact
        inputs["text_stride"] = paces
    return inputs


def exact_strides(frames: Tensor) -> tuple[Tensor, Tensor]:
    """The exact pace of every turn of a row.

    Args:
        frames: [F, S + 1].
    Returns:
        strides [F] float32, codes a text id of the turn that a frame belongs to (1 where a turn has no sound, or no
        text); and the turn's number [F] int64.
    """
    slots = frames.shape[1] - 1
    is_audio = (frames[:, :slots] >= 0).any(1)
    begins = ~is_audio & torch.cat([is_audio.new_zeros(1), is_audio[:-1]])
    turn = begins.cumsum(0)
    turns = int(turn[-1]) + 1
    texts = torch.bincount(turn[~is_audio], minlength=turns)
    sounds = torch.bincount(turn[is_audio], minlength=turns) - 1  # the last one says stop
    known = (texts > 0) & (sounds > 0)
    strides = torch.where(known, sounds * slots / texts.clamp(min=1), torch.ones(turns))
    return strides.to(torch.float32)[turn], turn
