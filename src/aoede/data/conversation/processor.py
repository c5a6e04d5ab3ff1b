"""From conversations to what a two-stage model reads: text frames, audio frames, stop frames, labels.

Owns how a turn becomes frames, which of them are trained, and what is dropped where a conversation is too long. How a
turn's text is written is `turns.py`'s, where codes come from `sounds.py`'s, padding and packing `encoded.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aoede.tokens import FrameLayout
from aoede.tokens.layout import as_integers

from .encoded import IGNORED, NO_ENTRY, ConversationBatch, EncodedConversation, Side, packed, padded
from .messages import Conversation, Message, Sound
from .parsing import parse_conversation
from .sounds import Codes, SoundCodes
from .truncation import dropping_words, first_turn_that_fits
from .turns import TurnText

if TYPE_CHECKING:
    from aoede.codec import Codec


class FrameConfig(Protocol):
    """What a model's configuration says of its frames; `TwoStageConfig` does."""

    slot_sizes: list[int] | None
    text_vocab_size: int
    layout: Any
    codec_fingerprint: str | None

    @property
    def stop_frame(self) -> list[int]: ...


class SaysStop(ValueError):
    """Audio with a frame that a model would take for the end of the turn."""


class ConversationProcessor:
    """Makes frames of conversations.

    A turn is its text, an id a frame; then its audio, the codes of all slots a frame; then the frame that says stop. A
    turn without audio is its text alone, which as the last one is a prompt to speak it.
    """

    def __init__(
        self,
        tokenizer: Any,
        layout: FrameLayout | str | Sequence[int],
        slot_sizes: Sequence[int],
        *,
        text: TurnText | None = None,
        text_size: int | None = None,
        stop_frame: Sequence[int] | None = None,
        codec_fingerprint: str | None = None,
        codec: Codec | None = None,
        max_frames: int | None = None,
        padding_side: Side = "left",
    ) -> None:
        """
        Args:
            tokenizer: a Hugging Face tokenizer, or a function from text to ids.
            layout: order of the slots in a frame.
            slot_sizes: codes of each slot.
            text: how a turn's role and text are written; None as the public CSM has it.
            text_size: text ids there are; None does not check.
            stop_frame: codes [S] of the frame that ends a turn, -1 where it has no entry; None is all zeros.
            codec_fingerprint: of the codec that all codes must be of; None takes the codec's, or any.
            codec: encodes sounds that are given as files or samples; None refuses those.
            max_frames: the oldest turns of longer conversations are dropped.
            padding_side: of batches that are not packed.
        """
        self.tokenizer = tokenizer
        self.layout = layout if isinstance(layout, FrameLayout) else FrameLayout(layout)
        self.slot_sizes = torch.tensor([int(size) for size in slot_sizes])
        if len(self.slot_sizes) != self.layout.num_slots:
            raise ValueError(
                f"{len(self.slot_sizes)} slot sizes for layout {self.layout}, which has {self.layout.num_slots}"
            )
        self.text = text or TurnText()
        self.text_size = text_size
        stop = [0] * self.layout.num_slots if stop_frame is None else list(stop_frame)
        if len(stop) != self.layout.num_slots:
            raise ValueError(
                f"the stop frame has {len(stop)} codes, but layout {self.layout} has {self.layout.num_slots} slots"
            )
        self.stop_frame = torch.tensor(stop)
        self.sounds = SoundCodes(codec_fingerprint, codec)
        self.max_frames = max_frames
        self.padding_side = padding_side

    @classmethod
    def for_model(cls, config: FrameConfig, tokenizer: Any, **options: Any) -> ConversationProcessor:
        """The processor of a two-stage model.

        Args:
            config: its configuration; one without a layout has one slot a level.
            options: `text`, `codec`, `max_frames`, `padding_side`.
        """
        if config.slot_sizes is None:
            raise ValueError("the configuration says nothing of slots (slot_sizes)")
        layout = FrameLayout.depth_first((1,) * len(config.slot_sizes)) if config.layout is None else config.layout
        return cls(
            tokenizer,
            layout,
            config.slot_sizes,
            text_size=config.text_vocab_size,
            stop_frame=config.stop_frame,
            codec_fingerprint=config.codec_fingerprint,
            **options,
        )

    @property
    def num_slots(self) -> int:
        """Codes in a frame, S."""
        return self.layout.num_slots

    def __call__(
        self,
        conversations: Sequence[Conversation | Mapping[str, Any]] | Conversation | Sequence[Mapping[str, Any]],
        codes: Sequence[Codes] | None = None,
        *,
        audios: Sequence[NDArray[np.float32]] | None = None,
        generation_prompt: bool = False,
        max_frames: int | None = None,
        padding_side: Side | None = None,
    ) -> ConversationBatch:
        """A padded batch.

        Args:
            conversations: values, or mappings as a line of a file has them; also one conversation, or the list of
                messages of one.
            codes: of the audios that have no source of their own (`{"type": "audio"}`), in order; each one [T_k] a
                level.
            audios: the same as samples [T] at the codec's rate; needs a codec.
            generation_prompt: the last turn of each has no audio, because it is to be spoken; no labels then.
            max_frames, padding_side: in place of the processor's.
        Raises:
            ValueError: a conversation that cannot be used (names it and the turn), also one whose last turn alone is
                longer than `max_frames`; as many codes or audios as there are placeholders are needed.
        """
        given = self._given(codes, audios)
        items = [
            self.encode(conversation, given, generation_prompt=generation_prompt, max_frames=max_frames)
            for conversation in _listed(conversations)
        ]
        rest = sum(1 for _ in given)
        if rest:
            raise ValueError(f"{rest} more codes or audios were given than conversations have placeholders for")
        return padded(items, padding_side or self.padding_side, labels=not generation_prompt)

    def pack(self, conversations: Sequence[Conversation | Mapping[str, Any]], max_frames: int) -> ConversationBatch:
        """Rows of several conversations each, kept apart by `position_ids` that begin again at 0.

        Args:
            max_frames: a row holds no more; longer conversations lose their oldest turns.
        """
        return packed([self.encode(one, max_frames=max_frames) for one in _listed(conversations)], max_frames)

    def collate(self, items: Sequence[EncodedConversation | Mapping[str, Tensor]]) -> ConversationBatch:
        """A padded batch of what `encode` or a data set gave; the data collator of a trainer."""
        made = [
            item
            if isinstance(item, EncodedConversation)
            else EncodedConversation(frames=item["input_ids"], labels=item["labels"])
            for item in items
        ]
        return padded(made, self.padding_side)

    def encode(
        self,
        conversation: Conversation | Mapping[str, Any],
        given: Iterator[Codes] | None = None,
        *,
        generation_prompt: bool = False,
        max_frames: int | None = None,
    ) -> EncodedConversation:
        """One conversation as frames; see `__call__`.

        Args:
            given: codes of the placeholders.
        """
        if not isinstance(conversation, Conversation):
            conversation = parse_conversation(conversation, "conversation", placeholders=True)
        if generation_prompt and conversation.messages[-1].sound is not None:
            raise ValueError(
                f"{conversation.name}: the last turn has audio already; a prompt ends with text to be spoken"
            )
        texts = [self.text_ids(conversation, index) for index in range(len(conversation.messages))]
        audio = [self.audio_frames(conversation, index, given) for index in range(len(conversation.messages))]
        return self.assemble(conversation, texts, audio, max_frames)

    def text_ids(self, conversation: Conversation, index: int) -> Tensor:
        """Text ids [L] of a turn; none where it has no text."""
        message = conversation.messages[index]
        if not message.text:
            return torch.zeros(0, dtype=torch.int64)
        try:
            ids = torch.tensor(self.text.ids(message.role, message.text, self.tokenizer))
            if self.text_size is not None and int(ids.max()) >= self.text_size:
                raise ValueError(
                    f"text id {int(ids.max())}, but the model has {self.text_size}; was it made for another tokenizer?"
                )
        except ValueError as error:
            raise ValueError(f"{conversation.name}: messages[{index}]: {error}") from None
        return ids

    def audio_frames(
        self, conversation: Conversation, index: int, given: Iterator[Codes] | None = None
    ) -> Tensor | None:
        """Codes [F, S] of a turn, without its stop frame; None where it has no audio."""
        sound = conversation.messages[index].sound
        if sound is None:
            return None
        try:
            return self.frames_of(sound, given)
        except ValueError as error:
            kind = SaysStop if isinstance(error, SaysStop) else ValueError
            raise kind(f"{conversation.name}: messages[{index}]: {error}") from None

    def frames_of(self, sound: Sound, given: Iterator[Codes] | None = None) -> Tensor:
        """Codes [F, S] of a sound.

        Raises:
            ValueError: levels that are not whole frames, a code that its slot does not have, a frame that says stop.
        """
        if sound.is_placeholder and given is not None:
            found = next(given, None)
            if found is None:
                raise ValueError("fewer codes or audios were given than there are audios without a source")
        else:
            found = self.sounds.of(sound)
        frames = self.layout.flatten([as_integers(level, "codes") for level in found])[0].cpu()
        if not len(frames):
            raise ValueError("no frames: the audio is empty")
        beyond = (frames < 0) | (frames >= self.slot_sizes)
        if bool(beyond.any()):
            frame, slot = (int(i) for i in beyond.nonzero()[0])
            raise ValueError(
                f"code {int(frames[frame, slot])} in frame {frame}, slot {slot}: there are "
                f"{int(self.slot_sizes[slot])}; are these codes of another codec?"
            )
        stops = (frames == self.stop_frame).all(-1)
        if bool(stops.any()):
            raise SaysStop(
                f"frame {int(stops.nonzero()[0])} is all zeros, which says stop in this model; make the model with "
                'stop="row", where the end has a row of its own'
            )
        return frames

    def assemble(
        self,
        conversation: Conversation,
        texts: Sequence[Tensor],
        audio: Sequence[Tensor | None],
        max_frames: int | None = None,
    ) -> EncodedConversation:
        """Frames of a conversation from the text ids [L] and codes [F, S] of its turns.

        Raises:
            ValueError: the last turn alone does not fit.
        """
        limit = self.max_frames if max_frames is None else max_frames
        turns = [
            self._turn(ids, codes, is_trained)
            for ids, codes, is_trained in zip(texts, audio, conversation.training_mask, strict=True)
        ]
        lengths = [len(frames) for frames, _ in turns]
        first = first_turn_that_fits(lengths, limit, conversation.name)
        frames, labels = (torch.cat(parts) for parts in zip(*turns[first:], strict=True))
        trained = sum(conversation.training_mask[:first])
        return EncodedConversation(
            frames=frames,
            labels=labels,
            turns=tuple((len(ids), len(part) - len(ids)) for ids, (part, _) in zip(texts, turns, strict=True))[first:],
            name=conversation.id or conversation.where,
            dropped_turns=first,
            dropped_trained=trained,
            note=dropping_words(conversation, first, sum(lengths[:first]), trained, limit),
        )

    def _turn(self, ids: Tensor, codes: Tensor | None, is_trained: bool) -> tuple[Tensor, Tensor]:
        """Frames [F, S + 1] and labels [F, S] of one turn."""
        count = 0 if codes is None else len(codes) + 1
        frames = torch.full((len(ids) + count, self.num_slots + 1), NO_ENTRY)
        labels = torch.full((len(ids) + count, self.num_slots), IGNORED)
        frames[: len(ids), self.num_slots] = ids
        if codes is not None:
            spoken = torch.cat([codes, self.stop_frame[None]])
            frames[len(ids) :, : self.num_slots] = spoken
            if is_trained:
                labels[len(ids) :] = spoken.masked_fill(spoken == NO_ENTRY, IGNORED)
        return frames, labels

    def _given(self, codes: Sequence[Codes] | None, audios: Sequence[NDArray[np.float32]] | None) -> Iterator[Codes]:
        if codes is not None and audios is not None:
            raise ValueError("codes and audios are both given; one of them fills the audios without a source")
        return iter(codes or ()) if audios is None else (self.sounds.encode(samples) for samples in audios)


def _listed(given: Any) -> list[Conversation]:
    """One conversation, the messages of one, or several of either kind."""
    if isinstance(given, Conversation | Mapping):
        given = [given]
    elif not isinstance(given, Sequence) or not given:
        raise ValueError("conversations are a list of conversations, or the list of messages of one")
    elif all(isinstance(one, Mapping) and "messages" not in one for one in given):
        given = [given]
    elif any(isinstance(one, Message) for one in given):
        raise ValueError("messages are given where conversations are expected; put them into a Conversation")
    return [
        one if isinstance(one, Conversation) else parse_conversation(one, f"conversation {index}", placeholders=True)
        for index, one in enumerate(given)
    ]
