"""Where the rows of a batch stand: routes, parallel positions, and the state carried from chunk to chunk.

Owns the row state and its place on a key-value cache. Knows nothing of weights. `router.py` has the grammar and
`positions.py` the clock; this joins them. This file travels inside saved model folders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aoede.models.positions import parallel_positions
from aoede.tokens.router import SlotRouter


@dataclass(frozen=True, kw_only=True)
class RowState:
    """Where every row of a batch stands: what the next chunk of ids needs to know of the ids before it."""

    route: Tensor
    """[B] int64, the router's state: -1 in text, s >= 0 where slot s comes next."""

    spoken: Tensor | None
    """[B] int64, ids of audio spans seen so far (markers included, padding not); None where not counted."""

    read: Tensor | None
    """[B] int64, text ids seen since the row began or since its last closing marker; None where not counted."""

    @classmethod
    def initial(cls, batch: int, device: torch.device | None = None) -> RowState:
        """Rows that have seen nothing: text mode, no counts."""
        zero = torch.zeros(batch, dtype=torch.long, device=device)
        return cls(route=zero - 1, spoken=zero, read=zero)

    def repeat(self, batch: int) -> RowState:
        """This state for `batch` rows; a state of one row is given to all.

        Raises:
            ValueError: another number of rows.
        """
        if self.route.shape[0] == batch:
            return self
        if self.route.shape[0] != 1:
            raise ValueError(f"a state of {self.route.shape[0]} rows does not fit a batch of {batch} rows")
        counts = (None if count is None else count.expand(batch) for count in (self.spoken, self.read))
        return RowState(route=self.route.expand(batch), spoken=next(counts), read=next(counts))


class RowTracker:
    """Follows the ids of a vocabulary."""

    def __init__(self, router: SlotRouter) -> None:
        self.router = router

    def advance(
        self,
        ids: Tensor,
        real: Tensor | None,
        state: RowState,
        stride: Tensor | None,
        *,
        starts: Tensor | None = None,
        strict: bool = False,
    ) -> tuple[Tensor, Tensor | None, RowState]:
        """Read a chunk of ids.

        Args:
            ids: [B, L]; real: [B, L] bool, False at padding, or None.
            stride: [B], positions a text id; None: positions are not asked for, and nothing is counted.
            starts: [B, L] bool, where packed documents begin (`packing.py`), or None; not together with a stride.
            strict: refuse illegal ids.
        Returns:
            routes [B, L] of the ids that follow, positions [B, L] or None, and the state after.
        Raises:
            ValueError: positions after a chunk that was not counted, or of packed rows.
        """
        if starts is not None and stride is not None:
            raise ValueError("text_stride sets the positions itself: pad rows instead of packing them by position_ids")
        routes, route = self.router.advance(ids, state.route, attention_mask=real, starts=starts, strict=strict)
        if stride is None:
            return routes, None, RowState(route=route, spoken=None, read=None)
        if state.spoken is None or state.read is None:
            raise ValueError("text_stride is given, but the ids before were read without one; give it from the start")
        vocabulary = self.router.vocabulary
        in_span = torch.cat([state.route[:, None], routes[:, :-1]], 1) >= 0
        in_span |= ids == vocabulary.open_id
        closes = ids == vocabulary.close_id
        positions, spoken, read = parallel_positions(in_span, closes, real, stride, state.spoken, state.read)
        return routes, positions, RowState(route=route, spoken=spoken, read=read)

    def state_after(self, ids: Tensor, real: Tensor | None, *, strict: bool = False) -> RowState:
        """Where fresh rows stand after ids [B, L] (L may be 0)."""
        start = RowState.initial(ids.shape[0], ids.device)
        if ids.shape[1] == 0:
            return start
        ones = torch.ones(ids.shape[0], device=ids.device)  # the counts do not depend on the stride
        return self.advance(ids, real, start, ones, strict=strict)[2]


def remember(cache: Any, seen: int, state: RowState) -> None:
    """Keep a state on a cache that holds `seen` positions."""
    cache.aoede_rows = (seen, state)


def recall(cache: Any, past: int, batch: int, device: torch.device) -> RowState:
    """The state kept on a cache that holds `past` positions; fresh rows where it holds none.

    Raises:
        ValueError: the cache was filled, cut or reordered by somebody else.
    """
    if past == 0:
        return RowState.initial(batch, device)
    seen, state = getattr(cache, "aoede_rows", (None, None))
    if seen != past or state is None or state.route.shape[0] not in (1, batch):
        raise ValueError(
            f"this cache holds {past} positions, but not where their rows stand (seen: {seen}); pass row_state, or "
            "fill the cache through this model's forward"
        )
    return state
