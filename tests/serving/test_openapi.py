"""The OpenAPI page, and schemathesis, which reads it and tries what it allows and what it does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoede.generation import Voice
from tests.serving.running import Running, running


@pytest.fixture(scope="module")
def app(tiny_folder: Path, two_stage_folder: Path) -> Iterator[Running]:
    voices = {folder.name: Voice.from_pretrained(folder) for folder in (tiny_folder, two_stage_folder)}
    with running(voices, max_characters=12, stall_seconds=5.0) as server:
        yield server


def test_the_page_has_the_names_and_limits_of_this_server(app):
    page = app.ask("GET", "/openapi.json").json
    assert page["openapi"].startswith("3.1")
    assert set(page["paths"]) == {
        "/v1/audio/speech", "/v1/models", "/v1/models/{model}", "/v1/audio/voices", "/health", "/metrics",
    }  # fmt: skip
    speech = page["components"]["schemas"]["SpeechRequest"]
    assert speech["properties"]["model"]["enum"] == ["tiny", "duo"]
    assert speech["properties"]["input"]["maxLength"] == 12
    assert speech["additionalProperties"] is False and set(speech["required"]) == {"model", "input"}
    answers = page["paths"]["/v1/audio/speech"]["post"]["responses"]
    assert {"200", "400", "404", "413", "429", "503"} <= set(answers)
    assert {"audio/mpeg", "audio/wav", "audio/ogg", "text/event-stream"} <= set(answers["200"]["content"])


def test_the_token_stands_on_the_page(app, tiny_folder):
    with running({"tiny": Voice.from_pretrained(tiny_folder)}, token="word") as server:
        page = server.ask("GET", "/openapi.json").json
    speech = page["paths"]["/v1/audio/speech"]["post"]
    assert speech["security"] == [{"token": []}] and "401" in speech["responses"]
    assert "security" not in page["paths"]["/health"]["get"]
    assert page["components"]["securitySchemes"]["token"] == {"type": "http", "scheme": "bearer"}


@pytest.mark.parametrize("phase, mode", [("coverage", "negative"), ("fuzzing", "all")])
def test_schemathesis_finds_no_answer_that_the_page_does_not_promise(app, tmp_path, phase, mode):
    """No 5xx; only statuses, types and shapes of the page; what its schemas forbid is refused.

    That everything they allow is accepted is not asked: a text may be of a script that a voice does not read, and a
    recording no sound.
    """
    command = [
        str(Path(sys.executable).parent / "schemathesis"), "run", f"{app.url}/openapi.json",
        "--phases", phase, "--mode", mode, "--max-examples", "8", "--seed", "1", "--no-shrink",
        "--continue-on-failure", "--exclude-checks", "positive_data_acceptance", "--warnings", "off",
        "--request-timeout", "20",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: 6" in done.stdout and "No issues found" in done.stdout, done.stdout[-2000:]
