"""Held-out documents for a language model: taken from a mixture's dev splits or from packed sources, laid in rows.

Owns which documents are measured and how they share rows. Knows nothing of models: `likelihood.py` scores the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aoede.data.mixture import MixturePlan
from aoede.data.packed import PackedFolder
from aoede.tokens import CodecVocabulary

__all__ = ["Batch", "HeldDocuments", "open_documents"]

Batch = dict[str, Tensor]
Numbers = Sequence[int] | NDArray[np.int64]

PLAN_FILE = "mixture.json"

ROW_TOKENS = 2048
"""Length of a row where no mixture says it; longer documents get longer rows."""


@dataclass(frozen=True, kw_only=True)
class HeldDocuments:
    """Documents, each with where it comes from."""

    ids: Sequence[NDArray[np.integer]]
    names: Sequence[str]
    """The id of each document in its corpus."""
    sources: Sequence[str]
    languages: Sequence[str]
    """As the corpus tells it; "unknown" where it does not."""
    vocabulary: CodecVocabulary
    row_tokens: int
    """Length of a row; a longer document has a longer one."""
    pad_id: int

    @classmethod
    def of_plan(cls, plan: MixturePlan, tokens_per_source: int | None = None) -> HeldDocuments:
        """The dev splits of a mixture: documents that none of its phases reads.

        Args:
            tokens_per_source: documents of a source in order up to so many ids (one at least); None: all.
        """
        return cls._of(plan.packed, plan.dev, tokens_per_source, plan.row_tokens)

    @classmethod
    def of_packed(
        cls, packed: PackedFolder, split: str | None = None, tokens_per_source: int | None = None
    ) -> HeldDocuments:
        """Documents of packed sources, of one split or all.

        Raises:
            ValueError: no document is of that split (names those there are).
        """
        chosen: dict[str, list[int]] = {}
        splits: set[str] = set()
        for name, dataset in packed.datasets.items():
            found = [str(value or "") for value in dataset.columns("split")["split"].to_pylist()]
            splits.update(found)
            chosen[name] = [i for i, value in enumerate(found) if split in (None, value)]
        if not any(chosen.values()):
            there = ", ".join(sorted(filter(None, splits))) or "no splits"
            raise ValueError(f"{packed.folder} has no document of split {split!r}; it has {there}")
        return cls._of(packed, chosen, tokens_per_source, ROW_TOKENS)

    @classmethod
    def _of(
        cls, packed: PackedFolder, chosen: Mapping[str, Numbers], tokens: int | None, row_tokens: int
    ) -> HeldDocuments:
        ids: list[NDArray[np.integer]] = []
        names: list[str] = []
        sources: list[str] = []
        languages: list[str] = []
        pad_id = 0
        for source, numbers in chosen.items():
            if len(numbers) == 0:
                continue
            dataset = packed.datasets[source]
            pad_id = dataset.info.pad_id
            ends = np.cumsum(dataset.lengths[np.asarray(numbers, dtype=np.int64)], dtype=np.int64)
            count = len(ends) if tokens is None else max(1, int(np.searchsorted(ends, tokens, side="right")))
            kept = [int(number) for number in numbers[:count]]
            table = dataset.columns("id", "language").take(kept)
            ids += [dataset[number] for number in kept]
            names += [str(name) for name in table["id"].to_pylist()]
            sources += [source] * len(kept)
            languages += [str(told or dataset.info.language or "unknown") for told in table["language"].to_pylist()]
        if not ids:
            raise ValueError(f"{packed.folder}: no document to measure; the mixture held none out (dev: tokens)")
        return cls(
            ids=ids, names=names, sources=sources, languages=languages, vocabulary=packed.vocabulary,
            row_tokens=row_tokens, pad_id=pad_id,
        )  # fmt: skip

    @property
    def num_tokens(self) -> int:
        return sum(len(ids) for ids in self.ids)

    def rows(self, *, one_a_row: bool = False) -> list[list[int]]:
        """Which documents share a row: in order, each row filled as far as whole documents go.

        Args:
            one_a_row: for models that cannot keep the documents of a row apart (state-space layers on a CPU).
        """
        rows: list[list[int]] = []
        room = 0
        # Longest first within the set would fill rows better; in order, a kept set gives the same rows for ever.
        for index, ids in enumerate(self.ids):
            if one_a_row or len(ids) > room:
                rows.append([])
                room = max(self.row_tokens, len(ids))
            rows[-1].append(index)
            room -= len(ids)
        return rows

    def batches(self, rows: Sequence[Sequence[int]], *, tokens: int = 16384) -> Iterator[Batch]:
        """Rows as tensors, about `tokens` ids a batch.

        Yields:
            input_ids, labels (-100 at each document's first id and at padding), position_ids (from 0 in each document)
            and document_ids (-1 at padding), all [B, L] int64.
        """
        waiting: list[Sequence[int]] = []
        longest = 0
        for row in rows:
            length = sum(len(self.ids[i]) for i in row)
            if waiting and max(longest, length) * (len(waiting) + 1) > tokens:
                yield self._batch(waiting, longest)
                waiting, longest = [], 0
            waiting.append(row)
            longest = max(longest, length)
        if waiting:
            yield self._batch(waiting, longest)

    def _batch(self, rows: Sequence[Sequence[int]], length: int) -> Batch:
        shape = (len(rows), length)
        batch = {
            "input_ids": torch.full(shape, self.pad_id), "labels": torch.full(shape, -100),
            "position_ids": torch.zeros(shape, dtype=torch.long), "document_ids": torch.full(shape, -1),
        }  # fmt: skip
        for r, row in enumerate(rows):
            at = 0
            for index in row:
                ids = torch.from_numpy(np.asarray(self.ids[index], dtype=np.int64))
                end = at + len(ids)
                batch["input_ids"][r, at:end] = ids
                batch["labels"][r, at + 1 : end] = ids[1:]
                batch["position_ids"][r, at:end] = torch.arange(len(ids))
                batch["document_ids"][r, at:end] = index
                at = end
            batch["position_ids"][r, at:] = torch.arange(length - at)
        return batch


def open_documents(
    folder: str | Path, *, split: str | None = None, tokens_per_source: int | None = None
) -> HeldDocuments:
    """The documents of a folder: the dev splits of a mixture's plan, or packed sources.

    Args:
        split: of packed sources; a plan has its own dev splits.
        tokens_per_source: see `HeldDocuments.of_plan`.
    Raises:
        ValueError: neither a plan nor packed documents, or a split of a plan.
    """
    if (Path(folder) / PLAN_FILE).is_file():
        if split is not None:
            raise ValueError(f"{folder} is a mixture's plan, which has its own dev splits: leave --split away")
        return HeldDocuments.of_plan(MixturePlan.load(folder), tokens_per_source)
    return HeldDocuments.of_packed(PackedFolder(folder), split, tokens_per_source)
