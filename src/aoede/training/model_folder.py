"""Model folders and checkpoints: the weights of a `dcp` checkpoint as a Hugging Face folder, and the other way.

Owns what stands in a checkpoint's `model/` (a model folder without weights, so that a checkpoint explains itself) and
the two conversions, which run in one process and hold the weights once. Knows nothing of runs: the optimiser's state
stays behind.
"""

import copy
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from aoede.models import CodecCausalLM, CodecLMConfig
from aoede.models.portable import write_code
from aoede.tokens.vocabulary import FILE_NAME
from aoede.training import checkpoint as ckpt
from aoede.training.dcp import TENSORS, is_dcp, read_tensors, sizes_of, take_apart, write_tensors
from aoede.training.sharded import whole_state

DTYPES = ("float32", "bfloat16", "float16")
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".index.json")


def describe_model(model: CodecCausalLM, tokenizer: Any, directory: Path) -> None:
    """Write all of a model folder but the weights: config.json, augmented.yaml, the code that loads it, the tokenizer
    (None where there is none). What an objective's `describe_model` does."""
    directory.mkdir(parents=True, exist_ok=True)
    config = CodecLMConfig.from_dict(model.config.to_dict())
    config.architectures = ["CodecCausalLM"]
    config.auto_map = write_code(directory)
    config.save_pretrained(directory)
    model.generation_config.save_pretrained(directory)
    model.vocabulary.save(directory / FILE_NAME)
    if tokenizer is not None:
        tokenizer.save_pretrained(directory)


def whole_model(model: CodecCausalLM) -> CodecCausalLM | None:
    """A sharded model put together on the CPU: on rank 0; None on the others. Every rank calls it."""
    state = whole_state(model)
    if state is None:
        return None
    with torch.device("meta"):
        twin = CodecCausalLM(CodecLMConfig.from_dict(model.config.to_dict()))
    twin.load_state_dict(state, assign=True)
    twin.tie_weights()
    for name, buffer in model.named_buffers():  # those that no state holds, such as rotary frequencies
        owner, _, last = name.rpartition(".")
        twin.get_submodule(owner)._buffers[last] = buffer.detach().to("cpu", copy=True)
    twin.generation_config = copy.deepcopy(model.generation_config)
    twin.train(model.training)
    return twin


def dcp_to_folder(
    checkpoint: str | Path, directory: str | Path, *, average: bool = False, dtype: str | None = None
) -> Path:
    """Write the weights of a checkpoint as a folder that `from_pretrained` reads; an older folder is refused.

    Args:
        checkpoint: `step-XXXXXXXX/` of format dcp, written by any number of processes.
        average: the averaged weights (`ema`) instead of the weights themselves.
        dtype: float32, bfloat16 or float16; None keeps what the checkpoint has.
    Returns:
        `directory`.
    Raises:
        ValueError: not such a checkpoint, one that says nothing of its model, or weights that do not fit it.
    """
    checkpoint, directory = Path(checkpoint), Path(directory)
    if dtype not in (None, *DTYPES):
        raise ValueError(f"dtype is {dtype!r}; it may be {', '.join(DTYPES)}")
    if not is_dcp(checkpoint):
        raise ValueError(
            f"{checkpoint} has no {TENSORS}/: it is no checkpoint of format dcp (a run with checkpoint_format: files "
            "exports its model when it ends)"
        )
    described = checkpoint / "model"
    if not (described / "config.json").is_file():
        raise ValueError(f"{checkpoint} does not describe its model: there is no {described / 'config.json'}")
    _refuse(directory)
    with torch.device("meta"):
        model = CodecCausalLM(CodecLMConfig.from_pretrained(described))
    state = _weights(checkpoint, "ema.shadow." if average else "model.", model)
    if dtype is not None:
        cast: dict[int, Tensor] = {}  # tied weights stay one
        for name, tensor in state.items():
            if tensor.is_floating_point():
                state[name] = cast.setdefault(tensor.data_ptr(), tensor.to(getattr(torch, dtype)))
    model.config.dtype = next(t.dtype for t in state.values() if t.is_floating_point())
    if (described / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(described)
    model.load_state_dict(state, assign=True)
    model.tie_weights()
    temporary = _temporary(directory)
    shutil.copytree(described, temporary)
    model.save_pretrained(temporary)
    os.rename(temporary, directory)
    return directory


def folder_to_dcp(directory: str | Path, checkpoint: str | Path) -> Path:
    """Write a model folder as a checkpoint from which any number of processes starts (`--resume CHECKPOINT`).

    Args:
        directory: a folder that `CodecCausalLM.save_pretrained` (or `aoede extend`) wrote.
        checkpoint: the new folder; an older one is refused.
    Returns:
        `checkpoint`.
    Raises:
        ValueError: no such model folder.
    """
    directory, checkpoint = Path(directory), Path(checkpoint)
    if not (directory / "config.json").is_file() or not (directory / FILE_NAME).is_file():
        raise ValueError(f"{directory} is no codec language model: it needs a config.json and an {FILE_NAME}")
    _refuse(checkpoint)
    model = CodecCausalLM.from_pretrained(directory, dtype="auto")
    tree, tensors = take_apart({"model": model.state_dict()})
    temporary = _temporary(checkpoint)
    write_tensors(tensors, temporary / TENSORS)
    ckpt.write_parts(temporary, 0, {"loop": None, "objective": tree}, meta={"checkpoint_format": "dcp"})
    (temporary / "model").mkdir()
    for file in directory.iterdir():
        if file.is_file() and not file.name.endswith(_WEIGHTS):
            shutil.copyfile(file, temporary / "model" / file.name)
    os.rename(temporary, checkpoint)
    return checkpoint


def _weights(checkpoint: Path, prefix: str, model: CodecCausalLM) -> dict[str, Tensor]:
    """A model's state from a checkpoint; tied weights share memory."""
    state = ckpt.load_checkpoint(checkpoint)["objective"]
    tree: Any = state
    for part in prefix.rstrip(".").split("."):
        if part not in tree:
            raise ValueError(f"{checkpoint} has no {prefix.rstrip('.')}: there were no such weights in the run")
        tree = tree[part]
    sizes, wanted = sizes_of(checkpoint), model.state_dict()
    # An average knows tied weights by one name, and buffers that no state holds.
    names = {name: mark["<tensor>"] for name, mark in tree.items() if name in wanted or prefix == "model."}
    missing, foreign = sorted(wanted.keys() - names.keys()), sorted(names.keys() - wanted.keys())
    if missing == ["lm_head.weight"] and model.config.tie_word_embeddings:
        names["lm_head.weight"] = names[model._tied_weights_keys["lm_head.weight"]]
        missing = []
    if missing or foreign:
        raise ValueError(
            f"{checkpoint} does not hold the weights of its model: {(missing + foreign)[0]} is in one of them only "
            "(the checkpoint of an adapter is exported by its run)"
        )
    tensors = {name: torch.empty(sizes[name].size, dtype=sizes[name].properties.dtype) for name in set(names.values())}
    read_tensors(checkpoint, tensors)
    return {name: tensors[stored] for name, stored in names.items()}


def _refuse(folder: Path) -> None:
    if folder.exists():
        raise ValueError(f"{folder} exists already; give a new folder")


def _temporary(folder: Path) -> Path:
    temporary = folder.with_name(f"{ckpt.TEMPORARY}{folder.name}-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    return temporary
