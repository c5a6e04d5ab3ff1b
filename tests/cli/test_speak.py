"""`aoede speak` and `aoede voices` as a person uses them: a process, its output, its exit code."""

import os
import stat
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from aoede.cli.main import main
from aoede.generation import Voice, VoicePrompt
from tests.generation.tiny_voice import write_two_stage_voice, write_voice


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    return str(write_voice(tmp_path_factory.mktemp("voices") / "tiny", text_stride=8.0))


@pytest.fixture(scope="module")
def duo(tmp_path_factory):
    """A two-stage voice."""
    return str(write_two_stage_voice(tmp_path_factory.mktemp("voices") / "duo"))


def test_speak_writes_a_file_and_says_what_matters(voice, tmp_path, capsys):
    out, picture = tmp_path / "a.flac", tmp_path / "a.png"
    command = ["speak", "Hello.", "-o", str(out), "--voice", voice, "--speaker", "af_heart", "--seed", "3"]
    assert main([*command, "--plot", str(picture)]) == 0
    shown = capsys.readouterr().out
    seconds = soundfile.info(out).duration
    assert f"written {out}" in shown and f"{seconds:.2f} s of speech" in shown
    assert "s of compute a second, first sound after" in shown
    assert "voice tiny, speaker af_heart, seed 3" in shown
    assert picture.exists()


def test_text_comes_from_a_file_or_from_standard_input(voice, tmp_path):
    source = tmp_path / "text.txt"
    source.write_text("\ufeffHello there.", encoding="utf-8")
    command = [sys.executable, "-m", "aoede.cli.main", "speak", "--voice", voice]
    subprocess.run([*command, "--file", str(source), "-o", "a.wav"], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([*command, "-", "-o", "b.wav"], cwd=tmp_path, check=True, capture_output=True, input=b"Hello there.")
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to say"),
        (["Hi.", "--file", "x"], "take one of them"),
        (["--file", "nowhere.txt"], "nowhere.txt"),
        (["Hi.", "--speaker", "bob"], "this voice has: af_heart, bm_george"),
        (["Hi.", "-o", "a.xyz"], "xyz"),
        (["Hi.", "-o", "no/such/a.wav"], "no folder no/such"),
        (["Hi.", "--speed", "9"], "speed 9.0 is outside"),
        (["Hi.", "--temperature", "-1"], "temperature -1.0 is outside"),
        (["你好"], "Chinese"),
        ([" "], "the text is empty"),
        (["Hi.", "--voice", "nobody"], "no voice 'nobody'"),
        (["Hi.", "--voice", __file__], "a voice is a folder, or a file of `aoede train voice-prompt`"),
        (["Hi.", "--voice", __file__, "--voice-prompt", __file__], "and another is given: take one of them"),
        (["Hi.", "--script", "talk.jsonl"], "leave a TEXT out"),
        (["--script", "talk.jsonl", "--speaker", "af_heart"], "leave --speaker out"),
        (["--script", "nowhere.jsonl"], "nowhere.jsonl: no such script"),
        (["Hi.", "--reference", "a.wav"], "--reference FILE and --reference-text TEXT go together"),
        (["Hi.", "--reference-text", "Hm."], "go together"),
        (["Hi.", "--reference", "a.wav", "--reference-text", "Hm."], "voice 'tiny' cannot speak like a recording"),
        (["Hi.", "--voice-prompt", "a.voice"], "voice 'tiny' is flat"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(voice, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert main(["speak", *([] if "--voice" in arguments else ["--voice", voice]), *arguments]) == 2
    shown = capsys.readouterr()
    assert words in shown.err and shown.err.count("\n") == 1 and not shown.out
    assert not list(tmp_path.iterdir())


def test_play_uses_an_installed_player_or_names_what_is_missing(voice, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["speak", "Hi.", "--voice", voice, "--play"]) == 2
    assert "--play needs one of ffplay, paplay, aplay, afplay" in capsys.readouterr().err
    player = tmp_path / "aplay"
    player.write_text('#!/bin/sh\nfor last; do :; done\nread -r head < "$last"\necho "$last" > played\n')
    player.chmod(player.stat().st_mode | stat.S_IXUSR)
    assert main(["speak", "Hi.", "--voice", voice, "--play"]) == 0
    assert (tmp_path / "played").read_text().strip().endswith("speech.wav")
    assert not os.path.exists("speech.wav")
    player.write_text("#!/bin/sh\necho no sound card >&2\nexit 1\n")
    assert main(["speak", "Hi.", "--voice", voice, "--play"]) == 2
    assert "aplay could not play: no sound card" in capsys.readouterr().err


def test_voices_lists_speakers(voice, capsys):
    assert main(["voices", voice]) == 0
    shown = capsys.readouterr().out
    assert "tiny  language en" in shown and "<laugh>" in shown
    assert "\n  af_heart  " in shown and "\n  bm_george (default)  " in shown


def test_a_script_becomes_one_file_and_the_turns_are_told(duo, tmp_path, capsys):
    script, out = tmp_path / "talk.jsonl", tmp_path / "talk.wav"
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 8000), 8000)
    script.write_text(
        '{"speaker": "af_heart", "text": "Good day.", "audio": "a.wav"}\n'
        '{"speaker": "bm_george", "text": "Hello there."}\n{"speaker": "af_heart", "text": "Bye."}\n'
    )
    assert main(["speak", "--script", str(script), "-o", str(out), "--voice", duo, "--seed", "3"]) == 0
    shown = capsys.readouterr().out
    audio = Voice.from_pretrained(duo).converse(
        [{"speaker": "af_heart", "text": "Good day.", "audio": tmp_path / "a.wav"},
         ("bm_george", "Hello there."), ("af_heart", "Bye.")], seed=3,
    )  # fmt: skip
    assert soundfile.info(out).frames == len(audio.samples)
    assert "   0.00 s  bm_george: Hello there." in shown
    assert f"{audio.turns[1].start:7.2f} s  af_heart: Bye." in shown


def test_a_recording_or_a_voice_prompt_changes_who_speaks(duo, tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 8192), 8000)
    model = Voice.from_pretrained(duo).model
    embeds = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    VoicePrompt.of(model, name="ann", speaker="bm_george", prefix_embeds=embeds).save(tmp_path / "ann.voice")
    command = ["speak", "Hello.", "--voice", duo, "--seed", "1", "-o", str(tmp_path / "own.wav")]
    assert main(command) == 0
    command[-1] = str(tmp_path / "clone.wav")
    assert main([*command, "--reference", str(tmp_path / "a.wav"), "--reference-text", "Good day."]) == 0
    command[-1] = str(tmp_path / "prompt.wav")
    capsys.readouterr()
    assert main([*command, "--voice-prompt", str(tmp_path / "ann.voice")]) == 0
    assert "voice duo with the prompt ann, speaker bm_george, seed 1" in capsys.readouterr().out
    takes = {(tmp_path / name).read_bytes() for name in ("own.wav", "clone.wav", "prompt.wav")}
    assert len(takes) == 3


def test_the_file_of_a_voice_prompt_is_a_voice(duo, voice, tmp_path, capsys):
    model = Voice.from_pretrained(duo).model
    embeds = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    (tmp_path / "prompts").mkdir()
    (tmp_path / "duo").symlink_to(duo)
    file, out = tmp_path / "prompts" / "ann.voice", tmp_path / "own.wav"
    command = ["speak", "Hello.", "--seed", "1", "-o", str(out), "--voice"]

    def save(named):
        VoicePrompt.of(model, name="ann", speaker="bm_george", voice=named, prefix_embeds=embeds).save(file)

    save("../duo")
    assert main([*command, str(duo), "--voice-prompt", str(file)]) == 0
    beside = out.read_bytes()
    assert main([*command, str(file)]) == 0
    assert out.read_bytes() == beside
    assert "voice duo with the prompt ann, speaker bm_george, seed 1" in capsys.readouterr().out.splitlines()[-1]
    for named, words in (
        ("../trio", "was tuned on the voice in ../trio (seen from it), which is no folder; say where it is: --voice"),
        ("nobody", "was tuned on nobody, and no voice 'nobody'"),
        (os.path.relpath(voice, file.parent), "voice 'tiny' is flat"),
    ):
        save(named)
        assert main([*command, str(file)]) == 2
        assert words in capsys.readouterr().err


def test_voices_tells_which_have_two_stages(duo, capsys):
    assert main(["voices", duo]) == 0
    assert "duo  language en  two-stage" in capsys.readouterr().out
