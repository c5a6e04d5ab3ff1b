"""The slot router: which ids may come next, at once, chunk by chunk, and inside HF generate."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor

from aoede.tokens import CodecVocabulary, FrameLayout, SlotRouter

CALLIOPE = CodecVocabulary.calliope()
C, M, F = 131072, 135168, 139264
ONE = [C, M, F, F, M, F, F]
OPEN, CLOSE = 100, 101


def small(**changes):
    """Ten text rows, markers 10 and 11, then C 12..15, M 16..19, F 20..23."""
    return dataclasses.replace(CodecVocabulary.extend(10, FrameLayout("CMFFMFF"), (4, 4, 4)), **changes)


def test_routes_of_a_sentence_and_two_frames():
    router = SlotRouter(CALLIOPE)
    ids = tensor([[5, 6, OPEN, *ONE, *ONE, CLOSE, 7]])
    routes, state = router.advance(ids)
    assert routes.tolist() == [[-1, -1, 0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0, -1, -1]]
    assert state.tolist() == [-1]


def test_rows_stand_in_different_slots():
    ids = tensor([[OPEN, *ONE, CLOSE, 1], [5, 6, 7, OPEN, *ONE[:6]], [OPEN, *ONE, C, M]])
    _, state = SlotRouter(CALLIOPE).advance(ids)
    assert state.tolist() == [-1, 6, 2]


def test_spans_in_a_row_start_at_slot_0_again():
    routes, _ = SlotRouter(CALLIOPE).advance([[OPEN, CLOSE, OPEN, *ONE, CLOSE, OPEN, C]])
    assert routes.tolist() == [[0, -1, 0, 1, 2, 3, 4, 5, 6, 0, -1, 0, 1]]


def test_the_state_is_carried_from_call_to_call():
    router = SlotRouter(CALLIOPE)
    state = router.initial(1)
    seen = []
    for token in [5, OPEN, *ONE, CLOSE]:
        routes, state = router.advance([[token]], state)
        assert routes.tolist() == [state.tolist()]
        seen += state.tolist()
    assert seen == [-1, 0, 1, 2, 3, 4, 5, 6, 0, -1]


def test_nothing_to_read_keeps_the_state():
    routes, state = SlotRouter(CALLIOPE).advance(torch.zeros(2, 0, dtype=torch.long), tensor([3, -1]))
    assert routes.shape == (2, 0)
    assert state.tolist() == [3, -1]


def test_padding_is_not_read():
    router = SlotRouter(CALLIOPE)
    ids = tensor([[CLOSE, CLOSE, OPEN, C, M], [OPEN, C, M, CLOSE, CLOSE], [OPEN, CLOSE, C, CLOSE, M]])
    mask = tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 1, 0, 1]])
    routes, state = router.advance(ids, attention_mask=mask)
    assert routes.tolist() == [[-1, -1, 0, 1, 2], [0, 1, 2, 2, 2], [0, 0, 1, 1, 2]]
    assert state.tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match=r"row 0, position 0: id 101 is the close marker, but no audio span is open"):
        router.advance(ids)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (
            [[1, C]],
            f"row 0, position 1: id {C} is in range C [131072, 135168), but no audio span is open: text or the open",
        ),
        ([[1, 2], [CLOSE, 2]], "row 1, position 0: id 101 is the close marker, but no audio span is open"),
        (
            [[OPEN, C, CLOSE]],
            "row 0, position 2: id 101 is the close marker, but slot 1 takes range M [135168, 139264)",
        ),
        (
            [[OPEN, OPEN]],
            "row 0, position 1: id 100 is the open marker, but slot 0 takes range C [131072, 135168) or the",
        ),
        ([[OPEN, C, 7]], "row 0, position 2: id 7 is text, but slot 1 takes range M"),
        ([[OPEN, C, C + 4096, F, C]], f"row 0, position 4: id {C} is in range C"),
        ([[143360]], "row 0, position 0: id 143360 is outside the vocabulary [0, 143360)"),
        ([[-100]], "row 0, position 0: id -100 is outside the vocabulary"),
    ],
)
def test_an_illegal_id_is_named(ids, message):
    with pytest.raises(ValueError) as error:
        SlotRouter(CALLIOPE).advance(ids)
    assert str(error.value).startswith(message)


def test_an_illegal_id_passes_where_it_is_told_to():
    routes, _ = SlotRouter(CALLIOPE).advance([[CLOSE, OPEN, 7, M, CLOSE, C]], strict=False)
    assert routes.tolist() == [[-1, 0, 1, 2, -1, -1]]


def test_shapes_that_do_not_fit_are_refused():
    router = SlotRouter(CALLIOPE)
    with pytest.raises(ValueError, match=r"expected \[B, L\]"):
        router.advance(torch.zeros(1, 1, 1, dtype=torch.long))
    with pytest.raises(ValueError, match=r"the state is \[1\], but ids have 2 rows"):
        router.advance([[1], [2]], router.initial(1))
    with pytest.raises(ValueError, match=r"attention_mask is \[2\], but ids are \[1, 2\]"):
        router.advance([[1, 2]], attention_mask=tensor([1, 1]))


# -- legal rows


def test_legal_rows_of_calliope():
    router = SlotRouter(CALLIOPE)
    assert router.slices(-1) == (range(0, 101), range(102, 131072))
    assert router.slices(0) == (range(101, 102), range(131072, 135168))
    assert router.slices(1) == (range(135168, 139264),)
    assert router.groups == ((-1,), (0,), (1, 4), (2, 3, 5, 6))


def test_legal_rows_of_orpheus():
    router = SlotRouter(CodecVocabulary.orpheus())
    assert router.slices(-1) == (range(0, 128258), range(128259, 128266))
    assert router.slices(0) == (range(128258, 128259), range(128266, 132362))
    assert router.slices(6) == (range(152842, 156938),)
    assert len(router.groups) == 8


def test_slot_0_of_an_extended_model_is_one_slice():
    router = SlotRouter(CodecVocabulary.guide())
    assert router.slices(-1) == (range(0, 262145),)
    assert router.slices(0) == (range(262145, 266242),)


def test_allowed_is_sorted_and_the_mask_says_the_same():
    router = SlotRouter(small(size=26))
    assert router.allowed(-1).tolist() == [*range(10), 10]
    assert router.allowed(0).tolist() == [11, 12, 13, 14, 15]
    assert router.allowed(4).tolist() == [16, 17, 18, 19]
    mask = router.mask([[-1, 0], [4, 6]])
    assert mask.shape == (2, 2, 26)
    for row, routes in enumerate([[-1, 0], [4, 6]]):
        for column, route in enumerate(routes):
            assert mask[row, column].nonzero().flatten().tolist() == router.allowed(route).tolist()
    for route in (-2, 7):
        with pytest.raises(ValueError, match=r"routes are -1 .. 6"):
            router.allowed(route)
        with pytest.raises(ValueError, match=r"routes are -1 .. 6"):
            router.mask([route])


# -- HF generate


@pytest.fixture(scope="module")
def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=30,  # four rows more than the vocabulary has
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


PROMPTS = [[0, 0, 1, 10], [3, 10, 12, 16], [2, 10, 11, 4]]


@pytest.mark.parametrize(
    "search", [{}, {"do_sample": True, "temperature": 2.0}, {"num_beams": 3}], ids=["greedy", "sample", "beam"]
)
def test_hf_generate_stays_inside_the_grammar(llama, search):
    vocabulary = small(size=26)
    router = SlotRouter(vocabulary)
    torch.manual_seed(1)
    prompts = tensor(PROMPTS)
    out = llama.generate(
        prompts,
        attention_mask=(prompts != 0).long(),
        logits_processor=[router.logits_processor()],
        max_new_tokens=40,
        pad_token_id=0,
        **search,
    )
    assert out.shape == (3, 44)
    router.advance(out)  # strict: raises at an illegal id
    for row in out:
        assert vocabulary.frames_from_ids(row, resync=True)[1].num_skipped < 7  # a cut last frame at most


def test_hf_generate_stops_each_row_at_its_closing_marker(llama):
    vocabulary = small(size=26)
    router = SlotRouter(vocabulary)
    torch.manual_seed(3)
    prompts = tensor([[0, 1, 10], [2, 3, 10], [4, 5, 10], [6, 7, 10]])
    out = llama.generate(
        prompts,
        attention_mask=(prompts != 0).long(),
        logits_processor=[router.logits_processor()],
        stopping_criteria=[router.stopping_criteria()],
        max_new_tokens=400,
        pad_token_id=0,
        do_sample=True,
    )
    lengths = []
    for row in out[:, 3:]:
        _, report = vocabulary.frames_from_ids(row, inside=True)
        assert report.is_closed
        end = (row == vocabulary.close_id).nonzero().flatten().tolist()
        assert len(end) == 1
        assert row[end[0] + 1 :].eq(0).all()
        lengths.append(end[0])
    assert len(set(lengths)) > 1  # rows ended at different lengths


def test_beams_end_by_the_closing_marker_as_eos(llama):
    vocabulary = small(size=26)
    router = SlotRouter(vocabulary)
    out = llama.generate(
        tensor([[1, 10]]),
        logits_processor=[router.logits_processor()],
        eos_token_id=vocabulary.close_id,
        num_beams=3,
        max_new_tokens=60,
        pad_token_id=0,
    )
    router.advance(out)
    assert (out == vocabulary.close_id).sum() <= 1


def test_an_illegal_prompt_is_refused_by_name(llama):
    router = SlotRouter(small(size=26))
    with pytest.raises(ValueError, match=r"row 0, position 1: id 12 is in range C .* \(in the prompt"):
        llama.generate(
            tensor([[1, 12]]), logits_processor=[router.logits_processor()], max_new_tokens=1, pad_token_id=0
        )


def test_padding_that_is_a_marker_can_be_named():
    router = SlotRouter(small())
    ids = tensor([[11, 11, 1, 10], [1, 10, 12, 16]])
    with pytest.raises(ValueError, match="pad_id"):
        router.logits_processor()(ids, torch.zeros(2, 24))
    scores = router.logits_processor(pad_id=11)(ids, torch.zeros(2, 24))
    assert scores.eq(0)[0].nonzero().flatten().tolist() == [11, 12, 13, 14, 15]
    assert scores.eq(0)[1].nonzero().flatten().tolist() == [20, 21, 22, 23]
    assert scores.dtype == torch.float32


def test_one_processor_serves_several_prompts():
    processor = SlotRouter(small()).logits_processor()
    for _ in range(2):
        processor(tensor([[1, 10]]), torch.zeros(1, 24))
        processor(tensor([[1, 10, 12]]), torch.zeros(1, 24))
        with pytest.raises(ValueError, match="in the prompt"):
            processor(tensor([[1, 12]]), torch.zeros(1, 24))


def test_a_head_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match=r"head has 20 rows, but the vocabulary has 24; resize"):
        SlotRouter(small()).logits_processor()(tensor([[1]]), torch.zeros(1, 20))


@given(data=st.data())
def test_a_document_packed_behind_others_begins_in_text(data):
    router = SlotRouter(CodecVocabulary.extend(20, FrameLayout("CMFFMFF"), (8, 8, 8)))
    lengths = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=5))
    ids = data.draw(st.lists(st.sampled_from([3, 20, 21, 22, 30, 38]), min_size=sum(lengths), max_size=sum(lengths)))
    pieces = torch.tensor(ids).split(lengths)
    starts = torch.cat([torch.arange(n) == 0 for n in lengths])
    starts[0] = False
    routes, state = router.advance(torch.tensor([ids]), starts=starts[None], strict=False)
    wanted = [router.advance(piece[None], strict=False)[0][0] for piece in pieces]
    assert state.tolist() == wanted[-1][-1:].tolist()
    for piece in wanted[:-1]:
        piece[-1] = -1  # what follows is another document
    assert routes[0].tolist() == torch.cat(wanted).tolist()


def test_starts_go_with_padding_and_a_carried_state():
    router = SlotRouter(CodecVocabulary.extend(20, FrameLayout("CMFFMFF"), (8, 8, 8)))
    ids = torch.tensor([[30, 0, 5, 20, 22], [22, 0, 20, 22, 30]])
    mask = torch.tensor([[1, 0, 1, 1, 1], [1, 0, 1, 1, 1]])
    starts = torch.tensor([[0, 1, 0, 0, 0], [0, 0, 1, 0, 0]]).bool()
    routes, state = router.advance(ids, torch.tensor([1, 0]), attention_mask=mask, starts=starts)
    assert routes.tolist() == [[-1, -1, -1, 0, 1], [1, -1, 0, 1, 2]] and state.tolist() == [1, 2]
    with pytest.raises(ValueError, match=r"row 0, position 2: id 5 is text, but slot 2"):
        router.advance(ids, torch.tensor([1, 0]), attention_mask=mask)
    with pytest.raises(ValueError, match=r"starts is \[1, 5\], but ids are \[2, 5\]"):
        router.advance(ids, starts=starts[:1], strict=False)


@given(ids=st.lists(st.sampled_from([3, 20, 21, 22, 30, 38]), max_size=30), state=st.integers(-1, 6))
def test_walking_one_row_without_tensors_is_advancing_it(ids, state):
    router = SlotRouter(CodecVocabulary.extend(20, FrameLayout("CMFFMFF"), (8, 8, 8)))
    _, wanted = router.advance(torch.tensor([ids], dtype=torch.long), torch.tensor([state]), strict=False)
    assert router.walk(state, ids) == wanted.item()
