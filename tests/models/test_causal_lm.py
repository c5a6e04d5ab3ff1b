"""The model: losses of each range, masked logits, caches, padding, parallel positions, generation, engine."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from aoede.models import CodecCausalLM, CodecLMConfig

KINDS = ["llama", "gemma3", "qwen3", "nemotron_h"]
KINDS_AND_STRIDES = [(kind, None) for kind in KINDS] + [(kind, 2.5) for kind in KINDS[:3]]


def reference(model, ids, labels, **kwargs):
    """Loss a position by the full masked softmax over [B, L, V], the way nobody should compute it."""
    hidden = model.model(input_ids=ids, **kwargs).last_hidden_state
    logits = model.routed_head.scaling(F.linear(hidden, model.lm_head.weight))
    routes, _ = model.router.advance(ids)
    logits = logits.masked_fill(~model.router.mask(routes), -torch.inf)
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:], reduction="none")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_loss_and_gradient_equal_the_full_masked_softmax(make, rows, kind, tied):
    model, ids = make(kind, tied), rows()
    labels = ids.clone()
    labels[0, :4] = -100
    found = model(ids, labels=labels)
    found.loss.backward()
    got = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    nll = reference(model, ids, labels)
    loss = nll.sum() / (labels[:, 1:] != -100).sum()
    loss.backward()
    torch.testing.assert_close(found.loss, loss)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(got[name], parameter.grad, rtol=1e-4, atol=1e-6)


def test_each_range_has_its_loss_and_their_weighted_mean_is_the_total(make, rows, vocabulary):
    model, ids = make(), rows(batch=2, text=5, frames=3)
    out = model(ids, labels=ids)
    assert out.counts == {"text": 8, "open": 2, "close": 2, "C": 6, "M": 12, "F": 24}
    nll = reference(model, ids, ids)
    torch.testing.assert_close(out.losses["open"], nll[:, 4].mean())
    torch.testing.assert_close(out.losses["close"], nll[:, -1].mean())
    torch.testing.assert_close(out.losses["C"], nll[:, 5:-1].reshape(2, 3, 7)[:, :, 0].mean())
    total = sum(out.losses[name] * out.counts[name] for name in out.losses) / 54
    torch.testing.assert_close(out.loss, total)


def test_an_untrained_prompt_leaves_the_text_rows_alone(make, rows):
    model, ids = make(), rows()
    labels = ids.clone()
    labels[:, :6] = -100
    out = model(ids, labels=labels)
    out.loss.backward()
    assert list(out.losses) == ["close", "C", "M", "F"]
    assert not model.lm_head.weight.grad[:20].any()


def test_the_loss_honours_num_items_in_batch(make, rows):
    model, ids = make(), rows(batch=4)
    whole = model(ids, labels=ids).loss
    parts = [model(ids[i : i + 1], labels=ids[i : i + 1], num_items_in_batch=4 * 20).loss for i in range(4)]
    torch.testing.assert_close(sum(parts), whole)


def test_no_trained_position_gives_a_zero_loss_with_a_gradient(make, rows):
    model, ids = make(), rows()
    loss = model(ids, labels=torch.full_like(ids, -100)).loss
    loss.backward()
    assert loss.item() == 0 and model.model.norm.weight.grad is not None


def test_shifted_labels_give_the_same_loss(make, rows):
    model, ids = make(), rows()
    shifted = F.pad(ids[:, 1:], (0, 1), value=-100)
    torch.testing.assert_close(model(ids, shift_labels=shifted).loss, model(ids, labels=ids).loss)


def test_an_illegal_label_is_refused_by_name(make, rows):
    model, ids = make(), rows()
    labels = ids.clone()
    labels[0, 8] = 22
    with pytest.raises(ValueError, match=r"label 22 stands where slot 2 comes next, which takes ids of \[38, 46\)"):
        model(ids, labels=labels)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_on_either_side_changes_no_loss(make, rows, kind):
    model, ids = make(kind), rows()
    alone = model(ids, labels=ids).loss
    pad = ids.new_zeros(2, 3)
    ones, none = torch.ones_like(ids), pad.clone()
    blank = torch.full_like(pad, -100)
    right = model(torch.cat([ids, pad], 1), labels=torch.cat([ids, blank], 1)).loss
    masked = model(torch.cat([ids, pad], 1), torch.cat([ones, none], 1), labels=torch.cat([ids, blank], 1)).loss
    blank = torch.cat([blank, blank[:, :1]], 1)  # the first id of a left-padded row has only padding before it
    left = model(torch.cat([pad, ids], 1), torch.cat([none, ones], 1), labels=torch.cat([blank, ids[:, 1:]], 1)).loss
    for loss in (right, masked, left):
        torch.testing.assert_close(loss, alone, rtol=1e-4, atol=1e-5)


def test_right_padded_training_builds_no_mask(make, rows, monkeypatch):
    model, ids = make(text_stride=2.0), rows()
    seen = []
    real = F.scaled_dot_product_attention

    def record(*args, **kwargs):
        seen.append((kwargs["attn_mask"], kwargs["is_causal"]))
        return real(*args, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", record)
    model(ids, labels=ids)
    mask = torch.ones_like(ids)
    mask[1, -4:] = 0
    model(ids, mask, labels=ids.masked_fill(mask == 0, -100))
    assert seen == [(None, True)] * 4


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_minus_infinity_at_illegal_ids_and_the_heads_elsewhere(make, rows, kind):
    model, ids = make(kind), rows()
    logits = model(ids).logits
    raw = model.routed_head.scaling(model.lm_head(model.model(input_ids=ids).last_hidden_state))
    legal = model.router.mask(model.router.advance(ids)[0])
    torch.testing.assert_close(logits, raw.masked_fill(~legal, -torch.inf))
    torch.testing.assert_close(model(ids, logits_to_keep=2).logits, logits[:, -2:])
    torch.testing.assert_close(model(ids, logits_to_keep=torch.tensor([3, 9])).logits, logits[:, [3, 9]])


@pytest.mark.parametrize(("kind", "stride"), KINDS_AND_STRIDES)
def test_the_state_is_carried_with_the_cache(make, rows, kind, stride):
    model, ids = make(kind, text_stride=stride), rows(text=6)
    whole = model(ids).logits
    first = model(ids[:, :9], use_cache=True)
    parts = [first.logits]
    cache = first.past_key_values
    for t in range(9, ids.shape[1]):
        parts.append(model(ids[:, t : t + 1], past_key_values=cache, use_cache=True).logits)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-3, atol=1e-3)


def test_a_cache_without_its_state_is_refused(make, rows):
    model, ids = make(), rows()
    cache = model.model(input_ids=ids[:, :4], use_cache=True).past_key_values
    with pytest.raises(ValueError, match="this cache holds 4 positions, but not where their rows stand"):
        model(ids[:, 4:], past_key_values=cache)


def test_parallel_positions_are_what_the_backbone_gets(make, rows):
    model, ids = make(text_stride=2.5), rows(batch=1, text=4, frames=1)
    plain = make()
    positions = torch.tensor([[0, 2, 5, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8]])
    # A mask keeps transformers from reading the jumps as packed rows.
    hidden = plain.model(input_ids=ids, attention_mask=torch.ones_like(ids), position_ids=positions).last_hidden_state
    legal = plain.router.mask(plain.router.advance(ids)[0])
    wanted = plain.lm_head(hidden).masked_fill(~legal, -torch.inf)
    torch.testing.assert_close(model(ids).logits, wanted)
    torch.testing.assert_close(plain(ids, text_stride=2.5).logits, wanted)
    assert not torch.allclose(plain(ids).logits.nan_to_num(neginf=0), wanted.nan_to_num(neginf=0))


def test_each_row_may_have_its_own_stride(make, rows):
    model, ids = make(text_stride=1.0), rows(batch=2)
    both = model(ids, text_stride=torch.tensor([2.0, 3.5])).logits
    torch.testing.assert_close(both[1:], model(ids[1:], text_stride=3.5).logits, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="3 text strides for 2 rows"):
        model(ids, text_stride=torch.ones(3))
    with pytest.raises(ValueError, match="every one must be above 0"):
        model(ids, text_stride=0.0)


def test_a_text_stride_needs_rotary_positions(make, rows):
    with pytest.raises(ValueError, match="nemotron_h has none"):
        make("nemotron_h", text_stride=2.0)
    with pytest.raises(ValueError, match="nemotron_h has none"):
        make("nemotron_h")(rows(), text_stride=2.0)
    with pytest.raises(ValueError, match=r"text_stride is -1\.0; it must be above 0"):
        CodecLMConfig(text_stride=-1)


@pytest.mark.parametrize(("kind", "stride"), KINDS_AND_STRIDES)
def test_generate_stays_in_the_grammar_with_left_padding(make, kind, stride):
    model = make(kind, text_stride=stride)
    prompt = torch.tensor([[0, 0, 5, 6, 20], [3, 4, 5, 6, 7]])
    mask = (prompt != 0).long()
    out = model.generate(
        prompt, attention_mask=mask, max_new_tokens=40, do_sample=True, pad_token_id=0,
        output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    ids = out.sequences
    for row, keep in zip(ids, mask, strict=True):
        row = row[int((keep == 0).sum()) :]
        end = (row == 21).nonzero().flatten()
        row = row[: int(end[0]) + 1] if len(end) else row
        model.router.advance(row[None])  # raises at an illegal id
    # Teacher forcing over what was generated gives the logits of generate time.
    full = torch.cat([mask, torch.ones_like(ids[:, 5:])], 1)
    forced = model(ids, full).logits[:, 4:-1]
    assert (ids[:, 5:] != 0).any()
    for row in range(2):
        end = (ids[row, 5:] == 21).nonzero().flatten()
        stop = int(end[0]) + 1 if len(end) else ids.shape[1] - 5
        timed = torch.stack(out.logits, 1)[row, :stop]
        torch.testing.assert_close(forced[row, :stop], timed, rtol=1e-3, atol=1e-3)


def test_generate_stops_at_the_closing_marker(make):
    model = make()
    with torch.no_grad():
        model.lm_head.weight[22:30] = 0
        model.lm_head.weight[21] = model.model(input_ids=torch.tensor([[4, 5, 20]])).last_hidden_state[0, -1]
    out = model.generate(torch.tensor([[4, 5, 20]]), attention_mask=torch.ones(1, 3).long(), max_new_tokens=20)
    assert out.tolist() == [[4, 5, 20, 21]]


def test_beam_search_keeps_to_the_grammar(make):
    model = make(text_stride=1.5)
    prompt = torch.tensor([[4, 5, 6, 20], [7, 8, 9, 20]])
    out = model.generate(prompt, attention_mask=torch.ones_like(prompt), num_beams=3, max_new_tokens=16, pad_token_id=0)
    for row in out:
        row = row[: row.tolist().index(21) + 1] if 21 in row.tolist() else row
        routes, _ = model.router.advance(row[None])  # strict: an illegal id raises
        assert routes.shape == row[None].shape


def test_an_illegal_prompt_is_refused(make):
    with pytest.raises(ValueError, match="id 38 is in range F"):
        make().generate(torch.tensor([[4, 20, 38]]), attention_mask=torch.ones(1, 3).long(), max_new_tokens=2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_engines_path_gives_the_logits_of_forward(make, rows, kind):
    model, ids = make(kind), rows(batch=3)
    wanted = model(ids).logits
    hidden, cache = model.hidden_states(ids[:, :6], use_cache=True)
    more, cache = model.hidden_states(ids[:, 6:7], past_key_values=cache, use_cache=True)
    scores, legal = model.routed_logits(more[:, -1], 1)
    assert legal.tolist() == list(range(30, 38))
    torch.testing.assert_close(scores, wanted[:, 6, 30:38], rtol=1e-4, atol=1e-4)
    scores, legal = model.routed_logits(hidden[:, 5], 0)
    assert legal.tolist() == list(range(21, 30))
    torch.testing.assert_close(scores, wanted[:, 5, 21:30], rtol=1e-4, atol=1e-4)
    assert cache.get_seq_length() == 7


def test_the_engines_path_slices_rows_in_place(make):
    model = make()
    weight, _ = model._head_weight()
    for route in range(-1, 7):
        (view,) = model.routed_head.rows(route).take(weight)
        assert view.untyped_storage().data_ptr() == weight.untyped_storage().data_ptr()


def test_log_probs_are_the_routed_ones(make, rows):
    model, ids = make(), rows()
    labels = ids.clone()
    labels[:, :6] = -100
    found = model.log_probs(ids, labels)
    nll = reference(model, ids, ids)
    nll[:, :5] = 0
    torch.testing.assert_close(found["log_probs"], -nll)
    assert found["label_mask"].sum() == 2 * 15


def test_misuse_is_refused_in_words(make, base):
    model = make()
    with pytest.raises(ValueError, match="pass input_ids, not inputs_embeds"):
        model(inputs_embeds=torch.zeros(1, 2, 32))
    with pytest.raises(ValueError, match="this model has 46 rows"):
        model.resize_token_embeddings(50)
    with pytest.raises(ValueError, match="no text_config or no vocabulary"):
        CodecCausalLM(CodecLMConfig())
    small = CodecLMConfig(text_config=base().config, vocabulary=model.vocabulary.to_dict())
    with pytest.raises(ValueError, match="the model has 20 rows, its vocabulary 46"):
        CodecCausalLM(small)


def test_loss_is_lowest_at_label_shift_zero_after_a_few_steps(make, rows):
    torch.manual_seed(0)
    model, ids = make(text_stride=3.0).train(), rows(batch=4, text=6, frames=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(30):
        optimizer.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        hidden, _ = model.hidden_states(ids)
        scores = F.linear(hidden, model.lm_head.weight)  # unmasked: shifted labels are illegal under the grammar

        def loss(shift: int) -> float:
            # place t is scored against id t + 1 + shift, on the same places each time
            targets = ids[:, 3 + shift : ids.shape[1] - 2 + shift]
            return F.cross_entropy(scores[:, 2:-3].reshape(-1, 46), targets.reshape(-1)).item()

        routed = model(ids, labels=ids).loss.item()
    assert loss(0) < loss(-1) - 1 and loss(0) < loss(1) - 1
    assert routed < 1.0


@pytest.mark.parametrize("stride", [None, 2.5], ids=["plain", "parallel"])
def test_prompts_padded_on_the_right_decode_as_if_alone(make, rows, stride):
    model, ids = make(text_stride=stride), rows(batch=2, text=6)
    short = torch.cat([ids[1:, :4], ids[1:, 6:7]], 1)  # four text ids and the open marker
    prompt = torch.zeros(2, 7, dtype=torch.long)
    prompt[0], prompt[1, :5] = ids[0, :7], short[0]
    mask = (torch.arange(7) < torch.tensor([[7], [5]])).long()
    _, cache = model.hidden_states(prompt, mask, use_cache=True)
    codes = ids[:, 7:10]
    together, _ = model.hidden_states(codes, torch.cat([mask, torch.ones_like(codes)], 1), past_key_values=cache)
    if stride is None:  # plain positions count padding, so they are given
        positions = torch.tensor([[7, 8, 9], [5, 6, 7]])
        _, cache = model.hidden_states(prompt, mask, use_cache=True)
        together, _ = model.hidden_states(
            codes, torch.cat([mask, torch.ones_like(codes)], 1), positions, past_key_values=cache
        )
    for row, alone in enumerate((ids[:1, :10], torch.cat([short, codes[1:]], 1))):
        hidden, _ = model.hidden_states(alone)
        torch.testing.assert_close(together[row], hidden[0, -3:], rtol=1e-4, atol=1e-4)


def test_every_attention_and_precision_gives_the_same_loss(make, rows, tmp_path):
    model, ids = make(text_stride=2.5), rows()
    loss = model(ids, labels=ids).loss
    model.save_pretrained(tmp_path)
    eager = CodecCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    assert eager.model.config._attn_implementation == "eager"
    torch.testing.assert_close(eager(ids, labels=ids).loss, loss)
    narrow = CodecCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert narrow.lm_head.weight.dtype == torch.bfloat16
    torch.testing.assert_close(narrow(ids, labels=ids).loss, loss, rtol=0.03, atol=0.03)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(ids, labels=ids).loss
    mixed.backward()
    torch.testing.assert_close(mixed, loss, rtol=0.03, atol=0.03)
    assert model.lm_head.weight.grad.dtype == torch.float32


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")  # its older name
def test_activation_checkpointing_changes_no_gradient(make, rows):
    grads = []
    for checkpointed in (False, True):
        model, ids = make(text_stride=2.5).train(), rows()
        if checkpointed:
            model.gradient_checkpointing_enable()
        model(ids, labels=ids).loss.backward()
        grads.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(*grads)


def test_packed_rows_equal_single_rows_and_refuse_a_text_stride(make, rows):
    model, ids = make(), rows(batch=2)
    packed, positions = ids.reshape(1, -1), torch.arange(ids.shape[1]).repeat(2)[None]
    labels = ids.clone()
    labels[:, 0] = -100
    torch.testing.assert_close(
        model(packed, position_ids=positions, labels=labels.reshape(1, -1)).loss, model(ids, labels=ids).loss
    )
    with pytest.raises(ValueError, match="pad rows instead of packing them"):
        model(packed, position_ids=positions, labels=packed, text_stride=2.0)


def test_generate_goes_on_from_a_cache_and_takes_a_stride(make):
    model, prompt = make(text_stride=2.0), torch.tensor([[3, 4, 5, 20]])
    arguments = {"attention_mask": torch.ones_like(prompt), "max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    first = model.generate(prompt, **arguments, return_dict_in_generate=True)
    ids = first.sequences
    arguments["attention_mask"] = torch.ones_like(ids)
    going_on = model.generate(ids, **arguments, past_key_values=first.past_key_values)
    assert torch.equal(going_on, model.generate(ids, **arguments))
    logits = [
        model.generate(ids, **{**arguments, "max_new_tokens": 1}, output_logits=True, return_dict_in_generate=True, **k)
        .logits[0].nan_to_num(neginf=0)
        for k in ({}, {"text_stride": 2.0}, {"text_stride": torch.tensor([6.0])})
    ]  # fmt: skip
    assert torch.equal(logits[0], logits[1]) and not torch.allclose(logits[0], logits[2])
    static = model.generate(ids, **arguments, cache_implementation="static")
    assert torch.equal(static, going_on)


def test_a_stride_must_be_given_from_the_start(make, rows):
    model, ids = make(), rows()
    cache = model(ids[:, :4], use_cache=True).past_key_values
    with pytest.raises(ValueError, match="the ids before were read without one"):
        model(ids[:, 4:], past_key_values=cache, text_stride=2.0)


def test_a_state_may_be_given_instead_of_found(make, rows):
    model, ids = make(text_stride=2.0), rows()
    cache = model.model(
        input_ids=ids[:, :9], position_ids=torch.tensor([[0, 2, 4, 6, 8, 0, 1, 2, 3]]), use_cache=True
    ).past_key_values
    found = model(ids[:, 9:], past_key_values=cache, row_state=model.row_state(ids[:, :9])).logits
    torch.testing.assert_close(found, model(ids).logits[:, 9:], rtol=1e-4, atol=1e-4)
