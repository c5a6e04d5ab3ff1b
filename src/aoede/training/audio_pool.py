"""All training audio of a run, decoded once into one file of 16-bit samples that is mapped, not loaded.

Owns the cache and random crops from it; a crop is a pure function of the generator it is given. Knows nothing of
codecs. `audio_files.py` gives the same crops without a cache.
"""

import hashlib
import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from aoede.data import AudioError, AudioReader, Clip

Crop = tuple[int, int]
"""Which clip, and at which of its samples a crop begins."""


class Recordings(ABC):
    """Clips of known lengths, and crops of them; every second of audio is equally likely."""

    def __init__(self, lengths: Sequence[int], left_out: Sequence[str]) -> None:
        """Args: samples of each clip, and what was left out, one line a clip."""
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.ends = np.cumsum(self.lengths)
        self.left_out = tuple(left_out)

    @abstractmethod
    def piece(self, clip: int, begin: int, length: int) -> np.ndarray:
        """[T] of one clip, T = length or less where it ends."""

    @property
    def num_samples(self) -> int:
        """Samples of all clips."""
        return int(self.ends[-1])

    def plan(self, count: int, length: int, generator: np.random.Generator) -> list[Crop]:
        """Where `count` crops of `length` samples lie; nothing is read."""
        crops = []
        for _ in range(count):
            clip = int(np.searchsorted(self.ends, generator.integers(self.num_samples), side="right"))
            crops.append((clip, int(generator.integers(max(1, int(self.lengths[clip]) - length + 1)))))
        return crops

    def read(self, crops: Sequence[Crop], length: int) -> Tensor:
        """[crops, 1, length] float32; a clip shorter than `length` is followed by zeros, never by the next clip."""
        out = np.zeros((len(crops), 1, length), dtype=np.float32)
        for row, (clip, begin) in enumerate(crops):
            piece = self.piece(clip, begin, length)
            out[row, 0, : len(piece)] = piece
        return torch.from_numpy(out)

    def crops(self, count: int, length: int, generator: np.random.Generator) -> Tensor:
        """[count, 1, length] float32, planned and read."""
        return self.read(self.plan(count, length, generator), length)

    def heads(self, length: int, at: Literal["start", "middle"] = "start") -> Tensor:
        """The first or the middle `length` samples of every clip, [clips, 1, length], zeros where a clip ends."""
        begins = np.maximum(0, (self.lengths - length) // 2) if at == "middle" else np.zeros_like(self.lengths)
        return self.read(list(enumerate(begins.tolist())), length)


class AudioPool(Recordings):
    """Clips back to back in one file."""

    def __init__(self, samples: np.ndarray, ends: Sequence[int], left_out: Sequence[str]) -> None:
        """Args: 16-bit samples of all clips, where each clip ends, and what was left out, one line a clip."""
        super().__init__(np.diff(np.asarray(ends, dtype=np.int64), prepend=0).tolist(), left_out)
        self._samples = samples

    @classmethod
    def build(cls, clips: Sequence[Clip], sample_rate: int, folder: Path, *, quiet: bool = False) -> "AudioPool":
        """Decodes clips into `folder` block by block, or maps what an earlier run of the same clips left there.

        Files that cannot be read are left out, listed in `left_out`, and told of on standard error every time (unless
        `quiet`). A file that was written anew, or another one of the same name, is decoded again.

        Raises:
            ValueError: no clip at all could be read.
        """
        folder.mkdir(parents=True, exist_ok=True)
        named = json.dumps([sample_rate, [[clip.id, *_stamp(clip)] for clip in clips]])
        key = hashlib.sha256(named.encode()).hexdigest()[:16]
        data, index = folder / f"audio-{key}.i16", folder / f"audio-{key}.json"
        if not (data.is_file() and index.is_file()):
            temporary = data.with_suffix(f".tmp{os.getpid()}")
            ends: list[int] = []
            left_out: list[str] = []
            try:
                with temporary.open("wb") as out:
                    for clip in tqdm(clips, desc="decoding audio", unit="clip", mininterval=2.0, disable=quiet):
                        position = out.tell()
                        try:
                            _decode(clip, sample_rate, out)
                        except AudioError as error:
                            out.seek(position)
                            out.truncate()
                            left_out.append(str(error) if clip.id in str(error) else f"{clip.id}: {error}")
                            continue
                        ends.append(out.tell() // 2)
                os.replace(temporary, data)
            finally:
                temporary.unlink(missing_ok=True)
            text = json.dumps({"ends": ends, "left_out": left_out})
            half = index.with_suffix(f".tmp{os.getpid()}")
            half.write_text(text)
            os.replace(half, index)
        loaded = json.loads(index.read_text())
        if not loaded["ends"] or loaded["ends"][-1] == 0:
            raise ValueError(f"none of the {len(clips)} clips could be read; the first: {loaded['left_out'][:1]}")
        if not quiet:
            tell_left_out(loaded["left_out"], len(clips), f"listed in {index}")
        return cls(np.memmap(data, dtype=np.int16, mode="r"), loaded["ends"], loaded["left_out"])

    def piece(self, clip: int, begin: int, length: int) -> np.ndarray:
        end = int(self.ends[clip])
        start = end - int(self.lengths[clip]) + begin
        return np.asarray(self._samples[start : min(start + length, end)] / 32767.0)


def tell_left_out(left_out: Sequence[str], count: int, more: str) -> None:
    """Names on standard error the clips that cannot be used, the first ten of them."""
    if left_out:
        rest = f"\n  and {len(left_out) - 10} more, {more}" if len(left_out) > 10 else ""
        listed = "".join(f"\n  {line}" for line in left_out[:10])
        print(f"{len(left_out)} of {count} clips cannot be used:{listed}{rest}", file=sys.stderr)


def _decode(clip: Clip, sample_rate: int, out: BinaryIO) -> None:
    """Appends a clip to `out` as 16-bit samples, a block at a time, however long it is."""
    with AudioReader(clip.audio_source(), sample_rate) as reader:
        for block in reader.blocks():
            out.write(np.clip(np.round(block * 32767.0), -32768, 32767).astype(np.int16).tobytes())


def _stamp(clip: Clip) -> list[str | int]:
    """What tells one version of a clip's sound from another, without reading it."""
    if isinstance(clip.audio, bytes):
        return [hashlib.sha256(clip.audio).hexdigest()]
    if not isinstance(clip.audio, str):
        return [repr(clip.audio)]
    try:
        status = os.stat(clip.audio)
    except OSError:
        return [clip.audio]  # reading it will say what is wrong
    return [clip.audio, status.st_size, status.st_mtime_ns]
