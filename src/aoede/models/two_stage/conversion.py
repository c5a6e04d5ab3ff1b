"""Folders of two-stage models: read in whichever layout they are, written in the layout that is asked for.

Owns the files (config.json, generation_config.json, safetensors with shards and their index) and the two methods that
`TwoStageModel` has for them. `layouts.py` knows names and fields. This file travels inside saved model folders.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict, snapshot_download
from safetensors import safe_open
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from aoede.models.portable import write_code
from aoede.models.two_stage.config import TwoStageConfig
from aoede.models.two_stage.layouts import (
    CODEC_PREFIX,
    FIELDS,
    LAYOUTS,
    foreign_config,
    foreign_name,
    layout_of,
    own_config,
    own_weights,
)

_AUTO_MAP = {"AutoConfig": "config.TwoStageConfig", "AutoModel": "model.TwoStageModel"}
_WEIGHTS = "model.safetensors"
_HUB = ("cache_dir", "force_download", "local_files_only", "token", "revision", "proxies")
_SETTINGS = ("do_sample", "max_new_tokens", "temperature", "top_k", "top_p", "min_p")
_DEPTH_SETTINGS = ("temperature", "top_k", "top_p", "min_p")


class FolderLayouts:
    """`from_pretrained` and `save_pretrained` over three layouts, for `TwoStageModel`."""

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str] | None, *args: Any, **kwargs: Any) -> Any:
        """Read a model from a folder (or a repository of the hub) in any of the layouts.

        Args:
            folder: with config.json and safetensors: ours, `csm-1b-hf`'s key layout, or that of transformers'
                `CsmForConditionalGeneration`, whose codec weights are left alone.
            kwargs: those of `PreTrainedModel.from_pretrained`; fields of the configuration (`amortization_ratio=16`,
                `slot_sizes=[2048] * 32` where a foreign folder does not tell) replace what the folder says.
        Raises:
            ValueError: another kind of folder; weights that are missing, left over, or of another size.
            OSError: no such folder or repository, or no config.json there.
        """
        parent: Any = super()
        if folder is None:
            return parent.from_pretrained(folder, *args, **kwargs)
        place = Path(folder) / kwargs.get("subfolder", "") / "config.json"
        data = _read_json(place) if place.is_file() else None
        if data is None and not Path(folder).is_dir():
            hub = {name: kwargs[name] for name in _HUB if name in kwargs}
            found = snapshot_download(str(folder), allow_patterns=["*.json", "*.safetensors"], **hub)
            folder, data = found, _read_json(Path(found) / kwargs.get("subfolder", "") / "config.json")
        if data is None or layout_of(data) == "aoede":
            return parent.from_pretrained(folder, *args, **kwargs)
        path = Path(folder) / kwargs.pop("subfolder", "")
        layout = layout_of(data)
        config = kwargs.pop("config", None)
        if config is None:
            config = own_config(data, layout, **{name: kwargs.pop(name) for name in FIELDS if name in kwargs})
        weights = own_weights(_read_weights(path, data), layout)
        _check_shapes(cls, config, weights, path)
        for name in _HUB:
            kwargs.pop(name, None)
        model = parent.from_pretrained(None, *args, config=config, state_dict=weights, **kwargs)
        settings = path / "generation_config.json"
        loaded = model[0] if isinstance(model, tuple) else model
        if settings.is_file():
            loaded.generation_config = _own_settings(_read_json(settings))
        loaded.config._name_or_path = str(path)
        return model

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        is_main_process: bool = True,
        *,
        layout: str = "aoede",
        codec: PreTrainedModel | str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write the model into a folder; read back, configuration and weights are the same.

        Args:
            layout: "aoede"; "csm-1b-hf"; "transformers", which `CsmForConditionalGeneration` reads. The latter two say
                in a field of config.json what they have no field for (`slot_sizes`, say).
            codec: with "transformers", whose `codec_model.*` go along: a codec (`MimiModel`), or the folder of a CSM in
                that layout. None writes none: transformers then starts a codec at random, and says so.
            kwargs: those of `PreTrainedModel.save_pretrained`; of these the other layouts take `state_dict` and
                `max_shard_size`.
        Raises:
            ValueError: an unknown layout, or what it cannot hold (slots with different rows, a stop row, a stage
                that is no Llama, adapters).
        """
        model: Any = self
        parent: Any = super()
        if layout not in LAYOUTS:
            raise ValueError(f"layout {layout!r} is unknown; there are {', '.join(LAYOUTS)}")
        if codec is not None and layout != "transformers":
            raise ValueError(f"the layout {layout!r} has no place for a codec; leave it out, or write 'transformers'")
        if layout == "aoede":
            if is_main_process:
                os.makedirs(save_directory, exist_ok=True)
                code = Path(__file__).with_name("model.py")
                model.config.auto_map = write_code(save_directory, code, _AUTO_MAP)
            parent.save_pretrained(save_directory, is_main_process=is_main_process, **kwargs)
            return
        state = kwargs.pop("state_dict", None)
        size = kwargs.pop("max_shard_size", "50GB")
        refused = sorted(name for name in ("push_to_hub", "variant", "distributed_checkpoint") if kwargs.get(name))
        if refused:
            raise ValueError(f"the layout {layout!r} is written into a folder alone, without {', '.join(refused)}")
        if not is_main_process:
            return
        config = model.config
        config.dtype = model.dtype
        data = foreign_config(config, layout)
        state = model.state_dict() if state is None else state
        weights = {foreign_name(name, layout): value for name, value in state.items()}
        if codec is not None:
            fields, added = _codec(codec)
            data["codec_config"] = fields
            weights |= added
        settings = _foreign_settings(model.generation_config, config.num_slots, layout)
        _write(Path(save_directory), data, settings, weights, size)


# -- reading ----------------------------------------------------------------------------------------------------------


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: a model folder holds a config.json")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _read_weights(folder: Path, data: dict[str, Any], prefix: str | None = None) -> dict[str, Tensor]:
    """All tensors of the safetensors in a folder (those whose names begin with `prefix`, else those that do not begin
    as the codec's), as views of the files."""
    first = str(data.get("transformers_weights") or "")
    candidates = [first] if first else [_WEIGHTS, f"{_WEIGHTS}.index.json"]
    name = next((name for name in candidates if (folder / name).is_file()), None)
    if name is None:
        raise ValueError(f"{folder} has no {' and no '.join(candidates)}; pickled weights are not read")
    files = [name]
    if name.endswith(".json"):
        files = sorted(set(_read_json(folder / name)["weight_map"].values()))
    found: dict[str, Tensor] = {}
    for file in files:
        if not (folder / file).is_file() or Path(file).name != file:
            raise ValueError(f"{folder / name} names {file}, which is not in the folder")
        with safe_open(folder / file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 (no mapping)
                if key.startswith(CODEC_PREFIX) == (prefix == CODEC_PREFIX):
                    found[key] = tensors.get_tensor(key)
    return found


def _check_shapes(cls: Any, config: TwoStageConfig, weights: dict[str, Tensor], folder: Path) -> None:
    """The same weights as the configuration makes, or words: transformers would fill what is missing at random."""
    with torch.device("meta"):
        wanted = {name: value.shape for name, value in cls(config).state_dict().items()}
    missing = sorted(set(wanted) - set(weights))
    if missing:
        raise ValueError(f"{folder} lacks {len(missing)} weights, such as {missing[0]} (by our name)")
    spare = sorted(set(weights) - set(wanted))
    if spare:
        raise ValueError(f"{folder} has {len(spare)} weights that no layer of its config.json has, such as {spare[0]}")
    for name, shape in wanted.items():
        if weights[name].shape != shape:
            raise ValueError(f"{name} is {list(weights[name].shape)} in {folder}; by config.json it is {list(shape)}")


# -- writing ----------------------------------------------------------------------------------------------------------


def _codec(codec: PreTrainedModel | str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A codec's configuration and its weights as `codec_model.*`."""
    if isinstance(codec, (str, os.PathLike)):
        data = _read_json(Path(codec) / "config.json")
        weights = _read_weights(Path(codec), data, prefix=CODEC_PREFIX) if layout_of(data) == "transformers" else {}
        if not weights:
            raise ValueError(
                f"{codec} holds no {CODEC_PREFIX}*; give the folder of a CSM of transformers, or the codec itself"
            )
        return dict(data.get("codec_config") or {"model_type": "mimi"}), weights
    return codec.config.to_dict(), {f"{CODEC_PREFIX}{name}": value for name, value in codec.state_dict().items()}


def _write(
    folder: Path, config: dict[str, Any], settings: GenerationConfig, weights: dict[str, Tensor], shard_size: int | str
) -> None:
    """All files under temporary names first, config.json moved last; earlier weights of the folder go."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
    try:
        save_torch_state_dict(weights, partial, max_shard_size=shard_size)
        settings.save_pretrained(str(partial))
        (partial / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        written = {path.name for path in partial.iterdir()}
        for old in folder.glob("model*.safetensors*"):
            if old.name not in written:
                old.unlink()
        for name in sorted(written, key=lambda name: (name == "config.json", name)):
            os.replace(partial / name, folder / name)
    finally:
        shutil.rmtree(partial)


# -- settings of generation -------------------------------------------------------------------------------------------


_settings: Any = GenerationConfig  # its __init__ is untyped


def _own_settings(data: dict[str, Any]) -> GenerationConfig:
    """What generation_config.json of another layout says of drawing, under our names."""
    fields = {name: data[name] for name in _SETTINGS if data.get(name) is not None}
    depth = {f"depth_{name}": data.get(f"depth_decoder_{name}") for name in _DEPTH_SETTINGS}
    made: GenerationConfig = _settings(**fields, **{k: value for k, value in depth.items() if value is not None})
    return made


def _foreign_settings(ours: GenerationConfig, slots: int, layout: str) -> GenerationConfig:
    fields = {name: value for name in _SETTINGS if (value := getattr(ours, name, None)) is not None}
    depth = {name: value for name in _DEPTH_SETTINGS if (value := getattr(ours, f"depth_{name}", None)) is not None}
    if layout == "transformers":
        drawn = {"do_sample": ours.do_sample, "min_new_tokens": slots - 1, "max_new_tokens": slots - 1}
        depth = {**{name: value for name, value in drawn.items() if value is not None}, **depth}
    made: GenerationConfig = _settings(**fields, **{f"depth_decoder_{name}": value for name, value in depth.items()})
    return made
