"""A language model from nothing: a text model's architecture in a given size, with the rows of a codec vocabulary.

Owns the sizes that a recipe may choose. Knows nothing of data or training; weights come from torch's generator, which
the caller seeds.
"""

from dataclasses import dataclass
from typing import Any, Literal

from transformers import AutoConfig, AutoModelForCausalLM

from aoede.models import CodecCausalLM, extend
from aoede.tokens import CodecVocabulary


@dataclass(frozen=True, kw_only=True)
class ScratchConfig:
    """A text model from nothing: a Llama (or Qwen 3, which normalises queries and keys) of this size."""

    family: Literal["llama", "qwen3"] = "llama"
    hidden: int = 384
    layers: int = 8
    heads: int = 6
    kv_heads: int | None = None
    """Heads of keys and values; None is as many as `heads`."""

    intermediate: int = 1024
    tie_embeddings: bool = True
    max_positions: int = 4096
    rope_theta: float = 10000.0
    attention_dropout: float = 0.0


def from_scratch(
    scratch: ScratchConfig,
    vocabulary: CodecVocabulary,
    *,
    pad_id: int | None = None,
    eos_id: int | None = None,
    text_stride: float | None = None,
) -> CodecCausalLM:
    """A model with all rows of `vocabulary`; `pad_id` and `eos_id` are told in its configuration."""
    config = architecture(scratch, vocabulary.size, pad_id=pad_id, eos_id=eos_id)
    # All rows exist from the start: `extend` keeps them, nothing has to be drawn from a text model's rows.
    base = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    return extend(base, vocabulary, text_stride=text_stride)


def architecture(scratch: ScratchConfig, rows: int, *, pad_id: int | None = None, eos_id: int | None = None) -> Any:
    """The Hugging Face configuration of a text model of these sizes with so many rows."""
    return AutoConfig.for_model(
        scratch.family,
        vocab_size=rows,
        hidden_size=scratch.hidden,
        intermediate_size=scratch.intermediate,
        num_hidden_layers=scratch.layers,
        num_attention_heads=scratch.heads,
        num_key_value_heads=scratch.kv_heads or scratch.heads,
        head_dim=scratch.hidden // scratch.heads,
        max_position_embeddings=scratch.max_positions,
        rope_parameters={"rope_type": "default", "rope_theta": scratch.rope_theta},
        attention_dropout=scratch.attention_dropout,
        tie_word_embeddings=scratch.tie_embeddings,
        pad_token_id=pad_id,
        bos_token_id=None,
        eos_token_id=eos_id,
    )
