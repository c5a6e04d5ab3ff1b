"""Training a codec: the loss falls, a resumed run is the uninterrupted one, and mistakes are named."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aoede.codec import Snac, fingerprint
from aoede.codec.discriminators import DiscriminatorConfig
from aoede.codec.losses import MelLossConfig
from aoede.data import save_audio
from aoede.training import LoopConfig, OptimConfig, ScheduleConfig
from aoede.training.checkpoint import load_checkpoint
from aoede.training.codec import (
    AdversarialConfig,
    CodecObjective,
    CodecRecipe,
    train,
)
from aoede.training.codec_data import CodecDataConfig, StageConfig
from aoede.training.recipe import load_recipe
from aoede.training.recordings import SourceConfig

RATE = 4000
MODEL = {
    "sampling_rate": RATE, "encoder_dim": 4, "encoder_rates": [2, 4], "decoder_dim": 16, "decoder_rates": [4, 2],
    "codebook_size": 16, "codebook_dim": 4, "vq_strides": [2, 1],
}  # fmt: skip
CRITICS = DiscriminatorConfig(periods=(2, 3), period_channels=(2, 4), fft_sizes=(64,), band_channels=2)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight hummed notes to learn from, and seven steady levels as the validation split."""
    folder = tmp_path_factory.mktemp("hum")
    generator = np.random.default_rng(0)
    lines = []
    for number in range(8):
        time = np.arange(RATE // 2) / RATE
        hertz = 100.0 * 1.1**number
        sound = sum(0.3 / n * np.sin(2 * np.pi * hertz * n * time + generator.uniform(0, 6)) for n in (1, 2, 3))
        save_audio(folder / f"note{number}.wav", sound.astype(np.float32), RATE)
        lines.append({"audio": f"note{number}.wav", "split": "train", "source": "hum"})
    for number in range(7):
        save_audio(folder / f"level{number}.wav", np.full(RATE // 4, 0.1 * number + 0.1, dtype=np.float32), RATE)
        lines.append({"audio": f"level{number}.wav", "split": "dev", "source": "hum"})
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def make_recipe(manifest: Path, *, steps: int = 30, data: dict[str, Any] | None = None, **changes: Any) -> CodecRecipe:
    values: dict[str, Any] = {
        "data": CodecDataConfig(**{
            "train": (SourceConfig(manifest=str(manifest)),), "segment_seconds": 0.064, "batch": 4,
            "valid_seconds": 0.1, "valid_clips": 4, **(data or {}),
        }),
        "loop": LoopConfig(steps=steps, eval_every=steps, checkpoint_every=steps, log_every=1, tensorboard=False),
        "preset": None,
        "model": MODEL,
        "optim": OptimConfig(lr=3e-3, betas=(0.8, 0.99), clip=10.0),
        "schedule": ScheduleConfig(kind="constant"),
        "mel": MelLossConfig(windows=(64, 128), mels=(8, 16)),
    }  # fmt: skip
    return CodecRecipe(**{**values, **changes})


def with_everything(manifest: Path, **loop: Any) -> CodecRecipe:
    return make_recipe(
        manifest,
        loop=LoopConfig(steps=12, eval_every=6, checkpoint_every=7, keep=5, log_every=3, tensorboard=False, **loop),
        schedule=ScheduleConfig(kind="wsd", warmup_steps=2, decay_steps=4),
        adversarial=AdversarialConfig(start=4, every=2, discriminators=CRITICS),
        quantize_from=2,
        bypass=0.25,
        revive_every=3,
        ema=0.9,
    )


def rows(out: Path, phase: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["phase"] == phase]


def assert_same(left: Any, right: Any, place: str = "") -> None:
    if isinstance(left, dict):
        assert left.keys() == right.keys(), place
        for key in left:
            assert_same(left[key], right[key], f"{place}/{key}")
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right), place
        for index, pair in enumerate(zip(left, right, strict=True)):
            assert_same(*pair, f"{place}/{index}")
    elif isinstance(left, torch.Tensor):
        assert torch.equal(left, right), place
    else:
        assert left == right, place


def test_the_loss_falls_and_a_codec_comes_out(manifest: Path, tmp_path: Path) -> None:
    export = train(make_recipe(manifest), tmp_path)
    mel = [row["mel"] for row in rows(tmp_path, "train")]
    assert len(mel) == 30
    assert sum(mel[-5:]) < 0.75 * sum(mel[:5])
    codec = Snac.from_pretrained(export)
    assert codec.config.sample_rate == RATE
    assert codec.decode(codec.encode(torch.zeros(1, 1, 100)), length=100).shape == (1, 1, 100)


def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(manifest: Path, tmp_path: Path) -> None:
    recipe = with_everything(manifest)
    train(recipe, tmp_path / "whole")
    assert any("critics" in row for row in rows(tmp_path / "whole", "train"))
    assert sum(row["revived"] for row in rows(tmp_path / "whole", "train") if "revived" in row) > 0
    half = tmp_path / "whole" / "checkpoints" / "step-00000007"
    train(recipe, tmp_path / "rest", resume=str(half))
    whole, rest = (load_checkpoint(tmp_path / run / "checkpoints" / "step-00000012") for run in ("whole", "rest"))
    assert_same(whole["objective"], rest["objective"])
    assert_same(whole["random"], rest["random"])
    same = [{k: v for k, v in rows(tmp_path / run, "eval")[-1].items() if k != "seconds"} for run in ("whole", "rest")]
    assert same[0] == same[1]


def test_an_evaluation_tells_distances_and_the_use_of_every_level(manifest: Path, tmp_path: Path) -> None:
    values = CodecObjective(make_recipe(manifest), tmp_path).evaluate(0)
    assert list(values) == [
        "loss", "mel", "stft", "si_sdr",
        "utilisation/level0", "perplexity/level0", "utilisation/level1", "perplexity/level1",
    ]  # fmt: skip
    assert 0 < values["utilisation/level0"] <= 1 <= values["perplexity/level1"] <= 16


def test_evaluation_changes_nothing(manifest: Path, tmp_path: Path) -> None:
    objective = CodecObjective(make_recipe(manifest), tmp_path)
    objective.train_step(0)
    before = {key: value.clone() for key, value in objective.codec.state_dict().items()}
    assert objective.evaluate(1) == objective.evaluate(1)
    assert_same(objective.codec.state_dict(), before)
    assert objective.codec.training


def test_validation_clips_are_spread_over_the_whole_split(manifest: Path, tmp_path: Path) -> None:
    def levels(count: int) -> list[int]:
        objective = CodecObjective(make_recipe(manifest, data={"valid_clips": count}), tmp_path)
        return [round(10 * float(row[0, 0])) for row in objective.data.valid]

    assert levels(4) == [1, 2, 4, 6]
    assert levels(2) == [1, 4]
    assert levels(0) == levels(99) == [1, 2, 3, 4, 5, 6, 7]


def test_a_batch_is_a_function_of_the_step_and_never_clips(manifest: Path, tmp_path: Path) -> None:
    recipe = make_recipe(manifest, data={"gain_db": 30.0, "batch": 16})
    objective = CodecObjective(recipe, tmp_path)
    batches = [objective.data.batch(step) for step in range(4)]
    assert batches[0].shape == (16, 1, 256)
    assert all(float(batch.abs().max()) <= 1.0 for batch in batches)
    assert torch.equal(objective.data.batch(2), batches[2]) and not torch.equal(batches[0], batches[1])
    peaks = batches[0].abs().amax((1, 2))
    assert float(peaks.max() / peaks.min()) > 2.0  # loud and quiet


def test_codes_are_filled_when_quantization_begins(manifest: Path, tmp_path: Path) -> None:
    objective = CodecObjective(make_recipe(manifest, quantize_from=2), tmp_path)
    codebook = objective.codec.quantizer.levels[0].codebook.weight
    first = codebook.detach().clone()
    quiet = [objective.train_step(step) for step in (0, 1)]
    assert all("revived" not in values and values["loss"] == pytest.approx(15 * values["mel"]) for values in quiet)
    assert torch.equal(codebook, first)
    assert objective.train_step(2)["revived"] == 32  # both levels, sixteen entries each
    assert not torch.equal(codebook, first)


def test_a_clip_that_cannot_be_read_is_left_out_and_told(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing")
    more = tmp_path / "more.jsonl"
    lines = ({"audio": "broken.wav", "split": "train"}, {"audio": str(manifest.parent / "level0.wav"), "split": "dev"})
    more.write_text("".join(json.dumps(line) + "\n" for line in lines))
    sources = (SourceConfig(manifest=str(manifest)), SourceConfig(manifest=str(more)))
    recipe = make_recipe(manifest, data={"train": sources})
    objective = CodecObjective(recipe, tmp_path)
    assert len(objective.data.pool.left_out) == 1
    told = capsys.readouterr().err
    assert "1 of 9 clips cannot be used" in told and "broken.wav" in told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"preset": "small_24khz"}, "either preset or model"),
        ({"model": None}, "either preset or model"),
        ({"model": None, "preset": "snac_8khz"}, "preset 'snac_8khz' is none of snac_24khz, "),
        ({"model": MODEL | {"codebook_size": 0}}, "codebook_size=0: must be a positive whole number"),
        ({"bypass": 1.0}, r"bypass is 1\.0, but must lie in \[0, 1\)"),
        ({"init": "/no/such/folder"}, "no such folder"),
        ({"data": {"train": ()}}, "data.train lists no manifest"),
        ({"data": {"batch": 0}}, "batch 1 or more"),
        ({"data": {"valid_clips": -1}}, "valid_clips is -1"),
        ({"data": {"train_split": "trian"}}, "trian"),
        ({"adversarial": AdversarialConfig(start=0)}, r"segments of 256 samples .* need 769: set .* to 0\.192"),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_be_is_refused(
    manifest: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        CodecObjective(make_recipe(manifest, **changes), tmp_path)


def test_the_recipe_of_the_bundled_codec_can_be_read() -> None:
    path = Path(__file__).parents[2] / "recipes" / "codec_small_24khz.yaml"
    recipe = load_recipe(path, CodecRecipe, ["loop.steps=7", "data.batch=2"])
    assert (recipe.loop.steps, recipe.data.batch) == (7, 2)
    config = recipe.codec_config()
    assert config.hop_length == 768
    assert recipe.adversarial is not None
    shortest = recipe.adversarial.discriminators.min_samples
    assert recipe.data.segment_seconds * config.sample_rate > shortest
    assert replace(recipe, preset=None, model=config.to_dict()).codec_config() == config


def test_a_decoder_trained_alone_keeps_every_code(manifest: Path, tmp_path: Path) -> None:
    first = train(make_recipe(manifest), tmp_path / "first")
    recipe = make_recipe(manifest, steps=10, init=str(first), decoder_only=True)
    before, after = Snac.from_pretrained(first), Snac.from_pretrained(train(recipe, tmp_path / "second"))
    audio = torch.randn(2, 1, 500, generator=torch.Generator().manual_seed(0)) * 0.1
    codes = before.encode(audio)
    assert all(torch.equal(a, b) for a, b in zip(codes, after.encode(audio), strict=True))
    assert fingerprint(before) == fingerprint(after)
    assert not torch.equal(before.decode(codes), after.decode(codes))
    assert "revived" not in rows(tmp_path / "second", "train")[-1]


def test_training_goes_on_from_weights(manifest: Path, tmp_path: Path) -> None:
    first = train(make_recipe(manifest), tmp_path / "first")
    reached = rows(tmp_path / "first", "eval")[-1]["mel"]
    objective = CodecObjective(make_recipe(manifest, init=str(first)), tmp_path / "second")
    assert objective.evaluate(0)["mel"] == pytest.approx(reached, rel=1e-5)


def test_training_goes_on_with_the_codebooks_of_the_weights(manifest: Path, tmp_path: Path) -> None:
    first = train(make_recipe(manifest), tmp_path / "first")
    recipe = make_recipe(manifest, init=str(first), optim=OptimConfig(lr=1e-5))
    objective = CodecObjective(recipe, tmp_path / "second")
    before = objective.evaluate(0)["mel"]
    assert [objective.train_step(step)["revived"] for step in range(3)] == [0, 0, 0]
    assert objective.evaluate(3)["mel"] == pytest.approx(before, rel=0.02)


def test_a_decoder_alone_needs_a_codec_to_start_from(manifest: Path) -> None:
    with pytest.raises(ValueError, match="name its folder with init"):
        make_recipe(manifest, decoder_only=True)
    with pytest.raises(ValueError, match="leave bypass and quantize_from at 0"):
        make_recipe(manifest, decoder_only=True, init="codec", bypass=0.1)


def test_revived_codes_enter_the_average_whole(manifest: Path, tmp_path: Path) -> None:
    objective = CodecObjective(make_recipe(manifest, quantize_from=2, ema=0.999), tmp_path)
    for step in range(3):  # the third fills every codebook
        objective.train_step(step)
    weights = [level.codebook.weight.detach().clone() for level in objective.codec.quantizer.levels]
    with objective.average.applied(objective.codec):
        for level, weight in zip(objective.codec.quantizer.levels, weights, strict=True):
            assert torch.equal(level.codebook.weight, weight)


def test_weights_scaled_to_quiet_sound_learn_faster(tmp_path: Path) -> None:
    time = np.arange(RATE) / RATE
    (tmp_path / "hum").mkdir()
    for number in range(4):  # as quiet as speech, and a third of it pauses
        hum = 0.06 * np.sin(2 * np.pi * 100 * 1.1**number * time) * np.clip(np.sin(2 * np.pi * 3 * time), 0, 1)
        save_audio(tmp_path / "hum" / f"{number}.wav", hum.astype(np.float32), RATE)

    def reached(scale: bool) -> float:
        recipe = make_recipe(tmp_path / "hum", scale_init=scale, quantize_from=1000, data={"valid_share": 0.2})
        objective = CodecObjective(recipe, tmp_path)
        mel = [objective.train_step(step)["mel"] for step in range(40)]
        return sum(mel[30:]) / 10

    assert reached(True) < 0.75 * reached(False)


def test_waveform_and_stft_are_learned_where_they_are_the_objective(manifest: Path, tmp_path: Path) -> None:
    recipe = make_recipe(manifest, steps=20, objective="l1_stft", stft_windows=(64, 128), stft_weight=0.5)
    train(recipe, tmp_path)
    found = rows(tmp_path, "train")
    assert "mel" not in found[0] and sum(row["loss"] for row in found[-5:]) < 0.9 * sum(r["loss"] for r in found[:5])
    for row in found:  # the quantizer's terms have the weights 1 and 0.25
        parts = row["l1"] + 0.5 * row["stft"] + row["codebook"] + 0.25 * row["commitment"]
        assert row["loss"] == pytest.approx(parts, rel=1e-5)


def test_fine_tuning_tells_how_far_it_is_from_its_baseline(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = train(make_recipe(manifest, steps=5), tmp_path / "first")
    loop = LoopConfig(steps=20, eval_every=10, eval_at_start=True, best_metric="loss", tensorboard=False)
    recipe = make_recipe(manifest, init=str(first), decoder_only=True, objective="l1_stft", loop=loop)
    recipe = replace(recipe, stft_windows=(64, 128), optim=OptimConfig(lr=1e-3))
    export = train(recipe, tmp_path / "second")
    baseline, *later = rows(tmp_path / "second", "eval")
    changes = rows(tmp_path / "second", "change")
    assert baseline["step"] == 0 and [row["step"] for row in changes] == [10, 20]
    for row, change in zip(later, changes, strict=True):
        assert change["loss"] == pytest.approx(row["loss"] / baseline["loss"] - 1)
    best = min(later, key=lambda row: row["loss"])
    told = capsys.readouterr().err
    assert f"exported step {best['step']}; validation before the first step -> after it" in told
    change = best["loss"] / baseline["loss"] - 1
    assert f"loss {best['loss']:.4g} (from {baseline['loss']:.4g}, {change:+.1%})" in told
    # The metric chosen by is the exported codec's own.
    reached = CodecObjective(replace(recipe, init=str(export)), tmp_path / "third").evaluate(0)
    assert reached["loss"] == pytest.approx(best["loss"], rel=1e-5)


def test_a_run_with_a_growing_curriculum_and_turned_phases_resumes_to_the_bit(manifest: Path, tmp_path: Path) -> None:
    recipe = with_everything(manifest)
    stages = (
        StageConfig(epoch=0.25, segment_seconds=0.1, batch=3),
        StageConfig(step=9, segment_seconds=0.128, batch=2),
    )
    recipe = replace(recipe, data=replace(recipe.data, curriculum=stages, phase="rotation"))
    train(recipe, tmp_path / "whole")
    half = tmp_path / "whole" / "checkpoints" / "step-00000007"
    train(recipe, tmp_path / "rest", resume=str(half))
    whole, rest = (load_checkpoint(tmp_path / run / "checkpoints" / "step-00000012") for run in ("whole", "rest"))
    assert_same(whole["objective"], rest["objective"])


def test_products_in_bfloat16_follow_the_same_path_and_codes_do_not_depend_on_them(
    manifest: Path, tmp_path: Path
) -> None:
    critics = AdversarialConfig(start=1, discriminators=CRITICS)
    runs = []
    for precision in ("float32", "bfloat16"):
        objective = CodecObjective(make_recipe(manifest, adversarial=critics, precision=precision), tmp_path)
        first = objective.evaluate(0)
        runs.append([first, *(objective.train_step(step) for step in range(4))])
        assert all(parameter.dtype == torch.float32 for parameter in objective.codec.parameters())
    exact, rough = runs
    assert exact[0] == rough[0]  # evaluation is in float32
    for a, b in zip(exact[1:], rough[1:], strict=True):
        assert a.keys() == b.keys()
        assert b["mel"] == pytest.approx(a["mel"], rel=0.1) and b["mel"] != a["mel"]


def test_stft_windows_that_cannot_be_are_refused(manifest: Path) -> None:
    with pytest.raises(ValueError, match=r"stft_windows \(\): name at least one"):
        make_recipe(manifest, stft_windows=())
    with pytest.raises(ValueError, match="each a multiple of 4 samples"):
        make_recipe(manifest, stft_windows=(1024, 30))
