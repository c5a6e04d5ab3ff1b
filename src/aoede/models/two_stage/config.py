"""The configuration of a two-stage model: two Hugging Face configurations and the slots of a frame.

Owns what `config.json` says and checks it, where each slot's rows begin, and what a stop frame looks like. Knows
nothing of weights: `model.py` builds the model from it. This file travels inside saved model folders.
"""

from __future__ import annotations

import copy
from typing import Any

from transformers import AutoConfig, PretrainedConfig

STOPS = ("zeros", "row")


class TwoStageConfig(PretrainedConfig):
    """Configuration of `TwoStageModel`.

    Attributes:
        backbone, depth_decoder: configurations of the two transformers (any HF base model that takes embeddings); their
            own vocabularies are not used and shrink to one row.
        slot_sizes: legal codes of each slot of a frame, such as [2048] * 32 (Mimi) or [4096] * 7 (SNAC 24 kHz).
        slot_rows: rows of each slot in embedding and heads, where a checkpoint has more than there are codes (the
            public CSM has 2,051 for 2,048); the extra rows are never legal. None: as many as are needed.
        slot_tables: the table of rows that each slot uses, such as [0, 1, 2, 2, 1, 2, 2] where SNAC's levels come back
            within a frame: slots with one number share rows in the embedding (beside a vector of each slot) and in the
            depth decoder's heads. Numbered as they first come; slot 0 shares with none. None: rows for each slot.
        slot_gains: shared rows are also multiplied by 1 + a vector of each slot. A frame is a sum, which stays as it is
            where two of its codes with one table change places; with gains the backbone hears their order.
        text_vocab_size: rows of the text embedding.
        stop: "zeros": a turn ends with a frame whose codes are all 0; "row": with one more row of slot 0, for codecs
            where all zeros is a frame like any other.
        amortization_ratio: in training, the depth decoder sees one of so many frames (see `amortized_frames`).
        depth_loss_weight: loss = backbone_loss + depth_loss_weight * depth_loss.
        text_stride: None: frames stand at 0, 1, 2, ...; a number: parallel positions (see `clock.py`), where text frame
            i of a turn stands where the turn's code number i * text_stride does (codes a text id).
        layout: the pattern of a `FrameLayout` that makes these frames, or None.
        codec_fingerprint, sample_rate, frame_rate: of the codec (Hz), for those who decode the frames.
        csm: what the configuration of a CSM of transformers says beyond this (its processor's ids, its codec), kept to
            be written back; or None.
    """

    model_type = "aoede_two_stage"
    sub_configs = {"backbone": AutoConfig, "depth_decoder": AutoConfig}  # noqa: RUF012
    # HF's Trainer stacks what evaluation returns: one shape a row, so backbone_logits alone.
    keys_to_ignore_at_inference = [  # noqa: RUF012
        "backbone_loss", "depth_loss", "depth_logits", "slot_losses", "slot_counts", "depth_frames", "past_key_values",
    ]  # fmt: skip

    backbone: Any = None
    depth_decoder: Any = None
    slot_sizes: list[int] | None = None
    slot_rows: list[int] | None = None
    slot_tables: list[int] | None = None
    slot_gains: bool = False
    text_vocab_size: int = 0
    stop: str = "zeros"
    amortization_ratio: int = 1
    depth_loss_weight: float = 1.0
    text_stride: float | None = None
    layout: Any = None
    codec_fingerprint: str | None = None
    sample_rate: int | None = None
    frame_rate: float | None = None
    initializer_range: float = 0.02
    csm: Any = None
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        self.backbone = _stage(self.backbone, "backbone")
        self.depth_decoder = _stage(self.depth_decoder, "depth_decoder")
        if self.backbone is not None and getattr(self.backbone, "_attn_implementation", None):
            # The base class sets this on sub-configurations too; without it, it would be erased there.
            kwargs.setdefault("attn_implementation", self.backbone._attn_implementation)
        if self.slot_sizes is not None:
            self._check()
        super().__post_init__(**kwargs)

    def _check(self) -> None:
        assert self.slot_sizes is not None
        self.slot_sizes = [int(size) for size in self.slot_sizes]
        if len(self.slot_sizes) < 2 or min(self.slot_sizes) < 1:
            raise ValueError(
                f"slot_sizes is {self.slot_sizes}; a two-stage model needs two slots or more, each above 0"
            )
        if self.stop not in STOPS:
            raise ValueError(
                f"stop is {self.stop!r}; it is 'zeros' (a frame of zeros) or 'row' (one more row of slot 0)"
            )
        needed = [size + (1 if slot == 0 and self.stop == "row" else 0) for slot, size in enumerate(self.slot_sizes)]
        if self.slot_rows is None:
            self.slot_rows = needed
        self.slot_rows = [int(rows) for rows in self.slot_rows]
        if len(self.slot_rows) != len(needed) or any(
            have < want for have, want in zip(self.slot_rows, needed, strict=True)
        ):
            raise ValueError(f"slot_rows is {self.slot_rows}, but the slots need {needed} rows")
        self._check_tables()
        if self.text_vocab_size < 1:
            raise ValueError(f"text_vocab_size is {self.text_vocab_size}; give the rows of the tokenizer")
        if self.amortization_ratio < 1:
            raise ValueError(f"amortization_ratio is {self.amortization_ratio}; 1 trains every frame, 16 one of 16")

    def _check_tables(self) -> None:
        if self.slot_tables is None:
            if self.slot_gains:
                raise ValueError("slot_gains is for slots that share rows: give slot_tables, or leave it out")
            return
        assert self.slot_sizes is not None and self.slot_rows is not None
        tables = self.slot_tables = [int(table) for table in self.slot_tables]
        seen = list(dict.fromkeys(tables))
        if len(tables) != len(self.slot_sizes) or seen != list(range(len(seen))) or 0 in tables[1:]:
            raise ValueError(
                f"slot_tables is {tables}; give each of {len(self.slot_sizes)} slots a table, numbered 0, 1, ... as "
                "they first come, with slot 0's for itself"
            )
        for slot, table in enumerate(tables):
            first = tables.index(table)
            alike = self.slot_sizes[slot] == self.slot_sizes[first] and self.slot_rows[slot] == self.slot_rows[first]
            if not alike:
                raise ValueError(f"slots {first} and {slot} share table {table}, but not their sizes: give one its own")

    @property
    def num_slots(self) -> int:
        """Codes in a frame, S."""
        return len(self.slot_sizes or ())

    @property
    def slot_offsets(self) -> list[int]:
        """Where each slot's rows begin in the audio embedding; one more than slots, the last is their number."""
        total, begins = 0, dict[int, int]()
        for table, rows in zip(self.tables, self.slot_rows or (), strict=True):
            if table not in begins:
                begins[table] = total
                total += rows
        return [*(begins[table] for table in self.tables), total]

    @property
    def tables(self) -> list[int]:
        """The table of rows of each slot, [S]; the depth decoder's heads are numbered one less."""
        return list(range(self.num_slots)) if self.slot_tables is None else self.slot_tables

    @property
    def legal_rows(self) -> list[int]:
        """Rows of each slot that may be drawn: its codes, and in slot 0 the stop row where there is one."""
        sizes = list(self.slot_sizes or ())
        return [size + (1 if slot == 0 and self.stop == "row" else 0) for slot, size in enumerate(sizes)]

    @property
    def stop_frame(self) -> list[int]:
        """Codes [S] of the frame that ends a turn, as `input_ids` have it; -1 is no entry.

        As labels, an entry of -1 is -100.
        """
        if self.stop == "zeros":
            return [0] * self.num_slots
        assert self.slot_sizes is not None
        return [self.slot_sizes[0]] + [-1] * (self.num_slots - 1)

    @property
    def vocab_size(self) -> int:
        """Rows of the text embedding."""
        return self.text_vocab_size

    @property
    def hidden_size(self) -> int:
        """Width of the backbone."""
        return int(self.backbone.hidden_size)

    @property
    def num_hidden_layers(self) -> int:
        """Layers of the backbone."""
        return int(self.backbone.num_hidden_layers)


def _stage(given: Any, name: str) -> Any:
    """A stage's configuration without a vocabulary of its own."""
    if given is None:
        return None
    if isinstance(given, dict):
        fields = dict(given)
        kind = fields.pop("model_type", None)
        if kind is None:
            raise ValueError(f"{name} has no model_type; write the one of the transformer, such as 'llama'")
        given = AutoConfig.for_model(kind, **fields)
    else:
        given = copy.deepcopy(given)  # the caller's own stays as it is
    given.vocab_size = 1
    given.pad_token_id = given.bos_token_id = given.eos_token_id = None
    given.tie_word_embeddings = False
    return given
