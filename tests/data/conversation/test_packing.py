"""Packed rows: what stands where, and that a two-stage model lets nothing through between their conversations."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aoede.data.conversation import ConversationProcessor, TurnText, fill_rows, packed
from aoede.models import TwoStageConfig, TwoStageModel

from .talks import character_tokenizer, turn


def spoken(*columns):
    return [list(level) for level in zip(*columns, strict=True)]


def talk(text, *frames, context=()):
    """A conversation of one trained turn, behind context turns."""
    before = [turn("bob", "b", codes=spoken(frame)) for frame in context]
    mask = [False] * len(before) + [True]
    return {"messages": [*before, turn("ann", text, codes=spoken(*frames))], "training_mask": mask}


TALKS = [
    talk("abc", (1, 2, 3), (4, 5, 6)),
    talk("d", (7, 8, 9), context=[(2, 2, 2)]),
    talk("ef", (3, 1, 4), (1, 5, 9), (2, 6, 5)),
    talk("g", (9, 9, 8)),
]


@pytest.fixture(scope="module")
def processor():
    return ConversationProcessor(character_tokenizer(), "CMF", [10] * 3, text=TurnText(template="{text}"))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    stage = {
        "model_type": "llama",
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "initializer_range": 0.3,
    }
    config = TwoStageConfig(backbone=stage, depth_decoder=stage, slot_sizes=[10] * 3, text_vocab_size=60)
    return TwoStageModel(config).eval()


def test_rows_are_filled_longest_first_and_keep_the_order_inside():
    assert fill_rows([3, 5, 2, 4], 7) == [[0, 3], [1, 2]]
    assert fill_rows([7, 7], 7) == [[0], [1]]
    with pytest.raises(ValueError, match="conversation 1 has 8 frames, a row takes 7"):
        fill_rows([3, 8], 7)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_every_conversation_stands_in_one_row_and_no_row_is_too_long(lengths):
    rows = fill_rows(lengths, 30)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in row) <= 30 for row in rows)
    assert len(rows) < 2 * sum(lengths) / 30 + 1  # two rows half empty would have been one


def test_positions_begin_again_with_every_conversation_and_with_the_padding(processor):
    batch = packed([processor.encode(one) for one in TALKS[:3]], 14)
    # Of 6, 6 and 6 frames: the longest first, each in the first row with room.
    assert [[item.num_frames for item in row] for row in batch.rows] == [[6, 6], [6]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4, 5] * 2, [0, 1, 2, 3, 4, 5] * 2]
    assert batch["attention_mask"].any(-1).sum(-1).tolist() == [12, 6]
    assert (batch["labels"][1, 6:] == -100).all()
    for row, number in ((0, 0), (1, 2)):
        assert torch.equal(batch["input_ids"][row, :6], processor.encode(TALKS[number]).frames)


def test_losses_of_packed_rows_are_those_of_the_conversations_one_by_one(processor, model):
    batch = processor.pack(TALKS, 30)
    assert batch["input_ids"].shape[0] == 1
    out = model(**batch)
    singles = [model(**processor([one])) for one in TALKS]
    counts = torch.tensor([float(processor.encode(one).num_trained) for one in TALKS])
    for name in ("backbone_loss", "depth_loss"):
        each = torch.stack([getattr(single, name) for single in singles])
        torch.testing.assert_close(getattr(out, name), (each * counts).sum() / counts.sum(), rtol=1e-5, atol=1e-6)


def test_nothing_leaks_from_one_conversation_of_a_row_into_another(processor, model):
    first, other = TALKS[0], talk("zz", (8, 0, 1), (0, 7, 7))
    one, two = (processor.pack([front, *TALKS[1:]], 30) for front in (first, other))
    # The rows' orders are alike, because the lengths are but for one text frame.
    place = one["position_ids"][0].tolist().index(0, 1)
    shift = place - two["position_ids"][0].tolist().index(0, 1)
    assert shift == 1
    after = [batch["input_ids"][:, at:] for batch, at in ((one, place), (two, place - shift))]
    assert torch.equal(*after)
    logits = [model(**batch).backbone_logits[:, at:] for batch, at in ((one, place), (two, place - shift))]
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-5, atol=1e-5)
    joined = [{key: value for key, value in batch.items() if key != "position_ids"} for batch in (one, two)]
    leaking = [model(**batch).backbone_logits[:, at:] for batch, at in zip(joined, (place, place - shift), strict=True)]
    assert (leaking[0] - leaking[1]).abs().max() > 0.01  # without positions it would


def test_left_padded_batches_give_the_losses_of_the_conversations_one_by_one(processor, model):
    out = model(**processor(TALKS))
    counts = torch.tensor([float(processor.encode(one).num_trained) for one in TALKS])
    each = torch.stack([model(**processor([one])).backbone_loss for one in TALKS])
    torch.testing.assert_close(out.backbone_loss, (each * counts).sum() / counts.sum(), rtol=1e-5, atol=1e-6)


def test_a_conversation_longer_than_a_row_loses_turns_or_is_refused(processor):
    long = talk("a", (1, 2, 3), context=[(1, 1, 1), (2, 2, 2)])
    batch = processor.pack([long, TALKS[3]], 6)
    assert [[item.dropped_turns for item in row] for row in batch.rows] == [[1], [0]]
    assert "the oldest 1 of 3 turns (3 frames) are dropped to fit 6 frames" in batch.notes[0]
    with pytest.raises(ValueError, match="the last turn alone takes 6 frames, max_frames is 5"):
        processor.pack([TALKS[0]], 5)
    with pytest.raises(ValueError, match="no conversations to make a batch of"):
        packed([], 5)
