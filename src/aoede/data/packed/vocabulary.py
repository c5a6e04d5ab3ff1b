"""Which vocabulary a corpus is packed with: a preset, one made for its tokenizer and codec, or a model's own.

Owns the names that `aoede pack --vocabulary` takes and the check that vocabulary, tokenizer and codec fit each other.
"""

from __future__ import annotations

from pathlib import Path

from aoede.tokens import CodecVocabulary, FrameLayout

from ..codes import CodesInfo
from .tokenizer import TextTokenizer

EXTEND = "extend"
PRESETS = ("calliope", "orpheus", EXTEND)


def resolve_vocabulary(name: str, tokenizer: TextTokenizer, codec: CodesInfo | None) -> CodecVocabulary:
    """A preset's name, `extend`, or an `augmented.yaml` (or the folder of a model that holds one).

    `extend` puts markers and ranges for the codec behind the tokenizer's rows.

    Raises:
        ValueError: unknown, or it fits neither tokenizer nor codec (names the numbers).
    """
    if name == EXTEND:
        if codec is None:
            raise ValueError("extend makes ranges for the codec of the corpus, but no source of it has codes")
        layout = FrameLayout.depth_first(codec.vq_strides)
        vocabulary = CodecVocabulary.extend(len(tokenizer), layout, [codec.codebook_size] * layout.num_levels)
        known = tokenizer.tokenizer.get_vocab()
        if vocabulary.open_token in known:
            raise ValueError(
                f"the tokenizer already has {vocabulary.open_token}, so it was extended before; "
                "give --vocabulary its augmented.yaml"
            )
    elif name == "calliope":
        vocabulary = CodecVocabulary.calliope()
    elif name == "orpheus":
        vocabulary = CodecVocabulary.orpheus()
    elif Path(name).exists():
        vocabulary = CodecVocabulary.load(name)
    else:
        raise ValueError(f"vocabulary {name!r} is none of {', '.join(PRESETS)} and no file")
    for which, token_id in (("end-of-text", tokenizer.eos_id), ("padding", tokenizer.pad_id)):
        if not bool(vocabulary.is_text([token_id])[0]):
            raise ValueError(
                f"the tokenizer's {which} id {token_id} is {vocabulary.describe(token_id)} in the vocabulary "
                f"{name}; text rows are 0 .. {vocabulary.text_size - 1}: was it made for another tokenizer?"
            )
    if codec is not None:
        wanted = (codec.codes_per_frame, (codec.codebook_size,) * len(codec.vq_strides))
        given = (vocabulary.layout.codes_per_frame, vocabulary.codebook_sizes)
        if wanted != given:
            raise ValueError(
                f"vocabulary {name} is for {given[0]} codes a frame of codebooks {given[1]}, but the corpus's codec "
                f"has {wanted[0]} of {wanted[1]}; `extend` makes one for it"
            )
    return vocabulary
