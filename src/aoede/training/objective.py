"""What the objectives of language models have in common: what they save, and how several processes begin.

Owns the state of model, optimiser and average in a checkpoint, its words for what does not fit, and the order in which
processes read data. Knows nothing of losses or batches; each objective is a file of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from aoede.training import distributed
from aoede.training.optim import EMA, Optimizer


def check_accumulate(accumulate: int) -> None:
    """Raises ValueError where the batches of an update cannot be shared evenly by the processes."""
    count = distributed.world_size()
    if accumulate % count:
        raise ValueError(
            f"accumulate is {accumulate}, but {count} processes share the batches of an update: make it a multiple of "
            f"{count}"
        )


@contextmanager
def main_first() -> Iterator[None]:
    """Rank 0 goes through the block (it makes prompts and tokenizer) before the others do, who find what it made."""
    if not distributed.is_main():
        distributed.barrier()
    yield
    if distributed.is_main():
        distributed.barrier()


class TrainedState:
    """Weights, optimiser and average of one objective, as a checkpoint holds them."""

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, *, ema: EMA | None = None, adapter_only: bool = False
    ) -> None:
        """`adapter_only`: save what is trained; the frozen model lies in its own folder."""
        self.model, self.optimizer, self.ema, self.adapter_only = model, optimizer, ema, adapter_only

    def save(self) -> dict[str, Any]:
        """The state, tensors shared with the model."""
        weights = self.model.state_dict()
        if self.adapter_only:
            weights = {name: tensor.detach() for name, tensor in self.model.named_parameters() if tensor.requires_grad}
        state = {"model": weights, "optimizer": self.optimizer.state_dict()}
        return state if self.ema is None else state | {"ema": self.ema.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `save` gave. A checkpoint without an average lets it begin here, and says so.

        Raises:
            ValueError: weights of another model.
        """
        apart = set(state["model"]) ^ set(self.save()["model"])
        if apart:
            raise ValueError(
                f"the checkpoint does not fit the recipe's model: {min(apart)} is in one of them only; resume with the "
                "recipe it was made with"
            )
        try:
            self.model.load_state_dict(state["model"], strict=not self.adapter_only)
        except RuntimeError as error:
            first = " ".join(str(error).split())[:300]
            raise ValueError(f"the checkpoint does not fit the recipe's model ({first})") from error
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema is not None and "ema" in state:
            self.ema.load_state_dict(state["ema"])
        elif self.ema is not None:
            print("the checkpoint has no averaged weights: the average begins here", file=sys.stderr)
            self.ema.restart(self.model)
