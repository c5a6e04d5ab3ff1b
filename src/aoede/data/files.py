"""One recording at a time: sound to codes and back. The work of `aoede codec` on a file or a pipe.

Long recordings pass through in blocks: with SNAC, memory does not grow with them. `ends.py` opens files and pipes,
`filereport.py` says what became of them, `folders.py` does many files at once.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .audio import AudioError, AudioInfo, AudioReader
from .codefile import CodeFile, check_code_file
from .codes import CodesInfo
from .codestream import CodeReader, CodeWriter
from .ends import PIPE, Damage, RawSound, code_source, code_target, name_of, open_sound, sound_target
from .filereport import FileReport
from .pieces import PIECE_SECONDS, decode_blocks, decode_reader, encode_blocks
from .pipes import PipeReader
from .saving import audio_writer, check_target, written_rate

if TYPE_CHECKING:
    from tqdm import tqdm

    from aoede.codec import Codec, NoiseMode

Distance = Callable[[NDArray[np.float32], NDArray[np.float32]], float]
"""How far a decoded sound [T] lies from the original [T]."""

PIPE_SECONDS = 0.25
"""Sound in work at once where it comes through a pipe: somebody may be speaking at the other end."""

_BAR_FROM = 30.0
"""Recordings shorter than this, in seconds, need no progress bar."""

_COMPARED_FROM = 2048
"""A last crumb of sound shorter than this, in samples, has no spectrum to compare."""


def encode_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    codec: Codec,
    *,
    raw: RawSound | None = None,
    truncated: Damage = "refuse",
    progress: bool = False,
) -> FileReport:
    """Sound file to `.snac` file; `-` is standard input, or output.

    Args:
        raw: what standard input holds; None is WAV.
    Raises:
        AudioError, ValueError: sound that cannot be used, a target that cannot be written.
    """
    started = time.perf_counter()
    rate, info, samples = codec.config.sample_rate, CodesInfo.of(codec), 0
    with code_target(target) as stream, open_sound(source, rate, raw, truncated) as reader:
        writer = CodeWriter(stream, info)
        live = isinstance(reader, PipeReader)
        blocks = reader.blocks(PIPE_SECONDS) if live else reader.blocks()
        with _bar("encoding", reader.info.seconds, progress) as bar:
            for count, codes in encode_blocks(codec, blocks, seconds=PIPE_SECONDS if live else PIECE_SECONDS):
                samples += count
                writer.write(codes)
                bar.update(count / rate)
        if not samples:
            raise AudioError(f"{reader.name}: too short: no sample is left at {rate} Hz")
        writer.finish(samples)
        audio = reader.info
    return FileReport(
        source=name_of(source, "standard input"),
        target=name_of(target, "standard output"),
        info=info,
        num_samples=samples,
        num_frames=writer.num_frames,
        audio=audio,
        work_seconds=time.perf_counter() - started,
    )


def decode_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    codec: Codec,
    *,
    noise: NoiseMode = "seeded",
    seed: int = 0,
    raw: RawSound | None = None,
    progress: bool = False,
) -> FileReport:
    """`.snac` file to sound file, as long as the recording was, to the sample; `-` is standard input, or output.

    A file is checked to its end before anything is decoded. A pipe cannot be: damage is told after what came before it
    has been decoded.

    Args:
        raw: how samples go to standard output; None is WAV.
    Raises:
        ValueError: not a code file, codes of another codec, a target that cannot be written.
    """
    started = time.perf_counter()
    piped = os.fspath(source) == PIPE
    seconds = 0.0
    if not piped:
        size = check_code_file(source)
        seconds = size.num_samples / size.info.sample_rate
    rate = codec.config.sample_rate
    with code_source(source) as stream:
        reader = CodeReader(stream, name_of(source, "standard input"))
        reader.info.check(codec, reader.name)
        with _bar("decoding", seconds, progress) as bar, sound_target(target, rate, raw) as writer:
            step = PIPE_SECONDS if piped else PIECE_SECONDS
            for block in decode_reader(codec, reader, noise=noise, seed=seed, seconds=step):
                writer.write(block)
                bar.update(len(block) / rate)
    assert reader.num_samples is not None
    return FileReport(
        source=reader.name,
        target=name_of(target, "standard output"),
        info=reader.info,
        num_samples=reader.num_samples,
        num_frames=reader.num_frames,
        written_rate=writer.sample_rate,
        work_seconds=time.perf_counter() - started,
    )


def roundtrip_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None,
    codec: Codec,
    *,
    truncated: Damage = "refuse",
    seed: int = 0,
    distance: Distance | None = None,
    progress: bool = False,
) -> FileReport:
    """Sound file to codes and back to a sound file.

    Args:
        target: None writes `NAME.roundtrip.wav` beside the source.
        distance: measured on pieces of the sound and averaged by their length; None leaves it out.
    Raises:
        AudioError, ValueError: as `encode_file`.
    """
    target = Path(source).with_suffix(".roundtrip.wav") if target is None else target
    rate = codec.config.sample_rate
    written_rate(check_target(target), rate)  # a target that cannot be written is told before the work, not after
    started = time.perf_counter()
    coded, audio = _encoded(source, codec, truncated, progress)
    work = time.perf_counter() - started
    total = weight = 0.0
    with (
        _bar("decoding", coded.seconds, progress) as bar,
        audio_writer(target, rate) as writer,
        AudioReader(source, rate, truncated=truncated) as reader,
    ):
        original = _Lengths(reader.blocks())
        blocks = decode_blocks(codec, coded.codes, coded.num_samples, seed=seed)
        while True:
            started = time.perf_counter()
            block = next(blocks, None)
            if block is None:
                break
            writer.write(block)
            work += time.perf_counter() - started
            bar.update(len(block) / rate)
            if distance is not None:
                heard = original.take(len(block))
                if len(block) >= _COMPARED_FROM:
                    total += len(block) * distance(heard, block)
                    weight += len(block)
    return FileReport(
        source=os.fspath(source),
        target=os.fspath(target),
        info=coded.info,
        num_samples=coded.num_samples,
        num_frames=coded.num_frames,
        audio=audio,
        written_rate=writer.sample_rate,
        distance=total / weight if weight else None,
        work_seconds=work,
    )


def _encoded(
    source: str | os.PathLike[str], codec: Codec, truncated: Damage, progress: bool
) -> tuple[CodeFile, AudioInfo]:
    rate = codec.config.sample_rate
    samples = 0
    pieces = []
    with (
        AudioReader(source, rate, truncated=truncated) as reader,
        _bar("encoding", reader.info.seconds, progress) as bar,
    ):
        for count, piece in encode_blocks(codec, reader.blocks()):
            samples += count
            pieces.append(piece)
            bar.update(count / rate)
        info = reader.info
    if not samples:
        raise AudioError(f"{reader.name}: too short: no sample is left at {rate} Hz")
    codes = [np.concatenate(level) for level in zip(*pieces, strict=True)]
    return CodeFile(info=CodesInfo.of(codec), num_samples=samples, codes=codes), info


class _Lengths:
    """Hands out blocks of a stream in the lengths asked for."""

    def __init__(self, blocks: Iterator[NDArray[np.float32]]) -> None:
        self._blocks = blocks
        self._held = np.zeros(0, dtype=np.float32)

    def take(self, length: int) -> NDArray[np.float32]:
        while len(self._held) < length:
            self._held = np.concatenate((self._held, next(self._blocks)))
        taken, self._held = self._held[:length], self._held[length:]
        return taken


def _bar(what: str, seconds: float, on: bool) -> tqdm[Any]:
    from tqdm import tqdm

    form = "{desc} {percentage:3.0f}% |{bar}| {n:.0f}/{total:.0f} s of sound [{elapsed}<{remaining}]"
    return tqdm(
        total=round(seconds, 3), desc=what, bar_format=form, disable=not on or seconds < _BAR_FROM, file=sys.stderr
    )
