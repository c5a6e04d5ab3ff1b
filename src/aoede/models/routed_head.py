"""The routed head: an output layer that multiplies only the rows a route allows.

Owns the rows of every route, logits on them, and the negative log-likelihood of labels with its gradient, without
ever holding [B, L, V]. Knows nothing of hidden layers, caches or how routes are found.
This file travels inside saved model folders: torch alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK_ELEMENTS = 1 << 24
"""Logits held at a time (positions x rows): 64 MB in float32. Longer work goes chunk by chunk."""

TILE_ROWS = 1 << 13
"""Rows of the weight taken at a time: what is cast, or summed in float32, is this many rows however many there are."""


@dataclass(frozen=True)
class Rows:
    """The legal rows of one route, in ascending order of id."""

    ids: Tensor
    """[R] int64."""

    segments: tuple[tuple[int, int], ...]
    """The same rows as half-open runs of consecutive ids; one run means a plain slice of the weight."""

    @cached_property
    def tiles(self) -> tuple[tuple[int, int, int], ...]:
        """The runs in pieces of at most `TILE_ROWS` rows: (place of the first among the legal rows, start, stop)."""
        found, column = [], 0
        for start, stop in self.segments:
            for at in range(start, stop, TILE_ROWS):
                end = min(at + TILE_ROWS, stop)
                found.append((column, at, end))
                column += end - at
        return tuple(found)

    def take(self, weight: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
        """The runs as views of `weight` ([V, H] or [V]), cast to `dtype` where it differs."""
        return [weight[start:stop].to(dtype or weight.dtype) for start, stop in self.segments]


@dataclass(frozen=True)
class Scaling:
    """What a text model does to its logits after the head: multiply, then cap softly (Gemma 2's tanh)."""

    factor: float = 1.0
    cap: float | None = None

    @classmethod
    def of(cls, text_config: Any) -> Scaling:
        """Read from a text model's configuration (Cohere's and Granite's factors, Gemma's cap)."""
        factor = float(getattr(text_config, "logit_scale", None) or 1.0)
        factor /= float(getattr(text_config, "logits_scaling", None) or 1.0)
        cap = getattr(text_config, "final_logit_softcapping", None)
        return cls(factor, None if cap is None else float(cap))

    def __call__(self, logits: Tensor) -> Tensor:
        if self.factor != 1.0:
            logits = logits * self.factor
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap


def row_logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, rows: Rows, scaling: Scaling) -> Tensor:
    """Logits [N, R] of hidden states [N, H] over `rows`; a single run reads the weight in place."""
    weights = rows.take(weight)
    biases = [None] * len(weights) if bias is None else rows.take(bias)
    parts = [F.linear(hidden, w, b) for w, b in zip(weights, biases, strict=True)]
    return scaling(parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1))


class _RoutedNLL(torch.autograd.Function):
    """Negative log-likelihood a position, tile by tile; the backward pass computes the logits again.

    hidden [N, H] is sorted by group; `groups` lists (rows, start, stop) over it; `columns` [N] is each label's place
    among its rows. Returns nll [N], entropy [N], is_top1 [N] (the last two empty unless asked for). Beside inputs and
    gradients it holds `CHUNK_ELEMENTS` logits and `TILE_ROWS` rows, whatever N and the vocabulary are.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        columns: Tensor,
        groups: Sequence[tuple[Rows, int, int]],
        scaling: Scaling,
        with_stats: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        ctx.groups, ctx.scaling, ctx.dtype, ctx.has_bias = groups, scaling, dtype, bias is not None
        # Over the tiles seen so far: log-sum-exp, the label's score, and for the statistics mean and highest score.
        total = torch.full(hidden.shape[:1], -torch.inf, dtype=torch.float32, device=hidden.device)
        label = torch.zeros_like(total)
        mean, best = (torch.zeros_like(total), total.clone()) if with_stats else (total, total)
        with torch.autocast(device, enabled=False):
            for part, tile, is_whole, _, h, w, b in _chunks(hidden, weight, bias, groups, dtype):
                scores = scaling(F.linear(h, w, b).float())
                if is_whole and not with_stats:
                    nll = F.cross_entropy(scores, columns[part], reduction="none")  # one pass over the scores
                    label[part] = scores.gather(1, columns[part, None])[:, 0]
                    total[part] = label[part] + nll
                    continue
                at, inside = _place(columns[part], tile)
                label[part] += torch.where(inside, scores.gather(1, at[:, None])[:, 0], 0.0)
                here = scores.logsumexp(-1)
                both = torch.logaddexp(total[part], here)
                if with_stats:
                    share = (scores - here[:, None]).exp_()
                    before = mean[part] * (total[part] - both).exp()
                    mean[part] = before + (share * scores).sum(-1) * (here - both).exp()
                    best[part] = torch.maximum(best[part], scores.amax(-1))
                total[part] = both
        ctx.save_for_backward(hidden, weight, columns, total, *([] if bias is None else [bias]))
        if not with_stats:
            return total - label, total.new_empty(0), total.new_empty(0)
        entropy, top1 = total - mean, (label >= best).float()
        ctx.mark_non_differentiable(entropy, top1)
        return total - label, entropy, top1

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, columns, total, *rest = ctx.saved_tensors
        bias = rest[0] if ctx.has_bias else None
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        # Sums over tiles and chunks are kept in float32 where the tensors are narrower.
        grad_hidden = torch.zeros_like(hidden, dtype=_wide(hidden)) if wants_hidden else None
        grad_weight = torch.zeros_like(weight) if wants_weight else None
        grad_bias = torch.zeros_like(bias, dtype=_wide(bias)) if bias is not None and wants_bias else None
        sums: Tensor | None = None
        with torch.autocast(hidden.device.type, enabled=False):
            for part, tile, _, is_last, h, w, b in _chunks(hidden, weight, bias, ctx.groups, ctx.dtype):
                scores = ctx.scaling(F.linear(h, w, b).float())
                # In place, unless the soft cap's own slope needs the scores.
                slope = scores.sub_(total[part, None]) if ctx.scaling.cap is None else scores - total[part, None]
                slope.exp_()
                at, inside = _place(columns[part], tile)
                slope[torch.arange(len(at), device=at.device), at] -= inside.float()
                slope *= grad[part, None]
                if ctx.scaling.cap is not None:
                    slope *= 1 - (scores / ctx.scaling.cap) ** 2
                if ctx.scaling.factor != 1.0:
                    slope *= ctx.scaling.factor
                if grad_bias is not None:
                    grad_bias[tile[1] : tile[2]] += slope.sum(0)
                slope = slope.to(ctx.dtype)
                if grad_hidden is not None:
                    _add_product(grad_hidden[part], slope, w)
                if grad_weight is not None:
                    if _wide(weight) == weight.dtype:
                        _add_product(grad_weight[tile[1] : tile[2]], slope.T, h)
                        continue
                    sums = torch.zeros_like(w, dtype=_wide(weight)) if sums is None else sums
                    _add_product(sums, slope.T, h)
                    if is_last:
                        grad_weight[tile[1] : tile[2]] += sums.to(weight.dtype)
                        sums = None
        return (
            None if grad_hidden is None else grad_hidden.to(hidden.dtype),
            grad_weight,
            None if grad_bias is None or bias is None else grad_bias.to(bias.dtype),
            None, None, None, None,
        )  # fmt: skip


def _wide(tensor: Tensor) -> torch.dtype:
    """What sums over a tensor are kept in: float32 or wider."""
    return torch.promote_types(tensor.dtype, torch.float32)


def _add_product(sums: Tensor, left: Tensor, right: Tensor) -> None:
    """sums += left @ right, in place where the types agree."""
    if left.dtype == sums.dtype:
        sums.addmm_(left, right)
    else:
        sums += left @ right


def _place(columns: Tensor, tile: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Where in a tile each label stands (anywhere, if it does not), and whether it does. [n] both."""
    first, start, stop = tile
    at = columns - first
    inside = (at >= 0) & (at < stop - start)
    return at.clamp(0, stop - start - 1), inside


def _chunks(hidden: Tensor, weight: Tensor, bias: Tensor | None, groups: Any, dtype: torch.dtype) -> Any:
    """Yield (slice of positions, tile, whether it has all rows of its group, whether this is its last slice, hidden,
    weight and bias of them), such that positions x rows is at most CHUNK_ELEMENTS."""
    for rows, start, stop in groups:
        for tile in rows.tiles:
            _, low, high = tile
            w = weight[low:high].to(dtype)
            b = None if bias is None else bias[low:high].to(dtype)
            step = max(1, CHUNK_ELEMENTS // (high - low))
            for at in range(start, stop, step):
                part = slice(at, min(at + step, stop))
                yield part, tile, len(rows.tiles) == 1, part.stop == stop, hidden[part].to(dtype), w, b


class RoutedHead:
    """The rows of every route of a vocabulary, grouped so that slots of one range are multiplied together."""

    def __init__(self, slices: Sequence[tuple[range, ...]], scaling: Scaling) -> None:
        """`slices[r + 1]` are the legal ids of route r as ascending ranges (r = -1 is text mode)."""
        self.scaling = scaling
        keys = list(dict.fromkeys(slices))
        # On the CPU even where a model is being made on the meta device.
        self.groups = [
            Rows(
                torch.cat([torch.arange(r.start, r.stop, device="cpu") for r in key]),
                tuple((r.start, r.stop) for r in key),
            )
            for key in keys
        ]
        self.group_list = [keys.index(key) for key in slices]
        self.group_of = torch.tensor(self.group_list, device="cpu")

    def to(self, device: torch.device) -> RoutedHead:
        """Move the id lists; nothing happens where they are already there."""
        if self.group_of.device != device:
            self.group_of = self.group_of.to(device)
            self.groups = [Rows(rows.ids.to(device), rows.segments) for rows in self.groups]
        return self

    def rows(self, route: int) -> Rows:
        """The legal rows of a route."""
        return self.groups[self.group_list[route + 1]]

    def logits(self, hidden: Tensor, weight: Tensor, bias: Tensor | None, routes: Tensor) -> Tensor:
        """Logits [N, V] of hidden states [N, H] under routes [N]; -inf at ids that are not legal."""
        groups = self.group_of[routes + 1]
        full = hidden.new_full((hidden.shape[0], weight.shape[0]), float("-inf"))
        for g in groups.unique().tolist():
            rows, at = self.groups[g], (groups == g).nonzero().flatten()
            everywhere = len(at) == len(hidden)
            scores = row_logits(hidden if everywhere else hidden[at], weight, bias, rows, self.scaling)
            width = 0
            for start, stop in rows.segments:
                piece = scores[:, width : width + stop - start].to(full.dtype)
                width += stop - start
                if everywhere:
                    full[:, start:stop] = piece
                else:
                    full[at, start:stop] = piece
        return full

    def nll(
        self,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        routes: Tensor,
        labels: Tensor,
        *,
        temperature: float = 1.0,
        with_stats: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Negative log-likelihood of labels under their routes.

        Args:
            hidden: [N, H]; routes, labels: [N] int64.
            temperature: divides the scores before the softmax.
            with_stats: also return the entropy and whether the label scores highest.
        Returns:
            nll [N] float32 (differentiable), entropy [N], is_top1 [N] (empty unless asked for).
        Raises:
            ValueError: a label is not legal under its route (names the first).
        """
        groups = self.group_of[routes + 1]
        order = groups.argsort(stable=True)
        counts = groups.bincount(minlength=len(self.groups)).tolist()
        labels_sorted, columns, spans, start = labels[order], torch.empty_like(labels), [], 0
        for rows, count in zip(self.groups, counts, strict=True):
            if count == 0:
                continue
            wanted = labels_sorted[start : start + count].contiguous()
            found = torch.searchsorted(rows.ids, wanted).clamp_(max=len(rows.ids) - 1)
            if not bool((rows.ids[found] == wanted).all()):
                self._explain(rows, wanted, found, routes[order[start : start + count]])
            columns[start : start + count] = found
            spans.append((rows, start, start + count))
            start += count
        scaling = Scaling(self.scaling.factor / temperature, self.scaling.cap)
        if temperature != 1.0 and self.scaling.cap is not None:
            raise ValueError(f"temperature {temperature} with a soft cap of {self.scaling.cap}: train at temperature 1")
        outputs = _RoutedNLL.apply(hidden[order], weight, bias, columns, spans, scaling, with_stats)
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        return tuple(x[back] if len(x) == len(back) else x for x in outputs)

    @staticmethod
    def _explain(rows: Rows, wanted: Tensor, found: Tensor, routes: Tensor) -> None:
        bad = int((rows.ids[found] != wanted).nonzero()[0])
        legal = ", ".join(f"[{start}, {stop})" for start, stop in rows.segments)
        route = int(routes[bad])
        where = "in text" if route < 0 else f"where slot {route} comes next"
        raise ValueError(
            f"label {int(wanted[bad])} stands {where}, which takes ids of {legal}; labels must equal the input ids at "
            "the same place, or be -100 there"
        )
