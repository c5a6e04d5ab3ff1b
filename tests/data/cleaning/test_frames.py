import numpy as np
import pytest

from aoede.data.cleaning.frames import measure_frames

from .sounds import RATE, noise, tone


def test_a_frame_tells_the_mean_square_of_the_samples_it_looks_at():
    frames = measure_frames(tone(1.0, amplitude=0.5), RATE)
    assert len(frames) == 101  # one every 10 ms, both ends included
    inside = frames.power[2:-2]
    assert inside == pytest.approx(np.full(len(inside), 0.125), rel=1e-3)
    assert frames.level[50] == pytest.approx(10 * np.log10(0.125), abs=0.01)


def test_white_noise_has_its_power_above_60_hz_in_the_frames():
    frames = measure_frames(noise(20.0, power=0.01), RATE)
    assert frames.power[2:-2].mean() == pytest.approx(0.01 * (1 - 60 / 12000), rel=0.01)


def test_an_offset_is_no_sound():
    frames = measure_frames(np.full(RATE, 0.3, dtype=np.float32), RATE)
    assert frames.power[5:-5].max() < 1e-9


def test_long_recordings_are_framed_in_blocks_without_a_seam():
    samples = noise(25.0, power=0.01)  # 2,501 frames: three blocks
    whole = measure_frames(samples, RATE)
    part = measure_frames(samples[10 * RATE : 11 * RATE], RATE)
    assert whole.power[1005:1095] == pytest.approx(part.power[5:95], rel=1e-9)


def test_too_low_a_rate_and_two_channels_are_refused():
    with pytest.raises(ValueError, match="2000 Hz; voice activity needs 4000"):
        measure_frames(tone(1.0), 2000)
    with pytest.raises(ValueError, match="one channel"):
        measure_frames(np.zeros((2, 100), dtype=np.float32), RATE)
