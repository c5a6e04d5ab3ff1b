"""The corpus file: which sources there are, what is known of each, and how its recordings are cleaned.

Owns `corpus.yaml` (strict, defaults of the corpus merged into every source, paths resolved beside the file). Opens no
source: `sources.py` does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..cleaning import AugmentConfig, CleanConfig
from ..strict import from_dict, read_mapping, to_dict

Kind = Literal["text", "bulk-noisy", "clean-read", "studio"]

AUGMENTED = "+aug"
"""What the name of a source gets where its augmented copies lie."""


@dataclass(frozen=True, kw_only=True)
class SelectConfig:
    """Which rows of a source are taken: those whose value is among these; None takes all."""

    source: tuple[str, ...] | None = None
    language: tuple[str, ...] | None = None
    split: tuple[str, ...] | None = None
    speaker: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ColumnsConfig:
    """Names of the columns, where they are not these."""

    audio: str = "audio"
    text: str | int | None = "text"
    """None: the recordings have no texts. A number: the column of a .tsv without a header line, counted from 1."""

    speaker: str | int = "speaker"
    language: str | int = "language"
    source: str | int = "source"
    split: str | int = "split"
    seconds: str = "seconds"
    id: str | int = "id"

    def __post_init__(self) -> None:
        for name in ("text", "speaker", "language", "source", "split", "id"):
            value = getattr(self, name)
            if isinstance(value, int) and value < 1:
                raise ValueError(f"{name} is {value}; columns are counted from 1")

    @property
    def are_numbered(self) -> bool:
        return isinstance(self.text, int)


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """One source of a corpus."""

    name: str
    """Its folder in the corpus."""

    kind: Kind
    path: str
    """Manifest, folder of sound files, text file, or Hugging Face data set; relative to the corpus file."""

    licence: str
    """Carried into the corpus as it is written; whether it allows what you do is yours to judge."""

    language: str = ""
    """Of the rows that do not say; empty where a source has several languages and its rows say which."""

    select: SelectConfig = SelectConfig()
    columns: ColumnsConfig = ColumnsConfig()
    clean: CleanConfig = field(default_factory=CleanConfig)
    augment: AugmentConfig | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.name):
            raise ValueError(f"name is {self.name!r}; it names a folder: letters, digits, '.', '_', '-', 100 at most")
        if not self.licence.strip():
            raise ValueError(f"licence of {self.name} is empty; write 'unknown' where it is not known")
        if not self.path.strip():
            raise ValueError(f"path of {self.name} is empty")
        if self.columns.are_numbered and self.kind != "text":
            raise ValueError(f"columns of {self.name} are numbered, which only text sources without a header may be")
        if self.augment is not None and not self.augment.is_on:
            object.__setattr__(self, "augment", None)  # no copies are no folder of copies


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """A corpus: its sources, the codec that encodes them, and how work is cut into pieces."""

    sources: tuple[SourceConfig, ...]
    format: Literal[1] = 1
    codec: str | None = None
    """Codec folder or hub repository; None is the bundled codec."""

    seed: int = 0
    """Of the augmentation; with a clip's id it decides what becomes of that clip."""

    clean: CleanConfig = field(default_factory=CleanConfig)
    """What the file says for all sources; merged into each of them when the file is read."""

    augment: AugmentConfig | None = None
    shard_clips: int = 512
    """Recordings a shard. A shard is one worker's work at a time, and what an interruption may cost each of them."""

    shard_documents: int = 10_000
    """Texts a shard."""

    batch_seconds: float = 10.0
    """Sound encoded at once, padding included; a CPU likes 10, a GPU 100 and more."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("a corpus without sources: list at least one under sources")
        for name in ("shard_clips", "shard_documents", "batch_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        seen: dict[str, str] = {}
        for source in self.sources:
            other = seen.setdefault(source.name.lower(), source.name)
            if other is not source.name:
                raise ValueError(f"two sources are called {other} and {source.name}; each needs a folder of its own")


def load_corpus_config(path: str | os.PathLike[str]) -> CorpusConfig:
    """Read a corpus file.

    `clean` and `augment` of the corpus are defaults: a source's own keys replace them one by one. `clean: off` stands
    for every step off, `augment: null` for no copies of this source. Paths start beside the file.

    Raises:
        ValueError: an unknown or doubled key, or a value that does not fit (names file, key and remedy).
        OSError: the file cannot be read.
    """
    file = Path(path)
    data = read_mapping(file, "corpus file")
    if data.get("clean") is False:
        data["clean"] = to_dict(CleanConfig.off())
    sources = data.get("sources")
    if isinstance(sources, list):
        data["sources"] = [_completed(one, data, file.resolve().parent) for one in sources]
    if isinstance(data.get("codec"), str):
        data["codec"] = _resolved(data["codec"], file.resolve().parent)
    # The corpus' own keys are checked before what the sources got from them: an error then names where it was written.
    ordered = {key: data[key] for key in sorted(data, key=lambda key: key == "sources")}
    config = from_dict(CorpusConfig, ordered, source=str(file))
    for source, given in zip(config.sources, sources or [], strict=True):
        if source.kind == "text" and (given.get("clean") or given.get("augment")):
            raise ValueError(f"{file}: {source.name} is text: neither cleaned nor augmented; leave those keys out")
    return config


def _completed(given: Any, corpus: Mapping[str, Any], folder: Path) -> Any:
    """A source's mapping with the corpus' defaults merged in; what is no mapping is left to the strict reader."""
    if not isinstance(given, dict):
        return given
    source = dict(given)
    if isinstance(source.get("path"), str) and source["path"].strip():
        source["path"] = _resolved(source["path"], folder)
    for key in ("clean", "augment"):
        if source.get("kind") == "text" or (key == "augment" and key in source and source[key] is None):
            continue
        own = source.get(key)
        if own is False and key == "clean":
            own = to_dict(CleanConfig.off())
        merged = _merged(corpus.get(key), own)
        if merged is not None:
            source[key] = merged
    return source


def _merged(default: Any, own: Any) -> Any:
    if isinstance(default, dict) and isinstance(own, dict):
        return {key: _merged(default.get(key), own[key]) if key in own else default[key] for key in {**default, **own}}
    return default if own is None and isinstance(default, dict) else own


def _resolved(name: str, folder: Path) -> str:
    """A path beside the corpus file as an absolute one; what is not there may be a name on a hub, or is told later."""
    path = folder / Path(name).expanduser()
    looks_like_a_hub_name = name.count("/") == 1 and name[0] not in "./~" and not Path(name).suffix
    return name if not path.exists() and (looks_like_a_hub_name or ":" in name) else os.path.normpath(path)
