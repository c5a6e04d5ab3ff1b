import numpy as np
import pytest
import torch

from aoede.data.collate import SpeechExample
from aoede.tokens import CodecVocabulary, FrameLayout
from aoede.training.two_stage_data import ContextConfig, RowBatches, UtteranceRows, exact_strides

VOCABULARY = CodecVocabulary.extend(20, FrameLayout("CMM"), [8, 8])
STOP = [8, -1, -1]


def example(number, text, frames, speaker="ann"):
    ids = VOCABULARY.ids_from_frames(torch.tensor([frames]), open=True, close=True)[0].numpy()
    ids = np.concatenate([np.array(text), ids]).astype(np.int32)
    return SpeechExample(id=f"clip{number}", speaker=speaker, ids=ids, num_text=len(text), seconds=1.0)


def examples(count, speakers=("ann", "bob")):
    generator = np.random.default_rng(0)
    return [
        example(
            i,
            [1 + i % len(speakers), *generator.integers(5, 20, 2 + i % 4).tolist()],
            generator.integers(0, 8, (1 + i % 5, 3)).tolist(),
            speakers[i % len(speakers)],
        )
        for i in range(count)
    ]


def test_a_clip_becomes_text_frames_audio_frames_and_the_stop():
    rows = UtteranceRows([example(0, [5, 6], [[1, 2, 3], [4, 5, 6]])], VOCABULARY, STOP)
    row = rows.row(0, 0)
    assert row.frames.tolist() == [[-1, -1, -1, 5], [-1, -1, -1, 6], [1, 2, 3, -1], [4, 5, 6, -1], [8, -1, -1, -1]]
    assert row.labels.tolist() == [[-100] * 3, [-100] * 3, [1, 2, 3], [4, 5, 6], [8, -100, -100]]
    assert rows.lengths(0) == [5]


def test_a_frame_that_would_say_stop_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"clip7 has a frame of zeros, which says stop: set model\.stop=row"):
        UtteranceRows([example(7, [5], [[1, 0, 0], [0, 0, 0]])], VOCABULARY, [0, 0, 0])


@pytest.mark.parametrize("trained", [False, True])
def test_context_stands_before_a_clip_and_is_trained_only_where_asked(trained):
    clips = examples(12)
    rows = UtteranceRows(clips, VOCABULARY, STOP, context=ContextConfig(turns=3, share=1.0, trained=trained))
    alone = UtteranceRows(clips, VOCABULARY, STOP)
    for index, clip in enumerate(clips):
        row, own = rows.row(0, index), alone.row(0, index)
        assert torch.equal(row.frames[-own.num_frames :], own.frames)
        assert torch.equal(row.labels[-own.num_frames :], own.labels)
        before = row.labels[: -own.num_frames]
        assert len(before) > 0
        assert bool((before != -100).any()) is trained
        # Speakers say their name as the first text id: 1 is ann, 2 is bob.
        is_audio = (row.frames[:, :3] >= 0).any(1)
        begins = ~is_audio & torch.cat([torch.tensor([True]), is_audio[:-1]])
        assert set(row.frames[begins, 3].tolist()) == {1 if clip.speaker == "ann" else 2}
        assert 2 <= int(begins.sum()) <= 4


def test_context_is_drawn_anew_in_every_epoch_and_the_same_for_the_same_one():
    rows = UtteranceRows(examples(40), VOCABULARY, STOP, context=ContextConfig(turns=2, share=0.5))
    first, second = rows.lengths(0), rows.lengths(1)
    assert first == rows.lengths(0) and first != second
    with_context = sum(length > own for length, own in zip(first, rows._own, strict=True))
    assert 10 <= with_context <= 30
    other = UtteranceRows(examples(40), VOCABULARY, STOP, context=ContextConfig(turns=2, share=0.5))
    assert all(torch.equal(rows.row(3, i).frames, other.row(3, i).frames) for i in range(40))


def test_a_row_with_context_keeps_within_its_limit():
    clips = examples(20)
    rows = UtteranceRows(clips, VOCABULARY, STOP, context=ContextConfig(turns=4, share=1.0, max_frames=20))
    assert max(rows.lengths(0)) <= 20


def test_names_are_left_out_of_whole_rows():
    clips = examples(60)
    rows = UtteranceRows(
        clips, VOCABULARY, STOP, speaker_tokens={"ann": 1, "bob": 2}, speaker_dropout=0.5,
        context=ContextConfig(turns=1, share=0.5),
    )  # fmt: skip
    nameless = 0
    for index in range(60):
        text = rows.row(0, index).frames[:, 3]
        names = int(((text == 1) | (text == 2)).sum())
        turns = 1 + len(rows._draw(0)[index][0])
        assert names in (0, turns)
        nameless += names == 0
    assert 18 <= nameless <= 42


def test_batches_keep_their_budget_and_are_a_function_of_their_number():
    rows = UtteranceRows(examples(50), VOCABULARY, STOP, context=ContextConfig(turns=2, share=0.5))
    batches = RowBatches(rows, 60, seed=1)
    seen = [batches.batch(number) for number in range(40)]
    for epoch, items in seen:
        lengths = rows.lengths(epoch)
        assert max(lengths[i] for i in items) * len(items) <= 60
    per_epoch = len(RowBatches(rows, 60, seed=1).epoch(0))
    assert sorted(i for _, items in seen[:per_epoch] for i in items) == list(range(50))
    assert RowBatches(rows, 60, seed=1).batch(33) == seen[33]


def test_the_exact_pace_of_each_turn():
    a = UtteranceRows([example(0, [5, 6, 7, 8], [[1, 2, 3], [4, 5, 6]])], VOCABULARY, STOP).row(0, 0).frames
    b = UtteranceRows([example(1, [5], [[1, 2, 3]])], VOCABULARY, STOP).row(0, 0).frames
    strides, turn = exact_strides(torch.cat([a, b]))
    # Two frames of three codes for four text ids; one frame for one.
    assert strides.tolist() == [1.5] * 7 + [3.0] * 3
    assert turn.tolist() == [0] * 7 + [1] * 3
    only_text = torch.tensor([[-1, -1, -1, 5], [-1, -1, -1, 6]])
    assert exact_strides(only_text)[0].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("wrong", [{"turns": 0}, {"share": 0.0}, {"share": 1.5}])
def test_wrong_context_is_told_in_words(wrong):
    with pytest.raises(ValueError, match=f"context.{next(iter(wrong))} is"):
        ContextConfig(**wrong)
