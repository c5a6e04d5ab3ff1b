"""The page docs/speaking.md: its examples run and print what it says."""

import doctest
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import aoede
from aoede.cli.main import main
from aoede.generation import VoicePrompt

PAGE = Path(__file__).resolve().parents[2] / "docs" / "speaking.md"


def test_the_examples_of_the_page_are_true():
    blocks = re.findall(r"```python\n(>>>.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 3
    found = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "speaking.md", str(PAGE), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(found)
    assert runner.summarize(verbose=False) == (0, len(found.examples))


@pytest.fixture
def workplace(duo_folder, tmp_path, monkeypatch):
    """A folder with the files that the page names: a two-stage voice, a recording, a script, a voice prompt."""
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    Path("runs/duo").symlink_to(duo_folder)
    soundfile.write("me.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 8192), 8000)
    model = aoede.Voice.from_pretrained("runs/duo").model
    VoicePrompt.of(model, name="ann", prefix_embeds=torch.zeros(2, 32)).save("ann.voice")
    script = re.findall(r'^    (\{"speaker".*)$', PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    Path("talk.jsonl").write_text("\n".join(script))


def test_the_commands_for_two_stages_run(workplace, capsys):
    commands = re.findall(r"^    \$ aoede (.*runs/duo.*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        assert main(shlex.split(command)) == 0
    assert {path.name for path in Path().glob("*.wav")} == {"me.wav", "talk.wav", "clone.wav", "ann.wav"}
    assert Path("heard/index.html").exists() and Path("heard/af_heart.wav").exists()
    assert "bm_george: Hello there. Who are you?" in capsys.readouterr().out


def test_the_python_for_two_stages_runs(workplace, capsys):
    (block,) = re.findall(r"```python\n(voice = aoede.*?runs/duo.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names = {"aoede": aoede}
    exec(block, names)
    assert len(capsys.readouterr().out.splitlines()) == len(names["talk"].turns) == 2
    assert names["clone"].duration > 0 and Path("hello.wav").exists()
