"""A causal language model that speaks: a text model's backbone, a codec vocabulary and a routed head.

Owns the forward pass (loss of each range, logits with -inf at illegal ids), parallel positions, what `generate` needs,
and the paths an engine takes. Knows nothing of audio, codecs or training loops. `extend.py` makes one from a text
model, `portable.py` writes the folder. This file travels inside saved model folders.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModel, GenerationMixin, PreTrainedModel
from transformers.utils import ModelOutput

from aoede.models.config import CodecLMConfig
from aoede.models.packing import as_one_row, document_starts, is_recurrent, shifted, state_arguments
from aoede.models.portable import write_code
from aoede.models.positions import as_stride, uses_rotary
from aoede.models.routed_head import RoutedHead, Scaling, row_logits
from aoede.models.tracking import RowState, RowTracker, recall, remember
from aoede.models.trl_head import keep_routed
from aoede.tokens.router import SlotRouter
from aoede.tokens.vocabulary import FILE_NAME, CodecVocabulary


@dataclass
class CodecLMOutput(ModelOutput):
    """What `CodecCausalLM.forward` returns."""

    loss: Tensor | None = None
    """Mean negative log-likelihood over all trained positions (or their sum over `num_items_in_batch`)."""

    losses: dict[str, Tensor] | None = None
    """Mean of each range that has trained positions: text, open, close, then the levels (C, M, F). No gradient."""

    counts: dict[str, int] | None = None
    """Trained positions of each range, to average `losses` over batches."""

    logits: Tensor | None = None
    """[B, L or kept, V], -inf at illegal ids; only without labels."""

    past_key_values: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class CodecCausalLM(PreTrainedModel, GenerationMixin):
    """Any Hugging Face causal LM with a codec vocabulary and a routed head.

    Weights keep the text model's own names (`model.*`, `lm_head.weight`).
    """

    config_class = CodecLMConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    accepts_loss_kwargs = True
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012

    def __init__(
        self, config: CodecLMConfig, backbone: PreTrainedModel | None = None, lm_head: nn.Linear | None = None
    ) -> None:
        """Build from a configuration; `backbone` and `lm_head` are taken over where given (see `extend`).

        Raises:
            ValueError: no text model or vocabulary in the configuration, too few rows, or a text stride for a model
                without position ids.
        """
        super().__init__(config)
        if config.text_config is None or config.vocabulary is None:
            raise ValueError("this configuration has no text_config or no vocabulary; make models with aoede's extend")
        self.vocabulary = CodecVocabulary.from_dict(config.vocabulary)
        if config.vocab_size < self.vocabulary.size:
            raise ValueError(f"the model has {config.vocab_size} rows, its vocabulary {self.vocabulary.size}")
        self.router = SlotRouter(self.vocabulary)
        self.tracker = RowTracker(self.router)
        slices = [self.router.slices(route) for route in self.router.routes]
        self.routed_head = RoutedHead(slices, Scaling.of(config.text_config))
        given = backbone is not None
        self.model = AutoModel.from_config(config.text_config) if backbone is None else backbone
        self.has_positions = uses_rotary(self.model)
        if config.text_stride is not None:
            self._require_positions()
        self.lm_head = lm_head or nn.Linear(config.hidden_size, config.vocab_size, bias=config.head_bias)
        embedding = self.model.get_input_embeddings()
        name = next(n for n, m in self.model.named_modules() if m is embedding)
        self._tied_weights_keys = {"lm_head.weight": f"model.{name}.weight"}
        names = ("text", "open", "close", *self.vocabulary.level_names)
        self._range_names = names
        levels = self.vocabulary.layout.levels
        # On the CPU even where weights are first made on the meta device.
        self._level_of_route = torch.tensor([0, *(3 + level for level in levels)], device="cpu")
        self._is_stateful = bool(getattr(self.model, "_is_stateful", False))
        self.is_recurrent = is_recurrent(self.model)
        if given:
            for module in self.modules():
                module._is_hf_initialized = True
            for parameter in self.parameters():
                parameter._is_hf_initialized = True
        self.post_init()
        # `generate` stops at the end of a span, and in text where the text model does; a folder's
        # generation_config.json is read later and may say otherwise.
        text_ends = getattr(config.text_config, "eos_token_id", None)
        text_ends = [] if text_ends is None else text_ends if isinstance(text_ends, list) else [text_ends]
        self.generation_config.eos_token_id = [self.vocabulary.close_id, *text_ends]

    # -- forward ------------------------------------------------------------------------------------------------

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        text_stride: Tensor | float | None = None,
        row_state: RowState | None = None,
        num_items_in_batch: Tensor | int | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> CodecLMOutput | tuple:
        """Loss of every range with `labels`, else logits.

        Args:
            input_ids: [B, L]. Right-padded batches need no mask (nothing that counts looks to the right).
            attention_mask: [B, L], or [B, past + L] with a cache; 0 at padding, on either side.
            position_ids: [B, L]. Where they start again at 0 a new document begins: attention and recurrent state do
                not cross, its first id stands in text whatever came before, and is not trained (nothing of its own
                document stands before it). Packed rows take neither an attention mask nor a cache.
            labels: [B, L], equal to `input_ids` where trained, -100 elsewhere; shifted inside.
            text_stride: [B] or one number, in place of `config.text_stride`.
            row_state: where the rows stand before `input_ids`; found on the cache, or a fresh row, by default.
            num_items_in_batch: trained positions of the whole accumulated batch; the loss is divided by it.
            logits_to_keep: the last so many positions, or their indices; 0: all.
            kwargs: `shift_labels` [B, L], labels already shifted (sequence parallelism), in place of `labels`; the rest
                goes to the backbone.
        Raises:
            ValueError: `inputs_embeds` (routes come from ids), a label its route does not allow, or packed rows that
                would leak (with a mask, with a cache, through recurrent layers without their CUDA kernels).
        """
        if input_ids is None or inputs_embeds is not None:
            raise ValueError("the routed head reads ids: pass input_ids, not inputs_embeds")
        # Not a named argument: HF Trainer takes every argument with "label" in its name for one its batches must hold.
        shift_labels = kwargs.pop("shift_labels", None)
        is_loss = labels is not None or shift_labels is not None
        if is_loss and position_ids is not None and (text_stride is not None or self.config.text_stride is not None):
            raise ValueError("text_stride sets the positions itself: pad rows instead of packing them by position_ids")
        if is_loss and use_cache is None:
            use_cache = False  # nothing is generated from it, and a cache hides packed rows from transformers
        placed = labels if shift_labels is None else F.pad(shift_labels[:, :-1], (1, 0), value=-100)
        routes, starts, outputs = self._walk(
            input_ids, attention_mask, position_ids, past_key_values, use_cache, text_stride, row_state, True, kwargs,
            placed,
        )  # fmt: skip
        hidden = outputs.last_hidden_state
        result = CodecLMOutput(
            past_key_values=outputs.get("past_key_values"),
            hidden_states=outputs.get("hidden_states"),
            attentions=outputs.get("attentions"),
        )
        if not is_loss:
            result.logits = self._logits(hidden, routes, logits_to_keep)
        else:
            hidden, routes, shift_labels = shifted(hidden, routes, starts, labels, shift_labels)
            result.loss, result.losses, result.counts = self._loss(hidden, routes, shift_labels, num_items_in_batch)
        return result.to_tuple() if return_dict is False else result

    def hidden_states(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        text_stride: Tensor | float | None = None,
        row_state: RowState | None = None,
    ) -> tuple[Tensor, Any]:
        """The backbone alone: hidden states [B, L, H] ready for `routed_logits`, and the cache.

        With parallel positions the rows' state is kept on the cache, so calls may follow each other; a caller that
        gives `position_ids` itself pays nothing for routing.
        """
        follow = position_ids is None and (text_stride is not None or self.config.text_stride is not None)
        _, _, outputs = self._walk(
            input_ids, attention_mask, position_ids, past_key_values, use_cache, text_stride, row_state, follow, {}
        )
        return outputs.last_hidden_state, outputs.get("past_key_values")

    def routed_logits(self, hidden: Tensor, route: int) -> tuple[Tensor, Tensor]:
        """Scores of the ids one route allows.

        Args:
            hidden: [N, H], all at positions of this route.
            route: -1 for text, s >= 0 for slot s (slot 0 includes the closing marker).
        Returns:
            logits [N, R] and ids [R] in ascending order. Rows are sliced in place, not gathered.
        """
        head = self.routed_head.to(hidden.device)
        rows = head.rows(route)
        weight, bias = self._head_weight()
        return row_logits(hidden, weight, bias, rows, head.scaling), rows.ids

    def log_probs(
        self,
        input_ids: Tensor,
        labels: Tensor,
        attention_mask: Tensor | None = None,
        *,
        temperature: float = 1.0,
        shift_labels: Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, Tensor]:
        """Routed log-probabilities of labels, differentiable: what preference and policy training need.

        Returns:
            log_probs, entropy, is_top1 [B, L - 1] (0 where untrained) and label_mask [B, L - 1] bool, place t being
            label t + 1; all [B, L] with `shift_labels`. The first id of a packed document is untrained.
        """
        named = {k: kwargs.pop(k, None) for k in ("position_ids", "text_stride", "row_state")}
        placed = labels if shift_labels is None else F.pad(shift_labels[:, :-1], (1, 0), value=-100)
        routes, starts, outputs = self._walk(
            input_ids, attention_mask, named["position_ids"], None, False, named["text_stride"], named["row_state"],
            True, kwargs, placed,
        )  # fmt: skip
        hidden, routes, shift_labels = shifted(outputs.last_hidden_state, routes, starts, labels, shift_labels)
        trained = shift_labels != -100
        weight, bias = self._head_weight()
        head = self.routed_head.to(hidden.device)
        nll, entropy, top1 = head.nll(
            hidden[trained], weight, bias, routes[trained], shift_labels[trained],
            temperature=temperature, with_stats=True,
        )  # fmt: skip
        blank = torch.zeros(trained.shape, dtype=nll.dtype, device=nll.device)
        return {
            "log_probs": blank.masked_scatter(trained, -nll),
            "entropy": blank.masked_scatter(trained, entropy),
            "is_top1": blank.masked_scatter(trained, top1),
            "label_mask": trained,
        }

    # -- the parts ----------------------------------------------------------------------------------------------

    def _walk(
        self,
        ids: Tensor,
        attention_mask: Any,
        position_ids: Tensor | None,
        cache: Any,
        use_cache: bool | None,
        text_stride: Tensor | float | None,
        state: RowState | None,
        follow: bool,
        kwargs: dict[str, Any],
        labels: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor | None, Any]:
        """Routes [B, L] of the ids that follow `ids` (None unless `follow`), where packed documents begin [B, L] (None
        where rows are not packed), and the backbone's output."""
        batch, length = ids.shape
        mask = attention_mask if isinstance(attention_mask, Tensor) and attention_mask.ndim == 2 else None
        real = None if mask is None or mask.shape[1] < length else mask[:, -length:].bool()
        past = 0 if cache is None else int(cache.get_seq_length())
        stride = self.config.text_stride if text_stride is None else text_stride
        if stride is not None and follow:
            self._require_positions()
        starts = None
        if position_ids is not None and position_ids.ndim == 2 and past == 0 and length > 1:
            starts = document_starts(position_ids, batch, real)
        if starts is not None:
            if cache is not None or use_cache:
                raise ValueError("packed rows have no cache: transformers would let their documents see each other")
            use_cache = False
            if self.is_recurrent:
                kwargs = state_arguments(self.config.text_config.model_type, ids, starts, labels) | kwargs
        elif self.is_recurrent and real is not None and length > 1 and not bool(real[:, -1].all()):
            if cache is not None or use_cache:
                raise ValueError(
                    f"the recurrent layers of {self.config.text_config.model_type} would go on from padding: pad "
                    "prompts on the left"
                )
            use_cache = False
        routes = None
        if follow:
            state = (state or recall(cache, past, batch, ids.device)).repeat(batch)
            ratios = None if stride is None else as_stride(stride, batch, ids.device)
            routes, found, state = self.tracker.advance(ids, real, state, ratios, starts=starts)
            if found is not None and position_ids is None:
                position_ids = found
                if attention_mask is None and past == 0:
                    # Without a mask, transformers reads jumps in the positions as packed documents.
                    attention_mask = mask = torch.ones_like(ids)
        if cache is None and not use_cache and real is not None and mask is not None and length > 1:
            # Causal attention never looks right, so padding on the right needs no mask: SDPA's fast path.
            is_right_padded = bool(mask[:, 0].all()) and bool((mask[:, 1:] <= mask[:, :-1]).all())
            if mask.shape[1] == length and is_right_padded:
                # Given positions keep one of ones: without any, transformers reads their jumps as packed documents.
                attention_mask = None if position_ids is None else torch.ones_like(ids)
        kwargs = {name: value for name, value in kwargs.items() if value is not None}
        joined = starts is not None and batch > 1 and self._packs_one_row()
        if joined and (not self.is_recurrent or "seq_idx" in kwargs):
            ids, position_ids, kwargs = as_one_row(ids, position_ids, kwargs)
        outputs = self.model(
            input_ids=ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=use_cache,
            **kwargs,
        )
        if ids.shape[0] != batch:
            outputs.last_hidden_state = outputs.last_hidden_state.reshape(batch, length, -1)
            layers = outputs.get("hidden_states")
            if layers is not None:
                outputs.hidden_states = tuple(layer.reshape(batch, length, -1) for layer in layers)
        after = outputs.get("past_key_values")
        if follow and after is not None:
            remember(after, past + length, state)
        return routes, starts, outputs

    def _packs_one_row(self) -> bool:
        """Whether attention tells packed documents apart in batches of one row only, as flash attention does."""
        return "flash" in str(self.model.config._attn_implementation)

    def row_state(self, ids: Tensor, attention_mask: Tensor | None = None, *, strict: bool = False) -> RowState:
        """Where rows stand after ids [B, L]: what `forward(row_state=...)` takes.

        Raises:
            ValueError: with `strict`, an id that its place does not allow (names it).
        """
        real = None if attention_mask is None else attention_mask[:, : ids.shape[1]].bool()
        return self.tracker.state_after(ids, real, strict=strict)

    def _require_positions(self) -> None:
        if not self.has_positions:
            name = self.config.text_config.model_type
            raise ValueError(f"text_stride needs rotary positions, and {name} has none; leave text_stride at None")
        if str(self.model.config._attn_implementation).startswith("flash"):
            raise ValueError("text_stride with flash attention would be read as packed rows; load with sdpa or eager")

    def _head_weight(self) -> tuple[Tensor, Tensor | None]:
        head = self.get_output_embeddings()
        if hasattr(head, "base_layer"):
            raise ValueError(
                "an adapter on lm_head is not supported: the routed head slices its rows; adapt other layers, or use "
                "peft's trainable_token_indices or modules_to_save for lm_head"
            )
        return head.weight, getattr(head, "bias", None)

    def _logits(self, hidden: Tensor, routes: Tensor, keep: int | Tensor) -> Tensor:
        if isinstance(keep, Tensor) and keep.ndim > 1:
            raise ValueError(f"logits_to_keep has {keep.ndim} dimensions; give a number or a list of positions")
        kept = slice(-keep, None) if isinstance(keep, int) else keep
        hidden, routes = hidden[:, kept], routes[:, kept]
        weight, bias = self._head_weight()
        head = self.routed_head.to(hidden.device)
        logits = head.logits(hidden.reshape(-1, hidden.shape[-1]), weight, bias, routes.reshape(-1))
        return logits.view(*routes.shape, -1)

    def _loss(
        self, hidden: Tensor, routes: Tensor, labels: Tensor, num_items: Tensor | int | None
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, int]]:
        labels = labels.to(hidden.device)
        trained = labels != -100
        hidden_all = hidden
        hidden, routes, labels = hidden[trained], routes[trained], labels[trained]
        weight, bias = self._head_weight()
        if len(labels) == 0:
            # The head stays in the graph: of several processes each must send a gradient for it.
            nothing = hidden_all.float().sum() + weight[:1].float().sum()
            return (nothing if bias is None else nothing + bias[:1].float().sum()) * 0.0, {}, {}
        nll, _, _ = self.routed_head.to(hidden.device).nll(hidden, weight, bias, routes, labels)
        total = nll.sum() / (len(labels) if num_items is None else num_items)
        kind = self._level_of_route.to(routes.device)[routes + 1]
        kind = torch.where(labels == self.vocabulary.open_id, 1, kind)
        kind = torch.where(labels == self.vocabulary.close_id, 2, kind)
        size = len(self._range_names)
        sums = torch.zeros(size, device=nll.device).index_add_(0, kind, nll.detach())
        counts = kind.bincount(minlength=size).tolist()
        present = [i for i in range(size) if counts[i]]
        losses = {self._range_names[i]: sums[i] / counts[i] for i in present}
        return total, losses, {self._range_names[i]: counts[i] for i in present}

    # -- generation, adapters, folders --------------------------------------------------------------------------

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        next_sequence_length: int | None = None,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """What `generate` hands to `forward`: the state is read anew from all ids, so beams may be reordered."""
        if inputs_embeds is not None:
            raise ValueError("the routed head reads ids: pass input_ids, not inputs_embeds")
        new = input_ids.shape[1] if next_sequence_length is None else next_sequence_length
        seen = input_ids[:, : input_ids.shape[1] - new]
        mask = attention_mask if attention_mask is not None and attention_mask.ndim == 2 else None
        if is_first_iteration:
            self.row_state(input_ids, mask, strict=True)
        kwargs["row_state"] = self.row_state(seen, mask)
        if self.config.text_stride is not None or kwargs.get("text_stride") is not None:
            kwargs.pop("position_ids", None)
        return super().prepare_inputs_for_generation(
            input_ids,
            next_sequence_length=next_sequence_length,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            is_first_iteration=is_first_iteration,
            **kwargs,
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "forward":
            value = keep_routed(self, value)
        super().__setattr__(name, value)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Module:
        """Refused where it would change the rows: the ranges would no longer fit.

        Raises:
            ValueError: always, unless the size stays as it is.
        """
        wanted = args[0] if args else kwargs.get("new_num_tokens")
        if wanted in (None, self.config.vocab_size):
            return self.model.get_input_embeddings()
        raise ValueError(
            f"this model has {self.config.vocab_size} rows and its vocabulary depends on them; add text tokens to the "
            "text model first, then extend it"
        )

    def save_pretrained(self, save_directory: str | os.PathLike, is_main_process: bool = True, **kwargs: Any) -> None:
        """Write config.json, the weights as safetensors, augmented.yaml, and the code that loads them without Aoede."""
        if is_main_process:
            os.makedirs(save_directory, exist_ok=True)
            self.config.auto_map = write_code(save_directory)
            self.vocabulary.save(os.path.join(save_directory, FILE_NAME))
        super().save_pretrained(save_directory, is_main_process=is_main_process, **kwargs)
