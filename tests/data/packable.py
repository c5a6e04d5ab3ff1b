"""Small prepared sources for the tests of packing and mixing: real shards, codes drawn at random."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aoede.data.codes import CodedClip, CodesInfo, write_shard
from aoede.data.corpus import SourceInfo

INFO = CodesInfo(
    codec_fingerprint="0123456789abcdef", sample_rate=24_000, vq_strides=(4, 2, 1), codebook_size=64, frame_length=2048
)
"""Seven codes a frame, CMFFMFF, codebooks of 64."""


def clip(name: str, frames: int, text: str = "", split: str = "train", **values: str) -> CodedClip:
    """A clip of random codes that its id decides."""
    draw = np.random.default_rng(list(name.encode()))
    codes = [draw.integers(0, INFO.codebook_size, frames * count, dtype=np.uint16) for count in INFO.codes_per_frame]
    fields = {"speaker": "", "language": "", "source": "", **values}
    return CodedClip(id=name, text=text, split=split, seconds=frames * 2048 / 24_000, codes=codes, **fields)


def audio_source(
    folder: Path, name: str, clips: Sequence[CodedClip], kind: str = "studio", language: str = "xx", shard: int = 3
) -> SourceInfo:
    """What `aoede prepare` leaves of a source of recordings."""
    home = folder / name
    home.mkdir(parents=True)
    for number, start in enumerate(range(0, len(clips), shard)):
        write_shard(home / f"codes-{number:05d}.parquet", clips[start : start + shard], INFO, {})
    (home / "report.json").write_text("{}")
    return SourceInfo(name=name, kind=kind, language=language, licence="CC0", folder=home)  # type: ignore[arg-type]


def text_source(
    folder: Path, name: str, texts: Sequence[tuple[str, str, str]], language: str = "xx", shard: int = 3
) -> SourceInfo:
    """What `aoede prepare` leaves of a source of texts: (id, text, split)."""
    home = folder / name
    home.mkdir(parents=True)
    for number, start in enumerate(range(0, len(texts), shard)):
        rows = [
            {"id": i, "text": text, "language": "", "source": name, "split": split}
            for i, text, split in texts[start : start + shard]
        ]
        pq.write_table(pa.Table.from_pylist(rows), home / f"text-{number:05d}.parquet")
    (home / "report.json").write_text(json.dumps({"documents": len(texts)}))
    return SourceInfo(name=name, kind="text", language=language, licence="CC0", folder=home)
