"""The memory of a stage while it decodes: buffers written in place, one column a frame (or a slot).

Owns keys and values of all layers and how many columns are in use. Any Hugging Face base model takes it as its cache.
Knows nothing of frames, masks or sampling. This file travels inside saved model folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, DynamicLayer


class BufferLayer(CacheLayerMixin):
    """Keys and values [B, heads, capacity, width] of one layer; every column is kept, whatever the layer's window."""

    is_compileable = False
    is_sliding = False
    keys: Tensor
    values: Tensor

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Zeros, because a masked column is still multiplied (by 0), and 0 times not-a-number is none."""
        batch, heads, _, width = key_states.shape
        self.keys = key_states.new_zeros(batch, heads, self.capacity, width)
        self.values = value_states.new_zeros(batch, heads, self.capacity, value_states.shape[3])
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write [B, heads, n, width] behind what is there; returns the columns in use, as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[2]
        if end > self.capacity:
            self._grow(max(end, 2 * self.capacity))
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns in use after the next `query_length`, and where they begin."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        """Columns in use."""
        return self.length

    def get_max_length(self) -> int:
        """No limit: buffers grow."""
        return -1

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows [n] only."""
        if self.is_initialized:
            self.keys, self.values = self.keys[rows], self.values[rows]

    def _grow(self, capacity: int) -> None:
        self.capacity = capacity
        self.keys, self.values = (_wider(x, capacity) for x in (self.keys, self.values))


class BufferCache(Cache):
    """The buffers of all layers of a stage."""

    layers: list[BufferLayer]  # type: ignore[assignment]

    def __init__(self, layers: int, capacity: int) -> None:
        super().__init__(layers=[BufferLayer(capacity) for _ in range(layers)])

    def rewind(self) -> None:
        """Forget all columns and keep the memory: the depth decoder starts anew with every frame."""
        for layer in self.layers:
            layer.length = 0

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows [n] only."""
        for layer in self.layers:
            layer.keep(rows)


def buffers(config: PretrainedConfig, capacity: int) -> Cache:
    """The cache of a stage: buffers where all layers attend, else (recurrent layers) what transformers makes."""
    made = DynamicCache(config=config)
    if all(isinstance(layer, DynamicLayer) for layer in made.layers):
        return BufferCache(len(made.layers) or int(config.num_hidden_layers), capacity)
    return made


def prefilled(config: PretrainedConfig, prefix: Sequence[tuple[Tensor, Tensor]], batch: int, capacity: int) -> Cache:
    """`buffers` that hold a prefix of keys and values already: [1 or B, heads, P, width] a layer."""
    cache = buffers(config, capacity)
    if not isinstance(cache, BufferCache) or len(cache.layers) != len(prefix):
        raise ValueError(f"a prefix of {len(prefix)} layers for a backbone of {int(config.num_hidden_layers)}")
    for layer, (keys, values) in zip(cache.layers, prefix, strict=True):
        layer.update(keys.expand(batch, -1, -1, -1), values.expand(batch, -1, -1, -1))
    return cache


def _wider(old: Tensor, capacity: int) -> Tensor:
    new = torch.zeros(*old.shape[:2], capacity, old.shape[3], dtype=old.dtype, device=old.device)
    new[:, :, : old.shape[2]] = old
    return new
