"""A session: rows that start and end at any time, each in its own slot, one id a step for all of them.

Owns the rows (join, step, leave), the read of prompts, and the order of a step: what was drawn last is read by the
backbone, the head multiplies the rows of each range that somebody stands at, every row draws. Knows nothing of text,
codecs, files or who asks. `engine.py` opens sessions and checks requests.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache

from aoede.generation.cache import RowsCache
from aoede.generation.guidance import guided
from aoede.generation.requests import Request, Step, TextRequest, check, prompt_ids, room, unguided
from aoede.generation.row import Row
from aoede.generation.sampling import Sampling, number
from aoede.models import CodecCausalLM
from aoede.models.sampling import choose
from aoede.tokens.router import TEXT


class Session:
    """Rows of one model that are decoded together; `Engine.open` makes one.

    What a row gives depends on its request alone, whoever comes and goes beside it (its numbers differ in the rounding
    of larger products). A session is used from one thread; sessions of one model do not disturb each other.
    """

    def __init__(
        self,
        model: CodecCausalLM,
        rows: int,
        sampling: Sampling,
        capacity: int | None = None,
        compiled: Callable[..., Tensor] | None = None,
        guided: bool = False,
    ) -> None:
        if rows < 1:
            raise ValueError(f"a session of {rows} rows; at least 1 is needed")
        self.model, self.size, self.sampling = model, rows, sampling
        self.most_rows = 2 * rows if guided else rows
        """With the shadows of guided requests."""
        self._compiled = compiled
        # A compiled step writes into buffers, which inference tensors forbid outside their mode.
        self._mode = torch.inference_mode if compiled is None else torch.no_grad
        self._open(capacity)
        vocabulary = model.vocabulary
        self._starts = [vocabulary.range_of(slot).start for slot in range(vocabulary.num_slots)]
        self._groups = {route: group[0] for group in model.router.groups for route in group}
        self._rows: list[Row] = []  # those whose prompt alone was read stand last
        self._num_fresh = 0
        self._next = 0
        self._was_training = model.training
        model.eval()

    # -- coming and going ---------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Rows that are being decoded."""
        return sum(not row.is_shadow for row in self._rows)

    @property
    def free(self) -> int:
        """Rows that may join."""
        return self.size - len(self)

    def join(self, request: Request | TextRequest) -> int:
        """Add a row and read its prompt; its first steps come with the next `step`.

        Returns:
            the row's number, which its steps carry; never given twice.
        Raises:
            ValueError: no free row, or a request that cannot be answered.
        """
        return self.join_all([request])[0]

    def join_all(self, requests: Sequence[Request | TextRequest]) -> list[int]:
        """Add rows whose prompts are read in one pass where the model allows it; see `join`."""
        if len(requests) > self.free:
            raise ValueError(
                f"{len(requests)} requests for {self.free} free rows of {self.size}; wait for rows to end, let some "
                "leave, or open a session of more rows"
            )
        for place, request in enumerate(requests, self._next):
            check(self.model, place, request)
        if not requests:
            return []
        pairs = [
            (i, request) for i, request in enumerate(requests) if isinstance(request, Request) and request.is_guided
        ]
        if pairs and len(self._rows) + len(requests) + len(pairs) > self.most_rows:
            raise ValueError("guided requests take two rows each: open the session with guided=True")
        everything = [*requests, *(unguided(request) for _, request in pairs)]
        prompts = [prompt_ids(self.model, request) for request in everything]
        limits = [room(self.model, request) for request in everything]
        with self._mode():
            self._begin(everything, prompts, limits)
        rows = self._rows[-len(everything) :]
        for (i, _), shadow in zip(pairs, rows[len(requests) :], strict=True):
            rows[i].shadow, shadow.is_shadow = shadow, True
        return [row.number for row in rows[: len(requests)]]

    def leave(self, number: int) -> None:
        """Give a row up before its end.

        Raises:
            ValueError: no such row (it may have ended).
        """
        for row in self._rows:
            if row.number == number and not row.is_shadow:
                self._take_out(row)
                return
        raise ValueError(f"no row {number} is being decoded; it has ended, or never joined")

    def close(self) -> None:
        """Give all rows up and leave the model as it was found."""
        self._rows, self._num_fresh = [], 0
        self.model.train(self._was_training)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- decoding -----------------------------------------------------------------------------------------------

    def step(self, only: Collection[int] | None = None) -> list[Step]:
        """One id for every row.

        Args:
            only: numbers of the rows that go on, the others stand still; only a `RowSession` can do that.
        Returns:
            the frames that are finished now, the text ids, the rows that ended: in the order in which the rows joined.
        Raises:
            ValueError: rows that cannot stand still.
        """
        rows = self._rows if only is None else self._some(only)
        if not rows:
            return []
        with self._mode():
            chosen = self._choose(rows, self._read(rows))
        # Outside the mode: what is told belongs to the caller, as ordinary tensors.
        return sorted(self._tell(rows, chosen), key=lambda step: step.row)

    # -- what a session of another kind does in its own way -----------------------------------------------------

    def _open(self, capacity: int | None) -> None:
        """Make room."""
        self.cache = RowsCache(self.model.model.config, self.most_rows, is_compiled=self._compiled is not None)
        if capacity is not None:
            self.cache.reserve(capacity)

    def _begin(self, requests: Sequence[Request | TextRequest], prompts: list[list[int]], limits: list[int]) -> None:
        """Read prompts and add their rows."""
        slots = self.model.vocabulary.num_slots
        for request, prompt, limit in zip(requests, prompts, limits, strict=True):
            self.cache.reserve(len(prompt) + limit * (slots if isinstance(request, Request) else 1) + 1)
        # States cannot be padded: their prompts are read one by one.
        parts = [[i] for i in range(len(requests))] if self.cache.has_states else [list(range(len(requests)))]
        for part in parts:
            self._prefill([requests[i] for i in part], [prompts[i] for i in part], [limits[i] for i in part])

    def _some(self, only: Collection[int]) -> list[Row]:
        """The rows of these numbers."""
        if set(only) != {row.number for row in self._rows if not row.is_shadow}:
            raise ValueError("rows of this session walk in step: step all of them")
        return self._rows

    def _logits(self, hidden: Tensor, route: int) -> tuple[Tensor, Tensor]:
        """As `CodecCausalLM.routed_logits`."""
        return self.model.routed_logits(hidden, route)

    def _prefill(self, requests: Sequence[Request | TextRequest], prompts: list[list[int]], limits: list[int]) -> None:
        """Read prompts, padded on the right: causal attention never looks there, and only what is real is kept."""
        model, device = self.model, self.model.device
        width = max(len(prompt) for prompt in prompts)
        ids = torch.tensor([prompt + [prompt[-1]] * (width - len(prompt)) for prompt in prompts], device=device)
        settings: dict[str, Any] = {}
        own = model.config.text_stride
        if own is not None:
            strides = [float(own) if request.text_stride is None else request.text_stride for request in requests]
            settings["text_stride"] = torch.tensor(strides, device=device)
        source = Cache(layers=self.cache.prefill_layers())
        hidden, _ = model.hidden_states(ids, past_key_values=source, use_cache=True, **settings)
        for index, (request, prompt, limit) in enumerate(zip(requests, prompts, limits, strict=True)):
            self.cache.insert(source, index, len(prompt), len(self._rows))
            self._add(request, prompt, limit, hidden[index, len(prompt) - 1].clone())
            self._num_fresh += 1

    def _add(self, request: Request | TextRequest, prompt: list[int], limit: int, hidden: Tensor) -> Row:
        """A row whose prompt was read."""
        state = self.model.row_state(torch.tensor([prompt]))
        row = Row(
            number=self._next,
            request=request,
            sampling=request.sampling or self.sampling,
            limit=limit,
            route=int(state.route),
            length=len(prompt),
            position=len(prompt),
            read=0,
            hidden=hidden,
            generator=torch.Generator().manual_seed(request.seed),
        )
        if self.model.config.text_stride is not None:
            assert state.spoken is not None and state.read is not None
            row.position, row.read = int(state.spoken), int(state.read)
        self._rows.append(row)
        self._next += 1
        return row

    def _read(self, rows: list[Row]) -> Tensor:
        """Hidden states [n, H] of rows: what was drawn last goes through the backbone, new rows have theirs."""
        count = len(self._rows) - self._num_fresh
        fresh = [row.hidden for row in self._rows[count:] if row.hidden is not None]
        for row in self._rows[count:]:
            row.hidden = None
        self._num_fresh = 0
        if count == 0:
            return torch.stack(fresh)
        rows = self._rows[:count]
        ids, positions = [row.pending for row in rows], [self._position(row) for row in rows]
        lengths = [row.length for row in rows]
        if self._compiled is not None:
            # Always the same shape: rows that are new or idle write where nothing is read, or is written anew.
            spare = [row.length for row in self._rows[count:]] + [0] * (self.most_rows - len(self._rows))
            ids, positions, lengths = ids + [0] * len(spare), positions + [0] * len(spare), lengths + spare
        device = self.model.device
        mask = self.cache.place(lengths, device, self.model.dtype)
        forward = self._compiled or backbone_step
        hidden = forward(
            self.model.model,
            torch.tensor(ids, device=device)[:, None],
            torch.tensor(positions, device=device)[:, None],
            mask,
            self.cache,
        )[:count]
        for row in rows:
            self._advance(row)
        return torch.cat([hidden, torch.stack(fresh)]) if fresh else hidden

    def _advance(self, row: Row) -> None:
        """What was drawn last has been read."""
        row.length += 1
        row.position += row.route != TEXT or self.model.config.text_stride is None
        row.read += row.route == TEXT

    def _position(self, row: Row) -> int:
        """Position of the id that is read now; text under parallel positions keeps its stride (models/positions.py)."""
        own = self.model.config.text_stride
        if own is None or row.route != TEXT:
            return row.position
        stride = own if row.request.text_stride is None else row.request.text_stride
        return row.position + round(float(np.float32(row.read) * np.float32(stride)))

    def _choose(self, everybody: list[Row], hidden: Tensor) -> list[int]:
        """One id a row: a product for each range and way of drawing that occurs."""
        parts: dict[tuple[int, Sampling], list[int]] = {}
        places = {row.number: index for index, row in enumerate(everybody)}
        for index, row in enumerate(everybody):
            if row.is_shadow:
                continue
            parts.setdefault((self._groups[row.route], row.sampling), []).append(index)
            if row.sampling.temperature > 0 and row.uniform is None:
                row.uniform = number(row.generator)
        chosen = [0] * len(everybody)
        vocabulary = self.model.vocabulary
        for (route, sampling), members in parts.items():
            rows = [everybody[index] for index in members]
            shadows = [places[row.shadow.number] for row in rows if row.shadow is not None]
            read = [*members, *shadows]
            states = hidden if read == list(range(len(hidden))) else hidden[torch.tensor(read, device=hidden.device)]
            logits, ids = self._logits(states, route)
            if shadows:
                at = [place for place, row in enumerate(rows) if row.shadow is not None]
                logits = guided(logits[: len(rows)], logits[len(rows) :], at, [rows[i].guidance for i in at])
            if route == TEXT:
                logits = logits.masked_fill(ids == vocabulary.open_id, -torch.inf)
            elif route == 0 and not all(row.may_close for row in rows):
                barred = torch.tensor([not row.may_close for row in rows], device=logits.device)
                logits = logits.masked_fill((ids == vocabulary.close_id) & barred[:, None], -torch.inf)
            numbers = [row.uniform for row in rows if row.uniform is not None]
            drawn = ids[choose(logits, sampling, torch.cat(numbers) if numbers else None)].tolist()
            for index, row, token in zip(members, rows, drawn, strict=True):
                chosen[index] = token
                if row.shadow is not None:
                    chosen[places[row.shadow.number]] = token
        return chosen

    def _tell(self, rows: list[Row], chosen: list[int]) -> list[Step]:
        """Move every row on by what it drew."""
        steps, ended = [], []
        for row, token in zip(rows, chosen, strict=True):
            row.pending, row.uniform = token, None
            if row.is_shadow:
                continue
            told = self._text(row, token) if isinstance(row.request, TextRequest) else self._slot(row, token)
            steps += told
            if row.shadow is not None:
                row.shadow.route = row.route
            if told and told[-1].end is not None:
                ended.append(row)
        for row in reversed(ended):
            self._take_out(row)
        return steps

    def _slot(self, row: Row, token: int) -> list[Step]:
        if row.route == 0:
            if token == self.model.vocabulary.close_id:
                return [Step(row.number, end="closed")]
            if row.count >= row.limit:
                return [Step(row.number, end="cut")]
        row.frame.append(token - self._starts[row.route])
        row.route = (row.route + 1) % len(self._starts)
        if row.route:
            return []
        frame, row.frame = torch.tensor(row.frame), []
        row.count += 1
        return [Step(row.number, frame=frame)]

    def _text(self, row: Row, token: int) -> list[Step]:
        assert isinstance(row.request, TextRequest)
        if token in row.request.stop_ids:
            return [Step(row.number, end="closed")]
        row.count += 1
        told = [Step(row.number, token=token)]
        return [*told, Step(row.number, end="cut")] if row.count >= row.limit else told

    def _take_out(self, row: Row) -> None:
        """Take a row out, and its shadow."""
        if row.shadow is not None:
            self._remove(self._rows.index(row.shadow))
        self._remove(self._rows.index(row))

    def _remove(self, index: int) -> None:
        """Take a row out; the last one takes its place, and new rows stay last."""
        settled = len(self._rows) - self._num_fresh
        if index < settled:
            self._move(settled - 1, index)
            index = settled - 1
        else:
            self._num_fresh -= 1
        self._move(len(self._rows) - 1, index)
        self._rows.pop()

    def _move(self, index: int, to: int) -> None:
        if index != to:
            with self._mode():
                self.cache.move(index, to, self._rows[index].length)
            self._rows[to] = self._rows[index]


def backbone_step(backbone: Any, ids: Tensor, positions: Tensor, mask: Any, cache: Cache) -> Tensor:
    """One id a row, [n, 1], through a backbone: hidden states [n, H]. What `Engine(backend=...)` compiles."""
    outputs = backbone(
        input_ids=ids, position_ids=positions, attention_mask=mask, past_key_values=cache, use_cache=True
    )
    hidden: Tensor = outputs.last_hidden_state[:, -1]
    return hidden
