"""Frames as a model reads them: which entries count, which frames are there, and where each stands.

Owns the checks of `input_ids` [B, F, S + 1], masks and labels. Column s < S holds the code of slot s, column S a text
id, -1 no entry. Knows nothing of weights. This file travels inside saved model folders.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aoede.models.two_stage.config import TwoStageConfig


def entries(input_ids: Tensor, attention_mask: Tensor | None, config: TwoStageConfig) -> Tensor:
    """Which entries count, [B, F, S + 1] bool: those that are not -1 and not masked.

    Args:
        attention_mask: [B, F, S + 1], [B, F], or [B, past + F], whose last F are read; 0 does not count.
    Raises:
        ValueError: other shapes; a counted code or text id that does not exist (names it and its place).
    """
    width = config.num_slots + 1
    if input_ids.ndim != 3 or input_ids.shape[2] != width:
        raise ValueError(
            f"input_ids are {list(input_ids.shape)}, expected [B, F, {width}]: {width - 1} codes and a text id a frame"
        )
    if input_ids.is_floating_point():
        raise ValueError(f"input_ids are {input_ids.dtype}, expected integers")
    present = input_ids >= 0
    if attention_mask is not None:
        mask = attention_mask.bool()
        if mask.ndim == 2 and mask.shape[0] == input_ids.shape[0] and mask.shape[1] >= input_ids.shape[1]:
            mask = mask[:, mask.shape[1] - input_ids.shape[1] :, None]
        elif mask.shape != input_ids.shape:
            raise ValueError(
                f"attention_mask is {list(attention_mask.shape)}, expected {list(input_ids.shape)} or "
                f"{list(input_ids.shape[:2])}"
            )
        present = present & mask
    legal = torch.tensor([*config.legal_rows, config.text_vocab_size], device=input_ids.device)
    beyond = (present & (input_ids >= legal)) | (input_ids < -1)
    if bool(beyond.any()):
        row, frame, column = (int(i) for i in beyond.nonzero()[0])
        what, where = ("text id", "") if column == width - 1 else ("code", f" of slot {column}")
        raise ValueError(
            f"{what} {int(input_ids[row, frame, column])}{where} in row {row}, frame {frame}: there are "
            f"{int(legal[column])} (0 .. {int(legal[column]) - 1}); codes are the codec's own integers, -1 is no entry"
        )
    return present


def trained_entries(
    input_ids: Tensor | None, labels: Tensor, predictable: Tensor, training_mask: Tensor | None, config: TwoStageConfig
) -> Tensor:
    """Which labels count, [B, F, S] bool.

    Args:
        labels: [B, F, S], equal to `input_ids` where trained, else -100.
        predictable: [B, F] bool, frames that have a frame of their own document before them.
        training_mask: [B, F], 0 at frames of context turns, or None.
    Raises:
        ValueError: other shapes; a label that is not the frame's own code (shifted labels, say), or with a missing code
            before it in its frame.
    """
    batch, frames = predictable.shape
    if labels.shape != (batch, frames, config.num_slots):
        raise ValueError(f"labels are {list(labels.shape)}, expected {[batch, frames, config.num_slots]}")
    trained = (labels != -100) & predictable[..., None]
    if training_mask is not None:
        if training_mask.shape != (batch, frames):
            raise ValueError(f"training_mask is {list(training_mask.shape)}, expected {[batch, frames]}")
        trained = trained & training_mask.bool()[..., None].to(labels.device)
    if input_ids is not None:
        wrong = trained & (labels != input_ids[..., : config.num_slots])
        if bool(wrong.any()):
            row, frame, slot = (int(i) for i in wrong.nonzero()[0])
            raise ValueError(
                f"label {int(labels[row, frame, slot])} of row {row}, frame {frame}, slot {slot} is not that frame's "
                f"code, {int(input_ids[row, frame, slot])}: labels equal input_ids at the same place (the model shifts "
                "them itself), or are -100"
            )
    return trained


def is_right_padded(real: Tensor) -> bool:
    """Whether padding, if any, stands only behind the frames [B, F] of every row."""
    return bool(real[:, 0].all()) and bool((real[:, 1:] <= real[:, :-1]).all())
