"""Reading: the sentences of a text as the ids that a voice's model was trained to read, with notes on what is left out.

Owns the way from text to ids: the text front end's, or the template of a two-stage voice. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aoede.data.collate import textless
from aoede.data.text import NothingToSay
from aoede.generation.voice_folder import VoiceSettings


class TextReader:
    """Reads with a voice's tokenizer and settings."""

    def __init__(self, tokenizer: Any, settings: VoiceSettings) -> None:
        self.tokenizer, self.settings = tokenizer, settings

    def sentences(self, text: str, speaker: str | None, notes: list[str]) -> list[tuple[str, list[int]]]:
        """The sentences that have words, and their ids.

        Args:
            notes: what a person should know is added here.
        Raises:
            ValueError: nothing to say, or what cannot be read.
        """
        found: list[tuple[str, list[int]]] = []
        for sentence in self.settings.text.split_sentences(text):
            try:
                found.append((sentence, self.ids(sentence, speaker, notes)))
            except NothingToSay:
                notes.append(f"left out, nothing to say: {shorten(sentence)}")
        # Without a sentence, the whole text says what is wrong with it.
        return found or [(text, self.ids(text, speaker, notes))]

    def ids(self, text: str, speaker: str | None, notes: list[str]) -> list[int]:
        """Text ids of a sentence, or of the whole text of a turn.

        Raises:
            NothingToSay: no word in it. ValueError: what cannot be read.
        """
        turn = self.settings.turn
        if turn is not None and turn.front_end is None:
            if not any(c.isalnum() for c in text):
                raise NothingToSay(f"nothing to say in {shorten(text)}: it holds no letters or digits; add a word")
            return turn.ids(speaker or "", text, self.tokenizer)
        front = self.settings.text if turn is None or turn.front_end is None else turn.front_end
        prompt = front.prepare(text, speaker)
        notes += prompt.notes
        ids = list(self.tokenizer(prompt.text)["input_ids"])
        notes += self._unknown(prompt.text, ids)
        return ids

    def textless(self, ids: Sequence[int]) -> list[int]:
        """Text ids without what is said, as a model trained with `text_dropout` has read them."""
        return textless(ids, self._names(), self.tokenizer.pad_token_id or 0)

    def said_before(self, ids: Sequence[int]) -> list[int]:
        """Text ids of a recording, for more text to follow in the same breath: ending in a space where the tokenizer
        has an id for one."""
        space = self.tokenizer(" ", add_special_tokens=False)["input_ids"]
        return [*ids, *(i for i in space if i != self.tokenizer.unk_token_id)]

    def without_name(self, ids: Sequence[int]) -> list[int]:
        """Text ids without speaker tokens."""
        names = self._names()
        return [i for i in ids if i not in names]

    def _names(self) -> set[int]:
        token = self.settings.text.speaker_token
        names = [token.format(speaker=speaker) for speaker in self.settings.speakers]
        return set(self.tokenizer.convert_tokens_to_ids(names))

    def _unknown(self, prompt: str, ids: list[int]) -> list[str]:
        unknown = self.tokenizer.unk_token_id
        if unknown is None or unknown not in ids:
            return []
        signs = [
            c for c in dict.fromkeys(prompt) if unknown in self.tokenizer(c, add_special_tokens=False)["input_ids"]
        ]
        return [f"the voice does not know {' '.join(repr(c) for c in signs[:5]) or 'a sign'}: it may be left out"]


def shorten(text: str) -> str:
    """The beginning of a text, quoted."""
    return repr(text if len(text) <= 40 else text[:37] + "...")
