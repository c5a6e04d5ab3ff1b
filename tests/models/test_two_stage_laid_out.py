"""Weights laid out for decoding are shared by streams, and every change of them is noticed, however it is made."""

from __future__ import annotations

import copy
import gc

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from aoede.models.two_stage import FrameStream
from aoede.models.two_stage import laid_out as shared
from aoede.models.two_stage.laid_out import MOST_KEPT, laid_out, state_of
from aoede.models.two_stage.products import BlockProduct, PackedProduct


def products(model, rows):
    """All that a stream of so many rows multiplies with."""
    stream = FrameStream(model, rows)
    stages = (stream.backbone.products, stream.depth.stage.products)
    return [product for stage in stages for layer in stage for product in layer] + [stream.depth.project]


def test_streams_of_one_model_share_what_is_laid_out(two_stage):
    model = two_stage()
    one, again, three, other = products(model, 1), products(model, 1), products(model, 3), products(two_stage(), 1)
    assert len(one) == 17 and all(isinstance(product, BlockProduct) for product in one)
    assert all(a is b for a, b in zip(one, again, strict=True))
    assert not {id(product) for product in one} & {id(product) for product in three + other}
    packed = [product for product in three if isinstance(product, PackedProduct)]
    assert len(packed) in (0, 17)  # as this build of torch has it
    assert all(a is b for a, b in zip(three, products(model, 3), strict=True))
    heads = [FrameStream(model, 3).depth.heads for _ in range(2)]
    assert not packed or all(a is b for a, b in zip(*heads, strict=True))


def step(kind):
    def change(model):
        loss = sum((parameter**2).sum() for parameter in model.parameters())
        settings = {"foreach": kind == "foreach", "fused": kind == "fused"}
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, **settings)
        loss.backward()
        optimizer.step()

    return change


def averaged(model):
    """As averages of weights are often put in: through `.data`, which counts nowhere."""
    for parameter in model.parameters():
        parameter.data.copy_(parameter.data.flip(0))


def one_value(model):
    model.backbone.layers[1].mlp.down_proj.weight.data[3, 5] += 40.0


def a_norm(model):
    model.depth_decoder.layers[0].post_attention_layernorm.weight.data[::2] *= -1


def heads(model):
    model.depth_heads.data[2] *= -1


def loaded(model):
    state = {name: value.roll(1, 0) for name, value in model.state_dict().items()}
    model.load_state_dict(state)


def assigned(model):
    model.load_state_dict({name: value.roll(1, 0) for name, value in model.state_dict().items()}, assign=True)


def another_layer(model):
    old = model.depth_decoder.layers[0].self_attn.k_proj
    model.depth_decoder.layers[0].self_attn.k_proj = nn.Linear(old.in_features, old.out_features, bias=False)


def there_and_back(model):
    model.bfloat16().float()


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing.*` is deprecated:FutureWarning")
def merged(model):
    """The layers are the same objects before and after, and are written through `.data` between."""
    names = r"(backbone|depth_decoder)\..*\.(q_proj|down_proj)"
    before = model.backbone.layers[0].self_attn.q_proj
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=names, init_lora_weights=False))
    adapted.merge_and_unload()
    assert model.backbone.layers[0].self_attn.q_proj is before


CHANGES = {
    "for": step("for"), "foreach": step("foreach"), "fused": step("fused"), "averaged": averaged,
    "one value": one_value, "a norm": a_norm, "heads": heads, "loaded": loaded, "assigned": assigned,
    "another layer": another_layer, "there and back": there_and_back, "merged": merged,
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing.*` is deprecated:FutureWarning")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("rows", [1, 3])
def test_what_is_generated_follows_every_change_of_the_weights(two_stage, conversation, rows, change):
    model = two_stage()
    prompt = conversation(model, batch=rows)[:, :12]
    settings = {"max_new_frames": 3, "do_sample": False, "stop_on_all_zeros": False, "return_dict_in_generate": True}
    before = model.generate(prompt, **settings)
    CHANGES[change](model)
    model.requires_grad_(False)
    found = model.generate(prompt, **settings)
    fresh = copy.deepcopy(model).generate(prompt, **settings)  # of which nothing is laid out yet
    assert torch.equal(found.sequences, fresh.sequences) and torch.equal(found.log_probs, fresh.log_probs)
    assert not torch.equal(found.log_probs, before.log_probs)
    text = torch.full_like(found.sequences[..., :1], -1)
    whole = torch.cat([prompt, torch.cat([found.sequences, text], -1)], 1)
    torch.testing.assert_close(model.log_probs(whole)[:, 12:], found.log_probs, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_a_stream_that_is_open_keeps_the_weights_it_began_with(two_stage, conversation):
    model = two_stage()
    prompt = conversation(model, batch=1)[:, :12]
    wanted, stream = FrameStream(copy.deepcopy(model), 1, seeds=0), FrameStream(model, 1, seeds=0)
    for one in (wanted, stream):
        one.feed(prompt)
    model.backbone.layers[0].mlp.down_proj.weight.mul_(-1)
    FrameStream(model, 1)
    assert all(torch.equal(stream.step().codes, wanted.step().codes) for _ in range(3))


def test_only_the_last_row_counts_are_kept_and_nothing_outlives_its_model(two_stage):
    gc.collect()
    before = len(shared._kept)
    model = two_stage()
    for rows in (1, 2, 3, 4):
        FrameStream(model, rows)
    owners = [module for module in model.modules() if module in shared._kept]
    assert len(owners) >= 17 and all(len(shared._kept[module]) == MOST_KEPT for module in owners)
    q_proj = model.backbone.layers[0].self_attn.q_proj
    assert [key[0] for key in shared._kept[q_proj]] == [3, 4]
    model.eval()
    assert q_proj in shared._kept
    model.train()  # weights are about to change: the memory is needed elsewhere
    assert not any(module in shared._kept for module in model.modules())
    FrameStream(model.eval(), 1)
    del model, owners, q_proj
    gc.collect()
    assert len(shared._kept) <= before


def test_a_state_is_of_bits_places_and_writes():
    for weight in (torch.ones(6, 4), torch.ones(3), torch.ones(5, dtype=torch.bfloat16), torch.ones(9)[1:]):
        now = state_of([weight])
        assert state_of([weight]) == now and state_of([weight.clone()]) != now
        weight.data.view(-1)[0] = -1.0  # a sign alone
        assert state_of([weight]) != now
    with torch.inference_mode():
        frozen = torch.ones(4)
    assert state_of([frozen]) == state_of([frozen]) and state_of([]) == ()


def test_what_was_made_is_made_anew_after_a_change_alone():
    owner, made = nn.Linear(3, 2), []

    def make():
        made.append(len(made))
        return made[-1]

    assert [laid_out(owner, key, [owner.weight], make) for key in ("a", "b", "a")] == [0, 1, 0]
    owner.weight.data[0, 0] += 1
    assert [laid_out(owner, key, [owner.weight], make) for key in ("b", "a", "b")] == [2, 3, 2]
