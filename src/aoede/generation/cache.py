"""The cache of a session: every row writes at its own place, so rows may start and end at any time.

Owns the buffers of keys, values and states, what each row may look at, and how a row gets in, moves and goes. Knows
nothing of ids, slots or sampling. Transformers' own layers hold a batch that walks in step and concatenate at every
step; these are allocated once and written in place, which is also what a compiled step needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig
from transformers.cache_utils import (
    Cache,
    CacheLayerMixin,
    DummyLayer,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionLayer,
)

_FIRST_CAPACITY = 256


class Cursor:
    """Where the rows of one step write and what they may look at; shared by all layers with the same window."""

    def __init__(self, window: int | None) -> None:
        self.window = window
        self.index: Tensor | None = None  # [n] int64: the column that each row writes
        self.mask: Tensor | None = None  # [n, 1, 1, columns], 0 or the lowest number; None where all is seen
        self.start: int | None = None  # the column, where it is the same for all rows and nothing is compiled
        self.columns = 0


class RowsLayer(CacheLayerMixin):
    """Keys and values [rows, heads, columns, width]; with a window, column p % window holds position p.

    Keys are stored turned, so attention does not ask in which order they lie.
    """

    is_compileable = False
    is_sliding = False
    keys: Any  # a Tensor from the first row on
    values: Any

    def __init__(self, rows: int, cursor: Cursor) -> None:
        super().__init__()
        self.rows, self.cursor = rows, cursor

    def insert(self, source: DynamicLayer, source_row: int, length: int, row: int, capacity: int) -> None:
        """Take over the first `length` positions of one row of a prefilled layer."""
        if not self.is_initialized:
            self.keys, self.values = (self._buffer(x, capacity) for x in (source.keys, source.values))
            self.is_initialized = True
        window = self.cursor.window
        first = 0 if window is None else max(0, length - window)
        for buffer, given in ((self.keys, source.keys), (self.values, source.values)):
            if first == 0:
                buffer[row, :, :length] = given[source_row, :, :length]
            else:
                assert window is not None
                columns = torch.arange(first, length, device=buffer.device) % window
                buffer[row][:, columns] = given[source_row, :, first:length]

    def reserve(self, capacity: int) -> None:
        """Room for so many positions."""
        if self.is_initialized:
            self.keys, self.values = (self._grown(x, capacity) for x in (self.keys, self.values))

    def move(self, row: int, to: int, length: int) -> None:
        """Give a row another place; what was there is overwritten."""
        self.keys[to, :, :length] = self.keys[row, :, :length]
        self.values[to, :, :length] = self.values[row, :, :length]

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write one position a row, [n, heads, 1, width]; returns the columns in use, as views."""
        n, cursor = key_states.shape[0], self.cursor
        if cursor.start is not None:
            self.keys[:n, :, cursor.start : cursor.start + 1] = key_states
            self.values[:n, :, cursor.start : cursor.start + 1] = value_states
            columns = cursor.columns
        else:
            assert cursor.index is not None and cursor.mask is not None
            every = torch.arange(n, device=key_states.device)
            self.keys[every, :, cursor.index] = key_states[:, :, 0]
            self.values[every, :, cursor.index] = value_states[:, :, 0]
            columns = cursor.mask.shape[-1]  # a shape, so that a compiled step may take it as a variable
        return self.keys[:n, :, :columns], self.values[:n, :, :columns]

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        raise AssertionError("rows are inserted, not initialised")

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns in use and where they begin."""
        return self.cursor.columns, 0

    def get_seq_length(self) -> int:
        """Columns in use before this step's."""
        return self.cursor.columns - 1

    def get_max_length(self) -> int:
        """No limit: buffers grow."""
        return -1

    def _columns(self, capacity: int) -> int:
        return capacity if self.cursor.window is None else min(capacity, self.cursor.window)

    def _buffer(self, like: Tensor, capacity: int) -> Tensor:
        # Zeros, because a column that is masked is still multiplied (by 0), and 0 times not-a-number is none.
        return like.new_zeros(self.rows, like.shape[1], self._columns(capacity), like.shape[3])

    def _grown(self, old: Tensor, capacity: int) -> Tensor:
        if self._columns(capacity) <= old.shape[2]:
            return old
        buffer = self._buffer(old, capacity)
        buffer[:, :, : old.shape[2]] = old
        return buffer


class RowsStateLayer(LinearAttentionLayer):
    """States of a layer that keeps no positions (Mamba's convolution and scan), one a row."""

    def __init__(self, rows: int, number_of_states: int) -> None:
        super().__init__(number_of_states=number_of_states)
        self.rows = rows
        self.buffers: dict[tuple[str, int], Tensor] = {}

    def insert(self, source: LinearAttentionLayer, source_row: int, length: int, row: int, capacity: int) -> None:
        """Take over the states of one row of a prefilled layer."""
        for name in ("conv_states", "recurrent_states"):
            for number, state in getattr(source, name).items():
                if state is None:
                    continue
                if (name, number) not in self.buffers:
                    self.buffers[name, number] = state.new_zeros(self.rows, *state.shape[1:])
                self.buffers[name, number][row] = state[source_row]
        for number in range(self.number_of_states):
            self.conv_kernel_size[number] = source.conv_kernel_size[number]
            self.has_previous_state[number] = True
            self.is_conv_states_initialized[number] = source.is_conv_states_initialized[number]
            self.is_recurrent_states_initialized[number] = source.is_recurrent_states_initialized[number]
        self.device, self.dtype = source.device, source.dtype

    def reserve(self, capacity: int) -> None:
        """Nothing: states have no positions."""

    def move(self, row: int, to: int, length: int) -> None:
        """Give a row another place."""
        for buffer in self.buffers.values():
            buffer[to] = buffer[row]

    def show(self, n: int) -> None:
        """Let the model see, and write in place, the first `n` rows."""
        for (name, number), buffer in self.buffers.items():
            getattr(self, name)[number] = buffer[:n]


class _NoLayer(DummyLayer):
    """A layer without a memory."""

    def insert(self, *args: Any) -> None: ...
    def reserve(self, capacity: int) -> None: ...
    def move(self, row: int, to: int, length: int) -> None: ...


class RowsCache(Cache):
    """The cache of so many rows, each with its own length."""

    layers: list[Any]

    def __init__(self, config: PretrainedConfig, rows: int, *, is_compiled: bool = False) -> None:
        """Empty buffers for a text model's configuration.

        Raises:
            ValueError: a model whose layers or attention cannot take rows of different lengths (names what).
        """
        self.is_compiled = is_compiled
        self.attention = str(getattr(config, "_attn_implementation", None) or "sdpa")
        if self.attention not in ("sdpa", "eager"):
            raise ValueError(
                f"attention {self.attention!r} takes no mask for each row; load the model with "
                "attn_implementation='sdpa' (or 'eager')"
            )
        self.cursors: dict[int | None, Cursor] = {}
        kinds = DynamicCache(config=config).layers
        types = list(getattr(config, "layer_types", None) or [])
        if "chunked_attention" in types:
            raise ValueError("attention in chunks cannot be decoded row by row; use a model with windows or full rows")
        super().__init__(layers=[self._layer(kind, rows) for kind in kinds])
        self.has_states = any(isinstance(layer, RowsStateLayer) for layer in self.layers)
        if is_compiled and self.has_states:
            raise ValueError(
                "a compiled step needs attention in every layer, and this model keeps states; backend=None"
            )
        self._types: dict[str, Cursor | None] = {}
        for name, layer in zip(types, self.layers, strict=False):
            if not isinstance(layer, _NoLayer):
                self._types[name] = layer.cursor if isinstance(layer, RowsLayer) else None
        self.capacity = 0

    def prefill_layers(self) -> list[Any]:
        """Layers of an ordinary cache that keeps every position, to read prompts with."""
        return [
            DynamicLayer()
            if isinstance(layer, RowsLayer)
            else LinearAttentionLayer(number_of_states=layer.number_of_states)
            if isinstance(layer, RowsStateLayer)
            else DummyLayer()
            for layer in self.layers
        ]

    def reserve(self, capacity: int) -> None:
        """Room for rows of so many ids; doubles, so that growing costs little in all."""
        if capacity > self.capacity:
            self.capacity = max(capacity, 2 * self.capacity, _FIRST_CAPACITY)
            for layer in self.layers:
                layer.reserve(self.capacity)

    def insert(self, source: Cache, source_row: int, length: int, row: int) -> None:
        """Take over one row of a prefilled cache of `prefill_layers`."""
        for layer, given in zip(self.layers, source.layers, strict=True):
            layer.insert(given, source_row, length, row, self.capacity)

    def move(self, row: int, to: int, length: int) -> None:
        """Give a row of so many ids another place."""
        for layer in self.layers:
            layer.move(row, to, length)

    def place(self, lengths: Sequence[int], device: torch.device, dtype: torch.dtype) -> Any:
        """Prepare a step of the first rows, which hold so many ids each.

        Returns:
            the `attention_mask` for the backbone: None, [n, 1, 1, columns], or one a kind of layer.
        """
        at = torch.tensor(lengths, device=device)
        for window, cursor in self.cursors.items():
            cursor.columns = max(lengths) + 1 if window is None else min(max(lengths) + 1, window)
            cursor.index = at if window is None else at % window
            is_uniform = min(lengths) == max(lengths) and not self.is_compiled
            cursor.start = lengths[0] % (window or lengths[0] + 1) if is_uniform else None
            cursor.mask = None if is_uniform else self._mask(at, cursor.columns, dtype)
            if self.is_compiled:
                torch._dynamo.mark_dynamic(cursor.mask, 3)
        for layer in self.layers:
            if isinstance(layer, RowsStateLayer):
                layer.show(len(lengths))
        if len(self._types) > 1:
            return {name: None if cursor is None else cursor.mask for name, cursor in self._types.items()}
        for cursor in self.cursors.values():  # one, or none where every layer keeps a state
            if cursor.mask is None and cursor.window is not None:
                return self._mask(at, cursor.columns, dtype)  # so that transformers does not make a window of its own
            return cursor.mask
        return None

    @staticmethod
    def _mask(at: Tensor, columns: int, dtype: torch.dtype) -> Tensor:
        """[n, 1, 1, columns]: the columns a row has written, this step's among them."""
        unseen = torch.arange(columns, device=at.device) > at[:, None]
        return torch.zeros(unseen.shape, dtype=dtype, device=at.device).masked_fill_(unseen, torch.finfo(dtype).min)[
            :, None, None
        ]

    def _layer(self, kind: Any, rows: int) -> Any:
        if type(kind) is DynamicSlidingWindowLayer:
            return RowsLayer(rows, self._cursor(int(kind.sliding_window)))
        if type(kind) is DynamicLayer:
            return RowsLayer(rows, self._cursor(None))
        if type(kind) is LinearAttentionLayer:
            return RowsStateLayer(rows, kind.number_of_states)
        if type(kind) is DummyLayer:
            return _NoLayer()
        raise ValueError(f"a cache layer of kind {type(kind).__name__} cannot be decoded row by row")

    def _cursor(self, window: int | None) -> Cursor:
        return self.cursors.setdefault(window, Cursor(window))
