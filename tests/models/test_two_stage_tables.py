"""Slots that share rows: a model with `slot_tables` is one without them whose rows are copies, in all that it does."""

from __future__ import annotations

import re

import pytest
import torch
from transformers import AutoModel

from aoede.models import TwoStageConfig, TwoStageModel
from aoede.models.two_stage import FrameStream

from .conftest import labels_of

SNAC = [0, 1, 2, 2, 1, 2, 2]
SHARED = {"slot_sizes": [8, 6, 9, 9, 6, 9, 9], "slot_tables": SNAC, "stop": "row"}
"""Rows of the audio embedding: slot 0 has 0-8 (8 is the stop), slots 1 and 4 have 9-14, the other four 15-23."""


@torch.no_grad()
def with_copies(shared: TwoStageModel, two_stage) -> TwoStageModel:
    """The same model with rows for each slot: copies, to which the vector of the slot is added."""
    config = shared.config
    rows = {"slot_sizes": config.slot_sizes, "slot_rows": config.slot_rows, "stop": config.stop}
    model = two_stage(**rows, text_stride=config.text_stride)
    own = {k: v for k, v in shared.state_dict().items() if not k.startswith("slot_")} | {
        "slot0_head.weight": shared.slot0_head.weight
    }
    sizes, begins = config.slot_rows, config.slot_offsets
    own["audio_embeddings.weight"] = torch.cat(
        [
            shared.audio_embeddings.weight[begins[slot] : begins[slot] + size]
            * (1.0 if shared.slot_gains is None else 1 + shared.slot_gains.weight[slot])
            + shared.slot_embeddings.weight[slot]
            for slot, size in enumerate(sizes)
        ]
    )
    own["depth_heads"] = torch.stack([shared.depth_heads[table - 1] for table in config.slot_tables[1:]])
    model.load_state_dict(own)
    return model


def test_rows_begin_where_their_table_does(two_stage):
    config = two_stage(**SHARED).config
    assert config.slot_offsets == [0, 9, 15, 15, 9, 15, 15, 24]
    assert config.tables == SNAC and config.legal_rows == [9, 6, 9, 9, 6, 9, 9]
    assert two_stage(slot_sizes=[8, 6, 9]).config.tables == [0, 1, 2]


@torch.no_grad()
def test_a_frame_is_the_sum_of_shared_rows_and_of_vectors_of_its_slots(two_stage):
    model = two_stage(**SHARED)
    assert model.audio_embeddings.weight.shape == (24, 32) and model.slot_embeddings.weight.shape == (7, 32)
    assert model.depth_heads.shape == (2, 24, 9)
    model.audio_embeddings.weight.copy_(torch.arange(24.0)[:, None].expand(-1, 32))
    model.slot_embeddings.weight.copy_(100 * torch.arange(7.0)[:, None].expand(-1, 32))
    model.text_embeddings.weight.copy_(10000 * torch.arange(20.0)[:, None].expand(-1, 32))
    frames = torch.tensor([[1, 2, 3, 4, 0, 1, 2, -1], [8, -1, -1, -1, -1, -1, -1, -1], [-1] * 7 + [3]])
    found = model.embed(frames, frames >= 0)
    # 1 + (9 + 2) + (15 + 3) + (15 + 4) + (9 + 0) + (15 + 1) + (15 + 2), and 100 * (1 + 2 + 3 + 4 + 5 + 6)
    assert found[:, 0].tolist() == [91 + 2100, 8, 30000] and (found == found[:, :1]).all()
    codes = model.embed_codes(frames[:1, :7])
    assert codes[0, :, 5].tolist() == [1, 111, 218, 319, 409, 516, 617]
    assert model.embed_codes(frames[:1, 3:5], slot=3)[0, :, 5].tolist() == [319, 409]


@torch.no_grad()
def test_slots_of_one_table_are_scored_by_one_head(two_stage, conversation):
    model = two_stage(**SHARED)
    frames = conversation(model)
    before = model(frames, labels=labels_of(frames)).depth_logits
    assert torch.isinf(before[:, [0, 3], 6:]).all() and torch.isfinite(before[:, [1, 2, 4, 5]]).all()
    model.depth_heads[1] *= 2.0  # table 2: slots 2, 3, 5, 6
    after = model(frames, labels=labels_of(frames)).depth_logits
    torch.testing.assert_close(after[:, [1, 2, 4, 5]], 2 * before[:, [1, 2, 4, 5]])
    assert torch.equal(after[:, [0, 3]], before[:, [0, 3]])


@pytest.mark.parametrize("has_gains", [False, True])
def test_losses_log_probs_and_gradients_are_those_of_copies(two_stage, conversation, has_gains):
    shared = two_stage(**SHARED, slot_gains=has_gains)
    copies = with_copies(shared, two_stage)
    frames = conversation(shared)
    labels = labels_of(frames)
    ours, theirs = (model(frames, labels=labels) for model in (shared, copies))
    for name in ("loss", "backbone_loss", "depth_loss", "backbone_logits", "depth_logits"):
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shared.log_probs(frames), copies.log_probs(frames), rtol=1e-4, atol=1e-5)
    for loss in (ours.loss, theirs.loss):
        loss.backward()
    heads = copies.depth_heads.grad
    wanted = torch.stack([heads[[0, 3]].sum(0), heads[[1, 2, 4, 5]].sum(0)])
    torch.testing.assert_close(shared.depth_heads.grad, wanted, rtol=1e-4, atol=1e-5)
    rows = copies.audio_embeddings.weight.grad.split(copies.config.slot_rows)
    wanted = torch.stack([part.sum(0) for part in rows])
    torch.testing.assert_close(shared.slot_embeddings.weight.grad, wanted, rtol=1e-4, atol=1e-5)
    if has_gains:
        begins = shared.config.slot_offsets
        own = [
            shared.audio_embeddings.weight[begin : begin + len(part)]
            for begin, part in zip(begins[:-1], rows, strict=True)
        ]
        wanted = torch.stack([(row * part).sum(0) for row, part in zip(own, rows, strict=True)])
        torch.testing.assert_close(shared.slot_gains.weight.grad, wanted, rtol=1e-4, atol=1e-5)
        rows = [part * (1 + gain) for part, gain in zip(rows, shared.slot_gains.weight, strict=True)]
    wanted = torch.cat([rows[0], rows[1] + rows[4], rows[2] + rows[3] + rows[5] + rows[6]])
    torch.testing.assert_close(shared.audio_embeddings.weight.grad, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("batch", "has_gains"), [(1, False), (3, False), (1, True), (3, True)])
@torch.no_grad()
def test_what_is_drawn_is_what_copies_draw_and_what_forward_says(two_stage, conversation, batch, has_gains):
    shared = two_stage(**SHARED, slot_gains=has_gains)
    copies = with_copies(shared, two_stage)
    prompt = conversation(shared, batch=batch)[:, :12]
    settings = {"max_new_frames": 5, "temperature": 1.1, "top_k": 6, "seeds": 3, "return_dict_in_generate": True}
    out = shared.generate(prompt, **settings)
    assert torch.equal(out.sequences, copies.generate(prompt, **settings).sequences)
    whole = torch.cat([prompt, torch.cat([out.sequences, torch.full_like(out.sequences[..., :1], -1)], -1)], 1)
    torch.testing.assert_close(shared.log_probs(whole)[:, 12:], out.log_probs, rtol=1e-4, atol=1e-5)
    assert (out.sequences.flatten(0, 1).amax(0) < torch.tensor(shared.config.legal_rows)).all()
    greedy = shared.generate(prompt, max_new_frames=1, do_sample=False)
    assert all(row.shape == (1, 7) for row in greedy)
    frame = torch.cat([torch.stack(greedy), torch.full((batch, 1, 1), -1)], -1)
    read = torch.cat([prompt, frame], 1)
    labels = labels_of(read)
    labels[:, :-1] = -100
    said = shared(read, labels=labels)
    assert torch.equal(said.backbone_logits[:, -2].argmax(-1), frame[:, 0, 0])
    assert torch.equal(said.depth_logits.argmax(-1), frame[:, 0, 1:7])


@torch.no_grad()
def test_only_gains_tell_the_backbone_the_order_of_slots_that_share_rows(two_stage, conversation):
    """A frame is a sum: with added vectors alone, codes of slots 2 and 3 may change places and nobody hears it."""
    for has_gains in (False, True):
        model = two_stage(**SHARED, slot_gains=has_gains)
        frames = conversation(model, batch=1)
        frames[:, 4, 2:4] = torch.tensor([1, 5])
        turned = frames.clone()
        turned[:, 4, 2:4] = torch.tensor([5, 1])
        heard, other = (model.hidden_states(x)[:, 4] for x in (frames, turned))
        assert torch.allclose(heard, other, atol=1e-4) is not has_gains
        # The depth decoder reads codes one by one, and hears it either way.
        heard, other = (model.embed_codes(x[0, 4:5, :7]) for x in (frames, turned))
        assert not torch.allclose(heard[:, 2], other[:, 3], atol=1e-3)


@torch.no_grad()
def test_gains_multiply_shared_rows(two_stage):
    model = two_stage(**SHARED, slot_gains=True)
    assert 0.4 < float(model.slot_gains.weight.std()) < 0.6 and abs(float(model.slot_gains.weight.mean())) < 0.1
    model.audio_embeddings.weight.copy_(torch.arange(24.0)[:, None].expand(-1, 32))
    model.slot_embeddings.weight.copy_(1000 * torch.arange(7.0)[:, None].expand(-1, 32))
    model.slot_gains.weight.copy_(torch.arange(7.0)[:, None].expand(-1, 32))
    frames = torch.tensor([[1, 2, 3, 4, 0, 1, 2, -1], [8, -1, -1, -1, -1, -1, -1, -1]])
    # 1 * 1 + 2 * 11 + 3 * 18 + 4 * 19 + 5 * 9 + 6 * 16 + 7 * 17, and 1000 * (1 + 2 + 3 + 4 + 5 + 6)
    assert model.embed(frames, frames >= 0)[:, 0].tolist() == [413 + 21000, 8]
    assert model.embed_codes(frames[:1, :7])[0, :, 0].tolist() == [1, 1022, 2054, 3076, 4045, 5096, 6119]
    assert model.embed_codes(frames[:1, 3:5], slot=3)[0, :, 0].tolist() == [3076, 4045]


def test_a_saved_folder_keeps_what_is_shared(two_stage, conversation, tmp_path):
    model = two_stage(**SHARED, slot_gains=True)
    frames = conversation(model)
    model.save_pretrained(tmp_path)
    for loaded in (TwoStageModel.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):
        assert loaded.config.slot_tables == SNAC and loaded.config.slot_gains
        assert loaded.slot_embeddings.weight.shape == (7, 32)
        assert torch.equal(loaded.log_probs(frames), model.log_probs(frames))


@pytest.mark.parametrize("layout", ["csm-1b-hf", "transformers"])
def test_the_layouts_of_the_public_csm_cannot_say_it(two_stage, tmp_path, layout):
    model = two_stage(slot_sizes=[8] * 7, slot_tables=SNAC)
    words = f"slots share rows (slot_tables {SNAC}), but in the layout {layout} each has its own: write layout='aoede'"
    with pytest.raises(ValueError, match=re.escape(words)):
        model.save_pretrained(tmp_path / "out", layout=layout)
    assert not (tmp_path / "out").exists()


def test_nothing_to_train_gives_a_gradient_for_every_weight(two_stage, conversation):
    model = two_stage(**SHARED, slot_gains=True)
    frames = conversation(model)
    out = model(frames, labels=torch.full_like(labels_of(frames), -100))
    out.loss.backward()
    assert out.loss == 0 and all(parameter.grad is not None for parameter in model.parameters())


@torch.no_grad()
def test_a_stream_of_shared_rows_goes_on_with_fewer_rows(two_stage, conversation):
    model = two_stage(**SHARED)
    prompt = conversation(model, batch=3)[:, :4]
    stream, alone = FrameStream(model, 3, seeds=5), FrameStream(model, 1, seeds=7)
    stream.feed(prompt)
    alone.feed(prompt[2:])
    assert torch.equal(stream.step().codes[2], alone.step().codes[0])
    stream.keep(torch.tensor([2]))
    assert torch.equal(stream.step().codes[0], alone.step().codes[0])


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([0, 1, 2], r"slot_tables is \[0, 1, 2\]; give each of 7 slots a table"),
        ([0, 0, 1, 1, 1, 1, 1], "with slot 0's for itself"),
        ([0, 2, 1, 1, 2, 1, 1], "numbered 0, 1, ... as they first come"),
        ([0, 1, 3, 3, 1, 3, 3], "numbered 0, 1, ... as they first come"),
        ([-1, 0, 1, 1, 0, 1, 1], "numbered 0, 1"),
        ([0, 1, 1, 1, 1, 1, 1], "slots 1 and 2 share table 1, but not their sizes: give one its own"),
    ],
)
def test_tables_that_do_not_fit_are_refused(two_stage, tables, message):
    with pytest.raises(ValueError, match=message):
        two_stage(**{**SHARED, "slot_tables": tables})


def test_slots_with_other_rows_share_none(two_stage):
    with pytest.raises(ValueError, match="slot_gains is for slots that share rows: give slot_tables"):
        two_stage(slot_gains=True)
    rows = {"slot_sizes": [8, 6, 6], "slot_rows": [8, 6, 7], "slot_tables": [0, 1, 1]}
    with pytest.raises(ValueError, match="slots 1 and 2 share table 1, but not their sizes"):
        two_stage(**rows)
    assert TwoStageConfig(slot_sizes=[8, 6], slot_tables=[0, 1], text_vocab_size=3).slot_offsets == [0, 8, 14]
