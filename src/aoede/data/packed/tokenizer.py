"""Text to ids for packing: a Hugging Face fast tokenizer, or one id a byte.

Owns how text is read so that nothing in it can become a control token or a codec id, which ids end a document and fill
a row, and the tokenizer's fingerprint. Knows nothing of documents.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BYTES = "bytes"
"""In place of a folder: the tokenizer of single bytes."""


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of UTF-8 bytes: id b is byte b, 256 is <pad>, 257 is <eos>. Nothing is unknown to it."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    # The ByteLevel pre-tokenizer writes each byte as one printable character: itself where it is one, else the next
    # free one from U+0100 on.
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    free = iter(range(0x100, 0x200))
    vocabulary = {chr(byte if byte in printable else next(free)): byte for byte in range(256)}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in ("<pad>", "<eos>")])
    made: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>"
    )
    return made


class TextTokenizer:
    """A fast tokenizer as packing uses it.

    Text is text: `</s>` or `[SNAC]` written in a document is read as characters, never as the control token of that
    name. Where a tokenizer has tokens of that kind which are not marked as special, packing finds their ids and leaves
    the document out.
    """

    def __init__(self, tokenizer: Any) -> None:
        """
        Args:
            tokenizer: a `PreTrainedTokenizerFast`.
        Raises:
            ValueError: a tokenizer in Python, or one without an end-of-text token.
        """
        from tokenizers import Tokenizer

        if not getattr(tokenizer, "is_fast", False):
            raise ValueError(f"{type(tokenizer).__name__} is no fast tokenizer; packing needs a tokenizer.json")
        if tokenizer.eos_token_id is None:
            raise ValueError(
                "the tokenizer has no end-of-text token, which ends every text document; "
                "set eos_token in its tokenizer_config.json"
            )
        self.tokenizer = tokenizer
        self.eos_id = int(tokenizer.eos_token_id)
        self.pad_id = self.eos_id if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)
        """The end-of-text token where the tokenizer has no padding."""
        state = tokenizer.backend_tokenizer.to_str()
        self.fingerprint: str = hashlib.sha256(f"{state}|{self.eos_id}|{self.pad_id}".encode()).hexdigest()[:16]
        # A copy, since these settings are not the tokenizer's own.
        self._inner = Tokenizer.from_str(state)
        self._inner.no_truncation()
        self._inner.no_padding()
        self._inner.encode_special_tokens = True

    @classmethod
    def open(cls, name: str | os.PathLike[str]) -> Self:
        """A folder or hub name, or `bytes`.

        Raises:
            ValueError: no tokenizer there, or one that cannot be used.
        """
        if os.fspath(name) == BYTES:
            return cls(byte_tokenizer())
        from transformers import AutoTokenizer

        path = Path(name)
        if path.is_dir() and not any((path / file).is_file() for file in ("tokenizer.json", "tokenizer_config.json")):
            raise ValueError(f"{path}: no tokenizer in this folder (tokenizer.json); `--tokenizer bytes` needs none")
        try:
            return cls(AutoTokenizer.from_pretrained(os.fspath(name)))
        except OSError as error:
            raise ValueError(f"{name}: no tokenizer can be opened there: {' '.join(str(error).split())}") from error

    def __len__(self) -> int:
        """Rows it needs: one more than its largest id."""
        return len(self.tokenizer)

    def ids(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Texts to ids, without any that mark beginning or end.

        Returns:
            ids [sum(lengths)], the texts end to end, and lengths [N].
        """
        encoded = [one.ids for one in self._inner.encode_batch_fast(list(texts), add_special_tokens=False)]
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        return np.fromiter(chain.from_iterable(encoded), np.int64, int(lengths.sum())), lengths

    def save(self, folder: Path) -> None:
        """As a Hugging Face tokenizer folder."""
        self.tokenizer.save_pretrained(folder)
