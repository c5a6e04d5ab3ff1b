"""Codes in Parquet shards: what `encode.py` writes and training reads.

Owns the shard's schema, its bytes and `load_codes`; docs/formats.md describes every column. Knows nothing of sound
files.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from .saving import replacing

if TYPE_CHECKING:
    from aoede.codec import Codec

PATTERN = "codes-*.parquet"
"""Names of the shards in a prepared folder."""

REPORT = "report.json"
"""Written last: a folder that has it is complete."""

_FIELDS = ("id", "text", "speaker", "language", "source", "split", "seconds")
"""Columns that are a clip's fields as they stand; `num_frames` and `codes` follow."""


@dataclass(frozen=True, kw_only=True)
class CodedClip:
    """One clip as codes."""

    id: str
    text: str
    speaker: str
    language: str
    source: str
    split: str
    """Empty where the manifest did not say."""

    seconds: float
    """Length of the audio; the codes cover it and the padding to a whole frame."""

    codes: list[NDArray[np.uint16]]
    """One [T_k] a level."""


@dataclass(frozen=True, kw_only=True)
class CodesInfo:
    """Which codec a set of codes belongs to."""

    codec_fingerprint: str
    """Of the configuration, encoder and quantizer (`codec.fingerprint()`)."""

    sample_rate: int
    vq_strides: tuple[int, ...]
    codebook_size: int
    frame_length: int
    """Samples of one frame."""

    @classmethod
    def of(cls, codec: Codec) -> Self:
        config = codec.config
        if config.codebook_size > 65_536:
            raise ValueError(f"codebook_size is {config.codebook_size:,}; codes are kept in 16 bits, 65,536 at most")
        return cls(
            codec_fingerprint=codec.fingerprint(),
            sample_rate=config.sample_rate,
            vq_strides=config.vq_strides,
            codebook_size=config.codebook_size,
            frame_length=config.frame_length,
        )

    @property
    def codes_per_frame(self) -> tuple[int, ...]:
        return tuple(self.vq_strides[0] // stride for stride in self.vq_strides)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "vq_strides": list(self.vq_strides)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(**{**values, "vq_strides": tuple(values["vq_strides"])})

    def check(self, codec: Codec, where: str) -> None:
        """Raises ValueError unless these codes were made by this codec's encoder and quantizer."""
        given = CodesInfo.of(codec)
        if given.codec_fingerprint != self.codec_fingerprint:
            raise ValueError(
                f"{where}: made by codec {self.codec_fingerprint}, but the codec given is {given.codec_fingerprint}; "
                "codes mean nothing to another codec: give the one that made them, or encode again"
            )
        if given != self:
            raise ValueError(f"{where}: damaged: it says {self.to_dict()}, but its codec has {given.to_dict()}")


def write_shard(path: Path, clips: Sequence[CodedClip], info: CodesInfo, notes: Mapping[str, Any]) -> None:
    """Write one shard atomically; the same clips give the same bytes.

    Args:
        notes: what `report.json` will say of this shard's clips, kept in the schema's metadata.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(shard_bytes(clips, info, notes))


def shard_bytes(clips: Sequence[CodedClip], info: CodesInfo, notes: Mapping[str, Any]) -> bytes:
    """What `write_shard` writes."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    columns: dict[str, Any] = {
        name: pa.array([getattr(clip, name) for clip in clips], pa.float64() if name == "seconds" else pa.string())
        for name in _FIELDS
    }
    frames = [len(clip.codes[0]) // info.codes_per_frame[0] for clip in clips]
    columns["num_frames"] = pa.array(frames, pa.int32())
    columns["codes"] = pa.array([list(clip.codes) for clip in clips], pa.list_(pa.list_(pa.uint16())))
    metadata = {b"aoede": _json(info.to_dict()), b"aoede.report": _json(notes)}
    table = pa.table(columns).replace_schema_metadata(metadata)
    few = ["speaker", "language", "source", "split"]
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", use_dictionary=few, write_statistics=few)
    return sink.getvalue()


def read_shard_metadata(path: Path) -> tuple[CodesInfo, dict[str, Any]]:
    """The codec a shard belongs to, and its part of the report."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
        return CodesInfo.from_dict(json.loads(metadata[b"aoede"])), json.loads(metadata[b"aoede.report"])
    except (pa.ArrowInvalid, KeyError, TypeError, json.JSONDecodeError):
        raise ValueError(f"{path}: not a shard of codes that `aoede prepare` wrote") from None


def codes_info(folder: str | os.PathLike[str]) -> CodesInfo:
    """The codec that the codes of a prepared folder belong to.

    Raises:
        ValueError: not a prepared folder, an unfinished one, or shards of different codecs.
    """
    return _shards(Path(folder))[0]


def clip_seconds(folder: str | os.PathLike[str]) -> dict[str, float]:
    """Id to length of every clip of a prepared folder, without reading its codes.

    Raises:
        ValueError: not a prepared folder, or an unfinished one.
    """
    import pyarrow.parquet as pq

    found: dict[str, float] = {}
    for path in _shards(Path(folder))[1]:
        table = pq.read_table(path, columns=["id", "seconds"])
        found.update(zip(table["id"].to_pylist(), table["seconds"].to_pylist(), strict=True))
    return found


def load_codes(
    folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    split: str | Sequence[str] | None = None,
    speakers: Sequence[str] | None = None,
    languages: Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
    codec: Codec | None = None,
) -> list[CodedClip]:
    """Clips of one or more prepared folders, in the manifest's order.

    Args:
        split, speakers, languages, sources: keep only clips whose value is among these.
        codec: the codec the codes will be used with; its fingerprint must be theirs.
    Raises:
        ValueError: not a prepared folder, an unfinished one, codes of another codec, or nothing kept.
    """
    given = [folders] if isinstance(folders, str | os.PathLike) else list(folders)
    filters = {"split": split, "speaker": speakers, "language": languages, "source": sources}
    wanted = {
        name: {value} if isinstance(value, str) else set(value) for name, value in filters.items() if value is not None
    }
    clips: list[CodedClip] = []
    first: CodesInfo | None = None
    for folder in given:
        info, paths = _shards(Path(folder))
        if codec is not None:
            info.check(codec, str(folder))
        if first is not None and info != first:
            raise ValueError(
                f"{folder}: codes of codec {info.codec_fingerprint}, but {given[0]} has {first.codec_fingerprint}"
            )
        first = info
        for path in paths:
            clips.extend(_clips(path, wanted))
    if not clips:
        asked = ", ".join(f"{name} in {sorted(values)}" for name, values in wanted.items()) or "anything"
        raise ValueError(f"{', '.join(map(str, given))}: no clips with {asked}")
    return clips


def _clips(path: Path, wanted: Mapping[str, set[str]]) -> list[CodedClip]:
    import pyarrow as pa
    import pyarrow.compute as pc  # type: ignore[import-untyped]
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    for name, values in wanted.items():
        table = table.filter(pc.is_in(table[name], pa.array(sorted(values), pa.string())))
    table = table.combine_chunks()
    columns = {name: table[name].to_pylist() for name in _FIELDS}
    if not table.num_rows:
        return []
    lists = table["codes"].chunk(0)
    outer = lists.offsets.to_numpy()
    inner = lists.values.offsets.to_numpy()
    flat = lists.values.values.to_numpy()
    clips = []
    for row in range(table.num_rows):
        levels = range(outer[row], outer[row + 1])
        codes = [flat[inner[level] : inner[level + 1]].copy() for level in levels]
        clips.append(CodedClip(codes=codes, **{name: values[row] for name, values in columns.items()}))
    return clips


def _shards(folder: Path) -> tuple[CodesInfo, list[Path]]:
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; `aoede prepare MANIFEST {folder}` makes it")
    paths = sorted(folder.glob(PATTERN))
    if not (folder / REPORT).is_file():
        what = "an unfinished run; start the same `aoede prepare` again" if paths else "no codes; run `aoede prepare`"
        raise ValueError(f"{folder}: {what} (there is no {REPORT})")
    if not paths and (folder / "conversations.jsonl").is_file():
        raise ValueError(f"{folder}: prepared conversations; their clips are in {folder}/codes and {folder}/given")
    if not paths:
        raise ValueError(f"{folder}: no shards of codes beside {REPORT}; run `aoede prepare` again")
    infos = {path: read_shard_metadata(path)[0] for path in paths}
    for path, info in infos.items():
        if info != infos[paths[0]]:
            raise ValueError(f"{path}: codes of codec {info.codec_fingerprint}, unlike {paths[0].name}")
    return infos[paths[0]], paths


def _json(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
