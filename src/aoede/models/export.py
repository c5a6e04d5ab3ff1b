"""The folder that others load: a codec language model as the public model cards have it, or as a plain text model.

Owns what goes into the folder beside the weights (tokenizer with every new token, generation settings, a card), and the
plain form: the text model's own architecture over all rows, which serving engines know. Knows nothing of engines:
outside this package the grammar is kept by the modelling files in the folder, or by `aoede.serving`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from aoede.models.adapters import load_adapter, merge_adapter
from aoede.models.causal_lm import CodecCausalLM
from aoede.models.speaking_tokenizer import load_tokenizer, speaking_tokenizer
from aoede.tokens.vocabulary import CodecVocabulary


def export_folder(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    adapter: str | os.PathLike[str] | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    plain: bool = False,
    max_shard_size: str = "5GB",
) -> Path:
    """Write a model folder for others.

    Args:
        source: model folder (of `aoede extend`, of a run's export, or a voice's `model`).
        out: a folder that does not exist yet, or is empty.
        adapter: folder of an adapter trained on `source`; merged into the weights.
        tokenizer: where `source` has none.
        dtype: of the weights written; auto: as `source` has them.
        plain: as the text model's own architecture, without modelling files, for engines such as vLLM. The rows are the
            same, the grammar is not in it.
    Returns:
        `out`.
    Raises:
        ValueError: `source` is no codec language model, `out` holds files, or a plain model with parallel positions.
    """
    source, out = Path(source), Path(out)
    if not (source / "config.json").is_file():
        raise ValueError(f"{source} is no model folder: it has no config.json")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists already; give a new folder")
    if not (source / "augmented.yaml").is_file():
        raise ValueError(f"{source} is no codec language model: it has no augmented.yaml; make one with aoede extend")
    model = CodecCausalLM.from_pretrained(source, dtype=dtype)
    if plain and model.config.text_stride is not None:
        raise ValueError(
            f"{source} has parallel positions (text_stride {model.config.text_stride:g}), which a plain text model has "
            "not; export it without --plain"
        )
    words = load_tokenizer(source if tokenizer is None else tokenizer)
    grown = speaking_tokenizer(words, model.vocabulary)
    if adapter is not None:
        model = merge_adapter(load_adapter(model, adapter))
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        settings = _settings(model, grown)
        if plain:
            _write_plain(model, temporary, settings, max_shard_size)
        else:
            model.generation_config = settings
            model.save_pretrained(temporary, max_shard_size=max_shard_size)
        grown.save_pretrained(temporary)
        (temporary / "README.md").write_text(model_card(model, plain=plain), encoding="utf-8")
        if out.exists():
            out.rmdir()
        os.rename(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def model_card(model: CodecCausalLM, *, plain: bool = False) -> str:
    """The card: what the ids mean, and how the folder is loaded."""
    v = model.vocabulary
    named = [("text", 0, v.text_size), (f"`{v.open_token}`", v.open_id, None), (f"`{v.close_token}`", v.close_id, None)]
    named += [(entry["name"], entry["start"], entry["stop"]) for entry in v.to_dict()["ranges"]]
    rows = [
        f"| {name} | {start} |" if stop is None else f"| {name} | {start} .. {stop - 1} |"
        for name, start, stop in named
    ]
    if plain:
        load = (
            'tokenizer = AutoTokenizer.from_pretrained("FOLDER")\n'
            'model = AutoModelForCausalLM.from_pretrained("FOLDER")  # does not keep to the grammar: see aoede.serving'
        )
    else:
        load = (
            'tokenizer = AutoTokenizer.from_pretrained("FOLDER", trust_remote_code=True)\n'
            'model = AutoModelForCausalLM.from_pretrained("FOLDER", trust_remote_code=True)\n'
            f"ids = torch.tensor([[{v.open_id}]])  # {v.open_token}: audio from nothing\n"
            "print(model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=True, max_new_tokens=700))"
        )
    base = model.config.text_config.model_type
    return f"""---
library_name: transformers
tags: [speech, codec, {base}]
---

# A codec language model on {base}

{sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters, {v.size:,} rows. It writes text, and sound as the
codes of a neural codec: frames of {v.num_slots} ids in the order {v.layout}, between two markers.

| ids | |
|---|---|
{chr(10).join(rows)}

`augmented.yaml` says the same to programs. In text only text ids and the opening marker are legal; in a span each slot
takes the ids of its range, and the closing marker stands between frames.

```python
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

{load}
```
"""


def _settings(model: CodecCausalLM, tokenizer: Any) -> GenerationConfig:
    """How `generate` starts, ends and pads unless it is told otherwise."""
    settings = GenerationConfig.from_dict(model.generation_config.to_dict())
    if settings.pad_token_id is None:
        settings.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return settings


def _write_plain(model: CodecCausalLM, folder: Path, settings: GenerationConfig, max_shard_size: str) -> None:
    """The weights under the text model's own class and names."""
    with torch.device("meta"):
        text_model = AutoModelForCausalLM.from_config(model.config.text_config, dtype=model.dtype)
    setattr(text_model, text_model.base_model_prefix, model.model)
    text_model.set_output_embeddings(model.lm_head)
    if any(parameter.is_meta for parameter in text_model.parameters()):
        raise ValueError(f"{type(text_model).__name__} keeps weights outside backbone and head; export without --plain")
    text_model.config.tie_word_embeddings = model.config.tie_word_embeddings
    text_model.generation_config = settings
    text_model.save_pretrained(folder, max_shard_size=max_shard_size)
    CodecVocabulary.save(model.vocabulary, folder)
