"""The two stages while they decode: a transformer with its memory, fed some columns at a time.

Owns the step itself, in two ways that agree within rounding: any Hugging Face base model through its own `forward`, and
Llama by a shorter way over the same modules (half the time of a small step, which goes into calls), which can be
compiled. Knows nothing of frames or sampling. This file travels inside saved model folders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaModel, PreTrainedModel

from aoede.models.two_stage.cache import BufferCache, buffers, prefilled
from aoede.models.two_stage.products import MOST_COPIED, of_modules

Prefix = Sequence[tuple[Tensor, Tensor]]

_TABLE_ROPES = ("default", "linear", "llama3", "yarn")
"""Rotary embeddings whose angles do not depend on how long the row becomes."""


class Stage:
    """A base model and its memory: B rows of columns, in the order they were run."""

    rows: int
    length: int

    def run(self, embeds: Tensor, positions: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Read columns.

        Args:
            embeds: [B, n, H].
            positions: [B, n], where they stand; None: `length` onwards.
            mask: [B, length + n] bool, the columns that may be seen; None: all.
        Returns:
            [B, n, H] hidden states.
        """
        raise NotImplementedError

    def rewind(self) -> None:
        """Forget the columns and keep the memory."""
        raise NotImplementedError

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows [n] only."""
        raise NotImplementedError


def open_stage(
    model: PreTrainedModel, rows: int, capacity: int, prefix: Prefix | None = None, *, packs: bool = True
) -> Stage:
    """The fastest stage that a model allows, with room for `capacity` columns.

    Args:
        prefix: (keys, values) [1 or B, heads, P, width] of each layer, columns that are there already.
        packs: False where the stage is to be compiled.
    Raises:
        ValueError: a prefix that does not fit the model.
    """
    if prefix is not None and len(prefix) != int(model.config.num_hidden_layers):
        raise ValueError(f"a prefix of {len(prefix)} layers for a model of {model.config.num_hidden_layers}")
    if LlamaStage.takes(model):
        return LlamaStage(model, rows, capacity, prefix, packs=packs)
    return ModelStage(model, rows, capacity, prefix)


class ModelStage(Stage):
    """Any base model, through its own `forward`."""

    def __init__(self, model: PreTrainedModel, rows: int, capacity: int, prefix: Prefix | None) -> None:
        if model.training and any(getattr(module, "gradient_checkpointing", False) for module in model.modules()):
            # transformers drops the cache there, and every frame would forget those before it.
            raise ValueError(
                "this model trains with checkpointed activations: call eval() before generating, train() after"
            )
        self.model, self.rows, self.capacity, self.length = model, rows, capacity, 0
        if prefix is None:
            self.cache = buffers(model.config, capacity)
        else:
            self.cache = prefilled(model.config, prefix, rows, capacity)
            self.length = int(self.cache.get_seq_length())

    def run(self, embeds: Tensor, positions: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        end = self.length + embeds.shape[1]
        if positions is None:
            positions = torch.arange(self.length, end, device=embeds.device).expand(self.rows, -1)
        if mask is None and embeds.shape[1] > 1:
            mask = torch.ones(self.rows, end, dtype=torch.bool, device=embeds.device)
        outputs = self.model(
            inputs_embeds=embeds,
            attention_mask=None if mask is None else mask.long(),
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        )
        self.length = end
        return outputs.last_hidden_state

    def rewind(self) -> None:
        if isinstance(self.cache, BufferCache):
            self.cache.rewind()
        else:
            self.cache = buffers(self.model.config, self.capacity)
        self.length = 0

    def keep(self, rows: Tensor) -> None:
        if isinstance(self.cache, BufferCache):
            self.cache.keep(rows)
        else:
            self.cache.reorder_cache(rows)  # what beams do; it takes fewer rows, too
        self.rows = len(rows)


class LlamaStage(Stage):
    """Llama, over its own modules (adapters on them count) or copies of their weights (as they are when it is opened),
    with one buffer of keys and values a layer."""

    def __init__(
        self, model: PreTrainedModel, rows: int, capacity: int, prefix: Prefix | None, *, packs: bool = True
    ) -> None:
        llama: Any = model
        config: Any = model.config
        self.model = llama
        self.rows, self.length, self.capacity = rows, 0, 0
        self.heads, self.groups = int(config.num_attention_heads), int(config.num_key_value_heads)
        self.width = int(llama.layers[0].self_attn.head_dim)
        weight: Tensor = llama.norm.weight
        self.dtype, self.device = weight.dtype, weight.device
        self.layers = list(llama.layers)[: config.num_hidden_layers]
        copies = sum(parameter.numel() for parameter in model.parameters()) <= MOST_COPIED
        self.products = []
        for layer in self.layers:
            inner, mlp = layer.self_attn, layer.mlp
            together = ([inner.q_proj, inner.k_proj, inner.v_proj], [inner.o_proj], [mlp.gate_proj, mlp.up_proj])
            self.products.append(
                [of_modules(part, rows, copies=copies, packs=packs) for part in (*together, [mlp.down_proj])]
            )
        self.cos = self.sin = torch.zeros(0, self.width, dtype=self.dtype, device=self.device)
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self._grow(capacity)
        if prefix is not None:
            self._load(prefix)

    @staticmethod
    def takes(model: PreTrainedModel) -> bool:
        """Whether a model is Llama as transformers has it, with angles that a table holds."""
        if type(model) is not LlamaModel or str(model.config._attn_implementation) not in ("sdpa", "eager"):
            return False
        rope = model.rotary_emb
        return str(getattr(rope, "rope_type", "default")) in _TABLE_ROPES and str(model.config.hidden_act) == "silu"

    def run(self, embeds: Tensor, positions: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        count = embeds.shape[1]
        start, end = self.length, self.length + count
        if end > self.capacity:
            self._grow(max(end, 2 * self.capacity))
        if positions is None:
            cos, sin = self.cos[start:end], self.sin[start:end]
        else:
            if len(self.cos) <= (most := int(positions.max())):  # positions with gaps run ahead of the columns
                self._angles(2 * most)
            cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        seen = None
        if mask is not None or (count > 1 and start > 0):
            seen = torch.ones(count, end, dtype=torch.bool, device=embeds.device).tril_(start)[None, None]
            if mask is not None:
                # A padded column sees itself, or its softmax would have nothing to add up.
                own = torch.eye(count, end, dtype=torch.bool, device=embeds.device).roll(start, 1)
                seen = (seen & mask[:, None, None, :end]) | own
        is_causal = seen is None and count > 1
        states = embeds
        for number in range(len(self.layers)):
            keys, values = self.keys[number], self.values[number]

            def remember(k: Tensor, v: Tensor, keys: Tensor = keys, values: Tensor = values) -> tuple[Tensor, Tensor]:
                keys[:, :, start:end] = k
                values[:, :, start:end] = v
                return keys[:, :, :end], values[:, :, :end]

            states = self._layer(number, states, cos, sin, remember, seen, is_causal)
        self.length = end
        return self._norm(self.model.norm, states)

    def run_at(self, embeds: Tensor, index: Tensor) -> Tensor:
        """`run` for compiling: writes at columns `index` [n] and sees those up to each; shapes never change.

        `length` is not kept; rows [B, n, H] start at column 0 with every frame.
        """
        columns = torch.arange(self.capacity, device=index.device)
        seen = (columns <= index[:, None])[None, None]
        cos, sin = self.cos[index], self.sin[index]
        states = embeds
        for number in range(len(self.layers)):
            keys, values = self.keys[number], self.values[number]

            def remember(k: Tensor, v: Tensor, keys: Tensor = keys, values: Tensor = values) -> tuple[Tensor, Tensor]:
                return keys.index_copy_(2, index, k), values.index_copy_(2, index, v)

            states = self._layer(number, states, cos, sin, remember, seen, False)
        return self._norm(self.model.norm, states)

    def rewind(self) -> None:
        self.length = 0

    def keep(self, rows: Tensor) -> None:
        self.keys, self.values = [k[rows] for k in self.keys], [v[rows] for v in self.values]
        self.rows = len(rows)

    # -- the parts ----------------------------------------------------------------------------------------------

    def _layer(
        self,
        number: int,
        states: Tensor,
        cos: Tensor,
        sin: Tensor,
        remember: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
        seen: Tensor | None,
        is_causal: bool,
    ) -> Tensor:
        layer, count, heads, groups = self.layers[number], states.shape[1], self.heads, self.groups
        turn_in, turn_out, widen, narrow = self.products[number]
        inner = turn_in(self._norm(layer.input_layernorm, states))
        inner = inner.view(self.rows, count, heads + 2 * groups, self.width).transpose(1, 2)
        turned = inner[:, : heads + groups]  # queries and keys turn together
        half = self.width // 2
        crossed = torch.cat([-turned[..., half:], turned[..., :half]], -1)
        turned = turned * cos + crossed * sin
        keys, values = remember(turned[:, heads:], inner[:, heads + groups :])
        queries = turned[:, :heads]
        if count == 1 and seen is None:
            # The query heads that share a key head are as good as several queries of one head.
            queries = queries.reshape(self.rows, groups, heads // groups, self.width)
            found = F.scaled_dot_product_attention(queries, keys, values)
        else:
            found = F.scaled_dot_product_attention(
                queries, keys, values, attn_mask=seen, is_causal=is_causal, enable_gqa=heads != groups
            ).transpose(1, 2)
        states = states + turn_out(found.reshape(self.rows, count, heads * self.width))
        gate, up = widen(self._norm(layer.post_attention_layernorm, states)).chunk(2, -1)
        return states + narrow(F.silu(gate) * up)

    @staticmethod
    def _norm(module: Any, states: Tensor) -> Tensor:
        return F.rms_norm(states, module.weight.shape, module.weight, module.variance_epsilon)

    def _grow(self, capacity: int) -> None:
        for kept in (self.keys, self.values):
            for number in range(len(self.layers)):
                new = torch.zeros(self.rows, self.groups, capacity, self.width, dtype=self.dtype, device=self.device)
                if len(kept) > number:
                    new[:, :, : self.length] = kept[number][:, :, : self.length]
                    kept[number] = new
                else:
                    kept.append(new)
        self.capacity = capacity
        self._angles(max(capacity, len(self.cos)))

    def _angles(self, count: int) -> None:
        places = torch.arange(count, device=self.device)[None]
        cos, sin = self.model.rotary_emb(torch.zeros(1, dtype=self.dtype, device=self.device), places)
        self.cos, self.sin = cos[0], sin[0]

    def _load(self, prefix: Prefix) -> None:
        count = prefix[0][0].shape[2]
        if count > self.capacity:
            self._grow(2 * count)
        for number, (keys, values) in enumerate(prefix):
            self.keys[number][:, :, :count] = keys
            self.values[number][:, :, :count] = values
        self.length = count
