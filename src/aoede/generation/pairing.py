"""Whether a language model and a codec belong together.

Owns that check, for flat and for two-stage models: it keeps frames that cannot be decoded from being written. Which
codec made the codes that a flat model learned is the fingerprint's business (`data/codes.py`).
"""

from __future__ import annotations

from typing import Any

from aoede.codec import Codec
from aoede.tokens import CodecVocabulary, FrameLayout


def check_pair(vocabulary: CodecVocabulary, codec: Codec) -> None:
    """Raises ValueError unless every frame of the vocabulary is one of the codec."""
    written, read = tuple(vocabulary.layout.codes_per_frame), tuple(codec.config.codes_per_frame)
    if written != read:
        raise ValueError(
            f"the model writes {written} codes a frame, the codec reads {read}; they do not belong together"
        )
    if max(vocabulary.codebook_sizes) > codec.config.codebook_size:
        raise ValueError(
            f"the model's codebooks have {max(vocabulary.codebook_sizes)} entries, the codec's "
            f"{codec.config.codebook_size}; they do not belong together"
        )


def check_slots(config: Any, layout: FrameLayout, codec: Codec) -> None:
    """Raises ValueError unless every frame of a two-stage model is one of the codec, the one that it learned from."""
    written, read = tuple(layout.codes_per_frame), tuple(codec.config.codes_per_frame)
    if written != read:
        raise ValueError(
            f"the model writes {written} codes a frame, the codec reads {read}; they do not belong together"
        )
    most = max(config.slot_sizes or (0,))
    if most > codec.config.codebook_size:
        raise ValueError(
            f"the model's codebooks have {most} entries, the codec's {codec.config.codebook_size}; they do not belong "
            "together"
        )
    if config.codec_fingerprint is not None and config.codec_fingerprint != (found := codec.fingerprint()):
        raise ValueError(
            f"the model was trained on the codes of codec {config.codec_fingerprint}, this is {found}: codes mean "
            "nothing to another codec; give the voice its own"
        )
