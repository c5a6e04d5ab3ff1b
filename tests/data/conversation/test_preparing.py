"""Codes of conversations ahead of training: each sound once, resumed after a kill, nothing lost in silence."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from aoede.codec import Snac
from aoede.data import CodeFile, CodesInfo, describe_path, load_codes, load_manifest, prepare
from aoede.data.conversation import (
    ConversationDataset,
    ConversationProcessor,
    TurnText,
    load_conversations,
    prepare_conversations,
)

from ..conftest import tiny_config
from .talks import character_tokenizer, frames_of, tone, turn, write


@pytest.fixture
def talks(tmp_path):
    """Three conversations over four sounds; the second shares one with the first."""
    for number in range(4):
        tone(tmp_path / f"{number}.wav", seconds=0.01 * (number + 1), hertz=300.0 + 100 * number)
    rows = [
        {"id": "x", "split": "train", "messages": [turn("ann", "ab", url="0.wav"), turn("ann", "c", url="1.wav")]},
        {"id": "y", "split": "train", "messages": [turn("ann", "c", url="1.wav"), turn("bob", "d", url="2.wav")]},
        {"id": "z", "split": "dev", "messages": [turn("bob", "e", url="3.wav"), turn("ann", "f")]},
    ]
    rows[1]["training_mask"] = [False, True]
    return write(tmp_path / "t.jsonl", *rows)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def maker(of, **options):
    """A processor for the codes of a codec."""
    sizes = [of.config.codebook_size] * 7
    text = TurnText(template="{text}")
    return ConversationProcessor(
        character_tokenizer(), "CMFFMFF", sizes, text=text, codec_fingerprint=of.fingerprint(), **options
    )


def test_each_sound_is_encoded_once_and_the_frames_are_those_of_encoding_on_the_way(talks, codec, tmp_path):
    summary = prepare_conversations(talks, codec, tmp_path / "out", shard_clips=3)
    assert (summary.conversations, summary.turns, summary.trained_turns, summary.sounds) == (3, 6, 4, 4)
    assert summary.seconds == pytest.approx(0.01 + 0.02 + 0.02 + 0.03 + 0.04)
    assert summary.rejected == () and summary.exit_code == 0
    assert sorted(clip.id for clip in load_codes(tmp_path / "out" / "codes")) == [f"{n}.wav" for n in range(4)]
    ahead = [maker(codec).encode(one) for one in load_conversations(tmp_path / "out")]
    now = [maker(codec, codec=codec).encode(one) for one in load_conversations(talks)]
    for one, other in zip(ahead, now, strict=True):
        assert torch.equal(one.frames, other.frames) and torch.equal(one.labels, other.labels)


def test_a_second_run_changes_no_byte_and_another_file_or_codec_is_refused(talks, codec, tmp_path):
    out = tmp_path / "out"
    prepare_conversations(talks, codec, out)
    before = contents(out)
    prepare_conversations(talks, codec, out)
    assert contents(out) == before
    torch.manual_seed(8)
    with pytest.raises(ValueError, match="was begun with another codec"):
        prepare_conversations(talks, Snac(tiny_config()).eval(), out)
    talks.write_text(talks.read_text().replace('"ab"', '"ba"'))
    with pytest.raises(ValueError, match="was begun with other conversations: conversations was"):
        prepare_conversations(talks, codec, out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ValueError, match="holds something that this command did not make"):
        prepare_conversations(talks, codec, tmp_path / "full")


KILLED = """
import os, signal, sys
import pyarrow.parquet, torch, tqdm  # here, and not in every fork
from aoede.codec import load_codec
from aoede.data.conversation import prepare_conversations

path, name, place = sys.argv[1:]
torch.set_num_threads(1)
codec = load_codec(name)

def run(out, files_before_the_kill):
    if os.fork() == 0:
        replace, left = os.replace, [files_before_the_kill]
        def replace_or_die(source, target):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            replace(source, target)
        os.replace = replace_or_die
        prepare_conversations(path, codec, os.path.join(place, out), shard_clips=2, workers=1)
        os._exit(0)
    return os.wait()[1]

for point in (0, 5, 8):
    assert run(f"killed{point}", point) == signal.SIGKILL
    assert run(f"killed{point}", -1) == 0
assert run("whole", 9) == 0
"""


def test_a_run_killed_at_any_file_and_started_again_ends_at_the_same_bytes(talks, codec_folder, tmp_path):
    rows = [json.loads(line) for line in talks.read_text().splitlines()]
    rows[2]["messages"].append(turn("bob", "g", codes=frames_of(2)))
    write(talks, *rows)
    command = [sys.executable, "-c", KILLED, str(talks), str(codec_folder), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Nine files: the plans of the folder and of codes/, two shards and a report there; a shard of given codes and its
    # report; the conversations and the report. Killed before the first, before the given codes, before the last.
    whole = contents(tmp_path / "whole")
    assert len(whole) == 9
    for point in (0, 5, 8):
        assert contents(tmp_path / f"killed{point}") == whole, point


def test_codes_that_are_there_are_copied_and_not_encoded(talks, codec, tmp_path):
    tone(tmp_path / "p.wav")
    (tmp_path / "m.jsonl").write_text('{"audio": "p.wav", "text": "a", "id": "one"}\n')
    prepare(load_manifest(tmp_path / "m.jsonl"), codec, tmp_path / "prepared")
    levels = [np.array(level, np.uint16) for level in frames_of(2)]
    CodeFile(info=CodesInfo.of(codec), num_samples=150, codes=levels).save(tmp_path / "a.snac")
    messages = [
        turn("ann", "a", prepared="prepared", id="one"),
        turn("ann", "b", codes=frames_of(3)),
        turn("ann", "c", path="a.snac"),
        turn("ann", "d", prepared="prepared", id="one"),
    ]
    path = write(tmp_path / "u.jsonl", {"messages": messages})
    summary = prepare_conversations(path, codec, tmp_path / "out", shard_clips=2)
    assert (summary.turns, summary.sounds) == (4, 3)
    assert not (tmp_path / "out" / "codes").exists()
    given = {clip.id: [level.tolist() for level in clip.codes] for clip in load_codes(tmp_path / "out" / "given")}
    assert given["0.1"] == frames_of(3) and given["a.snac"] == frames_of(2)
    assert set(given) == {"prepared/one", "0.1", "a.snac"}
    (tmp_path / "a.snac").unlink()  # the folder is whole without what it was made of
    (one,) = load_conversations(tmp_path / "out")
    assert maker(codec).encode(one).num_trained == sum(n + 1 for n in (5, 3, 2, 5))


def test_sounds_of_one_name_are_kept_apart(codec, tmp_path):
    tone(tmp_path / "p.wav")
    (tmp_path / "m.jsonl").write_text('{"audio": "p.wav", "text": "a", "id": "x.snac"}\n')
    prepare(load_manifest(tmp_path / "m.jsonl"), codec, tmp_path / "a")
    levels = [np.array(level, np.uint16) for level in frames_of(2)]
    CodeFile(info=CodesInfo.of(codec), num_samples=150, codes=levels).save(tmp_path / "a" / "x.snac")
    messages = [turn("0", "a", path="a/x.snac"), turn("0", "b", prepared="a", id="x.snac")]
    prepare_conversations(write(tmp_path / "t.jsonl", {"messages": messages}), codec, tmp_path / "out")
    (one,) = load_conversations(tmp_path / "out")
    assert [message.sound.id for message in one.messages] == ["a/x.snac", "a/x.snac~"]
    assert maker(codec).encode(one).turns == ((1, 3), (1, 6))


def test_what_cannot_be_used_is_listed_and_the_rest_goes_on(talks, codec, tmp_path):
    (tmp_path / "2.wav").write_bytes(b"no sound at all, but long enough to be looked at")
    rows = [json.loads(line) for line in talks.read_text().splitlines()]
    rows.append({"id": "w", "messages": [turn("ann", "a", codes=[[1], [2, 3], [4, 5, 6, 999]])]})
    path = write(tmp_path / "u.jsonl", *rows, "{")
    with pytest.raises(ValueError, match=r"u.jsonl line 5: not JSON"):
        prepare_conversations(path, codec, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    summary = prepare_conversations(path, codec, tmp_path / "out", skip_bad=True)
    assert summary.exit_code == 3 and summary.conversations == 2
    bad_line, bad_sound, bad_codes = summary.rejected
    assert bad_line.startswith(f"{path} line 5: not JSON")
    assert bad_sound.startswith(f"{path} line 2: messages[1]: {tmp_path / '2.wav'}")
    assert bad_codes == f"{path} line 4: messages[0]: code 999 in level 2 is outside 0..299"
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [row["id"] for row in report["rejected"]] == ["", "y", "w"]
    assert [one.id for one in load_conversations(tmp_path / "out")] == ["x", "z"]
    assert "3 left out" in str(summary) and "line 5: not JSON" in str(summary)


def test_nothing_usable_is_an_error(codec, tmp_path):
    path = write(tmp_path / "u.jsonl", {"messages": [turn("ann", "a", codes=[[1], [2]])]})
    with pytest.raises(
        ValueError, match=r"no conversation can be used; the first: .*2 levels of codes; this codec has 3"
    ):
        prepare_conversations(path, codec, tmp_path / "out")


def test_a_data_set_gives_frames_by_number_and_tells_what_it_left_out(talks, codec, tmp_path):
    prepare_conversations(talks, codec, tmp_path / "out")
    everything = ConversationDataset(tmp_path / "out", maker(codec))
    assert [everything.name(i) for i in range(len(everything))] == ["x", "y", "z"]
    direct = [maker(codec).encode(one) for one in load_conversations(tmp_path / "out")]
    for index, one in enumerate(direct):
        assert torch.equal(everything[index]["input_ids"], one.frames)
        assert torch.equal(everything[index]["labels"], one.labels)
    assert everything.lengths == [one.num_frames for one in direct]
    train = ConversationDataset(tmp_path / "out", maker(codec), split="train", max_frames=12)
    # x: 2 + 3 + 1 and 1 + 5 + 1 frames: the second turn alone; y: 1 + 5 + 1 and 1 + 8 + 1: the second too.
    assert train.lengths == [7, 10]
    assert train.notes == [
        "x: the oldest 1 of 2 turns are dropped, 1 of them trained",
        "y: the oldest 1 of 2 turns are dropped",
    ]
    short = ConversationDataset(tmp_path / "out", maker(codec, max_frames=9), trained_only=True)
    assert short.lengths == [7]
    assert short.left_out.reasons == {
        "whose last turn is longer than max_frames=9": ["y"],
        "whose trained turns do not fit": ["z"],
    }
    with pytest.raises(ValueError, match="no conversations of split test to train on"):
        ConversationDataset(tmp_path / "out", maker(codec), split="test")


def test_a_data_set_is_collated_and_packed(talks, codec, tmp_path):
    prepare_conversations(talks, codec, tmp_path / "out")
    data = ConversationDataset(tmp_path / "out", maker(codec))
    batch = data.processor.collate([data[0], data[1]])
    assert batch["input_ids"].shape == (2, max(data.lengths[:2]), 8)
    rows = data.rows(40)
    row = data.packed(rows[:1], 40)
    assert [item.num_frames for item in row.rows[0]] == [data.lengths[i] for i in rows[0]]
    loader = torch.utils.data.DataLoader(data, batch_size=3, collate_fn=data.processor.collate)
    (whole,) = loader
    assert whole["labels"].shape == (3, max(data.lengths), 7)


def test_a_conversation_with_a_frame_that_says_stop_is_left_out_of_a_data_set(codec, tmp_path):
    rows = [
        {"id": n, "messages": [turn("a", "b", codes=codes)]}
        for n, codes in (("x", [[0], [0, 0], [0] * 4]), ("y", frames_of(1)))
    ]
    prepare_conversations(write(tmp_path / "t.jsonl", *rows), codec, tmp_path / "out")
    data = ConversationDataset(tmp_path / "out", maker(codec))
    assert [data.name(i) for i in range(len(data))] == ["y"]
    assert data.left_out.reasons == {"with a frame of audio that says stop in this model": ["x"]}
    row = maker(codec, stop_frame=[300, -1, -1, -1, -1, -1, -1])
    assert len(ConversationDataset(tmp_path / "out", row)) == 2


def test_a_data_set_encodes_nothing(talks, codec):
    with pytest.raises(ValueError, match=r"messages\[0\]: .*0.wav is not encoded, and a data set encodes nothing: run"):
        ConversationDataset(talks, maker(codec, codec=codec))


def test_a_folder_of_conversations_is_described_and_is_no_folder_of_clips(talks, codec, tmp_path):
    prepare_conversations(talks, codec, tmp_path / "out")
    words = describe_path(tmp_path / "out")
    assert "prepared conversations" in words and "3, 0 rejected" in words and "6, 4 trained" in words
    with pytest.raises(ValueError, match="out: prepared conversations; their clips are in"):
        load_codes(tmp_path / "out")


def test_a_folder_that_another_run_holds_is_refused(talks, codec, tmp_path):
    from aoede.data.holding import holding

    (tmp_path / "out").mkdir()
    with (
        holding(tmp_path / "out", "aoede prepare"),
        pytest.raises(ValueError, match="another `aoede prepare` is writing there"),
    ):
        prepare_conversations(talks, codec, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []
