"""Who speaks in a voice: what the folder says, told in lines and as JSON."""

import json
import shutil

import pytest

from aoede.cli.main import main
from aoede.generation.roll import describe_voices, voice_card
from tests.generation.tiny_voice import write_voice

NOTES = {"about": {"af_*": "American woman", "*": "somebody"}, "minutes": {"af_heart": 64.8}}


@pytest.fixture
def voice(tmp_path):
    return write_voice(tmp_path / "tiny", text_stride=8.0)


def test_a_line_a_speaker_says_what_the_folder_knows(voice):
    (voice / "speakers.json").write_text(json.dumps(NOTES))
    lines = describe_voices([str(voice)])
    assert lines[0].startswith("tiny  language en  ")
    assert lines[1].split()[:4] == ["af_heart", "American", "woman", "65"]
    assert "bm_george (default)  somebody" in lines[2] and "min" not in lines[2]
    assert f"  hear them: aoede voices {voice} --samples FOLDER" in lines


def test_pace_is_told_against_the_mean_of_the_speakers(voice):
    settings = json.loads((voice / "voice.json").read_text())
    settings |= {"seconds_per_unit": {"af_heart": 0.05, "bm_george": 0.07}, "seconds_offset": {}}
    (voice / "voice.json").write_text(json.dumps(settings))
    slow, fast = sorted(card.pace for card in voice_card(voice).speakers)
    assert (slow, fast) == pytest.approx((6 / 7, 6 / 5))


def test_json_holds_the_same(voice, capsys):
    (voice / "speakers.json").write_text(json.dumps(NOTES))
    assert main(["voices", str(voice), "--json"]) == 0
    (card,) = json.loads(capsys.readouterr().out)
    assert card["name"] == "tiny" and card["folder"] == str(voice) and card["samples"] is None
    first = card["speakers"][0]
    assert (first["name"], first["minutes"], first["about"]) == ("af_heart", 64.8, "American woman")
    assert [speaker["is_default"] for speaker in card["speakers"]] == [False, True]


@pytest.mark.parametrize("text", ["[1]", "{", '{"about": {"a": 3}}', '{"minutes": {"a": -1}}', '{"other": {}}'])
def test_notes_that_cannot_be_read_name_their_file(voice, tmp_path, text, capsys):
    (voice / "speakers.json").write_text(text)
    assert main(["voices", str(voice)]) == 2
    assert "speakers.json" in capsys.readouterr().err


def test_a_voice_needs_no_weights_to_be_listed(voice, tmp_path):
    shutil.rmtree(voice / "model")
    assert len(voice_card(voice).speakers) == 2
