"""The grammar in vLLM's V1 runner: every request keeps its place through what the scheduler does to the batch."""

from __future__ import annotations

import pytest
import torch

from aoede.serving.vllm_v1 import SlotGrammar
from tests.serving.recorded import (
    CLOSE_OR_C,
    ROWS,
    TEXT,
    VOCABULARY,
    BatchUpdate,
    C,
    F,
    M,
    MoveDirectionality,
    config,
    legal,
    params,
)


@pytest.fixture
def grammar(tmp_path):
    VOCABULARY.save(tmp_path)
    return SlotGrammar(config(tmp_path), torch.device("cpu"), False)


def step(grammar, rows, update=None):
    grammar.update_state(update)
    logits = torch.arange(rows * ROWS, dtype=torch.float32).reshape(rows, ROWS)
    out = grammar.apply(logits)
    kept = out.isfinite()
    assert torch.equal(out[kept], torch.arange(rows * ROWS, dtype=torch.float32).reshape(rows, ROWS)[kept])
    return legal(out)


def test_requests_stand_in_their_own_slots_step_after_step(grammar):
    first, second = [], []
    update = BatchUpdate(2, added=((0, params(), [5, 6, 20], first), (1, params(), [3], second)))
    assert step(grammar, 2, update) == [CLOSE_OR_C, TEXT]
    first.append(22), second.append(20)
    assert step(grammar, 2) == [M, CLOSE_OR_C]
    first.append(30), second.append(21)
    assert step(grammar, 2) == [F, TEXT]
    for token, expected in zip([38, 38, 31, 38, 38, 21], [F, M, F, F, CLOSE_OR_C, TEXT], strict=True):
        first.append(token), second.append(4)
        assert step(grammar, 2) == [expected, TEXT]


def test_a_whole_generation_under_the_masks_is_legal(grammar):
    torch.manual_seed(0)
    outputs = [[] for _ in range(3)]
    update = BatchUpdate(3, added=tuple((i, params(), [3, 20][: i + 1], outputs[i]) for i in range(3)))
    for t in range(60):
        grammar.update_state(update if t == 0 else None)
        drawn = grammar.apply(torch.randn(3, ROWS)).softmax(-1).multinomial(1)
        for output, token in zip(outputs, drawn.flatten().tolist(), strict=True):
            output.append(token)
    for i, output in enumerate(outputs):
        grammar.router.advance(torch.tensor([[3, 20][: i + 1] + output]))  # strict: an illegal id raises
    assert any(20 in output for output in outputs)


def test_moves_swaps_and_slots_used_again(grammar):
    lists = [[], [], []]
    added = tuple((i, params(), prompt, lists[i]) for i, prompt in enumerate(([20], [20, 22], [3])))
    assert step(grammar, 3, BatchUpdate(3, added=added)) == [CLOSE_OR_C, M, TEXT]
    for output, token in zip(lists, (22, 30, 4), strict=True):
        output.append(token)
    swap = BatchUpdate(3, moved=((0, 2, MoveDirectionality.SWAP),))
    assert step(grammar, 3, swap) == [TEXT, F, M]
    # Request 1 ends, the last one is moved into its place.
    shrunk = BatchUpdate(2, removed=(1,), moved=((2, 1, MoveDirectionality.UNIDIRECTIONAL),))
    assert step(grammar, 2, shrunk) == [TEXT, M]
    # A new request takes the place of one that ended in the same step.
    assert step(grammar, 2, BatchUpdate(2, removed=(0,), added=((0, params(), [20], []),))) == [CLOSE_OR_C, M]
    assert step(grammar, 1, BatchUpdate(1, removed=(1,))) == [CLOSE_OR_C]
    assert sorted(grammar.requests) == [0]


def test_a_preempted_request_comes_back_where_it_was(grammar):
    output = []
    step(grammar, 1, BatchUpdate(1, added=((0, params(), [20], output),)))
    output += [22, 30]
    assert step(grammar, 1) == [F]
    step(grammar, 0, BatchUpdate(0, removed=(0,)))
    assert step(grammar, 1, BatchUpdate(1, added=((0, params(), [20], output),))) == [F]


def test_ids_that_come_late_are_read_before_masking(grammar):
    """Asynchronous scheduling: a placeholder stands in the list until the step's ids are there."""
    output = []
    step(grammar, 1, BatchUpdate(1, added=((0, params(), [20], output),)))
    output.append(-1)
    grammar.update_state(None)
    output[-1] = 22
    assert legal(grammar.apply(torch.zeros(1, ROWS))) == [M]
    assert grammar.needs_output_token_ids() and not grammar.is_argmax_invariant()
    output.append(-1)
    with pytest.raises(RuntimeError, match="start it with --no-async-scheduling"):
        grammar.apply(torch.zeros(1, ROWS))


def test_text_mode_may_not_open_a_span(grammar):
    output = []
    assert step(grammar, 1, BatchUpdate(1, added=((0, params(aoede_mode="text"), None, output),))) == [TEXT[:-1]]
    SlotGrammar.validate_params(params(aoede_mode="grammar"))
    with pytest.raises(ValueError, match="aoede_mode is 'loud'; it is 'grammar' or 'text'"):
        SlotGrammar.validate_params(params(aoede_mode="loud"))


def test_prompts_that_are_illegal_go_on_by_their_markers(grammar):
    """A prompt cannot be refused here without ending the engine: markers act wherever they stand."""
    assert step(grammar, 1, BatchUpdate(1, added=((0, params(), [38, 20, 20, 5], []),))) == [M]


def test_a_row_that_nobody_added_is_an_error(grammar):
    with pytest.raises(RuntimeError, match="row 0 of the logits belongs to no request"):
        grammar.apply(torch.zeros(1, ROWS))
    assert C[0] == 22
