"""The HTTP app as clients meet it: a real server on the loopback, with a flat and a two-stage voice."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import soundfile
import soxr

from aoede.generation import Voice
from tests.serving.loopback import Stream
from tests.serving.running import Running, running

LONG = "One two three. " * 16


@pytest.fixture(scope="module")
def voices(tiny_folder: Path, two_stage_folder: Path) -> dict[str, Voice]:
    return {folder.name: Voice.from_pretrained(folder) for folder in (tiny_folder, two_stage_folder)}


@pytest.fixture(scope="module")
def app(voices: dict[str, Voice]) -> Iterator[Running]:
    with running(voices, max_characters=300, max_upload_mb=0.2, max_reference_seconds=2.0) as server:
        yield server


@pytest.fixture(scope="module")
def client(app: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{app.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def spoken(voices: dict[str, Voice]) -> np.ndarray:
    """What the flat voice says to "Hello." with seed 1."""
    return voices["tiny"].speak("Hello.", seed=1).samples


def sound(seconds: float = 0.6, rate: int = 8000, kind: str = "WAV") -> bytes:
    """A tone as a file."""
    file = io.BytesIO()
    soundfile.write(file, 0.3 * np.sin(np.arange(int(seconds * rate)) * 0.3), rate, format=kind)
    return file.getvalue()


def read_events(body: bytes) -> list[dict[str, Any]]:
    blocks = body.decode().split("\n\n")
    assert blocks.pop() == "" and all(block.startswith("data: ") for block in blocks)
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


# -- the official client ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wav", "flac"])
def test_the_official_client_gets_what_the_voice_says(client, spoken, name):
    answer = client.audio.speech.create(
        model="tiny", voice="bm_george", input="Hello.", response_format=name, extra_body={"seed": 1}
    )
    samples, rate = soundfile.read(io.BytesIO(answer.content))
    assert rate == 8000
    np.testing.assert_allclose(samples, spoken, atol=1e-4)


@pytest.mark.parametrize("name", ["mp3", "opus"])
def test_the_official_client_gets_compressed_sound(client, spoken, name):
    fields = {"model": "tiny", "voice": "bm_george", "input": "Hello.", "response_format": name}
    answer = client.audio.speech.create(**fields, extra_body={"seed": 1, "stream": False})
    samples, _ = soundfile.read(io.BytesIO(answer.content))
    assert len(samples) == len(spoken)
    assert np.std(samples) == pytest.approx(np.std(spoken), rel=0.3)


def test_the_official_client_streams(client, spoken):
    """Pieces come one by one, and together they are the whole."""
    fields = {"model": "tiny", "voice": "bm_george", "input": "Hello.", "response_format": "pcm"}
    with client.audio.speech.with_streaming_response.create(**fields, extra_body={"seed": 1}) as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.headers["content-type"] == "audio/pcm"
        pieces = list(answer.iter_bytes())
    assert len(pieces) > 1
    heard = np.frombuffer(b"".join(pieces), "<i2") / 32767
    np.testing.assert_allclose(heard, soxr.resample(spoken, 8000, 24000), atol=1e-3)


def test_the_official_client_streams_into_a_file(client, spoken, tmp_path):
    fields = {"model": "tiny", "voice": {"id": "bm_george"}, "input": "Hello.", "response_format": "wav"}
    with client.audio.speech.with_streaming_response.create(
        **fields, stream_format="audio", extra_body={"seed": 1}
    ) as answer:
        answer.stream_to_file(tmp_path / "speech.wav")
    assert (tmp_path / "speech.wav").read_bytes()[40:44] == b"\xff" * 4
    samples, _ = soundfile.read(tmp_path / "speech.wav")
    np.testing.assert_allclose(samples, spoken, atol=1e-4)


def test_the_official_client_gets_events(client, spoken):
    fields = {"model": "tiny", "voice": "bm_george", "input": "Hello.", "response_format": "pcm"}
    answer = client.audio.speech.create(**fields, stream_format="sse", extra_body={"seed": 1})
    *deltas, done = read_events(answer.content)
    assert {event["type"] for event in deltas} == {"speech.audio.delta"} and len(deltas) > 1
    assert all(set(event) == {"type", "audio"} for event in deltas)
    assert set(done) == {"type", "usage"} and done["type"] == "speech.audio.done"
    assert done["usage"]["total_tokens"] == done["usage"]["input_tokens"] + done["usage"]["output_tokens"] > 7
    heard = np.frombuffer(b"".join(base64.b64decode(event["audio"]) for event in deltas), "<i2") / 32767
    np.testing.assert_allclose(heard, soxr.resample(spoken, 8000, 24000), atol=1e-3)


def test_the_official_client_lists_the_models(client):
    assert [model.id for model in client.models.list()] == ["tiny", "duo"]
    assert client.models.retrieve("duo").id == "duo"


def test_the_official_client_raises_its_own_errors(client):
    fields = {"model": "tiny", "voice": "bm_george", "input": "Hello."}
    with pytest.raises(openai.NotFoundError, match="no model 'tts-1' is served here; there is tiny, duo") as none:
        client.audio.speech.create(**{**fields, "model": "tts-1"})
    assert (none.value.code, none.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError, match="has no voice 'alloy'; it has bm_george, af_heart"):
        client.audio.speech.create(**{**fields, "voice": "alloy"})
    with pytest.raises(openai.BadRequestError, match=r"response_format: .*'wav', 'pcm', 'flac', 'mp3' or 'opus'"):
        client.audio.speech.create(**fields, response_format="aac")
    with pytest.raises(openai.BadRequestError, match="no voice here follows instructions"):
        client.audio.speech.create(**fields, instructions="Whisper.")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("tts-1")


# -- what an answer says ------------------------------------------------------------------------------------------


def test_events_carry_the_frames_behind_the_sound(app, voices):
    answer = app.speak(response_format="pcm", stream_format="sse", include=["frames", "timings"])
    assert answer.headers["content-type"].startswith("text/event-stream")
    *deltas, done = read_events(answer.body)
    frames = [frame for event in deltas for frame in event["frames"]]
    seconds = sum(len(base64.b64decode(event["audio"])) for event in deltas) / 2 / 24000
    assert len(frames) * voices["tiny"].layout.num_slots == done["usage"]["output_tokens"]
    assert all(len(frame) == 7 and max(frame) < 64 for frame in frames)
    assert seconds == pytest.approx(len(frames) / voices["tiny"].frame_rate, abs=0.05)
    assert deltas[0]["start"] == deltas[0]["frames_start"] == 0
    assert [event["start"] for event in deltas] == sorted(event["start"] for event in deltas)
    timings = done["timings"]
    assert timings["audio_seconds"] == pytest.approx(seconds, abs=1e-3)
    assert timings["first_audio_seconds"] > 0 and timings["rtf"] > 0
    assert done["seed"] == 1 and isinstance(done["notes"], list) and isinstance(done["cut"], bool)


def test_a_whole_answer_tells_seed_rate_length_and_notes(app, voices):
    said = voices["tiny"].speak("Hello. 😀", seed=7)
    answer = app.speak(input="Hello. 😀", seed=7, response_format="wav")
    assert answer.headers["x-aoede-seed"] == "7"
    assert answer.headers["x-aoede-sample-rate"] == "8000"
    assert answer.headers["content-length"] == str(len(answer.body)) == str(44 + 2 * len(said.samples))
    assert json.loads(answer.headers["x-aoede-notes"]) == list(said.notes)
    assert ("x-aoede-cut" in answer.headers) == said.cut


def test_a_seed_that_is_not_given_is_drawn_and_told(app):
    first, second = (app.speak(seed=None, response_format="pcm") for _ in range(2))
    assert first.headers["x-aoede-seed"] != second.headers["x-aoede-seed"]
    again = app.speak(seed=int(first.headers["x-aoede-seed"]), response_format="pcm")
    assert again.body == first.body != second.body


def test_without_a_voice_the_default_one_speaks_and_settings_reach_it(app, voices):
    voice = voices["tiny"]
    fields = {"speed": 1.5, "temperature": 0.5, "top_p": 0.9, "top_k": 5}
    expected = voice.speak("Hello.", seed=3, **fields)
    answer = app.speak(seed=3, response_format="wav", **fields)
    assert len(answer.body) == 44 + 2 * len(expected.samples)
    assert app.speak(seed=3, response_format="wav", voice="af_heart").body != answer.body


def test_every_answer_has_a_number_of_its_own(app):
    answers = [app.ask("GET", "/health"), app.speak(model="none"), app.ask("GET", "/nothing")]
    numbers = {answer.headers["x-request-id"] for answer in answers}
    assert len(numbers) == 3 and all(number.startswith("req_") for number in numbers)


def test_voices_and_limits_are_listed(app):
    listed = app.ask("GET", "/v1/audio/voices").json
    assert [(card["model"], card["id"], card["default"]) for card in listed["voices"]] == [
        ("tiny", "bm_george", True),
        ("tiny", "af_heart", False),
        ("duo", "bm_george", True),
        ("duo", "af_heart", False),
    ]
    flat, *_, two_stage = listed["voices"]
    assert (flat["can_clone"], two_stage["can_clone"]) == (False, True)
    assert (flat["has_pace"], two_stage["has_pace"]) == (True, False)
    assert flat["frame"] == {"seconds": 0.128, "levels": [0, 1, 2, 2, 1, 2, 2], "codebook_sizes": [64, 64, 64]}
    assert listed["limits"] == {"characters": 300, "reference_seconds": 2.0, "upload_bytes": 200_000}


def test_health_and_metrics_are_there(app):
    health = app.ask("GET", "/health")
    assert (health.status, health.json["status"], health.json["draining"]) == (200, "ok", False)
    assert health.json["models"]["tiny"] == {"running": 0, "slots": 2, "queued": 0, "queue": 2}
    app.speak()
    metrics = app.ask("GET", "/metrics")
    assert metrics.status == 200 and metrics.headers["content-type"].startswith("text/plain")
    lines = metrics.body.decode().splitlines()
    assert 'aoede_rows{voice="tiny"} 0.0' in lines and 'aoede_queue{voice="tiny"} 0.0' in lines
    assert any(line.startswith('aoede_requests_total{end="done",voice="tiny"}') for line in lines)
    for name in ("aoede_first_audio_seconds", "aoede_real_time_factor"):
        assert any(line.startswith(f'{name}_count{{voice="tiny"}}') for line in lines)


# -- cloning ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_recording_of_any_format_is_spoken_like(app, kind):
    answer = app.clone(sound(0.6, 16000, kind), response_format="wav")
    assert answer.status == 200, answer.body
    assert answer.body != app.speak(model="duo", response_format="wav").body


def test_cloning_says_what_the_voice_says(app, voices):
    samples, _ = soundfile.read(io.BytesIO(sound()), dtype="float32")
    expected = voices["duo"].speak("Hello.", seed=1, reference=samples, reference_text="Good day.").samples
    answer = app.clone(sound(), response_format="wav", file_name="../../etc/passwd", include="frames")
    np.testing.assert_allclose(soundfile.read(io.BytesIO(answer.body))[0], expected, atol=1e-4)


def test_a_recording_that_cannot_be_used_is_refused_with_words(app):
    for recording, words in (
        (b"", "the recording: the file is empty"),
        (b"no sound at all", "the recording: not audio that can be read"),
        (sound()[:5000], "cut short"),
        (sound(2.5), "the recording is longer than 2 s"),
        (sound(0.01), "less than a frame"),
        (sound(0.5, 1000), "the recording has 1000 Hz; 4000 to 384000 Hz are taken"),
    ):
        answer = app.clone(recording)
        assert answer.status == 400 and words in answer.error["message"], answer.body
    large = app.clone(sound(14))
    assert (large.status, large.error["param"]) == (413, "reference")
    assert "larger than 0.2 MB" in large.error["message"]


def test_a_flat_voice_does_not_clone(app):
    answer = app.clone(sound(), model="tiny")
    assert answer.status == 400 and "model 'tiny' cannot speak like a recording" in answer.error["message"]


def test_a_form_is_checked_like_json(app):
    for fields, words in (
        ({"speed": "fast"}, "speed: Input should be a valid number"),
        ({"volume": "11"}, "volume is not known here"),
        ({"reference_text": ""}, "reference_text: String should have at least 1 character"),
        ({"speed": "1.5"}, "has no control of its pace"),
    ):
        answer = app.clone(sound(), **fields)
        assert answer.status == 400 and words in answer.error["message"], answer.body


# -- what is refused ----------------------------------------------------------------------------------------------


def test_every_mistake_is_told_with_its_field(app):
    for fields, param, words in (
        ({"input": ""}, "input", "at least 1 character"),
        ({"input": "x" * 301}, "input", "input has 301 characters; this server takes 300"),
        ({"input": "你好"}, None, "script"),
        ({"input": "..."}, None, "nothing to say"),
        ({"input": 5}, "input", "valid string"),
        ({"input": "Hello\x00 \x1b[31mthere."}, "input", "input holds the control character U+0000 at 5"),
        ({"voice": {"name": "x"}}, "voice", "voice.id is missing"),
        ({"speed": 3}, "speed", "less than or equal to 2"),
        ({"speed": "1"}, "speed", "valid number"),
        ({"seed": 2**53}, "seed", "less than or equal to"),
        ({"temperature": 11}, "temperature", "less than or equal to 10"),
        ({"top_p": 0}, "top_p", "greater than 0"),
        ({"include": ["waves"]}, "include.0", "'frames' or 'timings'"),
        ({"volume": 11}, "volume", "volume is not known here"),
        ({"model": "duo", "speed": 1.5}, None, "no control of its pace"),
    ):
        answer = app.speak(**fields)
        assert (answer.status, answer.error["param"]) == (400, param), answer.body
        assert words in answer.error["message"], answer.body
        assert answer.error["type"] == "invalid_request_error"


def test_a_body_of_another_type_is_refused(app):
    assert app.ask("POST", "/v1/audio/speech", b"hello", Content_Type="text/plain").status == 415
    assert app.ask("POST", "/v1/audio/speech", b"").error["code"] == "unsupported_media_type"


def test_a_body_that_is_too_large_is_refused_before_it_is_read(app):
    with Stream(app.port, b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n") as stream:
        assert stream.head() == 413


def test_other_statuses_have_the_same_shape(app):
    assert app.ask("GET", "/nothing").error["code"] == "not_found"
    wrong = app.ask("GET", "/v1/audio/speech")
    assert (wrong.status, wrong.headers["allow"], wrong.error["code"]) == (405, "POST", "method_not_allowed")


def test_names_are_never_paths(app):
    for name in ("../../../etc/passwd", "/etc/passwd", "tiny/../duo", "duo\x00", "%2e%2e"):
        assert app.speak(model=name).status == 404
        assert app.speak(voice=name).status == 400
    for path in ("/v1/models/..%2f..%2fetc%2fpasswd", "/page/../../settings.py", "/page/%2e%2e/app.py"):
        assert app.ask("GET", path).status == 404


# -- limits -------------------------------------------------------------------------------------------------------


def test_a_full_server_says_when_to_come_again(voices):
    with running(voices, slots=1, queue=0) as server:
        with Stream(server.port, _request(input=LONG), receive_buffer=4096) as held:
            held.begin()
            answer = server.speak()
            assert answer.status == 429 and int(answer.headers["retry-after"]) >= 1
            assert (answer.error["type"], answer.error["code"]) == ("rate_limit_error", "queue_full")
            assert server.speak(model="duo").status == 200  # a queue of its own
        deadline = time.monotonic() + 10
        while server.speak().status == 429:
            assert time.monotonic() < deadline, "the slot of a client that left is still taken"
            time.sleep(0.05)


def test_as_many_recordings_come_at_a_time_as_can_speak(voices):
    with running(voices, slots=1) as server:
        head = b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        with Stream(server.port, head + b"Content-Length: 1000\r\n\r\n--x\r\n"):
            deadline = time.monotonic() + 10
            while (answer := server.clone(sound())).status != 429:
                assert time.monotonic() < deadline
            assert answer.error["code"] == "too_many_uploads" and answer.headers["retry-after"] == "1"
            assert server.speak().status == 200
        while server.clone(sound()).status == 429:
            assert time.monotonic() < deadline, "a client that left still holds its place"


def test_a_request_that_takes_too_long_is_given_up(voices):
    with running(voices, timeout_seconds=0.02) as server:
        answer = server.speak(input=LONG, response_format="wav")
        assert (answer.status, answer.error["type"]) == (504, "timeout_error")


def test_a_body_that_does_not_come_is_not_waited_for(voices):
    with running(voices, stall_seconds=0.3) as server:
        head = (
            b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n"
        )
        with Stream(server.port, head) as stream:
            assert stream.head() == 408
            assert json.loads(stream.body())["error"]["code"] == "timeout"
        with Stream(server.port, head[:30], patience=5) as stream:  # half a head: hung up on
            assert stream.head() == 0
        with Stream(server.port, b"", patience=5) as stream:
            assert stream.head() == 0


def test_a_client_that_stops_reading_is_let_go(voices):
    with (
        running(voices, stall_seconds=0.5, slots=1, queue=0, max_characters=4096) as server,
        Stream(server.port, _request(input=LONG * 3), receive_buffer=4096) as stuck,
    ):
        stuck.begin()
        deadline = time.monotonic() + 10
        while server.speak().status == 429:
            assert time.monotonic() < deadline, "a client that reads nothing keeps its slot"
            time.sleep(0.05)
        with pytest.raises(ConnectionError):
            stuck.rest()


def test_the_token_is_asked_for(voices):
    with running(voices, token="s3cret-word") as server:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret-word"}):
            for method, path in (
                ("POST", "/v1/audio/speech"),
                ("GET", "/v1/models"),
                ("GET", "/metrics"),
                ("GET", "/x"),
            ):
                answer = server.ask(method, path, **headers)
                assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
                assert answer.headers["www-authenticate"] == "Bearer"
        assert server.ask("GET", "/health").status == 200
        assert server.ask("GET", "/v1/models", Authorization="Bearer s3cret-word").status == 200
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="s3cret-word", max_retries=0) as client:
            assert client.audio.speech.create(model="tiny", voice="af_heart", input="Hello.").content
        guess = openai.OpenAI(base_url=f"{server.url}/v1", api_key="guess", max_retries=0)
        with guess, pytest.raises(openai.AuthenticationError):
            guess.models.list()


# -- the end ------------------------------------------------------------------------------------------------------


def test_an_ending_server_finishes_what_began_and_refuses_what_is_new(voices):
    with running(voices) as server, ThreadPoolExecutor(1) as pool:
        expected = server.speak(input=LONG[:120], response_format="pcm").body
        with Stream(server.port, _request(input=LONG[:120]), receive_buffer=4096) as begun:
            got = begun.begin()
            server.server.handle_exit(15, None)
            deadline = time.monotonic() + 5
            while (answer := server.speak()).status != 503:
                assert time.monotonic() < deadline
            assert answer.error["code"] == "draining" and int(answer.headers["retry-after"]) > 0
            health = server.ask("GET", "/health")
            assert (health.status, health.json["status"]) == (503, "draining")
            assert got + pool.submit(begun.rest).result(30) == expected


def _request(**fields: Any) -> dict[str, Any]:
    return {"model": "tiny", "input": "Hello.", "seed": 1, "response_format": "pcm", **fields}
