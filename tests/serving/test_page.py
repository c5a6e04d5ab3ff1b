"""The page speaks: what is typed is heard, drawn and kept, in a real browser and against a real server."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from benchmarks.speech_load.server import ServerProcess

from tests.serving.loopback import request_bytes, whole
from tests.serving.page_driver import TOKEN, Page

TEXT = "Hello there."
ASKED = {"model": "aoede-small", "voice": "af_heart", "input": TEXT, "seed": 0, "speed": 1.0, "response_format": "pcm"}


def ask(server: ServerProcess, **changes: Any) -> tuple[int, bytes]:
    """Status and body of a request without the page."""
    data = request_bytes(json.dumps({**ASKED, **changes}).encode(), Authorization=f"Bearer {TOKEN}")
    status, _, body = whole(server.port, data)
    return status, body


@pytest.fixture
def page(browser: Any, page_server: ServerProcess) -> Iterator[Page]:
    opened = Page(browser, page_server.port).ready().choose("aoede-small")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def expected(page_server: ServerProcess) -> np.ndarray:
    """What the server says when it is asked without the page: samples [T], 16 bit."""
    status, body = ask(page_server, stream=False)
    assert status == 200
    return np.frombuffer(body, "<i2")


@pytest.fixture(scope="module")
def frames(page_server: ServerProcess) -> list[list[int]]:
    """The frames behind them."""
    status, body = ask(page_server, stream_format="sse", include=["frames"])
    assert status == 200
    events = [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: ")]
    return [frame for event in events for frame in event.get("frames", [])]


def samples_of(page: Page, script: str) -> np.ndarray:
    """Float samples of the page, as 16 bit."""
    encoded = page.value(
        f"(() => {{ const bytes = new Uint8Array(Float32Array.from({script}).buffer);"
        "let text = ''; for (const byte of bytes) text += String.fromCharCode(byte); return btoa(text); })()"
    )
    return np.round(np.frombuffer(base64.b64decode(encoded), "<f4") * 32768).astype("<i2")


# The loudest sample of the last 85 ms that went to the loudspeaker.
LEVEL = """(() => {
  const { analyser } = aoede.stage.player;
  const samples = new Float32Array(analyser?.fftSize ?? 1);
  analyser?.getFloatTimeDomainData(samples);
  return Math.max(...samples);
})()"""

# Hears what the player hands to the loudspeaker, sample by sample.
LISTEN = """async () => {
  const { player } = aoede.stage;
  await player.context.audioWorklet.addModule("/page/recorder-worklet.js");
  const tap = new AudioWorkletNode(player.context, "tap", { numberOfOutputs: 0 });
  globalThis.heard = [];
  tap.port.onmessage = ({ data }) => heard.push(...data);
  player.output.connect(tap);
}"""


def test_a_typed_text_is_streamed_played_and_drawn(page, expected, frames):
    page.say(TEXT)
    page.until(f"{LEVEL} > 0.02")
    page.spoken()
    assert page.value("aoede.stage.take.arrivals") > 1, "it came in one piece"
    np.testing.assert_array_equal(samples_of(page, "aoede.stage.take.samples"), expected)
    assert page.value("aoede.stage.take.codes") == frames
    page.until("aoede.stage.player.state === 'idle'")
    assert page.value("aoede.stage.player.position") == pytest.approx(len(expected) / 24000)
    figures = {name: page.view.inner_text(f"#{name}") for name in ("first", "rtf", "frames", "seed-used", "duration")}
    assert figures["first"].endswith("s") and float(figures["rtf"]) > 0
    assert figures["frames"] == str(len(frames)) and figures["seed-used"] == "0"
    assert figures["duration"] == f"0:0{np.floor(len(expected) / 2400) / 10:.1f}"
    assert "first sound came after" in page.view.inner_text("#status") and page.error == ""


def test_pieces_are_heard_as_one_sound_to_the_sample(page, expected):
    page.say(TEXT)
    page.until("aoede.stage.take?.ended && aoede.stage.player.state === 'idle'")
    page.value(LISTEN)
    # The same sound anew, in pieces that break inside a sample, as a network may hand it over.
    page.value(
        """async (encoded) => {
          const { Take } = await import("/page/take.js");
          const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
          const { stage } = aoede;
          const take = new Take(stage.take.asked, stage.take.frame);
          stage.show(take, { play: true });
          for (let at = 0; at < bytes.length; at += 4801) {
            take.push(bytes.subarray(at, at + 4801), [], take.seconds);
            stage.grown();
          }
          take.finish("done");
          stage.grown();
        }""",
        base64.b64encode(expected.tobytes()).decode(),
    )
    assert page.value("aoede.stage.player._pieces.length") == -(-2 * len(expected) // 4801)
    page.until("aoede.stage.player.state === 'idle'")
    sounds = np.flatnonzero(expected)
    page.until(f"heard.length - heard.findIndex((sample) => sample !== 0) > {sounds[-1]}")
    heard = samples_of(page, "heard")
    heard = heard[np.flatnonzero(heard)[0] :][: sounds[-1] - sounds[0] + 1]
    np.testing.assert_array_equal(heard, expected[sounds[0] : sounds[-1] + 1])


def test_a_take_ends_though_the_clock_still_shows_its_last_block(page):
    page.say(TEXT)
    page.until("aoede.stage.player.take !== null")
    # What a page reads when the last piece's end is told before the clock has gone on.
    page.value(
        """(() => {
          const { player } = aoede.stage;
          player._now = () => Math.min(player.context.currentTime * 24000, Math.max(player._next - 1, 0));
        })()"""
    )
    page.until("aoede.stage.take?.ended && aoede.stage.player.state === 'idle'", seconds=30)
    assert page.value("aoede.stage.player.position") == pytest.approx(page.value("aoede.stage.take.seconds"))


def test_the_picture_shows_each_level_in_its_colour_and_what_sounds(page, frames):
    page.say(TEXT)
    page.spoken()
    page.until("aoede.stage.player.state === 'idle' && !aoede.stage._awake")
    lanes = page.value("aoede.stage.score._lanes()")
    # The middle of a cell of each level, in the third frame.
    colours = page.value(
        """([top, height]) => {
          const { score, take } = aoede.stage;
          const ratio = devicePixelRatio;
          const pen = score.canvas.getContext("2d");
          const width = (take.frame.seconds / score.span) * score.canvas.clientWidth;
          return [0, 1, 2].map((level) => {
            const x = (2 + 0.5 / [1, 2, 4][level]) * width;
            const y = top + 4 + ((level + 0.5) * (height - 8)) / 3;
            return [...pen.getImageData(x * ratio, y * ratio, 1, 1).data].slice(0, 3);
          });
        }""",
        [lanes[2]["top"], lanes[2]["height"]],
    )
    (cr, cg, cb), (mr, mg, mb), (fr, fg, fb) = colours
    assert cr > cg > cb and mg > mb > mr and fb > fr > fg, f"amber, teal, violet: {colours}"
    columns = page.value("aoede.stage.take.spectrum.count")
    assert columns == pytest.approx(100 * page.value("aoede.stage.take.seconds"), abs=2)
    read = page.view.text_content("#readout")
    assert read is not None and read.startswith(f"frame {len(frames)}"), read
    assert all(str(code) in read for code in frames[-1])


def test_a_tone_stands_where_its_frequency_is(page):
    bands = page.value(
        """async () => {
          const { Spectrum, BANDS } = await import("/page/spectrum.js");
          return [100, 440, 3000, 9000].map((hertz) => {
            const spectrum = new Spectrum(24000);
            const wave = (_, i) => 0.5 * Math.sin((2 * Math.PI * hertz * i) / 24000);
            spectrum.push(Float32Array.from({ length: 4800 }, wave));
            const column = [...spectrum.columns.subarray(10 * BANDS, 11 * BANDS)];
            return [column.indexOf(Math.max(...column)), Math.max(...column)];
          });
        }"""
    )
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (60, 12000))
    for (band, level), hertz in zip(bands, (100, 440, 3000, 9000), strict=True):
        place = (2595 * np.log10(1 + hertz / 700) - low) / (high - low) * 81 - 1
        assert abs(band - place) <= 1 and level > 200, f"{hertz} Hz is drawn in band {band}, not {place:.1f}"


def test_what_was_said_can_be_heard_again_kept_as_a_file_and_asked_for_anew(page, expected, tmp_path):
    page.view.click("#advanced summary")
    page.view.fill("#temperature", "0.7")
    page.say("Another one.")
    page.until("aoede.history.takes.length === 1")
    page.view.fill("#temperature", "")
    page.say(TEXT)
    page.until("aoede.history.takes.length === 2")
    assert page.view.locator("#history .said").all_inner_texts() == [TEXT, "Another one."]
    with page.view.expect_download() as download:
        page.view.get_by_role("button", name=f"Download: {TEXT}").click()
    assert download.value.suggested_filename == "af_heart-hello-there-0.wav"
    download.value.save_as(tmp_path / "take.wav")
    samples, rate = soundfile.read(tmp_path / "take.wav", dtype="int16")
    assert rate == 24000
    np.testing.assert_array_equal(samples, expected)
    page.view.get_by_role("button", name="Play: Another one.").click()
    page.until("aoede.stage.take.asked.text === 'Another one.' && aoede.stage.player.position > 0.1")
    page.view.get_by_role("button", name="Use again: Another one.").click()
    assert page.view.input_value("#text") == "Another one." and page.view.input_value("#temperature") == "0.7"
    page.view.get_by_role("button", name="Remove: Another one.").click()
    assert page.view.locator("#history .said").all_inner_texts() == [TEXT]


def test_errors_are_told_in_the_words_of_the_server_and_the_next_text_is_spoken(page, page_server):
    page.say("日本語")
    page.until("!document.getElementById('error').hidden")
    status, body = ask(page_server, input="日本語")
    assert status == 400 and page.error == json.loads(body)["error"]["message"]
    page.say("   ")
    assert "no text" in page.error and page.value("document.activeElement.id") == "text"
    page.context.set_offline(True)
    page.say(TEXT)
    page.until("document.getElementById('error').textContent.includes('cannot be reached')")
    page.context.set_offline(False)
    page.say(TEXT)
    page.spoken()
    assert page.error == "" and page.value("aoede.stage.take.end") == "done"


def test_escape_stops_the_sound_and_frees_the_server(page):
    page.say("This is a long sentence that will be stopped before it is over. " * 6)
    page.until("aoede.stage.player.position > 0.2")
    page.view.keyboard.press("Escape")
    page.until("aoede.stage.take.end === 'stopped'")
    assert page.value("aoede.stage.player.state") == "idle"
    assert page.value("aoede.stage.take.seconds") < 25
    page.until("fetch('health').then((a) => a.json()).then((h) => h.models['aoede-small'].running === 0)")
    assert "Stopped" in page.view.inner_text("#status") and page.view.is_hidden("#stop")


def test_a_dropped_recording_goes_along_with_its_text(page, tmp_path):
    seconds = np.arange(12000) / 16000
    soundfile.write(tmp_path / "me.flac", 0.3 * np.sin(2 * np.pi * 220 * seconds), 16000)
    content = base64.b64encode((tmp_path / "me.flac").read_bytes()).decode()
    drop(page, content, "me.flac")
    page.until("aoede.reference.blob !== null")
    wav = bytes(page.value("aoede.reference.blob.arrayBuffer().then((b) => [...new Uint8Array(b)])"))
    (tmp_path / "sent.wav").write_bytes(wav)
    samples, rate = soundfile.read(tmp_path / "sent.wav")
    assert (
        rate == 24000
        and len(samples) == pytest.approx(18000, abs=30)
        and abs(samples).max() == pytest.approx(0.3, abs=0.02)
    )
    page.say("Hello.")
    assert "needs its text" in page.error and page.value("document.activeElement.id") == "reference-text"
    page.view.fill("#reference-text", "Hello.")
    page.say("Hello.")
    page.until("aoede.stage.take?.end === 'done' && aoede.stage.take.asked.reference === true")
    assert page.view.is_hidden("#clone-hint")
    page.choose("tiny")
    hint = "The model of the chosen voice does not hear recordings; choose another."
    assert page.view.inner_text("#clone-hint") == hint
    page.view.click("#speak")
    page.until("document.getElementById('error').textContent.includes(\"model 'tiny' cannot speak like a recording\")")
    page.choose("duo")
    page.view.click("#speak")
    page.until("aoede.stage.take?.end === 'done'")
    assert page.error == "" and page.value("aoede.stage.take.asked.reference") is True
    drop(page, base64.b64encode(b"not a sound").decode(), "letter.txt")
    page.until("document.getElementById('error').textContent.includes('letter.txt is not a sound file')")


def drop(page: Page, content: str, name: str) -> None:
    """Drop a file onto the page."""
    page.value(
        """([content, name]) => {
          const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], name));
          for (const kind of ["dragover", "drop"])
            document.body.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        [content, name],
    )


def test_the_microphone_becomes_a_wav(page, tmp_path):
    page.view.click("#clone summary")
    page.view.click("#record")
    page.until("document.getElementById('record-name').textContent.startsWith('Stop, 0:01')")
    assert page.view.get_attribute("#record", "aria-pressed") == "true"
    page.view.click("#record")
    page.until("aoede.reference.blob !== null")
    wav = bytes(page.value("aoede.reference.blob.arrayBuffer().then((b) => [...new Uint8Array(b)])"))
    (tmp_path / "me.wav").write_bytes(wav)
    samples, rate = soundfile.read(tmp_path / "me.wav")
    assert rate == 24000 and 0.9 < len(samples) / rate < 5
    assert abs(samples).max() > 0.1, "the beeps of the test microphone are not in it"


def test_the_files_of_the_page_are_packaged():
    import tomllib

    root = Path(__file__).resolve().parents[2]
    data = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["aoede"]
    packaged = {path for pattern in data for path in (root / "src" / "aoede").glob(pattern)}
    assert set((root / "src" / "aoede" / "serving" / "page").iterdir()) <= packaged
