"""From a text model's folder to a codec language model's: weights, vocabulary, tokenizer, generation settings.

Owns the order of the steps and the atomic write. Knows nothing of codecs beyond the layout and codebook sizes that it
is told; `extend.py` draws the rows, `speaking_tokenizer.py` names them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from transformers import AutoConfig, AutoModelForCausalLM

from aoede.models.config import CodecLMConfig
from aoede.models.extend import extend
from aoede.models.speaking_tokenizer import load_tokenizer, speaking_tokenizer
from aoede.tokens.layout import FrameLayout
from aoede.tokens.presets import named_vocabulary
from aoede.tokens.vocabulary import CodecVocabulary

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True)
class ExtendedFolder:
    """What `extend_folder` wrote."""

    folder: Path
    vocabulary: CodecVocabulary
    text_rows: int
    """Rows of the text model before."""

    num_parameters: int
    is_tied: bool
    """Whether embedding and head are one matrix."""

    dtype: str

    def __str__(self) -> str:
        v = self.vocabulary
        first, last = v.range_of(0).start, v.size - 1
        rows = f"{self.text_rows:,} rows -> {v.size:,}"
        return "\n".join(
            [
                f"{self.folder}  {rows}, {self.num_parameters / 1e6:.1f} M parameters, {self.dtype}, "
                f"{'tied' if self.is_tied else 'separate'} head",
                f"frames {v.layout}, {v.open_token} {v.open_id}, {v.close_token} {v.close_id}, codes {first} .. {last}",
                f"pack for it with: --tokenizer {self.folder} --vocabulary {self.folder}/augmented.yaml",
            ]
        )


def extend_folder(
    base: str | os.PathLike[str],
    out: str | os.PathLike[str],
    vocabulary: str | os.PathLike[str] = "extend",
    *,
    layout: FrameLayout | None = None,
    codebook_sizes: Sequence[int] | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    seed: int = 0,
    text_stride: float | None = None,
    dtype: Dtype = "auto",
) -> ExtendedFolder:
    """Give a text model the ids of a codec and write it with all that loads it (docs/models.md).

    Args:
        base: folder, or repository of the hub, of a causal LM.
        out: a folder that does not exist yet, or is empty.
        vocabulary: `calliope`, `orpheus`, `guide`, `extend`, or a path of augmented.yaml (`named_vocabulary`).
        layout, codebook_sizes: of the codec, for `extend`.
        tokenizer: where the base's folder has none.
        seed: of the new rows.
        text_stride: parallel positions by default (see `CodecLMConfig`).
        dtype: of the weights written; auto: as the base has them.
    Raises:
        ValueError: no text model or tokenizer there, one that is extended already, rows that do not fit, or an `out`
            with files in it.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists already; give a new folder")
    with _as_sentence(base):
        config = AutoConfig.from_pretrained(base)
    if isinstance(config, CodecLMConfig):
        raise ValueError(f"{base} is a codec language model already (its augmented.yaml says which ids it has)")
    words = load_tokenizer(base if tokenizer is None else tokenizer)
    chosen = named_vocabulary(
        os.fspath(vocabulary),
        max(int(config.get_text_config().vocab_size), len(words)),
        layout=layout,
        codebook_sizes=codebook_sizes,
    )
    grown = speaking_tokenizer(words, chosen)  # before the weights: it is what fails first
    with _as_sentence(base):
        text_model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    rows = text_model.get_input_embeddings().weight.shape[0]
    model = extend(text_model, chosen, seed=seed, text_stride=text_stride)
    if model.generation_config.pad_token_id is None:
        pad = words.pad_token_id if words.pad_token_id is not None else words.eos_token_id
        model.generation_config.pad_token_id = pad
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        model.save_pretrained(temporary)
        grown.save_pretrained(temporary)
        if out.exists():
            out.rmdir()
        os.rename(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return ExtendedFolder(
        folder=out,
        vocabulary=chosen,
        text_rows=rows,
        num_parameters=sum(p.numel() for p in model.parameters()),
        is_tied=bool(model.config.tie_word_embeddings),
        dtype=str(model.dtype).removeprefix("torch."),
    )


@contextmanager
def _as_sentence(source: str | os.PathLike[str]) -> Iterator[None]:
    """transformers tells of a missing folder in paragraphs about the hub; here it is one line."""
    try:
        yield
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ValueError(f"no text model can be loaded from {os.fspath(source)}: {first}") from error
