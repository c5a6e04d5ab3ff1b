"""`aoede codec encode` and `decode`: a file, a pipe or a whole folder. The work behind the two verbs.

Owns only the choice between them: `files.py` does one recording, `folders.py` many.
"""

from __future__ import annotations

import os
from pathlib import Path

from .ends import PIPE, Damage, RawSound
from .filereport import FileReport
from .files import decode_file, encode_file
from .folders import FolderReport, process_folder
from .inspection import bundled_codec, open_codec

Report = FileReport | FolderReport


def raw_sound(encoding: str | None, rate: int | None = None, channels: int = 1) -> RawSound | None:
    """What the options --raw, --rate and --channels say; ValueError where the last two stand without the first."""
    if encoding is not None:
        return RawSound(encoding=encoding, rate=rate, channels=channels)
    if rate is not None or channels != 1:
        raise ValueError("--rate and --channels describe raw samples: say --raw s16le (or f32le, ...) too")
    return None


def encode(
    source: str,
    target: str,
    codec: str | None = None,
    *,
    raw: RawSound | None = None,
    truncated: Damage = "refuse",
    workers: int | None = None,
    progress: bool = True,
) -> Report:
    """Sound to codes.

    Args:
        source: a sound file, a folder of them, or `-`.
        target: a `.snac` file, a folder, or `-`.
        codec: its name (`aoede.codec.load_codec`); None is the bundled one.
        raw: what standard input holds where it is not WAV.
        workers: processes, for a folder.
    Raises:
        ValueError: as `encode_file` and `process_folder`.
    """
    if _is_folder(source, target, raw):
        name = codec or os.fspath(bundled_codec())
        return process_folder("encode", source, target, name, truncated=truncated, workers=workers, progress=progress)
    _refuse_workers(source, workers)
    return encode_file(source, target, open_codec(codec), raw=raw, truncated=truncated, progress=progress)


def decode(
    source: str,
    target: str,
    codec: str | None = None,
    *,
    seed: int = 0,
    raw: RawSound | None = None,
    format: str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Report:
    """Codes to sound.

    Args:
        source: a `.snac` file, a folder of them, or `-`.
        target: a sound file, a folder, or `-`.
        raw: how samples go to standard output where it is not to be WAV.
        format: suffix of the sound files of a folder, without the dot; None is wav.
        seed: of the decoder's noise.
    Raises:
        ValueError: as `decode_file` and `process_folder`.
    """
    if _is_folder(source, target, raw):
        name, suffix = codec or os.fspath(bundled_codec()), f".{(format or 'wav').lstrip('.')}"
        return process_folder(
            "decode", source, target, name, suffix=suffix, seed=seed, workers=workers, progress=progress
        )
    _refuse_workers(source, workers)
    if format is not None:
        raise ValueError(f"--format {format} is for folders; the suffix of {target} chooses the format")
    return decode_file(source, target, open_codec(codec), seed=seed, raw=raw, progress=progress)


def _is_folder(source: str, target: str, raw: RawSound | None) -> bool:
    if source == PIPE or not Path(source).is_dir():
        return False
    if target == PIPE or raw is not None:
        raise ValueError(f"{source}: a folder; it goes to a folder, not through a pipe")
    return True


def _refuse_workers(source: str, workers: int | None) -> None:
    if workers is not None:
        raise ValueError(f"--workers {workers} is for folders; {source} is one recording")
