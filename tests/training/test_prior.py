"""The prior: mixed packed rows are learnt, every split of a step is the same step, runs resume, folders load."""

import dataclasses
import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from aoede.cli.main import main
from aoede.models import CodecCausalLM
from aoede.models.adapters import AdapterConfig, load_adapter
from aoede.training import ScheduleConfig, dump_recipe, read_log
from aoede.training.optim import OptimConfig
from aoede.training.prior import PriorLoopConfig, PriorObjective, PriorRecipe, train
from aoede.training.prior_model import PriorModelConfig
from aoede.training.prior_validation import blend
from tests.training.test_distributed import launch
from tests.training.toy_prior import rows_of, toy_recipe

TRAIN = """
import sys
from aoede.training import distributed
from aoede.training.prior import PriorRecipe, train
from aoede.training.recipe import load_recipe
with distributed.group("cpu"):
    for kind, format in (("ddp", "files"), ("fsdp", "dcp")):
        changes = ["accumulate=2", f"parallel={kind}", f"loop.checkpoint_format={format}"]
        train(load_recipe(sys.argv[1], PriorRecipe, changes), f"{sys.argv[2]}/{kind}")
"""


def test_text_and_speech_are_learnt_together_and_aligned(learnt):
    out, _ = learnt
    evaluations = [row for row in read_log(out / "metrics.jsonl") if row["phase"] == "eval"]
    first, last = evaluations[0], evaluations[-1]
    for name in ("loss", "loss/text", "loss/C", "loss/M", "loss/F", "loss/close"):
        assert last[name] < first[name] - 0.1, name
    assert abs(first["loss/C"] - math.log(64)) < 0.5  # a uniform guess, before the first step
    assert last["alignment/+0"] < min(last["alignment/-1"], last["alignment/+1"]) - 0.2


def test_the_number_of_steps_comes_from_the_plan(learnt, plan):
    out, _ = learnt
    steps = rows_of(plan) // 4
    assert [row["step"] for row in read_log(out / "metrics.jsonl") if row["phase"] == "train"][-1] == steps
    with pytest.raises(ValueError, match=r"need more than the .* rows of .*set loop\.steps=0"):
        train(toy_recipe(plan, steps=steps + 1), out.parent / "more")


def test_the_table_the_curves_and_the_numbers_of_validation_are_written(learnt):
    out, _ = learnt
    history = json.loads((out / "validation.json").read_text())
    last = history["rows"][-1]
    assert last["phase"] == "clean" and history["rows"][0]["phase"] == "wide"
    assert set(last["sources"]) == {"stories", "listy", "radio", "studio"} and set(last["languages"]) == {"cs", "en"}
    assert last["weights"]["radio"] == 0.0 and sum(last["weights"].values()) == pytest.approx(1.0)
    assert history["uniform"]["M"] == pytest.approx(math.log(64))
    speech = last["sources"]["studio"]
    everything = sum(speech[name]["loss"] * speech[name]["ids"] for name in ("C", "M", "F", "close"))
    assert speech["lm"]["loss"] == pytest.approx(everything / speech["lm"]["ids"])
    expected = sum(last["weights"][s] * last["sources"][s]["lm"]["loss"] for s in last["sources"])
    assert last["blended"]["lm"] == pytest.approx(expected)
    assert last["even"] == pytest.approx(sum(found["lm"]["loss"] for found in last["sources"].values()) / 4)
    table = (out / "validation.md").read_text()
    assert "uniform guess" in table and "64 (4.159)" in table and "| *cs* |" in table
    assert (out / "validation.png").stat().st_size > 10_000


def test_a_blend_weighs_sources_by_the_phase_where_they_have_the_range():
    sources = {
        "text": {"lm": (2.0, 10), "text": (2.0, 10)},
        "radio": {"lm": (6.0, 90), "C": (6.0, 90)},
        "studio": {"lm": (4.0, 10), "C": (4.0, 10)},
    }
    found = blend(sources, {"text": 0.5, "radio": 0.25, "studio": 0.25})
    assert found == {"lm": 3.5, "text": 2.0, "C": 5.0}
    assert blend(sources, {"text": 1.0})["C"] == 5.0  # the phase has no speech: a plain mean, to be followed


def test_the_exported_folder_is_an_ordinary_model(learnt, plan):
    out, export = learnt
    assert export == out / "export"
    model = AutoModelForCausalLM.from_pretrained(export)
    tokenizer = AutoTokenizer.from_pretrained(export)
    assert tokenizer.convert_tokens_to_ids("<audio_start>") == model.vocabulary.open_id
    assert json.loads((export / "config.json").read_text())["dtype"] == "float32"
    state = torch.load(sorted((out / "checkpoints").iterdir())[-1] / "state.pt", weights_only=True)
    for name, weight in state["objective"]["model"].items():
        assert torch.equal(model.state_dict()[name], weight), name
    ids = model.generate(torch.tensor([[model.vocabulary.open_id]]), max_new_tokens=15, do_sample=False)
    frames, _ = model.vocabulary.frames_from_ids(ids[0, : 1 + (ids.shape[1] - 1) // 7 * 7])
    assert frames.shape[1] >= 1


def weights_after(recipe: PriorRecipe, out, steps: int = 2) -> dict[str, torch.Tensor]:
    objective = PriorObjective(recipe, out)
    for step in range(steps):
        objective.train_step(step)
    return {name: tensor.clone() for name, tensor in objective.model.state_dict().items()}


def test_accumulated_batches_make_the_step_of_one_big_batch(plan, tmp_path):
    start = weights_after(toy_recipe(plan), tmp_path, steps=0)
    one = weights_after(toy_recipe(plan), tmp_path)
    split = weights_after(toy_recipe(plan, accumulate=4), tmp_path)
    for name, weight in one.items():
        torch.testing.assert_close(split[name], weight, rtol=1e-5, atol=2e-6, msg=lambda m, n=name: f"{n}: {m}")
    assert max(float((one[name] - start[name]).abs().max()) for name in one) > 1e-3  # the tolerance would notice


def test_gradient_checkpointing_changes_nothing(plan, tmp_path):
    one = weights_after(toy_recipe(plan), tmp_path)
    again = weights_after(toy_recipe(plan, gradient_checkpointing=True), tmp_path)
    for name, weight in one.items():
        torch.testing.assert_close(again[name], weight, rtol=1e-5, atol=2e-6)


def test_bfloat16_trains_float32_weights(plan, tmp_path):
    objective = PriorObjective(toy_recipe(plan, precision="bfloat16", optim=OptimConfig(lr=1e-2)), tmp_path)
    losses = [objective.train_step(step)["loss"] for step in range(8)]
    assert losses[-1] < losses[0] - 0.3
    assert {parameter.dtype for parameter in objective.model.parameters()} == {torch.float32}


def test_documents_of_a_row_do_not_touch_each_other(plan, tmp_path):
    """Another first document in a row changes nothing of the second one's gradient."""
    objective = PriorObjective(toy_recipe(plan), tmp_path)
    batch = objective.data.batch(0, 1)
    starts = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
    second = starts[1]
    assert len(starts) > 2 and (batch["labels"][0, second:] != -100).any()

    def gradient(ids: torch.Tensor) -> torch.Tensor:
        labels = batch["labels"].clone()
        labels[0, :second] = -100
        objective.optimizer.zero_grad()
        objective.model(input_ids=ids, labels=labels, position_ids=batch["position_ids"]).loss.backward()
        return objective.model.get_input_embeddings().weight.grad.clone()

    changed = batch["input_ids"].clone()
    is_text = objective.model.vocabulary.is_text(changed[0, :second])
    changed[0, :second] = torch.where(is_text, (changed[0, :second] + 7) % 200, changed[0, :second])
    if not is_text.any():  # speech: another code of the same range
        changed[0, 1] = objective.model.vocabulary.range_of(0)[5]
    assert not torch.equal(changed, batch["input_ids"])
    assert torch.equal(gradient(changed), gradient(batch["input_ids"]))


def test_a_resumed_run_equals_an_uninterrupted_one(plan, tmp_path):
    recipe = toy_recipe(plan, schedule=ScheduleConfig(kind="wsd", warmup_steps=1, decay_shape="exponential"))
    train(recipe, tmp_path / "whole")
    middle = tmp_path / "whole" / "checkpoints" / "step-00000003"
    train(recipe, tmp_path / "rest", str(middle))
    states = [
        torch.load(tmp_path / run / "checkpoints" / "step-00000006" / "state.pt", weights_only=True)["objective"]
        for run in ("whole", "rest")
    ]
    for name, weight in states[0]["model"].items():
        assert torch.equal(weight, states[1]["model"][name]), name
    rows = [[r for r in read_log(tmp_path / run / "metrics.jsonl") if r["step"] > 3] for run in ("whole", "rest")]
    for one, other in zip(*rows, strict=True):
        one.pop("steps_per_second", None), other.pop("steps_per_second", None)
        assert one == other
    steps = [row["step"] for row in json.loads((tmp_path / "whole" / "validation.json").read_text())["rows"]]
    assert steps == [3, 6]


def test_two_processes_make_the_steps_of_one(plan, tmp_path):
    """Whole on each of them or spread over them, in two batches each, with rates of their own for rows."""
    optim = OptimConfig(lr=1e-2, eps=1e-2, decoupled_lr=5e-3, new_rows_lr=2e-2)
    recipe = toy_recipe(plan, steps=3, optim=optim)
    dump_recipe(recipe, tmp_path / "toy.yaml")
    for process in launch(TRAIN, [str(tmp_path / "toy.yaml"), str(tmp_path)], 2):
        assert process.returncode == 0, process.stderr[-3000:]
    one = AutoModelForCausalLM.from_pretrained(train(recipe, tmp_path / "one")).state_dict()
    for kind in ("ddp", "fsdp"):
        two = AutoModelForCausalLM.from_pretrained(tmp_path / kind / "export").state_dict()
        for name, weight in one.items():
            torch.testing.assert_close(two[name], weight, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
        logs = [read_log(tmp_path / name / "metrics.jsonl") for name in ("one", kind)]
        for mine, theirs in zip(*logs, strict=True):
            assert mine.keys() == theirs.keys()
            for key in mine.keys() - {"steps_per_second", "phase"}:
                assert theirs[key] == pytest.approx(mine[key], rel=1e-3, abs=1e-4), key


@pytest.fixture(scope="module")
def base(learnt, tmp_path_factory):
    """A model folder that speaks the plan's vocabulary."""
    return learnt[1]


# peft still uses names that transformers 5.23 calls old
@pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing.*` is deprecated:FutureWarning")
def test_an_adapter_is_trained_and_written_apart_and_merged(plan, base, tmp_path):
    recipe = toy_recipe(
        plan, steps=3, model=PriorModelConfig(base=str(base)), adapter=AdapterConfig(rank=4),
        optim=OptimConfig(lr=1e-2, new_rows_lr=1e-3),
    )  # fmt: skip
    export = train(recipe, tmp_path / "out")
    merged = CodecCausalLM.from_pretrained(export).eval()
    apart = load_adapter(CodecCausalLM.from_pretrained(base), export / "adapter").eval()
    frozen = CodecCausalLM.from_pretrained(base)
    text = frozen.vocabulary.text_size
    rows = merged.get_input_embeddings().weight, frozen.get_input_embeddings().weight
    assert torch.equal(rows[0][:text], rows[1][:text]) and not torch.equal(rows[0][text:], rows[1][text:])
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    torch.testing.assert_close(apart(ids, labels=ids).loss, merged(ids, labels=ids).loss, rtol=1e-4, atol=1e-5)
    assert merged(ids, labels=ids).loss != frozen(ids, labels=ids).loss
    state = torch.load(tmp_path / "out" / "checkpoints" / "step-00000003" / "state.pt", weights_only=True)
    assert all("lora" in name or "trainable_tokens" in name for name in state["objective"]["model"])
    train(recipe, tmp_path / "again", str(tmp_path / "out" / "checkpoints" / "step-00000003"))


def test_a_plain_text_model_is_extended_with_the_plan_s_vocabulary(plan, tmp_path):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=258, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=None, eos_token_id=257, pad_token_id=256,
    )  # fmt: skip
    text_model = LlamaForCausalLM(config)
    text_model.save_pretrained(tmp_path / "text")
    objective = PriorObjective(toy_recipe(plan, model=PriorModelConfig(base=str(tmp_path / "text"))), tmp_path)
    assert objective.model.vocabulary == objective.plan.packed.vocabulary
    rows = objective.model.get_input_embeddings().weight
    assert torch.equal(rows[:258], text_model.get_input_embeddings().weight)
    assert math.isfinite(objective.train_step(0)["loss"])


def test_new_rows_move_at_their_own_rate(plan, base, tmp_path):
    recipe = toy_recipe(
        plan, model=PriorModelConfig(base=str(base)), optim=OptimConfig(lr=1e-3, decoupled_lr=0.0, new_rows_lr=1e-2)
    )
    objective = PriorObjective(recipe, tmp_path)
    text = objective.model.vocabulary.text_size
    before = objective.model.get_input_embeddings().weight.detach().clone()
    objective.train_step(0)
    after = objective.model.get_input_embeddings().weight.detach()
    assert torch.equal(after[:text], before[:text])
    assert float((after[text:] - before[text:]).abs().max()) > 1e-4


def test_mistakes_are_found_before_the_first_step(plan, base, tmp_path):
    with pytest.raises(ValueError, match=r"give either model\.base"):
        PriorModelConfig()
    with pytest.raises(ValueError, match="cannot be split into 3 equal batches"):
        toy_recipe(plan, accumulate=3)
    with pytest.raises(ValueError, match=r"it holds no config\.json"):
        PriorObjective(toy_recipe(plan, model=PriorModelConfig(base=str(tmp_path))), tmp_path)
    with pytest.raises(ValueError, match="an adapter stands on a pretrained model"):
        toy_recipe(plan, adapter=AdapterConfig())
    with pytest.raises(ValueError, match="train it with parallel=ddp"):
        toy_recipe(plan, model=PriorModelConfig(base=str(base)), adapter=AdapterConfig(), parallel="fsdp")
    other = tmp_path / "other"
    model = CodecCausalLM.from_pretrained(base)
    markers = model.config.vocabulary["markers"]
    swapped = {"open": markers["close"], "close": markers["open"]}
    model.config.vocabulary = {**model.config.vocabulary, "markers": swapped}
    model.save_pretrained(other)
    with pytest.raises(ValueError, match="speaks another vocabulary"):
        PriorObjective(toy_recipe(plan, model=PriorModelConfig(base=str(other))), tmp_path)


def test_the_command_trains_and_tells_mistakes_in_one_line(plan, tmp_path, capsys):
    path = tmp_path / "toy.yaml"
    dump_recipe(toy_recipe(plan, steps=1), path)
    assert main(["train", "prior", str(path), "--out", str(tmp_path / "out")]) == 0
    assert f"written {tmp_path / 'out' / 'export'}" in capsys.readouterr().out
    assert main(["train", "prior", str(path), "loop.steps=9999", "--out", str(tmp_path / "no")]) == 2
    assert "loop.steps=0" in capsys.readouterr().err
    assert main(["train", "prior", str(path), f"plan={tmp_path}", "--out", str(tmp_path / "no")]) == 2
    assert "aoede mix" in capsys.readouterr().err


def test_a_plan_says_its_steps_only_to_recipes_that_leave_them_open():
    assert PriorLoopConfig().steps == 0
    with pytest.raises(ValueError, match="eval_every is 0"):
        PriorLoopConfig(eval_every=0)
    assert dataclasses.replace(PriorLoopConfig(), steps=7).steps == 7
