"""Files of conversations, a tokenizer of single characters and sounds, small enough for tests."""

import json

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, models
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedTokenizerFast

from aoede.data import save_audio

CHARACTERS = "abcdefghijklmnopqrstuvwxyz [].,?0123456789"
SPECIALS = ("<pad>", "<unk>", "<s>", "</s>")


def character_tokenizer():
    """<pad> 0, <unk> 1, <s> 2, </s> 3, then `a` 4, `b` 5 and so on."""
    rows = {token: row for row, token in enumerate([*SPECIALS, *CHARACTERS])}
    inner = Tokenizer(models.WordLevel(rows, unk_token="<unk>"))
    inner.pre_tokenizer = Split(Regex(r"[\s\S]"), "isolated")
    inner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **names)


def tone(path, seconds=0.02, hertz=440.0, rate=24000):
    """A sound file of one tone."""
    time = np.arange(round(seconds * rate)) / rate
    save_audio(path, (0.4 * np.sin(2 * np.pi * hertz * time)).astype(np.float32), rate)
    return path


def turn(role, text=None, **audio):
    content = [] if text is None else [{"type": "text", "text": text}]
    return {"role": role, "content": content + ([{"type": "audio", **audio}] if audio else [])}


def write(path, *rows):
    """A file of these rows; text is written as it is."""
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def frames_of(count, start=1):
    """Codes of `count` frames for strides (4, 2, 1): levels of 1, 2 and 4 codes a frame, no two frames alike."""
    return [[(start + 7 * k + i) % 60 for i in range(count * per)] for k, per in enumerate((1, 2, 4))]
