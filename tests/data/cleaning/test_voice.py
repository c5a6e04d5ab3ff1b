import numpy as np
import pytest

from aoede.data.cleaning import VoiceConfig
from aoede.data.cleaning.frames import measure_frames
from aoede.data.cleaning.voice import voiced_spans

from .sounds import RATE, noise, pause, row, tone


def spans(samples, **settings):
    found = voiced_spans(measure_frames(samples, RATE), len(samples), VoiceConfig(**settings))
    return [(start / RATE, stop / RATE) for start, stop in found]


def test_tones_with_pauses_are_found_where_they_are():
    found = spans(row(-1, 2, -0.5, 1, -1))
    assert np.array(found) == pytest.approx(np.array([(1, 3), (3.5, 4.5)]), abs=0.03)


def test_a_gap_inside_a_word_does_not_part_it():
    assert len(spans(row(-1, 1, -0.1, 1, -1))) == 1
    assert len(spans(row(-1, 1, -0.1, 1, -1), pause_seconds=0.05)) == 2


def test_tones_in_noise_are_found_and_noise_alone_is_no_voice():
    background = noise(6.0, power=1e-3)
    assert spans(background) == []
    found = spans(row(-1, 2, -0.5, 1.5, -1) + background)  # 21 dB above it
    assert np.array(found) == pytest.approx(np.array([(1, 3), (3.5, 5)]), abs=0.05)


def test_silence_and_a_click_are_no_voice():
    assert spans(pause(2.0)) == []
    click = pause(2.0)
    click[RATE : RATE + 24] = 0.9  # one millisecond
    assert spans(click) == []


def test_the_soft_end_of_a_word_belongs_to_it_and_the_same_sound_alone_does_not():
    """Two thresholds: a voice begins at a higher level than it ends at."""
    background = noise(5.0, power=1e-7)
    soft = tone(0.5, amplitude=10 ** (-49 / 20))  # 43 dB below: between the two
    with_word = np.concatenate([pause(1), tone(1), soft, pause(2.5)]) + background
    alone = np.concatenate([pause(1), tone(1), pause(1), soft, pause(1.5)]) + background
    assert np.array(spans(with_word)) == pytest.approx(np.array([(1, 2.5)]), abs=0.05)
    assert np.array(spans(alone)) == pytest.approx(np.array([(1, 2)]), abs=0.05)


def test_a_quiet_speaker_after_a_loud_one_is_heard_in_a_long_recording():
    loud = np.tile(row(1, -0.5), 40)  # one minute
    quiet = loud * np.float32(10 ** (-20 / 20))
    background = noise(120.0, power=1e-6)
    found = spans(np.concatenate([loud, quiet]) + background)
    assert len(found) == 80


def test_half_a_minute_of_noise_between_voices_holds_none():
    samples = np.concatenate([row(-1, 3, -1), pause(60), row(-1, 3, -1)]) + noise(70.0, power=1e-5)
    assert np.array(spans(samples)) == pytest.approx(np.array([(1, 4), (66, 69)]), abs=0.05)


def test_a_soft_ending_is_not_taken_for_the_background_of_a_recording_without_pauses():
    fade = tone(0.3) * np.logspace(0, -35 / 20, round(0.3 * RATE), dtype=np.float32)  # down by 35 dB
    samples = np.concatenate([tone(2), fade])
    assert np.array(spans(samples)) == pytest.approx(np.array([(0, 2.3)]), abs=0.02)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"margin_seconds": -1}, "margin_seconds is -1; it lies in 0..10"),
        ({"begin_share": 0.1}, "end_share is 0.2 and begin_share 0.1"),
        ({"end_decibels": 0}, "end_decibels is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        VoiceConfig(**settings)
