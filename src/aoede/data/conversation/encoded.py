"""One conversation as frames, and several as a batch: padded side by side, or packed in rows.

Owns `EncodedConversation`, padding and packing. Frames [F, S + 1] hold S codes or a text id, -1 where there is no
entry; labels [F, S] equal the codes where they are trained, else -100. Knows nothing of texts or sounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

IGNORED = -100
"""Label of what is not trained."""

NO_ENTRY = -1
"""What stands in a frame's columns that do not count."""

Side = Literal["left", "right"]


@dataclass(frozen=True, kw_only=True)
class EncodedConversation:
    """One conversation as a model reads it."""

    frames: Tensor
    """[F, S + 1] int64."""

    labels: Tensor
    """[F, S] int64."""

    turns: tuple[tuple[int, int], ...] = ()
    """Text frames and audio frames (the stop frame included) of each turn that is there."""

    name: str = ""
    dropped_turns: int = 0
    """Oldest turns that were left out because the rest would not have fitted."""

    dropped_trained: int = 0
    """How many of them were trained."""

    note: str = ""
    """The same in words; empty where nothing was dropped."""

    @property
    def num_frames(self) -> int:
        return self.frames.shape[0]

    @property
    def num_trained(self) -> int:
        """Frames with a label, stop frames included."""
        return int((self.labels != IGNORED).any(-1).sum())


class ConversationBatch(dict[str, Tensor]):
    """What a model is called with: `input_ids` [B, F, S + 1], `attention_mask` of the same shape, `labels` [B, F, S],
    and `position_ids` [B, F] of packed rows."""

    def __init__(self, tensors: Mapping[str, Tensor], rows: Sequence[Sequence[EncodedConversation]] = ()) -> None:
        super().__init__(tensors)
        self.rows = [list(row) for row in rows]
        """The conversations of each row, in order."""

    @property
    def dropped_turns(self) -> list[int]:
        """Of each conversation, the oldest turns that did not fit."""
        return [item.dropped_turns for row in self.rows for item in row]

    @property
    def notes(self) -> list[str]:
        """What was dropped, in words; empty where everything fitted."""
        return [item.note for row in self.rows for item in row if item.note]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> ConversationBatch:
        return ConversationBatch({name: x.to(device, non_blocking=non_blocking) for name, x in self.items()}, self.rows)


def padded(items: Sequence[EncodedConversation], side: Side = "left", *, labels: bool = True) -> ConversationBatch:
    """Conversations side by side, one a row, padded to the longest.

    Args:
        side: where the padding stands; generation wants it on the left.
        labels: False leaves them out.
    Raises:
        ValueError: none given, or frames of different widths.
    """
    _check(items)
    if side not in ("left", "right"):
        raise ValueError(f"padding side is {side!r}; it is left or right")
    batch = _batch([[item] for item in items], max(item.num_frames for item in items), side)
    if not labels:
        del batch["labels"]
    return batch


def packed(
    items: Sequence[EncodedConversation], max_frames: int, rows: Sequence[Sequence[int]] | None = None
) -> ConversationBatch:
    """Conversations one behind the other in rows; positions begin again at 0 in each, so that none sees another.

    Padding, if any, stands behind, with positions of its own.

    Args:
        max_frames: a row holds no more.
        rows: which items stand in which row, from `fill_rows` (the default).
    Raises:
        ValueError: none given, or one that is longer than a row.
    """
    _check(items)
    chosen = fill_rows([item.num_frames for item in items], max_frames) if rows is None else rows
    laid = [[items[index] for index in row] for row in chosen]
    width = max(sum(item.num_frames for item in row) for row in laid)
    if width > max_frames:
        raise ValueError(f"a row of {width} frames, above max_frames={max_frames}")
    batch = _batch(laid, width, "right")
    positions = torch.zeros((len(laid), width), dtype=torch.int64)
    for number, row in enumerate(laid):
        lengths = [item.num_frames for item in row]
        lengths.append(width - sum(lengths))
        positions[number] = torch.cat([torch.arange(length) for length in lengths])
    batch["position_ids"] = positions
    return batch


def fill_rows(lengths: Sequence[int], max_frames: int) -> list[list[int]]:
    """Which items stand in which row: the longest first, each in the first row with room; rows and items in order.

    Raises:
        ValueError: an item longer than a row.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if lengths[index] > max_frames:
            raise ValueError(
                f"conversation {index} has {lengths[index]} frames, a row takes {max_frames}; truncate it (max_frames=)"
            )
        place = next((number for number, left in enumerate(room) if left >= lengths[index]), None)
        if place is None:
            rows.append([])
            room.append(max_frames)
            place = len(rows) - 1
        rows[place].append(index)
        room[place] -= lengths[index]
    return sorted(sorted(row) for row in rows)


def _check(items: Sequence[EncodedConversation]) -> None:
    if not items:
        raise ValueError("no conversations to make a batch of")
    widths = {item.frames.shape[1] for item in items}
    if len(widths) > 1:
        raise ValueError(f"frames of {sorted(widths)} columns in one batch; they come from different layouts")


def _batch(rows: Sequence[Sequence[EncodedConversation]], width: int, side: Side) -> ConversationBatch:
    columns = rows[0][0].frames.shape[1]
    input_ids = torch.full((len(rows), width, columns), NO_ENTRY, dtype=torch.int64)
    labels = torch.full((len(rows), width, columns - 1), IGNORED, dtype=torch.int64)
    for number, row in enumerate(rows):
        at = width - sum(item.num_frames for item in row) if side == "left" else 0
        for item in row:
            input_ids[number, at : at + item.num_frames] = item.frames
            labels[number, at : at + item.num_frames] = item.labels
            at += item.num_frames
    mask = (input_ids != NO_ENTRY).to(torch.int64)
    return ConversationBatch({"input_ids": input_ids, "attention_mask": mask, "labels": labels}, rows)
