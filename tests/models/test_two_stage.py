"""The two-stage model: what its losses are, what they depend on, padding, packing, prefixes, folders."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoConfig, AutoModel

from aoede.models import TwoStageConfig, TwoStageModel
from aoede.models.two_stage.frames import trained_entries

from .conftest import labels_of, tiny_stage

SLOTS = {
    "snac": {"slot_sizes": [8] * 7},
    "uneven": {"slot_sizes": [8, 5, 9, 3], "stop": "row"},
    "mimi": {"slot_sizes": [6] * 32, "slot_rows": [9] * 32},
}


def reference(model, frames, labels):
    """Both losses the long way: a frame, a slot, an entry at a time."""
    config, slots = model.config, model.config.num_slots
    offsets = [sum(config.slot_rows[:s]) for s in range(slots)]

    def entry(slot, code):
        return model.audio_embeddings.weight[offsets[slot] + code]

    first, rest = [], []
    for row, wanted in zip(frames.tolist(), labels.tolist(), strict=True):
        vectors = []
        for frame in row:
            vector = torch.zeros(config.hidden_size)
            for slot, code in enumerate(frame[:slots]):
                vector = vector + entry(slot, code) if code >= 0 else vector
            vectors.append(vector + model.text_embeddings.weight[frame[slots]] if frame[slots] >= 0 else vector)
        hidden = model.backbone(inputs_embeds=torch.stack(vectors)[None]).last_hidden_state[0]
        for t in range(1, len(row)):
            if wanted[t][0] != -100:
                scores = model.slot0_head.weight[: config.legal_rows[0]] @ hidden[t - 1]
                first.append(-scores.log_softmax(-1)[wanted[t][0]])
            if wanted[t][1] == -100:
                continue
            inner = [hidden[t - 1], *(entry(s, row[t][s]) for s in range(slots - 1))]
            inner = model.depth_decoder(inputs_embeds=model.projection(torch.stack(inner))[None]).last_hidden_state[0]
            for slot in range(1, slots):
                scores = inner[slot] @ model.depth_heads[slot - 1][:, : config.legal_rows[slot]]
                rest.append(-scores.log_softmax(-1)[wanted[t][slot]])
    return torch.stack(first).mean(), torch.stack(rest).mean()


@pytest.mark.parametrize("slots", SLOTS)
def test_both_losses_equal_the_long_way(two_stage, conversation, slots):
    model = two_stage(**SLOTS[slots], depth_loss_weight=0.5)
    frames = conversation(model)
    labels = labels_of(frames)
    labels[0, :8] = -100
    out = model(frames, labels=labels)
    first, rest = reference(model, frames, labels)
    torch.testing.assert_close(out.backbone_loss, first)
    torch.testing.assert_close(out.depth_loss, rest)
    torch.testing.assert_close(out.loss, first + 0.5 * rest)
    widest = max(model.config.slot_rows[1:])
    drawn = 9 if model.config.stop == "row" else 12  # three turns; a stop row has no other slots
    assert out.backbone_logits.shape == (2, 16, model.config.slot_rows[0])
    assert out.depth_logits.shape == (drawn, model.config.num_slots - 1, widest)
    assert int(out.depth_frames.sum()) == drawn
    lean = model(frames, labels=labels, return_logits=False)
    torch.testing.assert_close(lean.loss, out.loss)
    assert lean.backbone_logits is None and lean.depth_logits is None


def gradients(model, *args, **kwargs):
    model.zero_grad()
    out = model(*args, **kwargs)
    out.loss.backward()
    return out.loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters()}


def test_masked_turns_are_context_whatever_their_labels_say(two_stage, conversation):
    model = two_stage()
    frames = conversation(model, turns=3)
    labels = labels_of(frames)
    mask = torch.ones(2, 24, dtype=torch.bool)
    mask[:, :16] = False
    loss, grads = gradients(model, frames, labels=labels, training_mask=mask)
    for seed in range(3):  # other codes, in sound and stop frames alike
        other = labels.clone()
        other[:, :16] = torch.randint(0, 8, other[:, :16].shape, generator=torch.Generator().manual_seed(seed))
        found, others = gradients(model, frames, labels=other, training_mask=mask)
        assert found == loss and all(torch.equal(others[name], grads[name]) for name in grads)
    ignored, others = gradients(model, frames, labels=labels.masked_fill(~mask[..., None], -100))
    assert ignored == loss and all(torch.equal(others[name], grads[name]) for name in grads)


def test_the_loss_and_gradient_depend_on_every_trained_label(two_stage, conversation):
    model = two_stage()
    frames = conversation(model)
    labels = labels_of(frames)
    whole, grads = gradients(model, frames, labels=labels)
    for place in (4, 6, 7, 15):  # first and last sound of a turn, both stop frames
        for slot in (0, 1, 6):
            less = labels.clone()
            less[0, place, slot] = -100
            loss, others = gradients(model, frames, labels=less)
            assert loss != whole and any(not torch.equal(others[name], grads[name]) for name in grads)
    # The codes of the last frame change nothing but what is predicted of it.
    changed = frames.clone()
    changed[:, 15, :7] = 3
    assert gradients(model, changed, labels=labels_of(changed))[0] != whole
    untrained = labels.clone()
    untrained[:, 15] = -100
    before = gradients(model, frames, labels=untrained)[0]
    assert gradients(model, changed, labels=untrained)[0] == before


def test_a_context_turn_is_still_read(two_stage, conversation):
    model = two_stage()
    frames = conversation(model)
    labels = labels_of(frames)
    labels[:, :8] = -100
    changed = frames.clone()
    changed[:, 5, 2] = (changed[:, 5, 2] + 1) % 8
    assert model(frames, labels=labels).loss != model(changed, labels=labels).loss


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma3", "nemotron_h"])
def test_padding_on_either_side_changes_nothing(two_stage, conversation, kind):
    model = two_stage(kind)
    frames = conversation(model)
    labels = labels_of(frames)
    alone = model(frames, labels=labels)
    pad, blank = torch.full_like(frames[:, :3], -1), torch.full_like(labels[:, :3], -100)
    right = model(torch.cat([frames, pad], 1), labels=torch.cat([labels, blank], 1))
    left = model(torch.cat([pad, frames], 1), labels=torch.cat([blank, labels], 1))
    # Zeros under a mask, as csm-hf pads, are the same as no entries; the mask is of frames, or of entries.
    there = torch.ones(2, 19, dtype=torch.bool)
    there[:, :3] = False
    zeros = torch.cat([torch.zeros_like(pad), frames], 1)
    masked = model(zeros, there, labels=torch.cat([blank, labels], 1))
    entries = there[..., None] & (zeros >= 0)
    full = model(zeros.clamp(min=0), entries.long(), labels=torch.cat([blank, labels], 1))
    for out in (right, left, masked, full):
        torch.testing.assert_close(out.loss, alone.loss, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(out.depth_logits, alone.depth_logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(left.backbone_logits[:, 3:], alone.backbone_logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(right.backbone_logits[:, :16], alone.backbone_logits, rtol=1e-4, atol=1e-4)


def test_the_first_frame_behind_padding_is_not_predicted_from_it(two_stage, conversation):
    model = two_stage()
    frames = conversation(model)[:, 4:]  # begins with sound
    pad = torch.full_like(frames[:, :2], -1)
    padded = torch.cat([pad, frames], 1)
    out = model(padded, labels=labels_of(padded))
    assert not out.depth_frames[:, 2].any() and out.depth_frames[:, 3].all()
    torch.testing.assert_close(out.loss, model(frames, labels=labels_of(frames)).loss)


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma3"])
def test_packed_conversations_are_what_they_would_be_alone(two_stage, conversation, kind):
    model = two_stage(kind)
    first, second = conversation(model, turns=1, seed=1), conversation(model, turns=2, seed=2)[:, 4:]
    pad = torch.full_like(first[:, :2], -1)
    packed = torch.cat([first, second, pad], 1)
    positions = torch.cat([torch.arange(8), torch.arange(12), torch.arange(2)]).expand(2, -1)
    found = model.log_probs(packed, position_ids=positions)
    torch.testing.assert_close(found[:, :8], model.log_probs(first), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[:, 8:20], model.log_probs(second), rtol=1e-4, atol=1e-5)
    assert not found[:, 8].any()  # a conversation's first frame has none of its own before it
    out = model(packed, labels=labels_of(packed), position_ids=positions)
    assert not out.depth_frames[:, 8].any()
    # What stands in one conversation changes nothing in the other.
    other = torch.cat([conversation(model, turns=1, seed=9), second, pad], 1)
    torch.testing.assert_close(model.log_probs(other, position_ids=positions)[:, 8:], found[:, 8:], rtol=0, atol=2e-6)


def test_packed_rows_that_would_leak_are_refused(two_stage, conversation):
    frames = conversation(two_stage(), turns=1)
    packed, positions = torch.cat([frames, frames], 1), torch.arange(8).repeat(2)[None]
    with pytest.raises(ValueError, match="packed rows take neither a cache nor a prefix"):
        two_stage()(packed, position_ids=positions, use_cache=True)
    with pytest.raises(ValueError, match="leak through a recurrent backbone"):
        two_stage("nemotron_h")(packed, position_ids=positions)
    packed[:, 3] = -1
    with pytest.raises(ValueError, match="padding inside"):
        two_stage()(packed, position_ids=positions)


def test_num_items_in_batch_makes_accumulation_exact(two_stage, conversation):
    model = two_stage()
    frames = conversation(model, batch=4)
    labels = labels_of(frames)
    labels[0, :8] = -100
    whole = model(frames, labels=labels)
    items = int((labels != -100).sum())
    parts = [model(frames[i : i + 1], labels=labels[i : i + 1], num_items_in_batch=items) for i in range(4)]
    torch.testing.assert_close(sum(p.backbone_loss for p in parts), whole.backbone_loss)
    torch.testing.assert_close(sum(p.depth_loss for p in parts), whole.depth_loss)


def test_nothing_to_train_gives_zero_and_a_gradient_for_every_weight(two_stage, conversation):
    model = two_stage()
    frames = conversation(model)
    for drawn in (None, torch.zeros(2, 16)):
        labels = torch.full((2, 16, 7), -100) if drawn is None else labels_of(frames)
        loss, grads = gradients(model, frames, labels=labels, amortization=drawn)
        assert len(grads) == len(list(model.parameters()))
        assert (loss == 0) == (drawn is None)


@pytest.mark.parametrize("slots", SLOTS)
def test_the_loss_is_lowest_at_shift_0(two_stage, conversation, slots):
    model = two_stage(**SLOTS[slots]).train()
    frames = conversation(model)
    labels = labels_of(frames)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(8):
        optimizer.zero_grad()
        model(frames, labels=labels).loss.backward()
        optimizer.step()
    model.eval().requires_grad_(False)

    def at(shift):
        """Both losses where frame t + shift is asked of what stands before frame t."""
        config, total = model.config, 0.0
        hidden = model.backbone(inputs_embeds=model.embed(frames, frames >= 0)).last_hidden_state
        asked = torch.roll(frames, -shift, 1)[..., : config.num_slots]
        places = [t for t in range(2, 15) if (asked[:, t] >= 0).all()]
        for t in places:
            total += F.cross_entropy(model.slot0_logits(hidden[:, t - 1]), asked[:, t, 0])
            logits = model.depth_logits(hidden[:, t - 1], asked[:, t])
            total += F.cross_entropy(logits.flatten(0, 1), asked[:, t, 1:].flatten())
        return float(total) / len(places)

    assert at(0) < 0.8 * min(at(-1), at(1))


def test_rows_without_codes_are_never_legal(two_stage, conversation):
    model = two_stage(slot_sizes=[8, 5, 9, 3], slot_rows=[11, 11, 11, 11], stop="row")
    frames = conversation(model)
    out = model(frames, labels=labels_of(frames))
    assert out.backbone_logits[..., 9:].isneginf().all() and out.backbone_logits[..., :9].isfinite().all()
    for slot, size in enumerate((5, 9, 3)):
        assert out.depth_logits[:, slot, size:].isneginf().all() and out.depth_logits[:, slot, :size].isfinite().all()
    _, grads = gradients(model, frames, labels=labels_of(frames))
    assert all(grad.isfinite().all() for grad in grads.values())
    assert not grads["slot0_head.weight"][9:].any() and not grads["depth_heads"][2, :, 3:].any()


def test_a_frame_that_was_read_already_may_stand_in_front_as_a_prefix(two_stage, conversation):
    model = two_stage()
    frames = conversation(model, batch=2)
    frames[:, :2] = frames[:1, :2]
    labels = labels_of(frames)
    whole = model(frames, labels=labels)
    pad, blank = torch.full_like(frames[:, :1], -1), torch.full_like(labels[:, :1], -100)
    rest, targets = torch.cat([pad, frames[:, 2:]], 1), torch.cat([blank, labels[:, 2:]], 1)
    vectors = model.embed(frames[0, :2], frames[0, :2] >= 0)
    cache = model.backbone(inputs_embeds=vectors[None], use_cache=True).past_key_values
    states = [(layer.keys, layer.values) for layer in cache.layers]
    for prefix in ({"prefix_embeds": vectors}, {"prefix_key_values": states}):
        out = model(rest, labels=targets, **prefix)
        torch.testing.assert_close(out.loss, whole.loss, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(out.backbone_logits[:, 1:], whole.backbone_logits[:, 2:], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            model.log_probs(rest, **prefix)[:, 2:], model.log_probs(frames)[:, 3:], rtol=1e-4, atol=1e-4
        )
    trained = vectors.detach().requires_grad_()
    model.requires_grad_(False)
    model(rest, labels=targets, prefix_embeds=trained).loss.backward()
    assert trained.grad.abs().sum() > 0


def test_chunks_with_a_cache_equal_the_whole(two_stage, conversation):
    model = two_stage()
    frames = conversation(model)
    frames = torch.cat([torch.full_like(frames[:, :2], -1), frames], 1)
    frames[1, 2] = -1
    mask = (frames >= 0).any(-1)
    whole = model(frames, mask).backbone_logits
    first = model(frames[:, :7], mask[:, :7], use_cache=True)
    second = model(frames[:, 7:], mask, past_key_values=first.past_key_values)
    parts = torch.cat([first.backbone_logits, second.backbone_logits], 1)
    torch.testing.assert_close(parts[mask], whole[mask], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("slots", SLOTS)
def test_a_saved_folder_loads_as_the_same_model(two_stage, conversation, slots, tmp_path):
    model = two_stage(**SLOTS[slots], codec_fingerprint="ab12", sample_rate=24000, frame_rate=12.5)
    frames = conversation(model)
    model.save_pretrained(tmp_path)
    for loaded in (TwoStageModel.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):
        assert type(loaded) is TwoStageModel
        for name in ("slot_sizes", "slot_rows", "text_vocab_size", "stop", "sample_rate", "amortization_ratio"):
            assert getattr(loaded.config, name) == getattr(model.config, name)
        torch.testing.assert_close(loaded(frames).backbone_logits, model(frames).backbone_logits, rtol=0, atol=0)
    config = AutoConfig.from_pretrained(tmp_path)
    assert (config.stop, config.codec_fingerprint, config.frame_rate) == (model.config.stop, "ab12", 12.5)
    assert not (tmp_path / "model.safetensors").stat().st_size > 1.1 * 4 * model.num_parameters() + 20000


def test_gradient_checkpointing_changes_no_gradient(two_stage, conversation):
    model = two_stage().train()
    frames = conversation(model)
    _, plain = gradients(model, frames, labels=labels_of(frames))
    model.activation_checkpointing_enable()
    assert model.backbone.layers[0].gradient_checkpointing and model.depth_decoder.layers[0].gradient_checkpointing
    _, kept = gradients(model, frames, labels=labels_of(frames))
    for name in plain:
        torch.testing.assert_close(kept[name], plain[name])


# -- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[..., :7], r"input_ids are \[2, 16, 7\], expected \[B, F, 8\]: 7 codes and a text id a frame"),
        (lambda x: x[0], r"input_ids are \[16, 8\]"),
        (lambda x: x.float(), "expected integers"),
        (lambda x: x.masked_fill(x == -1, -100), r"code -100 of slot 0 in row 0, frame 0.*-1 is no entry"),
        (
            lambda x: x.masked_fill(x == x[0, 5, 2], 8),
            r"code 8 of slot \d in row 0, frame \d.*: there are 8 \(0 .. 7\)",
        ),
        (lambda x: x.masked_fill(x == x[0, 1, 7], 20), r"(text id|code) 20 .*in row 0, frame .: there are"),
    ],
)
def test_frames_that_do_not_fit_are_refused(two_stage, conversation, change, message):
    model = two_stage()
    with pytest.raises(ValueError, match=message):
        model(change(conversation(model)))


def test_labels_that_do_not_fit_are_refused(two_stage, conversation):
    model = two_stage()
    frames = conversation(model)
    labels = labels_of(frames)
    with pytest.raises(ValueError, match="is not that frame's code"):
        model(frames, labels=labels.roll(-1, 1))  # shifted already, as some trainers do
    with pytest.raises(ValueError, match=r"labels are \[2, 16, 6\], expected \[2, 16, 7\]"):
        model(frames, labels=labels[..., :6])
    with pytest.raises(ValueError, match=r"training_mask is \[16\], expected \[2, 16\]"):
        model(frames, labels=labels, training_mask=torch.ones(16))
    with pytest.raises(ValueError, match=r"amortization is \[2, 15\], expected \[2, 16\]"):
        model(frames, labels=labels, amortization=torch.ones(2, 15))
    with pytest.raises(ValueError, match=r"attention_mask is \[2, 9\], expected \[2, 16, 8\] or \[2, 16\]"):
        model(frames, torch.ones(2, 9))
    with pytest.raises(ValueError, match="reads frames"):
        model(labels=labels)
    assert trained_entries(frames, labels, torch.ones(2, 16, dtype=torch.bool), None, model.config).sum() == 112


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"slot_sizes": [8]}, "needs two slots or more"),
        ({"slot_sizes": [8, 0]}, "each above 0"),
        ({"slot_rows": [8] * 6}, r"slot_rows is \[8, 8, 8, 8, 8, 8\], but the slots need"),
        ({"slot_rows": [8] * 7, "stop": "row"}, r"need \[9, 8"),
        ({"stop": "never"}, "stop is 'never'; it is 'zeros'"),
        ({"text_vocab_size": 0}, "text_vocab_size is 0"),
        ({"amortization_ratio": 0}, "amortization_ratio is 0"),
        ({"slot_sizes": [2] * 65}, "has 64 positions, but a frame has 65 slots"),
    ],
)
def test_settings_that_do_not_fit_are_refused(two_stage, settings, message):
    with pytest.raises(ValueError, match=message):
        two_stage(**settings)


def test_a_configuration_that_is_given_stays_as_it_is():
    given = tiny_stage()
    TwoStageConfig(backbone=given, depth_decoder=given, slot_sizes=[4, 4], text_vocab_size=9)
    assert (given.vocab_size, given.bos_token_id) == (20, 1)


def test_integers_of_any_width_are_read(two_stage, conversation):
    model = two_stage()
    frames = conversation(model)
    labels = labels_of(frames)
    narrow = model(frames.short(), labels=labels.int())
    assert narrow.loss == model(frames, labels=labels).loss
    assert torch.equal(model.log_probs(frames.int()), model.log_probs(frames))
    prompt = frames[:, :12]
    assert torch.equal(*(model.generate(p, max_new_frames=2, seeds=0)[1] for p in (prompt, prompt.short())))


def test_stages_may_be_given_as_dicts():
    config = TwoStageConfig(
        backbone=tiny_stage().to_dict(),
        depth_decoder=tiny_stage("qwen3").to_dict(),
        slot_sizes=[4, 4],
        text_vocab_size=9,
    )
    assert (config.backbone.model_type, config.depth_decoder.model_type) == ("llama", "qwen3")
    assert config.backbone.vocab_size == 1 and config.slot_offsets == [0, 4, 8] and config.stop_frame == [0, 0]
    with pytest.raises(ValueError, match="backbone has no model_type"):
        TwoStageConfig(backbone={"hidden_size": 8})
    with pytest.raises(ValueError, match="needs backbone, depth_decoder and slot_sizes"):
        TwoStageModel(TwoStageConfig())
