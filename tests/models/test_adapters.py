"""Adapters: what they train, what they leave alone, and that a reloaded one is the same to the last bit."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from safetensors import safe_open

from aoede.models import extend
from aoede.models.adapters import (
    AdapterConfig,
    adapt,
    adaptable_layers,
    base_fingerprint,
    load_adapter,
    merge_adapter,
    new_row_ids,
    save_adapter,
    trained_parameters,
)

KINDS_AND_TIES = [("llama", False), ("llama", True), ("nemotron_h", False)]


def trained(make, rows, kind="llama", tied=False, steps=3, form="lora", **settings):
    """An adapted model after a few steps, in eval mode."""
    adapted = adapt(make(kind, tied), AdapterConfig(kind=form, rank=4, **settings)).train()
    ids = rows(batch=2, text=5, frames=2)
    optimizer = torch.optim.AdamW(trained_parameters(adapted).values(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        adapted(ids, labels=ids).loss.backward()
        optimizer.step()
    return adapted.eval()


@pytest.mark.parametrize(("kind", "tied"), KINDS_AND_TIES)
@pytest.mark.parametrize("form", ["lora", "dora"])
def test_a_reloaded_adapter_gives_the_same_logits_to_the_last_bit(make, rows, tmp_path, kind, tied, form):
    adapted, ids = trained(make, rows, kind, tied, form=form), rows()
    wanted = adapted(ids).logits
    assert not torch.equal(wanted, make(kind, tied)(ids).logits)
    save_adapter(adapted, tmp_path / "adapter")
    again = load_adapter(make(kind, tied), tmp_path / "adapter")
    assert torch.equal(again.eval()(ids).logits, wanted)
    assert again.aoede_config == adapted.aoede_config
    assert not trained_parameters(again)
    going_on = load_adapter(make(kind, tied), tmp_path / "adapter", trainable=True)
    assert list(trained_parameters(going_on)) == list(trained_parameters(adapted))
    merged = merge_adapter(again)
    torch.testing.assert_close(merged(ids).logits, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "tied"), KINDS_AND_TIES)
def test_the_folder_holds_the_factors_and_the_new_rows_only(make, rows, tmp_path, kind, tied):
    save_adapter(trained(make, rows, kind, tied), tmp_path / "adapter")
    with safe_open(tmp_path / "adapter" / "adapter_model.safetensors", "pt") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    rows_saved = [shape for name, shape in shapes.items() if "trainable_tokens" in name]
    assert rows_saved == [(26, 32)] * (1 if tied else 2)
    assert all("lora_" in name or "trainable_tokens" in name for name in shapes)
    assert (tmp_path / "adapter" / "augmented.yaml").exists()
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(("kind", "tied"), KINDS_AND_TIES)
def test_text_rows_and_the_rest_stay_as_they_were(make, rows, kind, tied):
    before = make(kind, tied)
    merged = merge_adapter(trained(make, rows, kind, tied))
    for old, new in (
        (before.get_input_embeddings().weight, merged.get_input_embeddings().weight),
        (before.get_output_embeddings().weight, merged.get_output_embeddings().weight),
    ):
        assert torch.equal(old[:20], new[:20]) and not torch.equal(old[20:], new[20:])
    adapted = {name.rpartition(".")[0].rpartition(".")[2] for name in before.state_dict()} & set(
        adaptable_layers(before)
    )
    assert adapted
    changed = {n for n, p in merged.state_dict().items() if not torch.equal(p, before.state_dict()[n])}
    allowed = ("embed", "lm_head", *(f"{layer}.weight" for layer in adaptable_layers(before)))
    assert all(any(part in name for part in allowed) for name in changed), changed


def test_a_span_of_training_teaches_the_new_rows(make, rows):
    ids = rows(batch=2, text=5, frames=2)
    start = make()(ids, labels=ids).loss.item()
    assert trained(make, rows, steps=15)(ids, labels=ids).loss.item() < start - 0.5


def test_without_new_rows_only_factors_are_trained(make, rows):
    adapted = trained(make, rows, new_rows=False, layers=("q_proj", "v_proj"))
    names = list(trained_parameters(adapted))
    assert len(names) == 2 * 2 * 2 and all("lora_" in name for name in names)
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in names} == {"q_proj", "v_proj"}


def test_the_draw_of_the_factors_is_the_seeds_alone(make):
    first, second, other = (
        torch.cat(
            [p.flatten() for n, p in adapt(make(), AdapterConfig(), seed=seed).named_parameters() if "lora_A" in n]
        )
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, second) and not torch.equal(first, other)
    model = make()
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    adapt(model, AdapterConfig())
    assert torch.equal(torch.rand(1), wanted)


def test_hybrids_take_adapters_where_no_kernel_reads_past_them(make):
    assert adaptable_layers(make("nemotron_h")) == (
        "down_proj",
        "in_proj",
        "k_proj",
        "o_proj",
        "q_proj",
        "up_proj",
        "v_proj",
    )
    with pytest.raises(ValueError, match="no adapter may stand on 'out_proj': the kernels of recurrent layers"):
        adapt(make("nemotron_h"), AdapterConfig(layers=("in_proj", "out_proj")))
    with pytest.raises(ValueError, match=r"no linear layer 'query'; it has down_proj, gate_proj"):
        adapt(make(), AdapterConfig(layers=("query",)))


def test_markers_on_reserved_text_ids_count_as_new_rows(base, vocabulary):
    split = dataclasses.replace(vocabulary, size=44, open_id=5, close_id=6, starts=(20, 28, 36))
    assert new_row_ids(split) == [5, 6, *range(20, 44)]
    model = extend(base(), split)
    adapted = adapt(model, AdapterConfig())
    rows = [p.shape for n, p in trained_parameters(adapted).items() if "trainable_tokens" in n]
    assert rows == [(26, 32), (26, 32)]


def test_the_fingerprint_names_the_base_whatever_its_adapter_and_precision(make, base, vocabulary, rows):
    name = base_fingerprint(make())
    assert name == base_fingerprint(make().to(torch.bfloat16)) == base_fingerprint(trained(make, rows))
    assert name == base_fingerprint(extend(base(), vocabulary, seed=7))  # new rows are the adapter's own
    changed = make()
    with torch.no_grad():
        changed.model.layers[0].self_attn.q_proj.weight[0, 0] += 1
    assert base_fingerprint(changed) != name


def test_an_adapter_of_another_model_is_refused(make, rows, tmp_path, base, vocabulary):
    save_adapter(trained(make, rows), tmp_path / "adapter")
    changed = make()
    with torch.no_grad():
        changed.model.norm.weight.mul_(2)
    with pytest.raises(ValueError, match="was trained on another base model"):
        load_adapter(changed, tmp_path / "adapter")
    wider = extend(base(), dataclasses.replace(vocabulary, size=50))
    with pytest.raises(ValueError, match="trained with another vocabulary"):
        load_adapter(wider, tmp_path / "adapter")
    with pytest.raises(ValueError, match=r"is no adapter folder: it has no adapter\.json"):
        load_adapter(make(), tmp_path)
    described = json.loads((tmp_path / "adapter" / "adapter.json").read_text())
    (tmp_path / "adapter" / "adapter.json").write_text(json.dumps(described | {"format": 9}))
    with pytest.raises(ValueError, match="format is 9"):
        load_adapter(make(), tmp_path / "adapter")


def test_saving_again_replaces_the_folder(make, rows, tmp_path):
    adapted = trained(make, rows)
    save_adapter(adapted, tmp_path / "adapter")
    (tmp_path / "adapter" / "old").touch()
    save_adapter(adapted, tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "ia3"}, "adapter kind is 'ia3'"),
        ({"rank": 0}, "adapter rank is 0"),
        ({"alpha": 0.0}, r"adapter alpha is 0\.0"),
        ({"dropout": 1.0}, r"adapter dropout is 1\.0"),
        ({"layers": ()}, "adapter layers is empty"),
    ],
)
def test_settings_out_of_range_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        AdapterConfig(**settings)
