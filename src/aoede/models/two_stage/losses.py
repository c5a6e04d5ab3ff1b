"""The losses of a two-stage model: slot 0 over all trained frames, the other slots over those that are drawn.

Owns what `forward` returns, which frames the depth decoder computes, and what is averaged over what. Knows nothing of
weights. This file travels inside saved model folders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.utils import ModelOutput

from aoede.models.two_stage.amortization import draw_frames

if TYPE_CHECKING:
    from aoede.models.two_stage.model import TwoStageModel


@dataclass
class TwoStageOutput(ModelOutput):
    """What `TwoStageModel.forward` returns."""

    loss: Tensor | None = None
    """backbone_loss + depth_loss_weight * depth_loss."""

    backbone_loss: Tensor | None = None
    """Mean negative log-likelihood of slot 0 over the trained frames."""

    depth_loss: Tensor | None = None
    """Mean negative log-likelihood of the other slots over the frames the depth decoder was trained on."""

    backbone_logits: Tensor | None = None
    """[B, F, V0] scores of slot 0 of the *next* frame; -inf at rows that are not legal."""

    depth_logits: Tensor | None = None
    """[N, S - 1, V] scores of slots 1.. of the N frames of `depth_frames`; -inf at rows that are not legal."""

    slot_losses: Tensor | None = None
    """[S] mean negative log-likelihood of each slot over the entries it was trained on here; no gradient."""

    slot_counts: Tensor | None = None
    """[S] int64: these entries, to average `slot_losses` over batches."""

    depth_frames: Tensor | None = None
    """[B, F] bool: the frames the depth decoder was trained on, in the order of `depth_logits`."""

    past_key_values: Any = None


def add_losses(
    model: TwoStageModel,
    result: TwoStageOutput,
    hidden: Tensor,
    codes: Tensor,
    labels: Tensor,
    trained: Tensor,
    amortization: Tensor | None,
    num_items: Tensor | int | None,
) -> None:
    """Fill in both losses, those of the slots, the depth logits and the frames they are of.

    Args:
        hidden: [B, F, H]; codes: [B, F, S + 1], what the depth decoder reads inside a frame; labels: [B, F, S].
        trained: [B, F, S] bool, the labels that count.
        amortization, num_items: as in `TwoStageModel.forward`.
    Raises:
        ValueError: amortization of another shape.
    """
    first, rest = trained[..., 0], trained[..., 1:].any(-1)
    chosen = rest
    if amortization is not None:
        if amortization.shape != rest.shape:
            raise ValueError(f"amortization is {list(amortization.shape)}, expected {list(rest.shape)}")
        chosen = rest & amortization.bool().to(rest.device)
    elif model.training and model.config.amortization_ratio > 1:
        chosen = draw_frames(rest, model.config.amortization_ratio)
    rows, places = first.nonzero(as_tuple=True)
    if result.backbone_logits is None:
        scores = model.slot0_logits(hidden[rows, places - 1])
    else:
        scores = result.backbone_logits[rows, places - 1]
    first_nll = F.cross_entropy(scores.float(), labels[rows, places, 0], reduction="none")
    backbone_sum = first_nll.sum()  # of no frames it is 0, and still gives both modules a gradient
    rows, places = chosen.nonzero(as_tuple=True)
    targets = labels[rows, places].masked_fill(~trained[rows, places], -100)[:, 1:]
    if len(rows):
        logits = model.depth_logits(hidden[rows, places - 1], codes[rows, places, : model.config.num_slots])
        rest_nll = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
        depth_sum = rest_nll.sum()
        result.depth_logits = logits
    else:
        # The stage stays in the graph: of several processes each must send a gradient for it.
        stage = [*model.depth_decoder.parameters(), *model.projection.parameters(), model.depth_heads]
        depth_sum = torch.stack([p.float().sum() * 0.0 for p in stage]).sum()
        rest_nll = torch.zeros(targets.numel(), device=hidden.device)
    n_first, n_rest, n_drawn = int(first.sum()), int(trained[..., 1:].sum()), int((targets != -100).sum())
    if num_items is None:
        result.backbone_loss = backbone_sum / max(n_first, 1)
        result.depth_loss = depth_sum / max(n_drawn, 1)
    else:
        # Of all trained entries each stage has the share it has here; with whole frames that is exact.
        share = (n_first + n_rest) / num_items
        result.backbone_loss = backbone_sum / max(n_first, 1) * share
        result.depth_loss = depth_sum / max(n_drawn, 1) * share
    result.depth_frames = chosen
    result.slot_counts = torch.cat([first.sum()[None], (targets != -100).sum(0)])
    slot_sums = torch.cat([first_nll.detach().sum()[None], rest_nll.detach().view(targets.shape).sum(0)])
    result.slot_losses = slot_sums / result.slot_counts.clamp(min=1)
    result.loss = result.backbone_loss + model.config.depth_loss_weight * result.depth_loss
