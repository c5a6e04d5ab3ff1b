"""The backbone as rows share it: what a row gives are the bits it gives alone, whoever stands beside it.

Owns the step of Llama, Qwen 2 and Qwen 3 on a CPU in float32, over copies of their weights. An ordinary product rounds
a row differently for every number of rows beside it. Here all products go through oneDNN's packed weights, whose rows
come out the same for every number of rows (and of threads), and attention goes row by row; whether that holds on this
machine is tried when a stage is made. Knows nothing of slots, sampling or requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaModel, Qwen2Model, Qwen3Model

from aoede.models import CodecCausalLM
from aoede.models.two_stage.products import MOST_COPIED, PackedProduct

_FIRST_CAPACITY = 256
_PACKED_FOR = 8
"""Rows that the packed layout is chosen for: it serves any number, but what it chooses for one row is not exact."""

_TABLE_ROPES = ("default", "linear", "llama3", "yarn")
"""Rotary embeddings whose angles do not depend on how long the row becomes."""


class RowMemory:
    """Keys and values of one row, a buffer [2, heads, columns, width] a layer."""

    def __init__(self, layers: int, heads: int, width: int) -> None:
        self.length = self.capacity = 0
        self._shape = (2, heads, width)
        self.layers = [torch.empty(2, heads, 0, width) for _ in range(layers)]

    def reserve(self, length: int) -> None:
        """Room for so many columns; doubles, so that growing costs little in all."""
        if length <= self.capacity:
            return
        pair, heads, width = self._shape
        self.capacity = max(length, 2 * self.capacity, _FIRST_CAPACITY)
        for number, old in enumerate(self.layers):
            new = torch.empty(pair, heads, self.capacity, width)
            new[:, :, : self.length] = old[:, :, : self.length]
            self.layers[number] = new


_Rows = Sequence[tuple[RowMemory, int]]


class RowStage:
    """Reads ids of any rows together. A snapshot of the weights; `is_current` tells when to make another."""

    def __init__(self, model: CodecCausalLM) -> None:
        """Copy a model's weights; `takes` says for which models."""
        backbone: Any = model.model
        config = backbone.config
        self.model, self.backbone = model, backbone
        self.heads, self.groups = int(config.num_attention_heads), int(config.num_key_value_heads)
        self.width = int(backbone.layers[0].self_attn.head_dim)
        self._layers = [_Layer(layer) for layer in list(backbone.layers)[: config.num_hidden_layers]]
        self._heads: dict[int, PackedProduct] = {}
        self._versions = _versions(model)
        self._angles = torch.zeros(2, 0, 1, self.width)
        self._nothing = torch.zeros(1, 1, 1)

    @classmethod
    def of(cls, model: CodecCausalLM) -> RowStage | None:
        """A stage, where the model allows one and this machine's products hold to it."""
        if not cls.takes(model):
            return None
        stage = cls(model)
        return stage if stage._is_exact() else None

    @staticmethod
    def takes(model: CodecCausalLM) -> bool:
        """Whether a model is one of those named above, as transformers has it, with plain weights."""
        backbone: Any = model.model
        if type(backbone) not in (LlamaModel, Qwen2Model, Qwen3Model) or model.device.type != "cpu":
            return False
        if any(name in vars(model) for name in ("hidden_states", "routed_logits")):
            return False  # somebody stands in between, sharded training for one
        config = backbone.config
        linear = [module for module in backbone.modules() if isinstance(module, nn.Linear)]
        return (
            str(config._attn_implementation) in ("sdpa", "eager")
            and str(getattr(backbone.rotary_emb, "rope_type", "default")) in _TABLE_ROPES
            and 2 * backbone.rotary_emb.inv_freq.numel() == backbone.layers[0].self_attn.head_dim
            and str(config.hidden_act) == "silu"
            and all(kind == "full_attention" for kind in getattr(config, "layer_types", None) or [])
            and all(type(module) is nn.Linear and PackedProduct.takes(module.weight) for module in linear)
            and all(type(parameter) is nn.Parameter for parameter in model.parameters())
            and not any(module._forward_hooks or module._forward_pre_hooks for module in backbone.modules())
            and sum(parameter.numel() for parameter in model.parameters()) <= MOST_COPIED
            and type(model.get_output_embeddings()) is nn.Linear
        )

    def is_current(self) -> bool:
        """Whether the model still has the weights that were copied."""
        return _versions(self.model) == self._versions

    def open(self) -> RowMemory:
        """The memory of a new row."""
        return RowMemory(len(self._layers), self.groups, self.width)

    def read(self, ids: Tensor, positions: Tensor, rows: Sequence[tuple[RowMemory, int]]) -> Tensor:
        """Read ids of several rows.

        Args:
            ids, positions: [T] int64, row after row.
            rows: the memory of each, and how many of the ids are its own: one, or any number where nothing was read
                before.
        Returns:
            [n, H] hidden states after the last id of each row. The memories hold the ids only when this returns; where
            it raises, the rows may be read again.
        """
        for memory, count in rows:
            assert count == 1 or memory.length == 0, "a row reads its prompt at once, then id by id"
            memory.reserve(memory.length + count)
        tables = self._angles
        if (most := int(positions.max())) >= tables.shape[1]:
            tables = self._angles = self._tables(max(2 * most, 1024))  # at once: sessions of other threads read them
        cos, sin = tables[:, positions]
        states: Tensor = self.backbone.embed_tokens(ids)
        for number, layer in enumerate(self._layers):
            states = self._layer(layer, number, states, cos, sin, rows)
        if len(ids) > len(rows):
            ends = torch.tensor([count for _, count in rows]).cumsum(0) - 1
            states = states[ends]
        norm = self.backbone.norm
        states = F.rms_norm(states, norm.weight.shape, norm.weight, norm.variance_epsilon)
        for memory, count in rows:
            memory.length += count
        return states

    def logits(self, hidden: Tensor, route: int) -> tuple[Tensor, Tensor]:
        """As `CodecCausalLM.routed_logits`."""
        head = self.model.routed_head
        rows = head.rows(route)
        group = head.group_list[route + 1]
        if group not in self._heads:
            output = self.model.get_output_embeddings()
            bias = None if output.bias is None else torch.cat(rows.take(output.bias.detach()))
            self._heads[group] = PackedProduct(torch.cat(rows.take(output.weight.detach())), bias, _PACKED_FOR)
        return head.scaling(self._heads[group](hidden)), rows.ids

    # -- the parts ----------------------------------------------------------------------------------------------

    def _layer(
        self,
        layer: _Layer,
        number: int,
        states: Tensor,
        cos: Tensor,
        sin: Tensor,
        rows: Sequence[tuple[RowMemory, int]],
    ) -> Tensor:
        heads, groups, width = self.heads, self.groups, self.width
        inner = layer.turn_in(F.rms_norm(states, layer.first.shape, layer.first, layer.epsilon))
        inner = inner.view(-1, heads + 2 * groups, width)
        turned = inner[:, : heads + groups]  # queries and keys turn together
        if layer.turned is not None:
            turned = F.rms_norm(turned, (width,), None, layer.epsilon) * layer.turned
        half = width // 2
        crossed = torch.cat([turned[..., half:], turned[..., :half]], -1)
        turned = torch.addcmul(turned * cos, crossed, sin)
        found = torch.empty_like(turned[:, :heads])
        # Taken apart once for all rows: a step of many rows is many small calls. The query heads that share a key head
        # are as good as several queries of one head.
        together = (-1, groups, heads // groups, width)
        queries, outputs = turned[:, :heads].view(together).unbind(), found.view(together).unbind()
        pairs = torch.stack([turned[:, heads:], inner[:, heads + groups :]], 1)  # [T, 2, groups, width]
        start = 0
        for memory, count in rows:
            stop, end = start + count, memory.length + count
            if count == 1:
                buffer = memory.layers[number]
                buffer[:, :, memory.length] = pairs[start]
                keys, values = buffer[:, :, :end].unbind()
                scores = torch.baddbmm(self._nothing, queries[start], keys.mT, beta=0, alpha=width**-0.5)
                torch.bmm(scores.softmax(-1), values, out=outputs[start])
            else:
                memory.layers[number][:, :, :end] = pairs[start:stop].permute(1, 2, 0, 3)
                keys, values = memory.layers[number][:, None, :, :end]
                made = F.scaled_dot_product_attention(
                    turned[None, start:stop, :heads].transpose(1, 2), keys, values,
                    is_causal=True, enable_gqa=heads != groups,
                )  # fmt: skip
                found[start:stop] = made[0].transpose(0, 1)
            start = stop
        states = states + layer.turn_out(found.view(len(states), heads * width))
        gate, up = layer.widen(F.rms_norm(states, layer.second.shape, layer.second, layer.epsilon)).chunk(2, -1)
        return states + layer.narrow(F.silu(gate) * up)

    def _tables(self, count: int) -> Tensor:
        """Cosines and sines [2, count, 1, width]; the sign of the half that is crossed is in the sines."""
        cos, sin = self.backbone.rotary_emb(torch.zeros(1), torch.arange(count)[None])
        sin = torch.cat([-sin[0, :, : self.width // 2], sin[0, :, self.width // 2 :]], -1)
        return torch.stack([cos[0], sin])[:, :, None]

    @torch.inference_mode()
    def _is_exact(self) -> bool:
        """Whether rows that are read together give, bit for bit, what each gives alone."""
        counts, generator = (7, 1, 12, 2), torch.Generator().manual_seed(0)
        prompts = [torch.randint(self.model.config.vocab_size, (count,), generator=generator) for count in counts]
        alone = [self._try([prompt]) for prompt in prompts]
        return torch.equal(self._try(prompts), torch.cat(alone, 1))

    def _try(self, prompts: list[Tensor]) -> Tensor:
        """[2, n, R] scores of slot 0 after prompts, and after one more id."""
        rows = [(self.open(), len(prompt)) for prompt in prompts]
        places = torch.cat([torch.arange(count) for _, count in rows])
        first = self.read(torch.cat(prompts), places, rows)
        after = torch.tensor([count for _, count in rows])
        second = self.read(torch.cat([prompt[:1] for prompt in prompts]), after, [(memory, 1) for memory, _ in rows])
        return torch.stack([self.logits(hidden, 0)[0] for hidden in (first, second)])


class _Layer:
    """One layer's weights, laid out for products."""

    def __init__(self, layer: Any) -> None:
        inner, mlp = layer.self_attn, layer.mlp
        self.turn_in = _packed(inner.q_proj, inner.k_proj, inner.v_proj)
        self.turn_out = _packed(inner.o_proj)
        self.widen = _packed(mlp.gate_proj, mlp.up_proj)
        self.narrow = _packed(mlp.down_proj)
        self.first, self.second = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
        self.epsilon = float(layer.input_layernorm.variance_epsilon)
        self.turned: Tensor | None = None  # [heads + groups, width], where queries and keys are normed
        if hasattr(inner, "q_norm"):
            width = inner.head_dim
            heads, groups = inner.q_proj.out_features // width, inner.k_proj.out_features // width
            norms = (inner.q_norm.weight.expand(heads, -1), inner.k_norm.weight.expand(groups, -1))
            self.turned = torch.cat(norms).detach()


def _packed(*modules: nn.Linear) -> PackedProduct:
    weight = torch.cat([module.weight.detach() for module in modules])
    biases = [module.bias for module in modules]
    present = [torch.zeros(m.out_features) if m.bias is None else m.bias.detach() for m in modules]
    return PackedProduct(weight, None if all(bias is None for bias in biases) else torch.cat(present), _PACKED_FOR)


def _versions(model: CodecCausalLM) -> tuple[tuple[int, int], ...]:
    """What changes when a weight does; tensors made for inference alone keep no count."""
    return tuple(
        (parameter.data_ptr(), 0 if parameter.is_inference() else parameter._version)
        for parameter in model.parameters()
    )
