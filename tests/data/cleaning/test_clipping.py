import numpy as np
import pytest

from aoede.data.cleaning.clipping import clipped_samples

from .sounds import RATE, tone


def test_samples_that_continue_a_run_at_full_scale_are_clipped():
    samples = np.array([0.2, 1, 1, 1, 1, 0.3, -1, -1, 0.1, -1, -1, -1], dtype=np.float32)
    assert clipped_samples(samples).tolist() == [3, 4, 11]


def test_a_run_does_not_go_on_across_signs():
    assert clipped_samples(np.array([0, 1, 1, -1, -1, 0], dtype=np.float32)).tolist() == []


def test_a_tone_cut_off_at_half_its_height_is_clipped_whatever_its_gain():
    cut = np.clip(tone(1.0, amplitude=2.0, hertz=200), -1, 1)
    # |sin| is above one half for two thirds of the time; each of 400 tops loses its first two samples.
    wanted = RATE * 2 / 3 - 2 * 400
    assert len(clipped_samples(cut)) == pytest.approx(wanted, abs=400)
    assert len(clipped_samples(cut * np.float32(0.4))) == pytest.approx(wanted, abs=400)


@pytest.mark.parametrize("hertz", [60.0, 100.0, 997.0])
def test_a_whole_tone_is_not_clipped(hertz):
    for amplitude in (0.3, 0.99, 1.0):
        samples = np.round(tone(2.0, amplitude, hertz) * 32767) / 32767
        assert len(clipped_samples(samples.astype(np.float32))) == 0


def test_silence_and_next_to_nothing_are_not_clipped():
    assert len(clipped_samples(np.zeros(1000, dtype=np.float32))) == 0
    assert len(clipped_samples(np.ones(2, dtype=np.float32))) == 0
