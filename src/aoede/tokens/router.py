"""The slot router: which ids may come next, at every position of every row.

Owns the slot grammar: text, open marker, frames slot by slot, close marker at slot 0 only. It runs over whole sequences
at once or chunk by chunk, gives the legal rows of each route to a routed head, and masks or stops an ordinary HF
`generate`. Knows nothing of models. Needs torch only; saved model folders carry a copy of this file.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from aoede.tokens.layout import as_integers
from aoede.tokens.vocabulary import CodecVocabulary

TEXT = -1
"""The state, and the route, of text mode."""


class SlotRouter:
    """The state machine of a codec vocabulary, vectorised over rows and positions.

    A row's state is -1 in text, or the slot that comes next in audio. The route of a position is the state before
    the id that stands there:

    - route -1: text rows and the open marker;
    - route 0: the range of slot 0 and the close marker;
    - route s > 0: the range of slot s.
    """

    def __init__(self, vocabulary: CodecVocabulary) -> None:
        self.vocabulary = vocabulary
        self._allowed: dict[int, Tensor] = {}
        self._tables: dict[torch.device, Tensor] = {}

    def initial(self, batch: int, device: torch.device | str | None = None) -> Tensor:
        """The state of `batch` rows before their first id: text. [B] int64."""
        return torch.full((batch,), TEXT, dtype=torch.long, device=device)

    def advance(
        self,
        ids: Any,
        state: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        starts: Tensor | None = None,
        strict: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Read ids and say what may follow each.

        Chunk by chunk, carrying the state, equals all at once.

        Args:
            ids: [B, L] (or [L], one row).
            state: [B], what the last call returned; None is text in every row.
            attention_mask: [B, L], 0 where an id is padding: those are not read and keep the state.
            starts: [B, L] bool, the first id of a document packed behind another: it stands in text, whether or not the
                document before it closed its span.
            strict: raise at an illegal id. Otherwise markers act wherever they stand, and any other id inside an
                audio span takes up one slot.
        Returns:
            routes [B, L] int64, routes[:, t] being the route of the id that follows ids[:, t]; and the state [B].
        Raises:
            ValueError: shapes that do not fit, or with `strict` an illegal id (names row, position in this chunk, id,
                slot and what was expected).
        """
        ids = as_integers(ids, "ids")
        if ids.ndim == 1:
            ids = ids[None]
        if ids.ndim != 2:
            raise ValueError(f"ids are {list(ids.shape)}, expected [B, L]")
        batch, length = ids.shape
        state = self.initial(batch, ids.device) if state is None else state.to(ids.device)
        if state.shape != (batch,):
            raise ValueError(f"the state is {list(state.shape)}, but ids have {batch} rows; expected [{batch}]")
        if length == 0:
            return ids.clone(), state
        if attention_mask is None:
            is_real = torch.ones_like(ids, dtype=torch.bool)
        else:
            is_real = torch.as_tensor(attention_mask, device=ids.device).bool()
            if is_real.shape != ids.shape:
                raise ValueError(f"attention_mask is {list(is_real.shape)}, but ids are {list(ids.shape)}")

        # One number says where the last marker stood and what it was: 3 * index, plus 2 for an open marker, 1 for a
        # close marker, 0 for a document that begins before the id there. The carried state is a marker before the
        # chunk: slot s is an open marker s ids before its first.
        index = is_real.cumsum(1) - 1
        is_open = (ids == self.vocabulary.open_id) & is_real
        is_close = (ids == self.vocabulary.close_id) & is_real
        before = torch.where(state < 0, -3, 3 * (-1 - state) + 2)[:, None]
        marker = torch.where(is_open | is_close, 3 * index + 1 + is_open, before)
        if starts is not None:
            if starts.shape != ids.shape:
                raise ValueError(f"starts is {list(starts.shape)}, but ids are {list(ids.shape)}")
            marker = torch.where(starts, torch.maximum(marker, 3 * (index + ~is_real)), marker)
        marker = marker.cummax(1).values
        since = index - torch.div(marker, 3, rounding_mode="floor")
        routes = torch.where(marker % 3 == 2, since % self.vocabulary.num_slots, TEXT)
        if starts is not None:
            routes[:, :-1].masked_fill_(starts[:, 1:], TEXT)
        if strict:
            self._check(ids, torch.cat([state[:, None], routes[:, :-1]], dim=1), is_real)
        return routes, routes[:, -1]

    def walk(self, state: int, ids: Iterable[int]) -> int:
        """The state of one row after more ids, without tensors; as `advance(strict=False)`.

        Args:
            state: -1 in text, or the slot that comes next.
        """
        open_id, close_id, slots = self.vocabulary.open_id, self.vocabulary.close_id, self.vocabulary.num_slots
        for token in ids:
            if token == open_id:
                state = 0
            elif token == close_id:
                state = TEXT
            elif state >= 0:
                state = (state + 1) % slots
        return state

    def allowed(self, route: int) -> Tensor:
        """The legal ids of a route, ascending: [R] int64 on the CPU.

        Raises:
            ValueError: no such route.
        """
        if route not in self._allowed:
            self._allowed[route] = torch.cat([torch.arange(r.start, r.stop) for r in self.slices(route)])
        return self._allowed[route]

    def slices(self, route: int) -> tuple[range, ...]:
        """The legal ids of a route as the fewest intervals, ascending: rows of a head as views, without a copy."""
        self._expect_routes(route)
        vocabulary = self.vocabulary
        if route == TEXT:
            cuts = sorted({m for m in (vocabulary.open_id, vocabulary.close_id) if m < vocabulary.text_size})
            edges = [-1, *cuts, vocabulary.text_size]
            pieces = [range(a + 1, b) for a, b in pairwise(edges)]
            pieces.append(range(vocabulary.open_id, vocabulary.open_id + 1))
        else:
            pieces = [vocabulary.range_of(route)]
            if route == 0:
                pieces.append(range(vocabulary.close_id, vocabulary.close_id + 1))
        merged: list[range] = []
        for piece in sorted((p for p in pieces if len(p)), key=lambda p: p.start):
            if merged and merged[-1].stop == piece.start:
                merged[-1] = range(merged[-1].start, piece.stop)
            else:
                merged.append(piece)
        return tuple(merged)

    @property
    def routes(self) -> range:
        """All routes: -1 (text), then 0 .. S-1."""
        return range(TEXT, self.vocabulary.num_slots)

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Routes that share their legal ids, e.g. ((-1,), (0,), (1, 4), (2, 3, 5, 6)): one product each suffices."""
        groups: dict[tuple[range, ...], list[int]] = {}
        for route in self.routes:
            groups.setdefault(self.slices(route), []).append(route)
        return tuple(tuple(members) for members in groups.values())

    def mask(self, routes: Any) -> Tensor:
        """Which ids are legal on each route: bool [..., V] for routes [...], V = the vocabulary's size."""
        routes = as_integers(routes, "routes")
        if routes.numel():
            self._expect_routes(int(routes.min()), int(routes.max()))
        return self._table(routes.device)[routes + 1]

    def logits_processor(self, *, pad_id: int | None = None) -> SlotLogitsProcessor:
        """A logits processor for HF `generate` that masks every illegal id; see `SlotLogitsProcessor`."""
        return SlotLogitsProcessor(self, pad_id=pad_id)

    def stopping_criteria(self) -> SlotStoppingCriteria:
        """A stopping criterion for HF `generate`: a row is done at its closing marker."""
        return SlotStoppingCriteria(self)

    def _expect_routes(self, *routes: int) -> None:
        for route in routes:
            if route not in self.routes:
                raise ValueError(f"there is no route {route}; routes are {TEXT} .. {self.routes.stop - 1}")

    def _table(self, device: torch.device) -> Tensor:
        if device not in self._tables:
            table = torch.zeros(self.vocabulary.num_slots + 1, self.vocabulary.size, dtype=torch.bool)
            for route in self.routes:
                for ids in self.slices(route):
                    table[route + 1, ids.start : ids.stop] = True
            self._tables[device] = table.to(device)
        return self._tables[device]

    def _check(self, ids: Tensor, routes: Tensor, is_real: Tensor) -> None:
        size = self.vocabulary.size
        legal = self._table(ids.device)[routes + 1, ids.clamp(0, size - 1)] & (ids >= 0) & (ids < size)
        wrong = ~legal & is_real
        if wrong.any():
            row, position = (int(i) for i in wrong.nonzero()[0])
            token, route = int(ids[row, position]), int(routes[row, position])
            raise ValueError(
                f"row {row}, position {position}: id {token} is {self.vocabulary.describe(token)}, "
                f"but {self.expected(route)}"
            )

    def expected(self, route: int) -> str:
        """What a route takes, in words, for messages."""
        vocabulary = self.vocabulary
        if route == TEXT:
            return f"no audio span is open: text or the open marker, {vocabulary.open_id}, was expected"
        words = f"slot {route} takes {vocabulary.describe_slot(route)}"
        return words + (f" or the close marker, {vocabulary.close_id}" if route == 0 else "")


class SlotLogitsProcessor:
    """Masks the logits of every id the grammar does not allow, in HF `generate` (greedy, sampling, beams).

    It reads all ids at every step, so reordered beams need no bookkeeping. The prompt is checked strictly; after it,
    rows that are finished may hold any padding.
    """

    def __init__(self, router: SlotRouter, *, pad_id: int | None = None) -> None:
        """Make one for a router.

        Args:
            router: whose grammar.
            pad_id: the left padding of the prompts; needed only where that id is not text (a marker, say).
        """
        self.router = router
        self.pad_id = pad_id
        self._length = -1

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Mask one step.

        Args:
            input_ids: [B, L], prompt and what was generated.
            scores: [B, V], logits of the next id.
        Returns:
            [B, V], -inf at the illegal ids.
        Raises:
            ValueError: an illegal prompt, or a head with fewer rows than the vocabulary.
        """
        size = self.router.vocabulary.size
        if scores.shape[-1] < size:
            raise ValueError(
                f"the model's head has {scores.shape[-1]} rows, but the vocabulary has {size}; "
                "resize the model's embeddings, or give it the vocabulary it was trained with"
            )
        is_real = None if self.pad_id is None else (input_ids != self.pad_id).cumsum(1) > 0
        is_prompt = input_ids.shape[1] != self._length + 1
        self._length = input_ids.shape[1]
        try:
            _, state = self.router.advance(input_ids, attention_mask=is_real, strict=is_prompt)
        except ValueError as error:
            raise ValueError(
                f"{error} (in the prompt; if this is padding, name it: logits_processor(pad_id=...))"
            ) from error
        legal = torch.nn.functional.pad(self.router.mask(state), (0, scores.shape[-1] - size))
        return scores.masked_fill(~legal, -torch.inf)


class SlotStoppingCriteria:
    """A row is done when its last id is the closing marker.

    HF `generate` pads finished rows of a batch with `pad_token_id`, which must be set. Beam search takes no stop rule
    by row: give it `eos_token_id=vocabulary.close_id` instead.
    """

    def __init__(self, router: SlotRouter) -> None:
        """Make one for a router."""
        self.close_id = router.vocabulary.close_id
        self.eos_token_id = torch.tensor([self.close_id])  # by this attribute HF knows that rows end one by one

    def __call__(self, input_ids: Tensor, scores: Any = None, **kwargs: Any) -> Tensor:
        """Which rows of input_ids [B, L] are done: [B] bool."""
        return input_ids[:, -1] == self.close_id
