"""Adapters: LoRA or DoRA on the backbone's layers, with the new rows, and no others, trained in full.

Owns which layers and rows are adapted, and the folder of an adapter: what peft writes, `augmented.yaml`, and
`adapter.json` (which base it belongs to). Knows nothing of training loops. LoRA: Hu et al. 2021; DoRA: Liu et al. 2024.
peft (extra `aoede[train]`) is imported where it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from aoede.folders import replacing_folder
from aoede.models.causal_lm import CodecCausalLM
from aoede.tokens.vocabulary import CodecVocabulary

FILE_NAME = "adapter.json"
FORMAT = 1

UNSUPPORTED = frozenset({"out_proj", "conv1d"})
"""Layers inside recurrent blocks whose weights are read past their `forward` by the fused kernels: an adapter there
would be ignored on CUDA."""

_SAMPLES = 64


@dataclass(frozen=True, kw_only=True)
class LowRankConfig:
    """The factors that stand beside frozen layers, of whatever model."""

    kind: Literal["lora", "dora"] = "lora"
    """dora also learns the length of each adapted column."""

    rank: int = 16
    """Width of the low-rank factors."""

    alpha: float = 32.0
    """The factors' product is scaled by alpha / rank."""

    dropout: float = 0.0
    """On what enters the factors."""

    def __post_init__(self) -> None:
        if self.kind not in ("lora", "dora"):
            raise ValueError(f"adapter kind is {self.kind!r}; it is 'lora' or 'dora'")
        if self.rank < 1:
            raise ValueError(f"adapter rank is {self.rank}; it must be at least 1")
        if not self.alpha > 0:
            raise ValueError(f"adapter alpha is {self.alpha}; it must be above 0")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"adapter dropout is {self.dropout}; it must lie in [0, 1)")

    def wrap(self, model: nn.Module, targets: str, seed: int, **settings: Any) -> Any:
        """A peft model around `model`, whose own weights are frozen.

        Args:
            targets: expression of the names of the layers that get factors.
            seed: of the factors; the global generator is left as it was.
            settings: further fields of peft's `LoraConfig`.
        """
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]  # peft divides by the rank, so any number will do
            lora_dropout=self.dropout,
            use_dora=self.kind == "dora",
            target_modules=targets,
            **settings,
        )
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())), quiet_peft():
            torch.manual_seed(seed)
            adapted: Any = get_peft_model(model, config)  # type: ignore[arg-type]
        adapted.aoede_config = self
        return adapted


@dataclass(frozen=True, kw_only=True)
class AdapterConfig(LowRankConfig):
    """What is trained beside a frozen model."""

    layers: tuple[str, ...] | None = None
    """Last names of the linear layers adapted, such as ("q_proj", "v_proj"); None: every linear layer of the backbone
    that can be (not the head; in hybrids neither `out_proj` nor `conv1d`)."""

    new_rows: bool = True
    """Train the rows of markers and codes, in the embedding and in the head, in full; text rows stay as they are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(self.layers))
            if not self.layers:
                raise ValueError("adapter layers is empty; name linear layers, or leave it out for all of them")


def new_row_ids(vocabulary: CodecVocabulary) -> list[int]:
    """Ids that a text model did not know: both markers and every range, ascending."""
    ranges = {vocabulary.range_of(slot) for slot in range(vocabulary.num_slots)}
    return sorted({vocabulary.open_id, vocabulary.close_id, *(i for ids in ranges for i in ids)})


def adaptable_layers(model: CodecCausalLM) -> tuple[str, ...]:
    """Last names of the backbone's linear layers that an adapter may stand on."""
    names = {name.rpartition(".")[2] for name, module in model.model.named_modules() if isinstance(module, nn.Linear)}
    return tuple(sorted(names - UNSUPPORTED if model.is_recurrent else names))


def adapt(model: CodecCausalLM, config: AdapterConfig, *, seed: int = 0) -> Any:
    """A peft model around `model`, whose own weights are frozen: `forward(labels=...)` and `generate` as before.

    `model` is taken over: its layers are wrapped in place.

    Args:
        seed: of the factors; the global generator is left as it was.
    Raises:
        ValueError: a layer that the backbone does not have, or on which no adapter may stand.
    """
    possible = adaptable_layers(model)
    layers = possible if config.layers is None else config.layers
    for name in layers:
        if name in UNSUPPORTED and model.is_recurrent:
            raise ValueError(
                f"no adapter may stand on {name!r}: the kernels of recurrent layers read its weight directly; "
                f"this model takes {', '.join(possible)}"
            )
        if name not in possible:
            raise ValueError(f"the backbone has no linear layer {name!r}; it has {', '.join(possible)}")
    return config.wrap(
        model,
        # As one expression: names of layers of experts, or of the head, must not match by their endings.
        rf"model\.(?:.*\.)?(?:{'|'.join(layers)})",
        seed,
        trainable_token_indices=_row_targets(model) if config.new_rows else None,
        task_type="CAUSAL_LM",
    )


def trained_parameters(adapted: Any) -> dict[str, nn.Parameter]:
    """The parameters that training changes: the factors, and the new rows (names with `trainable_tokens`)."""
    return {name: parameter for name, parameter in adapted.named_parameters() if parameter.requires_grad}


def save_adapter(adapted: Any, folder: str | os.PathLike[str]) -> Path:
    """Write what was trained, and nothing else; an older adapter there is replaced at once, never half.

    Returns:
        the folder: adapter_model.safetensors, adapter_config.json (peft's), augmented.yaml, adapter.json.
    """
    folder = Path(folder)
    model = _inner(adapted)
    with replacing_folder(folder) as temporary:
        # The rows are saved by themselves: peft would add both whole matrices whenever the vocabulary looks resized.
        adapted.save_pretrained(temporary, save_embedding_layers=False)
        (temporary / "README.md").unlink(missing_ok=True)
        model.vocabulary.save(temporary)
        described = {"format": FORMAT, "base": base_fingerprint(adapted), "config": asdict(adapted.aoede_config)}
        (temporary / FILE_NAME).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    return folder


def load_adapter(model: CodecCausalLM, folder: str | os.PathLike[str], *, trainable: bool = False) -> Any:
    """An adapter from its folder around the model it was trained on, which is taken over.

    Raises:
        ValueError: no adapter folder, another vocabulary, or another base model.
    """
    from peft import PeftModel

    folder = Path(folder)
    path = folder / FILE_NAME
    if not path.is_file():
        raise ValueError(f"{folder} is no adapter folder: it has no {FILE_NAME}")
    described = json.loads(path.read_text(encoding="utf-8"))
    if described.get("format") != FORMAT:
        raise ValueError(f"{path}: format is {described.get('format')!r}, this Aoede reads {FORMAT}")
    if CodecVocabulary.load(folder) != model.vocabulary:
        raise ValueError(f"{folder}: the adapter was trained with another vocabulary than this model's")
    if described["base"] != base_fingerprint(model):
        raise ValueError(
            f"{folder}: the adapter was trained on another base model (fingerprint {described['base'][:12]}, this one "
            f"has {base_fingerprint(model)[:12]}); load the model it began with"
        )
    with quiet_peft():
        adapted = PeftModel.from_pretrained(model, folder, is_trainable=trainable)
    settings = dict(described["config"])
    settings["layers"] = None if settings["layers"] is None else tuple(settings["layers"])
    adapted.aoede_config = AdapterConfig(**settings)
    return adapted


def merge_adapter(adapted: Any) -> CodecCausalLM:
    """The model with its adapter's changes written into its weights: an ordinary one again, to save or to serve."""
    merged = adapted.merge_and_unload()
    assert isinstance(merged, CodecCausalLM)
    return merged


def base_fingerprint(model: Any) -> str:
    """A name for the frozen weights of a model, adapted or not: SHA-256 over names, shapes and a sample of values.

    Rows of markers and codes are left out, because an adapter brings its own. Values are compared in bfloat16, so the
    fingerprint does not depend on the precision a model is loaded in.
    """
    inner = _inner(model)
    rows = {id(p) for p in _row_weights(inner)}
    text = inner.vocabulary.text_size
    digest = hashlib.sha256()
    for name, parameter in sorted(_base_parameters(inner)):
        values = parameter.detach()
        if id(parameter) in rows:
            values = values[:text]
        digest.update(f"{name}{tuple(values.shape)}".encode())
        flat = values.reshape(-1)
        at = torch.linspace(0, flat.numel() - 1, min(_SAMPLES, flat.numel()), dtype=torch.float64).long()
        if id(parameter) in rows:  # a marker may stand on a text row
            at = at[
                ~torch.isin(at // values.shape[1], torch.tensor([inner.vocabulary.open_id, inner.vocabulary.close_id]))
            ]
        sample = flat[at.to(flat.device)].to("cpu", torch.bfloat16)
        digest.update(sample.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Around calls of peft, which uses names that transformers deprecated; a user can do nothing about it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*gradient_checkpointing.* is deprecated", category=FutureWarning)
        yield


def _inner(model: Any) -> CodecCausalLM:
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    assert isinstance(inner, CodecCausalLM)
    return inner


def _base_parameters(model: CodecCausalLM) -> list[tuple[str, nn.Parameter]]:
    """The model's own parameters under the names they had before any adapter."""
    found = {}
    for name, parameter in model.named_parameters():
        if "lora_" in name or "trainable_tokens" in name:
            continue
        for wrapper in ("token_adapter.base_layer.", "original_module.", "base_layer."):
            name = name.replace(wrapper, "")
        found[name] = parameter
    return list(found.items())


def _row_weights(model: CodecCausalLM) -> list[Tensor]:
    """The parameters behind the embedding and the head, whatever wraps them."""
    found: list[Tensor] = []
    for module in (model.get_input_embeddings(), model.get_output_embeddings()):
        inner = getattr(module, "original_module", module)
        found.append(inner.weight)
    return found


def _row_targets(model: CodecCausalLM) -> dict[str, list[int]]:
    """peft's `trainable_token_indices`: the embedding and, where it has weights of its own, the head."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    name = next(name for name, module in model.model.named_modules() if module is embedding)
    ids = new_row_ids(model.vocabulary)
    targets = {name.rpartition(".")[2]: ids}
    if head.weight is not embedding.weight:
        targets["lm_head"] = ids
    return targets
