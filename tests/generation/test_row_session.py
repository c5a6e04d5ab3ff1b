"""Rows that share products: their bits are those they have alone, they stand still, and may be tried again."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from aoede.generation import Engine, Request, Sampling, Session, TextRequest, Voice
from aoede.generation.row_session import RowSession
from aoede.generation.row_stage import RowStage
from aoede.models import extend
from aoede.tokens import CodecVocabulary, FrameLayout
from tests.generation.tiny_voice import make_model, make_other_model

DRAWN = Sampling(temperature=1.0, top_p=0.9)
SHAPE = {
    "vocab_size": 60, "hidden_size": 48, "intermediate_size": 112, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.2,
}  # fmt: skip


def made(kind):
    """A random model of a family, with whatever is its own: norms of queries and keys, biases, an untied head."""
    torch.manual_seed(3)
    if kind == "qwen3":
        base = Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=24, tie_word_embeddings=True))
    elif kind == "qwen2":
        base = Qwen2ForCausalLM(Qwen2Config(**SHAPE, tie_word_embeddings=False))
        for layer in base.model.layers:
            torch.nn.init.normal_(layer.self_attn.q_proj.bias)
    else:
        base = LlamaForCausalLM(LlamaConfig(**SHAPE, attention_bias=True, tie_word_embeddings=False))
    for name, parameter in base.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    vocabulary = CodecVocabulary.extend(60, FrameLayout.depth_first((4, 2, 1)), (64, 64, 64))
    return extend(base.eval(), vocabulary).eval()


@pytest.fixture(scope="module", params=["llama", "qwen2", "qwen3"])
def model(request):
    return made(request.param)


def told(session, numbers=None):
    """Steps as plain values."""
    return [(step.row, step.end or step.token or step.frame.tolist()) for step in session.step(numbers)]


@torch.inference_mode()
def test_the_stage_says_what_forward_says(model):
    stage = RowStage.of(model)
    ids = torch.randint(60, (1, 12), generator=torch.Generator().manual_seed(0))
    memory = stage.open()
    places = torch.arange(12)
    hidden = [stage.read(ids[0, :8], places[:8], [(memory, 8)])]
    hidden += [stage.read(ids[0, i : i + 1], places[i : i + 1], [(memory, 1)]) for i in range(8, 12)]
    expected = model.hidden_states(ids, position_ids=places[None])[0][0, 7:]
    assert torch.allclose(torch.cat(hidden), expected, atol=1e-4)
    for route in (-1, 0, 3):
        scores, legal = stage.logits(hidden[0], route)
        wanted, ids_wanted = model.routed_logits(expected[:1], route)
        assert torch.allclose(scores, wanted, atol=1e-4) and torch.equal(legal, ids_wanted)


@torch.inference_mode()
@pytest.mark.parametrize("others", [1, 2, 3, 7, 20])
def test_a_row_has_the_same_bits_beside_any_number_of_others(model, others):
    stage, generator = RowStage.of(model), torch.Generator().manual_seed(0)
    prompts = [torch.randint(60, (3 + 5 * n % 17,), generator=generator) for n in range(others + 1)]

    def run(chosen):
        rows = [(stage.open(), len(prompt)) for prompt in chosen]
        found = [stage.read(torch.cat(chosen), torch.cat([torch.arange(len(prompt)) for prompt in chosen]), rows)]
        for step in range(4):
            ids = torch.tensor([(step * 7 + len(prompt)) % 60 for prompt in chosen])
            places = torch.tensor([len(prompt) + step for prompt in chosen])
            found.append(stage.read(ids, places, [(memory, 1) for memory, _ in rows]))
        return torch.stack(found, 1)  # [n, 5, H]

    assert torch.equal(run(prompts), torch.cat([run([prompt]) for prompt in prompts]))


def test_the_bundled_voice_is_decoded_this_way():
    engine = Voice.from_pretrained().engine
    assert isinstance(engine.stage(), RowStage) and engine.stage() is engine.stage()
    with engine.open(2) as session:
        assert isinstance(session, RowSession)


@pytest.mark.parametrize("kind", ["gemma3", "nemotron_h"])
def test_other_models_are_decoded_as_before(kind):
    engine = Engine(make_other_model(kind))
    assert engine.stage() is None and type(engine.open(1)) is Session


def test_a_model_in_which_somebody_stands_between_is_decoded_as_before():
    model = make_model(60)
    handle = model.model.layers[0].register_forward_hook(lambda *_: None)
    assert not RowStage.takes(model)
    handle.remove()
    assert RowStage.takes(model)
    model.routed_logits = model.routed_logits
    assert not RowStage.takes(model)


def test_new_weights_are_copied_anew():
    model = make_model(60)
    engine = Engine(model)
    before = [step.frame for step in engine.generate([Request(ids=[5, 9], seed=1, max_frames=3)], DRAWN)]
    stage = engine.stage()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.5)
    assert not stage.is_current() and engine.stage() is not stage
    after = [step.frame for step in engine.generate([Request(ids=[5, 9], seed=1, max_frames=3)], DRAWN)]
    assert [str(frame) for frame in before] != [str(frame) for frame in after]


def test_rows_that_are_not_asked_for_stand_still():
    engine = Engine(make_model(60, text_stride=6.5))
    requests = [Request(ids=[5, 9, 13], seed=n, max_frames=4, min_frames=4) for n in range(3)]
    alone = [[told_alone(engine, request)] for request in requests]
    found = {0: [], 1: [], 2: []}
    with engine.open(3, DRAWN) as session:
        session.join_all(requests)
        for step in range(200):
            for row, what in told(session, [[0], [0, 2], [1], [0, 1, 2]][step % 4]):
                found[row].append(what)
    assert [[found[n]] for n in range(3)] == alone


def told_alone(engine, request):
    return [step.end or step.frame.tolist() for step in engine.generate([request], DRAWN)]


def test_rows_of_an_ordinary_session_cannot_stand_still():
    with Engine(make_other_model("gemma3")).open(2, DRAWN) as session:
        session.join_all([Request(ids=[5, 9], max_frames=2), Request(ids=[5], max_frames=2)])
        with pytest.raises(ValueError, match="walk in step"):
            session.step([0])


@pytest.mark.parametrize("place", ["read", "logits"])
def test_a_step_that_raised_may_be_tried_again(monkeypatch, place):
    engine = Engine(make_model(60))
    requests = [
        Request(ids=[5, 9, 13], seed=1, max_frames=3, min_frames=3),
        TextRequest(ids=[5, 7], seed=2, max_tokens=12),
    ]
    expected = [step for request in requests for step in engine.generate([request], DRAWN)]
    real, calls = getattr(RowStage, place), []

    def failing(self, *arguments):
        calls.append(1)
        if len(calls) % 3 == 0:
            raise MemoryError
        return real(self, *arguments)

    found = {0: [], 1: []}
    with engine.open(2, DRAWN) as session:
        session.join_all(requests)
        monkeypatch.setattr(RowStage, place, failing)
        while len(session):
            try:
                for row, what in told(session):
                    found[row].append(what)
            except MemoryError:
                continue
    assert found[0] + found[1] == [step.end or step.token or step.frame.tolist() for step in expected]
