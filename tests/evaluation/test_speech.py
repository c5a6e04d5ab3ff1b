"""Whole runs on real audio of a language of tones (see conftest.py), with figures that can be counted."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from aoede.evaluation.quality import CommandMeasure
from aoede.evaluation.speech import SpeechEvaluationConfig, evaluate_speech
from aoede.evaluation.systems import FolderSystem, VoiceSystem
from aoede.evaluation.texts import Passage
from aoede.generation import Voice
from tests.evaluation.conftest import RATE, spoken
from tests.generation.tiny_voice import write_two_stage_voice


def run(clips, codec, out, *voices, **options):
    passages = options.pop("passages", [Passage.of(clip) for clip in clips if clip.split == "heldout"])
    rest = [clip for clip in clips if clip.split != "heldout"]
    systems = [
        voice if hasattr(voice, "say") else VoiceSystem(f"voice{i or ''}", voice, codec=codec, own_speaker="loud")
        for i, voice in enumerate(voices)
    ]
    if "config" in options:
        options["config"] = SpeechEvaluationConfig(**options["config"])
    return evaluate_speech(passages, systems, out, pool=rest, progress=False, **options)


def test_recordings_and_a_faithful_voice_have_no_word_errors(clips, codec, recogniser, encoder, make_voice, tmp_path):
    report = run(clips, codec, tmp_path, make_voice(), recogniser=recogniser, encoder=encoder)
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
    report = run(clips, codec, tmp_path, voice, recogniser=recogniser)
    # 12 words: one replaced, two lost in silence.
    assert report.figures("voice")["word errors"].value == pytest.approx(3 / 12)
    assert report.added_errors("voice").value == pytest.approx(3 / 12)
    assert report.figures("recording")["word errors"].value == 0.0
    found = {figure.name: report.compute(figure, "voice").value for figure in report.details()}
    assert found["words replaced"] == pytest.approx(1 / 12) and found["words lost"] == pytest.approx(2 / 12)
    assert found["silent"] == 0.25 and found["loop"] == 0.0
    assert report.worst_clips(2) == ["2", "1"]


def test_two_systems_are_compared_text_by_text(clips, codec, recogniser, encoder, make_voice, tmp_path):
    wrong = {clip.text: " ".join(["middle"] * (1 + len(clip.text.split()))) for clip in clips}
    report = run(clips, codec, tmp_path, make_voice(), make_voice(habits=wrong), recogniser=recogniser, encoder=encoder)
    assert report.systems == ("recording", "codec", "voice", "voice1")  # one codec, one round trip
    assert report.codecs[0].voices == ("voice", "voice1")
    difference = report.differences("voice1")["word errors"]
    assert difference.value == pytest.approx(report.figures("voice1")["word errors"].value) and difference.low > 0
    word_errors = next(figure for figure in report.shown() if figure.name == "word errors")
    assert report.verdict(word_errors, difference) == "worse"
    first_audio = next(figure for figure in report.shown() if figure.name == "first audio")
    assert report.verdict(first_audio, report.differences("voice1")["first audio"]) == ""  # equal to the bit
    assert report.best(word_errors) == "voice"
    assert "worse |" in report.markdown()


def test_codecs_that_sound_different_have_a_round_trip_each(clips, codec, make_voice, tmp_path):
    torch.manual_seed(9)
    other = type(codec)(codec.config).eval()
    voices = [VoiceSystem("one", make_voice(), codec=codec), VoiceSystem("two", make_voice(), codec=other)]
    report = run(clips, codec, tmp_path, *voices, config={"limit": 1})
    assert report.systems == ("recording", "codec of one", "codec of two", "one", "two")


def test_an_untrained_codec_is_measured_not_trusted(clips, codec, recogniser, make_voice, tmp_path):
    report = run(clips, codec, tmp_path, make_voice(), recogniser=recogniser)
    figures = report.figures("codec")
    assert figures["word errors"].value > 0.5
    assert figures["mel distance"].value > 0.5
    assert figures["real-time factor"].value > 0
    frames = sum(codec.frames(len(soundfile.read(clip.audio)[0])) for clip in clips[:4])
    counted = [level.num_codes for level in report.codecs[0].levels]
    assert counted == [frames * count for count in codec.config.codes_per_frame]


def test_a_slow_voice_is_too_long(clips, codec, make_voice, tmp_path):
    report = run(clips, codec, tmp_path, make_voice(pace=0.25))
    assert all("too long" in u.faults for u in report.of("voice"))
    assert report.figures("voice")["duration ratio"].value > 2


def test_a_voice_in_a_loop_and_one_that_stops_are_told(clips, codec, recogniser, make_voice, tmp_path):
    habits = {"low low middle high": "low " + "middle " * 6 + "high", "high high low": "high"}
    report = run(clips, codec, tmp_path, make_voice(habits=habits), recogniser=recogniser)
    faults = {u.text: u.faults for u in report.of("voice")}
    assert "loop" in faults["low low middle high"]
    assert faults["high high low"] == ("too short",)


def test_without_evaluators_the_report_says_what_is_missing(clips, codec, make_voice, tmp_path):
    report = run(clips, codec, tmp_path, make_voice())
    assert report.figures("recording")["word errors"] is None
    assert report.settings["recogniser"] == "none: words were not measured"
    assert [name for name, _ in report.unavailable] == ["word and character errors", "speaker similarity"]


def test_a_measure_that_never_answers_is_told_at_the_top(clips, codec, make_voice, tmp_path):
    measures = [CommandMeasure("opinion", "sh -c 'echo no model >&2; exit 2' {audio}")]
    report = run(clips, codec, tmp_path, make_voice(), measures=measures, config={"limit": 1})
    assert report.missing[-1] == ("opinion", "of no clip; exit code 2: no model")
    assert "<b>opinion</b>: of no clip; exit code 2: no model" in report.save(worst=0).read_text()
    size = CommandMeasure("size", "sh -c 'wc -c < \"$0\"' {audio}")
    told = run(clips, codec, tmp_path, make_voice(), measures=[size], config={"limit": 1})
    # 1 s of 16 bit samples at 24 kHz and a header of 44 bytes.
    assert told.figures("voice")["size"].value == 48044 and "size" not in dict(told.missing)


def test_what_cannot_be_read_or_spoken_is_listed_and_the_rest_is_measured(clips, codec, make_voice, tmp_path):
    missing = Passage.of(replace(clips[0], id="gone", audio=str(tmp_path / "gone.wav")))
    refused = Passage.of(replace(clips[1], id="cough", text="low cough"))
    passages = [missing, refused, Passage.of(clips[2])]
    report = run(clips, codec, tmp_path, make_voice(), passages=passages)
    assert [name for name, _ in report.failures] == ["gone", "cough"]
    assert "does not cough" in report.failures[1][1]
    assert [u.id for u in report.utterances] == ["2", "2", "2"]  # no half-measured clip


def test_nothing_measurable_is_an_error(clips, codec, make_voice, tmp_path):
    missing = Passage.of(replace(clips[0], audio=str(tmp_path / "gone.wav")))
    with pytest.raises(ValueError, match="none of 1 texts could be measured"):
        run(clips, codec, tmp_path, make_voice(), passages=[missing])
    with pytest.raises(ValueError, match="1 texts and 0 systems"):
        run(clips, codec, tmp_path, passages=[missing])


def test_the_audio_of_every_system_is_kept(clips, codec, make_voice, tmp_path):
    report = run(clips, codec, tmp_path, make_voice(), config={"limit": 2})
    for utterance in report.utterances:
        samples, rate = soundfile.read(tmp_path / utterance.audio)
        assert rate == 24000
        assert len(samples) / rate == pytest.approx(utterance.seconds)


def test_the_voices_own_clock_and_notes_are_kept(clips, codec, make_voice, tmp_path):
    report = run(clips, codec, tmp_path, make_voice(notes=("left out: #",)))
    figures = report.figures("voice")
    assert figures["first audio"].value == 0.25
    assert figures["real-time factor"].value == pytest.approx(4 * 0.5 / sum(u.seconds for u in report.of("voice")))
    assert report.of("voice")[0].notes == ("left out: #",)


def test_a_voice_without_named_speakers_speaks_every_clip(clips, codec, make_voice, tmp_path):
    report = run(clips, codec, tmp_path, make_voice(speakers=()))
    assert len(report.of("voice")) == 4
    with pytest.raises(ValueError, match="it has one, without a name"):
        run(clips, codec, tmp_path, make_voice(speakers=()), config={"speaker": "loud"})


def test_only_texts_of_speakers_that_every_system_has_are_spoken(clips, codec, make_voice, tmp_path):
    report = run(clips, codec, tmp_path, make_voice(), make_voice(speakers=("loud",)))
    assert {u.speaker for u in report.utterances} == {"loud"}
    with pytest.raises(ValueError, match=r"no text is by a speaker of voice \(other\), only by loud, quiet"):
        run(clips, codec, tmp_path, make_voice(speakers=("other",)))


def test_one_speaker_can_speak_every_text_and_lengths_are_then_not_compared(
    clips, codec, encoder, make_voice, tmp_path
):
    report = run(clips, codec, tmp_path, make_voice(), encoder=encoder, config={"speaker": "loud"})
    voice = report.of("voice")
    assert [u.speaker for u in voice] == ["loud"] * 4
    assert [u.duration_ratio is None for u in voice] == [True, False, True, False]
    assert report.figures("voice")["speaker similarity"].value == pytest.approx(1.0, abs=0.01)
    with pytest.raises(ValueError, match="no speaker 'nobody'; it has quiet, loud"):
        run(clips, codec, tmp_path, make_voice(), config={"speaker": "nobody"})


def test_a_speaker_without_other_recordings_is_compared_with_the_measured_ones_less_itself(
    clips, codec, encoder, make_voice, tmp_path
):
    report = run(clips[:4], codec, tmp_path, make_voice(), encoder=encoder)
    assert report.figures("recording")["speaker similarity"].value == pytest.approx(1.0, abs=0.01)
    alone = run(clips[:2], codec, tmp_path, make_voice(), encoder=encoder)
    assert alone.figures("recording")["speaker similarity"] is None


def test_a_bare_list_of_texts_is_spoken_by_the_voices_own_speaker_beside_recordings_of_other_texts(
    clips, codec, recogniser, encoder, make_voice, tmp_path
):
    texts = [Passage(id=f"line {i}", text=text) for i, text in enumerate(("low high", "middle middle low"), 1)]
    report = run(
        clips,
        codec,
        tmp_path,
        make_voice(),
        passages=texts,
        recordings=clips[:4],
        recogniser=recogniser,
        encoder=encoder,
    )
    assert report.ceiling == "other texts" and report.name("recording") == "recordings of other texts"
    assert report.systems == ("recording", "voice")  # no text was recorded: no round trip
    assert [u.speaker for u in report.of("voice")] == ["loud", "loud"]
    assert report.figures("voice")["speaker similarity"].value == pytest.approx(1.0, abs=0.01)
    assert report.figures("voice")["duration ratio"] is None
    assert report.figures("recording")["word errors"].value == 0.0 and len(report.of("recording")) == 2
    assert report.added_errors("voice") is None  # other texts: nothing to pair
    bare = run(clips, codec, tmp_path, make_voice(), passages=texts, recogniser=recogniser)
    assert bare.ceiling == "none" and "--recordings MANIFEST" in bare.markdown()


class Parrot:
    """Speaks as loud as the recording that it is given."""

    speakers = ()

    def __init__(self, make_voice):
        self.voice = make_voice()

    def speak(self, text, speaker=None, *, seed=0, reference=None, reference_text=None):
        assert reference_text == "high middle"
        gain = float(np.abs(soundfile.read(reference)[0]).max())
        return replace(self.voice.speak(text), samples=spoken(text, gain))


def test_a_voice_that_speaks_like_a_recording_is_compared_with_it(
    clips, codec, recogniser, encoder, make_voice, tmp_path
):
    prompts = [replace(clips[4], id=f"prompt {i}", speaker="") for i in range(2)]
    soundfile.write(tmp_path / "loud.wav", spoken("high middle", 0.8), RATE)
    prompts[1] = replace(prompts[1], audio=str(tmp_path / "loud.wav"))
    texts = [Passage(id=f"{i}", text="low high low high", reference=prompt) for i, prompt in enumerate(prompts)]
    report = run(
        clips, codec, tmp_path / "out", Parrot(make_voice), passages=texts, recogniser=recogniser, encoder=encoder
    )
    assert report.ceiling == "prompts" and len(report.of("recording")) == 2
    assert report.figures("recording")["word errors"].value == 0.0  # of the prompts' own text
    assert report.figures("recording")["speaker similarity"].value == pytest.approx(1.0, abs=0.01)  # of their halves
    assert report.figures("voice")["speaker similarity"].value == pytest.approx(1.0, abs=0.01)
    assert report.stranger_similarity() < 0.5
    # 0.7 s for 10 letters; 14 letters are spoken in 1.3 s.
    assert report.figures("voice")["duration ratio"].value == pytest.approx(1.3 / (0.7 * 14 / 10), abs=0.01)
    assert sorted(report.references) == ["0", "1"]
    assert report.settings["spoken as"] == "like a recording given with the text (2 recordings)"
    with pytest.raises(ValueError, match=r"flat cannot speak like a recording.*--no-clone"):
        run(clips, codec, tmp_path, VoiceSystem("flat", make_voice(), can_clone=False), passages=texts)
    plain = run(clips, codec, tmp_path, make_voice(), passages=texts, config={"clone": False})
    assert plain.references == {} and plain.of("voice")[0].speaker == "loud"


def test_what_was_spoken_elsewhere_is_measured_without_a_clock(clips, codec, recogniser, make_voice, tmp_path):
    (tmp_path / "made").mkdir()
    for clip in clips[:3]:
        soundfile.write(tmp_path / "made" / f"{clip.id}.wav", spoken("low low"), RATE)
    made = FolderSystem("made", tmp_path / "made")
    report = run(clips, codec, tmp_path / "out", make_voice(), made, recogniser=recogniser)
    assert report.failures == (("3", f"made: {tmp_path / 'made'} has no sound file called 3"),)
    assert report.figures("made")["real-time factor"] is None
    assert report.figures("made")["word errors"].value > 0.3 and report.figures("voice")["word errors"].value == 0


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"references": 0}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        SpeechEvaluationConfig(**wrong)


def test_a_two_stage_voice_speaks_like_a_recording(clips, recogniser, encoder, tmp_path):
    voice = Voice.from_pretrained(write_two_stage_voice(tmp_path / "duo", {"max_seconds": 0.4}))
    system = VoiceSystem("duo", voice, codec=voice.codec)
    passages = [replace(Passage.of(clip), reference=clips[4]) for clip in clips[:2]]
    report = run(clips, None, tmp_path / "out", system, passages=passages, recogniser=recogniser, encoder=encoder)
    figures = report.figures("duo")
    assert report.failures == () and len(report.of("duo")) == 2
    assert figures["word errors"].value > 0.5  # it was never trained
    assert figures["real-time factor"].value > 0 and figures["first audio"].value > 0
