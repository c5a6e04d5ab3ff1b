"""A whole tiny voice on the spot: random codec, random Llama, a character tokenizer, a voice folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    NemotronHConfig,
    NemotronHForCausalLM,
    PreTrainedTokenizerFast,
)

from aoede.codec import Snac, SnacConfig
from aoede.data.phonemes import SYMBOLS
from aoede.data.text import TextFrontEnd
from aoede.generation import Sampling, VoiceSettings
from aoede.models import CodecCausalLM, TwoStageConfig, TwoStageModel, extend
from aoede.tokens import CodecVocabulary, FrameLayout

SPEAKERS = ("af_heart", "bm_george")
SPECIAL = ("<pad>", "<unk>", *(f"<{speaker}>" for speaker in SPEAKERS), "<laugh>")


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One id a phoneme symbol, one a speaker, one an event."""
    words = {word: i for i, word in enumerate([*SPECIAL, *SYMBOLS])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", additional_special_tokens=list(SPECIAL[2:])
    )


def make_model(text_size: int, *, text_stride: float | None = None, hidden: int = 32, layers: int = 2) -> CodecCausalLM:
    """A random Llama over a codec of 64 entries a level."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=text_size,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        initializer_range=0.2,
    )
    vocabulary = CodecVocabulary.extend(text_size, FrameLayout.depth_first((4, 2, 1)), (64, 64, 64))
    return extend(LlamaForCausalLM(config), vocabulary, text_stride=text_stride).eval()


def make_other_model(kind: str) -> CodecCausalLM:
    """Random models that decode differently: a sliding window of 8 (gemma3), a state beside the cache (nemotron_h)."""
    torch.manual_seed(1)
    shape = {
        "vocab_size": 60, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 8, "initializer_range": 0.2,
    }  # fmt: skip
    base: Gemma3ForCausalLM | NemotronHForCausalLM
    if kind == "gemma3":
        layers = ["sliding_attention", "full_attention"]
        base = Gemma3ForCausalLM(Gemma3TextConfig(**shape, num_hidden_layers=2, layer_types=layers, sliding_window=8))
    else:
        mamba = {"mamba_num_heads": 4, "mamba_head_dim": 8, "ssm_state_size": 8, "n_groups": 1, "chunk_size": 8}
        base = NemotronHForCausalLM(NemotronHConfig(**shape, **mamba, layers_block_type=["mamba", "attention", "mlp"]))
    vocabulary = CodecVocabulary.extend(60, FrameLayout.depth_first((4, 2, 1)), (64, 64, 64))
    return extend(base.eval(), vocabulary).eval()


def make_codec() -> Snac:
    """A random SNAC at 8 kHz: 64 entries a level, 31.25 frames a second."""
    torch.manual_seed(0)
    return Snac(
        SnacConfig(
            sample_rate=8000, encoder_dim=4, encoder_rates=(8, 8), decoder_dim=16, decoder_rates=(8, 8),
            vq_strides=(4, 2, 1), codebook_size=64, codebook_dim=4,
        )
    )  # fmt: skip


def make_windowed_codec() -> Snac:
    """The same as `make_codec` in kind, with attention: a window holds two frames."""
    torch.manual_seed(0)
    return Snac(
        SnacConfig(
            sample_rate=8000, encoder_dim=16, encoder_rates=(2, 4), decoder_dim=64, decoder_rates=(4, 2),
            vq_strides=(4, 2, 1), codebook_size=64, codebook_dim=4, attn_window_size=8,
        )
    ).eval()  # fmt: skip


def make_two_stage(text_size: int, slots: int = 7, **settings: Any) -> TwoStageModel:
    """A random two-stage model over slots of 64 codes, with a row of its own for the stop."""
    torch.manual_seed(2)
    shape = {
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3,
        "intermediate_size": 48,
    }  # fmt: skip
    longest = settings.pop("longest", 2048)
    model = TwoStageModel(
        TwoStageConfig(
            backbone=LlamaConfig(hidden_size=32, max_position_embeddings=longest, **shape),
            depth_decoder=LlamaConfig(hidden_size=16, max_position_embeddings=64, **shape),
            text_vocab_size=text_size,
            initializer_range=0.3,
            **{"slot_sizes": [64] * slots, "stop": "row", "layout": "CMFFMFF" if slots == 7 else None, **settings},
        )
    ).eval()
    if slots == 7:  # what it hears of sound makes it end: one of six frames or so is its last
        common = torch.randn(32, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            model.audio_embeddings.weight += 0.3 * common
            model.slot0_head.weight *= 0.6
            model.slot0_head.weight[64:] = 0.18 * common
    return model


def write_voice(folder: Path, text_stride: float | None) -> Path:
    """A voice folder of the tiny parts."""
    tokenizer = make_tokenizer()
    make_codec().save_pretrained(folder / "codec")
    make_model(len(tokenizer), text_stride=text_stride).save_pretrained(folder / "model")
    return _write_settings(folder, tokenizer)


def write_two_stage_voice(folder: Path, settings: dict[str, Any] | None = None, **model: Any) -> Path:
    """A two-stage voice folder of the tiny parts; `settings` of voice.json, the others of the model."""
    tokenizer = make_tokenizer()
    codec = make_codec()
    codec.save_pretrained(folder / "codec")
    given = {"codec_fingerprint": codec.fingerprint(), **model}
    make_two_stage(len(tokenizer), **given).save_pretrained(folder / "model")
    return _write_settings(
        folder, tokenizer, **{"name": "duo", "kind": "two-stage", "max_seconds": 0.6, **(settings or {})}
    )


def _write_settings(folder: Path, tokenizer: PreTrainedTokenizerFast, **settings: Any) -> Path:
    tokenizer.save_pretrained(folder / "model")
    given: dict[str, Any] = {
        "name": "tiny",
        "text": TextFrontEnd(phonemes="en-us", dialects={"b*": "en-gb"}, events=("<laugh>",)),
        "speakers": SPEAKERS,
        "default_speaker": "bm_george",
        "seconds_per_unit": {"af_heart": 0.008, "bm_george": 0.01},
        "sampling": Sampling(temperature=0.9, top_p=0.95),
        "max_seconds": 1.6,
    }
    VoiceSettings(**{**given, **settings}).save(folder)
    return folder
