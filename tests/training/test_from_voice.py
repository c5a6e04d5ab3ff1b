import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from aoede.cli.main import main
from aoede.codec import Snac
from aoede.data.text import TextFrontEnd
from aoede.generation import Voice
from aoede.training import ScheduleConfig, dump_recipe, load_checkpoint, load_recipe
from aoede.training.from_voice import StartingVoice
from aoede.training.speech import ModelConfig, SpeechObjective, SpeechRecipe, TextStrideConfig, open_codec, train
from aoede.training.speech_data import SpeechDataConfig, character_tokenizer
from tests.training.toy_speech import toy_clip, toy_recipe, toy_shards

RUSSIAN = TextFrontEnd(language="ru")


@pytest.fixture(scope="module")
def old(shards, codec, tmp_path_factory):
    """A voice of ann and bob that has learnt a little, and the objective that made it."""
    out = tmp_path_factory.mktemp("old")
    recipe = toy_recipe(shards, codec, steps=30)
    voice = train(recipe, out)
    objective = SpeechObjective(recipe, out)
    objective.load_state_dict(load_checkpoint(out / "checkpoints" / "step-00000030")["objective"])
    return voice, objective


@pytest.fixture(scope="module")
def other(codec, tmp_path_factory):
    """Clips of another language: cid and dan say words with letters that ann and bob never said."""
    clips = [
        toy_clip(900 + n, text, ["cid", "dan"][n % 2], "dev" if n > 9 else "train")
        for n, text in enumerate(["ёж", "ёлка", "oak ж", "ash ё", "жук", "лук"] * 2)
    ]
    return toy_shards(tmp_path_factory.mktemp("other") / "shards", codec, clips)


def started(voice, shards, out, **changes) -> SpeechObjective:
    """What a run begins with that takes all but the clips from a voice."""
    return SpeechObjective(starting(voice, shards, **changes), out)


def starting(voice, shards, **changes) -> SpeechRecipe:
    data = SpeechDataConfig(shards=(str(shards),), **changes.pop("data", {}))
    return toy_recipe(shards, "", **{"data": data, "model": ModelConfig(init=str(voice)), **changes})


def test_a_voice_that_begins_from_another_loses_as_little_on_its_clips(old, shards, tmp_path):
    voice, objective = old
    begun = started(voice, shards, tmp_path)
    assert begun.evaluate(0) == pytest.approx(objective.evaluate(0), rel=1e-5)
    assert begun.evaluate(0)["loss"] < 2.5  # it has learnt something: log 64 is 4.2


def test_new_tokens_move_codes_and_change_no_loss_of_old_clips(old, other, tmp_path):
    voice, objective = old
    begun = started(voice, other, tmp_path, data={"text": RUSSIAN})
    added = len(begun.data.tokenizer) - len(objective.data.tokenizer)
    assert added == len(["<cid>", "<dan>", *"ёжлкау"])
    assert begun.model.vocabulary.open_id == objective.model.vocabulary.open_id + added
    known = {example.id: example for example in objective.data.dev}
    again = [example for example in begun.data.dev if example.id in known]
    assert len(again) == len(known)

    def losses(of, examples):
        batch = of._collate(examples, None)
        with torch.no_grad():
            return of.model.eval()(input_ids=batch["input_ids"], labels=batch["labels"]).losses

    old_losses, new_losses = losses(objective, [known[e.id] for e in again]), losses(begun, again)
    assert old_losses.keys() == new_losses.keys() == {"open", "close", "C", "M", "F"}
    for name in ("close", "C", "M", "F"):  # before the open marker text is legal, and there is more text now
        assert float(new_losses[name]) == pytest.approx(float(old_losses[name]), rel=1e-5), name
    assert new_losses["open"] > old_losses["open"]


def test_rows_land_on_their_tokens(old, other, tmp_path):
    voice, objective = old
    begun = started(voice, other, tmp_path, data={"text": RUSSIAN})
    before, after = objective.data.tokenizer.get_vocab(), begun.data.tokenizer.get_vocab()
    assert {token: after[token] for token in before} == before
    old_rows, rows = objective.model.get_input_embeddings().weight, begun.model.get_input_embeddings().weight
    for token, row in before.items():
        assert torch.equal(rows[after[token]], old_rows[row]), token
    old_words, words = objective.model.vocabulary, begun.model.vocabulary
    for slot in range(7):
        assert torch.equal(rows[list(words.range_of(slot))], old_rows[list(old_words.range_of(slot))])
    assert torch.equal(rows[[words.open_id, words.close_id]], old_rows[[old_words.open_id, old_words.close_id]])
    mean = (old_rows[before["<ann>"]] + old_rows[before["<bob>"]]) / 2
    assert torch.allclose(rows[after["<cid>"]], mean) and torch.allclose(rows[after["<dan>"]], mean)
    drawn = rows[[after[letter] for letter in "ёжлкау"]]
    assert not torch.allclose(drawn, drawn.mean(0).expand_as(drawn), atol=1e-3)
    spread = old_rows[list(before.values())].std()
    assert 0.3 * spread < drawn.std() < 3 * spread
    assert begun.model.lm_head.weight is rows and begun.model.config.vocab_size == words.size == len(rows)


def test_rows_follow_tokens_that_stand_elsewhere(old):
    voice, objective = old
    start = StartingVoice.load(str(voice))
    swapped = dict(start.tokens)
    swapped["<ann>"], swapped["k"] = swapped["k"], swapped["<ann>"]
    rows = start.model(start.vocabulary, swapped).get_input_embeddings().weight
    old_rows = objective.model.get_input_embeddings().weight
    assert torch.equal(rows[swapped["<ann>"]], old_rows[start.tokens["<ann>"]])
    assert torch.equal(rows[swapped["k"]], old_rows[start.tokens["k"]])


def test_the_new_voice_trains_resumes_and_speaks_and_the_old_one_is_as_it_was(old, other, tmp_path):
    voice, _ = old
    weights = (voice / "model" / "model.safetensors").read_bytes()
    recipe = starting(
        voice,
        other,
        data={"speakers": ("cid", "dan"), "text": RUSSIAN},
        schedule=ScheduleConfig(kind="constant", warmup_steps=1),
    )
    cut = dataclasses.replace(recipe, loop=dataclasses.replace(recipe.loop, steps=5))
    train(cut, tmp_path / "cut")
    new = train(recipe, tmp_path / "cut")
    whole = train(recipe, tmp_path / "whole")
    for name in ("model.safetensors", "tokenizer.json"):
        assert (new / "model" / name).read_bytes() == (whole / "model" / name).read_bytes()
    settings = json.loads((new / "voice.json").read_text())
    assert settings["speakers"] == ["cid", "dan"]
    assert Voice.from_pretrained(new).speak("ёж", "dan").sample_rate == 800
    assert (voice / "model" / "model.safetensors").read_bytes() == weights


def test_codec_layout_and_text_are_the_voice_s_where_the_recipe_says_nothing(codec, shards, tmp_path):
    text = TextFrontEnd(language="fr", template="{speaker} {text}")
    recipe = toy_recipe(
        shards,
        codec,
        steps=1,
        data=SpeechDataConfig(shards=(str(shards),), codec=str(codec), layout="CMMFFFF", text=text),
    )
    voice = train(recipe, tmp_path / "voice")
    begun = started(voice, shards, tmp_path / "begun")
    assert begun.data.front_end == text and str(begun.data.vocabulary.layout) == "CMMFFFF"
    assert begun.codec.fingerprint() == Snac.from_pretrained(codec).fingerprint()
    english = started(voice, shards, tmp_path / "english", data={"text": TextFrontEnd()})
    assert english.data.front_end == TextFrontEnd()


def test_parallel_positions_go_on_at_the_pace_of_the_new_clips(codec, shards, tmp_path):
    voice = train(toy_recipe(shards, codec, steps=1, text_stride=TextStrideConfig()), tmp_path / "voice")
    begun = started(voice, shards, tmp_path / "begun", text_stride=TextStrideConfig(jitter=0.2))
    assert begun.model.config.text_stride == pytest.approx(begun.data.mean_text_stride)
    with pytest.raises(ValueError, match=r"parallel positions; the recipe has none: add text_stride: \{jitter"):
        started(voice, shards, tmp_path / "plain")


def test_a_voice_of_a_pretrained_model_keeps_its_tokenizer_and_spare_rows(codec, shards, other, tmp_path):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=None, eos_token_id=None, pad_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    character_tokenizer(["oak elm ash fir yew bay fig nut ivy hop"], []).save_pretrained(tmp_path / "base")
    voice = train(toy_recipe(shards, codec, steps=1, model=ModelConfig(base=str(tmp_path / "base"))), tmp_path / "a")
    begun = started(voice, other, tmp_path / "begun", data={"text": RUSSIAN})
    before = AutoTokenizer.from_pretrained(voice / "model").get_vocab()
    after = begun.data.tokenizer.get_vocab()
    assert len(after) < 50 and begun.model.vocabulary.text_size == 50
    first = AutoModelForCausalLM.from_pretrained(voice / "model")
    assert not torch.equal(first.get_input_embeddings().weight, first.lm_head.weight)
    for of in ("get_input_embeddings", "get_output_embeddings"):
        rows, old_rows = getattr(begun.model, of)().weight, getattr(first, of)().weight
        assert torch.equal(rows[: len(before)], old_rows[: len(before)])
        assert torch.equal(rows[len(after) :], old_rows[len(after) :])  # no token, markers and codes
        mean = old_rows[[before["<ann>"], before["<bob>"]]].mean(0)
        assert torch.allclose(rows[after["<cid>"]], mean)


def test_the_page_s_recipe_is_one_and_needs_no_codec(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^## From a voice\n.*?```yaml\n(.*?)```", page, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    recipe = load_recipe(tmp_path / "mine.yaml", SpeechRecipe)
    start = StartingVoice.load(recipe.model.init)
    assert start.settings.kind == "flat" and "<af_heart>" in start.tokens
    assert open_codec(recipe.data, start) is start.codec


def test_what_cannot_begin_from_a_voice_is_refused_with_words(old, shards, codec, tmp_path, capsys):
    voice, _ = old
    with pytest.raises(ValueError, match=r"one of model\.base .* model\.scratch .* model\.init"):
        ModelConfig(init="a", base="b")
    with pytest.raises(ValueError, match=r"data\.codec is missing"):
        toy_recipe(shards, codec, data=SpeechDataConfig(shards=(str(shards),)))
    with pytest.raises(ValueError, match="no voice 'nobody'"):
        started("nobody", shards, tmp_path)
    with pytest.raises(ValueError, match="parallel ones: leave text_stride out"):
        started(voice, shards, tmp_path / "a", text_stride=TextStrideConfig())
    with pytest.raises(ValueError, match=r"frames CMFFMFF .* the run has CMMFFFF.*leave data\.layout out"):
        started(voice, shards, tmp_path / "b", data={"layout": "CMMFFFF"})

    stranger = Snac.from_pretrained(codec)
    with torch.no_grad():
        next(stranger.quantizer.parameters()).add_(1.0)
    stranger.save_pretrained(tmp_path / "stranger")
    recipe = starting(voice, shards, data={"codec": str(tmp_path / "stranger")})
    dump_recipe(recipe, tmp_path / "recipe.yaml")
    assert main(["train", "speech", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "c")]) == 2
    said = capsys.readouterr().err
    assert "codes mean nothing to another codec. Leave data.codec out" in said and "Traceback" not in said

    shutil.copytree(voice, tmp_path / "two")
    settings = json.loads((voice / "voice.json").read_text()) | {"kind": "two-stage"}
    (tmp_path / "two" / "voice.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="a two-stage voice; `aoede train speech` goes on with flat ones"):
        started(tmp_path / "two", shards, tmp_path / "d")
