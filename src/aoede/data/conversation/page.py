"""A file of conversations as one HTML page that needs no other file: turns with players and pictures of their sound.

Owns the page's looks, and how a turn's sound becomes a player inside it. The page asks nothing of any other place:
sound and pictures are in it, and its policy forbids the rest. No script, no time: the same file gives the same bytes.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import soundfile  # type: ignore[import-untyped]
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from ..audio import AudioReader
from ..codefile import is_code_file
from ..pictures import spectrogram_png
from ..pieces import decode_blocks
from ..saving import replacing
from .messages import Conversation, Message, Sound
from .showing import line_words
from .sounds import SoundCodes

if TYPE_CHECKING:
    from aoede.codec import Codec

PLAYED_SECONDS = 30.0
"""A player holds no more than this of a turn."""

PLAYED_RATE = 24000
"""A rate of MP3, which every browser plays."""

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --panel: #f4f6f8; --text: #1b1f24; --quiet: #5b6470; --line: #d9dde3;
  --trained: #2f7fd1; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171b; --panel: #1c2026; --text: #e7eaee; --quiet: #9aa4b1;
  --line: #323943; --trained: #6fb1f0; } }
* { box-sizing: border-box; } body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1.25rem 4rem;
  background: var(--ground); color: var(--text); font: 15px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 2.4rem 0 .6rem; border-top: 1px solid var(--line); padding-top: 1rem;
  overflow-wrap: anywhere; }
p { margin: .2rem 0; } .quiet, small { color: var(--quiet); } ol { list-style: none; margin: 0; padding: 0; }
li { border-left: .25rem solid var(--line); background: var(--panel); border-radius: 0 .4rem .4rem 0;
  padding: .5rem .9rem; margin: .5rem 0; } li.trained { border-color: var(--trained); }
.mask { float: right; color: var(--quiet); font-size: .85em; }
li.trained .mask { color: var(--trained); font-weight: 600; }
img, audio { width: 100%; display: block; } img { height: 3.5rem; image-rendering: pixelated; border-radius: 4px; }
audio { height: 2.3rem; margin-top: .3rem; } :focus-visible { outline: 2px solid var(--trained); outline-offset: 2px; }
"""

POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


def save_page(
    path: str | os.PathLike[str],
    conversations: Sequence[Conversation],
    *,
    title: str,
    summary: str,
    codec: Codec | None = None,
) -> None:
    """Write the page, atomically.

    Args:
        summary: a line below the title.
        codec: decodes turns that are codes; without it they have no player, and say why.
    """
    sounds = SoundCodes(codec=codec)
    body = "".join(_conversation(one, sounds) for one in conversations)
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1><p>{escape(summary)}</p>"
        '<p class="quiet">Blue turns are trained, the others are context.</p>'
        f"{body}</main></body></html>\n"
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _conversation(one: Conversation, sounds: SoundCodes) -> str:
    head = " · ".join(escape(word) for word in (line_words(one), one.id, one.split, one.language) if word)
    turns = "".join(
        _turn(message, is_trained, sounds) for message, is_trained in zip(one.messages, one.training_mask, strict=True)
    )
    return f"<section><h2>{head}</h2><ol>{turns}</ol></section>"


def _turn(message: Message, is_trained: bool, sounds: SoundCodes) -> str:
    mask = "trained" if is_trained else "context"
    text = escape(message.text) if message.text else '<span class="quiet">(no text)</span>'
    player = '<p class="quiet">no audio</p>' if message.sound is None else _player(message, message.sound, sounds)
    return (
        f'<li class="{mask}"><span class="mask">{mask}</span><strong>{escape(message.role)}</strong>'
        f"<p>{text}</p>{player}</li>"
    )


def _player(message: Message, sound: Sound, sounds: SoundCodes) -> str:
    """A figure of HTML; words in place of sound that cannot be had."""
    try:
        samples, seconds = _played(sound, sounds)
    except (ValueError, OSError) as error:
        return f'<p class="quiet">No player: {escape(str(error))}</p>'
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), PLAYED_RATE, format="MP3")
    data = base64.b64encode(buffer.getvalue()).decode()
    picture = base64.b64encode(spectrogram_png(samples, PLAYED_RATE, width=480, height=56, top_hertz=8000)).decode()
    more = f", the first {PLAYED_SECONDS:g} s" if seconds > PLAYED_SECONDS else ""
    return (
        f"<small>{seconds:.1f} s{more}</small>"
        f'<img alt="Spectrogram, 0 to 8 kHz{more}" src="data:image/png;base64,{picture}">'
        f'<audio controls preload="none" aria-label="{escape(message.role)}" src="data:audio/mpeg;base64,{data}">'
        "</audio>"
    )


def _played(sound: Sound, sounds: SoundCodes) -> tuple[NDArray[np.float32], float]:
    """What is played of a sound, [T] at `PLAYED_RATE`, and its whole length in seconds."""
    if sound.path is not None and not is_code_file(sound.path):
        most, held, count = round(PLAYED_SECONDS * PLAYED_RATE), [], 0
        with AudioReader(sound.path, PLAYED_RATE, truncated="keep") as reader:
            for block in reader.blocks():
                held.append(block[: max(most - count, 0)])
                count += len(block)
        if not count:
            raise ValueError("no samples")
        return np.concatenate(held), count / PLAYED_RATE
    codes, codec = sounds.of(sound), sounds.codec
    if codec is None:
        raise ValueError("the turn is codes; name their codec with --codec")
    config = codec.config
    frames = len(codes[0]) // config.codes_per_frame[0]
    seconds = frames * config.frame_length / config.sample_rate
    kept = min(frames, -(-round(PLAYED_SECONDS * config.sample_rate) // config.frame_length))
    part = [level[: kept * count] for level, count in zip(codes, config.codes_per_frame, strict=True)]
    samples = np.concatenate(list(decode_blocks(codec, part)))
    return soxr.resample(samples, config.sample_rate, PLAYED_RATE).astype(np.float32), seconds
