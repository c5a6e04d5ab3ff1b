"""The text side of a turn: who speaks and what, as the ids that stand before the turn's audio.

Owns the three ways to write it: a template (the public CSM's by default), a voice's text front end, the chat template
of a tokenizer. Knows nothing of audio.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..text import TextFrontEnd


@dataclass(frozen=True, kw_only=True)
class TurnText:
    """How a turn's role and text are written down. Saved with a model: training and speaking must agree."""

    template: str = "{bos}[{role}]{text}{eos}"
    """`{bos}` and `{eos}` stand for those of the tokenizer, where it has them; `{text}` is needed. The role
    `speaker_3` is written 3."""

    front_end: TextFrontEnd | None = None
    """Writes the prompt in place of the template, speaker token and phonemes included."""

    chat: bool = False
    """The tokenizer's chat template writes the turn, a message at a time."""

    def __post_init__(self) -> None:
        if "{text}" not in self.template:
            raise ValueError(f"template {self.template!r} has no {{text}}")
        unknown = set(re.findall(r"\{(\w*)\}", self.template)) - {"bos", "eos", "role", "text"}
        if unknown:
            raise ValueError(f"template {self.template!r} has {{{min(unknown)}}}; it may have bos, role, text and eos")
        if self.chat and self.front_end is not None:
            raise ValueError("chat and front_end are both given; one of them writes the turns")

    def write(self, role: str, text: str, tokenizer: Any) -> str:
        """The turn as the tokenizer takes it.

        Raises:
            ValueError: a text with a special token of the tokenizer in it, or that the front end refuses; a tokenizer
                without a chat template where it is to write.
        """
        if self.front_end is not None:
            return self.front_end.prompt(text, role)
        for token in getattr(tokenizer, "all_special_tokens", ()):
            if token in text:
                raise ValueError(f"the text holds {token!r}, a special token of the tokenizer; take it out")
        name = role.removeprefix("speaker_") if re.fullmatch(r"speaker_\d+", role) else role
        if self.chat:
            if not getattr(tokenizer, "chat_template", None):
                raise ValueError("the tokenizer has no chat template; give a template or a front end")
            turn = {"role": name, "content": [{"type": "text", "text": text}]}
            return str(tokenizer.apply_chat_template([turn], tokenize=False))
        words = {"bos": _token(tokenizer, "bos"), "eos": _token(tokenizer, "eos"), "role": name, "text": text}
        return re.sub(r"\{(\w+)\}", lambda match: words[match[1]], self.template)

    def ids(self, role: str, text: str, tokenizer: Any) -> list[int]:
        """The turn as text ids.

        Args:
            tokenizer: a Hugging Face tokenizer, or a function from text to ids.
        Raises:
            ValueError: see `write`; no ids, or a piece of text that the tokenizer does not know.
        """
        written = self.write(role, text, tokenizer)
        if not hasattr(tokenizer, "all_special_tokens"):
            ids = [int(i) for i in tokenizer(written)]
        elif self.front_end is not None:  # as voices are trained: with what the tokenizer itself puts around
            ids = [int(i) for i in tokenizer(written)["input_ids"]]
        else:
            ids = [int(i) for i in tokenizer(written, add_special_tokens=False)["input_ids"]]
        if not ids:
            raise ValueError(f"{written!r} has no text ids")
        unknown = getattr(tokenizer, "unk_token_id", None)
        if unknown is not None and unknown in ids:
            raise ValueError(f"the tokenizer does not know a part of {written!r}")
        return ids

    def to_dict(self) -> dict[str, Any]:
        front_end = None if self.front_end is None else self.front_end.to_dict()
        return {**asdict(self), "front_end": front_end}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TurnText:
        given = dict(values)
        if given.get("front_end") is not None:
            given["front_end"] = TextFrontEnd.from_dict(given["front_end"])
        return cls(**given)


def _token(tokenizer: Any, name: str) -> str:
    return str(getattr(tokenizer, f"{name}_token", None) or "")
