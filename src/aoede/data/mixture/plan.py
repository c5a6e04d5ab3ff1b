"""A plan: which document stands in which row, and what is held out. What `aoede mix` writes and training reads.

Owns the plan's files (docs/formats.md) and questions about it. The arrays are memory-mapped: a plan of millions of
documents opens at once, and every process of a run shares its pages. How it is drawn is `draw.py`'s.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..packed import PackedDataset, PackedFolder
from ..saving import replacing
from ..strict import from_dict, to_dict
from .config import MixtureConfig

FILE = "mixture.json"
"""Written last: a plan that has it is complete."""

ARRAYS = {"rows": 1, "documents": 2, "dev": 2, "withheld": 2}
"""The `.npy` files, and how many axes each has."""


@dataclass(frozen=True, kw_only=True)
class PlanPhase:
    """One phase of a plan."""

    name: str
    shares: dict[str, float]
    """As asked: source, or `kind:` and a kind, to its share."""

    tokens: int
    """Asked."""

    first_row: int
    num_rows: int
    source_tokens: dict[str, int]
    """What the documents of each source have in this phase."""

    source_documents: dict[str, int]
    filled: int
    """Ids in the rows; the rest is padding."""

    @property
    def num_tokens(self) -> int:
        """What all documents of the phase have."""
        return sum(self.source_tokens.values())

    @property
    def realised(self) -> dict[str, float]:
        """Source -> its share of the tokens as drawn."""
        return {name: tokens / self.num_tokens for name, tokens in self.source_tokens.items()}


@dataclass(frozen=True, kw_only=True)
class PlanSource:
    """What becomes of a source's documents; counts of tokens add up to all of them."""

    kind: str
    language: str
    tokens: int
    documents: int
    dev_tokens: int
    withheld_tokens: int
    """Of other splits, spare ones of a dev split, and those that share a recording or a text with a held-out one."""

    train_tokens: int
    """Drawn in some phase."""

    unused_tokens: int
    """That no phase asked for."""

    sha256: dict[str, str]
    """Of the packed files that the plan was drawn from."""


class MixturePlan:
    """A drawn mixture. Rows count through all phases; row r is the same whenever and wherever it is asked for."""

    def __init__(
        self,
        *,
        config: MixtureConfig,
        sources: Mapping[str, PlanSource],
        phases: Sequence[PlanPhase],
        arrays: Mapping[str, NDArray[Any]],
        folder: Path | None = None,
    ) -> None:
        """Use `load` or `aoede.data.mixture.make_plan`.

        Args:
            config: `packed` as it can be opened from here.
            arrays: rows [R + 1] int64, where each row's documents start; documents [D, 2] int32, source and number;
                dev [V, 2] int32; withheld [W, 3] int32, source, number and why.
        """
        self.config = config
        self.about: dict[str, PlanSource] = dict(sources)
        self.phases = tuple(phases)
        self.folder = folder
        self._arrays = dict(arrays)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names; a document's source is an index into them."""
        return tuple(self.about)

    @property
    def row_tokens(self) -> int:
        """Length of a row."""
        return self.config.row_tokens

    @property
    def num_rows(self) -> int:
        """Of all phases."""
        return len(self._arrays["rows"]) - 1

    @property
    def utilisation(self) -> float:
        """Share of the rows' ids that is no padding."""
        return sum(phase.filled for phase in self.phases) / (self.num_rows * self.row_tokens)

    def array(self, name: str) -> NDArray[Any]:
        """rows, documents, dev or withheld, as they are kept."""
        return self._arrays[name]

    def row(self, number: int) -> list[tuple[int, int]]:
        """(source index, document number) of the documents of a row, in their order.

        Raises:
            IndexError: no such row.
        """
        self._check_row(number)
        start, stop = self._arrays["rows"][number : number + 2]
        return [(source, document) for source, document in self._arrays["documents"][start:stop].tolist()]

    def phase_of_row(self, number: int) -> int:
        """Which phase a row belongs to, counted from 0; an IndexError where there is no such row."""
        self._check_row(number)
        first = [phase.first_row for phase in self.phases]
        return int(np.searchsorted(first, number, side="right")) - 1

    @cached_property
    def dev(self) -> dict[str, NDArray[np.int64]]:
        """Source -> numbers of its held-out documents, ascending; sources without any are there, too."""
        held = self._arrays["dev"]
        return {name: np.sort(held[held[:, 0] == index, 1]).astype(np.int64) for index, name in enumerate(self.sources)}

    @cached_property
    def packed(self) -> PackedFolder:
        """The folder of the documents.

        Raises:
            ValueError: it is gone, or was packed anew since.
        """
        try:
            folder = PackedFolder(self.config.packed)
        except ValueError as error:
            raise ValueError(f"{self._name}: its documents cannot be opened ({error}); give packed=DIR") from error
        for name, about in self.about.items():
            if name not in folder.names:
                raise ValueError(f"{self._name}: was drawn from source {name}, which {folder.folder} does not have")
            if folder.datasets[name].info.sha256 != about.sha256:
                raise ValueError(
                    f"{self._name}: was drawn from other documents of source {name} than {folder.folder} has now; "
                    "run `aoede mix` again"
                )
        return folder

    def dataset(self, source: int) -> PackedDataset:
        """Documents of a source, by its index."""
        return self.packed.datasets[self.sources[source]]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `rows.npy`, `documents.npy`, `dev.npy`, `withheld.npy` and, last, `mixture.json`.

        Raises:
            ValueError: the folder holds another plan.
        """
        folder = Path(folder)
        content = self._content(folder)
        if (folder / FILE).is_file():
            if (folder / FILE).read_text(encoding="utf-8") != content:
                raise ValueError(f"{folder}: holds another plan; give another --out, or delete it")
        elif folder.is_dir() and any(one.suffix not in (".npy", ".tmp", ".png") for one in folder.iterdir()):
            raise ValueError(f"{folder}: holds other files than a plan's; give another --out")
        folder.mkdir(parents=True, exist_ok=True)
        for name, values in self._arrays.items():
            with replacing(folder / f"{name}.npy") as temporary:
                temporary.write_bytes(_npy(values))
        with replacing(folder / FILE) as temporary:
            temporary.write_text(content, encoding="utf-8")

    @classmethod
    def load(cls, folder: str | os.PathLike[str], packed: str | os.PathLike[str] | None = None) -> Self:
        """Open a plan.

        Args:
            packed: where the documents are now, if they were moved.
        Raises:
            ValueError: no plan, an unfinished or damaged one.
        """
        folder = Path(folder)
        if not (folder / FILE).is_file():
            raise ValueError(f"{folder}: no {FILE}; `aoede mix MIXTURE --out {folder}` makes a plan")
        try:
            values = json.loads((folder / FILE).read_text(encoding="utf-8"))
            if values["format"] != 1:
                raise ValueError(f"{folder / FILE}: format {values['format']}; this version reads format 1")
            sources = {name: PlanSource(**one) for name, one in values["sources"].items()}
            phases = [PlanPhase(**one) for one in values["phases"]]
            mixture = values["mixture"]
            where = Path(packed) if packed is not None else folder / mixture["packed"]
            config = from_dict(MixtureConfig, {**mixture, "packed": os.fspath(where)}, source=os.fspath(folder / FILE))
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{folder / FILE}: damaged ({error!r}); run `aoede mix` again") from error
        arrays = {name: _load_array(folder / f"{name}.npy", axes) for name, axes in ARRAYS.items()}
        plan = cls(config=config, sources=sources, phases=phases, arrays=arrays, folder=folder)
        rows = arrays["rows"]
        if len(rows) == 0 or rows[0] != 0 or rows[-1] != len(arrays["documents"]) or plan.num_rows != sum(
            phase.num_rows for phase in phases
        ):  # fmt: skip
            raise ValueError(f"{folder}: damaged: its files are not of one plan; run `aoede mix` again")
        return plan

    def check_bytes(self) -> None:
        """Compare the arrays with the checksums; a ValueError names the file that differs."""
        assert self.folder is not None, "only a plan that was loaded has files"
        digests = json.loads((self.folder / FILE).read_text(encoding="utf-8"))["sha256"]
        for name in ARRAYS:
            found = hashlib.sha256((self.folder / f"{name}.npy").read_bytes()).hexdigest()
            if found != digests.get(f"{name}.npy"):
                raise ValueError(f"{self.folder / name}.npy: not what was written (its SHA-256 differs)")

    def _content(self, folder: Path) -> str:
        mixture = to_dict(self.config)
        mixture["packed"] = Path(os.path.relpath(self.config.packed, folder)).as_posix()
        values = {
            "format": 1,
            "mixture": mixture,
            "rows": self.num_rows,
            "utilisation": round(self.utilisation, 6),
            "sources": {name: asdict(one) for name, one in self.about.items()},
            "phases": [{**asdict(phase)} for phase in self.phases],
            "sha256": {
                f"{name}.npy": hashlib.sha256(_npy(values)).hexdigest() for name, values in self._arrays.items()
            },
        }
        return json.dumps(values, indent=1, ensure_ascii=False) + "\n"

    def _check_row(self, number: int) -> None:
        if not 0 <= number < self.num_rows:
            raise IndexError(f"row {number} does not exist; the plan has {self.num_rows:,}")

    @property
    def _name(self) -> str:
        return "the plan" if self.folder is None else str(self.folder)


def _npy(values: NDArray[Any]) -> bytes:
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(values), allow_pickle=False)
    return buffer.getvalue()


def _load_array(path: Path, axes: int) -> NDArray[Any]:
    try:
        # Empty arrays cannot be mapped.
        values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        try:
            values = np.load(path, allow_pickle=False)
        except (ValueError, OSError, EOFError):
            raise ValueError(f"{path}: damaged or cut short ({error}); run `aoede mix` again") from error
        if values.size:
            raise ValueError(f"{path}: damaged or cut short ({error}); run `aoede mix` again") from error
    except EOFError as error:
        raise ValueError(f"{path}: damaged: it is empty; run `aoede mix` again") from error
    if values.ndim != axes or values.dtype.kind != "i":
        raise ValueError(f"{path}: damaged: {values.dtype} {list(values.shape)}; run `aoede mix` again")
    return values
