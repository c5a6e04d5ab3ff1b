"""Two-stage training on two processes takes the steps of one."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from aoede.training import LoopConfig, OptimConfig, dump_recipe
from aoede.training.two_stage import train
from aoede.training.two_stage_data import ContextConfig
from tests.training.test_distributed import launch
from tests.training.toy_two_stage import toy_recipe

TRAIN = """
import sys
from aoede.training import load_recipe
from aoede.training.two_stage import TwoStageRecipe, train
train(load_recipe(sys.argv[1], TwoStageRecipe), sys.argv[2])
"""


@pytest.mark.slow
def test_two_processes_train_the_model_of_one(shards: Path, codec: Path, tmp_path: Path) -> None:
    loop = LoopConfig(steps=4, eval_every=2, checkpoint_every=2, log_every=1, tensorboard=False)
    recipe = toy_recipe(
        shards, codec, loop=loop, accumulate=2, ema=0.9, amortization_ratio=3, context=ContextConfig(),
        optim=OptimConfig(lr=5e-3, eps=1e-3),
    )  # fmt: skip
    dump_recipe(recipe, tmp_path / "recipe.yaml")
    train(recipe, tmp_path / "one")
    told = launch(TRAIN, [str(tmp_path / "recipe.yaml"), str(tmp_path / "two")], 2, patience=20.0)
    assert [process.returncode for process in told] == [0, 0], "\n".join(p.stderr[-3000:] for p in told)
    logs = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert len(logs[0]) == len(logs[1]) == 6
    for one, two in zip(*logs, strict=True):
        for name in one.keys() - {"phase", "steps_per_second"}:
            assert two[name] == pytest.approx(one[name], rel=1e-4), (name, one["step"])
    weights = [load_file(tmp_path / name / "export" / "model" / "model.safetensors") for name in ("one", "two")]
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-3, atol=1e-5)
