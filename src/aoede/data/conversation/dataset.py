"""Prepared conversations as a data set: one item a conversation, made into frames when it is asked for.

Owns which conversations are used (the rest is told), and the order-free access by number that any trainer's sampler
needs. Texts are turned into ids once, at the beginning; codes lie in memory once, however many turns share them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor

from ..codefile import is_code_file
from ..collate import LeftOut
from .encoded import ConversationBatch, EncodedConversation, fill_rows, packed
from .messages import Conversation
from .processor import ConversationProcessor, SaysStop
from .reading import load_conversations
from .truncation import first_turn_that_fits


class ConversationDataset(torch.utils.data.Dataset[dict[str, Tensor]]):
    """The conversations of a folder that `aoede prepare` made (or of a file whose sounds are codes).

    `dataset[i]` is `{"input_ids": [F, S + 1], "labels": [F, S]}`; `processor.collate` makes batches of them.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        processor: ConversationProcessor,
        *,
        split: str | Sequence[str] | None = None,
        max_frames: int | None = None,
        trained_only: bool = True,
    ) -> None:
        """
        Args:
            split: keep only conversations of these.
            max_frames: the oldest turns of longer conversations are dropped; None is the processor's.
            trained_only: leave out conversations in which nothing would be trained.
        Raises:
            ValueError: nothing left, or a conversation that does not fit the processor (names it).
        """
        self.processor = processor
        self.max_frames = processor.max_frames if max_frames is None else max_frames
        self.left_out = LeftOut()
        self.notes: list[str] = []
        self.conversations: list[Conversation] = []
        self.lengths: list[int] = []
        """Frames of each item."""

        self._texts: list[list[Tensor]] = []
        wanted = None if split is None else {split} if isinstance(split, str) else set(split)
        ids: dict[tuple[str, str], Tensor] = {}
        heard: dict[tuple[str | None, str | None] | None, int] = {}
        for conversation in load_conversations(path):
            if wanted is None or conversation.split in wanted:
                self._take(conversation, ids, heard, trained_only)
        if not self.conversations:
            asked = "" if wanted is None else f" of split {', '.join(sorted(wanted))}"
            raise ValueError(f"{os.fspath(path)}: no conversations{asked} to train on; {self.left_out}")

    def __len__(self) -> int:
        return len(self.conversations)

    def encoded(self, index: int) -> EncodedConversation:
        """One conversation as frames, with what was dropped of it."""
        conversation = self.conversations[index]
        audio = [self.processor.audio_frames(conversation, turn) for turn in range(len(conversation.messages))]
        return self.processor.assemble(conversation, self._texts[index], audio, self.max_frames)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        item = self.encoded(index)
        return {"input_ids": item.frames, "labels": item.labels}

    def name(self, index: int) -> str:
        """What a conversation is called: its id, or where it stands."""
        return self.conversations[index].id or self.conversations[index].where

    def rows(self, max_frames: int) -> list[list[int]]:
        """All items in packed rows of at most `max_frames`; `packed` makes a batch of some of them."""
        return fill_rows(self.lengths, max_frames)

    def packed(self, rows: Sequence[Sequence[int]], max_frames: int) -> ConversationBatch:
        """A batch of packed rows, each a list of items."""
        order = [index for row in rows for index in row]
        place = {index: number for number, index in enumerate(order)}
        return packed([self.encoded(i) for i in order], max_frames, [[place[i] for i in row] for row in rows])

    @staticmethod
    def _refuse_sound_file(conversation: Conversation, turn: int) -> None:
        sound = conversation.messages[turn].sound
        if sound is not None and sound.path is not None and not is_code_file(sound.path):
            raise ValueError(
                f"{conversation.name}: messages[{turn}]: {sound.path} is not encoded, and a data set encodes nothing: "
                "run `aoede prepare CONVERSATIONS.jsonl OUT` and give OUT"
            )

    def _take(
        self,
        conversation: Conversation,
        ids: dict[tuple[str, str], Tensor],
        heard: dict[tuple[str | None, str | None] | None, int],
        trained_only: bool,
    ) -> None:
        name = conversation.id or conversation.where
        texts, lengths = [], []
        for turn, message in enumerate(conversation.messages):
            key = (message.role, message.text)
            if key not in ids:
                ids[key] = self.processor.text_ids(conversation, turn)
            self._refuse_sound_file(conversation, turn)
            sound = (message.sound.prepared, message.sound.id) if message.sound else None
            if sound not in heard or sound == (None, None):
                try:
                    frames = self.processor.audio_frames(conversation, turn)
                except SaysStop:
                    self.left_out.add("with a frame of audio that says stop in this model", name)
                    return
                heard[sound] = 0 if frames is None else len(frames) + 1
            texts.append(ids[key])
            lengths.append(len(ids[key]) + heard[sound])
        try:
            first = first_turn_that_fits(lengths, self.max_frames, conversation.name)
        except ValueError:
            self.left_out.add(f"whose last turn is longer than max_frames={self.max_frames}", name)
            return
        if trained_only and not any(conversation.training_mask[first:]):
            why = "whose trained turns do not fit" if conversation.has_trained_turn else "without a trained turn"
            self.left_out.add(why, name)
            return
        if first:
            trained = sum(conversation.training_mask[:first])
            lost = f", {trained} of them trained" if trained else ""
            self.notes.append(f"{name}: the oldest {first} of {len(lengths)} turns are dropped{lost}")
        self.conversations.append(conversation)
        self.lengths.append(sum(lengths[first:]))
        self._texts.append(texts)
