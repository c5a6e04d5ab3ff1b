"""Speech training on two processes takes the steps of one, and writes the same voice."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from aoede.training import LoopConfig, OptimConfig, dump_recipe
from aoede.training.speech import train
from tests.training.test_distributed import launch
from tests.training.toy_speech import toy_recipe

TRAIN = """
import sys
from aoede.training import load_recipe
from aoede.training.speech import SpeechRecipe, train
train(load_recipe(sys.argv[1], SpeechRecipe), sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_train_the_voice_of_one(shards: Path, codec: Path, tmp_path: Path, kind: str) -> None:
    loop = LoopConfig(
        steps=4, eval_every=2, checkpoint_every=2, log_every=1, tensorboard=False, checkpoint_format="dcp"
    )
    options = {"loop": loop, "accumulate": 2, "ema": 0.9, "text_loss": 0.1, "parallel": kind}
    recipe = toy_recipe(shards, codec, optim=OptimConfig(lr=5e-3, eps=1e-3), tokens_per_batch=600, **options)
    dump_recipe(recipe, tmp_path / "recipe.yaml")
    train(recipe, tmp_path / "one")
    told = launch(TRAIN, [str(tmp_path / "recipe.yaml"), str(tmp_path / "two")], 2, patience=20.0)
    assert [process.returncode for process in told] == [0, 0], "\n".join(p.stderr[-3000:] for p in told)
    rows = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert len(rows[0]) == len(rows[1]) == 6
    for one, two in zip(*rows, strict=True):
        for name in one.keys() - {"phase", "steps_per_second"}:
            assert two[name] == pytest.approx(one[name], rel=1e-4), (name, one["step"])
    one, two = (load_file(tmp_path / name / "export" / "model" / "model.safetensors") for name in ("one", "two"))
    torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-5)
    assert (tmp_path / "two" / "checkpoints" / "step-00000004" / "model" / "tokenizer.json").is_file()
