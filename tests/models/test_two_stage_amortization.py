"""Amortization: which frames are drawn, that only those are computed, and what that saves."""

from __future__ import annotations

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from aoede.models import amortized_frames

from .conftest import labels_of


@pytest.fixture
def labels():
    """[100, 7], of which 90 frames are trained: frames 10 .. 99."""
    given = torch.randint(0, 8, (100, 7), generator=torch.Generator().manual_seed(0))
    given[:10] = -100
    return given


def test_one_frame_of_sixteen_is_drawn_among_the_trained_ones(labels):
    drawn = amortized_frames(16, 0, 0, 0, labels)
    assert drawn.shape == (100,) and int(drawn.sum()) == 6 and not drawn[:10].any()  # ceil(90 / 16)
    assert int(amortized_frames(1, 0, 0, 0, labels).sum()) == 90
    assert int(amortized_frames(1000, 0, 0, 0, labels).sum()) == 1
    assert not amortized_frames(4, 0, 0, 0, torch.full((5, 7), -100)).any()


def test_a_frame_with_slot_0_alone_is_not_drawn(labels):
    labels[50:, 1:] = -100
    assert not amortized_frames(1, 0, 0, 0, labels)[50:].any()


def test_the_draw_depends_on_seed_epoch_and_item_alone(labels):
    torch.manual_seed(1)
    first = amortized_frames(4, 0, 0, 3, labels)
    torch.manual_seed(2)
    assert torch.equal(first, amortized_frames(4, 0, 0, 3, labels))
    draws = {
        tuple(amortized_frames(4, seed, epoch, item, labels).tolist())
        for seed in (0, 1) for epoch in (0, 1) for item in (3, 4, "name")
    }  # fmt: skip
    assert len(draws) == 12


def test_every_frame_has_its_turn_over_the_epochs(labels):
    counts = sum(amortized_frames(16, 0, epoch, 7, labels).long() for epoch in range(600))[10:]
    assert abs(counts.float().mean() - 40) < 1e-4  # 600 * 6 / 90
    assert counts.min() > 15 and counts.max() < 70  # four standard deviations of 6.1


def test_what_cannot_be_drawn_is_refused(labels):
    with pytest.raises(ValueError, match="ratio 0 is below 1"):
        amortized_frames(0, 0, 0, 0, labels)
    with pytest.raises(ValueError, match=r"labels are \[1, 100, 7\], expected \[F, S\]"):
        amortized_frames(2, 0, 0, 0, labels[None])


def test_only_drawn_frames_are_computed_and_their_mean_is_the_loss(two_stage, conversation):
    model = two_stage()
    frames = conversation(model, turns=4)
    labels = labels_of(frames)
    seen = []
    hook = model.depth_decoder.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["inputs_embeds"].shape[0]), with_kwargs=True
    )
    whole = model(frames, labels=labels)
    drawn = torch.stack([amortized_frames(4, 0, 0, row, labels[row]) for row in range(2)])
    out = model(frames, labels=labels, amortization=drawn)
    hook.remove()
    assert seen == [32, 8]
    assert torch.equal(out.depth_frames, drawn) and out.depth_logits.shape[0] == 8
    assert out.backbone_loss == whole.backbone_loss
    kept = drawn[whole.depth_frames]
    scores = whole.depth_logits[kept].log_softmax(-1).gather(-1, labels[drawn][:, 1:, None])
    torch.testing.assert_close(out.depth_loss, -scores.mean())


def test_the_model_draws_by_itself_in_training_only(two_stage, conversation):
    model = two_stage(amortization_ratio=4)
    frames = conversation(model, turns=4)
    labels = labels_of(frames)
    assert int(model(frames, labels=labels).depth_frames.sum()) == 32
    model.train()
    torch.manual_seed(0)
    first, second = (model(frames, labels=labels).depth_frames for _ in range(2))
    assert int(first.sum()) == int(second.sum()) == 8 and not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(first, model(frames, labels=labels).depth_frames)


def test_a_sixteenth_of_the_frames_takes_a_fraction_of_the_memory(two_stage, conversation):
    """Bytes that the forward pass keeps for the backward pass, weights not counted."""
    model = two_stage(slot_sizes=[64] * 32).train()
    frames = conversation(model, turns=16, batch=1)
    labels = labels_of(frames)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def kept(ratio):
        storages = {}

        def pack(tensor):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        with saved_tensors_hooks(pack, lambda tensor: tensor):
            drawn = amortized_frames(ratio, 0, 0, 0, labels[0])[None]
            loss = model(frames, labels=labels, amortization=drawn, return_logits=False).loss
        del loss
        return sum(storages.values())

    backbone = kept(10**6)  # one frame
    assert kept(16) - backbone < 1.5 / 16 * (kept(1) - backbone)
    assert kept(16) < 0.2 * kept(1)
