"""The engine: the grammar holds, it agrees with the whole sequence at once, rows are their own, and it stops."""

import pytest
import torch

from aoede.generation import Engine, Request, Sampling, TextRequest, draw
from tests.generation.tiny_voice import make_model, make_other_model

GREEDY = Sampling(temperature=0)
PROMPT = [5, 9, 13, 21, 8, 40]


@pytest.fixture(scope="module", params=["plain", "parallel", "gemma3", "nemotron_h"])
def model(request):
    if request.param in ("gemma3", "nemotron_h"):
        return make_other_model(request.param)
    return make_model(60, text_stride=6.5 if request.param == "parallel" else None)


def run(model, requests, sampling):
    """Frames [F, S] and end of every request."""
    frames = {row: [] for row in range(len(requests))}
    ends = {}
    for step in Engine(model).generate(requests, sampling):
        assert step.row not in ends
        if step.frame is None:
            ends[step.row] = step.end
        else:
            frames[step.row].append(step.frame.tolist())
    return [(frames[row], ends[row]) for row in range(len(requests))]


def test_every_code_is_in_its_codebook_and_every_row_ends(model):
    requests = [Request(ids=PROMPT[: 2 + i], seed=i, max_frames=12) for i in range(4)]
    for frames, end in run(model, requests, Sampling(temperature=1.5)):
        assert end in ("closed", "cut") and 1 <= len(frames) <= 12
        assert (len(frames) == 12) or end == "closed"
        assert all(len(frame) == 7 and all(0 <= code < 64 for code in frame) for frame in frames)


def test_greedy_decoding_equals_the_argmax_of_one_forward_pass(model):
    [(frames, end)] = run(model, [Request(ids=PROMPT, max_frames=10)], GREEDY)
    vocabulary = model.vocabulary
    spoken = vocabulary.ids_from_frames(torch.tensor(frames)[None], open=True, close=end == "closed")
    ids = torch.cat([torch.tensor([PROMPT]), spoken], dim=1)
    with torch.no_grad():
        logits = model(ids).logits[0]
    logits[len(PROMPT), vocabulary.close_id] = -torch.inf  # an utterance has at least one frame
    assert logits[len(PROMPT) : -1].argmax(-1).tolist() == spoken[0, 1:].tolist()


def spoken_one_by_one(model, request, sampling):
    """What the engine has to give: the whole sequence through `forward` for every id, drawn among the legal ones."""
    vocabulary, generator = model.vocabulary, torch.Generator().manual_seed(request.seed)
    ids, frames = [*request.ids, vocabulary.open_id], []
    while True:
        frame = []
        for slot in range(7):
            with torch.no_grad():
                logits = model(torch.tensor([ids])).logits[0, -1:]
            legal = model.router.allowed(slot)
            logits = logits[:, legal]
            if slot == 0 and not frames:
                logits = logits.masked_fill(legal == vocabulary.close_id, -torch.inf)
            token = int(legal[draw(logits, sampling, [generator])])
            if slot == 0 and (token == vocabulary.close_id or len(frames) == request.max_frames):
                return frames, "closed" if token == vocabulary.close_id else "cut"
            ids.append(token)
            frame.append(token - vocabulary.range_of(slot).start)
        frames.append(frame)


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1.2, top_p=0.9)], ids=["greedy", "drawn"])
def test_the_engine_gives_what_one_forward_pass_an_id_gives(model, sampling):
    request = Request(ids=PROMPT, seed=3, max_frames=4)
    assert run(model, [request], sampling) == [spoken_one_by_one(model, request, sampling)]


def test_a_text_stride_given_with_the_request_is_the_forward_pass_with_it():
    model = make_model(60, text_stride=6.5)
    [(frames, end)] = run(model, [Request(ids=PROMPT, max_frames=6, text_stride=3.25)], GREEDY)
    spoken = model.vocabulary.ids_from_frames(torch.tensor(frames)[None], open=True, close=end == "closed")
    ids = torch.cat([torch.tensor([PROMPT]), spoken], dim=1)
    with torch.no_grad():
        logits = model(ids, text_stride=torch.tensor([3.25])).logits[0]
    logits[len(PROMPT), model.vocabulary.close_id] = -torch.inf
    assert logits[len(PROMPT) : -1].argmax(-1).tolist() == spoken[0, 1:].tolist()


def test_a_row_is_the_same_alone_and_among_others(model):
    requests = [
        Request(ids=PROMPT, seed=3, max_frames=9),
        Request(ids=PROMPT[:2], seed=4, max_frames=3),
        Request(ids=PROMPT * 3, seed=5, max_frames=15),
    ]
    together = run(model, requests, Sampling(temperature=1.0, top_p=0.9))
    alone = [run(model, [request], Sampling(temperature=1.0, top_p=0.9))[0] for request in requests]
    assert together == alone


def test_equal_seeds_give_equal_frames_and_others_do_not(model):
    first, second, third = (run(model, [Request(ids=PROMPT, seed=s, max_frames=8)], Sampling()) for s in (1, 1, 2))
    assert first == second != third


def test_the_closing_marker_ends_a_row_and_the_guard_cuts_one(model):
    engine = Engine(model)
    column = (engine.model.routed_logits(torch.zeros(1, 32), 0)[1] == engine.close_id).nonzero().item()
    real = model.routed_logits

    def closing(hidden, route):
        logits, ids = real(hidden, route)
        if route == 0:
            logits = logits.clone()
            logits[:, column] = boost
        return logits, ids

    model.routed_logits = closing
    try:
        boost = 1e4
        assert [end for _, end in run(model, [Request(ids=PROMPT, max_frames=5)], GREEDY)] == ["closed"]
        assert len(run(model, [Request(ids=PROMPT, max_frames=5)], GREEDY)[0][0]) == 1
        boost = -1e4
        [(frames, end)] = run(model, [Request(ids=PROMPT, max_frames=5)], GREEDY)
        assert (len(frames), end) == (5, "cut")
    finally:
        del model.routed_logits


def test_frames_come_as_they_are_finished_and_leave_no_mode_behind(model):
    steps = Engine(model).generate([Request(ids=PROMPT, max_frames=50)], GREEDY)
    first = next(steps)
    assert first.frame is not None and not torch.is_inference_mode_enabled() and not first.frame.is_inference()
    steps.close()


def test_the_model_sets_the_longest_utterance():
    model = make_model(60)
    engine = Engine(model)
    assert engine.max_frames(100) == (2048 - 102) // 7
    with pytest.raises(ValueError, match="2050 prompt ids, the model takes 2048"):
        next(engine.generate([Request(ids=[5] * 2050, max_frames=3)], GREEDY))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (
            Request(ids=[5, 61], max_frames=3),
            "neither text nor whole audio spans.*position 1: id 61 is the close marker",
        ),
        (Request(ids=[5, 60], max_frames=3), "ends inside an audio span"),
        (Request(ids=[5], prefix=[[64] * 7], max_frames=3), "code 64 in row 0, frame 0, slot 0"),
        (Request(ids=[5], max_frames=0), "allows 0 frames"),
        (Request(ids=[5], max_frames=3, min_frames=4), "asks for 4 frames at least and 3 at most"),
        (TextRequest(ids=[], max_tokens=3), "empty prompt"),
        (TextRequest(ids=[5], max_tokens=0), "allows 0 ids"),
        (TextRequest(ids=[5], max_tokens=3, stop_ids=[61]), "stop id 61 is no text"),
    ],
)
def test_requests_that_cannot_be_spoken_are_refused(model, request_, words):
    with pytest.raises(ValueError, match=words):
        next(Engine(model).generate([request_], GREEDY))
