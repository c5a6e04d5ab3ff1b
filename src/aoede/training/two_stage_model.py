"""The model that two-stage training begins with: from nothing in given sizes, or from a folder.

Owns what a recipe says of both stages, and the configuration that fits data and codec. Knows nothing of steps; weights
from nothing come from torch's generator, which the caller seeds.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from aoede.codec import Snac
from aoede.models import TwoStageConfig, TwoStageModel
from aoede.models.two_stage.adapters import add_text_rows
from aoede.tokens import CodecVocabulary
from aoede.training.scratch import ScratchConfig, architecture


@dataclass(frozen=True, kw_only=True)
class TwoStageScratchConfig:
    """Both stages from nothing. `tie_embeddings` says nothing here: what is read and what is written have rows each."""

    backbone: ScratchConfig = field(default_factory=ScratchConfig)
    depth_decoder: ScratchConfig = field(
        default_factory=lambda: ScratchConfig(hidden=256, layers=3, heads=4, intermediate=704)
    )
    stop: Literal["zeros", "row"] = "row"
    """How a turn ends: a frame of zeros, or a row of slot 0's own (then a frame of zeros is a frame like any other)."""

    share_rows: bool = False
    """Slots of one level of the codec share rows: of a SNAC frame's 7 slots, four and two do. Fewer parameters, and
    each row learns from all of them. The layouts of the public CSM cannot say it."""

    slot_gains: bool = False
    """With `share_rows`: rows are multiplied by a vector of each slot, so that the backbone hears in which order the
    codes of one level stand in a frame."""


@dataclass(frozen=True, kw_only=True)
class TwoStageModelConfig:
    """Either a trained two-stage model or one from nothing."""

    base: str | None = None
    """Folder of a two-stage model with its tokenizer, or of a two-stage voice."""

    scratch: TwoStageScratchConfig | None = None

    attention: Literal["sdpa", "eager"] = "sdpa"
    """Of the backbone while it trains. On a CPU with bfloat16 `eager` is faster at rows of a few hundred frames: there
    torch's own attention takes three times as long backwards. Nothing of it is saved."""

    def __post_init__(self) -> None:
        if (self.base is None) == (self.scratch is None):
            raise ValueError("give either model.base (a folder) or model.scratch (sizes), and not both")

    @property
    def folder(self) -> str | None:
        """Where the base's weights and tokenizer are: a voice has them in `model/`."""
        if self.base is None or not (Path(self.base) / "voice.json").is_file():
            return self.base
        return str(Path(self.base) / "model")


def build_model(
    config: TwoStageModelConfig, vocabulary: CodecVocabulary, codec: Snac, **settings: Any
) -> tuple[TwoStageModel, range]:
    """The model a recipe asks for, with the rows of the data's tokenizer and the codec's codes.

    Args:
        vocabulary: of the data: its layout, and how many text ids there are.
        settings: fields of `TwoStageConfig` that training decides (amortization_ratio, text_stride, ...).
    Returns:
        the model, and the text ids that were added to a folder's for new names.
    Raises:
        ValueError: a folder whose slots are not those of the codec.
    """
    layout = vocabulary.layout
    sizes = [codec.config.codebook_size] * layout.num_slots
    ordered = list(dict.fromkeys(layout.levels))
    if config.scratch is not None:
        made = TwoStageConfig(
            backbone=architecture(config.scratch.backbone, 1),
            depth_decoder=architecture(config.scratch.depth_decoder, 1),
            slot_sizes=sizes,
            text_vocab_size=vocabulary.text_size,
            stop=config.scratch.stop,
            slot_tables=[ordered.index(level) for level in layout.levels] if config.scratch.share_rows else None,
            slot_gains=config.scratch.slot_gains,
            layout=str(layout),
            codec_fingerprint=codec.fingerprint(),
            sample_rate=codec.config.sample_rate,
            frame_rate=codec.config.frame_rate,
            **settings,
        )
        model = TwoStageModel(made)
        model.backbone.set_attn_implementation(config.attention)
        return model, range(0)
    model = TwoStageModel.from_pretrained(config.folder, dtype=torch.float32)
    there = model.config
    if there.slot_sizes != sizes or there.layout not in (None, str(layout)):
        raise ValueError(
            f"{config.base} has {there.num_slots} slots of {sorted(set(there.slot_sizes or ()))} codes in layout "
            f"{there.layout}, the data {len(sizes)} of {codec.config.codebook_size} in {layout}; take the codec (and "
            "data.layout) that it was trained with"
        )
    if there.codec_fingerprint not in (None, codec.fingerprint()):
        raise ValueError(
            f"{config.base} writes codes of codec {there.codec_fingerprint}, data.codec is {codec.fingerprint()}"
        )
    added = range(0)
    if vocabulary.text_size > there.text_vocab_size:
        added = add_text_rows(model, vocabulary.text_size)
    for name, value in settings.items():
        setattr(there, name, value)
    model.backbone.set_attn_implementation(config.attention)
    return model, added
