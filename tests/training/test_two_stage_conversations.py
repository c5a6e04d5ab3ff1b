import dataclasses
import json

import pytest
import torch

from aoede.data.conversation import build_conversations, save_conversations
from aoede.data.text import TextFrontEnd
from aoede.training import read_log
from aoede.training.two_stage import TwoStageObjective, TwoStageRecipe, train
from aoede.training.two_stage_conversations import ConversationDataConfig
from aoede.training.two_stage_data import ContextConfig
from tests.training.toy_two_stage import toy_recipe


@pytest.fixture(scope="module")
def recipe_of(shards, codec, tmp_path_factory):
    """recipe_of(context, steps=6, **conversations) -> a recipe over conversations of the toy clips."""

    def build(context: int, steps: int = 6, **changes) -> TwoStageRecipe:
        path = tmp_path_factory.mktemp("talks") / "talks.jsonl"
        save_conversations(path, build_conversations(shards, context=context).conversations)
        given = {"path": str(path), "codec": str(codec), "text": TextFrontEnd()} | changes
        recipe = toy_recipe(shards, codec, steps, frames_per_batch=600)
        return dataclasses.replace(recipe, data=None, conversations=ConversationDataConfig(**given))

    return build


def test_conversations_of_one_turn_are_the_rows_that_clips_are(recipe_of, shards, codec, tmp_path):
    talks = TwoStageObjective(recipe_of(0), tmp_path / "talks")
    clips = TwoStageObjective(toy_recipe(shards, codec), tmp_path / "clips")
    assert len(talks.train_rows) == len(clips.train_rows) == 72
    for index in range(72):
        one, other = talks.train_rows.row(0, index), clips.train_rows.row(0, index)
        assert torch.equal(one.frames, other.frames) and torch.equal(one.labels, other.labels)
    assert talks.data.pace.keys() == clips.data.pace.keys()
    for speaker, pace in clips.data.pace.items():
        assert talks.data.pace[speaker] == pytest.approx(pace)
    assert talks.data.mean_text_stride == pytest.approx(clips.data.mean_text_stride)
    assert talks.data.hours == pytest.approx(clips.data.hours)


def test_training_on_conversations_masks_their_context_and_makes_a_voice(recipe_of, tmp_path):
    recipe = recipe_of(2, steps=12)
    train(recipe, tmp_path)
    objective = TwoStageObjective(recipe, tmp_path)
    row = max((objective.train_rows.row(0, i) for i in range(72)), key=lambda row: row.num_frames)
    assert 0 < row.num_trained < (row.frames[:, 0] >= 0).sum()
    rows = [entry for entry in read_log(tmp_path / "metrics.jsonl") if entry["phase"] == "eval"]
    assert rows[-1]["loss"] < rows[0]["loss"]
    voice = json.loads((tmp_path / "export" / "voice.json").read_text())
    assert (voice["kind"], voice["context_turns"], voice["speakers"]) == ("two-stage", 2, ["ann", "bob"])


def test_turns_may_be_written_by_a_template(recipe_of, tmp_path):
    recipe = recipe_of(1, text=None, template="[{role}] {text}")
    train(dataclasses.replace(recipe, loop=dataclasses.replace(recipe.loop, steps=1)), tmp_path)
    voice = json.loads((tmp_path / "export" / "voice.json").read_text())
    assert voice["turn"]["template"] == "[{role}] {text}"


def test_what_does_not_go_together_is_told_in_words(recipe_of, shards, codec, tmp_path):
    recipe = recipe_of(0)
    with pytest.raises(ValueError, match="context is for clips"):
        dataclasses.replace(recipe, context=ContextConfig())
    with pytest.raises(ValueError, match=r"give either data \(coded clips\) or conversations"):
        dataclasses.replace(recipe, data=toy_recipe(shards, codec).data)
    with pytest.raises(ValueError, match="no conversations of split 'rehearsal'"):
        TwoStageObjective(recipe_of(0, train_split="rehearsal"), tmp_path)
