"""Generation with a two-stage model: what is drawn, log-probabilities, batches, stops, streams, shorter steps."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    MaxLengthCriteria,
    NoRepeatNGramLogitsProcessor,
    StoppingCriteriaList,
)

from aoede.models.sampling import Sampling, choose
from aoede.models.two_stage import FrameStream
from aoede.models.two_stage.stages import LlamaStage, ModelStage, open_stage

from .conftest import labels_of, tiny_stage

SLOTS = {
    "snac": {"slot_sizes": [8] * 7},
    "uneven": {"slot_sizes": [8, 5, 9, 3], "stop": "row"},
    "mimi": {"slot_sizes": [6] * 32, "slot_rows": [9] * 32},
}
KINDS = ["llama", "qwen3", "gemma3", "nemotron_h"]


@pytest.fixture
def prompt(conversation):
    """prompt(model, batch=2) -> a turn and the text of the next, [B, 12, S + 1]."""
    return lambda model, batch=2: conversation(model, batch=batch)[:, :12]


def naive(model, frames, count, sampling, depth_sampling, seed):
    """Codes of one row, everything computed anew for every frame, through `forward` alone."""
    config, generator = model.config, torch.Generator().manual_seed(seed)
    for _ in range(count):
        uniform = torch.rand(config.num_slots, generator=generator, dtype=torch.float64)
        frame = torch.full((1, 1, config.num_slots + 1), -1)
        frame[..., :-1] = 0
        code = choose(model(frames).backbone_logits[:, -1], sampling, uniform[:1])
        frame[0, 0, 0] = code
        if config.stop == "row" and int(code) == config.stop_frame[0]:
            frame[0, 0, 1:] = -1
            frames = torch.cat([frames, frame], 1)
            break
        for slot in range(1, config.num_slots):
            labels = labels_of(torch.cat([frames, frame], 1))
            labels[:, :-1] = -100
            logits = model(torch.cat([frames, frame], 1), labels=labels).depth_logits[:, slot - 1]
            frame[0, 0, slot] = choose(logits, depth_sampling, uniform[slot : slot + 1])
        frames = torch.cat([frames, frame], 1)
    return frames[0, -count:, :-1]


@pytest.mark.parametrize(
    ("kind", "slots"), [*((kind, "snac") for kind in KINDS), ("llama", "uneven"), ("llama", "mimi")]
)
@torch.no_grad()
def test_what_is_drawn_is_what_the_forward_pass_says(two_stage, prompt, kind, slots):
    model = two_stage(kind, **SLOTS[slots])
    frames = prompt(model, 1)
    first, rest = Sampling(temperature=1.2, top_p=0.9), Sampling(temperature=0.7, top_k=4)
    wanted = naive(model, frames, 3, first, rest, seed=5)
    found = model.generate(
        frames, max_new_frames=3, temperature=1.2, top_p=0.9, depth_temperature=0.7, depth_top_k=4, depth_top_p=1.0,
        seeds=5, stop_on_all_zeros=False, return_dict_in_generate=True,
    ).sequences[0]  # fmt: skip
    assert torch.equal(found, wanted[-len(found) :])
    greedy = naive(model, frames, 2, Sampling(temperature=0), Sampling(temperature=0), seed=0)
    assert torch.equal(model.generate(frames, max_new_frames=2, do_sample=False)[0], greedy)


@pytest.mark.parametrize(("kind", "slots"), [("llama", "snac"), ("qwen3", "mimi"), ("llama", "uneven")])
@torch.no_grad()
def test_log_probs_of_given_frames_equal_those_of_generation(two_stage, prompt, kind, slots):
    model = two_stage(kind, **SLOTS[slots])
    if slots == "uneven":
        model.slot0_head.weight[8] += 0.5 * model.slot0_head.weight[:8].sum(0)  # so that a row ends now and then
    frames = prompt(model, 4)
    out = model.generate(
        frames, max_new_frames=6, temperature=1.5, top_k=6, seeds=[3, 4, 5, 6], return_dict_in_generate=True
    )
    text = torch.full_like(out.sequences[..., :1], -1)
    whole = torch.cat([frames, torch.cat([out.sequences, text], -1)], 1)
    found = model.log_probs(whole)[:, 12:]
    torch.testing.assert_close(found, out.log_probs, rtol=1e-4, atol=1e-5)
    drawn = out.sequences >= 0
    assert (found[drawn] < 0).all() and not found[~drawn].any()
    if slots == "uneven":
        assert out.is_finished.any() and not out.is_finished.all()
        ended = out.sequences[out.is_finished, out.lengths[out.is_finished]]
        assert (ended == torch.tensor([8, -1, -1, -1])).all()
    # Only the frames that are asked for; temperatures are those of the softmax.
    asked = torch.zeros(whole.shape[:2], dtype=torch.bool)
    asked[:, 13] = True
    one = model.log_probs(whole, frames=asked)
    torch.testing.assert_close(one[:, 13], found[:, 1], rtol=1e-4, atol=1e-5)
    assert not one[:, :13].any() and not one[:, 14:].any()
    labels = labels_of(whole)
    logits = model(whole, labels=labels).backbone_logits[:, 11].float()
    hot = model.log_probs(whole, temperature=2.0, depth_temperature=0.5)[:, 12, 0]
    wanted = (logits / 2).log_softmax(-1).gather(-1, whole[:, 12, :1])[:, 0]
    torch.testing.assert_close(hot, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("slots", SLOTS)
def test_what_was_learnt_by_heart_is_said_by_heart(two_stage, conversation, slots):
    """Loss, frames, positions and stop agree from end to end: a turn is learnt, and comes back frame by frame."""
    model = two_stage(**SLOTS[slots])
    frames = conversation(model, turns=1, batch=2)
    labels = labels_of(frames)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss = model(frames, labels=labels, return_logits=False).loss
        loss.backward()
        optimizer.step()
        if loss < 0.02:
            break
    out = model.eval().generate(frames[:, :4], max_new_frames=9, do_sample=False, return_dict_in_generate=True)
    assert out.is_finished.all() and out.lengths.tolist() == [3, 3]
    assert torch.equal(torch.stack(out.frames), frames[:, 4:7, :-1])


def test_log_probs_have_a_gradient_for_policies(two_stage, conversation):
    model = two_stage()
    frames = conversation(model)
    labels = labels_of(frames)
    model.log_probs(frames).sum().neg().backward()
    got = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    out = model(frames, labels=labels)
    (out.backbone_loss * 16 + out.depth_loss * 16 * 6).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(got[name], parameter.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_row_does_not_depend_on_its_batch_or_its_padding(two_stage, conversation, kind):
    model = two_stage(kind, stop="row")
    frames = conversation(model, batch=3)
    prompts = [frames[0, 8:12], frames[1, :12], frames[2, 3:12]]
    batch = torch.full((3, 12, 8), -1)
    for row, given in enumerate(prompts):
        batch[row, 12 - len(given) :] = given
    settings = {"max_new_frames": 8, "temperature": 1.0, "top_k": 5}
    together = model.generate(batch, seeds=[7, 8, 9], **settings)
    assert len({len(row) for row in together}) > 1  # rows end at different times
    for row, given in enumerate(prompts):
        alone = model.generate(given[None], seeds=[7 + row], **settings)[0]
        assert torch.equal(alone, together[row])
    assert all(torch.equal(a, b) for a, b in zip(together, model.generate(batch, seeds=7, **settings), strict=True))
    torch.manual_seed(0)
    first = model.generate(batch, **settings)
    torch.manual_seed(0)
    assert all(torch.equal(a, b) for a, b in zip(first, model.generate(batch, **settings), strict=True))


def codes_of(rows):
    """The first frame of every row, [B, S]."""
    return torch.stack([row[0] for row in rows])


@torch.no_grad()
def test_each_stage_has_its_own_sampling(two_stage, prompt):
    model = two_stage()
    frames = prompt(model, 1).expand(24, -1, -1)
    codes = codes_of(model.generate(frames, max_new_frames=1, temperature=0.0, depth_temperature=3.0, seeds=0))
    assert len(codes[:, 0].unique()) == 1 and len(codes[:, 1].unique()) > 2
    codes = codes_of(model.generate(frames, max_new_frames=1, temperature=3.0, depth_top_k=1, seeds=0))
    assert len(codes[:, 0].unique()) > 2
    for code in codes[:, 0].unique():
        assert len(codes[codes[:, 0] == code].unique(dim=0)) == 1  # the rest follows from slot 0
    free = codes_of(model.generate(frames, max_new_frames=1, temperature=3.0, top_k=1, depth_top_k=0, seeds=0))
    assert len(free[:, 0].unique()) == 1 and len(free[:, 1].unique()) > 2  # 0 keeps all, as elsewhere in HF
    # What is not said comes from the generation configuration, which a folder may bring.
    settings = GenerationConfig(do_sample=True, temperature=0.0001, depth_temperature=3.0, max_new_tokens=2)
    kept = model.generate(frames, seeds=0, generation_config=settings)
    assert all(len(row) == 2 for row in kept)
    first = torch.stack([row[0] for row in kept])
    assert torch.equal(
        first, codes_of(model.generate(frames, max_new_frames=1, temperature=0.0001, depth_temperature=3.0, seeds=0))
    )
    assert len(first[:, 0].unique()) == 1 and len(first[:, 1].unique()) > 2


@torch.no_grad()
def test_processors_reach_both_stages_and_criteria_end_rows(two_stage, prompt):
    """What transformers' CSM leaves out."""
    model = two_stage()
    frames = prompt(model, 3)
    seen = []

    def ban(so_far, scores):
        seen.append((so_far.shape[1], scores.shape))
        return scores.index_fill_(-1, torch.tensor([0, 2, 4, 6]), -torch.inf)

    out = model.generate(
        frames, max_new_frames=4, temperature=3.0, seeds=0, logits_processor=LogitsProcessorList([ban]),
        return_dict_in_generate=True,
    )  # fmt: skip
    assert (out.sequences[..., 0] % 2 == 1).all() and (out.sequences[..., 1:] % 2 == 0).any()
    assert seen == [(n, (3, 8)) for n in range(4)]  # codes of slot 0 so far
    whole = torch.cat([frames, torch.cat([out.sequences, torch.full_like(out.sequences[..., :1], -1)], -1)], 1)
    torch.testing.assert_close(model.log_probs(whole)[:, 12:], out.log_probs, rtol=1e-4, atol=1e-5)
    seen.clear()
    rest = torch.stack(model.generate(frames, max_new_frames=2, temperature=3.0, seeds=0, depth_logits_processor=ban))
    assert (rest[..., 1:] % 2 == 1).all() and (rest[..., 0] % 2 == 0).any()
    assert seen == [(slot, (3, 8)) for slot in range(1, 7)] * 2  # codes of this frame so far
    again = NoRepeatNGramLogitsProcessor(1)
    codes = torch.stack(model.generate(frames, max_new_frames=8, do_sample=False, logits_processor=again))[..., 0]
    assert all(len(row.unique()) == 8 for row in codes)

    def enough(so_far, scores):
        return (so_far[..., 0] % 2 == 0).sum(1) >= 2  # two even codes of slot 0

    for row in model.generate(frames, max_new_frames=40, seeds=0, stopping_criteria=enough):
        even = row[:, 0] % 2 == 0
        assert int(even.sum()) == 2 and even[-1]
    limits = StoppingCriteriaList([MaxLengthCriteria(3)])
    assert [len(row) for row in model.generate(frames, seeds=0, stopping_criteria=limits)] == [3, 3, 3]


@torch.no_grad()
def test_an_illegal_code_is_never_drawn(two_stage, prompt):
    model = two_stage(slot_sizes=[8, 5, 9, 3], slot_rows=[12, 12, 12, 12])
    model.slot0_head.weight[8:] *= 50  # the rows behind the codes score wildly
    for slot, size in enumerate((5, 9, 3)):
        model.depth_heads[slot, :, size:] *= 50
    frames = prompt(model, 16)
    out = torch.cat(model.generate(frames, max_new_frames=4, temperature=5.0, seeds=0, stop_on_all_zeros=False))
    assert (out >= 0).all() and (out < torch.tensor([8, 5, 9, 3])).all()
    assert (out.amax(0) == torch.tensor([7, 4, 8, 2])).all()


@torch.no_grad()
def test_the_stop_frame_ends_a_row_and_is_not_sound(two_stage, prompt):
    model = two_stage()
    frames = prompt(model)
    model.slot0_head.weight.zero_()
    model.depth_heads.zero_()  # all scores equal: greedy takes code 0 everywhere
    out = model.generate(frames, max_new_frames=5, do_sample=False, return_dict_in_generate=True)
    assert out.lengths.tolist() == [0, 0] and out.is_finished.all() and out.sequences.shape == (2, 1, 7)
    assert [len(row) for row in out.frames] == [0, 0]
    out = model.generate(frames, max_new_frames=5, do_sample=False, stop_on_all_zeros=False)
    assert [row.shape for row in out] == [(5, 7), (5, 7)]


@torch.no_grad()
def test_with_a_stop_row_zeros_are_sound(two_stage, prompt):
    model = two_stage(stop="row")
    frames = prompt(model)
    model.slot0_head.weight.zero_()
    model.depth_heads.zero_()
    out = model.generate(frames, max_new_frames=3, do_sample=False, return_dict_in_generate=True)
    assert out.lengths.tolist() == [3, 3] and not out.is_finished.any() and not out.sequences.any()


@pytest.mark.parametrize("slots", [{"stop": "zeros"}, {"stop": "row"}, {"slot_sizes": [8, 5, 1, 3, 1]}])
@torch.no_grad()
def test_so_many_first_frames_are_no_stop_frames(two_stage, prompt, slots):
    model = two_stage(**slots)
    frames = prompt(model)
    model.slot0_head.weight.zero_()
    model.depth_heads.zero_()
    if model.config.stop == "row":
        model.slot0_logits = lambda hidden: torch.eye(9)[8:].expand(len(hidden), -1) * 9.0
    settings = {"max_new_frames": 6, "do_sample": False, "return_dict_in_generate": True}
    out = model.generate(frames, min_new_frames=2, **settings)
    assert out.lengths.tolist() == [2, 2] and out.is_finished.all()
    one = torch.zeros(model.config.num_slots, dtype=torch.long)
    if model.config.stop == "zeros":
        one[3 if len(one) == 5 else 6] = 1  # the last slot that has a choice
        # What is told is the model's own: the code was one of 8 (or 3), whether it was left out or not.
        rest = -torch.tensor(model.config.legal_rows, dtype=torch.float32).log()
        torch.testing.assert_close(out.log_probs[0, 0], rest)
    else:
        assert out.log_probs[0, 0, 0] < -9.0  # far behind the stop, which was left out
        assert out.log_probs[0, 2].tolist()[1:] == [0.0] * 6
    assert out.sequences[0, :2].tolist() == [one.tolist()] * 2
    assert model.generate(frames, **settings).lengths.tolist() == [0, 0]


@torch.no_grad()
def test_a_stop_that_is_left_out_changes_no_log_probs_and_is_hidden_from_processors(two_stage, prompt):
    settings = {"max_new_frames": 3, "seeds": 2, "return_dict_in_generate": True}
    model = two_stage(stop="row")
    frames = prompt(model, 3)
    assert 0 in model.generate(frames, **settings).lengths
    out = model.generate(frames, min_new_frames=1, **settings)
    assert (out.lengths > 0).all()
    whole = torch.cat([frames, torch.cat([out.sequences, torch.full_like(out.sequences[..., :1], -1)], -1)], 1)
    torch.testing.assert_close(model.log_probs(whole)[:, 12:], out.log_probs, rtol=1e-4, atol=1e-5)
    seen = []

    def look(so_far, scores):
        seen.append(scores[:, -1].tolist())
        return scores

    model.generate(frames, min_new_frames=1, logits_processor=look, **{**settings, "max_new_frames": 2})
    assert seen[0] == [-torch.inf] * 3 and -torch.inf not in seen[1]
    model = two_stage()  # stops by zeros, of which none came first: the same draws
    frames = prompt(model, 3)
    free, held = (model.generate(frames, min_new_frames=least, **settings) for least in (0, 1))
    assert torch.equal(free.sequences, held.sequences) and torch.equal(free.log_probs, held.log_probs)


@torch.no_grad()
def test_frames_are_handed_out_as_they_are_drawn(two_stage, prompt):
    model = two_stage()
    frames = prompt(model, 3)
    heard = {0: [], 1: [], 2: []}

    def listen(row, codes):
        heard[row].append(codes)
        return row == 1 and len(heard[1]) == 2  # enough of row 1

    out = model.generate(frames, max_new_frames=4, seeds=0, on_frame=listen)
    assert [len(row) for row in out] == [4, 2, 4]
    assert all(torch.equal(torch.stack(heard[row]), out[row]) for row in range(3))
    plain = model.generate(frames, max_new_frames=4, seeds=0)
    assert torch.equal(plain[2], out[2]) and torch.equal(plain[1][:2], out[1])


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
@torch.no_grad()
def test_a_dialogue_goes_on_in_one_stream(two_stage, conversation, kind):
    """Turn after turn without reading anything twice equals reading all of it anew."""
    model = two_stage(kind)
    frames = conversation(model, batch=1)
    stream = FrameStream(model, 1, seeds=0, capacity=4)  # grows as it goes
    stream.feed(frames[:, :4])
    drawn = [stream.step().codes for _ in range(3)]
    stream.feed(frames[:, 8:12])
    last = stream.step()
    text = torch.full((1, 3, 1), -1)
    whole = torch.cat([frames[:, :4], torch.cat([torch.stack(drawn, 1), text], -1), frames[:, 8:12]], 1)
    torch.testing.assert_close(model.slot0_logits(stream.hidden), model(whole).backbone_logits[:, -1])
    asked = torch.cat([whole, torch.cat([last.codes[:, None], text[:, :1]], -1)], 1)
    torch.testing.assert_close(model.log_probs(asked)[:, -1], last.log_probs, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_generate_frame_gives_one_frame_after_another(two_stage, prompt):
    model = two_stage()
    frames = prompt(model)
    wanted = model.generate(frames, max_new_frames=3, seeds=4, stop_on_all_zeros=False, temperature=0.8)
    step, stream = model.generate_frame(frames, seeds=4)
    found = [step.codes]
    for _ in range(2):
        step, stream = model.generate_frame(stream=stream)
        found.append(step.codes)
    assert torch.equal(torch.stack(found, 1), torch.stack(wanted))


@torch.no_grad()
def test_prefixes_work_in_generation(two_stage, prompt):
    model = two_stage()
    frames = prompt(model, 2)
    frames[1] = frames[0]
    wanted = model.generate(frames, max_new_frames=4, seeds=0)
    vectors = model.embed(frames[0, :3], frames[0, :3] >= 0)
    cache = model.backbone(inputs_embeds=vectors[None], use_cache=True).past_key_values
    states = [(layer.keys, layer.values) for layer in cache.layers]
    for prefix in ({"prefix_embeds": vectors}, {"prefix_key_values": states}):
        found = model.generate(frames[:, 3:], max_new_frames=4, seeds=0, **prefix)
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


# -- the shorter way through Llama -----------------------------------------------------------------------------------

ROPES = {
    "default": {},
    "llama3": {
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        }
    },
    "biased": {"attention_bias": True, "mlp_bias": True},
    "one head each": {"num_key_value_heads": 4},
}


@pytest.mark.parametrize("rope", ROPES)
@torch.no_grad()
def test_the_shorter_way_through_llama_equals_transformers(two_stage, rope):
    settings = tiny_stage(**ROPES[rope])
    model = type(two_stage().backbone)(settings).eval()
    model.set_input_embeddings(torch.nn.Identity())
    for parameter in model.parameters():
        parameter.normal_(std=0.3)
    assert LlamaStage.takes(model)
    short, long = open_stage(model, 3, 4), ModelStage(model, 3, 4, None)
    assert isinstance(short, LlamaStage)
    for has_padding in (False, True):
        embeds, mask = torch.randn(3, 20, 32), torch.ones(3, 20, dtype=torch.bool)
        if has_padding:
            mask[1, :4] = mask[2, :1] = False
        short.rewind()
        long.rewind()
        for start, end in ((0, 7), (7, 8), (8, 9), (9, 14), (14, 20)):  # beyond the room made at first
            at = (mask.long().cumsum(1) - 1).clamp(min=0)[:, start:end] if has_padding else None
            found, wanted = (
                stage.run(embeds[:, start:end], at, mask[:, :end] if has_padding else None) for stage in (short, long)
            )
            there = mask[:, start:end]
            torch.testing.assert_close(found[there], wanted[there], rtol=1e-4, atol=1e-5)
            if start == 8:
                order = torch.tensor([2, 0, 1])  # rows may change places
                short.keep(order)
                long.keep(order)
                embeds, mask = embeds[order], mask[order]


@torch.no_grad()
def test_narrow_numbers_generate_too(two_stage, prompt):
    model = two_stage().bfloat16()
    out = model.generate(prompt(model), max_new_frames=4, seeds=0, return_dict_in_generate=True)
    whole = torch.cat([prompt(model), torch.cat([out.sequences, torch.full_like(out.sequences[..., :1], -1)], -1)], 1)
    torch.testing.assert_close(model.log_probs(whole)[:, 12:], out.log_probs, rtol=0.05, atol=0.1)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing.*` is deprecated:FutureWarning")  # asked by peft
@torch.no_grad()
def test_adapters_count_in_the_shorter_way(two_stage, prompt):
    model = two_stage()
    frames = prompt(model)
    plain = model.generate(frames, max_new_frames=4, do_sample=False, return_dict_in_generate=True)
    names = r"(backbone|depth_decoder)\..*\.(q_proj|v_proj|down_proj)"
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=names, init_lora_weights=False)).eval()
    out = adapted.generate(input_ids=frames, max_new_frames=4, do_sample=False, return_dict_in_generate=True)
    assert isinstance(open_stage(model.backbone, 1, 4), LlamaStage)
    assert not torch.equal(out.sequences, plain.sequences)
    whole = torch.cat([frames, torch.cat([out.sequences, torch.full_like(out.sequences[..., :1], -1)], -1)], 1)
    torch.testing.assert_close(model.log_probs(whole)[:, 12:], out.log_probs, rtol=1e-4, atol=1e-5)


def test_other_models_go_through_their_own_forward(two_stage):
    assert isinstance(open_stage(two_stage("gemma3").backbone, 1, 4), ModelStage)
    model = two_stage().backbone
    model.config.rope_parameters = None
    model.rotary_emb.rope_type = "dynamic"  # angles that depend on the length
    assert isinstance(open_stage(model, 1, 4), ModelStage)


@torch.no_grad()
def test_the_depth_loop_compiles_to_two_graphs_whatever_rows_end(two_stage, prompt):
    """One for a frame's first step (two columns), one for all others."""
    model, graphs = two_stage(stop="row"), []

    def capture(graph, example_inputs):
        graphs.append(len(example_inputs))
        return graph.forward

    torch.compiler.reset()
    frames = prompt(model, 3)
    settings = {"max_new_frames": 8, "seeds": 7, "top_k": 5, "return_dict_in_generate": True}
    plain = model.generate(frames, **settings)
    assert len(plain.lengths.unique()) > 1
    for _ in range(2):
        compiled = model.generate(frames, compile_depth=capture, **settings)
        assert torch.equal(plain.sequences, compiled.sequences)
        torch.testing.assert_close(plain.log_probs, compiled.log_probs, rtol=1e-4, atol=1e-5)
    assert len(graphs) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning")
@torch.no_grad()
def test_the_compiled_depth_loop_draws_the_same(two_stage, prompt):
    torch.compiler.reset()
    for slots in SLOTS:
        model = two_stage(**SLOTS[slots])
        frames = prompt(model, 3)
        settings = {"max_new_frames": 4, "seeds": 0, "top_k": 5, "return_dict_in_generate": True}
        plain = model.generate(frames, **settings)
        compiled = model.generate(frames, compile_depth=True, **settings)
        assert torch.equal(plain.sequences, compiled.sequences)
        torch.testing.assert_close(plain.log_probs, compiled.log_probs, rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@torch.no_grad()
def test_a_gpu_draws_the_same(two_stage, prompt):
    model = two_stage()
    frames = prompt(model, 3)
    settings = {"max_new_frames": 6, "seeds": 0, "top_k": 5}
    here = model.generate(frames, **settings)
    there = model.cuda().generate(frames.cuda(), **settings)
    compiled = model.generate(frames.cuda(), compile_depth=True, **settings)
    assert all(torch.equal(a, b.cpu()) and torch.equal(b, c) for a, b, c in zip(here, there, compiled, strict=True))


# -- what is refused ------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_what_generate_cannot_do_is_refused(two_stage, prompt):
    model = two_stage()
    frames = prompt(model)
    with pytest.raises(ValueError, match="does not take num_beams, penalty_alpha"):
        model.generate(frames, num_beams=4, penalty_alpha=1)
    with pytest.raises(ValueError, match=r"does not take topk \(top_k\)"):
        model.generate(frames, topk=50)
    with pytest.raises(ValueError, match="needs a prompt"):
        model.generate()
    with pytest.raises(ValueError, match=r"needs a prompt: input_ids \[B, F, S \+ 1\], got \[12, 8\]"):
        model.generate(frames[0])
    with pytest.raises(ValueError, match="1 seeds for 2 rows"):
        model.generate(frames, seeds=[1])
    with pytest.raises(ValueError, match="temperature -1"):
        model.generate(frames, temperature=-1)
    with pytest.raises(ValueError, match="pad prompts on the left"):
        model.generate(torch.cat([frames, torch.full_like(frames[:, :1], -1)], 1))
    with pytest.raises(ValueError, match="nothing was fed"):
        FrameStream(model, 1).step()
    with pytest.raises(ValueError, match="2 rows of frames for a stream of 1"):
        FrameStream(model, 1).feed(frames)
    with pytest.raises(ValueError, match="a prefix of 1 layers for a model of 2"):
        model.generate(frames, prefix_key_values=[(torch.zeros(1, 2, 3, 8),) * 2])
    with pytest.raises(ValueError, match="or the stream"):
        model.generate_frame()
    with pytest.raises(ValueError, match="compile_depth takes Llama depth decoders"):
        two_stage("qwen3").generate(frames, compile_depth=True)
    with pytest.raises(ValueError, match="max_new_frames is 0"):
        model.generate(frames, max_new_frames=0)
    model = two_stage("qwen3")
    model.train().activation_checkpointing_enable()
    with pytest.raises(ValueError, match=r"call eval\(\) before generating"):
        model.generate(frames)
    assert len(model.eval().generate(frames, max_new_frames=1)) == 2
