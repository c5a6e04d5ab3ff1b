from pathlib import Path

import numpy as np
import pytest

from aoede.data import load_audio
from aoede.data.cleaning import AugmentConfig, VoiceConfig, augment
from aoede.data.cleaning.augment import change_gain, change_noise, change_speed
from aoede.data.cleaning.frames import measure_frames
from aoede.data.cleaning.noise import noise_power, signal_to_noise
from aoede.data.cleaning.stretch import shift_pitch, stretch
from aoede.data.cleaning.voice import voiced_spans

from .sounds import RATE, row, tone

SPEECH = Path(__file__).parents[1] / "clips" / "asterisk_es_a3c1d866e09e.ogg"


def pitch_of(samples, rate=RATE):
    """Hertz of the strongest tone."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax()) * rate / len(samples)


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.3])
def test_stretching_changes_the_length_and_not_the_pitch(factor):
    made = stretch(tone(2.0, hertz=220), RATE, factor)
    assert len(made) == round(2 * RATE * factor)
    middle = made[RATE // 4 : -RATE // 4]
    assert pitch_of(middle) == pytest.approx(220, abs=2)
    assert float((middle**2).mean()) == pytest.approx(0.125, rel=0.05)  # no period lost or doubled


def test_a_voice_stretched_by_one_stays_itself():
    samples, rate = load_audio(SPEECH)
    made = stretch(samples, rate, 1.0)
    assert float(((made - samples) ** 2).sum()) < 0.02 * float((samples**2).sum())


@pytest.mark.parametrize("semitones", [-3.0, 2.0])
def test_shifting_changes_the_pitch_and_not_the_length(semitones):
    made = shift_pitch(tone(2.0, hertz=220), RATE, semitones)
    assert len(made) == 2 * RATE
    assert pitch_of(made[RATE // 4 : -RATE // 4]) == pytest.approx(220 * 2 ** (semitones / 12), abs=2)


def test_speed_changes_both():
    made = change_speed(tone(2.0, hertz=220), RATE, 1.25)
    assert len(made) == pytest.approx(2 * RATE / 1.25, abs=2)
    assert pitch_of(made) == pytest.approx(275, abs=1)


@pytest.mark.parametrize("decibels", [10.0, 25.0])
def test_noise_is_added_at_the_ratio_that_is_asked_for(decibels):
    made = change_noise(row(-1, 2, -0.7, 2, -1), RATE, decibels, np.random.default_rng(0))
    frames = measure_frames(made, RATE)
    spans = voiced_spans(frames, len(made), VoiceConfig())
    found = signal_to_noise(frames, spans, noise_power(frames, spans, len(made)), (0, len(made)))
    assert found == pytest.approx(decibels, abs=1.0)


def test_gain_is_decibels():
    assert change_gain(np.array([0.1], np.float32), 20.0) == pytest.approx([1.0])


CONFIG = AugmentConfig(copies=2, speed=(0.9, 1.1), pitch=(-2, 2), noise=(15, 30), gain=(-6, 3))


def test_copies_depend_on_seed_and_id_alone():
    samples = row(-0.2, 1, -0.2)
    first, second = augment(samples, RATE, CONFIG, 7, "a")
    assert (first.name, second.name) == ("aug1", "aug2")
    assert first.settings != second.settings
    assert set(first.settings) - {"held_back"} == {"speed", "pitch", "noise", "gain"}
    again = augment(samples, RATE, CONFIG, 7, "a")[0]
    assert again.samples.tobytes() == first.samples.tobytes()
    assert augment(samples, RATE, CONFIG, 8, "a")[0].settings != first.settings
    assert augment(samples, RATE, CONFIG, 7, "b")[0].settings != first.settings


def test_switching_one_off_leaves_the_draws_of_the_others():
    samples = row(-0.2, 1, -0.2)
    whole = augment(samples, RATE, CONFIG, 7, "a")[0]
    part = augment(samples, RATE, AugmentConfig(copies=2, gain=(-6, 3)), 7, "a")[0]
    assert part.settings["gain"] == whole.settings["gain"]
    assert (part.changes_voice, whole.changes_voice) == (False, True)
    assert np.allclose(part.samples, samples * 10 ** (part.settings["gain"] / 20), atol=1e-6)


def test_values_stay_in_their_ranges_and_sound_stays_in_range():
    loud = AugmentConfig(copies=20, gain=(6, 12), speed=(0.9, 1.1))
    copies = augment(row(0.2), RATE, loud, 0, "x")
    assert all(0.9 <= copy.settings["speed"] <= 1.1 and 6 <= copy.settings["gain"] <= 12 for copy in copies)
    assert max(float(np.abs(copy.samples).max()) for copy in copies) <= 0.9901
    assert any("held_back" in copy.settings for copy in copies)
    assert len({copy.settings["gain"] for copy in copies}) == 20


def test_with_everything_off_there_are_no_copies():
    assert augment(row(0.2), RATE, AugmentConfig(copies=3), 0, "x") == []
    assert augment(row(0.2), RATE, AugmentConfig(copies=0, gain=(1, 2)), 0, "x") == []
    assert augment(np.zeros(0, np.float32), RATE, CONFIG, 0, "x") == []


def test_a_sentence_survives_all_of_it():
    samples, rate = load_audio(SPEECH, RATE)
    (copy,) = augment(samples, rate, AugmentConfig(speed=(0.9, 0.9), pitch=(2, 2), noise=(20, 20)), 0, "x")
    assert len(copy.samples) == pytest.approx(len(samples) / 0.9, abs=2)
    assert np.isfinite(copy.samples).all()
    assert copy.settings == {"speed": 0.9, "pitch": 2.0, "noise": 20.0}
