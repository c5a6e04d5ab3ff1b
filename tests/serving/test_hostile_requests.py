"""Requests that mean harm, or that something broke on their way: no 5xx, no memory, and the next one is served.

Against a real server process over loopback. What each limit is, and in which words it is told, is tested with the app
itself.
"""

from __future__ import annotations

import contextlib
import io
import json
import struct
import time
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from benchmarks.speech_load.server import ServerProcess

from aoede.serving.encoders import wav_header
from tests.serving.loopback import Stream, request_bytes, whole

SPEECH = {"model": "tiny", "input": "Hello.", "response_format": "pcm", "seed": 1}
RATE = 8000


@pytest.fixture(scope="module")
def sound_server(server: ServerProcess) -> Iterator[ServerProcess]:
    """The server; after all tests it speaks as before and has not grown by more than 64 MB."""
    status, _, expected = whole(server.port, SPEECH)
    assert status == 200 and whole(server.port, form(sound("WAV")))[0] == 200
    before, said = server.taken(), len(server.said())
    yield server
    assert whole(server.port, SPEECH)[2] == expected
    grown = server.taken().memory - before.memory
    assert grown < 64e6, f"the server grew by {grown / 1e6:.0f} MB"
    assert "Traceback" not in server.said()[said:]


# -- recordings ---------------------------------------------------------------------------------------------------


def sound(kind: str, seconds: float = 0.6, subtype: str | None = None) -> bytes:
    """A quiet tone as a file."""
    samples = 0.3 * np.sin(np.arange(int(seconds * RATE)) * 0.3)
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=kind, subtype=subtype)
    return file.getvalue()


def wav(rate: int = RATE, channels: int = 1, data: bytes = b"", *, said: int | None = None, kind: int = 1) -> bytes:
    """A WAV by hand, whose header may say what it likes; kind 1 is 16-bit integers, 3 is 32-bit floats."""
    width, size = {1: 2, 3: 4}[kind], len(data) if said is None else said
    numbers = (kind, channels, rate, rate * width & 0xFFFFFFFF, width * channels & 0xFFFF, 8 * width)
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, *numbers) + struct.pack("<4sI", b"data", size)
    return struct.pack("<4sI4s", b"RIFF", (size + 36) & 0xFFFFFFFF, b"WAVE") + head + data


def long_flac() -> bytes:
    """Ten minutes in some kilobytes."""
    file = io.BytesIO()
    soundfile.write(file, np.full(600 * RATE, 1000, np.int16), RATE, format="FLAC")
    return file.getvalue()


def endless_flac() -> bytes:
    """A header that promises 2^36 - 1 samples, and nothing behind it."""
    data = bytearray(sound("FLAC"))
    data[21] |= 0x0F
    data[22:26] = b"\xff\xff\xff\xff"
    return bytes(data[:100])


RECORDINGS = {
    "nothing": lambda: b"",
    "half a header": lambda: sound("WAV")[:20],
    "a header and no sound": lambda: wav_header(RATE),
    "a wav cut in its middle": lambda: sound("WAV")[:4000],
    "a wav that promises 4 GB": lambda: wav(data=bytes(range(200)) * 40, said=0xFFFFFFF0),
    "a flac cut in its middle": lambda: sound("FLAC")[:1500],
    "ten minutes in a small flac": long_flac,
    "a flac that promises days": endless_flac,
    "no channels": lambda: wav(channels=0, data=bytes(4000)),
    "65,535 channels": lambda: wav(channels=65535, data=bytes(400_000)),
    "no rate": lambda: wav(rate=0, data=bytes(4000)),
    "a rate of 4 GHz": lambda: wav(rate=0xFFFFFFFF, data=bytes(4000)),
    "not a number": lambda: wav(kind=3, data=np.full(8000, np.nan, "<f4").tobytes()),
    "infinity": lambda: wav(kind=3, data=np.full(8000, np.inf, "<f4").tobytes()),
    "silence": lambda: wav(data=bytes(16_000)),
    "noise that is no file": lambda: np.random.default_rng(0).bytes(100_000),
    "text": lambda: b"I am a recording. " * 100,
    "a path": lambda: b"/etc/passwd",
}


def form(recording: bytes, file_name: str = "voice.wav", **fields: str) -> bytes:
    """A request to clone, as it goes over the wire."""
    given = {"model": "duo", "input": "Hello.", "response_format": "pcm", "reference_text": "Good day.", **fields}
    about = 'Content-Disposition: form-data; name="{}"'
    parts = [f"--cut\r\n{about.format(name)}\r\n\r\n{value}\r\n" for name, value in given.items()]
    parts.append(f'--cut\r\n{about.format("reference")}; filename="{file_name}"\r\nContent-Type: audio/wav\r\n\r\n')
    return clone_bytes("".join(parts).encode() + recording + b"\r\n--cut--\r\n")


def clone_bytes(payload: bytes, **headers: str) -> bytes:
    """A form, whatever is in it."""
    return request_bytes(payload, **{"Content_Type": "multipart/form-data; boundary=cut", **headers})


def check_refused(status: int, body: bytes) -> None:
    """A refusal that says why, in the shape of every error."""
    assert 400 <= status < 500, (status, body)
    error = json.loads(body)["error"]
    assert error["message"] and set(error) == {"message", "type", "param", "code"}
    assert "Traceback" not in error["message"]


@pytest.mark.parametrize("kind", RECORDINGS)
def test_a_recording_that_is_none_is_refused(sound_server, kind):
    started = time.monotonic()
    status, _, body = whole(sound_server.port, form(RECORDINGS[kind]()))
    check_refused(status, body)
    assert time.monotonic() - started < 20


def test_a_recording_is_taken_whatever_its_name_says(sound_server):
    status, _, first = whole(sound_server.port, form(sound("WAV"), seed="3"))
    assert status == 200 and first
    status, _, second = whole(sound_server.port, form(sound("WAV"), "../../../etc/passwd", seed="3"))
    assert (status, second) == (200, first)


def test_an_ogg_that_was_cut_is_heard_as_far_as_it_goes(sound_server):
    """Its pages stand alone and none says how many there are, so it is a shorter recording."""
    status, _, body = whole(sound_server.port, form(sound("OGG", 3.0)[:6000]))
    assert status == 200 and body


def test_an_upload_above_the_limit_is_refused_before_it_has_come(sound_server):
    """The form says 2 GB; a server that waited for them, or kept them, would not answer."""
    with Stream(sound_server.port, clone_bytes(b"--cut\r\n", Content_Length="2000000000")) as stream:
        status = stream.head()
        check_refused(status, stream.body())
        assert status == 413


def test_an_upload_without_a_length_is_cut_off_at_the_limit(sound_server):
    """Chunked, and endless: the server answers, or hangs up, before 64 MB have gone."""
    head = clone_bytes(b"", Transfer_Encoding="chunked").replace(b"Content-Length: 0\r\n", b"")
    start = b'--cut\r\nContent-Disposition: form-data; name="reference"; filename="a.wav"\r\n\r\n'
    piece = bytes(1 << 20)
    with Stream(sound_server.port, head + b"%x\r\n" % len(start) + start + b"\r\n") as stream:
        sent = 0
        try:
            while sent < 64:
                stream.socket.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
                sent += 1
        except (ConnectionError, TimeoutError):
            pass
        assert sent < 64
        assert stream.head() in (0, 413)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"--cut--\r\n",
        b"--other\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nduo\r\n--other--\r\n",
        b"--cut\r\nContent-Disposition: form-data; name=\"reference\"; filename=\"a\"\r\n\r\n" + bytes(50_000),
        b"--cut\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nduo\r\n" * 5000 + b"--cut--\r\n",
        b"--cut\r\n" + b"X-Header: 1\r\n" * 20_000,
        b"--cut\r\nContent-Disposition: form-data; name=\"" + b"a" * 100_000 + b"\"\r\n\r\n1\r\n--cut--\r\n",
    ],
    ids=["empty", "no parts", "another boundary", "never ends", "5,000 parts", "20,000 headers", "a name of 100 kB"],
)  # fmt: skip
def test_a_form_that_is_none_is_refused(sound_server, payload):
    status, _, body = whole(sound_server.port, clone_bytes(payload))
    check_refused(status, body)


# -- bodies -------------------------------------------------------------------------------------------------------

BODIES = {
    "nothing": b"",
    "no JSON": b"{'model': tiny}",
    "half of it": b'{"model": "tiny", "inp',
    "no object": b"[1, 2, 3]",
    "100,000 brackets": b"[" * 100_000,
    "100,000 braces": b'{"input":' * 100_000,
    "no UTF-8": b'{"model": "tiny", "input": "\xff\xfe\xfd"}',
    "half a pair": b'{"model": "tiny", "input": "\\ud800"}',
    "binary text": json.dumps({**SPEECH, "input": "\x00\x01\x02\x03\x1b"}).encode(),
    "binary": bytes(range(256)) * 40,
    "a huge text": json.dumps({**SPEECH, "input": "All work and no play. " * 3000}).encode(),
    "a million spaces": json.dumps({**SPEECH, "input": " " * 1_000_000}).encode(),
    "a seed of 5,000 digits": b'{"model": "tiny", "input": "Hello.", "seed": ' + b"9" * 5000 + b"}",
    "a seed that is none": json.dumps({**SPEECH, "seed": -1}).encode(),
    "not a number": b'{"model": "tiny", "input": "Hello.", "speed": NaN}',
    "another format": json.dumps({**SPEECH, "response_format": "exe"}).encode(),
    "a path as model": json.dumps({**SPEECH, "model": "../../../etc/passwd"}).encode(),
    "a path as voice": json.dumps({**SPEECH, "voice": "/etc/passwd"}).encode(),
    "a path in an object": json.dumps({**SPEECH, "voice": {"id": "../../x"}}).encode(),
}


@pytest.mark.parametrize("kind", BODIES)
def test_a_body_that_is_none_is_refused(sound_server, kind):
    status, _, body = whole(sound_server.port, request_bytes(BODIES[kind]))
    check_refused(status, body)


# -- below HTTP ---------------------------------------------------------------------------------------------------

BROKEN = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
    "a header without end": b"GET / HTTP/1.1\r\nX: " + b"a" * 300_000,
    "a hundred thousand headers": b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 100_000,
    "a negative length": request_bytes(SPEECH, Content_Length="-5"),
    "no number as length": request_bytes(SPEECH, Content_Length="many"),
    "two lengths": request_bytes(SPEECH).replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n", 1),
    "a length and chunks": request_bytes(SPEECH, Transfer_Encoding="chunked") + b"\r\n",
    "a long path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path upwards": b"GET /../../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "an encoded path upwards": b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_request_is_refused_or_hung_up_on(sound_server, kind):
    with Stream(sound_server.port, BROKEN[kind], patience=20.0) as stream:
        status = stream.head()
        assert status == 0 or 400 <= status < 500
        assert not status or b"root:" not in stream.body()


def test_half_requests_that_are_held_open_hold_up_nobody(sound_server):
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(Stream(sound_server.port, b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nX: "))
        assert whole(sound_server.port, SPEECH)[0] == 200


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_clients_that_hang_up_in_the_middle_of_a_request_leave_nothing(sound_server, share):
    data = form(sound("WAV", 5.0))
    whole(sound_server.port, SPEECH)
    before = sound_server.taken()
    for number in range(10):
        with Stream(sound_server.port, data[: int(share * len(data))]) as stream:
            if number % 2:
                stream.reset()
    deadline = time.monotonic() + 30
    while (now := sound_server.taken()).files > before.files + 1 or now.threads > before.threads + 2:
        assert time.monotonic() < deadline, f"{before} became {now}"
        time.sleep(0.02)
