"""Where voices are found, and what a voice folder says of pace."""

import pytest

from aoede.data.text import TextFrontEnd
from aoede.generation.voice_folder import VoiceSettings, bundled_voices, find_voice, find_voices


def test_the_default_voice_stays_the_default_beside_others(tmp_path, monkeypatch):
    monkeypatch.setattr("aoede.generation.voice_folder.BUNDLED", tmp_path)
    for name in ("aoede-russian", "aoede-small", "another"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "voice.json").write_text("{}")
    assert list(bundled_voices()) == ["aoede-small", "another", "aoede-russian"]
    assert find_voice(None) == tmp_path / "aoede-small"
    assert find_voices([]) == [tmp_path / name for name in ("aoede-small", "another", "aoede-russian")]
    assert find_voices(["another"]) == [tmp_path / "another"]


def test_a_pace_is_a_line_through_its_offset():
    settings = VoiceSettings(
        name="v",
        text=TextFrontEnd(),
        speakers=("ann", "bob"),
        seconds_per_unit={"ann": 0.1, "bob": 0.2},
        seconds_offset={"ann": 0.5, "bob": 0.3},
    )
    assert settings.expected_seconds(10, "ann") == pytest.approx(1.5)
    assert settings.expected_seconds(10, "stranger") == pytest.approx(10 * 0.15 + 0.4)
    assert VoiceSettings.from_dict(settings.to_dict()) == settings
