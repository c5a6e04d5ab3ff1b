"""Lists of texts in every form, and what is told of one that cannot be read."""

import json
from pathlib import Path

import pytest

from aoede.evaluation.texts import open_texts, with_reference


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def sounds(tmp_path):
    """Files that are there; lists open none of them."""
    for name in ("p1.wav", "p2.wav", "wavs/b.wav", "said.wav"):
        write(tmp_path / "en" / name, "")
    return tmp_path / "en"


def test_a_text_a_line(tmp_path):
    found = open_texts(write(tmp_path / "texts.txt", "\ufeffOne.\n\n  Two | three. \n...\n"), language="de")
    assert [(p.id, p.text, p.language) for p in found.passages] == [
        ("line 1", "One.", "de"),
        ("line 3", "Two | three.", "de"),
    ]
    assert found.told == "texts.txt" and found.passages[0].recording is None


@pytest.mark.parametrize("name", ["meta.lst", "meta.txt"])
def test_a_seed_tts_list_is_read_as_it_is(sounds, name):
    lines = "a|Prompt one.|p1.wav|Say this.|said.wav\nb.wav | Prompt two. | p2.wav | Say that.\n"
    first, second = open_texts(write(sounds / name, lines)).passages
    assert (first.id, first.text, first.language) == ("a", "Say this.", "en")
    assert (first.reference.text, first.reference.audio) == ("Prompt one.", str(sounds / "p1.wav"))
    assert (first.recording.text, first.recording.audio) == ("Say this.", str(sounds / "said.wav"))
    assert (second.id, second.reference.text) == ("b", "Prompt two.")
    assert second.recording.audio == str(sounds / "wavs" / "b.wav")  # beside the list, as in that test set


def test_shorter_lines_of_such_a_list_have_no_prompt_or_no_text_of_it(sounds):
    plain, mute = open_texts(write(sounds / "meta.lst", "a|Say this.\nc|Say that.|p1.wav\n")).passages
    assert plain.reference is None and plain.recording is None
    assert (mute.text, mute.reference.text) == ("Say that.", "")


def test_a_table_of_texts_tells_who_speaks_and_what_like(sounds):
    rows = [
        {"text": "One  more.", "speaker": "a", "id": "x", "split": "test"},
        {"text": "Two.", "reference": "p1.wav", "reference_text": "Prompt.", "language": "fr", "split": "dev"},
    ]
    path = write(sounds / "texts.jsonl", "\n".join(map(json.dumps, rows)))
    one, two = open_texts(path, language="en").passages
    assert (one.id, one.text, one.speaker, one.language, one.reference) == ("x", "One more.", "a", "en", None)
    assert (two.id, two.language, two.reference.text, two.reference.audio) == (
        "row 2",
        "fr",
        "Prompt.",
        str(sounds / "p1.wav"),
    )
    assert [p.id for p in open_texts(path, split="test").passages] == ["x"]
    with pytest.raises(ValueError, match="no text has split 'train'; there are: dev, test"):
        open_texts(path, split="train")


def test_a_tab_separated_table_and_one_with_commas(tmp_path):
    tabs = open_texts(write(tmp_path / "a.tsv", 'text\tstyle\nSay "this".\tplain\n'))
    commas = open_texts(write(tmp_path / "a.csv", 'id,text\n7,"Say this, please."\n'))
    assert tabs.passages[0].text == 'Say "this".'
    assert (commas.passages[0].id, commas.passages[0].text) == ("7", "Say this, please.")


def test_recordings_with_texts_are_their_own_ceiling_and_may_have_references(sounds):
    rows = [
        {"audio": "said.wav", "text": "Said.", "split": "heldout", "reference": "p1.wav", "reference_text": "P."},
        {"audio": "p2.wav", "text": "", "split": "heldout"},
        {"audio": "p1.wav", "text": "P.", "split": "train"},
    ]
    rows = [row | {"speaker": "a"} for row in rows]
    found = open_texts(write(sounds / "manifest.jsonl", "\n".join(map(json.dumps, rows))))
    assert [p.recording.audio for p in found.passages] == [str(sounds / "said.wav")]  # the other has no words
    assert (found.passages[0].reference.text, found.passages[0].reference.speaker) == ("P.", "a")
    assert [clip.text for clip in found.pool] == ["P."]
    assert found.told == "en/manifest.jsonl, heldout"


def test_one_recording_can_stand_for_all(sounds):
    found = open_texts(write(sounds / "texts.txt", "One.\nTwo.\n"))
    given = with_reference(found.passages, sounds / "p1.wav", "Prompt one.")
    assert {passage.reference.text for passage in given} == {"Prompt one."}
    assert given[0].reference.speaker == "like p1.wav"
    with pytest.raises(ValueError, match=r"needs its text, word for word: --reference-text"):
        with_reference(found.passages, sounds / "p1.wav", " ")
    with pytest.raises(ValueError, match="there is no such recording"):
        with_reference(found.passages, sounds / "no.wav", "x")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "", "a text a line is expected"),
        ("a.txt", "...\n", "none of its 1 texts has a word to say"),
        ("a.lst", "a|b|p1.wav|d|said.wav|f\n", "line 1 has 6 fields; expected is `id|prompt text|"),
        ("a.lst", "a|x|p1.wav|d\nonly this\n", "line 2 has 1 fields"),
        ("a.lst", "a|x|gone.wav|d\n", "line 1: there is no file"),
        ("a.lst", "a|x\na|y\n", "line 2: id 'a' was used before, at line 1"),
        ("a.jsonl", '{"txt": "x"}', "no column 'text' among txt"),
        ("a.jsonl", '{"text": 5}', "column 'text' holds 5; text is expected"),
        ("a.jsonl", '{"text": "x", "id": 1}\n{"text": "y", "id": 1}', "line 2: id '1' was used before"),
        ("a.jsonl", '{"text": "x", "reference": "gone.wav"}', "there is no file"),
        ("a.xml", "<a/>", "a manifest is a .jsonl"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(sounds, name, text, said):
    with pytest.raises(ValueError) as error:
        open_texts(write(sounds / name, text))
    assert said in str(error.value) and str(sounds / name) in str(error.value)


def test_bytes_that_are_not_utf8_and_filters_that_lines_have_not_are_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(ValueError, match="byte 4 is not UTF-8"):
        open_texts(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="without a split"):
        open_texts(write(tmp_path / "b.txt", "x\n"), split="dev")
    with pytest.raises(ValueError, match="no such manifest"):
        open_texts(tmp_path / "nothing.jsonl")
