"""Each fault is found where it is, and not in a sound utterance."""

import numpy as np
import pytest

from aoede.evaluation.faults import find_faults, longest_silence, repeats
from aoede.evaluation.intelligibility import score

RATE = 8000


def tone(seconds, level=0.3, hertz=440):
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(RATE * seconds)) / RATE)).astype(np.float32)


def quiet(seconds):
    return np.zeros(int(RATE * seconds), dtype=np.float32)


def sentence(*pauses):
    """Tones of half a second, each higher, with pauses between, and a quiet end."""
    parts = [tone(0.5)]
    for place, pause in enumerate(pauses, 1):
        parts += [quiet(pause), tone(0.5, hertz=440 * 2**place)]
    return np.concatenate([*parts, quiet(0.1)])


def test_a_sound_utterance_has_no_faults():
    audio = sentence(0.2, 0.4)
    heard = score("one two three", "one two three")
    assert find_faults(audio, RATE, heard, recording_seconds=len(audio) / RATE) == ()


def test_a_pause_of_more_than_a_second_is_a_long_silence():
    assert find_faults(sentence(1.5), RATE) == ("long silence",)
    assert longest_silence(sentence(0.2, 1.5), RATE) == pytest.approx(1.5, abs=0.04)


def test_an_end_in_full_voice_is_a_cut_off():
    assert find_faults(np.concatenate([quiet(0.1), tone(1.0)]), RATE) == ("cut off",)


def test_the_engines_word_that_it_cut_is_taken():
    assert find_faults(sentence(0.2), RATE, cut=True) == ("cut off",)


def test_three_words_lost_at_the_end_are_a_cut_off_but_not_in_the_middle():
    text = "a b c d e f g"
    assert find_faults(sentence(0.2), RATE, score(text, "a b c d")) == ("cut off",)
    assert find_faults(sentence(0.2), RATE, score(text, "a b f g")) == ()


def test_length_is_judged_against_the_recording():
    audio = sentence(0.2, 0.2)  # 2 s
    assert find_faults(audio, RATE, recording_seconds=0.9) == ("too long",)
    assert find_faults(audio, RATE, recording_seconds=4.5) == ("too short",)
    assert find_faults(audio, RATE, recording_seconds=1.5) == ()


def test_words_that_come_again_and_again_are_a_loop():
    heard = score("we go to the river", "we go to the to the to the river")
    assert find_faults(sentence(0.2), RATE, heard) == ("loop",)


def test_a_text_that_repeats_itself_may():
    assert find_faults(sentence(0.2), RATE, score("no no no", "no no no")) == ()


@pytest.mark.parametrize("audio", [quiet(1.0), quiet(0.0), np.zeros(3, np.float32)])
def test_nothing_to_hear_is_silent(audio):
    assert find_faults(audio, RATE) == ("silent",)


@pytest.mark.parametrize(
    ("words", "times"),
    [("", 0), ("a", 1), ("a b c", 1), ("a a", 2), ("x a b a b a b", 3), ("a b c a b c", 2), ("a b c d a b c d", 1)],
)
def test_repeats_count_runs_of_up_to_three_words(words, times):
    assert repeats(words.split()) == times


def test_a_voice_keeps_its_own_pace():
    audio = sentence(0.2, 0.2)  # 1.9 s and a quiet end: 2.0 s
    assert find_faults(audio, RATE, paced_seconds=1.0) == ("too long",)
    assert find_faults(audio, RATE, paced_seconds=1.2) == ()
    assert find_faults(audio, RATE, paced_seconds=3.1) == ()
    assert find_faults(audio, RATE, paced_seconds=3.3) == ("too short",)


def test_the_same_sound_again_and_again_is_a_loop_where_nobody_listened():
    part = np.concatenate([tone(0.2), tone(0.2, hertz=880), tone(0.2, hertz=1300)])
    audio = np.concatenate([tone(0.3, hertz=200), part, part, part, part, quiet(0.1)])
    assert find_faults(audio, RATE) == ("loop",)
    assert find_faults(audio, RATE, repeats_itself=True) == ()
    assert find_faults(audio, RATE, score("one two three", "one two three")) == ()
