"""Packed rows: several documents in one row, told apart by positions that start again at 0.

Owns where documents begin, and what keeps them apart in a backbone: its attention, and the state of recurrent layers.
Knows nothing of weights, losses or how rows are filled. This file travels inside saved model folders: torch alone.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

RECURRENT_LAYERS = frozenset({"linear_attention", "mamba", "mamba2", "conv", "recurrent", "hybrid", "hybrid_sliding"})
"""Names in a configuration's `layer_types` of layers that carry a state from id to id."""

TAKES_SEQ_IDX = frozenset({"nemotron_h"})
"""Text models whose kernels start the state anew where the argument `seq_idx` changes (read in their code)."""


def document_starts(position_ids: Tensor, batch: int, real: Tensor | None) -> Tensor | None:
    """Where documents begin behind others.

    Args:
        position_ids: [B, L] or [1, L].
        real: [B, L] bool, False at padding, where an attention mask is given.
    Returns:
        [B, L] bool, False in the first column; None where no row is packed.
    Raises:
        ValueError: packed rows with an attention mask; positions that jump elsewhere than to 0.
    """
    positions = position_ids.expand(batch, -1)
    breaks = positions[:, 1:] != positions[:, :-1] + 1
    if real is not None:
        # With a mask positions are only positions, and transformers would let one document look at another.
        _refuse(
            breaks & (positions[:, 1:] == 0) & real[:, 1:] & real[:, :-1],
            "position_ids start again at 0 in row {row}, place {place}, and an attention_mask is given: packed rows "
            "take none; leave attention_mask out, and give padding positions of its own from 0",
        )
        return None
    wrong, late = breaks & (positions[:, 1:] != 0), positions[:, 0] != 0
    # One look at the device for all three.
    is_packed, has_jumps, begins_late = torch.stack([breaks.any(), wrong.any(), late.any()]).tolist()
    if not is_packed:
        return None
    if has_jumps:
        _refuse(
            wrong,
            "position_ids jump in row {row}, place {place}: they go up by 1, or start again at 0 with a document; "
            "positions with gaps need an attention_mask, which says that the row is not packed",
        )
    if begins_late:
        raise ValueError(
            f"packed rows begin at position 0, with a document; one begins at {int(positions[:, 0].max())}"
        )
    return F.pad(breaks, (1, 0))


def is_recurrent(backbone: Any) -> bool:
    """Whether a backbone carries a state from id to id, which a mask cannot cut."""
    layers = getattr(backbone.config, "layer_types", None) or ()
    return bool(getattr(backbone, "_is_stateful", False)) or any(layer in RECURRENT_LAYERS for layer in layers)


def only_padding_follows(ids: Tensor, starts: Tensor) -> bool:
    """Whether every row [B, L] is one document and then padding: one id over and over, which nobody reads."""
    behind = starts.cumsum(1) > 0
    return bool((starts.sum(1) <= 1).all()) and bool(((ids == ids[:, -1:]) | ~behind).all())


def state_arguments(model_type: str, ids: Tensor, starts: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
    """What a recurrent backbone must be told so that no state crosses into the next document.

    Args:
        model_type: of the text model; starts: [B, L] bool.
        labels: [B, L], -100 where untrained, or None.
    Returns:
        Nothing for rows of one document and padding, else `seq_idx` [B, L] int32.
    Raises:
        ValueError: rows that would leak, on this device or in this model.
    """
    behind = starts.cumsum(1)
    untrained = labels is None or not bool(((labels != -100) & (behind > 0)).any())
    if untrained and only_padding_follows(ids, starts):
        return {}
    if model_type not in TAKES_SEQ_IDX or ids.device.type != "cuda":
        kernels = model_type in TAKES_SEQ_IDX
        remedy = " or train on CUDA with the packages mamba-ssm and causal-conv1d" if kernels else ""
        raise ValueError(
            f"packed rows would leak: the recurrent layers of {model_type} carry their state from one document into "
            f"the next on {ids.device.type}; put one document in a row (one_document_a_row: true in a mixture){remedy}"
        )
    return {"seq_idx": behind.to(torch.int32)}


def as_one_row(ids: Tensor, position_ids: Tensor, arguments: dict[str, Any]) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Packed rows [B, L] end to end as one row [1, B * L]: each begins at position 0, so they stay apart."""
    batch, length = ids.shape
    arguments = dict(arguments)
    if "seq_idx" in arguments:  # numbers of documents, which count on from row to row
        offset = torch.arange(batch, device=ids.device, dtype=torch.int32)[:, None] * length
        arguments["seq_idx"] = (arguments["seq_idx"] + offset).reshape(1, -1)
    return ids.reshape(1, -1), position_ids.expand(batch, -1).reshape(1, -1), arguments


def shifted(
    hidden: Tensor, routes: Tensor, starts: Tensor | None, labels: Tensor | None, shift_labels: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states, routes and labels by the place that predicts.

    Args:
        hidden: [B, L, H]; routes, labels or shift_labels, starts: [B, L].
    Returns:
        the same over L - 1 places (L for `shift_labels`), with no label where another document's first id follows.
    """
    if shift_labels is None:
        assert labels is not None
        hidden, routes, shift_labels = hidden[:, :-1], routes[:, :-1], labels[:, 1:]
    if starts is not None:
        ends = F.pad(starts, (0, 1))[:, 1 : shift_labels.shape[1] + 1]
        shift_labels = shift_labels.masked_fill(ends.to(shift_labels.device), -100)
    return hidden, routes, shift_labels


def _refuse(wrong: Tensor, message: str) -> None:
    if bool(wrong.any()):
        row, place = (int(i) for i in wrong.nonzero()[0])
        raise ValueError(message.format(row=row, place=place + 1))
