"""The page docs/serving.md: its examples run, and what it lists is what there is."""

from __future__ import annotations

import argparse
import io
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from aoede.cli import serve
from aoede.generation import Voice
from tests.serving.running import Running, running

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def server(tiny_folder: Path, two_stage_folder: Path) -> Iterator[Running]:
    """Tiny voices under the names of the page."""
    voices = {"aoede-small": Voice.from_pretrained(tiny_folder), "duo": Voice.from_pretrained(two_stage_folder)}
    with running(voices) as server:
        yield server


def commands() -> list[list[str]]:
    """The curl commands of the page, as words."""
    text = PAGE.replace("\\\n", " ")
    return [shlex.split(command) for command in re.findall(r"^    \$ (curl .*)$", text, flags=re.MULTILINE)]


def test_the_client_of_the_page_runs(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = BLOCKS[0].replace("http://127.0.0.1:8000", server.url)
    assert code != BLOCKS[0]
    names: dict[str, object] = {}
    exec(code, names)
    names["client"].close()  # type: ignore[attr-defined]
    assert len(soundfile.read("hello.wav")[0]) > 0 and len(names["piece"]) > 0  # type: ignore[arg-type]


def test_the_commands_of_the_page_are_answered(server):
    spoken, cloned = commands()
    body = json.loads(spoken[spoken.index("-d") + 1])
    answer = server.ask("POST", spoken[1].removeprefix("http://127.0.0.1:8000"), body)
    assert (answer.status, answer.headers["content-type"]) == (200, "audio/mpeg")
    fields = dict(cloned[at + 1].split("=", 1) for at, word in enumerate(cloned) if word == "-F")
    assert fields.pop("reference") == "@me.wav"
    recording = io.BytesIO()
    soundfile.write(recording, np.sin(np.arange(8192) * 0.3) * 0.3, 8000, format="WAV")
    assert server.clone(recording.getvalue(), **fields).status == 200


def test_the_app_of_the_page_is_made():
    names: dict[str, object] = {}
    exec(BLOCKS[1], names)
    assert names["app"].title == "Aoede"  # type: ignore[attr-defined]


def test_the_tables_of_the_page_are_whole(server):
    """Fields, statuses, metrics and options: those of the page are those of the server."""
    table = r"^\| (`.*?`) \|"
    described = {word for row in re.findall(table, PAGE, flags=re.MULTILINE) for word in re.findall(r"`([^`]+)`", row)}
    page = server.ask("GET", "/openapi.json").json
    assert set(page["components"]["schemas"]["SpeechRequest"]["properties"]) <= described
    card = page["components"]["schemas"]["VoiceCard"]["properties"]
    assert set(card) <= set(re.findall(r"`(\w+)`", PAGE))
    speech = page["paths"]["/v1/audio/speech"]["post"]["responses"]
    assert set(re.findall(r"^\| (\d{3}) \|", PAGE, flags=re.MULTILINE)) == {*speech, "401"} - {"200"}
    server.speak(model="aoede-small")
    metrics = {line.split()[2] for line in server.ask("GET", "/metrics").body.decode().splitlines() if "# TYPE" in line}
    assert {name for name in described if name.startswith("aoede_")} == {
        n for n in metrics if not n.endswith("_created")
    }
    parser = argparse.ArgumentParser()
    serve.add(parser.add_subparsers())
    options = set(re.findall(r"--[a-z-]+", parser._subparsers._group_actions[0].choices["serve"].format_help()))
    assert options - {"--help"} == set(re.findall(r"`(--[a-z-]+)", PAGE)) | {"--max-reference-seconds"}
