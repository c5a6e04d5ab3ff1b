"""One shard's clips to codes: batches of like length, several at once, long clips in pieces.

Owns which clips are encoded together, and what is said of those that cannot be. Knows nothing of shards as files:
`encode.py` decides what belongs together and `codes.py` writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from .audio import AudioReader
from .codes import CodedClip
from .manifest import Clip
from .pieces import PIECE_SECONDS, encode_blocks

if TYPE_CHECKING:
    from aoede.codec import Codec


@dataclass
class Shard:
    """What became of the clips of one shard."""

    coded: list[CodedClip] = field(default_factory=list)
    rejected: list[dict[str, str]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        return {
            "clips": len(self.coded),
            "seconds": sum(clip.seconds for clip in self.coded),
            "codes": sum(len(level) for clip in self.coded for level in clip.codes),
            "rejected": self.rejected,
            "notes": self.notes,
        }


@dataclass(frozen=True)
class _Outcome:
    """What became of one clip: its length and codes, or the problem."""

    num_samples: int = 0
    codes: Sequence[NDArray[np.uint16]] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""


def encode_shard(
    clips: Sequence[Clip], codec: Codec, *, batch_seconds: float, workers: int, done: Callable[[int], object]
) -> Shard:
    """Encode the clips of one shard.

    Args:
        batch_seconds: audio encoded at once, padding included; a clip longer than that and 10 s goes in pieces.
        workers: batches in work at the same time, each in a thread of its own.
        done: told how many clips each batch finished.
    """
    rate = codec.config.sample_rate
    longest = max(batch_seconds, PIECE_SECONDS)
    outcomes: dict[int, _Outcome] = {}
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        lengths = list(pool.map(lambda clip: _promised_samples(clip, _reading_rate(clip, rate)), clips))
        batches = list(_batches(lengths, round(batch_seconds * rate)))
        work = pool.map(lambda batch: _encode_batch([clips[index] for index in batch], codec, longest), batches)
        for batch, results in zip(batches, work, strict=True):
            outcomes.update(zip(batch, results, strict=True))
            done(len(batch))
    finally:
        pool.shutdown(cancel_futures=True)
    shard = Shard()
    for index, clip in enumerate(clips):
        outcome = outcomes[index]
        where = {"id": clip.id, "audio": clip.audio if isinstance(clip.audio, str) else "in the manifest"}
        if outcome.problem:
            shard.rejected.append({**where, "reason": outcome.problem})
            continue
        shard.notes += [{**where, "note": note} for note in outcome.notes]
        shard.coded.append(_coded(clip, outcome.num_samples / rate, list(outcome.codes)))
    return shard


def _coded(clip: Clip, seconds: float, codes: list[NDArray[np.uint16]]) -> CodedClip:
    return CodedClip(
        id=clip.id,
        text=clip.text,
        speaker=clip.speaker,
        language=clip.language,
        source=clip.source,
        split=clip.split,
        seconds=seconds,
        codes=codes,
    )


def _batches(lengths: Sequence[int], limit: int) -> Iterator[list[int]]:
    """Indices of clips of like length, so many that the padded batch holds `limit` samples at most."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (lengths[index], index)):
        if batch and (len(batch) + 1) * lengths[index] > limit:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _reading_rate(clip: Clip, rate: int) -> int:
    """The rate to read a clip at so that, taken for `rate`, it plays at the clip's speed."""
    return round(rate / clip.speed)


def _promised_samples(clip: Clip, rate: int) -> int:
    """Length by the file's header; 0 where it cannot be opened, which `_load` will put in words."""
    try:
        with AudioReader(clip.audio_source(), rate) as reader:
            return reader.num_samples
    except (ValueError, OSError):
        return 0


def _encode_batch(clips: Sequence[Clip], codec: Codec, longest: float) -> list[_Outcome]:
    loaded = [_load(clip, codec, longest) for clip in clips]
    sounds = [samples for _, samples in loaded if samples is not None]
    if not sounds:
        return [outcome for outcome, _ in loaded]
    lengths = [len(samples) for samples in sounds]
    audio = torch.zeros(len(sounds), 1, max(lengths))
    for row, samples in enumerate(sounds):
        audio[row, 0, : len(samples)] = torch.from_numpy(samples)
    device = next(codec.parameters()).device
    levels = [level.cpu().numpy().astype(np.uint16) for level in codec.encode(audio.to(device), lengths=lengths)]
    outcomes, row = [], 0
    for outcome, sound in loaded:
        if sound is not None:
            counts = [codec.frames(len(sound)) * count for count in codec.config.codes_per_frame]
            codes = [level[row, :count] for level, count in zip(levels, counts, strict=True)]
            outcome = _Outcome(num_samples=len(sound), codes=codes, notes=outcome.notes)
            row += 1
        outcomes.append(outcome)
    return outcomes


def _load(clip: Clip, codec: Codec, longest: float) -> tuple[_Outcome, NDArray[np.float32] | None]:
    """The clip's sound to be encoded with others, or None and what became of it: a problem, or codes made in pieces."""
    rate = _reading_rate(clip, codec.config.sample_rate)
    try:
        with AudioReader(clip.audio_source(), rate) as reader:
            if reader.info.seconds > longest:
                pieces = list(encode_blocks(codec, reader.blocks()))
                codes = [np.concatenate(level) for level in zip(*(levels for _, levels in pieces), strict=True)]
                count = sum(count for count, _ in pieces)
                return _Outcome(num_samples=count, codes=codes, notes=reader.info.notes), None
            samples = np.concatenate(list(reader.blocks()))
            if not len(samples):
                return _Outcome(problem=f"too short: no sample is left at {rate} Hz"), None
            return _Outcome(notes=reader.info.notes), samples
    except (ValueError, OSError) as error:
        return _Outcome(problem=str(error)), None
