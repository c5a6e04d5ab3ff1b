"""Guidance: the rule on a hand-made example, the engine against a loop written out, and who refuses what."""

import json
from dataclasses import replace

import pytest
import torch

from aoede.cli.main import main
from aoede.generation import Engine, Request, Sampling, Voice, VoiceSettings
from aoede.generation.guidance import guided
from tests.generation.tiny_voice import make_model, make_other_model, write_two_stage_voice, write_voice

GREEDY = Sampling(temperature=0)
DRAWN = Sampling(temperature=1.0, top_p=0.9)
PROMPT = [5, 9, 13, 21, 8, 40]


def test_scores_move_away_from_those_without_text():
    scores = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [5.0, 1.0, 0.0]])
    textless = torch.tensor([[1.0, 1.0, 1.0], [4.0, 2.0, 0.0]])
    found = guided(scores, textless, [0, 2], [2.0, 0.5])
    assert found.tolist() == [[1.0, 3.0, 5.0], [0.0, 0.0, 0.0], [4.5, 1.5, 0.0]]


@pytest.fixture(scope="module", params=["plain", "parallel", "rows", "parallel rows", "gemma3", "nemotron_h"])
def engine(request):
    """`rows`: decoded by the shared stage; the others by padded rows of a transformers cache."""
    if request.param in ("gemma3", "nemotron_h"):
        return Engine(make_other_model(request.param))
    engine = Engine(make_model(60, text_stride=6.5 if "parallel" in request.param else None))
    if "rows" not in request.param:
        engine._has_stage = False
    assert (engine.stage() is None) == ("rows" not in request.param)
    return engine


def frames(engine, *requests, sampling=GREEDY):
    found = {number: [] for number in range(len(requests))}
    for step in engine.generate(requests, sampling):
        if step.frame is not None:
            found[step.row].append(step.frame.tolist())
    return found


def by_hand(model, guidance, count, prefix=()):
    """Greedy frames: both prompts are read anew for every id, and the routed scores are mixed."""
    vocabulary, route, ids, wanted = model.vocabulary, 0, [], count * model.vocabulary.num_slots
    begun = [vocabulary.open_id]
    if prefix:
        begun = vocabulary.ids_from_frames(torch.tensor(prefix)[None], open=True)[0].tolist()
    with torch.inference_mode():
        while len(ids) < wanted:
            scores = []
            for prompt in (PROMPT, PROMPT[:1]):
                hidden, _ = model.hidden_states(torch.tensor([[*prompt, *begun, *ids]]))
                logits, columns = model.routed_logits(hidden[:, -1], route)
                scores.append(logits[0])
            mixed = scores[1] + guidance * (scores[0] - scores[1])
            if route == 0:
                mixed = mixed.masked_fill(columns == vocabulary.close_id, -torch.inf)
            ids.append(int(columns[mixed.argmax()]))
            route = (route + 1) % vocabulary.num_slots
    starts = torch.tensor([vocabulary.range_of(slot).start for slot in range(vocabulary.num_slots)])
    return (torch.tensor(ids).view(count, -1) - starts).tolist()


@pytest.mark.parametrize("guidance", [0.0, 2.5])
def test_the_engine_draws_what_a_loop_over_both_prompts_draws(engine, guidance):
    request = Request(ids=PROMPT, max_frames=3, min_frames=3, guidance=guidance, textless=PROMPT[:1])
    assert frames(engine, request)[0] == by_hand(engine.model, guidance, 3)
    prefix = [[1, 2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 3, 2, 1]]
    begun = replace(request, prefix=prefix, max_frames=2, min_frames=2)
    assert frames(engine, begun)[0] == by_hand(engine.model, guidance, 2, prefix)


def test_no_guidance_is_what_it_was_and_the_other_end_reads_no_text(engine):
    plain = Request(ids=PROMPT, max_frames=4, min_frames=4)
    found = frames(
        engine,
        plain,
        replace(plain, guidance=1.0, textless=PROMPT[:1]),
        replace(plain, guidance=0.0, textless=PROMPT[:1]),
        replace(plain, ids=PROMPT[:1]),
        replace(plain, guidance=4.0, textless=PROMPT[:1]),
    )
    assert found[0] == found[1] == frames(engine, plain)[0]
    assert found[2] == found[3]
    assert found[4] != found[0]


def test_guided_rows_beside_others_draw_what_they_draw_alone(engine):
    requests = [
        Request(ids=PROMPT, seed=3, max_frames=5, guidance=2.0, textless=PROMPT[:1]),
        Request(ids=PROMPT[:3], seed=4, max_frames=2),
        Request(ids=PROMPT * 3, seed=5, max_frames=7, guidance=1.5, textless=[6]),
        Request(ids=PROMPT, seed=6, max_frames=3, min_frames=0, guidance=3.0, textless=PROMPT[1:2]),
    ]
    alone = {number: frames(engine, request, sampling=DRAWN)[0] for number, request in enumerate(requests)}
    assert frames(engine, *requests, sampling=DRAWN) == alone


def test_rows_come_and_go_with_what_shadows_them(engine):
    request = Request(ids=PROMPT, seed=3, max_frames=4, min_frames=4, guidance=2.0, textless=PROMPT[:1])
    alone = frames(engine, request, sampling=DRAWN)[0]
    with engine.open(2, DRAWN, guided=True) as session:
        first = session.join(request)
        for _ in range(9):
            session.step()
        second, found = session.join(replace(request, seed=8)), []
        assert (len(session), session.free) == (2, 0)
        with pytest.raises(ValueError, match="1 requests for 0 free rows of 2"):
            session.join(request)
        session.leave(first)
        with pytest.raises(ValueError, match=f"no row {first} is being decoded"):
            session.leave(first)
        third = session.join(request)
        while len(session):
            found += [step.frame.tolist() for step in session.step() if step.row == third and step.frame is not None]
        assert second != third and found == alone and session.free == 2


def test_what_cannot_be_guided_is_refused(engine):
    request = Request(ids=PROMPT, max_frames=2, guidance=2.0, textless=PROMPT[:1])
    with pytest.raises(ValueError, match=r"request 0: guidance -0.5 is outside 0 .. 10"):
        frames(engine, replace(request, guidance=-0.5))
    with pytest.raises(ValueError, match=r"request 0 \(textless\): the prompt ends inside an audio span"):
        frames(engine, replace(request, textless=[engine.open_id]))
    if engine.stage() is None:  # rows of a stage bring their own memory
        with engine.open(1, GREEDY) as session, pytest.raises(ValueError, match="open the session with guided=True"):
            session.join(request)


# -- voices -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_voice(tmp_path_factory.mktemp("voice"), text_stride=6.5)


def test_a_voice_speaks_with_its_own_guidance_and_with_another(folder):
    voice = Voice.from_pretrained(folder)
    plain = voice.speak("Hello there.", "bm_george", temperature=0.0)
    strong = voice.speak("Hello there.", "bm_george", temperature=0.0, guidance=5.0)
    assert plain.samples.shape != strong.samples.shape or (plain.samples != strong.samples).any()
    assert voice.reader.textless(voice.reader.ids("Hello there.", "bm_george", [])) == [3]
    assert voice.reader.textless([20, 21]) == [0]  # nobody is named: the padding id
    voice.settings = replace(voice.settings, guidance=5.0)
    own = voice.speak("Hello there.", "bm_george", temperature=0.0)
    assert own.samples.tolist() == strong.samples.tolist()
    assert VoiceSettings.from_dict(json.loads(json.dumps(voice.settings.to_dict()))) == voice.settings


def test_a_wrong_guidance_is_named(folder, tmp_path, capsys):
    out = tmp_path / "speech.wav"
    assert main(["speak", "Hello.", "--voice", str(folder), "--guidance", "11", "-o", str(out)]) == 2
    assert "guidance 11.0 is outside 0 .. 10" in capsys.readouterr().err and not out.exists()
    text = Voice.from_pretrained(folder).settings.text
    for name, value in (("guidance", 2.0), ("attempts", 3)):
        with pytest.raises(ValueError, match=f"{name} is for flat voices"):
            VoiceSettings(name="x", text=text, kind="two-stage", **{name: value})


def test_two_stages_are_not_guided(tmp_path):
    voice = Voice.from_pretrained(write_two_stage_voice(tmp_path / "two"))
    with pytest.raises(ValueError, match=r"guidance 2\.0 is for flat voices"):
        voice.speak("Hello.", guidance=2.0)
