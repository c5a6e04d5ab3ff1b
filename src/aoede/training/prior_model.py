"""The prior's model: where it comes from, which of its rows are new, and how it is written.

Owns loading a base folder (a text model, or one that `aoede extend` made) or building one from nothing with the rows of
the packed data, and the export folder. Knows nothing of steps or losses.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from aoede.data.mixture import MixturePlan
from aoede.folders import replacing_folder
from aoede.models import CodecCausalLM, CodecLMConfig, extend
from aoede.models.adapters import merge_adapter, save_adapter
from aoede.models.export import model_card
from aoede.models.speaking_tokenizer import speaking_tokenizer
from aoede.training.model_folder import whole_model
from aoede.training.scratch import ScratchConfig, from_scratch


@dataclass(frozen=True, kw_only=True)
class PriorModelConfig:
    """Either a pretrained model or one from scratch."""

    base: str | None = None
    """Folder of a Hugging Face causal LM, extended with the plan's vocabulary; or of one that `aoede extend` made with
    that vocabulary."""

    scratch: ScratchConfig | None = None
    """Sizes of a new model with the rows of the plan's vocabulary."""

    attention: Literal["sdpa", "eager", "flash_attention_2", "flex_attention"] | None = None
    """Attention code of transformers; None is what it takes by itself."""

    export_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the weights in the exported folder."""

    def __post_init__(self) -> None:
        if (self.base is None) == (self.scratch is None):
            raise ValueError("give either model.base (a folder) or model.scratch (sizes), and not both")


def build_model(config: PriorModelConfig, plan: MixturePlan, *, seed: int = 0) -> CodecCausalLM:
    """The model that a recipe asks for, float32, with the plan's vocabulary.

    Raises:
        ValueError: the base speaks another vocabulary than the plan's documents are written in.
    """
    vocabulary = plan.packed.vocabulary
    if config.scratch is not None:
        tokenizer = AutoTokenizer.from_pretrained(plan.packed.tokenizer_folder)
        model = from_scratch(config.scratch, vocabulary, pad_id=tokenizer.pad_token_id, eos_id=tokenizer.eos_token_id)
        if config.attention is not None:
            model.set_attn_implementation(config.attention)
        return model
    folder = Path(config.base or "")
    if not (folder / "config.json").is_file():
        raise ValueError(f"model.base is {config.base!r}, but it holds no config.json; give a model folder")
    options: dict[str, Any] = {} if config.attention is None else {"attn_implementation": config.attention}
    if isinstance(AutoConfig.from_pretrained(folder), CodecLMConfig):
        model = CodecCausalLM.from_pretrained(folder, dtype=torch.float32, **options)
        if model.vocabulary != vocabulary:
            raise ValueError(
                f"{folder} speaks another vocabulary ({model.vocabulary.size:,} ids, frames {model.vocabulary.layout}) "
                f"than the packed documents ({vocabulary.size:,} ids, frames {vocabulary.layout}): pack the corpus "
                f"with --vocabulary {folder / 'augmented.yaml'} and its tokenizer"
            )
        return model
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)
    return extend(base, vocabulary, seed=seed)


def decoupled_rows(model: CodecCausalLM) -> tuple[list[Tensor], range]:
    """The embedding and the output head (one parameter where they are tied), and which of their rows are new: those
    after the text rows. Markers that re-use reserved text ids count as old. With an adapter: its rows, all new.
    """
    deltas: list[Tensor] = [p for name, p in model.named_parameters() if "trainable_tokens" in name and p.requires_grad]
    if deltas:
        return deltas, range(len(deltas[0]))
    both = (model.get_input_embeddings().weight, model.lm_head.weight)
    found = [parameter for parameter in both if isinstance(parameter, Tensor)]
    apart = found[:1] if found[0] is found[1] else found
    return apart, range(model.vocabulary.text_size, model.config.vocab_size)


def tokenizer_of(plan: MixturePlan) -> Any:
    """The plan's tokenizer, with the tokens of markers and codes."""
    return speaking_tokenizer(AutoTokenizer.from_pretrained(plan.packed.tokenizer_folder), plan.packed.vocabulary)


def write_model(
    directory: Path, model: CodecCausalLM, plan: MixturePlan, config: PriorModelConfig, adapted: Any = None
) -> None:
    """Write configuration, weights, tokenizer, augmented.yaml, modelling code and a card; an older folder is replaced.

    Every process calls it where weights are sharded; the first one writes. With an adapter the weights are the merged
    ones, and the adapter by itself lies in `adapter/`.
    """
    if adapted is not None:
        model = merge_adapter(copy.deepcopy(adapted))  # a copy: the adapter goes on training
    whole = whole_model(model)
    if whole is None:
        return
    tokenizer = tokenizer_of(plan)
    whole.generation_config.pad_token_id = tokenizer.pad_token_id or tokenizer.eos_token_id
    with replacing_folder(directory) as temporary:
        whole.to(getattr(torch, config.export_dtype)).eval().save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        (temporary / "README.md").write_text(model_card(whole), encoding="utf-8")
        if adapted is not None:
            save_adapter(adapted, temporary / "adapter")
