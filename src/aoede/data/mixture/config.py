"""`mixture.yaml`: how much of each source a model sees in each phase, and what is held out of it first.

Owns the file, its checks and which sources a share means. Knows nothing of documents: `draw.py` fills it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from ..strict import from_dict, read_mapping

KIND = "kind:"
"""Before a kind, in the place of a source's name: all sources of that kind which the phase does not name itself."""

COPIES = "+aug"
"""Sources of augmented copies are called so. Their kind is called so too, that no phase takes copies unasked."""


class _Phase(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def shares(self) -> Mapping[str, float]: ...


@dataclass(frozen=True, kw_only=True)
class PhaseConfig:
    """One phase of training."""

    name: str
    tokens: int
    """How many the phase has, padding not counted."""

    shares: Mapping[str, float]
    """Source, or `kind:` and a kind -> its share of the tokens; together 1."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shares", {str(key): float(value) for key, value in self.shares.items()})
        if not self.name.strip():
            raise ValueError("a phase has an empty name")
        if self.tokens < 1:
            raise ValueError(f"phase {self.name} has {self.tokens} tokens; at least 1")
        if not self.shares:
            raise ValueError(f"phase {self.name} has no shares; give each source, or kind:<kind>, its share")
        for key, share in self.shares.items():
            if not 0 < share <= 1:
                raise ValueError(f"phase {self.name} gives {key} the share {share:g}; a share is above 0 and at most 1")
        total = math.fsum(self.shares.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of phase {self.name} add up to {total:g}; they must add up to 1")


@dataclass(frozen=True, kw_only=True)
class DevConfig:
    """What is held out of every source before anything is drawn for training."""

    tokens: int = 20_000
    """Of each source, at least, as far as `max_share` allows; 0 holds nothing out."""

    max_share: float = 0.1
    """No more than this share of a source that has no dev split of its own."""

    splits: tuple[str, ...] = ("dev", "validation")
    """Documents of these splits are never trained on. A source that has some takes its held-out documents from them;
    of any other source recordings are drawn."""

    def __post_init__(self) -> None:
        if self.tokens < 0:
            raise ValueError(f"tokens is {self.tokens}; 0 or more are held out of each source")
        if not 0 < self.max_share < 1:
            raise ValueError(f"max_share is {self.max_share:g}; it lies between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """A mixture: phases drawn without replacement from packed sources."""

    packed: str
    """Folder that `aoede pack` wrote; in a file, relative to the file."""

    row_tokens: int
    """Length of a row, padding included. No document may be longer."""

    phases: tuple[PhaseConfig, ...]
    format: Literal[1] = 1
    seed: int = 0
    one_document_a_row: bool = False
    """For models whose state leaks from document to document."""

    fim_rate: float = 0.0
    """Share of the recordings that are written prefix, suffix, middle, so that a model learns to fill in."""

    train_splits: tuple[str, ...] = ("train", "")
    """Splits that are trained on. Those that stand neither here nor in `dev.splits` (test, heldout) are left alone,
    and so is every document of the same recording or the same text, in any source."""

    dev: DevConfig = field(default_factory=DevConfig)

    def __post_init__(self) -> None:
        if self.row_tokens < 2:
            raise ValueError(f"row_tokens is {self.row_tokens}; a row has 2 at least")
        if not self.phases:
            raise ValueError("a mixture without phases: list at least one")
        names = [phase.name for phase in self.phases]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two phases are called {name}")
        if not 0 <= self.fim_rate <= 1:
            raise ValueError(f"fim_rate is {self.fim_rate:g}; it lies in 0..1")
        both = sorted(set(self.train_splits) & set(self.dev.splits))
        if both:
            raise ValueError(f"split {both[0]!r} stands in train_splits and in dev.splits; it can be on one side only")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed is {self.seed}; it is a whole number from 0 on")


def load_mixture_config(path: str | os.PathLike[str]) -> MixtureConfig:
    """Read a mixture file; `packed` is then relative to where the file lies.

    Raises:
        ValueError: an unknown or doubled key, or a value that does not fit (names file, key and remedy).
        OSError: the file cannot be read.
    """
    config = from_dict(MixtureConfig, read_mapping(Path(path), "mixture"), source=os.fspath(path))
    return replace(config, packed=os.fspath(Path(path).parent / config.packed))


def kind_in_shares(name: str, kind: str) -> str:
    """What a source's kind is called in shares: `studio`, or `studio+aug` for augmented copies."""
    return kind + COPIES if name.endswith(COPIES) else kind


def sources_of(share: str, phase: _Phase, kinds: Mapping[str, str]) -> Sequence[str]:
    """The sources that a share means.

    Args:
        kinds: source -> its kind, as `kind_in_shares` calls it.
    Raises:
        ValueError: no such source or kind (names those there are).
    """
    if not share.startswith(KIND):
        if share not in kinds:
            raise ValueError(f"phase {phase.name} names source {share!r}; there are {', '.join(kinds)}")
        return [share]
    found = [name for name, kind in kinds.items() if KIND + kind == share and name not in phase.shares]
    if not found:
        there = ", ".join(dict.fromkeys(KIND + kind for kind in kinds.values()))
        named = [name for name in phase.shares if name in kinds and KIND + kinds[name] == share]
        why = f"the phase names {', '.join(named)} itself" if named else f"there are {there}"
        raise ValueError(f"phase {phase.name} asks for {share!r}, but no source is left for it: {why}")
    return found
