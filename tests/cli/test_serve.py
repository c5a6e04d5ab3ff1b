"""`aoede serve` as a person meets it: what it prints, what it refuses, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from aoede.cli.main import main
from tests.generation.tiny_voice import write_voice


@pytest.fixture(scope="module")
def voice_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_voice(tmp_path_factory.mktemp("voices") / "tiny", text_stride=8.0)


def refused(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """The one line that a mistake gets."""
    assert main(["serve", "--port", "0", *options]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("aoede: error: ") and err.count("\n") == 1
    return err


def test_mistakes_are_one_line_each(capsys, tmp_path, voice_folder):
    assert "slots is 0; it is 1 or more" in refused(capsys, "--slots", "0")
    assert "timeout_seconds is -3.0" in refused(capsys, "--timeout", "-3")
    assert "port 70000 is outside 0 .. 65535" in refused(capsys, "--port", "70000")
    assert "--host nowhere.invalid" in refused(capsys, "--host", "nowhere.invalid")
    assert "no voice 'nobody'" in refused(capsys, "--voice", "nobody")
    assert "No such file" in refused(capsys, "--token-file", str(tmp_path / "token"))
    twice = ("--voice", str(voice_folder), "--voice", str(voice_folder))
    assert "two voices are called 'tiny'" in refused(capsys, *twice)


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"cannot listen at 127.0.0.1, port {port}" in refused(capsys, "--port", port, "--voice", "nobody")


def test_without_the_extra_it_says_what_to_install(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "aoede.serving.app", raising=False)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert "the package fastapi, which is not installed: pip install 'aoede[serve]'" in refused(capsys)


def test_it_says_where_it_listens_asks_for_the_token_and_ends_on_sigterm(voice_folder):
    command = [
        sys.executable,
        "-m",
        "aoede.cli.main",
        "serve",
        "--port",
        "0",
        "--voice",
        str(voice_folder),
        "--no-page",
    ]
    environment = {**os.environ, "AOEDE_TOKEN": "s3cret"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as run:
        assert run.stdout is not None
        try:
            first, second = run.stdout.readline(), run.stdout.readline()
            found = re.match(r"(http://127\.0\.0\.1:\d+)  POST /v1/audio/speech", first)
            assert found is not None, first
            assert second == "model tiny  voices: af_heart, bm_george\n"
            with pytest.raises(urllib.error.HTTPError) as error:
                urllib.request.urlopen(f"{found[1]}/v1/models", timeout=60)
            assert error.value.code == 401
            error.value.close()
            with urllib.request.urlopen(f"{found[1]}/health", timeout=60) as answer:
                assert answer.status == 200
            body = json.dumps({"model": "tiny", "input": "Hello harbour.", "stream_format": "sse"}).encode()
            headers = {"Content-Type": "application/json", "Authorization": "Bearer s3cret"}
            request = urllib.request.Request(f"{found[1]}/v1/audio/speech", body, headers)
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert b"speech.audio.done" in answer.read()
            run.send_signal(signal.SIGTERM)
            assert run.wait(60) == 0
            rest = run.stdout.read()
            assert "tiny/bm_george: done, " in rest, "a line a speech"
            assert not any(word in first + second + rest for word in ("s3cret", "harbour", "Traceback")), rest
        finally:
            run.kill()
