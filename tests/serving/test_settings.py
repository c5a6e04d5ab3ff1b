"""The limits of a server and its token: what is refused before anything is loaded."""

from __future__ import annotations

import pytest

from aoede.serving.settings import ServerSettings, read_token


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("slots", 0, "slots is 0; it is 1 or more"),
        ("queue", -1, "queue is -1; it is 0 or more"),
        ("threads", 0, "threads is 0; it is 1 or more"),
        ("max_characters", 0, "max_characters is 0; it is 1 or more"),
        ("max_upload_mb", 0.0, "max_upload_mb is 0.0; it is a number above 0"),
        ("timeout_seconds", float("inf"), "timeout_seconds is inf; it is a number above 0"),
        ("stall_seconds", float("nan"), "stall_seconds is nan; it is a number above 0"),
        ("drain_seconds", -1.0, "drain_seconds is -1.0; it is a number above 0"),
        ("token", "", "the token is empty"),
        ("token", "two words", "no header can carry"),
    ],
)
def test_a_limit_out_of_range_is_refused_with_its_name(name, value, words):
    with pytest.raises(ValueError, match=words):
        ServerSettings(**{name: value})


def test_the_limits_become_bytes():
    settings = ServerSettings(max_upload_mb=1.5, max_characters=100)
    assert settings.max_upload_bytes == 1_500_000
    # A body of 100 characters beyond the first plane, each written as two escapes of six bytes, must fit.
    assert settings.max_text_bytes >= 2 * len('"' + "\\ud83d\\ude00" * 100 + '"')


def test_the_token_is_never_shown():
    assert "s3cret" not in repr(ServerSettings(token="s3cret"))


def test_the_token_is_read_from_a_file_before_the_environment(tmp_path):
    (tmp_path / "token").write_text("from-file\n")
    environment = {"AOEDE_TOKEN": "from-environment"}
    assert read_token(str(tmp_path / "token"), environment) == "from-file"
    assert read_token(None, environment) == "from-environment"
    assert read_token(None, {}) is None


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"x" * 5000, "schlüssel".encode()])
def test_a_file_that_holds_no_token_is_refused(tmp_path, content):
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ValueError, match="token"):
        read_token(str(tmp_path / "token"), {})
    with pytest.raises(ValueError, match="AOEDE_TOKEN is empty"):
        read_token(None, {"AOEDE_TOKEN": " "})
