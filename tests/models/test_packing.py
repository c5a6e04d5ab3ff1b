"""Packed rows: a document is what it would be alone, whatever stands beside it, and what would leak is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from aoede.models import CodecCausalLM

KINDS = ["llama", "gemma3", "qwen3"]
WIDTH = 40


@pytest.fixture
def documents(vocabulary):
    """documents(seed=0) -> five documents: text; an open span cut after a frame; text and audio; audio; one id."""

    def build(seed: int = 0) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)

        def words(count):
            return torch.randint(3, 20, (count,), generator=generator)

        def audio(frames, close):
            codes = torch.randint(0, 8, (1, frames, 7), generator=generator)
            return vocabulary.ids_from_frames(codes, open=True, close=close)[0]

        return [words(6), audio(1, False), torch.cat([words(3), audio(2, True)]), audio(2, True), words(1)]

    return build


def pack(documents, rows=((0, 1, 2), (3, 1, 4))):
    """Rows of documents, padded by a document of zeros: ids, labels, positions, and each id's document, all [B, 40]."""
    ids = torch.zeros(len(rows), WIDTH, dtype=torch.long)
    labels, positions, owner = torch.full_like(ids, -100), torch.zeros_like(ids), torch.full_like(ids, -1)
    for r, row in enumerate(rows):
        at = 0
        for number in row:
            document = documents[number]
            end = at + len(document)
            ids[r, at:end], owner[r, at:end] = document, number
            labels[r, at + 1 : end] = document[1:]
            positions[r, at:end] = torch.arange(len(document))
            at = end
        positions[r, at:] = torch.arange(WIDTH - at)
    return ids, labels, positions, owner


def log_probs(model, ids, labels, positions):
    """[B, L] log-probability of every trained id at its own place, 0 elsewhere."""
    return F.pad(model.log_probs(ids, labels, position_ids=positions)["log_probs"], (1, 0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_packed_document_scores_as_if_alone(make, documents, kind, attention):
    model, pieces = make(kind), documents()
    model.set_attn_implementation(attention)
    ids, labels, positions, owner = pack(pieces)
    packed = log_probs(model, ids, labels, positions)
    for row, number in ((0, 0), (0, 1), (0, 2), (1, 3), (1, 1), (1, 4)):
        document = pieces[number][None]
        alone = F.pad(model.log_probs(document, document)["log_probs"], (1, 0))[0]
        torch.testing.assert_close(packed[row, owner[row] == number], alone, rtol=1e-5, atol=1e-5)
    assert not packed[owner == -1].any()


@pytest.mark.parametrize("kind", KINDS)
def test_changing_a_document_changes_nothing_in_the_others(make, documents, kind):
    model, pieces, other = make(kind), documents(0), documents(1)
    ids, labels, positions, owner = pack(pieces)
    before = log_probs(model, ids, labels, positions)
    for number in range(4):
        changed = [other[i] if i == number else piece for i, piece in enumerate(pieces)]
        new_ids, new_labels, _, _ = pack(changed)
        after = log_probs(model, new_ids, new_labels, positions)
        rest = owner != number
        torch.testing.assert_close(after[rest], before[rest], rtol=0, atol=2e-6)
        assert (after[~rest] - before[~rest]).abs().max() > 1e-2
    padded = torch.where(owner == -1, 7, ids)
    torch.testing.assert_close(log_probs(model, padded, labels, positions), before, rtol=0, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_a_document_does_not_depend_on_the_others(make, documents, kind):
    pieces, other = documents(0), documents(1)
    grads = []
    for changed in (pieces, [other[0], other[1], pieces[2], other[3], other[4]]):
        model = make(kind)
        ids, labels, positions, owner = pack(changed)
        model(ids, position_ids=positions, labels=labels.masked_fill(owner != 2, -100)).loss.backward()
        grads.append({name: p.grad for name, p in model.named_parameters()})
    for name, grad in grads[0].items():
        torch.testing.assert_close(grads[1][name], grad, rtol=0, atol=1e-6, msg=name)
    # Rows of ids that stand in the other documents alone get exactly nothing.
    here = set(pieces[2].tolist())
    absent = [i for i in other[0].tolist() if i not in here]
    assert absent and not grads[1]["model.embed_tokens.weight"][absent].any()


def test_a_span_cut_without_its_closing_marker_ends_with_its_document(make, documents):
    model, pieces = make(), documents()
    ids, labels, positions, _ = pack(pieces, ((1, 0, 1, 3), (1, 1, 2)))
    out = model(ids, position_ids=positions, labels=labels)
    alone = [model(pieces[n][None], labels=pieces[n][None]) for n in (1, 0, 1, 3, 1, 1, 2)]
    for name in ("text", "open", "close", "C", "M", "F"):
        count = sum(one.counts.get(name, 0) for one in alone)
        total = sum(one.losses[name] * one.counts[name] for one in alone if name in one.losses)
        assert out.counts[name] == count
        torch.testing.assert_close(out.losses[name], total / count)
    assert out.counts["open"] == 1  # only where text stands before it in the same document


def test_the_first_id_of_a_document_is_never_trained(make, documents):
    model = make()
    ids, labels, positions, owner = pack(documents())
    wanted = model(ids, position_ids=positions, labels=labels)
    everywhere = ids.masked_fill(owner == -1, -100)
    assert (everywhere != labels).sum() == 6
    found = model(ids, position_ids=positions, labels=everywhere)
    torch.testing.assert_close(found.loss, wanted.loss)
    assert found.counts == wanted.counts
    shifted = F.pad(everywhere[:, 1:], (0, 1), value=-100)
    torch.testing.assert_close(model(ids, position_ids=positions, shift_labels=shifted).loss, wanted.loss)
    mask = model.log_probs(ids, everywhere, position_ids=positions)["label_mask"]
    assert torch.equal(mask, labels[:, 1:] != -100)


def test_logits_of_packed_rows_are_those_of_each_document(make, documents):
    model, pieces = make(), documents()
    ids, _, positions, owner = pack(pieces)
    logits = model(ids, position_ids=positions).logits
    alone = model(pieces[2][None]).logits[0]
    torch.testing.assert_close(logits[0][owner[0] == 2], alone, rtol=1e-4, atol=1e-5)
    hidden, cache = model.hidden_states(ids, position_ids=positions)
    assert cache is None
    torch.testing.assert_close(hidden[0][owner[0] == 2], model.hidden_states(pieces[2][None])[0][0])


def test_rows_end_to_end_give_the_same_where_attention_wants_one_row(make, documents, monkeypatch):
    model = make()
    ids, labels, positions, _ = pack(documents())
    wanted = model(ids, position_ids=positions, labels=labels, output_hidden_states=True)
    widths = []
    forward = model.model.forward
    monkeypatch.setattr(CodecCausalLM, "_packs_one_row", lambda self: True)
    monkeypatch.setattr(model.model, "forward", lambda **k: widths.append(k["input_ids"].shape) or forward(**k))
    found = model(ids, position_ids=positions, labels=labels, output_hidden_states=True)
    assert widths == [(1, 2 * WIDTH)]
    torch.testing.assert_close(found.loss, wanted.loss)
    torch.testing.assert_close(found.hidden_states, wanted.hidden_states, rtol=1e-4, atol=1e-5)


def test_positions_of_one_row_hold_for_all(make, documents):
    model, pieces = make(), documents()
    ids, labels, positions, _ = pack(pieces, ((0, 1, 2), (0, 1, 2)))
    torch.testing.assert_close(
        model(ids, position_ids=positions[:1], labels=labels).loss,
        model(ids[:1], position_ids=positions[:1], labels=labels[:1]).loss,
    )


def test_packed_rows_that_would_leak_are_refused(make, documents):
    model = make()
    ids, labels, positions, _ = pack(documents())
    with pytest.raises(ValueError, match=r"start again at 0 in row 0, place 6, and an attention_mask is given"):
        model(ids, torch.ones_like(ids), position_ids=positions, labels=labels)
    with pytest.raises(ValueError, match="packed rows have no cache"):
        model(ids, position_ids=positions, labels=labels, use_cache=True)
    with pytest.raises(ValueError, match=r"position_ids jump in row 1, place 9"):
        positions[1, 9] = 30
        model(ids, position_ids=positions, labels=labels)
    with pytest.raises(ValueError, match=r"packed rows begin at position 0, with a document; one begins at 2"):
        model(ids[:1], position_ids=torch.tensor([[2, 3, *range(WIDTH - 2)]]), labels=labels[:1])
    with pytest.raises(ValueError, match="text_stride sets the positions itself"):
        model(ids, position_ids=pack(documents())[2], text_stride=2.0)
    # Left padding restarts at the first id that is read: nothing is packed there.
    mask = torch.ones(1, 5).long()
    mask[0, :2] = 0
    assert model(ids[:1, :5], mask, position_ids=torch.tensor([[1, 1, 0, 1, 2]])).logits.shape == (1, 5, 46)


def test_a_packed_model_learns_every_document_at_shift_zero(make, documents):
    torch.manual_seed(0)
    model, pieces = make().train(), documents()
    ids, labels, positions, _ = pack(pieces)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(30):
        optimizer.zero_grad()
        model(ids, position_ids=positions, labels=labels).loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        assert model(ids, position_ids=positions, labels=labels).loss < 0.5
        hidden, _ = model.hidden_states(ids, position_ids=positions)
        scores = F.linear(hidden, model.lm_head.weight)  # unmasked: shifted labels are illegal under the grammar
        losses = [F.cross_entropy(scores[1, 2:12], ids[1, 3 + shift : 13 + shift]).item() for shift in (-1, 0, 1)]
    assert losses[1] < losses[0] - 1 and losses[1] < losses[2] - 1


@pytest.mark.gpu
def test_flash_attention_keeps_documents_apart_in_batches(make, documents):
    pytest.importorskip("flash_attn")
    model, pieces = make().to("cuda", torch.bfloat16), documents()
    model.set_attn_implementation("flash_attention_2")
    ids, labels, positions, owner = (t.cuda() for t in pack(pieces))
    packed = log_probs(model, ids, labels, positions)
    document = pieces[2][None].cuda()
    alone = F.pad(model.log_probs(document, document)["log_probs"], (1, 0))[0]
    torch.testing.assert_close(packed[0, owner[0] == 2], alone, rtol=0.05, atol=0.05)
