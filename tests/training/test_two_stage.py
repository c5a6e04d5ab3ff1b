import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, Trainer, TrainingArguments

from aoede.codec import Snac
from aoede.data.conversation import EncodedConversation, padded
from aoede.models import TwoStageModel
from aoede.models.two_stage.adapters import TwoStageAdapterConfig, adapt_two_stage, load_two_stage_adapter
from aoede.training import OptimConfig, load_checkpoint, read_log
from aoede.training.speech import TextStrideConfig
from aoede.training.two_stage import TwoStageObjective, train
from aoede.training.two_stage_data import ContextConfig
from aoede.training.two_stage_model import TwoStageModelConfig
from tests.training.toy_speech import toy_clip, toy_shards
from tests.training.toy_two_stage import toy_recipe


@pytest.fixture(scope="module")
def trained(shards, codec, tmp_path_factory):
    out = tmp_path_factory.mktemp("two-stage")
    recipe = toy_recipe(shards, codec, steps=60, text_stride=TextStrideConfig())
    train(recipe, out)
    objective = TwoStageObjective(recipe, out)
    objective.load_state_dict(load_checkpoint(out / "checkpoints" / "step-00000060")["objective"])
    objective.model.eval()
    return objective, out


def test_the_loss_falls_and_is_lowest_where_labels_are_not_shifted(trained):
    objective, out = trained
    evaluated = [row for row in read_log(out / "metrics.jsonl") if row["phase"] == "eval"]
    assert evaluated[-1]["loss"] < 0.7 * evaluated[0]["loss"]
    shifts = objective.label_shifts(objective.dev[0])
    assert shifts[0] < 0.7 * shifts[-1] and shifts[0] < 0.7 * shifts[1]


def test_the_shift_check_sees_a_model_that_is_one_frame_off(trained, monkeypatch):
    objective = trained[0]
    hidden_states = objective.model.hidden_states
    monkeypatch.setattr(
        objective.model, "hidden_states", lambda *args, **kwargs: hidden_states(*args, **kwargs).roll(-1, dims=1)
    )
    shifts = objective.label_shifts(objective.dev[0])
    assert shifts[1] < 0.7 * shifts[0]


@torch.no_grad()
def test_shift_zero_is_the_loss_that_forward_trains(trained):
    objective = trained[0]
    batch = objective._collate(objective.dev[0])
    labels = batch["labels"].clone()
    sound = objective._is_sound(labels)
    for row in range(len(labels)):
        places = sound[row].nonzero()[:, 0]
        labels[row, : places[1]] = -100
        labels[row, places[-1] :] = -100
    out = objective.model(**(batch | {"labels": labels}))
    expected = (out.backbone_loss + 6 * out.depth_loss) / 7
    assert objective.label_shifts(objective.dev[0])[0] == pytest.approx(float(expected), rel=1e-5)


@torch.no_grad()
def test_evaluation_is_the_mean_over_codes_stop_frames_apart(trained):
    objective = trained[0]
    total = count = 0.0
    for rows in objective.dev:
        for row in rows:
            batch = objective._collate([row])
            batch["labels"][:, -1] = -100  # the stop frame
            out = objective.model(**batch)
            total += float((out.slot_losses * out.slot_counts).sum())
            count += float(out.slot_counts.sum())
    values = objective.evaluate(0)
    assert values["loss"] == pytest.approx(total / count, rel=1e-5)
    assert values["loss"] == pytest.approx((values["loss/backbone"] + 6 * values["loss/depth"]) / 7, rel=1e-5)
    assert {"loss/C", "loss/M", "loss/F", "loss/stop", "alignment/-1", "alignment/+0", "alignment/+1"} <= values.keys()


class Killed(RuntimeError):
    pass


@pytest.mark.parametrize("everything", [False, True])
def test_a_killed_and_resumed_run_equals_an_uninterrupted_one_to_the_bit(
    shards, codec, tmp_path, monkeypatch, everything
):
    recipe = toy_recipe(shards, codec)
    if everything:
        recipe = dataclasses.replace(
            recipe, text_stride=TextStrideConfig(), speaker_dropout=0.3, code_noise=0.1, ema=0.9, accumulate=2,
            amortization_ratio=4, context=ContextConfig(turns=2, share=0.6, speaker="any"),
            optim=OptimConfig(kind="muon", lr=5e-3), depth_loss_weight=2.0,
        )  # fmt: skip
    train(recipe, tmp_path / "whole")
    step = TwoStageObjective.train_step

    def killed_at_eight(self, number):
        if number == 8:
            raise Killed
        return step(self, number)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(TwoStageObjective, "train_step", killed_at_eight)
        train(recipe, tmp_path / "cut")
    train(recipe, tmp_path / "cut")
    logs = [read_log(tmp_path / name / "metrics.jsonl") for name in ("whole", "cut")]
    for log in logs:
        for row in log:
            row.pop("steps_per_second", None)
    assert logs[0] == logs[1]
    weights = [(tmp_path / name / "export" / "model" / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


def gradients(objective, step, monkeypatch):
    """The gradient of an update, as the objective makes it."""
    taken = {}

    def catch(parameters):
        taken.update({name: p.grad.clone() for name, p in objective.model.named_parameters()})
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(objective, "parallel", SimpleNamespace(items=objective.parallel.items, reduce=catch))
        objective.train_step(step)
    return taken


def test_an_update_is_the_mean_over_the_entries_of_all_its_batches(shards, codec, tmp_path, monkeypatch):
    recipe = toy_recipe(shards, codec, accumulate=2, amortization_ratio=3, depth_loss_weight=0.5)
    objective = TwoStageObjective(recipe, tmp_path)
    batches = [objective._batch(number) for number in (0, 1)]
    split = gradients(objective, 0, monkeypatch)
    longest = max(batch["labels"].shape[1] for batch in batches)

    def joined(name, fill):
        parts = [batch[name] for batch in batches]
        shapes = [(len(p), longest - p.shape[1], *p.shape[2:]) for p in parts]
        return torch.cat([torch.cat([p, p.new_full(s, fill)], 1) for p, s in zip(parts, shapes, strict=True)])

    objective.optimizer.zero_grad()
    whole = {"input_ids": joined("input_ids", -1), "labels": joined("labels", -100)}
    objective.model(**whole, amortization=joined("amortization", False)).loss.backward()
    for name, parameter in objective.model.named_parameters():
        assert torch.allclose(split[name], parameter.grad, atol=1e-6), name


def test_the_depth_decoder_sees_other_frames_in_every_epoch_and_the_same_ones_again(shards, codec, tmp_path):
    objective = TwoStageObjective(toy_recipe(shards, codec, amortization_ratio=4), tmp_path)
    per_epoch = len(objective.batches.epoch(0))

    def drawn(epoch):
        seen = {}
        for number in range(epoch * per_epoch, (epoch + 1) * per_epoch):
            items = objective.batches.batch(number)[1]
            for item, row in zip(items, objective._batch(number)["amortization"], strict=True):
                seen[item] = row.nonzero()[:, 0].tolist()
        return seen

    first, second = drawn(0), drawn(1)
    assert first == drawn(0)
    assert sorted(first) == sorted(second) == list(range(len(objective.data.train)))
    assert sum(first[item] != second[item] for item in first) > 0.8 * len(first)
    for item, frames in first.items():
        # A toy clip has a frame a character, and its stop frame, whose slots above 0 have no entry.
        assert len(frames) == -(-(objective.train_rows.lengths(0)[item] - objective.data.train[item].num_text - 1) // 4)


def test_the_exported_folder_holds_the_model_its_tokenizer_and_its_codec(trained):
    objective, out = trained
    voice = json.loads((out / "export" / "voice.json").read_text())
    assert (voice["kind"], voice["speakers"]) == ("two-stage", ["ann", "bob"])
    model = AutoModel.from_pretrained(out / "export" / "model")
    assert isinstance(model, TwoStageModel)
    assert model.config.text_stride == pytest.approx(objective.data.mean_text_stride)
    assert (model.config.stop, model.config.layout) == ("row", "CMFFMFF")
    assert model.config.codec_fingerprint == Snac.from_pretrained(out / "export" / "codec").fingerprint()
    batch = objective._collate(objective.dev[0])
    with torch.no_grad():
        assert torch.equal(model(**batch).loss, objective.model(**batch).loss)
    tokenizer = AutoTokenizer.from_pretrained(out / "export" / "model")
    example = objective.data.dev[0]
    assert tokenizer(f"<{example.speaker}>")["input_ids"] == example.ids[:1].tolist()


def test_training_goes_on_from_a_folder(trained, shards, codec, tmp_path):
    objective, out = trained
    base = TwoStageModelConfig(base=str(out / "export" / "model"))
    again = TwoStageObjective(toy_recipe(shards, codec, model=base, text_stride=TextStrideConfig()), tmp_path)
    assert again.evaluate(0)["loss"] == pytest.approx(objective.evaluate(0)["loss"], rel=1e-5)


def test_a_model_over_other_slots_is_refused(trained, shards, codec, tmp_path):
    _, out = trained
    base = TwoStageModelConfig(base=str(out / "export" / "model"))
    recipe = toy_recipe(shards, codec, model=base)
    data = dataclasses.replace(recipe.data, layout="CMMFFFF")
    with pytest.raises(ValueError, match="layout CMFFMFF, the data 7 of 64 in CMMFFFF"):
        TwoStageObjective(dataclasses.replace(recipe, data=data), tmp_path)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"amortization_ratio": 0}, "amortization_ratio is 0, but must be 1 or more"),
        ({"code_noise": 1.0}, "code_noise is 1.0, but must lie in"),
        ({"depth_loss_weight": 0.0}, "depth_loss_weight is 0.0, but must be above 0"),
        ({"frames_per_batch": 20}, "the longest example has"),
    ],
)
def test_wrong_settings_are_told_in_words(shards, codec, tmp_path, wrong, words):
    with pytest.raises(ValueError, match=words):
        TwoStageObjective(toy_recipe(shards, codec, **wrong), tmp_path)


@pytest.fixture(scope="module")
def with_adapter(trained, shards, codec, tmp_path_factory):
    _, out = trained
    folder = tmp_path_factory.mktemp("adapter")
    base = TwoStageModelConfig(base=str(out / "export"))
    adapter = TwoStageAdapterConfig(rank=4, layers=("backbone.q_proj", "depth_decoder"))
    recipe = toy_recipe(shards, codec, steps=8, model=base, adapter=adapter, text_stride=TextStrideConfig())
    recipe = dataclasses.replace(recipe, optim=OptimConfig(lr=5e-3))
    train(recipe, folder)
    return recipe, folder


def test_an_adapter_stands_where_it_is_named_and_nowhere_else(with_adapter, tmp_path):
    recipe, folder = with_adapter
    objective = TwoStageObjective(recipe, tmp_path)
    moving = [name for name, p in objective.model.named_parameters() if p.requires_grad]
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in moving if name.startswith("backbone")} == {"q_proj"}
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in moving if name.startswith("depth")} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip
    state = load_checkpoint(folder / "checkpoints" / "step-00000008")["objective"]["model"]
    assert set(state) == set(moving)


@torch.no_grad()
def test_the_export_holds_the_adapter_merged_and_apart(with_adapter, trained, tmp_path):
    recipe, folder = with_adapter
    objective = TwoStageObjective(recipe, tmp_path)
    batch = objective._collate(objective.dev[0])
    before = objective.model.eval()(**batch).loss
    assert torch.equal(before, trained[0].model(**batch).loss)  # an adapter begins as nothing
    objective.load_state_dict(load_checkpoint(folder / "checkpoints" / "step-00000008")["objective"])
    expected = objective.model.eval()(**batch).loss
    assert float(expected) < float(before)
    merged = TwoStageModel.from_pretrained(folder / "export" / "model")
    assert torch.allclose(merged(**batch).loss, expected, atol=1e-5)
    base = TwoStageModel.from_pretrained(trained[1] / "export" / "model")
    apart = load_two_stage_adapter(base, folder / "export" / "adapter")
    assert torch.allclose(apart(**batch).loss, expected, atol=1e-6)
    with pytest.raises(ValueError, match="trained on another base model"):
        load_two_stage_adapter(merged, folder / "export" / "adapter")


def test_a_new_speaker_gets_a_row_that_an_adapter_trains(trained, codec, tmp_path):
    _, out = trained
    clips = [toy_clip(900 + i, "fig nut ivy", "cyd", "dev" if i == 9 else "train") for i in range(10)]
    shards = toy_shards(tmp_path / "cyd", codec, extra=clips)
    recipe = toy_recipe(
        shards, codec, steps=4, model=TwoStageModelConfig(base=str(out / "export")),
        adapter=TwoStageAdapterConfig(rank=2, layers=("backbone",)), text_stride=TextStrideConfig(),
    )  # fmt: skip
    train(recipe, tmp_path / "run")
    old = TwoStageModel.from_pretrained(out / "export" / "model").text_embeddings.weight
    new = TwoStageModel.from_pretrained(tmp_path / "run" / "export" / "model").text_embeddings.weight
    assert len(new) == len(old) + 1
    assert torch.equal(new[: len(old)], old) and not torch.allclose(new[-1], old.mean(0))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "export" / "model")
    assert tokenizer("<cyd>")["input_ids"] == [len(old)]
    again = load_two_stage_adapter(
        TwoStageModel.from_pretrained(out / "export" / "model"), tmp_path / "run" / "export" / "adapter"
    )
    objective = TwoStageObjective(recipe, tmp_path / "run")
    objective.load_state_dict(load_checkpoint(tmp_path / "run" / "checkpoints" / "step-00000004")["objective"])
    batch = objective._collate(objective.dev[0])
    with torch.no_grad():
        assert torch.allclose(again(**batch).loss, objective.model.eval()(**batch).loss, atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"layers": ("backbone.nose",)}, "no adapter can stand on 'backbone.nose'; this model takes backbone, "),
        ({"layers": ()}, "adapter layers is empty"),
        ({"rank": 0}, "adapter rank is 0"),
    ],
)
def test_wrong_adapters_are_told_in_words(trained, wrong, words):
    model = TwoStageModel.from_pretrained(trained[1] / "export" / "model")
    with pytest.raises(ValueError, match=words):
        adapt_two_stage(model, TwoStageAdapterConfig(**wrong))


def test_the_trainer_of_transformers_takes_a_step(trained, tmp_path):
    objective, out = trained
    model = TwoStageModel.from_pretrained(out / "export" / "model")
    rows = [objective.train_rows.row(0, index) for index in range(8)]
    before = model.slot0_head.weight.detach().clone()
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            str(tmp_path), max_steps=2, per_device_train_batch_size=2, gradient_accumulation_steps=2, use_cpu=True,
            report_to=[], save_strategy="no", disable_tqdm=True, remove_unused_columns=False, logging_steps=1,
        ),
        train_dataset=[{"input_ids": row.frames, "labels": row.labels} for row in rows],
        data_collator=lambda items: dict(
            padded([EncodedConversation(frames=i["input_ids"], labels=i["labels"]) for i in items], "right")
        ),
    )  # fmt: skip
    result = trainer.train()
    assert torch.isfinite(torch.tensor(result.training_loss)) and result.global_step == 2
    assert not torch.equal(model.slot0_head.weight, before)


def test_slots_of_one_level_share_rows_where_the_recipe_says_so(shards, codec, tmp_path):
    plain = toy_recipe(shards, codec, steps=2)
    scratch = dataclasses.replace(plain.model.scratch, share_rows=True, slot_gains=True)
    recipe = dataclasses.replace(plain, model=TwoStageModelConfig(scratch=scratch))
    model = TwoStageModel.from_pretrained(train(recipe, tmp_path) / "model")
    assert model.config.slot_tables == [0, 1, 2, 2, 1, 2, 2] and model.slot_gains.weight.shape == (7, 32)
    assert model.depth_heads.shape[0] == 2
    scratch = dataclasses.replace(scratch, share_rows=False)
    with pytest.raises(ValueError, match="slot_gains is for slots that share rows"):
        TwoStageObjective(dataclasses.replace(recipe, model=TwoStageModelConfig(scratch=scratch)), tmp_path / "other")
