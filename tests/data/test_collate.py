import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aoede.data.codes import CodedClip
from aoede.data.collate import LeftOut, TokenBatches, collate, speech_examples, textless
from aoede.tokens import CodecVocabulary, FrameLayout

VOCABULARY = CodecVocabulary.extend(10, FrameLayout("CMM"), (4, 4))  # open 10, close 11, C 12..15, M 16..19


def clip(name, coarse, medium, text="ab"):
    codes = [np.array(coarse, dtype=np.uint16), np.array(medium, dtype=np.uint16)]
    return CodedClip(
        id=name, text=text, speaker="ann", language="en", source="s", split="train", seconds=0.5, codes=codes
    )


def tokenize(prompt):
    return [ord(c) - ord("a") for c in prompt]


def test_an_example_is_prompt_open_frames_close():
    left_out = LeftOut()
    (example,) = speech_examples([(clip("x", [0, 3], [1, 2, 3, 0]), "ab")], tokenize, VOCABULARY, left_out)
    assert example.ids.tolist() == [0, 1, 10, 12, 17, 18, 15, 19, 16, 11]
    assert (example.num_text, example.num_codes, example.text_stride) == (2, 6, 3.0)
    assert str(left_out) == "nothing left out"


def test_a_batch_is_padded_on_the_right_and_trains_the_audio_only():
    pairs = [(clip("x", [0], [1, 2]), "ab"), (clip("y", [0, 1], [1, 2, 3, 0]), "c")]
    batch = collate(speech_examples(pairs, tokenize, VOCABULARY, LeftOut()), pad_id=9)
    assert batch["input_ids"].tolist() == [
        [0, 1, 10, 12, 17, 18, 11, 9, 9],
        [2, 10, 12, 17, 18, 13, 19, 16, 11],
    ]
    assert batch["labels"].tolist() == [
        [-100, -100, 10, 12, 17, 18, 11, -100, -100],
        [-100, 10, 12, 17, 18, 13, 19, 16, 11],
    ]
    assert batch["attention_mask"].tolist() == [[1] * 7 + [0] * 2, [1] * 9]
    assert batch["text_stride"].tolist() == [1.5, 6.0]


def test_text_is_trained_where_asked_and_strides_can_be_given():
    examples = speech_examples([(clip("x", [0], [1, 2]), "ab")], tokenize, VOCABULARY, LeftOut())
    batch = collate(examples, train_text=True, strides=[2.0])
    assert torch.equal(batch["labels"], batch["input_ids"])
    assert batch["text_stride"].tolist() == [2.0]


def test_a_speaker_can_be_taken_out_of_a_prompt_but_nothing_else_goes_with_it():
    (example,) = speech_examples([(clip("x", [0], [1, 2]), "aba")], tokenize, VOCABULARY, LeftOut())
    assert example.without(1).ids.tolist() == [0, 0, 10, 12, 17, 18, 11]
    assert example.without(1).num_text == 2
    assert example.without(7) is example
    (only,) = speech_examples([(clip("x", [0], [1, 2]), "a")], tokenize, VOCABULARY, LeftOut())
    assert only.without(0) is only


def test_a_text_can_be_taken_out_of_a_prompt_and_its_speakers_stay():
    (example,) = speech_examples([(clip("x", [0], [1, 2]), "bab")], tokenize, VOCABULARY, LeftOut())
    assert example.ids.tolist() == [1, 0, 1, 10, 12, 17, 18, 11]
    found = example.without_text({0}, pad_id=9)
    assert (found.ids.tolist(), found.num_text, found.text_stride) == ([0, 10, 12, 17, 18, 11], 1, 3.0)
    nobody = example.without_text({5}, pad_id=9)
    assert (nobody.ids.tolist(), nobody.num_text) == ([9, 10, 12, 17, 18, 11], 1)
    assert textless([7, 5, 8, 6], {5, 6}, 9) == [5, 6]


def test_what_is_not_used_is_named_with_its_reason():
    left_out = LeftOut()
    pairs = [
        (clip("none", [], []), "ab"),
        (clip("mute", [0], [1, 2]), ""),
        (clip("long", [0, 1], [1, 2, 3, 0]), "ab"),
        (clip("kept", [0], [1, 2]), "ab"),
    ]
    examples = speech_examples(pairs, tokenize, VOCABULARY, left_out, max_ids=8)
    assert [example.id for example in examples] == ["kept"]
    assert left_out.count == 3
    assert str(left_out) == (
        "left out 3: 1 without frames (none); 1 whose prompt has no text ids (mute); 1 longer than max_ids=8 (long)"
    )


def test_codes_or_text_of_another_vocabulary_are_refused_by_clip():
    with pytest.raises(ValueError, match=r"clip x: code 4 .*level C"):
        speech_examples([(clip("x", [4], [1, 2]), "a")], tokenize, VOCABULARY, LeftOut())
    with pytest.raises(ValueError, match="clip x: text id 10 is no text row"):
        speech_examples([(clip("x", [0], [1, 2]), "k")], tokenize, VOCABULARY, LeftOut())


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=80),
    seed=st.integers(0, 99),
    budget=st.integers(60, 200),
)
def test_every_epoch_holds_every_example_once_and_keeps_the_budget(lengths, seed, budget):
    batches = TokenBatches(lengths, budget, seed=seed)
    for number in range(2):
        epoch = batches.epoch(number)
        assert sorted(np.concatenate(epoch).tolist()) == list(range(len(lengths)))
        assert all(len(batch) and len(batch) * max(lengths[i] for i in batch) <= budget for batch in epoch)


def test_a_batch_is_a_pure_function_of_seed_and_number():
    lengths = np.random.default_rng(0).integers(5, 50, 60).tolist()
    straight = TokenBatches(lengths, 200, seed=1)
    all_batches = [straight.batch(n).tolist() for n in range(40)]
    assert TokenBatches(lengths, 200, seed=1).batch(37).tolist() == all_batches[37]
    jumping = TokenBatches(lengths, 200, seed=1)
    assert [jumping.batch(n).tolist() for n in (30, 2, 39, 0)] == [all_batches[n] for n in (30, 2, 39, 0)]
    assert TokenBatches(lengths, 200, seed=2).batch(0).tolist() != all_batches[0]


def test_neighbours_in_a_batch_are_about_as_long_as_each_other():
    lengths = np.random.default_rng(0).integers(50, 500, 2000)
    batches = TokenBatches(lengths, 4000).epoch(0)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert lengths.sum() / padded > 0.9


def test_an_example_beyond_the_budget_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"300 ids, a batch takes 200.*max_ids"):
        TokenBatches([10, 300], 200)
    with pytest.raises(ValueError, match="no example"):
        TokenBatches([], 200)
