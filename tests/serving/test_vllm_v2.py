"""The grammar in vLLM's V2 runner: state by slot, on the device, through chunks, preemption and draft tokens."""

from __future__ import annotations

import pytest
import torch

from aoede.serving.vllm_v2 import SlotGrammar
from tests.serving.recorded import CLOSE_OR_C, ROWS, TEXT, VOCABULARY, F, M, Slots, config, context, legal, params


@pytest.fixture
def serve(tmp_path):
    VOCABULARY.save(tmp_path)

    def build(drafts=None):
        slots = Slots()
        return SlotGrammar(config(tmp_path, drafts=drafts), slots), slots

    return build


def add(grammar, slots, slot, ids, **extra):
    assert grammar.add_request(slot, params(**extra))
    slots.fill(slot, ids)


def step(grammar, rows):
    grammar.apply_staged_writes()
    return legal(grammar.apply(torch.zeros(len(rows), ROWS), context(rows)))


def test_requests_stand_in_their_own_slots_in_whatever_order_rows_come(serve):
    grammar, slots = serve()
    add(grammar, slots, 2, [5, 6, 20])
    add(grammar, slots, 0, [3])
    assert step(grammar, [(2, 2, 20), (0, 0, 3)]) == [CLOSE_OR_C, TEXT]
    slots.write(2, 3, [22]), slots.write(0, 1, [20])
    assert step(grammar, [(0, 1, 20), (2, 3, 22)]) == [CLOSE_OR_C, M]
    slots.write(2, 4, [30]), slots.write(0, 2, [21])
    assert step(grammar, [(2, 4, 30), (0, 2, 21)]) == [F, TEXT]
    # One request does not run in a step; its state waits.
    slots.write(0, 3, [7])
    assert step(grammar, [(0, 3, 7)]) == [TEXT]
    slots.write(2, 5, [38])
    assert step(grammar, [(2, 5, 38)]) == [F]


def test_a_whole_generation_under_the_masks_is_legal(serve):
    torch.manual_seed(0)
    grammar, slots = serve()
    ids = [[20], [3, 4]]
    for slot, prompt in enumerate(ids):
        add(grammar, slots, slot, prompt)
    for _ in range(28):
        rows = [(slot, len(row) - 1, row[-1]) for slot, row in enumerate(ids)]
        grammar.apply_staged_writes()
        drawn = grammar.apply(torch.randn(2, ROWS), context(rows)).softmax(-1).multinomial(1).flatten().tolist()
        for slot, token in enumerate(drawn):
            slots.write(slot, len(ids[slot]), [token])
            ids[slot].append(token)
    assert [len(row) for row in ids] == [29, 30]
    for row in ids:
        grammar.router.advance(torch.tensor([row]))  # strict: an illegal id raises


def test_a_prompt_read_in_chunks_and_a_slot_used_again(serve):
    grammar, slots = serve()
    add(grammar, slots, 1, [5, 20, 22, 30, 38])
    step(grammar, [(1, 1, 20)])  # the first chunk; what is drawn here is thrown away
    assert step(grammar, [(1, 4, 38)]) == [F]
    slots.write(1, 5, [38])
    assert step(grammar, [(1, 5, 38)]) == [M]
    add(grammar, slots, 1, [3, 4])
    assert step(grammar, [(1, 1, 4)]) == [TEXT]


def test_a_preempted_request_comes_back_with_what_it_had_written(serve):
    grammar, slots = serve()
    add(grammar, slots, 0, [20])
    step(grammar, [(0, 0, 20)])
    slots.write(0, 1, [22])
    assert step(grammar, [(0, 1, 22)]) == [M]
    add(grammar, slots, 3, [20, 22, 30])
    assert step(grammar, [(3, 2, 30)]) == [F]


def test_rows_behind_draft_ids_follow_the_drafts_and_rejected_ones_leave_no_trace(serve):
    grammar, slots = serve(drafts=3)
    add(grammar, slots, 0, [20])
    add(grammar, slots, 1, [5])
    assert step(grammar, [(0, 0, 20), (1, 0, 5)]) == [CLOSE_OR_C, TEXT]
    slots.write(0, 1, [22]), slots.write(1, 1, [6])
    # Slot 0 guesses M F, slot 1 guesses open, C, M.
    rows = [(0, 1, 22), (0, 2, 30), (0, 3, 38), (1, 1, 6), (1, 2, 20), (1, 3, 22), (1, 4, 30)]
    assert step(grammar, rows) == [M, F, F, TEXT, CLOSE_OR_C, M, F]
    # Slot 0: both accepted and one more; slot 1: the first guess was refused, 7 came instead.
    slots.write(0, 2, [30, 38, 39]), slots.write(1, 2, [7])
    assert step(grammar, [(1, 2, 7), (1, 3, 20), (0, 4, 39), (0, 5, 31)]) == [TEXT, CLOSE_OR_C, M, F]


def test_text_mode_may_not_open_a_span_and_ends_with_its_request(serve):
    grammar, slots = serve()
    add(grammar, slots, 0, [3], aoede_mode="text")
    add(grammar, slots, 1, [3])
    assert step(grammar, [(0, 0, 3), (1, 0, 3)]) == [TEXT[:-1], TEXT]
    add(grammar, slots, 0, [3])
    assert step(grammar, [(0, 0, 3)]) == [TEXT]
    with pytest.raises(ValueError, match="aoede_mode is 'loud'"):
        SlotGrammar.validate_params(params(aoede_mode="loud"))
