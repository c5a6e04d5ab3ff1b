"""Adapters of two-stage models: LoRA or DoRA on layers of the backbone and of the depth decoder, chosen by name.

Owns which layers are adapted and the folder of an adapter: what peft writes, and `adapter.json`, which says which model
it belongs to. Knows nothing of training loops. Text rows that were added for new names are trained in full beside it.
LoRA: Hu et al. 2021; DoRA: Liu et al. 2024. peft (extra `aoede[train]`) is imported where it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from aoede.folders import replacing_folder
from aoede.models.adapters import FILE_NAME, UNSUPPORTED, LowRankConfig, quiet_peft
from aoede.models.two_stage.model import TwoStageModel

FORMAT = 1
_KIND = "two-stage"
_STAGES = ("backbone", "depth_decoder")
_SAMPLES = 64


@dataclass(frozen=True, kw_only=True)
class TwoStageAdapterConfig(LowRankConfig):
    """What is trained beside a frozen two-stage model."""

    layers: tuple[str, ...] = ("backbone", "depth_decoder")
    """A stage (all its linear layers), a layer of one stage (`backbone.q_proj`), a layer of both (`q_proj`), or
    `projection` or `slot0_head`. The depth decoder's output rows are one parameter and take no adapter."""

    new_text_rows: bool = True
    """Train the rows of the text embedding that were added for new names in full."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            raise ValueError("adapter layers is empty; name stages or layers, such as backbone or depth_decoder.q_proj")


def adaptable_layers(model: TwoStageModel) -> tuple[str, ...]:
    """What `layers` may name: stages, layers of one stage, layers of both, and the linear layers between."""
    found: list[str] = []
    for stage in _STAGES:
        modules = getattr(model, stage).named_modules()
        names = {name.rpartition(".")[2] for name, module in modules if isinstance(module, nn.Linear)}
        if stage == "backbone" and model.is_recurrent:
            names -= UNSUPPORTED
        found += [stage, *(f"{stage}.{name}" for name in sorted(names)), *sorted(names)]
    return tuple(dict.fromkeys([*found, "projection", "slot0_head"]))


def adapt_two_stage(
    model: TwoStageModel, config: TwoStageAdapterConfig, *, new_text_rows: Sequence[int] = (), seed: int = 0
) -> Any:
    """A peft model around `model`, whose own weights are frozen and whose layers are wrapped in place: `model` itself
    goes on working, with the adapter in it.

    Args:
        new_text_rows: text ids whose rows are trained in full.
        seed: of the factors; the global generator is left as it was.
    Raises:
        ValueError: a name that is none of `adaptable_layers`.
    """
    possible = adaptable_layers(model)
    for name in config.layers:
        if name not in possible:
            raise ValueError(f"no adapter can stand on {name!r}; this model takes {', '.join(possible)}")
    return config.wrap(
        model,
        "|".join(_pattern(name, possible) for name in config.layers),
        seed,
        trainable_token_indices={"text_embeddings": sorted(new_text_rows)} if new_text_rows else None,
    )


def save_two_stage_adapter(adapted: Any, folder: str | os.PathLike[str]) -> Path:
    """Write what was trained, and nothing else; an older adapter there is replaced at once, never half.

    Returns:
        the folder: adapter_model.safetensors, adapter_config.json (peft's), adapter.json.
    """
    folder = Path(folder)
    with replacing_folder(folder) as temporary:
        adapted.save_pretrained(temporary, save_embedding_layers=False)
        (temporary / "README.md").unlink(missing_ok=True)
        described = {
            "format": FORMAT,
            "model": _KIND,
            "base": two_stage_fingerprint(adapted),
            "text_rows": _inner(adapted).config.text_vocab_size,
            "config": asdict(adapted.aoede_config),
        }
        (temporary / FILE_NAME).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    return folder


def load_two_stage_adapter(model: TwoStageModel, folder: str | os.PathLike[str], *, trainable: bool = False) -> Any:
    """An adapter from its folder around the model it was trained on, which is taken over. Text rows that were added for
    it are added again.

    Raises:
        ValueError: no adapter folder of a two-stage model, or another base model.
    """
    from peft import PeftModel

    folder = Path(folder)
    path = folder / FILE_NAME
    if not path.is_file():
        raise ValueError(f"{folder} is no adapter folder: it has no {FILE_NAME}")
    described = json.loads(path.read_text(encoding="utf-8"))
    if described.get("model") != _KIND or described.get("format") != FORMAT:
        raise ValueError(f"{path} is no adapter of a two-stage model that this Aoede reads (format {FORMAT})")
    if described["base"] != (own := two_stage_fingerprint(model)):
        raise ValueError(
            f"{folder}: the adapter was trained on another base model (fingerprint {described['base'][:12]}, this one "
            f"has {own[:12]}); load the model it began with"
        )
    if described["text_rows"] > model.config.text_vocab_size:
        add_text_rows(model, described["text_rows"])
    with quiet_peft():
        adapted: Any = PeftModel.from_pretrained(model, folder, is_trainable=trainable)
    adapted.aoede_config = TwoStageAdapterConfig(**described["config"])
    return adapted


def merge_two_stage_adapter(adapted: Any) -> TwoStageModel:
    """The model with its adapter's changes written into its weights: an ordinary one again."""
    merged = adapted.merge_and_unload()
    assert isinstance(merged, TwoStageModel)
    return merged


@torch.no_grad()
def add_text_rows(model: TwoStageModel, rows: int) -> range:
    """Make the text embedding longer; new rows begin as the mean of the old ones. Returns their ids."""
    old = model.text_embeddings
    new = nn.Embedding(rows, old.embedding_dim, dtype=old.weight.dtype, device=old.weight.device)
    new.weight[: old.num_embeddings] = old.weight
    new.weight[old.num_embeddings :] = old.weight.mean(0)
    model.text_embeddings = new
    model.config.text_vocab_size = rows
    return range(old.num_embeddings, rows)


def two_stage_fingerprint(model: Any) -> str:
    """A name for the frozen weights of a model, adapted or not: SHA-256 over names, shapes and a sample of values in
    bfloat16. The text embedding is left out, because an adapter may bring rows of it."""
    digest = hashlib.sha256()
    for name, parameter in sorted(_base_parameters(_inner(model))):
        flat = parameter.detach().reshape(-1)
        at = torch.linspace(0, flat.numel() - 1, min(_SAMPLES, flat.numel()), dtype=torch.float64).long()
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        digest.update(flat[at.to(flat.device)].to("cpu", torch.bfloat16).view(torch.int16).numpy().tobytes())
    return digest.hexdigest()


def _pattern(name: str, possible: Sequence[str]) -> str:
    """The full names of the layers that a name means, as an expression."""
    stage, _, layer = name.rpartition(".")
    if name in ("projection", "slot0_head"):
        return name
    if name in _STAGES:
        own = [one.removeprefix(f"{name}.") for one in possible if one.startswith(f"{name}.")]
        return rf"{name}\.(?:.*\.)?(?:{'|'.join(map(re.escape, own))})"
    return rf"(?:{stage or '|'.join(_STAGES)})\.(?:.*\.)?{re.escape(layer)}"


def _inner(model: Any) -> TwoStageModel:
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    assert isinstance(inner, TwoStageModel)
    return inner


def _base_parameters(model: TwoStageModel) -> list[tuple[str, nn.Parameter]]:
    """The model's own parameters under the names they had before any adapter, without the text embedding."""
    found = {}
    for name, parameter in model.named_parameters():
        if "lora_" in name or "trainable_tokens" in name or name.startswith("text_embeddings"):
            continue
        found[name.replace("base_layer.", "")] = parameter
    return list(found.items())
