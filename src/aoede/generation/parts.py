"""The parts of a voice folder: codec, model and tokenizer, opened and on their device.

Owns which kind of model and codec is opened, and the words for what is missing. Knows nothing of speaking.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aoede.codec import Codec, Snac, load_codec
from aoede.generation.prior_folder import quiet_loading
from aoede.generation.voice_folder import VoiceSettings
from aoede.models import CodecCausalLM, CodecLMConfig, TwoStageConfig, TwoStageModel
from aoede.tokens import FrameLayout


def load_parts(
    folder: Path, settings: VoiceSettings, device: str = "cpu"
) -> tuple[Codec, CodecCausalLM | TwoStageModel, Any]:
    """Open a voice folder.

    Returns:
        codec and model on the device (float32 on a CPU), and the tokenizer.
    Raises:
        ValueError: a folder that is not whole, or whose model is not of the kind that voice.json says.
    """
    from transformers import AutoTokenizer

    for part in ("codec", "model"):
        if not (folder / part).is_dir():
            raise ValueError(f"{folder} has no folder {part}/: the voice is not whole")
    found = _model_type(folder / "model")
    wrong = {"flat": TwoStageConfig.model_type, "two-stage": CodecLMConfig.model_type}[settings.kind]
    if found == wrong:
        raise ValueError(
            f'{folder}/voice.json says "kind": "{settings.kind}", but model/ holds a model of type {found!r}'
        )
    with quiet_loading():
        model: Any = TwoStageModel if settings.kind == "two-stage" else CodecCausalLM
        model = model.from_pretrained(folder / "model").to(device)
    if model.device.type == "cpu":
        model = model.float()  # half precision is a form of storage here: most CPUs compute it slowly
    codec = _load_codec(folder / "codec", layout_of(model)).to(device)
    return codec, model, AutoTokenizer.from_pretrained(folder / "model")


def layout_of(model: CodecCausalLM | TwoStageModel) -> FrameLayout:
    """The order of the slots in a model's frames; a two-stage model that names none has one slot a level."""
    if isinstance(model, CodecCausalLM):
        return model.vocabulary.layout
    if model.config.layout is None:
        return FrameLayout.depth_first((1,) * model.config.num_slots)
    return FrameLayout(model.config.layout)


def _load_codec(folder: Path, layout: FrameLayout) -> Codec:
    kind = _model_type(folder)
    if kind in ("mimi", "dac", "encodec"):
        return load_codec(f"{kind}@{layout.num_levels}:{folder}")
    return Snac.from_pretrained(folder)


def _model_type(folder: Path) -> str | None:
    """What a config.json in the form of `transformers` says it belongs to."""
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # whoever opens the folder says what is wrong with it
    return values.get("model_type") if isinstance(values, dict) else None
