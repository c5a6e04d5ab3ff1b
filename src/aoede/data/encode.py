"""From clips to shards of codes: `prepare`, the work of `aoede prepare`.

Owns the plan, the resuming after any interruption and the report. What a shard holds is decided by the manifest's order
and two numbers alone, so a run that was killed and started again writes the same bytes. Knows nothing of text beyond
carrying it along; the loudness of the clips is left as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .batches import encode_shard
from .codes import PATTERN, REPORT, CodedClip, CodesInfo, load_codes, read_shard_metadata, write_shard
from .holding import clear_leftovers, hold_to_plan, holding
from .manifest import Clip
from .saving import write_json

if TYPE_CHECKING:
    from tqdm import tqdm

    from aoede.codec import Codec

__all__ = ["CodedClip", "PrepareSummary", "load_codes", "prepare"]

PLAN = "prepare.json"
"""Written first: what the folder is being made from. A run with another plan is refused."""


@dataclass(frozen=True, kw_only=True)
class PrepareSummary:
    """What a prepared folder holds, and what the last run did; `str()` is for a person."""

    folder: str
    num_clips: int
    """Clips of the manifest, rejected ones included."""

    num_rejected: int
    num_noted: int
    """Clips that were coded, but are silent or clipped."""

    num_shards: int
    seconds: float
    """Length of the coded audio."""

    num_codes: int
    num_bytes: int
    """Size of all shards."""

    new_codes: int
    """Codes made by this run; the rest was there."""

    work_seconds: float
    """How long this run took."""

    def __str__(self) -> str:
        coded = self.num_clips - self.num_rejected
        lines = [
            f"{self.folder}  {coded:,} clips, {self.seconds / 3600:.2f} hours -> {self.num_codes:,} codes, "
            f"{self.num_bytes / 1e6:.2f} MB in {self.num_shards} {'shard' if self.num_shards == 1 else 'shards'}"
        ]
        if self.new_codes:
            speed = self.seconds * self.new_codes / self.num_codes / self.work_seconds
            lines.append(f"{self.new_codes / self.work_seconds:,.0f} ids a second, {speed:.1f} x faster than it plays")
        else:
            lines.append("nothing left to do")
        if self.num_rejected or self.num_noted:
            lines.append(
                f"{self.num_rejected:,} clips rejected, {self.num_noted:,} with a note: {self.folder}/{REPORT}"
            )
        return "\n".join(lines)


def prepare(
    clips: Sequence[Clip],
    codec: Codec,
    out: str | os.PathLike[str],
    *,
    shard_clips: int = 512,
    batch_seconds: float = 10.0,
    workers: int | None = None,
    progress: bool = False,
) -> PrepareSummary:
    """Encode clips to Parquet shards of codes, `codes-00000.parquet` and so on, and `report.json`.

    Clip i goes to shard i // shard_clips. A shard appears when it is complete; a run that was interrupted goes on after
    the last one. Files that cannot be used are listed in the report, with the reason, and skipped.

    Args:
        clips: from `load_manifest`; their order is the shards' order.
        codec: encodes, on the device it is on.
        out: folder to make or to go on with.
        shard_clips: clips a shard; a shard is what an interruption may cost.
        batch_seconds: audio encoded at once, padding included. On a CPU more than 10 is slower, because the network's
            layers no longer fit the caches; a GPU likes 100 and more.
        workers: batches in work at the same time, each on one CPU thread, so that the codes do not depend on how many
            there are; None takes as many as torch has threads.
        progress: a bar on stderr.
    Raises:
        ValueError: `out` was made from other clips, by another codec or with other numbers, or is being written by
            another process; nothing to encode.
    """
    if not clips:
        raise ValueError("no clips to encode")
    if shard_clips < 1 or not batch_seconds > 0:
        raise ValueError(f"shard_clips={shard_clips}, batch_seconds={batch_seconds}: both must be above 0")
    if workers is not None and workers < 1:
        raise ValueError(f"workers={workers}: at least 1")
    folder, info, started = Path(out), CodesInfo.of(codec), time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, len(clips), shard_clips)
    paths = [folder / f"codes-{number:05d}.parquet" for number in range(len(starts))]
    with holding(folder, "aoede prepare"):
        _hold_to_plan(folder, clips, info, shard_clips, batch_seconds)
        clear_leftovers(folder)
        new = [path for path in paths if not path.exists()]
        bar = _bar(
            len(clips), initial=sum(_size(path, starts, len(clips)) for path in paths if path.exists()), on=progress
        )
        with bar, _one_thread_each(workers) as number:
            for start, path in zip(starts, paths, strict=True):
                if path in new:
                    part = clips[start : start + shard_clips]
                    shard = encode_shard(part, codec, batch_seconds=batch_seconds, workers=number, done=bar.update)
                    write_shard(path, shard.coded, info, shard.report())
        report = _report(paths, len(clips))
        write_json(folder / REPORT, report)
    codes_per_shard = {row["file"]: row["codes"] for row in report["shards"]}
    return PrepareSummary(
        folder=os.fspath(out),
        num_clips=len(clips),
        num_rejected=len(report["rejected"]),
        num_noted=len(report["notes"]),
        num_shards=len(paths),
        seconds=report["seconds"],
        num_codes=report["codes"],
        num_bytes=report["bytes"],
        new_codes=sum(codes_per_shard[path.name] for path in new),
        work_seconds=time.perf_counter() - started,
    )


def _hold_to_plan(folder: Path, clips: Sequence[Clip], info: CodesInfo, shard_clips: int, batch_seconds: float) -> None:
    plan = {
        "format": 1,
        "codec_fingerprint": info.codec_fingerprint,
        "num_clips": len(clips),
        "manifest": _digest(clips),
        "shard_clips": shard_clips,
        "batch_seconds": batch_seconds,
    }
    words = {
        "codec_fingerprint": "another codec",
        "num_clips": "another number of clips",
        "manifest": "other clips (a text, an order or a sound file changed)",
        "shard_clips": "another --shard-clips",
        "batch_seconds": "another --batch-seconds",
    }
    is_other = any(folder.glob(PATTERN))
    hold_to_plan(folder / PLAN, plan, words, "codes that no run of `aoede prepare` began" if is_other else "")


def _digest(clips: Sequence[Clip]) -> str:
    """A fingerprint of what is to be encoded: every clip's columns and the size of its sound file."""
    digest = hashlib.sha256()
    for clip in clips:
        if isinstance(clip.audio, str):
            size = os.path.getsize(clip.audio) if os.path.isfile(clip.audio) else -1
        else:
            size = len(clip.audio_source())
        row = [clip.id, clip.text, clip.speaker, clip.language, clip.source, clip.split, size]
        digest.update(json.dumps(row if clip.speed == 1.0 else [*row, clip.speed]).encode())
    return digest.hexdigest()[:16]


def _report(paths: Sequence[Path], num_clips: int) -> dict[str, Any]:
    """The whole run's report, from the shards alone: a resumed run and an uninterrupted one agree."""
    parts = [(path, read_shard_metadata(path)[1]) for path in paths]
    shards = [
        {"file": path.name, "clips": part["clips"], "codes": part["codes"], "bytes": path.stat().st_size}
        for path, part in parts
    ]
    return {
        "format": 1,
        "clips": num_clips,
        "coded": sum(part["clips"] for _, part in parts),
        "seconds": sum(part["seconds"] for _, part in parts),
        "codes": sum(part["codes"] for _, part in parts),
        "bytes": sum(shard["bytes"] for shard in shards),
        "rejected": [row for _, part in parts for row in part["rejected"]],
        "notes": [row for _, part in parts for row in part["notes"]],
        "shards": shards,
    }


@contextlib.contextmanager
def _one_thread_each(workers: int | None) -> Iterator[int]:
    """Give every worker one thread of torch while the block lasts; yields their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield workers or threads
    finally:
        torch.set_num_threads(threads)


def _size(path: Path, starts: Sequence[int], total: int) -> int:
    number = int(path.stem.removeprefix("codes-"))
    return (starts[number + 1] if number + 1 < len(starts) else total) - starts[number]


def _bar(total: int, initial: int, on: bool) -> tqdm[Any]:
    from tqdm import tqdm

    return tqdm(total=total, initial=initial, unit="clip", desc="encoding", disable=not on, file=sys.stderr)
