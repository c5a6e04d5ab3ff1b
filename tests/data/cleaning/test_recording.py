from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aoede.data import Clip, load_audio
from aoede.data.cleaning import CleanConfig, Comparison, Judges, Unjudged, clean, sample_digest
from aoede.data.cleaning.loudness import integrated_loudness

from .sounds import RATE, noise, pause, row, tone

CLIPS = Path(__file__).parents[1] / "clips"
HELLO = Clip(audio="/hello.wav", id="hello", text="Hello.", language="en")
OFF = CleanConfig.off()


def run(samples, config=OFF, rate=RATE, clip=HELLO, judges=None, codec_rate=RATE):
    return clean(samples, rate, clip, config, judges or Judges(), codec_rate)


def the(cleaned, step):
    found = [event for event in cleaned.events if event.step == step]
    assert len(found) == 1, f"{len(found)} events of {step}"
    return found[0]


def test_with_every_step_off_samples_pass_untouched_and_are_measured():
    samples = row(-1, 2, -1)
    cleaned = run(samples)
    (piece,) = cleaned.pieces
    assert np.array_equal(piece.samples, samples)
    assert (piece.start_seconds, piece.seconds, piece.number, piece.name("a")) == (0.0, 4.0, None, "a")
    assert [event.step for event in cleaned.events] == ["loudness", "duration", "clipping", "noise"]
    assert all(event.kept for event in cleaned.events)
    assert the(cleaned, "duration").value == 4.0
    assert the(cleaned, "noise").value == 100.0
    assert cleaned.reason == ""


def test_silence_around_the_voice_goes_but_for_the_margin():
    cleaned = run(row(-2, 1.5, -0.5, 1, -3), replace(OFF, trim=True))
    (piece,) = cleaned.pieces
    assert piece.start_seconds == pytest.approx(1.85, abs=0.03)
    assert piece.seconds == pytest.approx(3.3, abs=0.05)
    event = the(cleaned, "trim")
    assert event.value == pytest.approx(8 - 3.3, abs=0.05)
    assert "s before the voice and 2.8" in event.reason


def test_a_recording_without_voice_is_dropped_by_trimming():
    cleaned = run(noise(3.0, 1e-4), replace(OFF, trim=True))
    assert cleaned.pieces == ()
    assert cleaned.reason == "trim: nothing stands out of the background: no voice"


def test_loudness_is_brought_to_what_is_wanted_by_one_gain():
    samples = tone(3.0, 10 ** (-30 / 20), 997)  # -33.01 LUFS in one channel
    cleaned = run(samples, replace(OFF, loudness=-23.0))
    (piece,) = cleaned.pieces
    assert integrated_loudness(piece.samples, RATE) == pytest.approx(-23, abs=0.01)
    event = the(cleaned, "loudness")
    assert event.value == pytest.approx(-33.01, abs=0.05)
    assert event.reason == "+10.0 dB"
    assert np.allclose(piece.samples, samples * 10 ** ((-23 - event.value) / 20), atol=1e-6)


def test_a_gain_that_would_pass_the_peak_is_held_back_and_that_is_told():
    samples = tone(3.0, 10 ** (-30 / 20), 997)
    samples[1000] = 0.5
    cleaned = run(samples, replace(OFF, loudness=-23.0))
    assert the(cleaned, "loudness").reason == "+5.0 dB instead of +10.0: its peak allows no more"
    assert np.abs(cleaned.pieces[0].samples).max() == pytest.approx(10 ** (-1 / 20), rel=1e-4)


def test_what_is_too_quiet_to_be_measured_is_left_as_it_is():
    cleaned = run(pause(1.0), replace(OFF, loudness=-23.0))
    assert the(cleaned, "loudness").reason == "too quiet to be measured: left as it is"
    assert len(cleaned.pieces) == 1


def test_another_rate_is_resampled_or_dropped():
    samples = tone(2.0, rate=16000)
    cleaned = run(samples, rate=16000)
    assert len(cleaned.pieces[0].samples) == 48000
    assert the(cleaned, "resample").reason == "16000 Hz to 24000 Hz"
    dropped = run(samples, replace(OFF, resample=False), rate=16000)
    assert dropped.reason == "resample: recorded at 16000 Hz, but the codec takes 24000 Hz and resampling is off"
    dropped = run(samples, replace(OFF, lowest_rate=22050), rate=16000)
    assert dropped.reason == "resample: recorded at 16000 Hz, below 22050 Hz"


def test_a_long_recording_is_cut_at_its_pauses_and_pieces_are_numbered():
    samples = row(-1, 4, -0.4, 4, -2, 4, -0.4, 4, -1)
    cleaned = run(samples, replace(OFF, trim=True, cut=9.0))
    assert [piece.name("long") for piece in cleaned.pieces] == ["long#0", "long#1"]
    assert [piece.start_seconds for piece in cleaned.pieces] == pytest.approx([0.85, 11.25], abs=0.03)
    assert [piece.seconds for piece in cleaned.pieces] == pytest.approx([8.7, 8.7], abs=0.05)
    event = the(cleaned, "cut")
    assert (event.kept, event.reason) == (True, "2 pieces")
    assert event.value == pytest.approx(1.7, abs=0.05)  # of the long pause, 0.15 s stay on each side


def test_a_cut_inside_sound_is_told():
    cleaned = run(row(-0.5, 7, -0.5), replace(OFF, cut=4.0))
    assert len(cleaned.pieces) in (2, 3)  # a tone is as quiet anywhere
    assert "inside sound at" in the(cleaned, "cut").reason


def test_a_piece_is_dropped_on_its_own_and_the_others_keep_their_numbers():
    good, clipped = row(4), np.clip(tone(4, 4.0), -1, 1)
    samples = np.concatenate([good, pause(1), clipped, pause(1), good])
    cleaned = run(samples, replace(OFF, cut=5.0, clipping=0.01))
    assert [piece.number for piece in cleaned.pieces] == [0, 2]
    events = [event for event in cleaned.events if event.step == "clipping"]
    assert [event.kept for event in events] == [True, False, True]
    assert events[1].start_seconds == pytest.approx(4.85, abs=0.03)
    assert "% of the samples are clipped, above 1.00%" in events[1].reason
    assert cleaned.reason == ""


def test_clipping_is_looked_for_before_resampling_blurs_it():
    samples = np.clip(tone(2.0, 2.0, 200, rate=16000), -1, 1)
    assert the(run(samples, rate=16000), "clipping").value == pytest.approx(0.6, abs=0.1)


def test_durations_outside_the_limits_are_dropped():
    config = replace(OFF, min_seconds=1.0, max_seconds=3.0)
    assert run(tone(0.5), config).reason == "duration: 0.50 s, below 1 s"
    assert run(tone(3.5), config).reason == "duration: 3.50 s, above 3 s"
    assert len(run(tone(2.0), config).pieces) == 1
    assert run(np.zeros(0, dtype=np.float32)).reason == "duration: no samples"


def test_a_noisy_recording_is_dropped_and_one_without_pauses_is_not_judged():
    clean_row = row(-1, 2, -0.7, 2, -1)
    noisy = clean_row + noise(len(clean_row) / RATE, 0.125 * 10 ** (-8 / 10))
    assert run(noisy, replace(OFF, noise=10.0)).reason.startswith("noise: ")
    assert len(run(noisy, replace(OFF, noise=5.0)).pieces) == 1
    unbroken = run(row(2.0), replace(OFF, noise=10.0))
    assert len(unbroken.pieces) == 1
    assert the(unbroken, "noise").value is None


class Listener:
    """Three judges that say what they are told to, or that they cannot."""

    def __init__(self, score=4.0, heard=("en", 0.9), errors=0.0, refuses=False):
        self.score, self.heard, self.errors, self.refuses = score, heard, errors, refuses
        self.seconds = []

    def opinion(self, samples, rate):
        self._listen(samples, rate)
        return self.score

    def language(self, samples, rate):
        self._listen(samples, rate)
        return self.heard

    def compare(self, samples, rate, text, language):
        self._listen(samples, rate)
        return Comparison(character_errors=self.errors, heard=f"not {text} in {language}")

    def _listen(self, samples, rate):
        self.seconds.append(len(samples) / rate)
        if self.refuses:
            raise Unjudged("too short to tell")


def judged(listener, clip=HELLO, **limits):
    return run(row(2.0), replace(OFF, **limits), clip=clip, judges=Judges(**dict.fromkeys(limits, listener)))


def test_judges_drop_what_they_are_asked_to():
    assert len(judged(Listener(), mos=3.0, language=0.5, transcript=0.3).pieces) == 1
    assert judged(Listener(score=2.5), mos=3.0).reason == "mos: predicted opinion 2.50, below 3"
    another = judged(Listener(heard=("ru", 0.8)), language=0.5)
    assert another.reason == "language: ru is heard (80% sure), but the clip says en"
    assert len(judged(Listener(heard=("ru", 0.4)), language=0.5).pieces) == 1
    words = judged(Listener(errors=0.6), transcript=0.3)
    assert words.reason == "transcript: 60% character errors, above 30%; heard: 'not Hello. in en'"


def test_regions_of_a_language_are_that_language():
    british = replace(HELLO, language="en-GB")
    assert len(judged(Listener(), clip=british, language=0.5).pieces) == 1


def test_what_cannot_be_judged_is_kept_and_the_reason_told():
    cleaned = judged(Listener(refuses=True), mos=3.0, language=0.5, transcript=0.3)
    assert len(cleaned.pieces) == 1
    assert [event.reason for event in cleaned.events if event.step in ("mos", "language", "transcript")] == [
        "not judged: too short to tell"
    ] * 3
    silent = Listener()
    unknown = judged(silent, clip=replace(HELLO, text=" ", language=""), transcript=0.3, language=0.5)
    assert (len(unknown.pieces), silent.seconds) == (1, [])
    assert the(unknown, "transcript").reason == "the clip has no text to compare with"


def test_nobody_judges_what_was_dropped_already():
    listener = Listener()
    judged_after = run(tone(0.5), replace(OFF, min_seconds=1.0, mos=3.0), judges=Judges(mos=listener))
    assert (judged_after.pieces, listener.seconds) == ((), [])


def test_two_channels_holes_and_too_low_a_rate_are_refused():
    with pytest.raises(ValueError, match="hello: samples have shape"):
        run(np.zeros((2, 100), dtype=np.float32))
    with pytest.raises(ValueError, match="finite"):
        run(np.array([0.0, np.nan], dtype=np.float32))
    with pytest.raises(ValueError, match="2000 Hz; cleaning needs 4000"):
        run(tone(1.0), rate=2000)


@pytest.mark.parametrize("path", sorted(CLIPS.glob("*.ogg")), ids=lambda path: path.stem)
def test_studio_recordings_pass_the_default_steps_whole(path):
    """Telephone prompts, tightly cut by their makers: nothing of a sentence may be lost."""
    samples, rate = load_audio(path)
    cleaned = run(samples, CleanConfig(), rate=rate)
    (piece,) = cleaned.pieces
    assert piece.seconds > 0.8 * len(samples) / rate
    assert the(cleaned, "noise").value is None or the(cleaned, "noise").value > 20
    assert the(cleaned, "clipping").value < 1e-4
    lost = samples.copy()
    start = round(piece.start_seconds * rate)
    lost[start : start + round(piece.seconds * rate)] = 0
    assert float((lost**2).sum()) < 1e-3 * float((samples**2).sum())
    again = run(samples, CleanConfig(), rate=rate)
    assert again.events == cleaned.events
    assert again.pieces[0].samples.tobytes() == piece.samples.tobytes()


def test_two_sentences_with_a_pause_are_cut_between_them():
    paths = sorted(CLIPS.glob("asterisk_es*.ogg"))
    first, second = (load_audio(path, RATE)[0] for path in paths)
    samples = np.concatenate([first, pause(0.6), second]) + noise((len(first) + len(second)) / RATE + 0.6, 1e-8)
    cleaned = run(samples, replace(OFF, cut=5.0, trim=True))
    assert len(cleaned.pieces) == 2
    border = (len(first) / RATE, len(first) / RATE + 0.6)
    assert cleaned.pieces[0].start_seconds + cleaned.pieces[0].seconds < border[1]
    assert cleaned.pieces[1].start_seconds > border[0]


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0.05, 4), st.floats(0.05, 3), st.booleans()), min_size=1, max_size=8),
    st.booleans(),
    st.sampled_from([None, 1.5, 3.0]),
)
def test_every_second_is_kept_dropped_or_left_out_and_told(parts, trim, cut):
    """Nothing is dropped unlisted: what the events tell and what the pieces hold is the whole recording."""
    sounds = [pause(0.3, 8000)]
    for voice, gap, is_clipped in parts:
        sounds += [np.clip(tone(voice, 4.0 if is_clipped else 0.5, rate=8000), -1, 1), pause(gap, 8000)]
    samples = np.concatenate(sounds)
    config = replace(OFF, trim=trim, cut=cut, min_seconds=0.4, clipping=0.01)
    cleaned = run(samples, config, rate=8000, codec_rate=8000)
    left_out = sum(event.value for event in cleaned.events if event.kept and event.step in ("trim", "cut"))
    dropped = {(event.start_seconds, event.seconds) for event in cleaned.events if not event.kept}
    kept = {(piece.start_seconds, piece.seconds) for piece in cleaned.pieces}
    assert not kept & dropped
    assert sum(s for _, s in kept | dropped) + left_out == pytest.approx(len(samples) / 8000, abs=1e-6)
    assert all(len(piece.samples) == round(piece.seconds * 8000) for piece in cleaned.pieces)
    assert cut is None or all(piece.seconds <= cut + 1e-9 for piece in cleaned.pieces)


def test_identical_samples_have_one_digest_whatever_held_them():
    samples = tone(0.5)
    assert sample_digest(samples) == sample_digest(samples.astype(np.float64).astype(np.float32))
    assert sample_digest(np.array([0.0, 0.5], np.float32)) == sample_digest(np.array([-0.0, 0.5], np.float32))
    changed = samples.copy()
    changed[100] = np.nextafter(changed[100], 1)
    assert sample_digest(changed) != sample_digest(samples)
    assert len(sample_digest(samples)) == 64
