"""Against the standard's own numbers: ITU-R BS.1770-4 prints coefficients and one level, EBU Tech 3341 test signals."""

import numpy as np
import pyloudnorm
import pytest

from aoede.data.cleaning.loudness import integrated_loudness, k_weighting

from .sounds import noise, pause, tone

RATE = 48000


def level(decibels):
    return 10 ** (decibels / 20)


def test_the_filters_at_48_khz_are_the_printed_ones():
    shelf_b, shelf_a, pass_b, pass_a = k_weighting(48000)
    assert shelf_b == pytest.approx((1.53512485958697, -2.69169618940638, 1.19839281085285), abs=1e-9)
    assert shelf_a == pytest.approx((1.0, -1.69065929318241, 0.73248077421585), abs=1e-9)
    assert pass_b == (1.0, -2.0, 1.0)
    assert pass_a == pytest.approx((1.0, -1.99004745483398, 0.99007225036621), abs=1e-9)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
def test_a_full_scale_sine_of_997_hz_in_one_channel_reads_minus_3(rate):
    assert integrated_loudness(tone(5, 1.0, 997, rate), rate) == pytest.approx(-3.01, abs=0.05)


def test_loudness_follows_the_level():
    assert integrated_loudness(tone(5, level(-20), 997, RATE), RATE) == pytest.approx(-23.01, abs=0.03)


def test_quiet_parts_are_gated_as_in_ebu_tech_3341():
    """Its signals 3 and 4, in one channel: 3.01 LU below what they read in two."""
    third = [(10, -36), (60, -23), (10, -36)]
    fourth = [(10, -72), (10, -36), (60, -23), (10, -36), (10, -72)]
    for signal in (third, fourth):
        samples = np.concatenate([tone(seconds, level(db), 1000, RATE) for seconds, db in signal])
        assert integrated_loudness(samples, RATE) == pytest.approx(-23 - 3.01, abs=0.1)


def test_loud_and_soft_parts_within_the_gate_are_averaged_as_in_ebu_tech_3341():
    """Its signal 5."""
    signal = [(20, -26), (20.1, -20), (20, -26)]
    samples = np.concatenate([tone(seconds, level(db), 1000, RATE) for seconds, db in signal])
    assert integrated_loudness(samples, RATE) == pytest.approx(-23 - 3.01, abs=0.1)


def test_silence_has_no_loudness_and_a_pause_does_not_count():
    assert integrated_loudness(pause(2.0, RATE), RATE) is None
    assert integrated_loudness(np.zeros(0, dtype=np.float32), RATE) is None
    samples = np.concatenate([tone(10, 0.1, 997, RATE), pause(20, RATE)])
    assert integrated_loudness(samples, RATE) == pytest.approx(-23.01, abs=0.15)


def test_what_is_shorter_than_a_block_is_measured_as_one():
    assert integrated_loudness(tone(0.05, 0.1, 997, RATE), RATE) == pytest.approx(-23.01, abs=0.2)
    assert integrated_loudness(tone(0.35, 0.1, 997, RATE), RATE) == pytest.approx(-23.01, abs=0.1)


def test_long_sound_is_weighted_in_pieces_without_a_seam():
    samples = noise(31.0, 0.01, rate=8000)
    halves = [integrated_loudness(samples[: 8000 * n], 8000) for n in (9, 31)]
    assert halves[0] == pytest.approx(halves[1], abs=0.1)
    shifted = integrated_loudness(np.concatenate([pause(3.0, 8000), samples]), 8000)
    assert shifted == pytest.approx(halves[1], abs=0.05)


def test_a_second_implementation_agrees():
    random = np.random.default_rng(3)
    for rate in (24000, 44100):
        envelope = np.repeat(random.uniform(0.001, 0.3, 40), rate // 4)
        samples = (random.standard_normal(len(envelope)) * envelope / 3).astype(np.float32)
        theirs = pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(samples.astype(np.float64))
        assert integrated_loudness(samples, rate) == pytest.approx(theirs, abs=0.01)
