import json
import shutil

import numpy as np
import pytest
import torch

from aoede.cli.main import main
from aoede.codec import Snac
from aoede.data import save_audio
from aoede.data.codes import REPORT, CodedClip, CodesInfo, write_shard
from aoede.data.conversation import EncodedConversation
from aoede.generation.voice_prompt import VoicePrompt
from aoede.models import TwoStageModel
from aoede.models.two_stage.prompts import VoicePrefix
from aoede.training.speech import TextStrideConfig
from aoede.training.two_stage import TwoStageObjective
from aoede.training.two_stage import train as train_two_stage
from aoede.training.voice_prompt import VoicePromptConfig, learn
from tests.training.toy_speech import toy_clip
from tests.training.toy_two_stage import toy_recipe


@pytest.fixture(scope="module")
def voice(shards, codec, tmp_path_factory):
    """A voice that knows nobody but by name: a fifth of its rows are read without one."""
    recipe = toy_recipe(shards, codec, steps=50, text_stride=TextStrideConfig(), speaker_dropout=0.2)
    return train_two_stage(recipe, tmp_path_factory.mktemp("voice"))


def strange(number, text, split="train"):
    """A voice that speaks every letter by codes five higher than the toy voices do."""
    clip = toy_clip(number, text, "zoe", split)
    codes = [((level + 5) % 64).astype(np.uint16) for level in clip.codes]
    return CodedClip(**{**{f: getattr(clip, f) for f in clip.__dataclass_fields__}, "codes": codes})


@pytest.fixture(scope="module")
def recordings(codec, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings") / "codes"
    folder.mkdir()
    words = ["oak elm", "fir yew bay", "fig nut", "ivy hop ash", "bay oak", "hop fig elm", "yew ivy", "nut ash fir"]
    clips = [strange(i, text) for i, text in enumerate(words)]
    clips.append(strange(99, " "))
    write_shard(folder / "codes-00000.parquet", clips, CodesInfo.of(Snac.from_pretrained(codec)), {})
    (folder / REPORT).write_text("{}")
    return folder


@pytest.mark.parametrize("kind", ["prefix", "prompt"])
def test_a_voice_is_learnt_into_a_file_that_changes_no_weight(voice, recordings, tmp_path, capsys, kind):
    out = tmp_path / "zoe.safetensors"
    weights = (voice / "model" / "model.safetensors").read_bytes()
    settings = [f"kind={kind}", "length=4", "steps=60", "lr=0.1", "name=Zoe"]
    assert main(["train", "voice-prompt", str(voice), str(recordings), *settings, "--out", str(out)]) == 0
    told = capsys.readouterr().err
    assert "8 recordings" in told and "left out 1: 1 without text (clip99)" in told
    before, after = (float(told.split(word)[0].split()[-1]) for word in (" without,", f" with the {kind}"))
    assert after < 0.95 * before
    assert (voice / "model" / "model.safetensors").read_bytes() == weights
    assert out.stat().st_size < 20_000
    model = TwoStageModel.from_pretrained(voice / "model")
    prompt = VoicePrompt.load(out)
    prompt.check(model)
    assert (prompt.name, prompt.speaker, prompt.length) == ("Zoe", None, 4)
    assert main(["speak", "oak elm", "--voice", str(out), "-o", str(tmp_path / "zoe.wav")]) == 0
    assert "with the prompt Zoe" in capsys.readouterr().out


def rows_of(model, count=6, seed=0):
    """Rows of 3 text ids, 4 frames and the stop."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(count):
        frames = torch.full((8, 8), -1)
        frames[:3, 7] = torch.randint(4, 10, (3,), generator=generator)
        frames[3:7, :7] = torch.randint(0, 64, (4, 7), generator=generator)
        frames[7, :7] = torch.tensor(model.config.stop_frame)
        labels = frames[:, :7].masked_fill(frames[:, :7] < 0, -100)
        rows.append(EncodedConversation(frames=frames, labels=labels))
    return rows


def test_the_columns_that_were_best_on_recordings_held_back_are_kept(voice, shards, codec, tmp_path):
    model = TwoStageModel.from_pretrained(voice / "model")
    known = TwoStageObjective(toy_recipe(shards, codec, text_stride=TextStrideConfig()), tmp_path).dev_rows
    rows = rows_of(model)
    held = int(np.random.default_rng(0).permutation(6)[0])
    rows[held] = known.row(0, 0)
    # Trained on noise, judged on what the model knows: every step makes it worse.
    config = VoicePromptConfig(steps=10, lr=0.3, length=4, eval_every=2)
    learnt = learn(model, rows, config)
    assert (learnt.is_held_back, learnt.best_step) == (True, 0)
    start = VoicePrefix.from_frames(model, learnt_from(rows, held).frames, "prefix", 4)
    for one, other in zip(learnt.prefix.parameters(), start.parameters(), strict=True):
        assert torch.equal(one, other)
    # Trained on what it is judged by, the last step is best, and the same one each time.
    both = [learn(model, rows_of(model, 2), config) for _ in range(2)]
    assert (both[0].is_held_back, both[0].best_step) == (False, 10)
    assert both[0].after == both[1].after < both[0].before


def learnt_from(rows, held):
    """The longest of the rows that were not held back."""
    order = np.random.default_rng(0).permutation(len(rows)).tolist()
    return max((rows[i] for i in order if i != held), key=lambda row: row.num_frames)


def test_columns_begin_as_frames_of_the_voice(voice):
    model = TwoStageModel.from_pretrained(voice / "model").eval()
    frames = rows_of(model)[0].frames
    prompt = VoicePrefix.from_frames(model, frames, "prompt", 5)
    assert torch.equal(prompt.vectors[0], model.embed(frames[None], (frames >= 0)[None])[0, 3])
    assert torch.equal(prompt.vectors[4], model.embed(frames[None], (frames >= 0)[None])[0, 7])
    prefix = VoicePrefix.from_frames(model, frames, "prefix", 3)
    pairs = prefix.inputs()["prefix_key_values"]
    assert len(pairs) == 2 and pairs[0][0].shape == (1, 2, 3, 16)
    for wrong, words in ((("poem", 3), "kind is 'poem'"), (("prompt", 0), "length is 0")):
        with pytest.raises(ValueError, match=words):
            VoicePrefix.from_frames(model, frames, *wrong)


def test_a_manifest_of_sound_files_is_encoded_with_the_voices_codec(voice, tmp_path, capsys):
    generator = np.random.default_rng(0)
    lines = []
    for number in range(3):
        save_audio(tmp_path / f"{number}.wav", generator.normal(0, 0.1, 320).astype(np.float32), 800)
        lines.append(json.dumps({"audio": f"{number}.wav", "text": "oak elm", "speaker": "zoe"}))
    lines.append(json.dumps({"audio": "missing.wav", "text": "oak", "speaker": "zoe"}))
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    out = tmp_path / "zoe.safetensors"
    assert main(["train", "voice-prompt", str(voice), str(tmp_path / "m.jsonl"), "steps=2", "--out", str(out)]) == 0
    told = capsys.readouterr().err
    assert "3 recordings" in told and "left out 1" in told
    assert VoicePrompt.load(out).name == "zoe"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["speaker=zoe"], "has no speaker 'zoe'; it has ann, bob"),
        (["steps=0"], "steps is 0"),
        (["kind=poem"], "kind is 'poem'"),
        (["colour=red"], "unknown key 'colour'"),
    ],
)
def test_wrong_settings_are_told_in_words(voice, recordings, tmp_path, capsys, settings, words):
    arguments = ["train", "voice-prompt", str(voice), str(recordings), *settings, "--out", str(tmp_path / "x")]
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


def test_a_flat_voice_is_refused(voice, recordings, tmp_path, capsys):
    flat = tmp_path / "flat"
    shutil.copytree(voice, flat)
    told = json.loads((flat / "voice.json").read_text())
    kept = {name: value for name, value in told.items() if name in ("format", "name", "text", "speakers")}
    (flat / "voice.json").write_text(json.dumps(kept))
    assert main(["train", "voice-prompt", str(flat), str(recordings), "--out", str(tmp_path / "x")]) == 2
    assert "voice prompts are for two-stage voices" in capsys.readouterr().err
