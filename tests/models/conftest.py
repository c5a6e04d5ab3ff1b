"""Tiny models and rows for the tests of this room: four architectures, 20 text ids, 7 slots of 8 entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    NemotronHConfig,
    NemotronHForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from aoede.models import CodecCausalLM, TwoStageConfig, TwoStageModel, extend
from aoede.tokens import CodecVocabulary, FrameLayout

SHAPE = {
    "vocab_size": 20,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def make_base(kind: str = "llama", tied: bool = False) -> PreTrainedModel:
    """A tiny random text model with 20 rows."""
    torch.manual_seed(0)
    shape = {**SHAPE, "tie_word_embeddings": tied}
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**shape)).eval()
    if kind == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**shape)).eval()
    if kind == "gemma3":
        layers = ["sliding_attention", "full_attention"]
        return Gemma3ForCausalLM(
            Gemma3TextConfig(**shape, layer_types=layers, sliding_window=8, final_logit_softcapping=5.0)
        ).eval()
    assert kind == "nemotron_h"
    mamba = {"mamba_num_heads": 4, "mamba_head_dim": 8, "ssm_state_size": 8, "n_groups": 1, "chunk_size": 8}
    shape.pop("num_hidden_layers")
    blocks = ["mamba", "attention", "mlp"]
    return NemotronHForCausalLM(NemotronHConfig(**shape, **mamba, layers_block_type=blocks)).eval()


@pytest.fixture(scope="session")
def vocabulary() -> CodecVocabulary:
    """Text 0-19, open 20, close 21, C 22-29, M 30-37, F 38-45."""
    return CodecVocabulary.extend(20, FrameLayout("CMFFMFF"), (8, 8, 8))


@pytest.fixture
def base() -> Callable[..., PreTrainedModel]:
    """base(kind="llama", tied=False) -> a tiny random text model with 20 rows, in eval mode."""
    return make_base


@pytest.fixture
def shape() -> dict[str, Any]:
    """Arguments of a tiny configuration, for other architectures."""
    return dict(SHAPE)


@pytest.fixture
def make(vocabulary: CodecVocabulary) -> Callable[..., CodecCausalLM]:
    """make(kind="llama", tied=False, text_stride=None) -> an extended tiny model in eval mode."""

    def build(kind: str = "llama", tied: bool = False, text_stride: float | None = None) -> CodecCausalLM:
        return extend(make_base(kind, tied), vocabulary, seed=1, text_stride=text_stride)

    return build


@pytest.fixture
def rows(vocabulary: CodecVocabulary) -> Callable[..., torch.Tensor]:
    """rows(batch=2, text=5, frames=2, seed=0) -> ids [B, text + 2 + 7 * frames]: text, open, frames, close."""

    def build(batch: int = 2, text: int = 5, frames: int = 2, seed: int = 0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        words = torch.randint(3, 20, (batch, text), generator=generator)
        codes = torch.randint(0, 8, (batch, frames, 7), generator=generator)
        return torch.cat([words, vocabulary.ids_from_frames(codes, open=True, close=True)], 1)

    return build


def tiny_stage(kind: str = "llama", **changes: Any) -> Any:
    """The configuration of a tiny stage of a two-stage model."""
    shape = {**SHAPE, **changes}
    if kind == "llama":
        return LlamaConfig(**shape)
    if kind == "qwen3":
        return Qwen3Config(**shape)
    if kind == "gemma3":
        layers = ["sliding_attention", "full_attention"]
        return Gemma3TextConfig(**shape, layer_types=layers, sliding_window=4)
    return make_base(kind).config


@pytest.fixture
def two_stage() -> Callable[..., TwoStageModel]:
    """two_stage(kind="llama", **settings) -> a tiny random two-stage model in eval mode: 7 slots of 8 codes."""

    def build(kind: str = "llama", **settings: Any) -> TwoStageModel:
        torch.manual_seed(0)
        depth = tiny_stage("qwen3" if kind == "qwen3" else "llama", hidden_size=24, max_position_embeddings=64)
        given = {"slot_sizes": [8] * 7, "text_vocab_size": 20, "initializer_range": 0.2, **settings}
        return TwoStageModel(TwoStageConfig(backbone=tiny_stage(kind), depth_decoder=depth, **given)).eval()

    return build


@pytest.fixture
def conversation() -> Callable[..., torch.Tensor]:
    """conversation(model, turns=2, batch=2, seed=0) -> frames [B, turns * 8, S + 1]: 4 text ids, 3 frames, the stop."""

    def build(model: TwoStageModel, turns: int = 2, batch: int = 2, seed: int = 0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        slots, sizes = model.config.num_slots, model.config.slot_sizes
        frames = torch.full((batch, turns, 8, slots + 1), -1)
        frames[:, :, :4, slots] = torch.randint(1, 20, (batch, turns, 4), generator=generator)
        for slot, size in enumerate(sizes):
            frames[:, :, 4:7, slot] = torch.randint(0, size, (batch, turns, 3), generator=generator)
        frames[:, :, 7, :slots] = torch.tensor(model.config.stop_frame)
        return frames.flatten(1, 2)

    return build


def labels_of(frames: torch.Tensor) -> torch.Tensor:
    """Labels [B, F, S] of every audio and stop frame of `frames` [B, F, S + 1]."""
    return frames[..., :-1].masked_fill(frames[..., :-1] < 0, -100)
