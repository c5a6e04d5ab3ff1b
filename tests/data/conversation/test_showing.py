"""Conversations for a person: lines of text with the mask, and a page that asks nothing of any other place."""

import base64
import io
import re

import pytest
import soundfile

from aoede.data import load_manifest, prepare
from aoede.data.conversation.show import show_file

from .talks import frames_of, tone, turn, write


@pytest.fixture
def talk(tmp_path):
    tone(tmp_path / "a.wav", seconds=0.5)
    tone(tmp_path / "b.wav", seconds=1.2, hertz=900.0)
    messages = [
        turn("ann", "How <are> you?", url="a.wav"),
        turn("bobby", "Fine.", url="b.wav"),
        turn("ann", path="a.wav"),
    ]
    return {"id": "x1", "split": "train", "messages": messages, "training_mask": [False, True, False]}


def test_the_text_shows_every_turn_with_mask_role_length_and_words(talk, tmp_path):
    path = write(tmp_path / "t.jsonl", talk, {"messages": [turn("0", "a b"), turn("1", "c", codes=frames_of(1))]})
    assert show_file(path).text.splitlines() == [
        f"{path}  2 conversations, 5 turns (2 trained, 3 context, 1 without audio), 4 roles",
        "",
        "line 1  x1  train",
        "  context  ann       0.5 s  How <are> you?",
        "  trained  bobby     1.2 s  Fine.",
        "  context  ann       0.5 s  (no text)",
        "",
        "line 2",
        "  context  0      no audio  a b",
        "  trained  1         codes  c",
    ]


def test_lines_and_limits_choose_what_is_shown(talk, tmp_path):
    rows = [{"id": f"n{n}", "messages": [turn("0", f"say {n}")]} for n in range(12)]
    path = write(tmp_path / "t.jsonl", *rows)
    assert "n9" in show_file(path).text and "n10" not in show_file(path).text
    assert "2 more are not shown; --limit N shows more" in show_file(path).text
    assert "not shown" not in show_file(path, limit=12).text
    chosen = show_file(path, lines=[12, 3]).text
    assert re.findall(r"say \d+", chosen) == ["say 11", "say 2"]
    with pytest.raises(ValueError, match=r"t.jsonl: no conversation in line 13$"):
        show_file(path, lines=[13])
    with pytest.raises(ValueError, match="limit is 0; at least one"):
        show_file(path, limit=0)


def players(page):
    """The sounds of a page, decoded."""
    found = re.findall(r'<audio [^>]*src="data:audio/mpeg;base64,([^"]+)"', page)
    return [soundfile.read(io.BytesIO(base64.b64decode(data))) for data in found]


def test_the_page_plays_every_turn_and_holds_no_address(talk, tmp_path):
    path = write(tmp_path / "t.jsonl", talk)
    assert show_file(path, html=tmp_path / "p.html").text.endswith("p.html: 1 conversation with players")
    page = (tmp_path / "p.html").read_text()
    sounds = players(page)
    assert [rate for _, rate in sounds] == [24000] * 3
    assert [len(samples) / 24000 for samples, _ in sounds] == pytest.approx([0.5, 1.2, 0.5], abs=0.08)
    assert re.findall(r'<li class="(\w+)">', page) == ["context", "trained", "context"]
    assert "How &lt;are&gt; you?" in page and "<are>" not in page
    assert "default-src 'none'" in page
    words = re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    assert not re.search(r"https?:|//|<script|<link|url\(|@import", words)
    assert all(source.startswith("data:") for source in re.findall(r'src="([^"]+)"', page))
    first = (tmp_path / "p.html").read_bytes()
    show_file(path, html=tmp_path / "p.html")
    assert (tmp_path / "p.html").read_bytes() == first


def test_codes_are_decoded_by_their_codec_and_otherwise_the_page_says_why_not(codec, codec_folder, tmp_path):
    tone(tmp_path / "a.wav", seconds=0.1)
    (tmp_path / "m.jsonl").write_text('{"audio": "a.wav", "text": "a", "id": "one"}\n')
    prepare(load_manifest(tmp_path / "m.jsonl"), codec, tmp_path / "codes")
    path = write(tmp_path / "t.jsonl", {"messages": [turn("0", "a", prepared="codes", id="one")]})
    show_file(path, html=tmp_path / "p.html", codec=str(codec_folder))
    ((samples, _),) = players((tmp_path / "p.html").read_text())
    assert len(samples) / 24000 == pytest.approx(0.1, abs=0.08)
    assert "0.1 s  a" in show_file(path).text
    show_file(path, html=tmp_path / "p.html")  # the bundled codec did not make these
    page = (tmp_path / "p.html").read_text()
    assert players(page) == [] and f"No player: {tmp_path / 'codes'}: codes of codec {codec.fingerprint()}" in page


def test_a_sound_that_cannot_be_played_is_told_in_its_place(talk, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no sound at all, but long enough to be looked at")
    show_file(write(tmp_path / "t.jsonl", talk), html=tmp_path / "p.html")
    page = (tmp_path / "p.html").read_text()
    assert len(players(page)) == 1
    assert page.count("No player: ") == 2
