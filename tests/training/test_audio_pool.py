"""The pool of training audio: crops stay inside clips, and what cannot be read is told."""

import os
from pathlib import Path

import numpy as np
import pytest

from aoede.data import AudioReader, Clip, save_audio
from aoede.training.audio_pool import AudioPool

RATE = 8000


def level_clip(folder: Path, level: float, samples: int) -> Clip:
    """A recording that is one number throughout, so that a crop tells where it comes from."""
    path = folder / f"{level}.wav"
    save_audio(path, np.full(samples, level, dtype=np.float32), RATE)
    return Clip(audio=str(path), id=path.name)


@pytest.fixture
def clips(tmp_path):
    return [level_clip(tmp_path, 0.1, 300), level_clip(tmp_path, 0.2, 1000), level_clip(tmp_path, 0.3, 2700)]


def test_a_crop_never_runs_into_the_next_clip(clips, tmp_path):
    pool = AudioPool.build(clips, RATE, tmp_path / "cache")
    assert pool.num_samples == 4000
    crops = pool.crops(500, 400, np.random.default_rng(0))
    assert crops.shape == (500, 1, 400)
    for crop in crops[:, 0]:
        value = float(crop[0])
        length = 300 if abs(value - 0.1) < 1e-3 else 400
        assert (crop[:length] - value).abs().max() < 1e-3
        assert not crop[length:].any()


def test_every_second_of_audio_is_equally_likely(clips, tmp_path):
    pool = AudioPool.build(clips, RATE, tmp_path / "cache")
    starts = pool.crops(4000, 10, np.random.default_rng(1))[:, 0, 0]
    counts = [int(((starts - level).abs() < 1e-3).sum()) for level in (0.1, 0.2, 0.3)]
    assert counts == pytest.approx([300, 1000, 2700], abs=100)


def test_a_crop_is_a_function_of_its_generator(clips, tmp_path):
    path = tmp_path / "noise.wav"
    save_audio(path, np.random.default_rng(5).uniform(-0.5, 0.5, 3000).astype(np.float32), RATE)
    pool = AudioPool.build([*clips, Clip(audio=str(path), id="noise")], RATE, tmp_path / "cache")
    first, again, other = (pool.crops(8, 100, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.equal(again) and not first.equal(other)


def test_heads_are_the_beginnings(clips, tmp_path):
    heads = AudioPool.build(clips, RATE, tmp_path / "cache").heads(500)
    assert heads.shape == (3, 1, 500)
    assert [int((row != 0).sum()) for row in heads] == [300, 500, 500]
    assert heads[:, 0, 0].tolist() == pytest.approx([0.1, 0.2, 0.3], abs=1e-4)


def test_a_second_build_maps_what_the_first_left(clips, tmp_path):
    AudioPool.build(clips, RATE, tmp_path / "cache")
    (data,) = (tmp_path / "cache").glob("*.i16")
    written = data.stat().st_mtime_ns
    assert AudioPool.build(clips, RATE, tmp_path / "cache").num_samples == 4000
    assert data.stat().st_mtime_ns == written
    assert len(os.listdir(tmp_path / "cache")) == 2


def test_a_recording_written_anew_is_decoded_anew(clips, tmp_path):
    AudioPool.build(clips, RATE, tmp_path / "cache")
    save_audio(clips[0].audio, np.full(500, 0.4, dtype=np.float32), RATE)
    pool = AudioPool.build(clips, RATE, tmp_path / "cache")
    assert pool.num_samples == 4200
    assert float(pool.heads(1)[0]) == pytest.approx(0.4, abs=1e-4)


def test_a_folder_of_the_same_names_is_another_pool(clips, tmp_path):
    (tmp_path / "other").mkdir()
    others = [level_clip(tmp_path / "other", float(clip.id[:-4]), 50) for clip in clips]
    assert AudioPool.build(clips, RATE, tmp_path / "cache").num_samples == 4000
    assert AudioPool.build(others, RATE, tmp_path / "cache").num_samples == 150


def test_the_middle_of_a_clip_may_stand_for_it(tmp_path):
    path = tmp_path / "ramp.wav"
    save_audio(path, np.arange(1000, dtype=np.float32) / 1000, RATE)
    short = level_clip(tmp_path, 0.5, 100)
    pool = AudioPool.build([Clip(audio=str(path), id="ramp"), short], RATE, tmp_path / "cache")
    middle = pool.heads(200, "middle")[:, 0]
    assert middle[0, [0, 199]].tolist() == pytest.approx([0.4, 0.599], abs=1e-3)
    assert int((middle[1] != 0).sum()) == 100 and float(middle[1, 0]) == pytest.approx(0.5, abs=1e-3)


def test_a_long_recording_is_decoded_in_blocks(tmp_path, monkeypatch):
    blocks = []
    read = AudioReader.blocks

    def counted(reader, *arguments):
        for block in read(reader, *arguments):
            blocks.append(len(block))
            yield block

    monkeypatch.setattr(AudioReader, "blocks", counted)
    pool = AudioPool.build([level_clip(tmp_path, 0.1, 400_000)], RATE, tmp_path / "cache")
    assert pool.num_samples == sum(blocks) == 400_000
    assert max(blocks) <= 10 * RATE  # ten seconds at a time, however long the file


def test_damage_in_the_middle_takes_back_what_was_written(clips, tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 30 * RATE).astype(np.float32)
    save_audio(tmp_path / "cut.flac", noise, RATE)
    whole = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) * 2 // 3])
    cut = Clip(audio=str(tmp_path / "cut.flac"), id="cut")
    pool = AudioPool.build([clips[0], cut, clips[2]], RATE, tmp_path / "cache")
    assert len(pool.left_out) == 1 and pool.num_samples == 3000
    assert pool.heads(1)[:, 0, 0].tolist() == pytest.approx([0.1, 0.3], abs=1e-4)


def test_other_rates_and_bytes_come_in_too(clips, tmp_path):
    pool = AudioPool.build([Clip(audio=Path(clips[2].audio).read_bytes(), id="b")], 2 * RATE, tmp_path / "cache")
    assert pool.num_samples == pytest.approx(5400, abs=2)


def test_what_cannot_be_read_is_left_out_and_told_every_time(clips, tmp_path, capsys):
    (tmp_path / "text.wav").write_text("this is no sound")
    broken = Clip(audio=str(tmp_path / "text.wav"), id="text")
    missing = Clip(audio=str(tmp_path / "gone.wav"), id="gone")
    for _ in range(2):  # the second time from the cache
        pool = AudioPool.build([clips[0], broken, clips[1], missing], RATE, tmp_path / "cache")
        assert pool.num_samples == 1300
        assert len(pool.left_out) == 2
        told = capsys.readouterr().err
        assert "2 of 4 clips cannot be used:" in told
        assert "text.wav" in told and "gone.wav" in told


def test_a_long_list_is_told_in_part(clips, tmp_path, capsys):
    gone = [Clip(audio=str(tmp_path / f"gone{n}.wav"), id=f"gone{n}") for n in range(12)]
    assert len(AudioPool.build([clips[0], *gone], RATE, tmp_path / "cache").left_out) == 12
    told = capsys.readouterr().err
    assert "12 of 13 clips" in told and "gone9.wav" in told and "gone10.wav" not in told
    assert "and 2 more, listed in " in told


def test_nothing_to_learn_from_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"none of the 1 clips could be read; the first: .*gone\.wav"):
        AudioPool.build([Clip(audio=str(tmp_path / "gone.wav"), id="g")], RATE, tmp_path / "cache")
