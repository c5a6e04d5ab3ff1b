"""Prepared conversations as two-stage training reads them: rows, a tokenizer, how turns are written, a report.

Owns what a recipe says of conversations and what the voice folder needs of them. What a conversation is, and how it
becomes frames, is `aoede.data.conversation`'s business; clips on their own are `speech_data.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from aoede.codec import Snac
from aoede.data.conversation import ConversationDataset, ConversationProcessor, TurnText, load_conversations
from aoede.data.phonemes import SYMBOLS
from aoede.data.text import TextFrontEnd
from aoede.tokens import CodecVocabulary, FrameLayout
from aoede.training.speech_data import fit_pace, load_or_make_tokenizer, speaker_token
from aoede.training.two_stage_model import TwoStageModelConfig


@dataclass(frozen=True, kw_only=True)
class ConversationDataConfig:
    """Which conversations, and how their turns are written."""

    path: str
    """Folder that `aoede prepare` made of a file of conversations (or such a file whose sounds are codes)."""

    codec: str
    """Folder of the codec that made the codes; it goes into the voice."""

    train_split: str = "train"
    dev_split: str = "dev"
    max_frames: int | None = None
    """Longer conversations lose their oldest turns, and that is reported."""

    layout: str | None = None
    """Order of the slots; None: depth first, for the codec's strides."""

    text: TextFrontEnd | None = None
    """Writes a turn, with a token for its role; None: `template` does."""

    template: str = "[{role}]{text}"
    """See `TurnText`."""

    def __post_init__(self) -> None:
        if self.train_split == self.dev_split:
            raise ValueError(f"train_split and dev_split are both {self.train_split!r}; evaluation needs other talks")


@dataclass(frozen=True, kw_only=True)
class ConversationData:
    """All that training and the voice folder need of conversations."""

    train: ConversationDataset
    dev: ConversationDataset
    tokenizer: Any
    vocabulary: CodecVocabulary
    """Names the levels; conversations are never written as its ids."""

    front_end: TextFrontEnd
    turn: TurnText | None
    """How turns are written where the front end does not."""

    speakers: tuple[str, ...]
    """Roles of the training split."""

    pace: dict[str, tuple[float, float]]
    mean_text_stride: float
    hours: float
    report: list[str]


def load_conversation_data(
    config: ConversationDataConfig, codec: Snac, model: TwoStageModelConfig, out_dir: Path
) -> ConversationData:
    """Read conversations, make a tokenizer and the data sets of both splits.

    Args:
        out_dir: the run's folder; keeps `tokenizer/` of the first start.
    Raises:
        ValueError: nothing to train or evaluate on, codes of another codec.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    layout = FrameLayout(config.layout) if config.layout else FrameLayout.depth_first(codec.config.vq_strides)
    sizes = [codec.config.codebook_size] * layout.num_slots
    turn = TurnText(template=config.template, front_end=config.text)
    talks = [talk for talk in load_conversations(config.path) if talk.split == config.train_split]
    if not talks:
        raise ValueError(f"{config.path}: no conversations of split {config.train_split!r}")
    said = list(dict.fromkeys((m.role, m.text) for talk in talks for m in talk.messages if m.text))
    roles = tuple(sorted({role for role, _ in said}))
    specials = [] if config.text is None else [speaker_token(config.text, role) for role in roles]
    tokenizer = load_or_make_tokenizer(
        out_dir / "tokenizer",
        model.folder,
        specials + ([] if config.text is None else list(config.text.events)),
        (turn.write(role, text, None) for role, text in said),
        SYMBOLS if config.text is not None and config.text.phonemes else "",
    )
    processor = ConversationProcessor(
        tokenizer,
        layout,
        sizes,
        text=turn,
        stop_frame=_stop_frame(model, sizes),
        codec_fingerprint=codec.fingerprint(),
        max_frames=config.max_frames,
    )
    splits = {"train": config.train_split, "dev": config.dev_split}
    sets = {name: ConversationDataset(config.path, processor, split=split) for name, split in splits.items()}
    units: dict[str, list[int]] = {}
    seconds: dict[str, list[float]] = {}
    seen = set()
    for talk in sets["train"].conversations:
        for place, message in enumerate(talk.messages):
            key = (message.role, message.text, None if message.sound is None else message.sound.name)
            if not message.text or message.sound is None or key in seen:
                continue
            seen.add(key)  # a turn that is context of others too is one turn
            frames = processor.audio_frames(talk, place)
            assert frames is not None
            units.setdefault(message.role, []).append(len(processor.text_ids(talk, place)))
            seconds.setdefault(message.role, []).append(len(frames) / codec.config.frame_rate)
    if not units:
        raise ValueError(f"{config.path}: no turn of split {config.train_split!r} has both text and sound")
    spoken, written = sum(map(sum, seconds.values())), sum(map(sum, units.values()))
    report = [_told(name, data) for name, data in sets.items()]
    return ConversationData(
        train=sets["train"],
        dev=sets["dev"],
        tokenizer=tokenizer,
        vocabulary=CodecVocabulary.extend(len(tokenizer), layout, [codec.config.codebook_size] * layout.num_levels),
        front_end=config.text or TextFrontEnd(),
        turn=None if config.text is not None else turn,
        speakers=roles,
        pace={role: fit_pace(units[role], seconds[role]) for role in roles if role in units},
        mean_text_stride=spoken * codec.config.codes_per_second / written,
        hours=spoken / 3600,
        report=report,
    )


def _stop_frame(model: TwoStageModelConfig, sizes: list[int]) -> list[int]:
    if model.scratch is None:
        assert model.folder is not None
        return list(AutoConfig.from_pretrained(model.folder).stop_frame)
    return [0] * len(sizes) if model.scratch.stop == "zeros" else [sizes[0], *[-1] * (len(sizes) - 1)]


def _told(name: str, data: ConversationDataset) -> str:
    turns = sum(len(talk.messages) for talk in data.conversations)
    trained = sum(sum(talk.training_mask) for talk in data.conversations)
    dropped = f", {len(data.notes):,} lost their oldest turns ({data.notes[0]})" if data.notes else ""
    return (
        f"{name}: {len(data):,} conversations, {turns:,} turns, {trained:,} of them trained; {data.left_out}{dropped}"
    )
