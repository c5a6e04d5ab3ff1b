"""Rows of a plan as tensors. Owns labels, positions and padding of packed rows; knows nothing of models or steps.

A batch is a pure function of the plan and the numbers of its rows, so a run that goes on at step s sees what an
uninterrupted one sees, in however many processes the rows are shared out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..collate import IGNORED
from .infill import EXTRA_IDS, LEAST_FRAMES, is_drawn, rearranged
from .plan import MixturePlan
from .rows import best_fit


class MixtureData:
    """What training reads: rows of documents, and held-out rows of every source.

    Each batch holds, [B, L] int64: `input_ids`; `labels`, equal to them (the model shifts) but -100 at every document's
    first id, which nothing before it foretells, and at padding; `position_ids`, from 0 in every document. Padding fills
    the end of a row as a document of its own.
    """

    def __init__(self, plan: MixturePlan, fim_rate: float | None = None) -> None:
        """
        Args:
            plan: its packed folder is opened.
            fim_rate: share of the recordings that are rearranged for filling in; None takes the plan's.
        Raises:
            ValueError: the documents are not those of the plan, or a rate above the plan's, whose rows leave no room
                for it.
        """
        self.plan = plan
        self.fim_rate = plan.config.fim_rate if fim_rate is None else fim_rate
        if not 0 <= self.fim_rate <= plan.config.fim_rate:
            raise ValueError(
                f"fim_rate is {self.fim_rate:g}, but the plan was drawn with {plan.config.fim_rate:g}, and its rows "
                f"have no room for more; set fim_rate: {self.fim_rate:g} in the mixture and run `aoede mix` again"
            )
        self.vocabulary = plan.packed.vocabulary
        self._datasets = [plan.dataset(source) for source in range(len(plan.sources))]
        self.pad_id: int = self._datasets[0].info.pad_id
        self._dev: dict[str, list[NDArray[np.int64]]] = {}

    def batch(self, first_row: int, num_rows: int) -> dict[str, Tensor]:
        """Rows first_row .. first_row + num_rows - 1 of the plan. With R rows a step, step s uses those from s * R on.

        Raises:
            IndexError: a row that the plan does not have.
        """
        return self._collate([self.plan.row(number) for number in range(first_row, first_row + num_rows)], True)

    def num_dev_rows(self, source: str) -> int:
        """Rows that the held-out documents of a source make."""
        return len(self._dev_rows(source))

    def dev_batch(self, source: str, first_row: int, num_rows: int) -> dict[str, Tensor]:
        """Held-out rows of one source, the same every time and never rearranged; fewer at the end.

        Raises:
            ValueError: no such source.
        """
        index = self.plan.sources.index(source) if source in self.plan.sources else -1
        rows = self._dev_rows(source)[first_row : first_row + num_rows]
        return self._collate([[(index, int(number)) for number in row] for row in rows], False)

    def _dev_rows(self, source: str) -> list[NDArray[np.int64]]:
        if source not in self.plan.dev:
            raise ValueError(f"the plan has no source {source!r}; it has {', '.join(self.plan.sources)}")
        if source not in self._dev:
            numbers = self.plan.dev[source]
            lengths = self._datasets[self.plan.sources.index(source)].lengths[numbers]
            if self.plan.config.one_document_a_row:
                rows, count = np.arange(len(numbers)), len(numbers)
            else:
                rows, count = best_fit(lengths, self.plan.row_tokens)
            order = np.argsort(rows, kind="stable")
            self._dev[source] = np.split(numbers[order], np.cumsum(np.bincount(rows, minlength=count))[:-1])
            if count == 0:
                self._dev[source] = []
        return self._dev[source]

    def _collate(self, rows: Sequence[Sequence[tuple[int, int]]], training: bool) -> dict[str, Tensor]:
        shape = (len(rows), self.plan.row_tokens)
        input_ids = np.full(shape, self.pad_id, dtype=np.int64)
        labels = np.full(shape, IGNORED, dtype=np.int64)
        position_ids = np.empty(shape, dtype=np.int64)
        for row, documents in enumerate(rows):
            at = 0
            for source, number in documents:
                ids = self._document(source, number, training)
                stop = at + len(ids)
                input_ids[row, at:stop] = ids
                labels[row, at + 1 : stop] = ids[1:]
                position_ids[row, at:stop] = np.arange(len(ids))
                at = stop
            position_ids[row, at:] = np.arange(shape[1] - at)
        arrays = {"input_ids": input_ids, "labels": labels, "position_ids": position_ids}
        return {name: torch.from_numpy(values) for name, values in arrays.items()}

    def _document(self, source: int, number: int, training: bool) -> NDArray[Any]:
        ids = self._datasets[source][number]
        config, vocabulary = self.plan.config, self.vocabulary
        if not training or self.fim_rate == 0 or len(ids) + EXTRA_IDS > config.row_tokens:
            return ids
        name = self.plan.sources[source]
        is_span = ids[0] == vocabulary.open_id and ids[-1] == vocabulary.close_id
        if not is_span or len(ids) < 2 + LEAST_FRAMES * vocabulary.num_slots:
            return ids
        if not is_drawn(config.seed, name, np.array([number]), self.fim_rate)[0]:
            return ids
        return rearranged(ids, vocabulary, config.seed, name, number)
