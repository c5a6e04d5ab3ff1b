"""Conversations from single utterances: context of the same speaker, splits apart, the same draw for the same seed."""

import json

import pytest

from aoede.data import load_manifest, prepare
from aoede.data.conversation import build_conversations, load_conversations, save_conversations

from .talks import tone


@pytest.fixture
def manifest(tmp_path):
    """Seven utterances of ann (train) and two (dev), three of bob, one without text and one without speaker."""
    rows = [("ann", "train")] * 7 + [("ann", "dev")] * 2 + [("bob", "train")] * 3
    lines = []
    for number, (speaker, split) in enumerate(rows):
        tone(tmp_path / f"{number}.wav", seconds=0.01)
        lines.append({"audio": f"{number}.wav", "text": f"t {number}", "speaker": speaker, "split": split})
    lines.append({"audio": "0.wav", "text": "", "speaker": "ann", "split": "train", "id": "mute"})
    lines.append({"audio": "0.wav", "text": "a", "speaker": "", "split": "train", "id": "nobody"})
    lines.append({"audio": "gone.wav", "text": "a", "speaker": "ann", "split": "train"})
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def texts(one):
    return [message.text for message in one.messages]


def test_every_utterance_is_trained_once_behind_earlier_ones_of_its_speaker_and_split(manifest):
    built = build_conversations(manifest, context=2)
    assert [texts(one)[-1] for one in built.conversations] == [f"t {n}" for n in range(12)]
    for one in built.conversations:
        assert len({message.role for message in one.messages}) == 1
        assert one.training_mask == (False,) * (len(one.messages) - 1) + (True,)
        assert one.id == f"{texts(one)[-1][2:]}.wav"
    of = {"train": set(range(7)) | {9, 10, 11}, "dev": {7, 8}}
    for one in built.conversations:
        assert {int(text[2:]) for text in texts(one)} <= of[one.split]
    lengths = sorted(
        len(one.messages) for one in built.conversations if one.messages[0].role == "ann" and one.split == "train"
    )
    assert lengths == [1, 2, 3, 3, 3, 3, 3]
    assert built.speakers == {"train": 2, "dev": 1}
    assert built.left_out.reasons == {
        "without text": ["mute"],
        "without speaker": ["nobody"],
        "whose sound file is missing": ["gone.wav"],
    }
    assert str(built).splitlines()[0] == "12 conversations, 27 turns: 12 trained, 15 context; 3 of one turn"


def test_context_turns_are_the_ones_that_came_just_before_in_the_speaker_s_order(manifest):
    built = build_conversations(manifest, context=2, order="manifest", speakers=["bob"])
    assert [texts(one) for one in built.conversations] == [["t 9"], ["t 9", "t 10"], ["t 9", "t 10", "t 11"]]
    drawn = {
        texts(one)[-1]: texts(one)[:-1]
        for one in build_conversations(manifest, context=6, speakers=["ann"]).conversations
    }
    longest = max(drawn, key=lambda last: len(drawn[last]))
    order = [*drawn[longest], longest]
    assert sorted(order) == [f"t {n}" for n in range(7)] and order != sorted(order)
    for place, last in enumerate(order):
        assert drawn[last] == order[:place]


def test_the_seed_alone_decides_and_other_clips_leave_the_order_alone(manifest):
    def orders(**options):
        built = build_conversations(manifest, context=9, **options)
        return max((texts(one) for one in built.conversations if one.split == "train"), key=len)

    assert orders(seed=1) == orders(seed=1)
    assert orders(seed=1) != orders(seed=2)
    before = orders(seed=1)
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join(line for line in lines if '"3.wav"' not in line) + "\n")
    assert orders(seed=1) == [text for text in before if text != "t 3"]


def test_trained_all_through_every_utterance_is_read_once(manifest):
    built = build_conversations(manifest, context=2, train="all", splits=["train"])
    assert sorted(len(one.messages) for one in built.conversations) == [1, 3, 3, 3]
    assert all(all(one.training_mask) for one in built.conversations)
    assert sorted(text for one in built.conversations for text in texts(one)) == sorted(
        f"t {n}" for n in {*range(7), 9, 10, 11}
    )


def test_without_context_every_conversation_is_one_turn(manifest):
    built = build_conversations(manifest, context=0, roles="number")
    assert {len(one.messages) for one in built.conversations} == {1}
    assert {one.messages[0].role for one in built.conversations} == {"0"}


def test_a_prepared_folder_gives_turns_that_are_codes_already(manifest, codec, tmp_path):
    prepare([clip for clip in load_manifest(manifest) if clip.speaker], codec, tmp_path / "codes")
    built = build_conversations(tmp_path / "codes", context=1)
    save_conversations(tmp_path / "t.jsonl", built.conversations)
    entry = json.loads((tmp_path / "t.jsonl").read_text().splitlines()[0])["messages"][-1]["content"][1]
    assert entry == {"type": "audio", "prepared": "codes", "id": "0.wav"}
    again = load_conversations(tmp_path / "t.jsonl")
    assert [one.to_dict() for one in again] == [one.to_dict() for one in built.conversations]
    assert built.left_out.reasons == {"without text": ["mute"]}  # what could not be read is in the folder's report


def test_settings_that_are_none_and_sources_without_speakers_are_refused(manifest, tmp_path):
    with pytest.raises(ValueError, match="context is -1; 0 or more"):
        build_conversations(manifest, context=-1)
    with pytest.raises(ValueError, match="train is 'first'; it may be last, all"):
        build_conversations(manifest, context=1, train="first")
    (tmp_path / "n.jsonl").write_text('{"audio": "0.wav", "text": "a"}\n')
    with pytest.raises(ValueError, match=r"no utterance can be used; left out 1: 1 without speaker \(0.wav\)"):
        build_conversations(tmp_path / "n.jsonl", context=1)
