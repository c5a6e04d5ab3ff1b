"""NemotronH, a hybrid of recurrent, attention and expert layers: what a state that no mask can cut asks for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from transformers import NemotronHConfig, NemotronHForCausalLM

from aoede.models import CodecCausalLM, extend


@pytest.fixture
def model(shape, vocabulary):
    """Recurrent, attention, expert and plain layers, extended, in eval mode."""
    torch.manual_seed(0)
    shape.pop("num_hidden_layers")
    base = NemotronHForCausalLM(
        NemotronHConfig(
            **shape, mamba_num_heads=4, mamba_head_dim=8, ssm_state_size=8, n_groups=1, chunk_size=8,
            layers_block_type=["mamba", "attention", "moe", "mamba", "mlp"], n_routed_experts=4, num_experts_per_tok=2,
            moe_intermediate_size=16, moe_shared_expert_intermediate_size=16,
        )
    ).eval()  # fmt: skip
    return extend(base, vocabulary, seed=1)


def one_document_rows(ids, lengths):
    """Rows as a mixture with one document in each gives them: right padding, a document of its own."""
    rows = ids.clone()
    positions = torch.zeros_like(ids)
    labels = ids.clone()
    labels[:, 0] = -100
    for row, length in enumerate(lengths):
        rows[row, length:], labels[row, length:] = 0, -100
        positions[row, :length] = torch.arange(length)
        positions[row, length:] = torch.arange(ids.shape[1] - length)
    return rows, labels, positions


def test_the_embedding_goes_by_its_own_name_and_has_all_rows(model):
    embedding = model.get_input_embeddings()
    assert embedding is model.model.embeddings and embedding.weight.shape == (46, 32)
    assert "model.embeddings.weight" in model.state_dict()
    assert model.is_recurrent and not model.has_positions


def test_one_document_a_row_scores_as_if_alone(model, rows):
    ids, lengths = rows(batch=2, text=5, frames=3), (28, 14)
    ids[1, 13] = 21
    padded, labels, positions = one_document_rows(ids, lengths)
    found = model.log_probs(padded, labels, position_ids=positions)["log_probs"]
    for row, length in enumerate(lengths):
        alone = model.log_probs(ids[row : row + 1, :length], ids[row : row + 1, :length])["log_probs"][0]
        torch.testing.assert_close(found[row, : length - 1], alone, rtol=1e-4, atol=1e-5)
    loss = model(padded, position_ids=positions, labels=labels)
    plain = model(padded, labels=labels)
    torch.testing.assert_close(loss.loss, plain.loss)
    hidden, _ = model.hidden_states(padded, position_ids=positions)
    torch.testing.assert_close(hidden[1, :14], model.hidden_states(ids[1:, :14])[0][0], rtol=1e-4, atol=1e-5)


def test_packed_rows_leak_and_are_refused_with_words(model, rows):
    ids = rows(batch=2, text=5, frames=1)
    packed, positions = ids.reshape(1, -1), torch.arange(14).repeat(2)[None]
    words = r"the recurrent layers of nemotron_h .* on cpu; put one document in a row .* or train on CUDA"
    with pytest.raises(ValueError, match=f"packed rows would leak: {words} with the packages mamba-ssm"):
        model(packed, position_ids=positions, labels=packed)
    for call in (model.hidden_states, model):
        with pytest.raises(ValueError, match="packed rows would leak"):
            call(packed, position_ids=positions)
    with pytest.raises(ValueError, match="packed rows would leak"):
        model.log_probs(packed, packed, position_ids=positions)
    # It is no false alarm: the second document does change with the first.
    other = packed.clone()
    other[0, :5] = (other[0, :5] - 2) % 17 + 3
    states = [model.model(input_ids=x, position_ids=positions).last_hidden_state[0, 14:] for x in (packed, other)]
    assert (states[0] - states[1]).abs().max() > 1e-4


def test_trained_ids_behind_a_repeated_one_are_no_padding(model):
    ids = torch.tensor([[3, 4, 5, 6, 7, 7, 7, 7]])
    positions = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3]])
    labels = ids.masked_fill(positions == 0, -100)
    with pytest.raises(ValueError, match="packed rows would leak"):
        model(ids, position_ids=positions, labels=labels)
    assert model(ids, position_ids=positions, labels=labels.masked_fill(ids == 7, -100)).loss.isfinite()


def test_padding_on_the_left_changes_no_logits_nor_the_cache(model, rows):
    ids = rows(batch=1, text=4, frames=2)
    wanted = model(ids).logits[0]
    padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), ids], 1)
    mask = (torch.arange(padded.shape[1]) >= 3).long()[None]
    torch.testing.assert_close(model(padded, mask).logits[0, 3:], wanted, rtol=1e-4, atol=1e-4)
    first = model(padded[:, :10], mask[:, :10], use_cache=True)
    cache, parts = first.past_key_values, [first.logits[0, 3:]]
    for t in range(10, padded.shape[1]):
        parts.append(model(padded[:, t : t + 1], mask[:, : t + 1], past_key_values=cache, use_cache=True).logits[0])
    torch.testing.assert_close(torch.cat(parts), wanted, rtol=1e-3, atol=1e-3)


def test_a_cache_filled_over_padding_on_the_right_is_refused(model, rows):
    ids = rows(batch=2, text=4, frames=1)
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    with pytest.raises(
        ValueError, match="recurrent layers of nemotron_h would go on from padding: pad prompts on the left"
    ):
        model(ids, mask, use_cache=True)
    out = model(ids, mask)
    assert out.past_key_values is None  # nobody can go on from it
    torch.testing.assert_close(out.logits[1, :9], model(ids[1:, :9]).logits[0], rtol=1e-4, atol=1e-4)


def test_generation_of_left_padded_rows_equals_each_alone(model):
    prompt = torch.tensor([[0, 0, 5, 6, 20], [3, 4, 5, 6, 20]])
    arguments = {"max_new_tokens": 24, "do_sample": False, "pad_token_id": 0}
    together = model.generate(prompt, attention_mask=(prompt != 0).long(), **arguments)
    for row, start in ((0, 2), (1, 0)):
        alone = model.generate(
            prompt[row : row + 1, start:], attention_mask=torch.ones(1, 5 - start).long(), **arguments
        )
        assert together[row, start : start + alone.shape[1]].tolist() == alone[0].tolist()
        ids = alone[0].tolist()
        ids = ids[: ids.index(21) + 1] if 21 in ids else ids
        model.router.advance(torch.tensor([ids]))  # strict: an illegal id raises


def test_it_learns_and_its_loss_is_lowest_at_shift_zero(model, rows):
    torch.manual_seed(0)
    model.train()
    ids = rows(batch=4, text=6, frames=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(30):
        optimizer.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        hidden, _ = model.hidden_states(ids)
        scores = F.linear(hidden, model.lm_head.weight)[:, 2:-3].reshape(-1, 46)
        losses = [F.cross_entropy(scores, ids[:, 3 + s : ids.shape[1] - 2 + s].reshape(-1)).item() for s in (-1, 0, 1)]
    assert losses[1] < losses[0] - 1 and losses[1] < losses[2] - 1


def test_a_folder_gives_the_same_model_back(model, rows, tmp_path):
    model.save_pretrained(tmp_path)
    again = CodecCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(again(rows()).logits, model(rows()).logits, rtol=0, atol=0)


@pytest.mark.gpu
@pytest.mark.parametrize("training", [True, False])
def test_on_cuda_packed_documents_are_kept_apart(model, rows, training):
    pytest.importorskip("mamba_ssm")
    pytest.importorskip("causal_conv1d")
    model = model.to("cuda").train(training)
    ids = rows(batch=2, text=5, frames=2).cuda()
    length = ids.shape[1]
    packed, positions = ids.reshape(1, -1), torch.arange(length, device="cuda").repeat(2)[None]
    found = model.log_probs(packed, packed, position_ids=positions)["log_probs"][0]
    alone = model.log_probs(ids, ids)["log_probs"]
    torch.testing.assert_close(found[: length - 1], alone[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[length:], alone[1], rtol=1e-3, atol=1e-3)
