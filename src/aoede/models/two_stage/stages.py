"""The two stages while they decode: a transformer with its memory, fed some columns at a time.

Owns the step itself, in two ways that agree within rounding: any Hugging Face base model through its own `forward`, and
Llama by a shorter way over the same modules (half the time of a small step, which goes into calls), which can be
compiled. Knows nothing of frames or sampling. This file travels inside saved model folders.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaModel, PreTrainedModel

from aoede.models.two_stage.cache import BufferCache, buffers, prefilled
from aoede.models.two_stage.products import MOST_COPIED, Product, of_modules

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
        self.eps = float(llama.norm.variance_epsilon)
        size = int(config.hidden_size)
        # The norm of a row is three small steps on a CPU where torch's takes seven; what it leaves out is in the gains.
        self.is_short = packs and self.device.type == "cpu" and self.dtype == torch.float32
        self.floor = torch.tensor(math.sqrt(size * self.eps), dtype=self.dtype, device=self.device)
        scale = math.sqrt(size) if self.is_short else 1.0
        self.gain = llama.norm.weight.detach() * scale
        self.products: list[list[Product]] = []
        for layer in self.layers:
            inner, mlp = layer.self_attn, layer.mlp
            first, second = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
            parts: list[tuple[list[nn.Module], Tensor | None]] = [
                ([inner.q_proj, inner.k_proj, inner.v_proj], first),
                ([inner.o_proj], None),
                ([mlp.gate_proj, mlp.up_proj], second),
                ([mlp.down_proj], None),
            ]
            self.products.append(
                [of_modules(part, rows, copies=copies, packs=packs, gain=gain, scale=scale) for part, gain in parts]
            )
        self.cos = self.sin = torch.zeros(0, dtype=self.dtype, device=self.device)
        self.buffers: list[Tensor] = []
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
            cos, sin = self.cos[positions], self.sin[positions]
        seen = None
        if mask is not None or (count > 1 and start > 0):
            seen = torch.ones(count, end, dtype=torch.bool, device=embeds.device).tril_(start)[None, None]
            if mask is not None:
                # A padded column sees itself, or its softmax would have nothing to add up.
                own = torch.eye(count, end, dtype=torch.bool, device=embeds.device).roll(start, 1)
                seen = (seen & mask[:, None, None, :end]) | own
        states = embeds.reshape(-1, embeds.shape[-1])
        for number in range(len(self.products)):

            def remember(new: Tensor, number: int = number) -> tuple[Tensor, Tensor]:
                self.buffers[number][:, :, start:end] = new
                return self.keys[number][:, :, :end], self.values[number][:, :, :end]

            states = self._layer(number, states, count, cos, sin, remember, seen)
        self.length = end
        return (self._unit(states) * self.gain).view(self.rows, count, -1)

    def run_at(self, embeds: Tensor, index: Tensor) -> Tensor:
        """`run` for compiling: writes at columns `index` [n] and sees those up to each; shapes never change.

        `length` is not kept; rows [B, n, H] start at column 0 with every frame.
        """
        columns = torch.arange(self.capacity, device=index.device)
        seen = (columns <= index[:, None])[None, None]
        cos, sin = self.cos[index], self.sin[index]
        count = embeds.shape[1]
        states = embeds.reshape(-1, embeds.shape[-1])
        for number in range(len(self.products)):

            def remember(new: Tensor, buffer: Tensor = self.buffers[number]) -> tuple[Tensor, Tensor]:
                held = buffer.index_copy_(2, index, new)
                return held[:, : self.groups], held[:, self.groups :]

            states = self._layer(number, states, count, cos, sin, remember, seen)
        return (self._unit(states) * self.gain).view(self.rows, count, -1)

    def rewind(self) -> None:
        self.length = 0

    def keep(self, rows: Tensor) -> None:
        self._hold([buffer[rows] for buffer in self.buffers])
        self.rows = len(rows)

    # -- the parts ----------------------------------------------------------------------------------------------

    def _layer(
        self,
        number: int,
        states: Tensor,
        count: int,
        cos: Tensor,
        sin: Tensor,
        remember: Callable[[Tensor], tuple[Tensor, Tensor]],
        seen: Tensor | None,
    ) -> Tensor:
        """A layer over `count` columns of each row: [B * n, H] to the same."""
        heads, groups, width = self.heads, self.groups, self.width
        turn_in, turn_out, widen, narrow = self.products[number]
        inner = turn_in(self._unit(states)).view(self.rows, count, heads + 2 * groups, 2, width // 2)
        # Queries and keys turn together and in place, so that new keys lie beside new values.
        turned = inner[:, :, : heads + groups]
        crossed = turned.flip(-2)
        turned.mul_(cos).addcmul_(crossed, sin)
        inner = inner.view(self.rows, count, heads + 2 * groups, width)
        keys, values = remember(inner[:, :, heads:].transpose(1, 2))
        if count == 1 and seen is None:
            # The query heads that share a key head are as good as several queries of one head.
            queries = inner[:, 0, :heads].view(self.rows, groups, heads // groups, width)
            found = F.scaled_dot_product_attention(queries, keys, values)
        else:
            queries = inner[:, :, :heads].transpose(1, 2)
            found = F.scaled_dot_product_attention(
                queries, keys, values, attn_mask=seen, is_causal=seen is None, enable_gqa=heads != groups
            ).transpose(1, 2)
        states = turn_out.onto(states, found.reshape(self.rows * count, heads * width))
        gate, up = widen(self._unit(states)).chunk(2, -1)
        return narrow.onto(states, F.silu(gate).mul_(up))

    def _unit(self, states: Tensor) -> Tensor:
        """Rows [N, H] of length 1 (short of `eps`), which gains make sqrt(H) long; else of mean square 1."""
        if self.is_short:
            return states / torch.hypot(torch.linalg.vector_norm(states, dim=-1, keepdim=True), self.floor)
        return F.rms_norm(states, states.shape[-1:], None, self.eps)

    def _grow(self, capacity: int) -> None:
        shape = (self.rows, 2 * self.groups, capacity, self.width)
        grown = [torch.zeros(shape, dtype=self.dtype, device=self.device) for _ in self.layers]
        for new, old in zip(grown, self.buffers, strict=False):  # at first there are none
            new[:, :, : self.length] = old[:, :, : self.length]
        self._hold(grown)
        self.capacity = capacity
        self._angles(max(capacity, len(self.cos)))

    def _hold(self, buffers: list[Tensor]) -> None:
        """Buffers [B, keys and values, capacity, width] of the layers, and views of their halves."""
        self.buffers = buffers
        self.keys = [buffer[:, : self.groups] for buffer in buffers]
        self.values = [buffer[:, self.groups :] for buffer in buffers]

    def _angles(self, count: int) -> None:
        """Cosines, and sines with the signs that the halves of a head have: [count, 1, 2, width / 2]."""
        places = torch.arange(count, device=self.device)[None]
        cos, sin = self.model.rotary_emb(torch.zeros(1, dtype=self.dtype, device=self.device), places)
        self.cos, self.sin = (x[0].view(count, 1, 2, -1) for x in (cos, sin))
        self.sin = self.sin * torch.tensor([[-1.0], [1.0]], dtype=self.dtype, device=self.device)

    def _load(self, prefix: Prefix) -> None:
        count = prefix[0][0].shape[2]
        if count > self.capacity:
            self._grow(2 * count)
        for number, (keys, values) in enumerate(prefix):
            self.keys[number][:, :, :count] = keys
            self.values[number][:, :, :count] = values
        self.length = count
