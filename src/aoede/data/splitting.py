"""A folder of recordings into training and held-out ones, so that none is on both: `aoede data split`.

Owns what counts as the same recording, how the sides are drawn and the `manifest.jsonl` that says so. Moves and changes
no recording.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from .audio import duration_words
from .folders import EXIT_SOME_FAILED
from .listing import sound_names
from .saving import check_target, replacing
from .twins import Heard, alike, listen

By = Literal["file", "speaker", "hash"]

NAME = "manifest.jsonl"


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One sound file as the split sees it."""

    name: str
    """Path below the folder, with slashes."""

    speaker: str
    """The folder it lies in, just below the top; empty for a file at the top."""

    heard: Heard | None = None
    """None where it cannot be used."""

    problem: str = ""
    """Why it cannot be used; empty where it can."""

    @property
    def seconds(self) -> float:
        return 0.0 if self.heard is None else self.heard.seconds

    @property
    def content(self) -> str:
        """Digest of what it sounds like, whatever its container."""
        return "" if self.heard is None else self.heard.digest


@dataclass(frozen=True, kw_only=True)
class SplitReport:
    """What was split; `str()` is for a person."""

    manifest: str
    by: By
    recordings: Sequence[Recording]
    """Those in the manifest."""

    splits: Sequence[str]
    """`train` or `dev`, one a recording."""

    num_twins: int
    """Recordings that are there under another name too."""

    failed: Sequence[Recording]

    @property
    def exit_code(self) -> int:
        """0, or 3 where files were left out."""
        return EXIT_SOME_FAILED if self.failed else 0

    def __str__(self) -> str:
        lines = [f"{self.manifest}  {len(self.recordings):,} recordings, by {self.by}"]
        for split in ("train", "dev"):
            chosen = [one for one, side in zip(self.recordings, self.splits, strict=True) if side == split]
            share = len(chosen) / len(self.recordings)
            speakers = len({one.speaker for one in chosen if one.speaker})
            words = f"{len(chosen):,} recordings ({share:.1%}), {duration_words(sum(one.seconds for one in chosen))}"
            lines.append(f"  {split:<6} {words}" + (f", {speakers:,} speakers" if speakers else ""))
        if self.num_twins:
            lines.append(f"note: {self.num_twins:,} are there under another name too; each stays beside its twin")
        lines += [f"left out: {one.name}: {one.problem}" for one in self.failed]
        return "\n".join(lines)


def split_folder(
    folder: str | os.PathLike[str],
    *,
    train_ratio: float = 0.95,
    by: By = "file",
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> SplitReport:
    """Write a manifest whose column `split` says `train` or `dev`.

    The same recording is never on both sides: files of the same bytes stay together, and so do copies in another
    container, bit depth, rate, loudness or lossy format (`twins.py`), and files of the same name but for the suffix. A
    copy whose beginning was cut off is not known for one.

    Args:
        folder: of sound files, at any depth; a folder just below it names the speaker of what is in it.
        train_ratio: share of the recordings for training, above 0 and below 1; each side gets something.
        by: `file` draws recordings; `speaker` draws speakers, so that nobody is on both sides; `hash` lets each
            recording's own samples decide, so that it stays on its side whatever other recordings are added, and the
            ratio is met only about.
        seed: another seed, another draw. The same folder and seed give the same manifest, byte for byte.
        out: where to write; None is `manifest.jsonl` in the folder.
        overwrite: replace a manifest that is there.
    Raises:
        ValueError: a ratio out of range, no folder, fewer than two recordings or speakers, a manifest that is there.
    """
    root = Path(folder)
    target = root / NAME if out is None else Path(out)
    if not 0 < train_ratio < 1:
        raise ValueError(f"train_ratio is {train_ratio}; a share above 0 and below 1, such as 0.95, is expected")
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder")
    check_target(target)
    if target.exists() and not overwrite:
        raise ValueError(f"{target} is there already; --overwrite replaces it, --out FILE writes elsewhere")
    found = _listened(root, sound_names(root), progress)
    good = [one for one in found if not one.problem]
    groups = _groups(good, by)
    if len(groups) < 2:
        what = "speakers, or folders that name them" if by == "speaker" else "different recordings"
        raise ValueError(f"{root}: {len(groups)} {what} among {len(found):,} sound files; two sides need two at least")
    sides = _sides(groups, train_ratio, by, seed)
    splits = [sides[one.name] for one in good]
    with replacing(target) as temporary:
        rows = (_row(one, side, root, target) for one, side in zip(good, splits, strict=True))
        temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return SplitReport(
        manifest=os.fspath(target),
        by=by,
        recordings=good,
        splits=splits,
        num_twins=sum(len(group) for group in _groups(good, "file") if len(group) > 1),
        failed=[one for one in found if one.problem],
    )


def _listened(root: Path, names: Sequence[str], progress: bool) -> list[Recording]:
    with (
        ThreadPoolExecutor(max_workers=os.cpu_count()) as pool,
        tqdm(total=len(names), unit="file", desc="listening", disable=not progress, file=sys.stderr) as bar,
    ):
        found = []
        for one in pool.map(lambda name: _listen(root, name), names):
            found.append(one)
            bar.update()
        return found


def _listen(root: Path, name: str) -> Recording:
    parts = name.split("/")
    speaker = parts[0] if len(parts) > 1 else ""
    try:
        return Recording(name=name, speaker=speaker, heard=listen(root / name))
    except (ValueError, OSError) as error:
        return Recording(name=name, speaker=speaker, problem=" ".join(str(error).split()))


def _groups(recordings: Sequence[Recording], by: By) -> list[list[Recording]]:
    """Recordings that may not be parted: twins, and with `by` speaker whoever shares a voice with them."""
    leader = {one.name: one.name for one in recordings}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    keys: list[Callable[[Recording], str]] = [lambda one: one.content, lambda one: str(Path(one.name).with_suffix(""))]
    if by == "speaker":
        keys.append(lambda one: one.speaker)
    for key in keys:
        first: dict[str, str] = {}
        for one in recordings:
            leader[find(one.name)] = find(first.setdefault(key(one), one.name))
    for a, b in alike([one.heard for one in recordings if one.heard is not None]):
        leader[find(recordings[a].name)] = find(recordings[b].name)
    groups = defaultdict(list)
    for one in recordings:
        groups[find(one.name)].append(one)
    return list(groups.values())


def _sides(groups: Sequence[Sequence[Recording]], ratio: float, by: By, seed: int) -> dict[str, str]:
    """`train` or `dev` for every name."""
    # The key of a group is its content, so that renaming a file changes nothing.
    keyed = sorted(
        ((_number(seed, (one.content for one in group)), group) for group in groups), key=lambda pair: pair[0]
    )
    if by == "hash":
        chosen = [number < ratio for number, _ in keyed]
    else:
        wanted, taken, chosen = ratio * sum(len(group) for group in groups), 0, []
        for _, group in keyed:
            # In where that brings the count nearer to what is wanted.
            chosen.append(abs(taken + len(group) - wanted) <= abs(taken - wanted))
            taken += len(group) * chosen[-1]
    if all(chosen):
        chosen[-1] = False
    elif not any(chosen):
        chosen[0] = True
    return {
        one.name: "train" if inside else "dev"
        for inside, (_, group) in zip(chosen, keyed, strict=True)
        for one in group
    }


def _number(seed: int, contents: Iterable[str]) -> float:
    """A number in [0, 1) that belongs to the seed and the least of the contents."""
    digest = hashlib.sha256(f"{seed} {min(contents)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _row(one: Recording, split: str, root: Path, target: Path) -> dict[str, Any]:
    sound = os.path.relpath(root / one.name, target.parent).replace(os.sep, "/")
    row = {"audio": sound, "text": "", "speaker": one.speaker, "split": split, "seconds": round(one.seconds, 3)}
    return {key: value for key, value in row.items() if value != "" or key == "text"}
