"""Where a prior's parts lie: the model folder, its tokenizer, its codec.

Owns the search, quiet loading, and the words for what is missing. Knows nothing of what is done with them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aoede.models import CodecCausalLM, CodecLMConfig


def open_model(source: str | os.PathLike[str], device: str = "cpu") -> tuple[CodecCausalLM, Any, Path | None]:
    """Load a model and its tokenizer.

    Args:
        source: a model folder, a folder with `model/` in it, or a repository on the model hub ("owner/name").
    Returns:
        the model on its device (float32 on a CPU), the tokenizer (None where there is none), and the folder (None for
        a repository).
    Raises:
        ValueError: nothing there, or no codec language model.
    """
    from transformers import AutoTokenizer

    name = os.fspath(source)
    found: Path | None = None
    folder = Path(source)
    if folder.is_dir():
        if not (folder / "config.json").is_file() and (folder / "model" / "config.json").is_file():
            folder = folder / "model"
        _check_config(folder)
        has_tokenizer = (folder / "tokenizer_config.json").is_file() or (folder / "tokenizer.json").is_file()
        found, place = folder, os.fspath(folder)
    elif name.count("/") == 1 and not name.startswith((".", "/", "~")):
        has_tokenizer, place = True, name
    else:
        raise ValueError(f"{name}: no such model folder (and no owner/name on the model hub)")
    with quiet_loading():
        try:
            model = CodecCausalLM.from_pretrained(place)
        except OSError as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"{name}: the model cannot be loaded: {reason}") from error
        tokenizer = AutoTokenizer.from_pretrained(place) if has_tokenizer else None
    model = model.to(device)
    # Half precision is a form of storage here: most CPUs compute it slowly.
    return (model.float() if model.device.type == "cpu" else model), tokenizer, found


def find_codec(folder: Path | None) -> Path:
    """The codec folder of a model folder: `codec/` in it, or beside it.

    Raises:
        ValueError: neither is there.
    """
    places = [] if folder is None else [folder / "codec", folder.resolve().parent / "codec"]
    for place in places:
        if (place / "config.json").is_file():
            return place
    looked = " and ".join(map(str, places)) or "a hub repository"
    raise ValueError(
        f"no codec found (looked for {looked}): name the one whose codes the model learned (--codec DIR; codec= in "
        "Python)"
    )


def _check_config(folder: Path) -> None:
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder} is no model folder: it has no config.json")
    try:
        kind = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except (json.JSONDecodeError, AttributeError) as error:
        raise ValueError(f"{path} is no configuration: {error}") from error
    if kind != CodecLMConfig.model_type:
        raise ValueError(
            f"{folder} holds a model of type {kind!r} without a codec vocabulary; `aoede extend {folder}` gives it one"
        )


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Without the bar that transformers draws for loading weights, even of a model that loads at once."""
    from transformers.utils import logging

    was_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_shown:
            logging.enable_progress_bar()
