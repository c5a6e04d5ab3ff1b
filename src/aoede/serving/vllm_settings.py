"""What vLLM tells a logits processor, read for the slot grammar: which vocabulary, and what a request asks for.

Owns where `augmented.yaml` is looked for and the names of the custom arguments. Knows nothing of logits; imports
nothing of vLLM, whose objects are read by the attributes that its public interface documents.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aoede.tokens import CodecVocabulary

MODE = "aoede_mode"
"""Name of the custom argument (`SamplingParams.extra_args`, `vllm_xargs` over HTTP)."""

MODES = ("grammar", "text")
"""grammar: text, spans, text again, as the model wishes (the default). text: the opening marker is illegal too."""

SETTING = "aoede_vocabulary"
"""Key of `additional_config`: path of an `augmented.yaml`, where the model's folder has none."""

FILE_NAME = "augmented.yaml"


def vocabulary_of(vllm_config: Any) -> CodecVocabulary:
    """The vocabulary of the model that an engine serves.

    Looked for under `additional_config["aoede_vocabulary"]`, then in the model's folder, then in its repository.

    Raises:
        ValueError: none of them has one, or the model has fewer rows.
    """
    model_config = vllm_config.model_config
    extra = getattr(vllm_config, "additional_config", None)
    named = extra.get(SETTING) if isinstance(extra, Mapping) else None
    place = named or _in_folder(str(model_config.model), getattr(model_config, "revision", None))
    vocabulary = CodecVocabulary.load(place)
    rows = model_config.get_vocab_size()
    if rows < vocabulary.size:
        raise ValueError(f"the model has {rows} rows, but {place} describes {vocabulary.size}: it is another model's")
    return vocabulary


def mode_of(sampling_params: Any) -> str:
    """What a request asks for: one of `MODES`.

    Raises:
        ValueError: another word.
    """
    wanted = (getattr(sampling_params, "extra_args", None) or {}).get(MODE, MODES[0])
    if wanted not in MODES:
        raise ValueError(f"{MODE} is {wanted!r}; it is {' or '.join(repr(mode) for mode in MODES)}")
    return str(wanted)


def _in_folder(model: str, revision: str | None) -> Path:
    if os.path.isdir(model):
        path = Path(model) / FILE_NAME
        if path.is_file():
            return path
    else:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

        try:
            return Path(hf_hub_download(model, FILE_NAME, revision=revision))
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
            raise ValueError(f"{model} has no {FILE_NAME} that can be fetched; {_REMEDY}") from error
    raise ValueError(f"{model} has no {FILE_NAME}; {_REMEDY}")


_REMEDY = f"serve a folder of `aoede export --plain`, or name the file in additional_config[{SETTING!r}]"
