"""The slot grammar for vLLM's V1 model runner: `vllm serve ... --logits-processors aoede.serving.vllm_v1:SlotGrammar`.

Owns the state of every request of the persistent batch, kept through additions, removals and moves. Written against the
public interface `vllm.v1.sample.logits_processor` (vLLM 0.10 to 0.32); `vllm_v2.py` is for the V2 runner. docs/vllm.md
has the limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aoede.serving.masking import RouteMasks
from aoede.serving.vllm_settings import mode_of, vocabulary_of
from aoede.tokens import SlotRouter

try:
    from vllm.v1.sample.logits_processor import LogitsProcessor as _Base
except ModuleNotFoundError:  # vLLM pins a torch of its own: the grammar is tested where it is not installed
    _Base = object


@dataclass
class _Request:
    """Where one request stands."""

    route: int
    """State after the ids read so far."""

    output: list[int]
    """vLLM's own list of what was generated; it grows."""

    read: int
    """How many of `output` are in `route`."""

    is_text_only: bool


class SlotGrammar(_Base):  # type: ignore[misc]
    """Masks, at every step and for every request, the ids that its slot does not take."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self.router = SlotRouter(vocabulary_of(vllm_config))
        self.device = device
        self.is_pin_memory = is_pin_memory
        self.requests: dict[int, _Request] = {}
        self._masks: RouteMasks | None = None

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Refuse a request with an unknown mode."""
        mode_of(sampling_params)

    def is_argmax_invariant(self) -> bool:
        """False: the most likely id may be illegal."""
        return False

    def needs_output_token_ids(self) -> bool:
        """True: without it, asynchronous scheduling leaves -1 in place of the ids."""
        return True

    def update_state(self, batch_update: Any) -> None:
        """Follow the batch: removals, then additions, then moves, as the interface orders them."""
        if batch_update is None:
            return
        for index in batch_update.removed:
            self.requests.pop(index, None)
        for index, params, prompt, output in batch_update.added:
            route = self.router.walk(-1, () if prompt is None else prompt)
            # `output` is not empty where a preempted request comes back; it is read when its ids are all there.
            self.requests[index] = _Request(route, output, 0, mode_of(params) == "text")
        for source, target, direction in batch_update.moved:
            moved, replaced = self.requests.pop(source, None), self.requests.pop(target, None)
            if moved is not None:
                self.requests[target] = moved
            if direction.name == "SWAP" and replaced is not None:
                self.requests[source] = replaced

    def apply(self, logits: Tensor) -> Tensor:
        """Mask logits [num_requests, V] in place.

        Raises:
            RuntimeError: generated ids are hidden behind placeholders.
        """
        if logits.shape[0] == 0:
            return logits
        routes, text_only = [], []
        for index in range(logits.shape[0]):
            request = self.requests.get(index)
            if request is None:
                raise RuntimeError(f"row {index} of the logits belongs to no request that was added")
            self._catch_up(index, request)
            routes.append(request.route)
            text_only.append(request.is_text_only)
        if self._masks is None:
            self._masks = RouteMasks(self.router, logits.shape[1], logits.device)
        return self._masks.apply(logits, self._sent(routes, logits.device), self._sent(text_only, logits.device))

    def _catch_up(self, index: int, request: _Request) -> None:
        new = request.output[request.read :]
        if new and min(new) < 0:
            raise RuntimeError(
                f"request {index}: vLLM gives {min(new)} in place of generated ids (asynchronous scheduling in a "
                "version that does not ask needs_output_token_ids); start it with --no-async-scheduling"
            )
        request.route = self.router.walk(request.route, new)
        request.read += len(new)

    def _sent(self, values: list[int] | list[bool], device: torch.device) -> Tensor:
        tensor = torch.tensor(values)
        return (tensor.pin_memory() if self.is_pin_memory else tensor).to(device, non_blocking=True)
