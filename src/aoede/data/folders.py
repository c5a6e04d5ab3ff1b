"""Many recordings at once: a folder of sound to a folder of `.snac` files and back, file by file in parallel processes.

Owns which files are taken and where they go, what is finished already, and that a bad file costs that file only. What
is done to one file is `files.py`'s business; the processes are `workers.py`'s.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from .audio import duration_words
from .ends import Damage
from .holding import clear_leftovers, holding
from .listing import SOUNDS, names_below
from .saving import FORMATS
from .workers import Done, Job, Settings, codec_of, cores, work_through

Verb = Literal["encode", "decode"]

CODES = frozenset({".snac"})

EXIT_SOME_FAILED = 3
"""Exit code of a run that is through, except for the files it lists."""


@dataclass(frozen=True, kw_only=True)
class FolderReport:
    """What became of a folder; `str()` is for a person."""

    verb: Verb
    source: str
    target: str
    num_finished_before: int
    num_left_alone: int
    """Files that are neither sound nor codes by their suffix."""

    done: Sequence[Done]
    """The files worked on now, in the order of their names."""

    work_seconds: float

    @property
    def failed(self) -> list[Done]:
        return [done for done in self.done if done.problem]

    @property
    def exit_code(self) -> int:
        """0, or 3 where files failed."""
        return EXIT_SOME_FAILED if self.failed else 0

    def __str__(self) -> str:
        good = [done for done in self.done if not done.problem]
        total = len(self.done) + self.num_finished_before
        counts = [f"{len(good):,} {self.verb}d"]
        if self.num_finished_before:
            counts.append(f"{self.num_finished_before:,} finished before")
        if self.failed:
            counts.append(f"{len(self.failed):,} failed")
        if self.num_left_alone:
            counts.append(f"{self.num_left_alone:,} other files left alone")
        lines = [f"{self.source} -> {self.target}  {total:,} files: {', '.join(counts)}"]
        seconds = sum(done.seconds for done in good)
        if seconds:
            size = sum(done.num_bytes for done in good) / 1000
            speed = seconds / max(self.work_seconds, 1e-9)
            lines.append(f"{duration_words(seconds)} of sound, {size:,.1f} kB, {speed:.1f} x faster than it plays")
        lines += [f"note: {done.source}: {note}" for done in good for note in done.notes]
        lines += [f"failed: {done.source}: {done.problem}" for done in self.failed]
        return "\n".join(lines)


def process_folder(
    verb: Verb,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    codec: str,
    *,
    suffix: str = ".wav",
    seed: int = 0,
    truncated: Damage = "refuse",
    workers: int | None = None,
    progress: bool = False,
) -> FolderReport:
    """Encode or decode every file of a folder and the folders below it.

    `a/b.flac` becomes `a/b.snac` in `target`. What was finished by an earlier run, from the same file, by the same
    codec and in the same way, is skipped: `target` keeps a journal of it. A file that cannot be used is listed with the
    reason, and the rest goes on.

    Args:
        codec: name of the codec, as `aoede.codec.load_codec` takes it; every process opens it.
        suffix: of the sound files that decoding writes.
        seed: of the decoder's noise.
        workers: processes, one thread each; None takes as many as there are CPU cores.
    Raises:
        ValueError: not a folder, nothing in it to work on, a codec that cannot be opened, another run at work there.
    """
    started = time.perf_counter()
    folder, out = Path(source), Path(target)
    if out.is_file():
        raise ValueError(f"{out}: a file; a folder is {verb}d into a folder")
    if workers is not None and workers < 1:
        raise ValueError(f"workers={workers}: at least 1")
    if verb == "decode" and suffix.lower() not in FORMATS:
        raise ValueError(f"cannot write '{suffix}'; --format is one of {', '.join(name[1:] for name in FORMATS)}")
    sources, left_alone = names_below(folder, SOUNDS if verb == "encode" else CODES)
    if not sources:
        what = "sound" if verb == "encode" else ".snac"
        raise ValueError(f"{folder}: no {what} files in it ({left_alone:,} others)")
    settings = Settings(verb=verb, codec=codec, seed=seed, truncated=truncated)
    how = _how(settings)
    out.mkdir(parents=True, exist_ok=True)
    with holding(out, f"aoede codec {verb}"):
        clear_leftovers(out)
        journal = _Journal(out / f"{verb}.jsonl")
        jobs, refused, taken = [], [], dict[Path, str]()
        finished = 0
        for name in sources:
            path = Path(name).with_suffix(".snac" if verb == "encode" else suffix)
            if path in taken:
                refused.append(Done(source=name, problem=f"{taken[path]} becomes {path} too; rename one of the two"))
                continue
            taken[path] = name
            if journal.has(folder / name, name, out / path, how):
                finished += 1
                continue
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            jobs.append(Job(name=name, source=str(folder / name), target=str(out / path)))
        done = list(refused)
        with tqdm(
            total=len(sources), initial=finished + len(refused), unit="file", desc=f"{verb[:-1]}ing",
            disable=not progress, file=sys.stderr,
        ) as bar:  # fmt: skip
            count = min(workers or cores(), max(1, len(jobs)))
            for job, outcome in work_through(jobs, settings, count):
                done.append(outcome)
                if not outcome.problem:
                    journal.add(Path(job.source), job.name, Path(job.target), how)
                bar.update()
                bar.set_postfix_str(f"{sum(bool(one.problem) for one in done)} failed", refresh=False)
    return FolderReport(
        verb=verb,
        source=os.fspath(source),
        target=os.fspath(target),
        num_finished_before=finished,
        num_left_alone=left_alone,
        done=sorted(done, key=lambda one: one.source),
        work_seconds=time.perf_counter() - started,
    )


def _how(settings: Settings) -> str:
    """Names all that an output depends on besides its source."""
    codec = codec_of(settings.codec)
    digest = hashlib.sha256(codec.fingerprint().encode())
    if settings.verb == "encode":
        digest.update(settings.truncated.encode())
    else:
        digest.update(str(settings.seed).encode())
        for value in codec.parameters():  # a decoder trained alone keeps the fingerprint and speaks otherwise
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


class _Journal:
    """What is finished: a JSON line a file, appended when the file is. docs/formats.md describes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, dict[str, Any]] = {}
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    row = json.loads(line)
                    self._rows[row["source"]] = row
                except (json.JSONDecodeError, KeyError, TypeError):
                    continue  # the last line of a run that was killed: its file is simply done again

    def has(self, source: Path, name: str, target: Path, how: str) -> bool:
        """Whether the target is there as it was written, from the source as it is now, in the same way."""
        row = self._rows.get(name)
        return row is not None and target.is_file() and row == _row(source, name, target, how)

    def add(self, source: Path, name: str, target: Path, how: str) -> None:
        line = json.dumps(_row(source, name, target, how), ensure_ascii=False) + "\n"
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write("\n" * self._is_torn() + line)  # a line that a kill cut short must not swallow this one

    def _is_torn(self) -> bool:
        if not self._path.is_file() or not self._path.stat().st_size:
            return False
        with self._path.open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            return stream.read() != b"\n"


def _row(source: Path, name: str, target: Path, how: str) -> dict[str, Any]:
    heard, written = source.stat(), target.stat()
    return {
        "source": name,
        "source_bytes": heard.st_size,
        "source_mtime_ns": heard.st_mtime_ns,
        "target": target.name,
        "target_bytes": written.st_size,
        "how": how,
    }
