"""A toy objective for tests of many processes: a tiny codec language model, rows that are functions of the step.

As a program (`python -m tests.training.toy_parallel OUT KIND STEPS [SECONDS]`, alone or under torchrun) it is one run.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from aoede.models import CodecCausalLM, extend
from aoede.tokens import CodecVocabulary, FrameLayout
from aoede.training import EMA, LoopConfig, OptimConfig, Optimizer, distributed, run
from aoede.training.model_folder import describe_model
from aoede.training.sharded import parallelise, whole_state

# 21 + 2 + 24 = 47 rows: two processes get unequal parts of them.
VOCABULARY = CodecVocabulary.extend(21, FrameLayout("CMFFMFF"), (8, 8, 8))
ROWS = 4
STEPS = 6


def loop_config(steps: int = STEPS, **changes: Any) -> LoopConfig:
    given: dict[str, Any] = {
        "steps": steps, "eval_every": 3, "checkpoint_every": 2, "keep": 9, "log_every": 1, "tensorboard": False,
        "checkpoint_format": "dcp", "best_metric": "loss", "best_mode": "max", "seed": 5,
    }  # fmt: skip
    return LoopConfig(**(given | changes))


def make_model(tied: bool = True) -> CodecCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=21, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, initializer_range=0.2, tie_word_embeddings=tied,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    return extend(LlamaForCausalLM(config), VOCABULARY, seed=1)


def rows_of(step: int) -> tuple[Tensor, Tensor]:
    """ids and labels [4, L]. Rows are trained in unequal parts; at step 1 the last two are not trained at all."""
    generator = torch.Generator().manual_seed(100 + step)
    words = torch.randint(3, 21, (ROWS, 5), generator=generator)
    codes = torch.randint(0, 8, (ROWS, 2, 7), generator=generator)
    ids = torch.cat([words, VOCABULARY.ids_from_frames(codes, open=True, close=True)], 1)
    labels = ids.clone()
    labels[0, :9] = -100
    if step == 1:
        labels[2:] = -100
    return ids, labels


class ToyObjective:
    name = "toy"

    def __init__(
        self, kind: Any, *, tied: bool = True, seconds: float = 0.0, clip: float = 0.5, **options: Any
    ) -> None:
        self.model = make_model(tied)
        if options.pop("checkpointing", False):
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        self.parallel = parallelise(self.model, kind, torch.device("cpu"), **options)
        self.is_sharded = self.parallel.is_sharded
        # With a large addend in Adam's division, rounding in gradients near 0 stays rounding.
        self.optimizer = Optimizer(self.model, OptimConfig(lr=1e-2, eps=1e-3, clip=clip))
        self.ema = EMA(self.model, 0.9)
        self.seconds = seconds

    def train_step(self, step: int) -> dict[str, float]:
        time.sleep(self.seconds)
        self.model.train()
        ids, labels = (tensor[distributed.share(ROWS)] for tensor in rows_of(step))
        items = self.parallel.items(int((labels[:, 1:] != -100).sum()))
        loss = 0.0
        for part in range(len(ids)):  # one row after the other: accumulation
            at = slice(part, part + 1)
            output = self.model(input_ids=ids[at], labels=labels[at], num_items_in_batch=items)
            output.loss.backward()
            loss += float(output.loss.detach())
        self.parallel.reduce(self.optimizer.parameters)
        norm = self.optimizer.step()
        self.ema.update(self.model)
        return {"loss": loss, "grad_norm": norm}

    @torch.no_grad()
    def evaluate(self, step: int) -> dict[str, float]:
        self.model.eval()
        ids, labels = rows_of(999)
        with self.ema.applied(self.model):
            loss = float(self.model(input_ids=ids, labels=labels).loss)
            scores, _ = self.model.routed_logits(self.model.hidden_states(ids)[0][:, -9], 3)
        return {"loss": loss, "score": float(scores.abs().mean())}

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "ema": self.ema.state_dict()
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if "ema" in state:
            self.ema.load_state_dict(state["ema"])
        else:
            self.ema = EMA(self.model, 0.9)

    def describe_model(self, directory: Path) -> None:
        describe_model(self.model, None, directory)

    def export(self, directory: Path) -> None:
        whole = whole_state(self.model)
        if whole is not None:
            directory.mkdir(exist_ok=True)
            torch.save(whole, directory / "weights.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, kind, steps, seconds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    with distributed.group("cpu"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"pid-{distributed.rank()}").write_text(str(os.getpid()))
        run(ToyObjective(kind, seconds=seconds), loop_config(steps), folder)
