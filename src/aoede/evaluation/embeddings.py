"""Embeddings of recordings and the Parquet file they are kept in.

Owns the way from inputs (prepared codes, manifests, folders, sound files) to clips, and the file. The vectors are
`embed.py`'s.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aoede.codec import Codec
from aoede.data import Clip, CodedClip, CodeFile, CodesInfo, codes_info, load_audio, load_codes, load_manifest
from aoede.data.codefile import is_code_file
from aoede.data.codes import PATTERN
from aoede.data.listing import SOUNDS, is_sound_folder
from aoede.data.saving import replacing
from aoede.evaluation.embed import Pool, embed
from aoede.evaluation.recordings import folder_clips
from aoede.models import CodecCausalLM

__all__ = ["Embedding", "EmbeddingsInfo", "embed_sources", "load_embeddings", "save_embeddings"]

FIELDS = ("id", "text", "speaker", "language", "source", "split", "seconds")


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedding:
    """One recording as a vector."""

    id: str
    vector: NDArray[np.float32]
    """[H]."""

    text: str = ""
    speaker: str = ""
    language: str = ""
    source: str = ""
    split: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class EmbeddingsInfo:
    """Where a file of embeddings comes from."""

    model: str
    layer: int
    num_layers: int
    pool: Pool
    codec_fingerprint: str


def embed_sources(
    model: CodecCausalLM,
    codec: Codec | None,
    inputs: Sequence[str | os.PathLike[str]],
    *,
    layer: int = -1,
    pool: Pool = "mean",
) -> tuple[list[Embedding], str]:
    """Embeddings of prepared folders, manifests, folders of sound files and sound files, in that order of asking.

    Args:
        codec: needed wherever sound has to be encoded; codes of a prepared folder must be this codec's.
    Returns:
        the embeddings, and the codec's fingerprint.
    Raises:
        ValueError: an input that is none of these, or sound without a codec.
    """
    clips: list[CodedClip] = []
    fingerprint = "" if codec is None else codec.fingerprint()
    for source in inputs:
        found, prints = _coded(Path(source), codec)
        if fingerprint and prints != fingerprint:
            raise ValueError(f"{source}: codes of codec {prints}, but the others are of {fingerprint}")
        fingerprint = prints
        clips += found
    layout = model.vocabulary.layout
    frames = [
        layout.flatten([torch.from_numpy(level.astype(np.int64))[None] for level in clip.codes])[0] for clip in clips
    ]
    vectors = embed(model, frames, layer=layer, pool=pool)
    found_all = [
        Embedding(vector=vector, **{name: getattr(clip, name) for name in FIELDS})
        for clip, vector in zip(clips, vectors, strict=True)
    ]
    return found_all, fingerprint


def save_embeddings(path: str | os.PathLike[str], embeddings: Sequence[Embedding], info: EmbeddingsInfo) -> Path:
    """Write a Parquet file: a clip's columns and `vector` (list of float32); where it comes from is in its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not embeddings:
        raise ValueError("no embeddings to write")
    columns: dict[str, Any] = {name: [getattr(one, name) for one in embeddings] for name in FIELDS}
    width = len(embeddings[0].vector)
    flat = pa.array(np.concatenate([one.vector for one in embeddings]).astype(np.float32))
    columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, width)
    table = pa.table(columns).replace_schema_metadata({b"aoede.embeddings": json.dumps(vars(info)).encode()})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return Path(path)


def load_embeddings(path: str | os.PathLike[str]) -> tuple[list[Embedding], EmbeddingsInfo]:
    """Read what `save_embeddings` wrote.

    Raises:
        ValueError: not such a file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not Path(path).is_file():
        raise ValueError(f"{os.fspath(path)}: no such file; `aoede embed MODEL RECORDINGS --out FILE` writes one")
    try:
        table = pq.read_table(path)
        info = EmbeddingsInfo(**json.loads(table.schema.metadata[b"aoede.embeddings"]))
    except (pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)}: no file of embeddings that `aoede embed` wrote") from error
    vectors = np.stack(table["vector"].to_numpy())
    rows = table.select(list(FIELDS)).to_pylist()
    return [Embedding(vector=vector, **row) for vector, row in zip(vectors, rows, strict=True)], info


def _coded(path: Path, codec: Codec | None) -> tuple[list[CodedClip], str]:
    """Clips of one input, and the fingerprint of their codec."""
    if path.is_dir():
        folders = [path] if any(path.glob(PATTERN)) else sorted({shard.parent for shard in path.glob(f"*/{PATTERN}")})
        if folders:
            return load_codes(folders, codec=codec), codes_info(folders[0]).codec_fingerprint
    if path.is_file() and is_code_file(path):
        file = CodeFile.load(path)
        if codec is not None:
            file.info.check(codec, str(path))
        named = dict.fromkeys(("text", "speaker", "language", "source", "split"), "")
        clip = CodedClip(id=path.name, seconds=file.seconds, codes=file.codes, **named)
        return [clip], file.info.codec_fingerprint
    if codec is None:
        raise ValueError(f"{path}: sound needs the codec whose codes the model learned: name it (--codec DIR)")
    return [_encoded(clip, codec) for clip in _clips(path)], CodesInfo.of(codec).codec_fingerprint


def _clips(path: Path) -> list[Clip]:
    if path.suffix.lower() in SOUNDS:
        return [Clip(audio=str(path.resolve()), id=path.name)]
    return folder_clips(path) if is_sound_folder(path) else load_manifest(path)


def _encoded(clip: Clip, codec: Codec) -> CodedClip:
    samples, rate = load_audio(clip.audio_source(), sample_rate=codec.config.sample_rate)
    with torch.inference_mode():
        levels = codec.encode(torch.from_numpy(samples)[None, None].to(next(codec.parameters()).device))
    named = {name: getattr(clip, name) for name in FIELDS if name != "seconds"}
    codes = [level[0].cpu().numpy().astype(np.uint16) for level in levels]
    return CodedClip(**named, seconds=len(samples) / rate, codes=codes)
