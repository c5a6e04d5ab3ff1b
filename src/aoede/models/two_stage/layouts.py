"""The layouts a two-stage model can have in a folder: names of weights and fields of config.json, ours and others'.

Owns three layouts and the way between them: "aoede" (this package's own), "csm-1b-hf" (the key layout of the public
checkpoint of that name: `CSMModel`, two Llama configurations) and "transformers" (`CsmForConditionalGeneration`).
Works on names and dictionaries alone; `conversion.py` reads and writes the files. This file travels inside saved model
folders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import CsmConfig, LlamaConfig

from aoede.models.two_stage.config import TwoStageConfig

LAYOUTS = ("aoede", "csm-1b-hf", "transformers")

_OURS = "aoede"
"""Field of a foreign config.json with what its layout has no field for; a folder written by us is read back exactly."""

_ELSEWHERE = frozenset(
    {"backbone", "depth_decoder", "slot_rows", "text_vocab_size", "stop", "tie_word_embeddings", "csm"}
)
FIELDS = tuple(name for name in TwoStageConfig.__annotations__ if name not in _ELSEWHERE)
"""What other layouts have no field for."""

_LLAMA = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "hidden_act", "max_position_embeddings", "initializer_range", "rms_norm_eps", "use_cache", "rope_parameters",
    "attention_bias", "attention_dropout", "mlp_bias",
)  # fmt: skip
_SLOTTED = ("num_codebooks", "vocab_size", "text_vocab_size", "depth_decoder_config")
_SPARE_ROWS = {2051: 2048}
"""Rows of the public CSM, and the codes that its codec has: the three others are reserved, which no file says."""

_PREFIXES = {
    "csm-1b-hf": {"backbone.": "backbone.", "depth_decoder.": "decoder."},
    "transformers": {"backbone.": "backbone_model.", "depth_decoder.": "depth_decoder.model."},
}
_NAMES = {
    "csm-1b-hf": {
        "text_embeddings.weight": "text_embeddings.weight",
        "audio_embeddings.weight": "audio_embeddings.weight",
        "projection.weight": "projection.weight",
        "slot0_head.weight": "codebook0_head.weight",
        "depth_heads": "audio_head",
    },
    "transformers": {
        "text_embeddings.weight": "embed_text_tokens.weight",
        "audio_embeddings.weight": "backbone_model.embed_tokens.embed_audio_tokens.weight",
        "projection.weight": "depth_decoder.model.inputs_embeds_projector.weight",
        "slot0_head.weight": "lm_head.weight",
        "depth_heads": "depth_decoder.codebooks_head.weight",
    },
}
_TWIN = "depth_decoder.model.embed_tokens.weight"
"""transformers' second name of the audio embedding (tied to the first; a file may hold either, or both)."""

_BUFFERS = ("rotary_emb.inv_freq", "audio_tokens_offsets")
CODEC_PREFIX = "codec_model."


def layout_of(data: Mapping[str, Any]) -> str:
    """The layout that a config.json belongs to.

    Raises:
        ValueError: none of the three.
    """
    kind = data.get("model_type")
    if kind == TwoStageConfig.model_type:
        return "aoede"
    if kind == "csm" and ("backbone_config" in data or "audio_num_codebooks" in data):
        return "csm-1b-hf"
    if kind == "csm":
        return "transformers"
    raise ValueError(
        f"config.json is of model_type {kind!r}; two-stage folders are of {TwoStageConfig.model_type!r} (ours) "
        "or 'csm' (csm-1b-hf, transformers)"
    )


# -- weights ----------------------------------------------------------------------------------------------------------


def foreign_name(name: str, layout: str) -> str:
    """What a weight of ours is called in another layout."""
    found = _NAMES[layout].get(name)
    if found is not None:
        return found
    for ours, theirs in _PREFIXES[layout].items():
        if name.startswith(ours):
            return theirs + name[len(ours) :]
    raise ValueError(f"{name} has no name in the layout {layout}: merge adapters before writing")


def own_weights(weights: Mapping[str, Tensor], layout: str) -> dict[str, Tensor]:
    """Another layout's weights under our names; buffers that are computed and the codec's weights are left out.

    Raises:
        ValueError: a weight that has no place; two audio embeddings that differ.
    """
    names = {theirs: ours for ours, theirs in _NAMES[layout].items()}
    found: dict[str, Tensor] = {}
    twin: Tensor | None = None
    unknown = []
    for name, value in weights.items():
        if name.endswith(_BUFFERS) or (layout == "transformers" and name.startswith(CODEC_PREFIX)):
            continue
        if layout == "transformers" and name == _TWIN:
            twin = value
        elif name in names:
            found[names[name]] = value
        else:
            for ours, theirs in _PREFIXES[layout].items():
                if name.startswith(theirs):
                    found[ours + name[len(theirs) :]] = value
                    break
            else:
                unknown.append(name)
    if unknown:
        raise ValueError(f"{len(unknown)} weights have no place in the layout {layout}, such as {unknown[0]}")
    if twin is not None:
        first = found.setdefault("audio_embeddings.weight", twin)
        if first is not twin and not first.equal(twin):
            raise ValueError(
                f"{_TWIN} differs from the backbone's audio embedding; a two-stage model has one for both stages "
                "(tie_codebooks_embeddings)"
            )
    return found


# -- configurations ---------------------------------------------------------------------------------------------------


def own_config(data: Mapping[str, Any], layout: str, **changes: Any) -> TwoStageConfig:
    """Our configuration of a model in another layout; fields of that layout alone stay in `config.csm`.

    Slots are as many as the codec has codes where the file tells (transformers: its codec's configuration), 2,048 where
    there are the 2,051 rows of the public model, else all rows. `changes` replace what the file says.
    """
    if layout == "csm-1b-hf":
        missing = [name for name in ("backbone_config", "decoder_config") if name not in data]
        if missing:
            raise ValueError(f"config.json of the layout {layout} has no {' and no '.join(missing)}")
        slots, rows = int(data.get("audio_num_codebooks", 32)), int(data.get("audio_vocab_size", 2051))
        backbone, depth = _llama(data["backbone_config"]), _llama(data["decoder_config"])
        text_rows = int(data.get("text_vocab_size", 128256))
        size, extra, rest = _SPARE_ROWS.get(rows, rows), {}, {}
    else:
        csm = CsmConfig(**data)
        inner: Any = csm.depth_decoder_config
        slots, rows, text_rows = int(csm.num_codebooks or 0), int(csm.vocab_size), int(csm.text_vocab_size)
        if (inner.num_codebooks, inner.vocab_size, inner.backbone_hidden_size) != (slots, rows, csm.hidden_size):
            raise ValueError(
                f"the depth decoder has {inner.num_codebooks} codebooks of {inner.vocab_size} rows for a backbone of "
                f"width {inner.backbone_hidden_size}, the backbone {slots} of {rows} and width {csm.hidden_size}"
            )
        backbone, depth = (LlamaConfig(**{name: getattr(part, name) for name in _LLAMA}) for part in (csm, inner))
        codec = csm.codec_config
        size = min(rows, int(getattr(codec, "codebook_size", None) or _SPARE_ROWS.get(rows, rows)))
        extra = {"sample_rate": getattr(codec, "sampling_rate", None), "frame_rate": getattr(codec, "frame_rate", None)}
        known = {*_LLAMA, *_SLOTTED, _OURS, "model_type", "architectures", "dtype", "transformers_version"}
        rest = {name: value for name, value in csm.to_dict().items() if name not in known}
    fields = {"slot_sizes": [size] * slots, **extra, **data.get(_OURS, {}), **changes}
    return TwoStageConfig(
        backbone=backbone, depth_decoder=depth, slot_rows=[rows] * slots, text_vocab_size=text_rows, csm=rest or None,
        dtype=data.get("dtype", data.get("torch_dtype")), **fields,
    )  # fmt: skip


def foreign_config(config: TwoStageConfig, layout: str) -> dict[str, Any]:
    """What config.json of another layout says of a model of ours.

    Raises:
        ValueError: what that layout cannot say (slots with different rows, another stop, a stage that is no Llama).
    """
    _check(config, layout)
    assert config.slot_rows is not None
    slots, rows = config.num_slots, config.slot_rows[0]
    backbone, depth = (
        {name: getattr(part, name) for name in _LLAMA} for part in (config.backbone, config.depth_decoder)
    )
    shared = {
        "model_type": "csm",
        "text_vocab_size": config.text_vocab_size,
        "dtype": None if config.dtype is None else str(config.dtype).removeprefix("torch."),
        _OURS: {name: getattr(config, name) for name in FIELDS},
    }
    if layout == "csm-1b-hf":
        return {
            **shared,
            "architectures": ["CSMModel"],
            "audio_num_codebooks": slots,
            "audio_vocab_size": rows,
            "max_seq_len": config.backbone.max_position_embeddings,
            "backbone_config": _older(backbone, config.text_vocab_size),
            "decoder_config": _older(depth, config.text_vocab_size),
        }
    slotted = {"num_codebooks": slots, "vocab_size": rows}
    fields = {
        **_token_ids(config.text_vocab_size, rows), **(config.csm or {}), **backbone, **shared, **slotted,
        "tie_codebooks_embeddings": True,
        "depth_decoder_config": {**depth, **slotted, "backbone_hidden_size": config.hidden_size},
        "architectures": ["CsmForConditionalGeneration"],
    }  # fmt: skip
    return dict(CsmConfig(**fields).to_dict())


def _check(config: TwoStageConfig, layout: str) -> None:
    rows = config.slot_rows or []
    if len(set(rows)) > 1:
        raise ValueError(
            f"the slots have {rows} rows; the layout {layout} has the same number in each: write layout='aoede'"
        )
    if getattr(config, "slot_tables", None) is not None:
        raise ValueError(
            f"slots share rows (slot_tables {config.slot_tables}), but in the layout {layout} each has its own: write "
            "layout='aoede'"
        )
    if config.stop != "zeros":
        raise ValueError(
            f"the model stops by {config.stop!r}, but the layout {layout} knows the frame of zeros alone: write "
            "layout='aoede'"
        )
    if getattr(config, "text_stride", None) is not None:
        raise ValueError(
            f"the model has parallel positions (text_stride {config.text_stride}), which the layout {layout} has not: "
            "write layout='aoede'"
        )
    for name, stage in (("backbone", config.backbone), ("depth decoder", config.depth_decoder)):
        if stage.model_type != "llama":
            raise ValueError(
                f"the {name} is {stage.model_type!r}; the layout {layout} takes 'llama': write layout='aoede'"
            )


def _llama(data: Mapping[str, Any]) -> LlamaConfig:
    if data.get("model_type", "llama") != "llama":
        raise ValueError(f"a stage of the layout csm-1b-hf is Llama, config.json says {data['model_type']!r}")
    return LlamaConfig(**{name: value for name, value in data.items() if name not in ("model_type", "vocab_size")})


def _older(stage: dict[str, Any], text_rows: int) -> dict[str, Any]:
    """A Llama configuration as releases of transformers before 5 read it too: the rope in two fields."""
    rope = dict(stage.pop("rope_parameters"))
    theta = rope.pop("rope_theta")
    scaling = None if rope.get("rope_type", "default") == "default" else rope
    return {**stage, "model_type": "llama", "vocab_size": text_rows, "rope_theta": theta, "rope_scaling": scaling}


def _token_ids(text_rows: int, rows: int) -> dict[str, int | None]:
    """Ids of CSM's processor where they exist; a smaller table has none of them."""
    names = ("pad_token_id", "bos_token_id", "audio_token_id", "audio_eos_token_id")
    found = {name: value if (value := getattr(CsmConfig, name)) < text_rows else None for name in names}
    return {**found, "codebook_pad_token_id": rows - 1, "codebook_eos_token_id": 0}
