"""Whether a language model and a codec belong together.

Owns that one check. Which codec made the codes that a model learned is the fingerprint's business (`data/codes.py`);
this one keeps frames that cannot be decoded at all from being written.
"""

from __future__ import annotations

from aoede.codec import Codec
from aoede.tokens import CodecVocabulary


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
