"""The slot grammar for vLLM's V2 model runner: `vllm serve ... --logits-processors aoede.serving.vllm_v2:SlotGrammar`.

Owns the state of every request slot, on the device, brought forward a few ids a step without the host looking on; rows
of draft ids (speculative decoding) are followed too. Written against the public interface
`vllm.v1.worker.gpu.sample.logits_processor` (vLLM 0.32). docs/vllm.md has the limits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aoede.serving.masking import RouteMasks
from aoede.serving.vllm_settings import mode_of, vocabulary_of
from aoede.tokens import SlotRouter

try:
    from vllm.v1.worker.gpu.sample.logits_processor.interface import LogitsProcessor as _Base
except ModuleNotFoundError:  # vLLM pins a torch of its own: the grammar is tested where it is not installed
    _Base = object


class SlotGrammar(_Base):  # type: ignore[misc]
    """Masks, for every row of logits, the ids that its slot does not take."""

    def __init__(self, vllm_config: Any, req_states: Any) -> None:
        self.router = SlotRouter(vocabulary_of(vllm_config))
        self.req_states = req_states
        device, slots = req_states.device, req_states.max_num_reqs
        speculative = getattr(vllm_config, "speculative_config", None)
        self.num_drafts = 0 if speculative is None else int(speculative.num_speculative_tokens)
        self.route = self.router.initial(slots, device)
        self.last = torch.full((slots,), -1, dtype=torch.long, device=device)
        """Position of the last id that `route` has read, a slot."""
        self.is_text_only = torch.zeros(slots, dtype=torch.bool, device=device)
        self._batch_of = torch.zeros(slots, dtype=torch.long, device=device)
        self._added: dict[int, bool] = {}
        self._masks: RouteMasks | None = None

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Refuse a request with an unknown mode."""
        mode_of(sampling_params)

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """Take a slot over; its ids are read in `apply_staged_writes`, when they are on the device."""
        self._added[req_idx] = mode_of(sampling_params) == "text"
        return True

    def apply_staged_writes(self) -> None:
        """Read the prompts (and what was generated before a preemption) of requests that came in."""
        for slot, is_text_only in self._added.items():
            length = int(self.req_states.prefill_len.np[slot])
            ids = self.req_states.all_token_ids.gpu[slot : slot + 1, :length].long()
            _, state = self.router.advance(ids, strict=False)
            self.route[slot] = state[0]
            self.last[slot] = length - 1
            self.is_text_only[slot] = is_text_only
        self._added.clear()

    def apply(self, logits: Tensor, ctx: Any) -> Tensor:
        """Mask logits [num_rows, V] in place; a row is a request's next id, or a guess behind its draft ids."""
        slots, offset = ctx.idx_mapping.long(), ctx.expanded_local_pos.long()
        self._batch_of[slots] = torch.arange(len(slots), device=slots.device)
        batch = self._batch_of[ctx.expanded_idx_mapping.long()]
        width = self.num_drafts + 1
        ids = self._spread(ctx.input_ids.long(), batch, offset, len(slots), width)
        position = self._spread(ctx.pos.long(), batch, offset, len(slots), width)
        is_draft = self._spread(offset > 0, batch, offset, len(slots), width)
        self._commit(slots, position[:, 0])
        after, _ = self.router.advance(ids, self.route[slots], attention_mask=is_draft, strict=False)
        if self._masks is None:
            self._masks = RouteMasks(self.router, logits.shape[1], logits.device)
        return self._masks.apply(logits, after[batch, offset], self.is_text_only[slots][batch])

    def _commit(self, slots: Tensor, position: Tensor) -> None:
        """Bring the slots' states forward to the ids at `position`: one a step, more where drafts were accepted."""
        ahead = torch.arange(1, self.num_drafts + 2, device=slots.device)
        at = self.last[slots][:, None] + ahead
        is_new = at <= position[:, None]
        tokens = self.req_states.all_token_ids.gpu
        ids = tokens[slots[:, None], at.clamp(max=tokens.shape[1] - 1)].long()
        _, state = self.router.advance(ids, self.route[slots], attention_mask=is_new, strict=False)
        self.route[slots] = state
        self.last[slots] = torch.maximum(self.last[slots], position)

    @staticmethod
    def _spread(values: Tensor, batch: Tensor, offset: Tensor, num_requests: int, width: int) -> Tensor:
        """Values of rows as a table [request, offset]; zero where there is no such row."""
        table = values.new_zeros(num_requests, width)
        table[batch, offset] = values
        return table
