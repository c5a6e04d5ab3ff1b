"""Is a plan what it claims to be? `aoede mix --check`.

Owns the questions asked of a finished plan and of the documents it was drawn from. Looks at the files alone and shares
no code with the drawing: a fault there must not hide itself here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .infill import EXTRA_IDS, can_be_rearranged, is_drawn
from .plan import MixturePlan

MOST_TOLD = 20
"""Faults that an error lists; further ones are counted."""


@dataclass(frozen=True, kw_only=True)
class PlanCheck:
    """What was found in order; `str()` is for a person."""

    phases: int
    rows: int
    documents: int
    dev_documents: int
    withheld_documents: int
    utilisation: float

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.documents:,} documents in {self.rows:,} rows of {self.phases} phases: "
                "none stands twice, none in two phases",
                f"{self.dev_documents:,} documents held out for dev and {self.withheld_documents:,} withheld: none of "
                "them, of their recordings or of their texts is trained on",
                f"no row is longer than it may be; {self.utilisation:.2%} of the rows is documents, the rest padding",
                "phases, tokens and shares are as told; the files are those that were written",
            ]
        )


def check_plan(plan: MixturePlan) -> PlanCheck:
    """Check a plan against itself and the documents it was drawn from.

    Raises:
        ValueError: anything that is not as it must be, told with the documents, rows and phases it concerns.
    """
    if plan.folder is not None:
        plan.check_bytes()
    found = list(_borders(plan))
    if not found:  # what names documents that do not exist cannot be asked more
        found = [fault for step in (_documents_once, _held_out, _rows_fit, _sums) for fault in step(plan)]
    if found:
        more = f"; and {len(found) - MOST_TOLD} more" if len(found) > MOST_TOLD else ""
        raise ValueError(f"the plan is not in order: {'; '.join(found[:MOST_TOLD])}{more}")
    return PlanCheck(
        phases=len(plan.phases),
        rows=plan.num_rows,
        documents=len(plan.array("documents")),
        dev_documents=len(plan.array("dev")),
        withheld_documents=len(plan.array("withheld")),
        utilisation=plan.utilisation,
    )


def _borders(plan: MixturePlan) -> Iterator[str]:
    """Phases follow each other without a gap, rows hold at least a document, documents exist."""
    row = 0
    for phase in plan.phases:
        if phase.first_row != row:
            yield f"phase {phase.name} begins at row {phase.first_row}, but the one before ends at {row}"
        row = phase.first_row + phase.num_rows
    if row != plan.num_rows:
        yield f"the phases have {row} rows, the plan {plan.num_rows}"
    sizes = np.diff(plan.array("rows"))
    for number in np.flatnonzero(sizes < 1)[:3]:
        yield f"row {number} has no document"
    if plan.config.one_document_a_row:
        for number in np.flatnonzero(sizes > 1)[:3]:
            yield f"row {number} has {sizes[number]} documents, but one_document_a_row is set"
    for name in ("documents", "dev", "withheld"):
        values = plan.array(name)
        for source, label in enumerate(plan.sources):
            own = values[values[:, 0] == source, 1]
            if len(own) and not 0 <= int(own.min()) <= int(own.max()) < len(plan.dataset(source)):
                yield f"{name}.npy names documents of {label} beyond the {len(plan.dataset(source)):,} there are"
        if len(values) and not 0 <= int(values[:, 0].min()) <= int(values[:, 0].max()) < len(plan.sources):
            yield f"{name}.npy names sources beyond the {len(plan.sources)} there are"


def _documents_once(plan: MixturePlan) -> Iterator[str]:
    """No document stands in two rows, and so in two phases; none is drawn and held out."""
    keys = _keys(plan.array("documents"))
    order = np.argsort(keys, kind="stable")
    twice = np.flatnonzero(np.diff(keys[order]) == 0)
    for at in twice[:3]:
        places = [int(np.searchsorted(plan.array("rows"), order[at + i], side="right")) - 1 for i in (0, 1)]
        phases = [plan.phases[plan.phase_of_row(row)].name for row in places]
        yield (
            f"{_document(plan, keys[order[at]])} stands in row {places[0]} (phase {phases[0]}) and in row {places[1]} "
            f"(phase {phases[1]})"
        )
    if len(twice) > 3:
        yield f"{len(twice)} documents stand twice in all"
    held = np.concatenate([_keys(plan.array("dev")), _keys(plan.array("withheld"))])
    if len(np.unique(held)) != len(held):
        yield "dev.npy and withheld.npy name a document twice"
    for key in np.intersect1d(keys, held)[:3]:
        yield f"{_document(plan, key)} is drawn, and held out too"


def _held_out(plan: MixturePlan) -> Iterator[str]:
    """No recording and no text on both sides; held-out splits of every source of the folder count."""
    allowed = set(plan.config.train_splits)
    held: dict[str, list[NDArray[Any]]] = {"recording": [], "text": []}
    drawn: dict[str, list[NDArray[Any]]] = {"recording": [], "text": []}
    dev_keys: dict[str, list[NDArray[Any]]] = {"recording": [], "text": []}
    test: dict[str, list[NDArray[Any]]] = {"recording": [], "text": []}
    for name, dataset in plan.packed.datasets.items():
        table = dataset.columns("split", "recording", "text")
        splits = np.array(table["split"].to_pylist(), dtype=object)
        is_test = ~np.isin(splits.astype(str), [*allowed, *plan.config.dev.splits])
        outside = ~np.isin(splits.astype(str), list(allowed))
        mine = np.zeros((2, len(dataset)), dtype=np.bool_)
        if name in plan.sources:
            source = plan.sources.index(name)
            for place, which in enumerate(("documents", "dev")):
                values = plan.array(which)
                mine[place, values[values[:, 0] == source, 1]] = True
            for split in sorted(set(splits[mine[0] & outside].tolist())):
                yield f"{name}: documents of split {split!r} are trained on"
        for column in ("recording", "text"):
            values = table[column].to_numpy()
            drawn[column].append(values[mine[0]])
            dev_keys[column].append(values[mine[1]])
            held[column].append(values[mine[1] | outside])
            test[column].append(values[is_test])
    for column in ("recording", "text"):
        for left, right, words in (
            (drawn, held, "trained on and held out"),
            (dev_keys, test, "in dev and in a split that is neither trained nor validated on"),
        ):
            shared = np.intersect1d(np.concatenate(left[column]), np.concatenate(right[column]))
            shared = shared[shared != 0]
            if len(shared):
                yield f"{len(shared)} {column}s are {words} (the first has the key {shared[0]})"


def _rows_fit(plan: MixturePlan) -> Iterator[str]:
    """No row is longer than row_tokens, and each phase is as full as it says."""
    lengths = _lengths(plan)
    rows = plan.array("rows")
    filled = np.add.reduceat(lengths, rows[:-1]) if len(lengths) else np.zeros(0, dtype=np.int64)
    for number in np.flatnonzero(filled > plan.row_tokens)[:3]:
        yield f"row {number} has {filled[number]:,} ids, a row takes {plan.row_tokens:,}"
    for phase in plan.phases:
        here = int(filled[phase.first_row : phase.first_row + phase.num_rows].sum())
        if here != phase.filled:
            yield f"phase {phase.name} has {here:,} ids in its rows, but tells of {phase.filled:,}"


def _sums(plan: MixturePlan) -> Iterator[str]:
    """Tokens and documents of each phase and source are as told, and no phase lacks what it asked for."""
    rows = plan.array("rows")
    for phase in plan.phases:
        part = plan.array("documents")[rows[phase.first_row] : rows[phase.first_row + phase.num_rows]]
        for source, name in enumerate(plan.sources):
            own = part[part[:, 0] == source, 1]
            tokens = int(plan.dataset(source).lengths[own].sum(dtype=np.int64))
            told = (phase.source_tokens[name], phase.source_documents[name])
            if (tokens, len(own)) != told:
                yield f"phase {phase.name} has {tokens:,} tokens of {name}, but tells of {told[0]:,}"
    for number, name in enumerate(plan.sources):
        longest = int(plan.dataset(number).lengths.max())
        named = [(phase, phase.shares.get(name)) for phase in plan.phases]
        if all(share is not None for _, share in named):
            asked = np.cumsum([round((share or 0) * phase.tokens) for phase, share in named])
            has = np.cumsum([phase.source_tokens[name] for phase, _ in named])
            if (has < asked).any() or (has >= asked + longest + 1).any():
                yield f"{name} has {has.tolist()} tokens up to each phase, but {asked.tolist()} were asked for"
    for name, about in plan.about.items():
        spent = sum(phase.source_tokens[name] for phase in plan.phases)
        total = about.dev_tokens + about.withheld_tokens + about.train_tokens + about.unused_tokens
        if spent != about.train_tokens or total != about.tokens:
            yield f"the tokens told of {name} do not add up"


def _lengths(plan: MixturePlan) -> NDArray[np.int64]:
    """Ids of every drawn document as it stands in its row."""
    documents = plan.array("documents")
    lengths = np.zeros(len(documents), dtype=np.int64)
    for source, name in enumerate(plan.sources):
        dataset, here = plan.dataset(source), documents[:, 0] == source
        numbers = documents[here, 1]
        own = dataset.lengths[numbers].astype(np.int64)
        if plan.config.fim_rate > 0:
            table = dataset.columns("form", "is_last")
            is_span = np.array([form == "audio" for form in table["form"].to_pylist()], dtype=np.bool_)
            is_span &= table["is_last"].to_numpy()
            able = can_be_rearranged(own, is_span[numbers], dataset.vocabulary.num_slots, plan.row_tokens)
            own = own + EXTRA_IDS * (able & is_drawn(plan.config.seed, name, numbers, plan.config.fim_rate))
        lengths[here] = own
    return lengths


def _keys(values: NDArray[Any]) -> NDArray[np.int64]:
    """One number a document: source and number."""
    keys: NDArray[np.int64] = (values[:, 0].astype(np.int64) << 32) | values[:, 1].astype(np.int64)
    return keys


def _document(plan: MixturePlan, key: int) -> str:
    return f"document {int(key) & 0xFFFFFFFF} of {plan.sources[int(key) >> 32]}"
