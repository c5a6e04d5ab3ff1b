"""`aoede converse` and `aoede prepare` of conversations, as a user meets them."""

import json
from pathlib import Path

import pytest
import torch

from aoede.cli.main import main
from aoede.codec import Snac, SnacConfig

MANIFEST = Path(__file__).parents[1] / "data/clips/manifest.jsonl"


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("codec")
    config = SnacConfig(encoder_dim=4, encoder_rates=(4, 8), decoder_dim=8, decoder_rates=(8, 4), codebook_size=256)
    Snac(config).save_pretrained(path)
    return str(path)


@pytest.fixture
def talks(tmp_path, capsys):
    """Conversations of the clips of the tests' manifest, with one earlier turn."""
    path = tmp_path / "talks.jsonl"
    assert main(["converse", "build", str(MANIFEST), "--out", str(path), "--context", "1"]) == 0
    out = capsys.readouterr().out
    assert out == (
        "6 conversations, 8 turns: 6 trained, 2 context; 4 of one turn\n"
        "  heldout  1 conversation, 1 speaker\n"
        "  train    5 conversations, 3 speakers\n"
        f"written {path}\n"
    )
    return path


def test_conversations_are_built_shown_prepared_and_shown_again(talks, codec, tmp_path, capsys):
    page = tmp_path / "talks.html"
    assert main(["converse", "show", str(talks), "--html", str(page)]) == 0
    assert f"written {page}: 6 conversations with players" in capsys.readouterr().out
    command = ["prepare", str(talks), str(tmp_path / "out"), "--codec", codec]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{tmp_path / 'out'}  6 conversations, 8 turns (6 trained, 2 context)") and "6/6" in err
    assert main(["converse", "show", str(tmp_path / "out"), "--line", "1", "--codec", codec]) == 0
    assert "Your call cannot be completed as dialed." in capsys.readouterr().out
    assert main(command) == 0


def test_the_same_seed_writes_the_same_file_and_nothing_is_overwritten_unasked(talks, tmp_path, capsys):
    before = talks.read_bytes()
    again = ["converse", "build", str(MANIFEST), "--out", str(talks), "--context", "1"]
    assert main(again) == 2
    assert "is there already; --overwrite replaces it" in capsys.readouterr().err
    assert main([*again, "--overwrite"]) == 0
    assert talks.read_bytes() == before
    assert main(["converse", "build", str(MANIFEST), "--out", str(tmp_path / "t.txt"), "--context", "1"]) == 2
    assert "a file of conversations is called NAME.jsonl" in capsys.readouterr().err
    assert main(["converse", "build", str(MANIFEST), "--out", str(tmp_path / "u.jsonl"), "--context", "-1"]) == 2
    assert "context is -1" in capsys.readouterr().err
    assert not (tmp_path / "u.jsonl").exists()


def test_bad_lines_stop_or_are_listed_with_exit_code_3(talks, codec, tmp_path, capsys):
    bad = {"messages": [{"role": "a", "content": [{"type": "audio", "url": "gone.wav"}]}]}
    talks.write_text(talks.read_text() + json.dumps(bad) + "\n{\n")
    capsys.readouterr()
    for command in (["converse", "show", str(talks)], ["prepare", str(talks), str(tmp_path / "out"), "--codec", codec]):
        assert main(command) == 2
        err = capsys.readouterr().err
        assert f"{talks} line 7: messages[0].content[0].url: missing audio: {tmp_path}/gone.wav" in err
        assert "(1 more bad line; --skip-bad leaves them out and lists them)" in err
        assert main([*command, "--skip-bad"]) == 3
        out, err = capsys.readouterr()
        assert "line 8: not JSON" in out + err and "missing audio" in out + err


def test_options_of_other_inputs_are_refused_in_words(talks, codec, tmp_path, capsys):
    assert main(["prepare", str(talks), str(tmp_path / "out"), "--codec", codec, "--split", "train"]) == 2
    assert "--split does not go with conversations" in capsys.readouterr().err
    assert main(["prepare", str(MANIFEST), str(tmp_path / "out"), "--codec", codec, "--skip-bad"]) == 2
    assert "--skip-bad goes with a file of conversations" in capsys.readouterr().err
    assert main(["converse", "show", str(tmp_path)]) == 2
    assert "no prepared conversations; `aoede prepare CONVERSATIONS.jsonl" in capsys.readouterr().err
