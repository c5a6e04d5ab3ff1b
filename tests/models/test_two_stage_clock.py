"""Parallel positions of frames: where text and audio stand, in a chunk or all at once, in training and in a stream."""

from __future__ import annotations

import pytest
import torch

from aoede.models.two_stage import FrameStream
from aoede.models.two_stage.clock import FrameClock, frame_strides

from .conftest import labels_of

KINDS = "tttaaa" + "tta"


def present(kinds: str, slots: int = 2) -> torch.Tensor:
    """[1, F, S + 1] of a row written as t (text), a (audio) and . (padding)."""
    rows = {"t": [False] * slots + [True], "a": [True] * slots + [False], ".": [False] * (slots + 1)}
    return torch.tensor([[rows[kind] for kind in kinds]])


def test_text_and_audio_of_a_turn_begin_together_and_the_next_turn_follows():
    clock = FrameClock(1, 2, torch.device("cpu"))
    positions = clock.advance(present(KINDS), torch.tensor([1.5]))
    # Two positions a frame; text ids at round(0), round(1.5) and round(3). The second turn begins behind three frames.
    assert positions.tolist() == [[0, 2, 3, 0, 2, 4, 6, 8, 6]]


def test_turns_may_have_strides_of_their_own():
    stride = torch.tensor([[1.0] * 6 + [4.0] * 3])
    positions = FrameClock(1, 2, torch.device("cpu")).advance(present(KINDS), stride)
    assert positions.tolist() == [[0, 1, 2, 0, 2, 4, 6, 10, 6]]


@pytest.mark.parametrize("cut", range(1, len(KINDS)))
def test_chunk_by_chunk_gives_what_all_at_once_gives(cut):
    whole = FrameClock(1, 2, torch.device("cpu"), begin=5).advance(present(KINDS), torch.tensor([1.5]))
    clock = FrameClock(1, 2, torch.device("cpu"), begin=5)
    parts = [clock.advance(present(part), torch.tensor([1.5])) for part in (KINDS[:cut], ".." + KINDS[cut:])]
    assert torch.equal(torch.cat([parts[0], parts[1][:, 2:]], 1), whole)


@pytest.mark.parametrize(("stride", "words"), [(0.0, "above 0"), ([1.0, 2.0, 3.0], "text_stride is")])
def test_wrong_strides_are_told_in_words(stride, words):
    with pytest.raises(ValueError, match=words):
        frame_strides(torch.tensor(stride), 2, 5, torch.device("cpu"))


@torch.no_grad()
def test_text_far_from_its_sound_changes_the_scores(two_stage, conversation):
    model = two_stage(text_stride=2.0)
    frames = conversation(model)
    near, far = (model(frames, text_stride=stride).backbone_logits for stride in (2.0, 50.0))
    assert not torch.allclose(near, far, atol=1e-3)
    assert torch.equal(near, model(frames).backbone_logits)
    assert torch.equal(near, model(frames, text_stride=torch.full(frames.shape[:2], 2.0)).backbone_logits)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_a_stream_and_a_cache_see_the_positions_of_training(two_stage, conversation, kind):
    model = two_stage(kind, text_stride=2.0)
    frames = conversation(model)
    whole = model.hidden_states(frames)
    stream = FrameStream(model, 2, seeds=0)
    for at in range(0, frames.shape[1], 3):
        stream.feed(frames[:, at : at + 3])
        assert torch.allclose(stream.hidden, whole[:, min(at + 2, frames.shape[1] - 1)], atol=1e-5)
    first = model(frames[:, :9], use_cache=True)
    rest = model(frames[:, 9:], past_key_values=first.past_key_values, use_cache=True)
    joined = torch.cat([first.backbone_logits, rest.backbone_logits], 1)
    assert torch.allclose(joined, model(frames).backbone_logits, atol=1e-5)


@torch.no_grad()
def test_padding_on_either_side_changes_nothing(two_stage, conversation):
    model = two_stage(text_stride=2.0)
    frames = conversation(model)
    labels = labels_of(frames)
    loss = model(frames, labels=labels).loss
    for side in ((3, 0), (0, 3)):
        wide = torch.nn.functional.pad(frames, (0, 0, *side), value=-1)
        wide_labels = torch.nn.functional.pad(labels, (0, 0, *side), value=-100)
        assert torch.allclose(model(wide, labels=wide_labels).loss, loss, atol=1e-5)


@torch.no_grad()
def test_generated_frames_have_the_log_probs_that_scoring_gives_them(two_stage, conversation):
    model = two_stage(text_stride=2.0)
    prompt = conversation(model, turns=1)[:, :4]
    strides = torch.tensor([1.5, 6.0])
    drawn = model.generate(prompt, max_new_frames=6, seeds=3, text_stride=strides, return_dict_in_generate=True)
    for row in range(2):
        count = int(drawn.lengths[row])
        codes = drawn.sequences[row, :count]
        frames = torch.cat([prompt[row], torch.cat([codes, torch.full((count, 1), -1)], 1)])[None]
        found = model.log_probs(frames, text_stride=strides[row : row + 1])[0, 4:]
        assert torch.allclose(found, drawn.log_probs[row, :count], atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("way", ["embeds", "keys"])
def test_a_trained_prefix_stands_before_the_clock(two_stage, conversation, way):
    model = two_stage(text_stride=2.0)
    frames = conversation(model)
    config = model.config.backbone
    generator = torch.Generator().manual_seed(0)
    if way == "embeds":
        prefix = {"prefix_embeds": torch.randn(3, config.hidden_size, generator=generator)}
    else:
        shape = (1, config.num_key_value_heads, 3, config.head_dim)
        pairs = [tuple(torch.randn(shape, generator=generator) for _ in range(2)) for _ in range(2)]
        prefix = {"prefix_key_values": pairs}
    scored = model.log_probs(frames, **prefix)
    assert not torch.allclose(scored, model.log_probs(frames), atol=1e-3)
    stream = FrameStream(model, 2, seeds=0, **prefix)
    stream.feed(frames[:, :5])
    stream.feed(frames[:, 5:7])
    logits = model(frames[:, :7], **prefix).backbone_logits[:, -1]
    assert torch.allclose(model.slot0_logits(stream.hidden), logits, atol=1e-5)


def test_packed_rows_are_refused_with_words(two_stage, conversation):
    model = two_stage(text_stride=2.0)
    frames = conversation(model, turns=2)
    positions = torch.arange(8).repeat(2)[None].expand(2, -1)
    with pytest.raises(ValueError, match="text_stride sets the positions itself"):
        model(frames, position_ids=positions)


def test_noise_is_read_and_labels_stay(two_stage, conversation):
    model = two_stage()
    frames = conversation(model)
    labels = labels_of(frames)
    noisy = frames.clone()
    noisy[:, 4, 0] = (noisy[:, 4, 0] + 1) % 8
    clean, heard = (model(frames, labels=labels, noisy_ids=ids) for ids in (frames, noisy))
    assert torch.equal(clean.loss, model(frames, labels=labels).loss)
    # Slot 0 of the struck frame itself is still asked for, from the same state; what comes after it reads the noise.
    assert torch.equal(clean.backbone_logits[:, 3], heard.backbone_logits[:, 3])
    assert not torch.allclose(clean.backbone_logits[:, 4], heard.backbone_logits[:, 4], atol=1e-3)
    assert not torch.allclose(clean.depth_loss, heard.depth_loss)


def test_the_losses_of_the_slots_add_up(two_stage, conversation):
    model = two_stage()
    frames = conversation(model)
    out = model(frames, labels=labels_of(frames))
    assert torch.allclose(out.slot_losses[0], out.backbone_loss)
    rest = (out.slot_losses * out.slot_counts)[1:].sum() / out.slot_counts[1:].sum()
    assert torch.allclose(rest, out.depth_loss)
