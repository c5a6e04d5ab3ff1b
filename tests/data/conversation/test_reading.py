"""Files of conversations: what is read, and what is said of every mistake, with its line and field."""

import json

import pytest

from aoede.data import load_manifest, prepare
from aoede.data.conversation import (
    ConversationError,
    is_conversation_file,
    load_conversations,
    parse_conversation,
    save_conversations,
    scan_conversations,
)

from .talks import frames_of, tone, turn, write


@pytest.fixture
def talk(tmp_path):
    """A conversation of two turns, the second trained, whose sounds lie beside its file."""
    tone(tmp_path / "a.wav"), tone(tmp_path / "b b.wav")
    messages = [turn("ann", "hello", url="a.wav"), turn("bob", "hi", path="b b.wav")]
    return {"messages": messages, "training_mask": [False, True]}


def test_a_line_of_the_public_format_becomes_turns_with_absolute_paths(talk, tmp_path):
    (one,) = load_conversations(write(tmp_path / "t.jsonl", talk))
    assert [(m.role, m.text) for m in one.messages] == [("ann", "hello"), ("bob", "hi")]
    assert [m.sound.path for m in one.messages] == [str(tmp_path / "a.wav"), str(tmp_path / "b b.wav")]
    assert one.training_mask == (False, True)
    assert one.where == f"{tmp_path / 't.jsonl'} line 1"


def test_file_urls_and_blank_lines_and_further_fields_are_read(talk, tmp_path):
    talk["messages"][1]["content"][1] = {"type": "audio", "url": f"file://{tmp_path}/b%20b.wav"}
    path = write(tmp_path / "t.jsonl", "", {"id": "x", "split": "train", "language": "en", **talk})
    (one,) = load_conversations(path)
    assert (one.id, one.split, one.language) == ("x", "train", "en")
    assert one.messages[1].sound.path == str(tmp_path / "b b.wav")
    assert one.where.endswith("line 2")


def test_without_a_mask_every_turn_with_text_and_audio_is_trained(talk, tmp_path):
    talk["messages"] += [turn("ann", path="a.wav"), turn("ann", "later")]
    del talk["training_mask"]
    (one,) = load_conversations(write(tmp_path / "t.jsonl", talk))
    assert one.training_mask == (True, True, False, False)


def test_inline_codes_are_kept_level_by_level():
    one = parse_conversation([turn("ann", "hello", codes=frames_of(2))], "here")
    assert [level.tolist() for level in one.messages[0].sound.codes] == frames_of(2)
    assert one.messages[0].sound.codes[0].dtype == "uint16"


def test_clips_of_a_prepared_folder_are_found_by_id(codec, tmp_path):
    tone(tmp_path / "a.wav")
    (tmp_path / "m.jsonl").write_text('{"audio": "a.wav", "text": "a", "id": "one"}\n')
    prepare(load_manifest(tmp_path / "m.jsonl"), codec, tmp_path / "codes")
    good = {"messages": [turn("ann", "a", prepared="codes", id="one")]}
    bad = {"messages": [turn("ann", "a", prepared="codes", id="two")]}
    worse = {"messages": [turn("ann", "a", prepared="nowhere", id="one")]}
    scan = scan_conversations(write(tmp_path / "t.jsonl", good, bad, worse))
    assert scan.conversations[0].messages[0].sound.id == "one"
    assert [(m.field, m.reason.split(":")[0]) for m in scan.mistakes] == [
        ("messages[0].content[1].id", "missing audio"),
        ("messages[0].content[1].prepared", f"{tmp_path / 'nowhere'}"),
    ]


TEXT = {"type": "text", "text": "a"}
AUDIO = {"type": "audio", "codes": frames_of(1)}


def said(*content, role="ann", **more):
    return {"messages": [{"role": role, "content": list(content)}], **more}


MISTAKES = {
    "not json": ('{"messages": [', "", "not JSON: Expecting value at character 16"),
    "not an object": ('"hello"', "", "a JSON object with 'messages' is expected, not text"),
    "doubled key": ('{"messages": [], "messages": []}', "messages", "this key stands twice in one object"),
    "unknown key": (said(TEXT, training_msk=[1]), "training_msk", "unknown key; did you mean 'training_mask'?"),
    "no messages": ({"id": "x"}, "messages", "a list of turns is expected, not nothing"),
    "empty messages": ({"messages": []}, "messages", "the list is empty; a conversation has at least one turn"),
    "turn is text": ({"messages": ["hi"]}, "messages[0]", "an object with 'role' and 'content' is expected, not text"),
    "no role": (said(TEXT, role=""), "messages[0].role", '\'\' names nobody; write who speaks, such as "0" or "ann"'),
    "unknown turn key": (
        {"messages": [{"role": "a", "content": [TEXT], "name": "x"}]},
        "messages[0].name",
        "unknown key; known keys: role, content",
    ),
    "no content": (
        {"messages": [{"role": "a"}]},
        "messages[0].content",
        "a list of text and audio is expected, not nothing",
    ),
    "empty turn": (said(), "messages[0].content", "an empty turn, without text and without audio; leave the turn out"),
    "unknown type": (
        said({"type": "txt", "text": "a"}),
        "messages[0].content[0].type",
        "unknown content type 'txt'; did you mean 'text'?",
    ),
    "image": (
        said({"type": "image"}),
        "messages[0].content[0].type",
        "unknown content type 'image'; it is 'text' or 'audio'",
    ),
    "no type": (said({"text": "a"}), "messages[0].content[0].type", "missing; it is 'text' or 'audio'"),
    "empty text": (
        said({"type": "text", "text": " "}),
        "messages[0].content[0].text",
        "empty; leave the entry out where nobody knows what is said",
    ),
    "number as text": (
        said({"type": "text", "text": 3}),
        "messages[0].content[0].text",
        "3 is a number; text is expected",
    ),
    "key of the other type": (
        said({"type": "text", "text": "a", "url": "a.wav"}),
        "messages[0].content[0].url",
        "unknown key; known keys: type, text",
    ),
    "audio of nothing": (
        said(TEXT, {"type": "audio"}),
        "messages[0].content[1]",
        "missing audio: give its 'url' or 'path', its 'codes', or 'prepared' and 'id'",
    ),
    "audio of two": (
        said(TEXT, {"type": "audio", "url": "a.wav", "codes": [[1]]}),
        "messages[0].content[1]",
        "url and codes at once; one of them says where the audio is",
    ),
    "audio elsewhere": (
        said(TEXT, {"type": "audio", "url": "https://example.org/a.wav"}),
        "messages[0].content[1].url",
        "https://example.org/a.wav is not on this machine; download it and write its path",
    ),
    "text behind audio": (
        said(AUDIO, TEXT),
        "messages[0].content[1]",
        "text behind the audio of its turn; write what is said before how it sounds",
    ),
    "two audios": (
        said(TEXT, AUDIO, AUDIO),
        "messages[0].content[2]",
        "a second audio in one turn; give it a turn of its own",
    ),
    "id alone": (
        said(TEXT, {**AUDIO, "id": "x"}),
        "messages[0].content[1].id",
        "goes with 'prepared', the folder of codes in which it names a clip",
    ),
    "flat codes": (
        said(TEXT, {"type": "audio", "codes": [1, 2]}),
        "messages[0].content[1].codes[0]",
        "a list of codes is expected, at least one frame long",
    ),
    "codes of halves": (
        said(TEXT, {"type": "audio", "codes": [[1, 2.5]]}),
        "messages[0].content[1].codes[0]",
        "2.5 is no code; codes are whole numbers",
    ),
    "negative code": (
        said(TEXT, {"type": "audio", "codes": [[1], [-1]]}),
        "messages[0].content[1].codes[1]",
        "code -1 is outside 0..65535",
    ),
    "short mask": (said(TEXT, AUDIO, training_mask=[]), "training_mask", "0 entries for 1 turn; it has one a turn"),
    "mask of words": (said(TEXT, AUDIO, training_mask=["yes"]), "training_mask[0]", "'yes' is neither true nor false"),
    "trained without audio": (
        said(TEXT, training_mask=[True]),
        "training_mask[0]",
        "true, but that turn has no audio to train on; give messages[0] its audio, or write false",
    ),
    "trained without text": (
        said(AUDIO, training_mask=[1]),
        "training_mask[0]",
        "true, but that turn has no text to train on; give messages[0] its text, or write false",
    ),
    "split as list": (said(TEXT, split=["a"]), "split", "['a'] is a list; text is expected"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_is_told_with_line_field_and_reason(name, tmp_path):
    row, field, reason = MISTAKES[name]
    path = write(tmp_path / "t.jsonl", said(TEXT), row)
    with pytest.raises(ConversationError) as caught:
        load_conversations(path)
    assert (caught.value.field, caught.value.reason) == (field, reason)
    assert str(caught.value) == f"{path} line 2: {field}: {reason}" if field else f"{path} line 2: {reason}"


def test_a_missing_file_is_told_with_the_place_where_it_was_looked_for(tmp_path):
    path = write(tmp_path / "t.jsonl", said(TEXT, {"type": "audio", "url": "sub/a.wav"}))
    with pytest.raises(ConversationError, match=rf"url: missing audio: {tmp_path}/sub/a.wav: no such file \(relative"):
        load_conversations(path)


def test_bytes_that_are_not_utf8_are_told(tmp_path):
    (tmp_path / "t.jsonl").write_bytes(b'{"messages": "\xff"}\n')
    with pytest.raises(ConversationError, match="line 1: byte 15 is not UTF-8"):
        load_conversations(tmp_path / "t.jsonl")


def test_the_first_of_several_mistakes_is_raised_and_the_others_are_counted(tmp_path):
    path = write(tmp_path / "t.jsonl", said(TEXT), "x", said(TEXT), "y", "z")
    with pytest.raises(ConversationError, match=r"line 2: not JSON.*\(2 more bad lines; --skip-bad leaves them out"):
        load_conversations(path)


def test_bad_lines_are_skipped_only_on_demand_and_never_in_silence(tmp_path):
    path = write(tmp_path / "t.jsonl", said(TEXT), "x", said(TEXT, id="k"), said(TEXT, id="k"))
    with pytest.warns(
        UserWarning, match=r"2 bad lines are left out:\n.*line 2: not JSON(.|\n)*line 4: id: 'k' was used"
    ):
        found = load_conversations(path, skip_bad=True)
    assert [one.where[-6:] for one in found] == ["line 1", "line 3"]


def test_a_file_without_a_good_line_is_an_error_even_then(tmp_path):
    with pytest.raises(ValueError, match=r"no conversations; all 1 lines are bad, the first: .*line 1: not JSON"):
        load_conversations(write(tmp_path / "t.jsonl", "x"), skip_bad=True)
    with pytest.raises(ValueError, match=r"no conversations$"):
        load_conversations(write(tmp_path / "t.jsonl"))
    with pytest.raises(ValueError, match="no such file of conversations"):
        load_conversations(tmp_path / "none.jsonl")


def test_what_is_written_is_read_back_from_another_folder(talk, tmp_path):
    talk["messages"].append(turn("ann", "codes", codes=frames_of(3)))
    talk["training_mask"].append(True)
    (one,) = load_conversations(write(tmp_path / "t.jsonl", {"id": "x", "split": "dev", **talk}))
    (tmp_path / "sub").mkdir()
    save_conversations(tmp_path / "sub" / "u.jsonl", [one])
    assert json.loads((tmp_path / "sub" / "u.jsonl").read_text())["messages"][0]["content"][1]["path"] == "../a.wav"
    (again,) = load_conversations(tmp_path / "sub" / "u.jsonl")
    assert again.to_dict() == one.to_dict()


def test_a_file_of_conversations_is_told_from_a_manifest(tmp_path):
    assert is_conversation_file(write(tmp_path / "t.jsonl", said(TEXT)))
    assert not is_conversation_file(write(tmp_path / "m.jsonl", {"audio": "a.wav", "text": "a"}))
    assert not is_conversation_file(tmp_path / "none.jsonl")
