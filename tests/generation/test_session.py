"""Sessions: rows that come and go at any time give what they give alone; text beside sound; a compiled step."""

import pytest
import torch
from transformers import LlamaForCausalLM

from aoede.generation import Engine, Request, Sampling, TextRequest
from tests.generation.tiny_voice import make_model, make_other_model

GREEDY = Sampling(temperature=0)
DRAWN = Sampling(temperature=1.0, top_p=0.9)
PROMPT = [5, 9, 13, 21, 8, 40]
REQUESTS = [
    Request(ids=PROMPT, seed=3, max_frames=6),
    Request(ids=PROMPT[:2], seed=4, max_frames=2),
    Request(ids=PROMPT * 5, seed=5, max_frames=7, sampling=Sampling(temperature=1.3)),
    TextRequest(ids=PROMPT[:3], seed=6, max_tokens=20),
    Request(ids=[], seed=7, max_frames=4),
    Request(ids=PROMPT, prefix=[[1, 2, 3, 4, 5, 6, 7]] * 3, seed=8, max_frames=3),
]


@pytest.fixture(scope="module", params=["plain", "parallel", "gemma3", "nemotron_h"])
def model(request):
    if request.param in ("gemma3", "nemotron_h"):
        return make_other_model(request.param)
    return make_model(60, text_stride=6.5 if request.param == "parallel" else None)


def told(steps, into):
    """Sort steps into {row: [frame or id, ..., end]}."""
    for step in steps:
        assert into.get(step.row, [None])[-1] not in ("closed", "cut")
        into.setdefault(step.row, []).append(
            step.end or (step.frame.tolist() if step.frame is not None else step.token)
        )


@pytest.fixture(scope="module")
def alone(model):
    """What each request gives by itself."""
    found = {}
    for number, request in enumerate(REQUESTS):
        one = {}
        told(Engine(model).generate([request], DRAWN), one)
        found[number] = one[0]
    return found


def joining(engine, arrivals, rows=3, capacity=None):
    """Requests join at their step (or as soon as there is room): what each gives."""
    found, waiting = {}, sorted(enumerate(arrivals), key=lambda pair: pair[1])
    number_of, step = {}, 0
    with engine.open(rows, DRAWN, capacity=capacity) as session:
        while waiting or len(session):
            while waiting and waiting[0][1] <= step and session.free:
                request = waiting.pop(0)[0]
                number_of[session.join(REQUESTS[request])] = request
            told(session.step(), found)
            step += 1
    return {number_of[row]: steps for row, steps in found.items()}


def test_rows_that_join_in_any_slot_give_what_they_give_alone(model, alone):
    assert joining(Engine(model), [0, 3, 9, 12, 17, 40]) == alone
    assert joining(Engine(model), [5, 0, 0, 0, 1, 1], rows=6) == alone


def test_all_at_once_they_give_what_they_give_alone(model, alone):
    found = {}
    told(Engine(model).generate(REQUESTS, DRAWN), found)
    assert found == alone


def test_a_row_that_leaves_disturbs_nobody(model, alone):
    found = {}
    with Engine(model).open(4, DRAWN) as session:
        for request in REQUESTS[:3]:
            session.join(request)
        for _ in range(5):
            told(session.step(), found)
        session.leave(0)
        fresh = session.join(REQUESTS[4])
        session.leave(1)
        assert fresh == 3 and (len(session), session.free) == (2, 2)
        while len(session):
            told(session.step(), found)
        with pytest.raises(ValueError, match="no row 0 is being decoded"):
            session.leave(0)
    assert found[2] == alone[2] and found[fresh] == alone[4]
    assert 1 not in found or found[1] == alone[1][: len(found[1])]


def test_a_row_may_leave_before_its_first_step(model, alone):
    found = {}
    with Engine(model).open(3, DRAWN) as session:
        session.join(REQUESTS[0])
        told(session.step(), found)
        gone = session.join(REQUESTS[2])
        session.join(REQUESTS[5])
        session.leave(gone)
        while len(session):
            told(session.step(), found)
    assert found == {0: alone[0], 2: alone[5]}


def test_buffers_grow_under_rows_that_are_being_decoded():
    model = make_model(60)
    long = Request(ids=PROMPT * 70, seed=1, max_frames=3)
    [expected] = told_by(model, [long])
    [other] = told_by(model, [REQUESTS[0]])
    found = {}
    with Engine(model).open(2, DRAWN) as session:
        session.join(REQUESTS[0])
        for _ in range(9):
            told(session.step(), found)
        session.join(long)
        while len(session):
            told(session.step(), found)
    assert [found[0], found[1]] == [other, expected]


def told_by(model, requests):
    found = {}
    told(Engine(model).generate(requests, DRAWN), found)
    return [found[row] for row in range(len(requests))]


def test_frames_of_rows_in_different_slots_come_when_they_are_finished():
    with Engine(make_model(60)).open(2, GREEDY) as session:
        session.join(Request(ids=PROMPT, max_frames=5, min_frames=5))
        early = [session.step() for _ in range(3)]
        session.join(Request(ids=PROMPT, max_frames=5, min_frames=5))
        later = [[step.row for step in session.step()] for _ in range(11)]
    assert early == [[], [], []]
    assert later == [[], [], [], [0], [], [], [1], [], [], [], [0]]  # ids 7 and 14 of row 0, 7 of row 1


def test_a_session_that_is_full_says_so_and_leaves_the_model_as_it_was():
    model = make_model(60).train()
    with Engine(model).open(1) as session:
        session.join(REQUESTS[0])
        assert not model.training
        with pytest.raises(ValueError, match="1 requests for 0 free rows of 1"):
            session.join(REQUESTS[1])
        assert session.step() == []
    assert model.training and len(session) == 0
    with pytest.raises(ValueError, match="a session of 0 rows"):
        Engine(model).open(0)


def test_text_is_what_the_text_model_writes_and_no_codec_id_comes():
    model = make_model(60)
    [ids] = told_by(model, [TextRequest(ids=PROMPT, max_tokens=25, sampling=GREEDY)])
    config = model.config.text_config.to_dict() | {"vocab_size": 60}
    base = LlamaForCausalLM(type(model.config.text_config)(**config)).eval()
    rows = {k: v[:60] if v.shape[0] == model.config.vocab_size else v for k, v in model.state_dict().items()}
    base.load_state_dict(rows)
    prompt = torch.tensor([PROMPT])
    out = base.generate(
        prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=25, eos_token_id=None
    )
    assert ids == [*out[0, len(PROMPT) :].tolist(), "cut"]
    hot = told_by(
        model, [TextRequest(ids=PROMPT, max_tokens=40, seed=s, sampling=Sampling(temperature=5.0)) for s in (1, 2)]
    )
    assert all(token < 60 for row in hot for token in row[:-1])


def test_text_under_parallel_positions_is_what_forward_says():
    model = make_model(60, text_stride=6.5)
    spans = model.vocabulary.ids_from_frames(torch.ones(1, 2, 7, dtype=torch.long), open=True, close=True)[0].tolist()
    prompt = [5, 9, *spans, 13]
    [ids] = told_by(model, [TextRequest(ids=prompt, max_tokens=9, sampling=GREEDY)])
    with torch.no_grad():
        logits = model(torch.tensor([prompt + ids[:-1]])).logits[0, len(prompt) - 1 : -1, :60]
    assert logits.argmax(-1).tolist() == ids[:-1]


def test_a_stop_id_ends_a_text_and_is_not_given_out():
    model = make_model(60)
    [ids] = told_by(model, [TextRequest(ids=PROMPT, max_tokens=10, sampling=GREEDY)])
    stop = ids[4]
    [short] = told_by(model, [TextRequest(ids=PROMPT, max_tokens=10, sampling=GREEDY, stop_ids=[stop])])
    assert short == [*ids[: ids.index(stop)], "closed"]


@pytest.mark.parametrize("kind", ["parallel", "gemma3"])
def test_a_step_is_one_graph_whoever_comes_and_goes(kind):
    """Captured by dynamo and run as captured: what a real backend compiles, without the minute it takes."""
    model = make_other_model(kind) if kind == "gemma3" else make_model(60, text_stride=6.5)
    graphs = []

    def capture(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    engine = Engine(model, backend=capture)
    found = joining(engine, [0, 3, 9, 12, 17, 40], capacity=256)
    expected = {}
    for number, request in enumerate(REQUESTS):
        one = {}
        told(Engine(model).generate([request], DRAWN), one)
        expected[number] = one[0]
    assert found == expected
    assert len(graphs) <= 3, "a step must not be compiled anew as rows grow"


def test_states_are_not_compiled():
    with pytest.raises(ValueError, match="a compiled step needs attention in every layer"):
        Engine(make_other_model("nemotron_h"), backend="eager").open(2)


@pytest.mark.slow
def test_a_step_compiled_by_inductor_gives_the_same_ids():
    model = make_other_model("gemma3")
    torch.compiler.reset()
    found = joining(Engine(model, backend="inductor"), [0, 3, 9, 12, 17, 40], capacity=256)
    assert found == joining(Engine(model), [0, 3, 9, 12, 17, 40])
