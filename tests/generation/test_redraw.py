"""Short utterances that do not end are drawn anew: what is drawn, what is told, and that nothing else changes."""

from dataclasses import replace

import pytest
import torch

from aoede.generation import Sampling, Step, Voice, VoiceSettings
from aoede.generation.writers import FlatWriter, Utterance
from tests.generation.tiny_voice import write_voice


class Scripted:
    """An engine whose takes are written down: frames, then an end."""

    def __init__(self, *takes):
        self.takes, self.requests = list(takes), []

    def generate(self, requests, sampling):
        (request,) = requests
        self.requests.append(request)
        count, end = self.takes[len(self.requests) - 1]
        for _ in range(min(count, request.max_frames)):
            yield Step(0, frame=torch.full((7,), len(self.requests)))
        yield Step(0, end="cut" if count > request.max_frames else end)


SHORT = Utterance(ids=[1, 2], seed=5, max_frames=30, redraw_beyond=10)


def written(engine, utterance, attempts=4):
    writer = FlatWriter(engine, Sampling(), attempts=attempts)
    steps = list(writer.write(utterance))
    return [int(step.frame[0]) for step in steps if step.frame is not None], steps[-1].end, writer.notes


def test_what_ends_in_time_is_drawn_once_with_its_own_seed():
    engine = Scripted((6, "closed"))
    assert written(engine, SHORT) == ([1] * 6, "closed", [])
    assert [(r.seed, r.max_frames) for r in engine.requests] == [(5, 10)]


def test_what_goes_on_is_drawn_anew_with_other_seeds_until_it_ends():
    engine = Scripted((99, "closed"), (11, "closed"), (4, "closed"))
    frames, end, notes = written(engine, SHORT)
    assert (frames, end) == ([3] * 4, "closed")
    assert notes == ["short words went on too long and were drawn 3 times"]
    seeds = [request.seed for request in engine.requests]
    assert seeds[0] == 5 and len(set(seeds)) == 3


def test_the_last_attempt_is_kept_and_told_as_cut():
    engine = Scripted(*[(99, "closed")] * 4)
    frames, end, _ = written(engine, SHORT)
    assert (frames, end, len(engine.requests)) == ([4] * 10, "cut", 4)


@pytest.mark.parametrize(("utterance", "attempts"), [(replace(SHORT, redraw_beyond=None), 4), (SHORT, 1)])
def test_longer_ones_and_voices_that_never_redraw_are_told_as_they_come(utterance, attempts):
    engine = Scripted((99, "closed"))
    writer = FlatWriter(engine, Sampling(), attempts=attempts)
    steps = writer.write(utterance)
    assert int(next(steps).frame[0]) == 1 and len(engine.requests) == 1
    assert [step.end for step in steps][-1] == "cut" and engine.requests[0].max_frames == 30


def test_a_voice_redraws_what_is_expected_to_be_short(tmp_path):
    voice = Voice.from_pretrained(write_voice(tmp_path, text_stride=6.5))
    voice.settings = replace(voice.settings, seconds_per_unit={"af_heart": 0.1}, seconds_offset={"af_heart": 0.2})
    assert voice.redraw_seconds(10, "af_heart") == pytest.approx(1.4 * 1.2 + 0.5)
    assert voice.redraw_seconds(10, "af_heart", 2.0) == pytest.approx(1.4 * 0.6 + 0.5)
    assert voice.redraw_seconds(14, "af_heart") is None
    assert voice.redraw_seconds(14, "af_heart", pace=0.05) == pytest.approx(1.4 * 0.7 + 0.5)


def test_the_bundled_voice_says_one_word_and_ends():
    voice = Voice.from_pretrained()
    assert voice.settings.attempts == 6
    for seed, text in enumerate(("Hello.", "Hello there.", "Good night.", "Thank you.")):
        audio = voice.speak(text, seed=seed)
        assert 0.2 < audio.duration < 1.6, (text, audio.duration, audio.notes)


def test_a_word_or_two_takes_what_such_words_take(tmp_path):
    voice = Voice.from_pretrained(write_voice(tmp_path, text_stride=6.5))
    settings = replace(
        voice.settings, seconds_per_unit={"af_heart": 0.01}, seconds_offset={}, short_seconds={5: 0.6, 12: 0.88}
    )
    assert [settings.expected_seconds(n, "af_heart") for n in (3, 5, 12)] == [0.6, 0.6, 0.88]
    assert settings.expected_seconds(9, "bm_george") == pytest.approx(0.76)
    assert settings.expected_seconds(13, "af_heart") == pytest.approx(0.13)
    settings.save(tmp_path)
    assert VoiceSettings.load(tmp_path) == settings
    with pytest.raises(ValueError, match="short_seconds says 0"):
        replace(settings, short_seconds={5: 0.0})


def test_the_number_of_attempts_is_checked_and_kept(tmp_path):
    settings = Voice.from_pretrained(write_voice(tmp_path, text_stride=None)).settings
    assert VoiceSettings.from_dict(replace(settings, attempts=3).to_dict()).attempts == 3
    with pytest.raises(ValueError, match="attempts is 0; it lies in 1"):
        replace(settings, attempts=0)
