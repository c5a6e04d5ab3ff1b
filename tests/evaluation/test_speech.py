"""Whole runs on real audio of a language of tones (see conftest.py), with figures that can be counted."""

from dataclasses import replace

import pytest
import soundfile

from aoede.evaluation.speech import EvaluationConfig, choose, evaluate
from aoede.generation import Voice
from tests.generation.tiny_voice import write_two_stage_voice


def run(clips, codec, out, **options):
    held_out = [clip for clip in clips if clip.split == "heldout"]
    rest = [clip for clip in clips if clip.split != "heldout"]
    return evaluate(options.pop("held_out", held_out), codec, out, pool=rest, progress=False, **options)


def test_recordings_and_a_faithful_voice_have_no_word_errors(clips, codec, recogniser, encoder, make_voice, tmp_path):
    report = run(clips, codec, tmp_path, recogniser=recogniser, encoder=encoder, voice=make_voice())
    assert report.systems == ("recording", "codec", "voice")
    for system in ("recording", "voice"):
        figures = report.figures(system)
        assert figures["word errors"].value == 0.0
        assert figures["duration ratio"].value == pytest.approx(1.0)
        assert figures["speaker similarity"].value == pytest.approx(1.0, abs=0.01)
    assert report.stranger_similarity() < 0.5
    assert report.failures == ()


def test_a_voice_that_says_something_else_is_caught_beside_the_perfect_recordings(
    clips, codec, recogniser, make_voice, tmp_path
):
    voice = make_voice(habits={"high high low": "high low low", "middle low": ""})
    report = run(clips, codec, tmp_path, recogniser=recogniser, voice=voice)
    # 12 words: one replaced, two lost in silence.
    assert report.figures("voice")["word errors"].value == pytest.approx(3 / 12)
    assert report.added_errors("voice").value == pytest.approx(3 / 12)
    assert report.figures("recording")["word errors"].value == 0.0
    worst = report.worst("voice", 2)
    assert [(u.text, u.faults) for u in worst] == [("middle low", ("silent",)), ("high high low", ())]


def test_an_untrained_codec_is_measured_not_trusted(clips, codec, recogniser, tmp_path):
    report = run(clips, codec, tmp_path, recogniser=recogniser)
    figures = report.figures("codec")
    assert figures["word errors"].value > 0.5
    assert figures["mel distance"].value > 0.5
    assert figures["real-time factor"].value > 0
    frames = sum(codec.frames(len(soundfile.read(clip.audio)[0])) for clip in clips[:4])
    assert [level.num_codes for level in report.levels] == [frames * count for count in codec.config.codes_per_frame]


def test_a_slow_voice_is_too_long(clips, codec, make_voice, tmp_path):
    report = run(clips, codec, tmp_path, voice=make_voice(pace=0.25))
    assert all("too long" in u.faults for u in report.of("voice"))
    assert report.figures("voice")["duration ratio"].value > 2


def test_without_a_recogniser_words_are_left_out_and_the_report_says_so(clips, codec, tmp_path):
    report = run(clips, codec, tmp_path)
    assert report.figures("recording")["word errors"] is None
    assert report.settings["recogniser"] == "none: words were not measured"
    assert report.settings["speaker encoder"].startswith("none")


def test_what_cannot_be_read_or_spoken_is_listed_and_the_rest_is_measured(clips, codec, make_voice, tmp_path):
    missing = replace(clips[0], id="gone", audio=str(tmp_path / "gone.wav"))
    refused = replace(clips[1], id="cough", text="low cough")
    report = run(clips, codec, tmp_path, voice=make_voice(), held_out=[missing, refused, clips[2]])
    assert [name for name, _ in report.failures] == ["gone", "cough"]
    assert "does not cough" in report.failures[1][1]
    assert [u.id for u in report.utterances] == ["2", "2", "2"]  # no half-measured clip


def test_nothing_measurable_is_an_error(clips, codec, tmp_path):
    missing = replace(clips[0], audio=str(tmp_path / "gone.wav"))
    with pytest.raises(ValueError, match="none of 1 clips could be measured"):
        run(clips, codec, tmp_path, held_out=[missing])


def test_the_audio_of_every_system_is_kept(clips, codec, make_voice, tmp_path):
    report = run(clips, codec, tmp_path, voice=make_voice(), config=EvaluationConfig(limit=2))
    for utterance in report.utterances:
        samples, rate = soundfile.read(tmp_path / utterance.audio)
        assert rate == 24000
        assert len(samples) / rate == pytest.approx(utterance.seconds)


def test_the_voices_own_clock_and_notes_are_kept(clips, codec, make_voice, tmp_path):
    report = run(clips, codec, tmp_path, voice=make_voice(notes=("left out: #",)))
    figures = report.figures("voice")
    assert figures["first audio"].value == 0.25
    assert figures["real-time factor"].value == pytest.approx(4 * 0.5 / sum(u.seconds for u in report.of("voice")))
    assert report.of("voice")[0].notes == ("left out: #",)


def test_a_voice_without_named_speakers_speaks_every_clip(clips, codec, make_voice, tmp_path):
    report = run(clips, codec, tmp_path, voice=make_voice(speakers=()))
    assert len(report.of("voice")) == 4
    with pytest.raises(ValueError, match="it has one, without a name"):
        run(clips, codec, tmp_path, voice=make_voice(speakers=()), config=EvaluationConfig(speaker="loud"))


def test_clips_of_speakers_that_the_voice_lacks_are_passed_over(clips, codec, make_voice, tmp_path):
    report = run(clips, codec, tmp_path, voice=make_voice(speakers=("loud",)))
    assert {u.speaker for u in report.utterances} == {"loud"}
    with pytest.raises(ValueError, match=r"no clip is by a speaker of the voice \(other\), only by loud, quiet"):
        run(clips, codec, tmp_path, voice=make_voice(speakers=("other",)))


def test_one_speaker_can_speak_every_text_and_lengths_are_then_not_compared(
    clips, codec, encoder, make_voice, tmp_path
):
    config = EvaluationConfig(speaker="loud")
    report = run(clips, codec, tmp_path, voice=make_voice(), encoder=encoder, config=config)
    voice = report.of("voice")
    assert [u.speaker for u in voice] == ["loud"] * 4
    assert [u.duration_ratio is None for u in voice] == [True, False, True, False]
    assert report.figures("voice")["speaker similarity"].value == pytest.approx(1.0, abs=0.01)
    with pytest.raises(ValueError, match="no speaker 'nobody'; it has quiet, loud"):
        run(clips, codec, tmp_path, voice=make_voice(), config=EvaluationConfig(speaker="nobody"))


def test_a_speaker_without_other_recordings_is_compared_with_the_measured_ones_less_itself(
    clips, codec, encoder, tmp_path
):
    report = evaluate(clips[:4], codec, tmp_path, encoder=encoder, progress=False)
    assert report.figures("recording")["speaker similarity"].value == pytest.approx(1.0, abs=0.01)
    alone = evaluate(clips[:2], codec, tmp_path, encoder=encoder, progress=False)
    assert alone.figures("recording")["speaker similarity"] is None


def test_a_limit_spreads_over_the_manifest_and_skips_clips_without_words(clips):
    many = [replace(clips[0], id=str(i)) for i in range(10)] + [replace(clips[0], id="wordless", text="...")]
    assert [clip.id for clip in choose(many, 4)] == ["0", "2", "5", "7"]
    assert len(choose(many, None)) == 10
    with pytest.raises(ValueError, match="none of the 1 clips has a text"):
        choose(many[-1:], None)


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"references": 0}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        EvaluationConfig(**wrong)


def test_a_two_stage_voice_is_measured_like_any_other(clips, recogniser, encoder, tmp_path):
    voice = Voice.from_pretrained(write_two_stage_voice(tmp_path / "duo", {"max_seconds": 0.4}))
    options = {"recogniser": recogniser, "encoder": encoder, "config": EvaluationConfig(speaker="af_heart", limit=2)}
    report = run(clips, voice.codec, tmp_path / "out", voice=voice, **options)
    figures = report.figures("voice")
    assert report.failures == () and len(report.of("voice")) == 2
    assert figures["word errors"].value > 0.5  # it was never trained
    assert figures["real-time factor"].value > 0 and figures["first audio"].value > 0
