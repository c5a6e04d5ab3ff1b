"""One shard's work: recordings in, the bytes of its files out. Runs in a worker process, here or on another machine.

Owns what is done to each recording (read, clean, augment, encode) and what the rows say of it. Everything that decides
a byte is in the task and the settings, so that it does not matter where, when or beside how many others it runs. Writes
nothing: whoever collects the results does.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..audio import AudioReader
from ..cleaning import AugmentConfig, CleanConfig, Event, Judges, Piece, augment, clean, load_judges, sample_digest
from ..codes import CodedClip, CodesInfo, shard_bytes
from ..manifest import Clip
from ..pieces import PIECE_SECONDS, encode_blocks
from ..strict import to_dict
from ..workers import codec_of
from .config import AUGMENTED

if TYPE_CHECKING:
    from aoede.codec import Codec

WINDOW_SECONDS = 600.0
"""Sound that waits to be encoded with other sound of like length; bounds a worker's memory."""

GROWING_SPLITS = ("train", "")
"""Only recordings of these are augmented: what is evaluated stays as it was recorded."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is the same for every task of a run."""

    codec: str
    """Its name, as `aoede.codec.load_codec` takes it; every process opens it."""

    batch_seconds: float
    seed: int
    device: str = "cpu"
    judges: tuple[tuple[str, str], ...] = ()
    """Step and import string of the judges that a configuration does not name."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """The recordings of one shard."""

    source: str
    number: int
    clips: tuple[Clip, ...]
    clean: CleanConfig
    augment: AugmentConfig | None = None
    listen_only: bool = False
    """Only the digests of what is heard are asked for."""

    duplicates: Mapping[int, str] = field(default_factory=dict)
    """Which clips are dropped as the same recording as another, and which that is."""

    banned: Mapping[int, str] = field(default_factory=dict)
    """Which clips are not touched because they end the process that does, in words."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a task gives: files by their names below the corpus folder, or digests (empty where unreadable)."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    digests: tuple[str, ...] = ()


def work(task: Task, settings: Settings) -> Result:
    """Do a task."""
    if task.listen_only:
        return Result(digests=tuple(_digest(clip, index in task.banned) for index, clip in enumerate(task.clips)))
    codec = _opened(settings.codec, settings.device)
    originals, copies = _Shard(codec, settings), _Shard(codec, settings)
    judges = _judges(task.clean, settings.judges)
    for index, clip in enumerate(task.clips):
        clip = replace(clip, source=task.source)
        row = _row(clip)
        if index in task.banned:
            originals.rows.append({**row, "status": "rejected", "reason": task.banned[index]})
            continue
        if index in task.duplicates:
            event = Event(step="duplicates", kept=False, reason=f"same recording as {task.duplicates[index]}")
            originals.rows.append({**row, "status": "dropped", "reason": event.reason, "events": [_plain(event)]})
            continue
        if task.augment is None and replace(task.clean, duplicates=False) == CleanConfig.off():
            originals.rows.append(originals.take_whole(clip, row))
            continue
        pieces = _cleaned(clip, row, task.clean, judges, codec.config.sample_rate)
        originals.rows.append(row)
        for piece in pieces:
            name = piece.name(clip.id)
            row["pieces"].append({"id": name, "start_seconds": piece.start_seconds, "seconds": piece.seconds})
            # Nobody knows which of the words are in which piece of a recording that was cut.
            part = replace(clip, id=name, text=clip.text if piece.number is None else "")
            originals.add(part, piece.samples)
            if task.augment is not None and clip.split in GROWING_SPLITS:
                copies.add_copies(part, piece.samples, task.augment)
    stem = f"{task.number:05d}"
    files = originals.files(task.source, stem)
    if task.augment is not None:
        files = {**copies.files(task.source + AUGMENTED, stem), **files}  # the original last: it ends the shard
    return Result(files=files)


def try_one(task: Task, index: int, settings: Settings) -> None:
    """All that is done to one recording but the encoding; finds out whether it ends the process."""
    one = replace(task, clips=(task.clips[index],), duplicates={}, banned={})
    if task.listen_only:
        work(one, settings)
        return
    codec = _opened(settings.codec, settings.device)
    row = _row(one.clips[0])
    for piece in _cleaned(
        one.clips[0], row, task.clean, _judges(task.clean, settings.judges), codec.config.sample_rate
    ):
        if task.augment is not None:
            augment(piece.samples, codec.config.sample_rate, task.augment, settings.seed, piece.name(one.clips[0].id))


class _Shard:
    """Collects the rows of one shard and its sounds, and encodes those of like length together."""

    def __init__(self, codec: Codec, settings: Settings) -> None:
        self.rows: list[dict[str, Any]] = []
        self._codec, self._settings = codec, settings
        self._rate = codec.config.sample_rate
        self._longest = max(settings.batch_seconds, PIECE_SECONDS)
        self._clips: list[Clip] = []
        self._samples: list[int] = []
        self._codes: dict[int, list[NDArray[np.uint16]]] = {}
        self._waiting: dict[int, NDArray[np.float32]] = {}

    def add(self, clip: Clip, samples: NDArray[np.float32]) -> None:
        """Take one clip's [T] float32 at the codec's rate."""
        place = self._placed(clip, len(samples))
        if len(samples) > self._longest * self._rate:
            self._codes[place] = _in_pieces(self._codec, iter((samples,)))[1]
            return
        self._waiting[place] = samples
        if sum(map(len, self._waiting.values())) >= WINDOW_SECONDS * self._rate:
            self._encode()

    def add_copies(self, clip: Clip, samples: NDArray[np.float32], config: AugmentConfig) -> None:
        for copy in augment(samples, self._rate, config, self._settings.seed, clip.id):
            name = f"{clip.id}+{copy.name}"
            seconds = len(copy.samples) / self._rate
            row = _row(replace(clip, id=name))
            row |= {"of": clip.id, "augmented": copy.settings, "seconds": seconds}
            row["pieces"].append({"id": name, "start_seconds": 0.0, "seconds": seconds})
            self.rows.append(row)
            speaker = f"{clip.speaker}+{copy.name}" if clip.speaker and copy.changes_voice else clip.speaker
            self.add(replace(clip, id=name, speaker=speaker, source=clip.source + AUGMENTED), copy.samples)

    def take_whole(self, clip: Clip, row: dict[str, Any]) -> dict[str, Any]:
        """Take a clip as it is, a long one without ever holding it in memory; returns the row completed."""
        samples: NDArray[np.float32] | None = None
        try:
            with AudioReader(clip.audio_source(), self._rate) as reader:
                if reader.info.seconds > self._longest:
                    count, codes = _in_pieces(self._codec, reader.blocks())
                else:
                    samples = np.concatenate(list(reader.blocks()))
                    count = len(samples)
                if not count:
                    raise ValueError(f"too short: no sample is left at {self._rate} Hz")
                row |= {"seconds": count / self._rate, "notes": list(reader.info.notes)}
        except (ValueError, OSError) as error:
            return {**row, "status": "rejected", "reason": " ".join(str(error).split())}
        if samples is None:
            self._codes[self._placed(clip, count)] = codes
        else:
            self.add(clip, samples)
        row["pieces"].append({"id": clip.id, "start_seconds": 0.0, "seconds": row["seconds"]})
        return row

    def files(self, source: str, stem: str) -> dict[str, bytes]:
        """The files of the shard: rows first, codes last."""
        self._encode()
        coded = [
            CodedClip(
                id=clip.id, text=clip.text, speaker=clip.speaker, language=clip.language, source=clip.source,
                split=clip.split, seconds=count / self._rate, codes=self._codes[place],
            )
            for place, (clip, count) in enumerate(zip(self._clips, self._samples, strict=True))
        ]  # fmt: skip
        bad = [row for row in self.rows if row["status"] == "rejected"]
        notes = {
            "clips": len(coded),
            "seconds": sum(clip.seconds for clip in coded),
            "codes": sum(len(level) for clip in coded for level in clip.codes),
            "rejected": [{key: row[key] for key in ("id", "audio", "reason")} for row in bad],
            "notes": [
                {"id": row["id"], "audio": row["audio"], "note": note} for row in self.rows for note in row["notes"]
            ],
        }
        lines = "".join(
            json.dumps(row, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(",", ":")) + "\n"
            for row in self.rows
        )
        return {
            f"{source}/clips-{stem}.jsonl": lines.encode(),
            f"{source}/codes-{stem}.parquet": shard_bytes(coded, CodesInfo.of(self._codec), notes),
        }

    def _placed(self, clip: Clip, count: int) -> int:
        self._clips.append(clip)
        self._samples.append(count)
        return len(self._clips) - 1

    def _encode(self) -> None:
        limit = round(self._settings.batch_seconds * self._rate)
        device = next(self._codec.parameters()).device
        for batch in _batches({place: len(samples) for place, samples in self._waiting.items()}, limit):
            lengths = [len(self._waiting[place]) for place in batch]
            audio = torch.zeros(len(batch), 1, max(lengths))
            for row, place in enumerate(batch):
                audio[row, 0, : lengths[row]] = torch.from_numpy(self._waiting[place])
            levels = self._codec.encode(audio.to(device), lengths=lengths)
            arrays = [level.cpu().numpy().astype(np.uint16) for level in levels]
            for row, place in enumerate(batch):
                frames = self._codec.frames(lengths[row])
                counts = [frames * count for count in self._codec.config.codes_per_frame]
                self._codes[place] = [level[row, :count].copy() for level, count in zip(arrays, counts, strict=True)]
        self._waiting.clear()


def _batches(lengths: Mapping[int, int], limit: int) -> Iterator[list[int]]:
    """Places of sounds of like length, so many that the padded batch holds `limit` samples at most."""
    batch: list[int] = []
    for place in sorted(lengths, key=lambda place: (lengths[place], place)):
        if batch and (len(batch) + 1) * lengths[place] > limit:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _in_pieces(codec: Codec, blocks: Iterator[NDArray[np.float32]]) -> tuple[int, list[NDArray[np.uint16]]]:
    pieces = list(encode_blocks(codec, blocks))
    codes = [np.concatenate(level) for level in zip(*(levels for _, levels in pieces), strict=True)]
    return sum(count for count, _ in pieces), codes


def _cleaned(clip: Clip, row: dict[str, Any], config: CleanConfig, judges: Judges, codec_rate: int) -> Sequence[Piece]:
    """The pieces of a recording that stay, at the codec's rate; completes the row but for the pieces."""
    try:
        with AudioReader(clip.audio_source()) as reader:
            samples = np.concatenate(list(reader.blocks()))
            if not len(samples):
                raise ValueError("empty: no samples")
            row |= {"seconds": len(samples) / reader.sample_rate, "notes": list(reader.info.notes)}
        cleaned = clean(samples, reader.sample_rate, clip, config, judges, codec_rate)
    except (ValueError, OSError) as error:  # whatever is wrong with a file costs that file only
        row |= {"status": "rejected", "reason": " ".join(str(error).split())}
        return ()
    row["events"] = [_plain(event) for event in cleaned.events]
    if not cleaned.pieces:
        why = [event.reason for event in cleaned.events if not event.kept]
        row |= {"status": "dropped", "reason": why[-1] if why else "nothing was left of it"}
    return cleaned.pieces


def _digest(clip: Clip, is_banned: bool) -> str:
    if is_banned:
        return ""
    try:
        with AudioReader(clip.audio_source()) as reader:
            return sample_digest(np.concatenate(list(reader.blocks())))
    except (ValueError, OSError):
        return ""  # told when its shard is made


def _row(clip: Clip) -> dict[str, Any]:
    return {
        "id": clip.id,
        "audio": clip.audio if isinstance(clip.audio, str) else "in the manifest",
        "seconds": None,
        "status": "kept",
        "reason": "",
        "events": [],
        "pieces": [],
        "notes": [],
    }


def _plain(event: Event) -> dict[str, Any]:
    values = asdict(event)
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }


@functools.lru_cache(maxsize=1)
def _opened(name: str, device: str) -> Codec:
    return codec_of(name).to(device)


@functools.lru_cache(maxsize=64)
def _judges_of(config: str, defaults: tuple[tuple[str, str], ...]) -> Judges:
    from ..strict import from_dict

    return load_judges(from_dict(CleanConfig, json.loads(config)), dict(defaults))


def _judges(config: CleanConfig, defaults: tuple[tuple[str, str], ...]) -> Judges:
    """The judges of a configuration, loaded once a process."""
    return _judges_of(json.dumps(to_dict(config), sort_keys=True), defaults)
