"""From a corpus file to a corpus folder: `prepare_corpus`, the work of `aoede prepare corpus.yaml OUT`.

Owns the order of work (plan, texts, listening for duplicates, shards, reports) and what is left to do after an
interruption. What a shard holds is decided by the corpus file and the sources alone: not by the engine, the number of
workers or where a run was killed. What is done to a recording is `work.py`'s, where it is done `local.py`'s and
`ray_engine.py`'s.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..cleaning import load_judges, write_report
from ..codes import REPORT, CodesInfo, read_shard_metadata
from ..holding import clear_leftovers, holding
from ..inspection import bundled_codec, open_codec
from ..manifest import Clip
from ..workers import cores
from .config import AUGMENTED, CorpusConfig, SourceConfig
from .folder import SourceInfo, source_rows
from .journal import Journal
from .local import run_here, run_local
from .plan import hold_to_plan, plan_of, recordings_plan, texts_plan
from .ray_engine import check_ray, run_ray
from .sources import source_clips
from .summary import CorpusSummary, report_corpus, report_recordings, report_texts
from .texts import TextSurvey, survey_texts, text_shard_bytes, text_shards
from .work import Result, Settings, Task

if TYPE_CHECKING:
    from tqdm import tqdm

Engine = Literal["local", "ray"]

KEPT_CLIPS = 500_000
"""Recordings of which the list is kept in memory; beyond that a source is listed again when its turn comes."""


def prepare_corpus(
    config: CorpusConfig,
    out: str | os.PathLike[str],
    *,
    engine: Engine = "local",
    workers: int | None = None,
    device: str = "cpu",
    judges: Mapping[str, str] | None = None,
    progress: bool = False,
) -> CorpusSummary:
    """Clean and encode all sources of a corpus into `out`; the same call goes on after an interruption.

    Args:
        config: from `load_corpus_config`.
        out: folder to make or to go on with.
        engine: worker processes of this machine, or a Ray cluster. Both give the same bytes.
        workers: processes or actors, one thread each; None takes as many as there are CPU cores. 0 works in this
            process (local engine only), where a file that makes a decoder crash ends the run.
        device: of the encoding; every worker opens the codec there.
        judges: step to `module:callable`, for the steps of the cleaning that need a judge and do not name one.
        progress: bars on stderr.
    Raises:
        ValueError: a source that cannot be listed, a folder begun with another plan or being written by another
            process, a judge or an engine that cannot be had.
    """
    started = time.perf_counter()
    if workers is not None and workers < (1 if engine == "ray" else 0):
        raise ValueError(f"workers={workers}: at least 1" + ", or 0 for this process alone" * (engine == "local"))
    if engine == "ray":
        check_ray()
    elif engine != "local":
        raise ValueError(f"engine is {engine!r}; it is local or ray")
    name = str(bundled_codec()) if config.codec is None else config.codec
    recordings = [source for source in config.sources if source.kind != "text"]
    info = CodesInfo.of(open_codec(name)) if recordings else None
    for clean in {str(source.clean): source.clean for source in recordings}.values():
        load_judges(clean, judges)  # a judge that is missing is told before hours of work
    listing = _Listing()
    surveys = {source.name: survey_texts(source) for source in config.sources if source.kind == "text"}
    plans = [
        texts_plan(source, surveys[source.name])
        if source.kind == "text"
        else recordings_plan(source, listing.of(source))
        for source in config.sources
    ]
    settings = Settings(
        codec=name,
        batch_seconds=config.batch_seconds,
        seed=config.seed,
        device=device,
        judges=tuple(sorted((judges or {}).items())),
    )
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with holding(folder, "aoede prepare"):
        hold_to_plan(folder, plan_of(config, info, plans))
        clear_leftovers(folder)
        run = _Run(config, folder, settings, engine, workers, listing, {told["name"]: told["rows"] for told in plans})
        new = run.missing()
        for place in {folder, *((folder / file).parent for file in new)} if new else ():
            (place / REPORT).unlink(missing_ok=True)  # it would call the folder finished
        run.texts(surveys)
        run.recordings(progress)
        run.journal.finish(run.expected)
        sources = run.sources()
        summaries = [
            report_texts(one, surveys[one.name]) if one.name in surveys else report_recordings(one) for one in sources
        ]
        heard = [one for one in sources if one.name not in surveys]
        cleaning = write_report(folder, heard, lambda source: source_rows(folder / source)) if heard else {}
        report_corpus(folder, summaries, cleaning)
        codes = [folder / file for file in new if file.endswith(".parquet") and "/codes-" in file]
        return CorpusSummary(
            folder=os.fspath(out),
            sources=tuple(summaries),
            num_shards=sum(file.endswith(".parquet") for file in run.files),
            num_bytes=sum((folder / file).stat().st_size for file in run.files),
            new_seconds=sum(read_shard_metadata(path)[1]["seconds"] for path in codes),
            new_shards=sum(file.endswith(".parquet") for file in new),
            work_seconds=time.perf_counter() - started,
        )


class _Listing:
    """The recordings of the sources, kept while they are few."""

    def __init__(self) -> None:
        self._kept: dict[str, list[Clip]] = {}

    def of(self, source: SourceConfig) -> list[Clip]:
        if source.name in self._kept:
            return self._kept[source.name]
        clips = source_clips(source)
        if sum(map(len, self._kept.values())) + len(clips) <= KEPT_CLIPS:
            self._kept[source.name] = clips
        return clips


class _Run:
    """One run over a held folder."""

    def __init__(
        self,
        config: CorpusConfig,
        folder: Path,
        settings: Settings,
        engine: Engine,
        workers: int | None,
        listing: _Listing,
        rows: Mapping[str, int],
    ) -> None:
        self._config, self._folder, self._settings = config, folder, settings
        self._engine, self._workers = engine, workers
        self._listing, self._rows = listing, rows
        self.journal = Journal(folder)
        self.files = {file: None for source in config.sources for shard in self._shards(source) for file in shard}
        """Every file that the corpus will hold besides plan and reports, in order."""

    def expected(self, file: str) -> bool:
        return file in self.files

    def missing(self) -> list[str]:
        return [file for file in self.files if not self.journal.has(file)]

    def sources(self) -> list[SourceInfo]:
        infos = []
        for source in self._config.sources:
            told: dict[str, Any] = {"kind": source.kind, "language": source.language, "licence": source.licence}
            infos.append(SourceInfo(name=source.name, folder=self._folder / source.name, **told))
            if source.augment is not None:
                copies = source.name + AUGMENTED
                infos.append(SourceInfo(name=copies, folder=self._folder / copies, augments=source.name, **told))
        return infos

    def texts(self, surveys: Mapping[str, TextSurvey]) -> None:
        """Write the shards of the text sources that are not there."""
        for source in self._config.sources:
            names = [shard[0] for shard in self._shards(source)]
            if source.name not in surveys or all(map(self.journal.has, names)):
                continue
            for file, documents in zip(names, text_shards(source, self._config.shard_documents), strict=True):
                if not self.journal.has(file):
                    self.journal.write(file, text_shard_bytes(documents))

    def recordings(self, progress: bool) -> None:
        """Make the shards of the sources of recordings that are not there."""
        sources = [source for source in self._config.sources if source.kind != "text"]
        todo = {
            source.name: [n for n, shard in enumerate(self._shards(source)) if not all(map(self.journal.has, shard))]
            for source in sources
        }
        if not any(todo.values()):
            return
        self._listen([source for source in sources if source.clean.duplicates], progress)
        duplicates = self._duplicates([source for source in sources if source.clean.duplicates])
        tasks = (
            Task(
                source=source.name,
                number=number,
                clips=clips,
                clean=source.clean,
                augment=source.augment,
                duplicates=duplicates.get((source.name, number), {}),
            )
            for source in sources
            for number, clips in self._parts(source, todo[source.name])
        )
        total = sum(self._rows[source.name] for source in sources)
        left = sum(self._size(source, number) for source in sources for number in todo[source.name])
        with _bar("encoding", total, total - left, progress) as bar:
            for task, result in self._work(tasks):
                for file, content in result.files.items():
                    self.journal.write(file, content)
                bar.update(len(task.clips))
                bar.set_postfix_str(task.source, refresh=False)

    def _listen(self, sources: list[SourceConfig], progress: bool) -> None:
        """Hear every recording once, to know those that are the same."""
        todo = {
            source.name: [n for n in range(len(self._shards(source))) if self.journal.digests(source.name, n) is None]
            for source in sources
        }
        tasks = (
            Task(source=source.name, number=number, clips=clips, clean=source.clean, listen_only=True)
            for source in sources
            for number, clips in self._parts(source, todo[source.name])
        )
        total = sum(self._rows[source.name] for source in sources)
        left = sum(self._size(source, number) for source in sources for number in todo[source.name])
        if not left:
            return
        with _bar("listening for duplicates", total, total - left, progress) as bar:
            for task, result in self._work(tasks):
                self.journal.keep_digests(task.source, task.number, list(result.digests))
                bar.update(len(task.clips))

    def _duplicates(self, sources: list[SourceConfig]) -> dict[tuple[str, int], dict[int, str]]:
        """Source and shard to the clips that were heard before, and where."""
        first: dict[str, str] = {}
        found: dict[tuple[str, int], dict[int, str]] = {}
        for source in sources:
            for number, clips in self._parts(source, list(range(len(self._shards(source))))):
                digests = self.journal.digests(source.name, number) or []
                for index, (clip, digest) in enumerate(zip(clips, digests, strict=True)):
                    name = f"{source.name}/{clip.id}"
                    if digest and first.setdefault(digest, name) != name:
                        found.setdefault((source.name, number), {})[index] = first[digest]
        return found

    def _parts(self, source: SourceConfig, numbers: list[int]) -> Iterator[tuple[int, tuple[Clip, ...]]]:
        """The recordings of these shards."""
        if not numbers:
            return
        size, clips = self._config.shard_clips, self._listing.of(source)
        for number in numbers:
            yield number, tuple(clips[number * size : (number + 1) * size])

    def _size(self, source: SourceConfig, number: int) -> int:
        size = self._config.shard_clips
        return min(size, self._rows[source.name] - number * size)

    def _shards(self, source: SourceConfig) -> list[list[str]]:
        """The files of every shard of a source."""
        rows = self._rows[source.name]
        if source.kind == "text":
            count = -(-rows // self._config.shard_documents)
            return [[f"{source.name}/text-{number:05d}.parquet"] for number in range(count)]
        folders = [source.name] + ([source.name + AUGMENTED] if source.augment is not None else [])
        kinds = ("clips-{:05d}.jsonl", "codes-{:05d}.parquet")
        count = -(-rows // self._config.shard_clips)
        return [
            [f"{place}/{kind.format(n)}" for place, kind in itertools.product(folders, kinds)] for n in range(count)
        ]

    def _work(self, tasks: Iterator[Task]) -> Iterator[tuple[Task, Result]]:
        if self._engine == "ray":
            return run_ray(tasks, self._settings, self._workers)
        if self._workers == 0:
            return run_here(tasks, self._settings)
        return run_local(tasks, self._settings, self._workers or cores())


def _bar(what: str, total: int, initial: int, on: bool) -> tqdm[Any]:
    from tqdm import tqdm

    return tqdm(total=total, initial=initial, unit="clip", desc=what, disable=not on, file=sys.stderr)
