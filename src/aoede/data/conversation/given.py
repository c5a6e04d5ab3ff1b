"""Codes that a conversation brings along, into a prepared folder: checked, each once, in shards like those made here.

Owns the check that codes are whole frames of a codec, and the shards' writing. Encodes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..codes import REPORT, CodedClip, CodesInfo, read_shard_metadata, write_shard
from ..manifest import Clip
from ..saving import write_json
from .messages import Sound
from .sounds import Codes, SoundCodes

if TYPE_CHECKING:
    from aoede.codec import Codec


def copy_given(
    sounds: Mapping[str, tuple[Sound, Clip]], codec: Codec, folder: Path, shard_clips: int
) -> dict[str, str]:
    """Write the codes of sounds into a prepared folder; shards that are there stay.

    Args:
        sounds: by the id that each gets, with what is known of it.
    Returns:
        id -> reason of those whose codes cannot be used; they are left out.
    """
    folder.mkdir(exist_ok=True)
    look_up, info = SoundCodes(codec=codec), CodesInfo.of(codec)
    wrong: dict[str, str] = {}
    rows = iter(sounds.items())
    paths: list[Path] = []
    while part := list(islice(rows, shard_clips)):
        path = folder / f"codes-{len(paths):05d}.parquet"
        paths.append(path)
        if path.exists():
            rejected = read_shard_metadata(path)[1]["rejected"]
        else:
            rejected = _write(path, part, look_up, codec, info)
        wrong |= {row["id"]: row["reason"] for row in rejected}
    parts = [read_shard_metadata(path)[1] for path in paths]
    report = {
        "format": 1,
        "clips": len(sounds),
        **{
            key: sum(one[name] for one in parts)
            for key, name in (("coded", "clips"), ("seconds", "seconds"), ("codes", "codes"))
        },
        "bytes": sum(path.stat().st_size for path in paths),
        "rejected": [row for one in parts for row in one["rejected"]],
        "notes": [],
        "shards": [
            {"file": path.name, "clips": one["clips"], "codes": one["codes"], "bytes": path.stat().st_size}
            for path, one in zip(paths, parts, strict=True)
        ],
    }
    write_json(folder / REPORT, report)
    return wrong


def _write(
    path: Path, part: list[tuple[str, tuple[Sound, Clip]]], look_up: SoundCodes, codec: Codec, info: CodesInfo
) -> list[dict[str, str]]:
    """Write one shard; returns what is rejected."""
    clips: list[CodedClip] = []
    rejected: list[dict[str, str]] = []
    for name, (sound, clip) in part:
        try:
            codes = look_up.of(sound)
            check_whole_frames(codes, codec)
        except (ValueError, OSError) as error:
            rejected.append({"id": name, "audio": sound.name, "reason": str(error)})
            continue
        frames = len(codes[0]) // info.codes_per_frame[0]
        clips.append(
            CodedClip(
                id=name,
                text=clip.text,
                speaker=clip.speaker,
                language=clip.language,
                source=clip.source,
                split=clip.split,
                seconds=frames * info.frame_length / info.sample_rate,
                codes=[np.asarray(level, dtype=np.uint16) for level in codes],
            )
        )
    notes = {
        "clips": len(clips),
        "seconds": sum(clip.seconds for clip in clips),
        "codes": sum(len(level) for clip in clips for level in clip.codes),
        "rejected": rejected,
        "notes": [],
    }
    write_shard(path, clips, info, notes)
    return rejected


def check_whole_frames(codes: Codes, codec: Codec) -> None:
    """Raises ValueError unless codes are whole frames of this codec."""
    counts, size = codec.config.codes_per_frame, codec.config.codebook_size
    if len(codes) != len(counts):
        raise ValueError(f"{len(codes)} levels of codes; this codec has {len(counts)}")
    frames = len(codes[0]) // counts[0]
    for level, (values, count) in enumerate(zip(codes, counts, strict=True)):
        if not frames or len(values) != frames * count:
            raise ValueError(f"level {level} has {len(values)} codes; {frames} frames have {frames * count}")
        if int(values.max()) >= size:
            raise ValueError(f"code {int(values.max())} in level {level} is outside 0..{size - 1}")
