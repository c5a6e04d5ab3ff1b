"""A text model's tokenizer with the tokens of a codec vocabulary: every id of the model gets a name.

Owns adding the tokens of markers and codes at the ids the vocabulary gives them, and giving a reserved id that serves
as a marker its name. Knows nothing of models or training.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from aoede.tokens.vocabulary import CodecVocabulary


def load_tokenizer(source: str | os.PathLike[str]) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or a repository.

    Raises:
        ValueError: there is none.
    """
    try:
        words = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:  # transformers tells of it in paragraphs about the hub
        first = str(error).strip().splitlines()[0]
        raise ValueError(f"no tokenizer can be loaded from {os.fspath(source)}: {first}") from error
    assert isinstance(words, PreTrainedTokenizerBase)
    return words


def speaking_tokenizer(tokenizer: PreTrainedTokenizerBase, vocabulary: CodecVocabulary) -> PreTrainedTokenizerBase:
    """The tokenizer with the vocabulary's tokens, at the vocabulary's ids.

    All added tokens are special: `decode(skip_special_tokens=True)` leaves them out. Rows below `text_size` that the
    tokenizer does not use become <unused_N>. A tokenizer that has all tokens already is given back as it is.

    Args:
        tokenizer: fast (backed by the tokenizers library); it is not changed.
    Raises:
        ValueError: a slow tokenizer, more tokens than text rows, a name that is taken, a marker on ordinary text.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(f"{type(tokenizer).__name__} is no fast tokenizer; give one that has a tokenizer.json")
    count = len(tokenizer)
    if count >= vocabulary.size:
        _expect(tokenizer, vocabulary, names=False)
        return tokenizer
    if count > vocabulary.text_size:
        raise ValueError(
            f"the tokenizer has {count} tokens, but the vocabulary's codec ids begin at {vocabulary.text_size}; "
            f"build the vocabulary with text_size={count} or more"
        )
    grown = _copy(tokenizer, _marker_names(tokenizer, vocabulary))
    tokens = [f"<unused_{i}>" for i in range(count, vocabulary.text_size)] + vocabulary.new_tokens()
    taken = set(tokens) & set(grown.get_vocab())
    if taken:
        raise ValueError(f"the tokenizer already has a token {min(taken)!r}; was it extended before?")
    grown.add_tokens([AddedToken(t, special=True, normalized=False) for t in tokens], special_tokens=True)
    _expect(grown, vocabulary, names=True)
    return grown


def _marker_names(tokenizer: PreTrainedTokenizerBase, vocabulary: CodecVocabulary) -> dict[str, str]:
    """Old names and new ones of the ids below text_size that serve as markers."""
    changes: dict[str, str] = {}
    for marker, token in ((vocabulary.open_id, vocabulary.open_token), (vocabulary.close_id, vocabulary.close_token)):
        if marker >= min(vocabulary.text_size, len(tokenizer)):
            continue
        old = str(tokenizer.convert_ids_to_tokens(marker))
        added = tokenizer.added_tokens_decoder.get(marker)
        if old == token:
            continue
        if added is None or not added.special:
            raise ValueError(
                f"the marker {token} would take id {marker}, which is {old!r} in this tokenizer's text; choose a "
                "vocabulary with markers of its own, such as 'extend'"
            )
        changes[old] = token
    return changes


def _copy(tokenizer: PreTrainedTokenizerBase, changes: dict[str, str]) -> PreTrainedTokenizerBase:
    """The tokenizer anew, by way of its files, with tokens renamed."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        if changes:
            for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
                path = Path(folder) / name
                if path.exists():
                    content = _renamed(json.loads(path.read_text(encoding="utf-8")), changes)
                    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        copied = AutoTokenizer.from_pretrained(folder)
    assert isinstance(copied, PreTrainedTokenizerBase)
    return copied


def _renamed(content: Any, changes: dict[str, str]) -> Any:
    if isinstance(content, dict):
        return {changes.get(key, key): _renamed(value, changes) for key, value in content.items()}
    if isinstance(content, list):
        return [_renamed(value, changes) for value in content]
    return changes.get(content, content) if isinstance(content, str) else content


def _expect(tokenizer: PreTrainedTokenizerBase, vocabulary: CodecVocabulary, *, names: bool) -> None:
    """Every new token stands where the vocabulary has it."""
    if not names:
        # A checkpoint's own names for the codes are its own business; that the ids are no text, is not.
        token = str(tokenizer.convert_ids_to_tokens(vocabulary.range_of(0).start))
        if token not in tokenizer.get_added_vocab():
            raise ValueError(
                f"the tokenizer has {len(tokenizer)} tokens and {token!r} at id {vocabulary.range_of(0).start}, where "
                "the vocabulary's codes begin; is it another model's?"
            )
        return
    expected = dict(enumerate(vocabulary.new_tokens(), start=vocabulary.text_size))
    expected |= {vocabulary.open_id: vocabulary.open_token, vocabulary.close_id: vocabulary.close_token}
    found = tokenizer.get_vocab()
    for token_id, token in expected.items():
        if found.get(token) != token_id:
            raise ValueError(f"token {token} came to stand at id {found.get(token)}, not {token_id}")
