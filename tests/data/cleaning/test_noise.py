import numpy as np
import pytest

from aoede.data.cleaning import VoiceConfig
from aoede.data.cleaning.frames import measure_frames
from aoede.data.cleaning.noise import CLEANEST, noise_power, signal_to_noise
from aoede.data.cleaning.voice import voiced_spans

from .sounds import RATE, noise, row, tone


def estimate(samples):
    frames = measure_frames(samples, RATE)
    spans = voiced_spans(frames, len(samples), VoiceConfig())
    power = noise_power(frames, spans, len(samples))
    return None if power is None else signal_to_noise(frames, spans, power, (0, len(samples)))


@pytest.mark.parametrize("decibels", [10, 15, 20, 30, 40, 60])
def test_the_ratio_of_a_tone_to_noise_of_known_power_is_found(decibels):
    clean = row(-1, 2, -0.7, 2, -1)
    mixed = clean + noise(len(clean) / RATE, 0.125 * 10 ** (-decibels / 10))
    assert estimate(mixed) == pytest.approx(decibels, abs=0.7)


def test_an_offset_and_hum_below_hearing_are_not_noise():
    clean = row(-1, 2, -0.7, 2, -1)
    assert estimate(clean + np.float32(0.1)) > 60


def test_pauses_of_digital_zeros_are_as_clean_as_can_be():
    assert estimate(row(-1, 2, -1)) == CLEANEST


def test_without_pauses_nothing_is_guessed():
    frames = measure_frames(tone(3.0), RATE)
    assert noise_power(frames, [(0, 3 * RATE)], 3 * RATE) is None


def test_a_part_has_its_own_noise():
    clean = row(-1, 2, -1, 2, -1)
    hiss = np.concatenate([noise(3.5, 1e-5), noise(3.5, 1e-3, seed=1)])
    samples = clean + hiss
    frames = measure_frames(samples, RATE)
    spans = [(RATE, 3 * RATE), (4 * RATE, 6 * RATE)]
    halves = [(0, round(3.5 * RATE)), (round(3.5 * RATE), 7 * RATE)]
    ratios = [signal_to_noise(frames, spans, noise_power(frames, spans, len(samples), half), half) for half in halves]
    assert ratios == pytest.approx([41, 21], abs=0.7)
