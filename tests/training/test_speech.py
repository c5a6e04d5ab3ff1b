import dataclasses
import json
import math
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from aoede.cli.main import main
from aoede.codec import Snac
from aoede.generation import Voice
from aoede.training import OptimConfig, load_checkpoint, read_log, to_dict
from aoede.training.speech import ModelConfig, SpeechObjective, TextStrideConfig, train
from aoede.training.speech_data import character_tokenizer
from aoede.training.voice_folder import VoiceConfig, write_voice
from tests.training.toy_speech import toy_clip, toy_recipe, toy_shards


@pytest.fixture(scope="module")
def trained(shards, codec, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    recipe = toy_recipe(shards, codec, steps=50)
    train(recipe, out)
    objective = SpeechObjective(recipe, out)
    objective.load_state_dict(load_checkpoint(out / "checkpoints" / "step-00000050")["objective"])
    return objective, out


def test_the_loss_is_lowest_where_labels_are_not_shifted(trained):
    shifts = trained[0].label_shifts(trained[0].dev[0])
    assert shifts[0] < 0.7 * shifts[-1] and shifts[0] < 0.7 * shifts[1]


def test_the_shift_check_sees_a_model_that_is_one_id_off(trained, monkeypatch):
    objective = trained[0]
    hidden_states = objective.model.hidden_states

    def one_later(*args, **kwargs):
        hidden, cache = hidden_states(*args, **kwargs)
        return hidden.roll(-1, dims=1), cache

    monkeypatch.setattr(objective.model, "hidden_states", one_later)
    shifts = objective.label_shifts(objective.dev[0])
    assert shifts[1] < 0.7 * shifts[0]


@torch.no_grad()
def test_shift_zero_is_the_loss_that_forward_trains(trained):
    objective = trained[0]
    examples = objective.dev[0]
    batch = objective._collate(examples, None)
    labels = torch.full_like(batch["labels"], -100)
    for row, example in enumerate(examples):
        inner = slice(example.num_text + 2, len(example.ids) - 2)  # without the first code, the last, the marker
        labels[row, inner] = batch["input_ids"][row, inner]
    expected = objective.model(input_ids=batch["input_ids"], labels=labels).loss
    assert objective.label_shifts(examples)[0] == pytest.approx(float(expected), rel=1e-5)


@torch.no_grad()
def test_padding_changes_no_loss(trained):
    objective = trained[0]
    examples = objective.dev[0]

    def total(some):
        batch = objective._collate(some, None)
        output = objective.model(input_ids=batch["input_ids"], labels=batch["labels"])
        return output.loss.item() * sum(output.counts.values())

    assert len({len(e.ids) for e in examples}) > 1
    assert total(examples) == pytest.approx(sum(total([example]) for example in examples), rel=1e-5)


def test_the_prompt_is_masked_and_every_range_is_reported(trained):
    _, out = trained
    row = read_log(out / "metrics.jsonl")[-1]
    assert row["phase"] == "eval"
    assert {name for name in row if name.startswith("loss/")} == {
        "loss/open",
        "loss/close",
        "loss/C",
        "loss/M",
        "loss/F",
    }
    assert {"alignment/-1", "alignment/+0", "alignment/+1"} <= row.keys()


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
            text_loss=0.2, optim=OptimConfig(kind="muon", lr=5e-3),
        )  # fmt: skip
    train(recipe, tmp_path / "whole")
    step = SpeechObjective.train_step

    def killed_at_eight(self, number):
        if number == 8:
            raise Killed
        return step(self, number)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(SpeechObjective, "train_step", killed_at_eight)
        train(recipe, tmp_path / "cut")
    train(recipe, tmp_path / "cut")

    logs = [read_log(tmp_path / name / "metrics.jsonl") for name in ("whole", "cut")]
    for log in logs:
        for row in log:
            row.pop("steps_per_second", None)
    assert logs[0] == logs[1]
    states = [
        load_checkpoint(tmp_path / name / "checkpoints" / "step-00000012")["objective"] for name in ("whole", "cut")
    ]
    for key in states[0]["model"]:
        assert torch.equal(states[0]["model"][key], states[1]["model"][key]), key
    weights = [(tmp_path / name / "export" / "model" / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


def test_the_exported_folder_is_a_whole_voice(trained, codec):
    objective, out = trained
    voice = json.loads((out / "export" / "voice.json").read_text())
    assert (voice["format"], voice["speakers"], voice["default_speaker"]) == (1, ["ann", "bob"], "ann")
    # A toy clip has one frame of 16 samples at 800 Hz a character, and one text id more than characters.
    assert voice["seconds_per_unit"]["ann"] == pytest.approx(0.02 * 17 / 18, rel=0.05)
    assert (out / "export" / "model" / "augmented.yaml").is_file()
    model = AutoModelForCausalLM.from_pretrained(out / "export" / "model")
    tokenizer = AutoTokenizer.from_pretrained(out / "export" / "model")
    example = objective.data.dev[0]
    prompt = f"<{example.speaker}>" + tokenizer.decode(example.ids[1 : example.num_text]).replace(" ", "")
    assert tokenizer(prompt)["input_ids"][:3] == example.ids[:3].tolist()
    ids = torch.from_numpy(example.ids.astype("int64"))[None]
    with torch.no_grad():
        assert torch.equal(model(ids).logits, objective.model.eval()(ids).logits)
    assert Snac.from_pretrained(out / "export" / "codec").config == objective.codec.config


def test_a_voice_offers_the_speakers_that_it_is_told_to(trained, tmp_path):
    objective, _ = trained
    write_voice(tmp_path / "bob", VoiceConfig(speakers=("bob",)), objective.model, objective.codec, objective.data)
    voice = json.loads((tmp_path / "bob" / "voice.json").read_text())
    assert (voice["speakers"], voice["default_speaker"], list(voice["seconds_per_unit"])) == (["bob"], "bob", ["bob"])
    for wrong in ({"speakers": ("eve",)}, {"speakers": ("bob",), "default_speaker": "ann"}):
        with pytest.raises(ValueError, match=r"'eve'|'ann'"):
            write_voice(tmp_path / "no", VoiceConfig(**wrong), objective.model, objective.codec, objective.data)
    assert not (tmp_path / "no").exists()


def test_the_exported_voice_speaks(trained):
    voice = Voice.from_pretrained(trained[1] / "export")
    audio = voice.speak("oak elm ash", speaker="bob", seed=1)
    assert audio.sample_rate == 800 and len(audio.samples) >= 16
    with pytest.raises(ValueError, match="eve"):
        voice.speak("oak", speaker="eve")


def test_what_cannot_be_used_is_reported_by_clip_and_reason(codec, tmp_path):
    extra = [
        toy_clip(900, "", "ann", "train"),
        toy_clip(901, "oak " * 40, "ann", "train"),
        toy_clip(902, "дуб", "bob", "train"),
        toy_clip(903, "oak <sigh> elm", "bob", "train"),
    ]
    shards = toy_shards(tmp_path / "shards", codec, extra)
    recipe = toy_recipe(shards, codec)
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, max_ids=900))
    objective = SpeechObjective(recipe, tmp_path / "out")
    left_out = json.loads((tmp_path / "out" / "left_out.json").read_text())
    reasons = {ids[0]: reason for reason, ids in left_out["train"].items()}
    assert reasons["clip900"] == "without text"
    assert reasons["clip901"] == "longer than max_ids=900"
    assert "Cyrillic" in reasons["clip902"]
    assert "left out 3" in objective.describe()[0]


def test_events_in_the_texts_become_tokens_of_their_own(codec, tmp_path):
    shards = toy_shards(tmp_path / "shards", codec, [toy_clip(900, "oak <sigh> elm", "bob", "train")])
    objective = SpeechObjective(toy_recipe(shards, codec), tmp_path / "out")
    data = objective.data
    assert data.front_end.events == ("<sigh>",)
    example = next(example for example in data.train if example.id == "clip900")
    sigh = data.tokenizer.convert_tokens_to_ids("<sigh>")
    assert sigh in example.ids[: example.num_text] and sigh < data.vocabulary.open_id


def test_text_is_weighed_in_where_the_recipe_says_so(shards, codec, tmp_path):
    recipe = toy_recipe(shards, codec, text_loss=1.0)
    objective = SpeechObjective(recipe, tmp_path)
    batch = objective._batch(0)
    count = int((batch["labels"][:, 1:] != -100).sum())
    with torch.no_grad():
        loss, means, counts = objective._loss(batch, count)
        output = objective.model(input_ids=batch["input_ids"], labels=batch["labels"])
    assert loss.item() == pytest.approx(output.loss.item(), rel=1e-5)
    assert means == pytest.approx({name: float(value) for name, value in output.losses.items()}, rel=1e-5)
    assert counts == output.counts and sum(counts.values()) == count


def test_accumulated_batches_count_as_one(shards, codec, tmp_path):
    recipe = toy_recipe(shards, codec, accumulate=2, optim=OptimConfig(lr=1e-9))
    objective = SpeechObjective(recipe, tmp_path)
    batches = [objective._batch(0), objective._batch(1)]
    with torch.no_grad():
        outputs = [objective.model(input_ids=b["input_ids"], labels=b["labels"]) for b in batches]
    counts = [sum(output.counts.values()) for output in outputs]
    expected = sum(o.loss.item() * n for o, n in zip(outputs, counts, strict=True)) / sum(counts)
    assert objective.train_step(0)["loss"] == pytest.approx(expected, rel=1e-5)


def test_noise_replaces_codes_by_codes_of_their_level_and_leaves_labels_alone(shards, codec, tmp_path):
    clean = SpeechObjective(toy_recipe(shards, codec), tmp_path)
    noisy = SpeechObjective(toy_recipe(shards, codec, code_noise=0.5), tmp_path)
    before, after = clean._batch(3), noisy._batch(3)
    assert torch.equal(before["labels"], after["labels"])
    changed = before["input_ids"] != after["input_ids"]
    assert 0.3 < float(changed.sum()) / float(clean.model.vocabulary.is_codec(before["input_ids"]).sum()) < 0.6
    router = clean.model.router
    for row, mask in zip(after["input_ids"], after["attention_mask"], strict=True):
        router.advance(row[mask.bool()])  # strict: raises at an illegal id


def test_dropped_speakers_leave_the_rest_of_the_prompt(shards, codec, tmp_path):
    objective = SpeechObjective(toy_recipe(shards, codec, speaker_dropout=0.5), tmp_path)
    named = torch.tensor(list(objective.data.speaker_ids.values()))
    firsts = torch.cat([objective._batch(n)["input_ids"][:, 0] for n in range(6)])
    share = float(torch.isin(firsts, named).float().mean())
    assert 0.3 < share < 0.7


def test_dropped_texts_leave_the_speaker_and_all_codes(shards, codec, tmp_path):
    plain = SpeechObjective(toy_recipe(shards, codec), tmp_path / "a")
    objective = SpeechObjective(toy_recipe(shards, codec, text_dropout=0.5), tmp_path / "b")
    vocabulary, named = plain.model.vocabulary, list(plain.data.speaker_ids.values())
    counts = []
    for number in range(6):
        whole, dropped = plain._batch(number), objective._batch(number)
        for full, ids in zip(whole["input_ids"], dropped["input_ids"], strict=True):
            codes, text = (ids[vocabulary.is_codec(ids)], ids[: int((ids == vocabulary.open_id).nonzero()[0])])
            assert torch.equal(codes, full[vocabulary.is_codec(full)])
            counts.append(len(text))
            assert int(text[0]) in named and torch.equal(text, full[: len(text)])
    assert 0.3 < counts.count(1) / len(counts) < 0.7 and max(counts) > 3


def test_parallel_positions_use_each_clip_s_pace_with_jitter(shards, codec, tmp_path):
    objective = SpeechObjective(toy_recipe(shards, codec, text_stride=TextStrideConfig(jitter=0.2)), tmp_path)
    assert objective.model.config.text_stride == pytest.approx(objective.data.mean_text_stride)
    examples = [objective.data.train[i] for i in objective.batches.batch(0)]
    exact = torch.tensor([example.text_stride for example in examples])
    ratio = objective._batch(0)["text_stride"] / exact
    assert bool(((ratio > 0.8) & (ratio < 1.2)).all()) and float(ratio.std()) > 0.05
    assert torch.equal(objective._collate(examples, None)["text_stride"], exact)
    assert all(math.isfinite(value) for value in objective.train_step(0).values())


def test_the_average_is_what_is_evaluated_and_exported(shards, codec, tmp_path):
    objective = SpeechObjective(toy_recipe(shards, codec, ema=0.99), tmp_path)
    start = objective.model.lm_head.weight.detach().clone()
    for step in range(4):
        objective.train_step(step)
    moved = (objective.model.lm_head.weight - start).norm()
    objective.export(tmp_path / "voice")
    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "voice" / "model")
    assert 0 < (exported.lm_head.weight - start).norm() < moved


def test_bfloat16_trains_with_float32_weights(shards, codec, tmp_path):
    objective = SpeechObjective(toy_recipe(shards, codec, precision="bfloat16"), tmp_path)
    losses = [objective.train_step(step)["loss"] for step in range(15)]
    assert losses[-1] < losses[0] - 0.5
    assert {p.dtype for p in objective.model.parameters()} == {torch.float32}
    assert objective.evaluate(15)["alignment/+0"] > 0


def test_a_pretrained_model_is_extended_with_its_own_tokenizer(shards, codec, tmp_path):
    tokenizer = character_tokenizer(["oak elm ash fir yew bay fig nut ivy hop"], [])
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    base = AutoModelForCausalLM.from_config(config)
    base.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    recipe = toy_recipe(shards, codec, steps=2, model=ModelConfig(base=str(tmp_path / "base")))
    voice = train(recipe, tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(voice / "model")
    assert model.vocabulary.text_size == 40 and model.vocabulary.size == 40 + 2 + 3 * 64
    extended = AutoTokenizer.from_pretrained(voice / "model")
    assert extended.convert_tokens_to_ids("<bob>") == len(tokenizer) + 1
    assert extended("<ann>oak")["input_ids"][1:] == tokenizer("oak")["input_ids"]


def test_a_resumed_run_keeps_its_tokens(codec, tmp_path):
    first = toy_shards(tmp_path / "first", codec)
    SpeechObjective(toy_recipe(first, codec), tmp_path / "out")
    more = toy_shards(tmp_path / "more", codec, [toy_clip(900, "oak", "cid", "train")])
    with pytest.raises(ValueError, match="<cid> is in the data"):
        SpeechObjective(toy_recipe(more, codec), tmp_path / "out")


def test_mistakes_are_found_before_the_first_step(shards, codec, tmp_path):
    recipe = toy_recipe(shards, codec)
    with pytest.raises(ValueError, match="default_speaker is 'eve', but the data has ann, bob"):
        SpeechObjective(dataclasses.replace(recipe, voice=VoiceConfig(default_speaker="eve")), tmp_path)
    with pytest.raises(ValueError, match=r"batch takes 50.*max_ids"):
        SpeechObjective(dataclasses.replace(recipe, tokens_per_batch=50), tmp_path)
    with pytest.raises(ValueError, match=r"layout CMMM"):
        SpeechObjective(dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, layout="CMMM")), tmp_path)
    with pytest.raises(ValueError, match=r"one of model\.base .folder of a text model., model\.scratch"):
        ModelConfig()
    with pytest.raises(ValueError, match="evaluation needs other clips"):
        dataclasses.replace(recipe.data, dev_split="train")


def test_the_command_trains_from_a_file_and_tells_mistakes_in_one_line(shards, codec, tmp_path, capsys):
    from aoede.training import dump_recipe

    path = tmp_path / "toy.yaml"
    dump_recipe(toy_recipe(shards, codec, steps=3), path)
    assert main(["train", "speech", str(path), "loop.steps=2", "--out", str(tmp_path / "out")]) == 0
    assert f"written {tmp_path / 'out' / 'export'}" in capsys.readouterr().out
    assert main(["train", "speech", str(path), "loop.stepz=2", "--out", str(tmp_path / "out")]) == 2
    assert "did you mean steps" in capsys.readouterr().err
    assert to_dict(toy_recipe(shards, codec, steps=2))["loop"]["steps"] == 2


def test_training_a_codec_does_not_load_transformers():
    code = "import sys, aoede.training; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
