"""A voice from end to end: equal seeds, streams, long texts, joins, refusals, files."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from aoede.generation import Audio, Voice, VoiceSettings, bundled_voices, find_voice
from aoede.generation.joining import EdgeFader, pause
from tests.generation.tiny_voice import make_windowed_codec


@pytest.fixture(scope="module")
def voice(voice_folder):
    return Voice.from_pretrained(voice_folder)


def test_a_voice_speaks_and_says_how(voice):
    audio = voice.speak("Hello there.", speaker="af_heart", seed=1)
    assert audio.samples.dtype == np.float32 and audio.samples.ndim == 1
    assert audio.sample_rate == 8000 and audio.duration == len(audio.samples) / 8000 > 0
    assert (audio.speaker, audio.seed, audio.text) == ("af_heart", 1, "Hello there.")
    assert np.isfinite(audio.samples).all() and np.abs(audio.samples).max() <= 1
    assert 0 < audio.first_audio_seconds <= audio.compute_seconds


def test_equal_seeds_are_equal_samples_and_others_are_not(voice):
    first, second, other = (voice.speak("Hello there.", seed=seed).samples for seed in (3, 3, 4))
    assert np.array_equal(first, second) and not np.array_equal(first, other)


def test_a_stream_is_the_speech_sample_for_sample(voice):
    text = "Hello there, my friend. How are you? Fine!"
    stream = voice.stream(text, seed=5)
    chunks = list(stream)
    audio = voice.speak(text, seed=5)
    assert len(chunks) > 5
    assert np.array_equal(np.concatenate(chunks), audio.samples)
    assert stream.notes == audio.notes and stream.cut == audio.cut


def test_a_stream_starts_before_the_sentence_is_done(voice):
    stream = voice.stream("The quick brown fox jumps over the lazy dog, again and again and again.", seed=2)
    first = next(stream)
    early = stream.compute_seconds
    list(stream)
    assert len(first) > 0 and early < stream.compute_seconds


def test_a_codec_that_attends_in_windows_needs_no_whole_window(voice):
    codec = make_windowed_codec()
    windowed = Voice(codec, voice.model, voice.tokenizer, replace(voice.settings, max_seconds=0.027))
    frames = 7  # of 4 ms: the guard cuts after 0.027 s, and a window holds 2
    audio = windowed.speak("Hello there, my friend.", seed=1)
    assert audio.cut and len(audio.samples) == frames * codec.config.frame_length
    assert np.array_equal(np.concatenate(list(windowed.stream("Hello there, my friend.", seed=1))), audio.samples)


def test_a_sentence_sounds_the_same_whatever_comes_after_it(voice):
    alone = voice.speak("Hello there.", seed=6).samples
    longer = voice.speak("Hello there. And more.", seed=6).samples
    assert np.array_equal(longer[: len(alone)], alone)


def test_sentences_are_joined_by_silence_with_faded_edges(voice):
    alone = voice.speak("Hello there.", seed=6).samples
    both = voice.speak("Hello there. And more.", seed=6).samples
    gap = round(0.25 * 8000)
    assert np.all(both[len(alone) : len(alone) + gap] == 0)
    assert abs(alone[0]) < 0.01 and abs(alone[-1]) < 0.01
    assert abs(both[len(alone) + gap]) < 0.01 and abs(both[-1]) < 0.01


def test_the_guard_cuts_and_says_so(voice):
    takes = [voice.speak("Hello there.", seed=seed) for seed in range(6)]
    units = len(voice.tokenizer(voice.settings.text.prompt("Hello there.", "bm_george"))["input_ids"])
    limit = voice.guard_seconds(units, "bm_george")
    frame_seconds = 1 / voice.codec.config.frame_rate
    assert {take.cut for take in takes} == {True, False}
    for take in takes:
        assert take.duration <= limit + frame_seconds
        assert take.cut == any(note.startswith("cut after") and "Hello there." in note for note in take.notes)
        assert take.cut == (take.duration >= limit)


def test_the_guard_is_twice_the_expected_length_and_a_second(voice):
    assert voice.guard_seconds(25, "bm_george") == pytest.approx(1.5)
    assert voice.guard_seconds(25, "bm_george", speed=2.0) == pytest.approx(25 * 0.01 + 1)
    assert voice.guard_seconds(4000, "bm_george") == 1.6


def test_speed_sets_the_stride_of_the_text(voice):
    ids_a_second = voice.codec.config.frame_rate * 7
    assert voice.text_stride(25, "af_heart") == pytest.approx(0.008 * ids_a_second)
    assert voice.text_stride(25, "af_heart", 2.0) == pytest.approx(0.004 * ids_a_second)
    with pytest.raises(ValueError, match=r"speed 3.0 is outside 0.5 .. 2.0"):
        voice.speak("Hello.", speed=3.0)


def test_a_voice_without_pace_control_says_so(plain_voice_folder):
    plain = Voice.from_pretrained(plain_voice_folder)
    assert plain.speak("Hello.", seed=1).duration > 0
    with pytest.raises(ValueError, match="no control of its pace"):
        plain.speak("Hello.", speed=1.2)


def test_the_default_speaker_speaks_and_an_unknown_one_is_refused_with_the_list(voice):
    assert voice.speak("Hi.").speaker == "bm_george"
    with pytest.raises(ValueError, match="unknown speaker 'bob'; this voice has: af_heart, bm_george"):
        voice.speak("Hi.", speaker="bob")


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "empty"), ("...", "nothing to say"), ("你好", "Chinese"), ("Hi <cough>", "<cough> looks like an event")],
)
def test_what_cannot_be_said_is_refused_before_anything_is_made(voice, text, words):
    with pytest.raises(ValueError, match=words):
        voice.stream(text)


def test_events_are_spoken_and_marks_alone_are_noted(voice):
    audio = voice.speak("Hello <laugh> you 😀. … … Bye.", seed=1)
    assert any("grinning face" in note for note in audio.notes)


def test_a_long_text_is_spoken_sentence_by_sentence(voice):
    text = " ".join(["Well, it is late."] * 6)
    assert voice.speak(text, seed=1).duration > 6 * voice.speak("Hi.", seed=1).duration / 40


def test_audio_saves_in_every_format(voice, tmp_path):
    audio = voice.speak("Hello.", seed=1)
    for suffix in ("wav", "flac", "ogg", "mp3", "opus"):
        path = audio.save(tmp_path / f"a.{suffix}")
        assert abs(soundfile.info(path).duration - audio.duration) < 0.2
    with pytest.raises(ValueError, match="xyz"):
        audio.save(tmp_path / "a.xyz")


def test_audio_draws_waveform_and_spectrogram(voice, tmp_path):
    audio = voice.speak("Hello.", seed=1)
    assert audio.plot(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]
    with pytest.raises(ValueError, match="no picture"):
        audio.plot(tmp_path / "a.wav")


def test_silence_can_be_drawn(tmp_path):
    assert Audio(samples=np.zeros(100, np.float32), sample_rate=8000).plot(tmp_path / "s.png").exists()


def test_the_fader_gives_the_same_whatever_the_pieces():
    samples = np.random.default_rng(0).uniform(-1, 1, 1000).astype(np.float32)
    whole = EdgeFader(8000)
    expected = np.concatenate([whole.push(samples), whole.finish()])
    for size in (1, 7, 39, 40, 41, 333):
        fader = EdgeFader(8000)
        parts = [fader.push(samples[i : i + size]) for i in range(0, 1000, size)]
        assert np.array_equal(np.concatenate([*parts, fader.finish()]), expected)
    assert np.array_equal(expected[40:-40], samples[40:-40])
    assert abs(expected[0]) < 0.001 and abs(expected[-1]) < 0.001


def test_pauses_are_shorter_inside_a_sentence():
    assert len(pause('"Yes."', 8000)) == 2000 and len(pause("and then,", 8000)) == 800


def test_a_folder_that_is_no_voice_is_refused_with_words(voice_folder, tmp_path):
    with pytest.raises(ValueError, match=r"no voice folder: it has no voice\.json"):
        Voice.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"no voice 'nobody'.*bundled:"):
        find_voice("nobody")
    broken = tmp_path / "broken"
    shutil.copytree(voice_folder, broken)
    settings = json.loads((broken / "voice.json").read_text())
    (broken / "voice.json").write_text(json.dumps({**settings, "speeker": 1}))
    with pytest.raises(ValueError, match=r"voice\.json: unknown key speeker"):
        Voice.from_pretrained(broken)
    (broken / "voice.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        Voice.from_pretrained(broken)
    (broken / "voice.json").write_text(json.dumps({**settings, "format": 7}))
    with pytest.raises(ValueError, match="format is 7, this Aoede reads 1"):
        Voice.from_pretrained(broken)


def test_settings_round_trip(voice_folder, tmp_path):
    settings = VoiceSettings.load(voice_folder)
    settings.save(tmp_path)
    assert VoiceSettings.load(tmp_path) == settings


def test_without_a_source_the_bundled_voice_is_meant():
    if bundled_voices():
        assert find_voice() == next(iter(bundled_voices().values()))
    else:
        with pytest.raises(ValueError, match="no voice is bundled"):
            find_voice()


def test_the_package_exports_voice_and_audio_without_loading_torch():
    code = (
        "import sys, time; started = time.process_time(); import aoede\n"
        "assert 'torch' not in sys.modules and time.process_time() - started < 0.3\n"
        "from aoede import Audio, Voice; print(Voice.__name__, Audio.__name__)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["Voice", "Audio"]
