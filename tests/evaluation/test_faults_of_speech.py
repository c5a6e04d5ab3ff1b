"""Faults made on purpose in speech of the shipped voice: found without a recogniser; the speech itself has none."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from aoede import Voice
from aoede.evaluation.faults import find_faults
from aoede.evaluation.loops import self_likeness
from aoede.evaluation.pace import expected_seconds

RECORDINGS = Path(__file__).resolve().parents[2] / "docs/samples"
TEXT = "Nobody spoke while the grey boats came in, and the harbour lay still under a pale sky."


@pytest.fixture(scope="module")
def spoken():
    voice = Voice.from_pretrained()
    audio = voice.speak(TEXT, "af_heart", seed=1)
    return np.asarray(audio.samples), audio.sample_rate, expected_seconds(voice, TEXT, "af_heart")


def faults(samples, spoken):
    return find_faults(samples.astype(np.float32), spoken[1], paced_seconds=spoken[2])


def quiet(seconds, rate):
    return np.zeros(round(seconds * rate), np.float32)


def loud_places(samples, rate):
    """Starts of the 20 ms windows in full voice."""
    size = rate // 50
    levels = (samples[: len(samples) // size * size].reshape(-1, size) ** 2).mean(1)
    return np.flatnonzero(levels > np.quantile(levels, 0.8)) * size


def test_sound_speech_has_no_faults(spoken):
    assert faults(spoken[0], spoken) == ()
    assert self_likeness(spoken[0], spoken[1]) < 0.69


def loop(samples, rate, seconds):
    """A stretch after the first third, said four times."""
    start, length = len(samples) // 3, round(seconds * rate)
    word = samples[start : start + length]
    return np.concatenate([samples[: start + length], word, word, word, samples[start + length :]])


@pytest.mark.parametrize("seconds", [0.3, 0.5, 0.8, 1.2])
def test_words_said_four_times_are_a_loop(spoken, seconds):
    assert "loop" in faults(loop(spoken[0], spoken[1], seconds), spoken)


@pytest.mark.parametrize("seconds", [0.3, 0.5, 0.8, 1.2])
@pytest.mark.parametrize("clip", [2, 3, 4, 5])
def test_a_loop_stands_far_above_the_threshold(clip, seconds):
    # Recordings, whose likeness no change of the bundled weights moves.
    samples, rate = soundfile.read(RECORDINGS / f"heldout-{clip}-recording.ogg", dtype="float32")
    assert self_likeness(samples, rate) < 0.6
    assert self_likeness(loop(samples, rate, seconds), rate) > 0.85  # the threshold is 0.69


def test_a_loop_that_never_ends_is_a_loop_and_too_long(spoken):
    samples, rate, _ = spoken
    tail = samples[-round(1.0 * rate) :]
    assert {"loop", "too long"} <= set(faults(np.concatenate([samples, *[tail] * 6]), spoken))


def test_speech_that_stops_in_full_voice_is_cut_off(spoken):
    samples, rate, _ = spoken
    places = [place for place in loud_places(samples, rate) if place > len(samples) // 3]
    assert all("cut off" in faults(samples[: place + rate // 50], spoken) for place in places[:10])


def test_half_of_the_words_are_too_short(spoken):
    assert "too short" in faults(np.concatenate([spoken[0][: len(spoken[0]) // 2], quiet(0.1, spoken[1])]), spoken)


@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_a_long_gap_is_found_before_within_and_after(spoken, where):
    samples, rate, _ = spoken
    place = round(where * len(samples))
    gapped = np.concatenate([samples[:place], quiet(1.2, rate), samples[place:]])
    assert "long silence" in faults(gapped, spoken)


@pytest.mark.parametrize("seconds", [0.0, 2.0])
def test_an_utterance_of_silence_is_silent(spoken, seconds):
    assert faults(quiet(seconds, spoken[1]), spoken) == ("silent",)


def test_a_text_that_repeats_itself_may_sound_like_it(spoken):
    samples, rate, _ = spoken
    word = samples[len(samples) // 3 :][: rate // 2]
    looped = np.concatenate([samples, word, word, word, word])
    assert "loop" not in find_faults(looped, rate, repeats_itself=True)


def test_a_voice_knows_its_pace_with_the_pauses_between_sentences(spoken):
    voice = Voice.from_pretrained()
    one = expected_seconds(voice, "It rains.", "bf_emma")
    assert expected_seconds(voice, "It rains. It rains.", "bf_emma") == pytest.approx(2 * one + 0.25)
    assert expected_seconds(object(), "It rains.", None) is None
