"""The audio of a step: a pure function of it, in stages that grow, never of a recording that is held out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aoede.data import save_audio
from aoede.training.codec_data import CodecData, CodecDataConfig, StageConfig
from aoede.training.recordings import SourceConfig

RATE = 4000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds in ten files; silence, then a noise of its own."""
    root = tmp_path_factory.mktemp("noise")
    for number in range(10):
        noise = np.random.default_rng(number).uniform(-0.5, 0.5, RATE).astype(np.float32)
        noise[: RATE // 4] = 0.0
        save_audio(root / f"{number}.flac", noise, RATE)
    return root


def open_data(folder: Path, cache: Path, **changes: Any) -> CodecData:
    values: dict[str, Any] = {
        "train": (SourceConfig(manifest=str(folder)),), "segment_seconds": 0.1, "batch": 5, "valid_seconds": 0.2,
    }  # fmt: skip
    config = CodecDataConfig(**{**values, **changes})
    return CodecData(config, sample_rate=RATE, multiple=16, seed=3, cache=cache)


GROWING = (
    StageConfig(epoch=2, segment_seconds=0.2, batch=3),
    StageConfig(epoch=3.5, segment_seconds=0.4, batch=2),
)


def test_a_curriculum_by_epochs_counts_the_audio_that_was_drawn(folder, tmp_path):
    data = open_data(folder, tmp_path, curriculum=GROWING)
    total = data.pool.num_samples
    first, second, third = data.stages
    assert (first.step, first.samples, first.batch) == (0, 400, 5)
    assert first.samples * first.batch * (second.step - 1) < 2 * total <= first.samples * first.batch * second.step
    assert (second.samples, second.batch) == (800, 3) and (third.samples, third.batch) == (1600, 2)
    passed = (400 * 5 * second.step + 800 * 3 * (third.step - second.step)) / total
    assert passed == pytest.approx(3.5, abs=800 * 3 / total)


def test_stages_by_step_begin_at_that_step(folder, tmp_path):
    stages = (
        StageConfig(step=7, segment_seconds=0.2, batch=2),
        StageConfig(step=9, segment_seconds=0.3, batch=1),
    )
    data = open_data(folder, tmp_path, curriculum=stages)
    shapes = [tuple(data.batch(step).shape) for step in (0, 6, 7, 8, 9, 100)]
    assert shapes == [(5, 1, 400), (5, 1, 400), (2, 1, 800), (2, 1, 800), (1, 1, 1200), (1, 1, 1200)]
    lines = data.describe(steps=9)
    assert "from step 7: 2 x 0.20 s" in lines[2] and "(never: the run ends at step 9)" in lines[3]


def test_a_batch_does_not_depend_on_what_was_drawn_before(folder, tmp_path):
    options = {"curriculum": GROWING, "phase": "rotation", "gain_db": 12.0}
    forward, backward = open_data(folder, tmp_path, **options), open_data(folder, tmp_path, **options)
    steps = range(0, 40, 9)
    there = {step: forward.batch(step) for step in steps}
    assert all(torch.equal(backward.batch(step), there[step]) for step in reversed(steps))


def test_reading_where_the_files_lie_gives_the_same_segments_as_the_cache(folder, tmp_path):
    cached, sought = (open_data(folder, tmp_path, read=read, phase="polarity") for read in ("cache", "seek"))
    for step in (0, 5):
        torch.testing.assert_close(sought.batch(step), cached.batch(step), atol=2e-4, rtol=0)  # 16 bits, 12 dB louder
    torch.testing.assert_close(sought.valid, cached.valid, atol=2e-5, rtol=0)


def test_seeking_writes_no_cache(folder, tmp_path):
    open_data(folder, tmp_path / "cache", read="seek").batch(0)
    assert not (tmp_path / "cache").exists()


def test_polarity_turns_half_of_the_segments(folder, tmp_path):
    plain, turned = (open_data(folder, tmp_path, batch=40, phase=phase) for phase in ("off", "polarity"))
    before, after = plain.batch(0), turned.batch(0)
    loud = before.abs().amax((1, 2)) > 0
    same = (after - before).abs().amax((1, 2)) < 1e-5
    opposite = (after + before).abs().amax((1, 2)) < 1e-5
    assert bool((same | opposite).all())
    assert 0.2 < float(opposite[loud].float().mean()) < 0.8


def test_validation_may_begin_in_the_middle_of_each_clip(folder, tmp_path):
    start, middle = (open_data(folder, tmp_path, valid_from=place).valid for place in ("start", "middle"))
    assert start.shape == middle.shape == (len(start), 1, 800)
    assert not start.any() and bool(middle.abs().amax((1, 2)).gt(0.4).all())


def test_other_recordings_may_be_the_validation_set(folder, tmp_path):
    (tmp_path / "held").mkdir()
    save_audio(tmp_path / "held" / "a.wav", np.full(RATE, 0.25, dtype=np.float32), RATE)
    held = (SourceConfig(manifest=str(tmp_path / "held")),)
    data = open_data(folder, tmp_path / "cache", train_split=None, valid=held, valid_split=None)
    assert data.valid.shape == (1, 1, 800) and float(data.valid.mean()) == pytest.approx(0.25, abs=1e-4)
    assert data.pool.num_samples == 10 * RATE


def test_what_is_trained_on_is_never_validated_on(folder, tmp_path):
    with pytest.raises(ValueError, match="recordings are trained on and validated on"):
        open_data(folder, tmp_path, train_split=None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"curriculum": (GROWING[1], GROWING[0])}, "stage 2 of data.curriculum would begin at step .* let them rise"),
        ({"valid_share": 1.0}, r"valid_share is 1\.0, but must lie in \[0, 1\)"),
        ({"valid_split": None}, "would evaluate on what is trained on"),
    ],
)
def test_data_that_cannot_be_is_refused(folder, tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        open_data(folder, tmp_path, **changes)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"step": 5, "epoch": 1}, "exactly one"),
        ({}, "exactly one"),
        ({"step": 0}, "begins after step 0"),
        ({"epoch": -1}, "begins after step 0"),
        ({"step": 5, "batch": 0}, "batch 1 or more"),
    ],
)
def test_a_stage_that_cannot_be_is_refused(values, words):
    with pytest.raises(ValueError, match=words):
        StageConfig(**{"segment_seconds": 1.0, "batch": 1, **values})
