"""Commands as recogniser, as speaker encoder and as something that speaks: real programs, run as a user would."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from aoede.evaluation.audio_command import AudioCommand, CommandFailed, CommandRecogniser, CommandSimilarity
from aoede.evaluation.listening import EvaluatorFailed, Listener
from aoede.evaluation.systems import CommandSystem, FolderSystem, VoiceSystem, open_systems
from aoede.evaluation.texts import Passage
from aoede.generation import Voice, bundled_voices
from aoede.generation.samples import digest, weights_of
from aoede.generation.voice_prompt import VoicePrompt
from tests.evaluation.conftest import RATE, spoken
from tests.generation.tiny_voice import write_two_stage_voice, write_voice

COUNT = """
import sys, soundfile
samples, rate = soundfile.read(sys.argv[1])
print("low " * round(len(samples) / rate), sys.argv[2])
"""
LOUDER = """
import sys, soundfile
one, other = (abs(soundfile.read(path)[0]).max() for path in sys.argv[1:3])
print("ratio of peaks:", min(one, other) / max(one, other))
"""
BEEP = """
import sys, numpy, soundfile
text, out, loud = sys.argv[1:]
if "cough" in text: sys.exit("no coughing")
if "nothing" not in text: soundfile.write(out, float(loud) * numpy.ones(100 * len(text)), 8000)
"""


@pytest.fixture
def program(tmp_path):
    def write(name, code):
        (tmp_path / f"{name}.py").write_text(code)
        return f"'{sys.executable}' '{tmp_path / name}.py'"

    return write


def test_a_recogniser_prints_the_words_of_a_file(program):
    recogniser = CommandRecogniser(program("count", COUNT) + " {audio} {language}")
    assert recogniser.transcribe(np.zeros(16000, np.float32), 8000, "en-GB") == "low low en"
    assert recogniser.name.startswith("command python")


def test_a_comparison_prints_a_number_and_silence_has_none(program):
    judge = CommandSimilarity(program("louder", LOUDER) + " {audio} {reference}")
    assert judge.compare(0.2 * np.ones(800, np.float32), 8000, 0.8 * np.ones(900, np.float32), 16000) == pytest.approx(
        0.25, abs=1e-3
    )
    assert judge.compare(np.zeros(800, np.float32), 8000, np.ones(800, np.float32), 8000) is None


def test_words_go_to_a_program_as_they_are():
    command = AudioCommand("echo", "echo {text} {audio}", needs=("{text}",))
    assert command.run({}, {"{text}": "a; rm {audio} $HOME *", "{audio}": "b"}) == "a; rm {audio} $HOME * b\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sh -c 'echo oh no >&2; exit 3' {audio}", "exit code 3: oh no"),
        ("sh -c 'sleep 60; echo' {audio}", "no answer within 0.2 s"),  # its own child holds the pipe
    ],
)
def test_a_program_that_gives_no_answer_is_told(command, said):
    with pytest.raises(CommandFailed, match=said):
        AudioCommand("x", command, timeout=0.2).run({"{audio}": (np.zeros(100, np.float32), 8000)})


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("true", "names no {audio}"),
        ("no-such-program {audio}", "begins with no-such-program, which is not a program here"),
        ("echo 'oh {audio}", "cannot be read"),
    ],
)
def test_a_command_that_cannot_work_is_refused_at_once(command, said):
    with pytest.raises(ValueError, match=said):
        CommandRecogniser(command)


def test_an_evaluator_that_never_answers_ends_the_run_and_one_that_did_only_the_clip(clips, program, tmp_path):
    once = (
        "import pathlib, sys\np = pathlib.Path(sys.argv[0] + '.ran')\nsys.exit('worn out') if p.exists() else p.touch()"
    )
    never = Listener(clips, recogniser=CommandRecogniser("false {audio}"))
    sound = (spoken("low"), RATE)
    with pytest.raises(EvaluatorFailed, match="the recogniser gave no answer: exit code 1"):
        never.listen("voice", clips[0], *sound, file="x")
    worn = Listener(clips, recogniser=CommandRecogniser(program("once", once) + " {audio}"))
    worn.listen("voice", clips[0], *sound, file="x")
    with pytest.raises(ValueError, match="worn out") as error:
        worn.listen("voice", clips[0], *sound, file="x")
    assert not isinstance(error.value, EvaluatorFailed)


def test_speakers_are_compared_by_a_command_with_each_of_their_recordings(clips, program):
    judge = CommandSimilarity(program("louder", LOUDER) + " {audio} {reference}")
    listener = Listener(clips[:4], clips[4:], encoder=judge)
    found = listener.listen("recording", clips[0], spoken("low", 0.2), RATE, file="x")
    assert found.similarity == pytest.approx(1.0, abs=0.01)
    assert found.stranger_similarity == pytest.approx(0.25, abs=0.01)


def test_a_program_that_speaks(program):
    beep = program("beep", BEEP)
    system = CommandSystem("beep", beep + " {text} {audio} {speaker}")
    said = system.say(Passage(id="1", text="ten sounds"), "0.5", None, 0)
    assert (len(said.samples), said.sample_rate, said.speaker) == (1000, 8000, "0.5")
    assert said.samples.max() == pytest.approx(0.5, abs=1e-3)
    assert said.compute_seconds > 0 and said.first_audio_seconds is None
    assert system.can_clone is False and system.speakers is None
    with pytest.raises(ValueError, match="beep said nothing: exit code 1: no coughing"):
        system.say(Passage(id="1", text="cough"), "0.5", None, 0)
    with pytest.raises(ValueError, match=r"wrote no file where \{audio\} stands"):
        system.say(Passage(id="1", text="nothing"), "0.5", None, 0)


def test_a_program_that_speaks_like_a_recording(clips):
    system = CommandSystem("parrot", 'sh -c \'cp "$1" "$2"\' {text} {reference} {audio}')
    assert system.can_clone
    said = system.say(Passage(id="1", text="low"), None, clips[0], 0)
    assert len(said.samples) == len(soundfile.read(clips[0].audio)[0])


def test_systems_are_opened_by_what_they_are(tmp_path):
    flat, duo = write_voice(tmp_path / "flat", None), write_two_stage_voice(tmp_path / "duo")
    (tmp_path / "made").mkdir()
    soundfile.write(tmp_path / "made" / "one.wav", spoken("low"), RATE)
    opened = open_systems([str(flat), f"two={duo}", tmp_path / "made", "echo=echo {text} {audio}"])
    assert [system.label for system in opened] == ["flat", "two", "made", "echo"]
    assert [type(system) for system in opened] == [VoiceSystem, VoiceSystem, FolderSystem, CommandSystem]
    assert [system.can_clone for system in opened] == [False, True, True, False]
    assert opened[0].speakers == ("af_heart", "bm_george") and opened[0].codec is not None
    (alone,) = open_systems([flat])
    assert alone.label == "voice"  # one system needs no name
    made = opened[2]
    assert len(made.say(Passage(id="folder/one.ogg", text="x"), None, None, 0).samples) > 0


@pytest.mark.parametrize(
    ("names", "prompts", "said"),
    [
        (["a=x {text}"], None, "names no {audio}"),
        (["recording=nothing"], None, "the report has its own recording"),
        (["codec of x=nothing"], None, "the report has its own codec of x"),
        (["a=b", "a=c"], None, "two systems are called a"),
        (["a="], None, "a system is named LABEL=DIR"),
        (["a=echo {text} {audio}"], {"b": "file"}, "a voice prompt for b, but no such system; there are: a"),
        (["a=echo {text} {audio}"], "file", "a is no voice folder: a voice prompt is for a two-stage voice"),
    ],
)
def test_names_that_cannot_be_opened_are_refused(names, prompts, said):
    with pytest.raises(ValueError, match=said):
        open_systems(names, prompts=prompts)


def test_the_bundled_voice_needs_no_folder():
    alone, named = (open_systems(names)[0] for names in ([], ["base=bundled"]))
    assert (alone.label, named.label) == ("voice", "base")
    assert alone.source == named.source and alone.source.startswith("aoede-small (flat, ")
    weights = digest(weights_of(bundled_voices()["aoede-small"]))
    assert alone.source.endswith(f", weights {weights})")


def test_a_voice_prompt_is_given_to_the_voice_that_it_is_for(tmp_path):
    duo = write_two_stage_voice(tmp_path / "duo", {"max_seconds": 0.4})
    model = Voice.from_pretrained(duo).model
    file = VoicePrompt.of(model, name="p", prefix_embeds=torch.randn(3, 32)).save(tmp_path / "a.safetensors")
    plain, prompted = open_systems([f"plain={duo}", f"prompted={duo}"], prompts={"prompted": str(file)})
    assert plain.voice.voice_prompt is None and prompted.voice.voice_prompt.name == "p"
    assert plain.speakers and prompted.speakers == ()  # it speaks as the one it was tuned on
    assert prompted.source.endswith("voice prompt a.safetensors")
    said = [system.say(Passage(id="1", text="low"), None, None, 0).samples for system in (plain, prompted)]
    assert not np.array_equal(*said)
    (all_of_them,) = open_systems([duo], prompts=str(file))
    assert all_of_them.voice.voice_prompt is not None


def test_an_empty_folder_is_no_system(tmp_path):
    with pytest.raises(ValueError, match=r"neither a voice folder \(no voice.json\) nor a folder of sound files"):
        open_systems([tmp_path])


def test_prompts_of_a_speaker_are_told_apart_by_file(clips):
    class Judge:
        name = "judge"

        def embed(self, audio, sample_rate):
            return np.array([np.abs(audio).max(), 0.1], np.float32)

    renamed = replace(clips[0], id=clips[1].id)  # another list's name for another file
    listener = Listener([], encoder=Judge(), targets=[renamed, clips[1]])
    assert listener.listen(
        "x", clips[0], spoken("low", 0.2), RATE, file="", target=renamed
    ).similarity == pytest.approx(1)
