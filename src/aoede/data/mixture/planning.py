"""From packed documents and a mixture to a plan: `make_plan`, the work of `aoede mix`.

Owns the reading of what drawing needs from the packed files, and the sums of what was drawn. The drawing itself is
`draw.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..packed import PackedDataset, PackedFolder
from .config import MixtureConfig, kind_in_shares, sources_of
from .draw import DEV, TRAIN, DrawnPhase, SourceDocuments, allot, draw_phases, hold_out
from .plan import MixturePlan, PlanPhase, PlanSource


def make_plan(config: MixtureConfig) -> MixturePlan:
    """Draw a mixture.

    Args:
        config: `packed` is opened as it stands.
    Raises:
        ValueError: an unknown source or kind, documents longer than a row, or more asked for than there is (names what
            runs out, what it has and what was asked).
    """
    folder = PackedFolder(config.packed)
    sources = [read_documents(name, dataset) for name, dataset in folder.datasets.items()]
    return plan_of(sources, config, folder.vocabulary.num_slots)


def read_documents(name: str, dataset: PackedDataset) -> SourceDocuments:
    """What drawing needs to know of a source's documents."""
    import pyarrow.compute as pc  # type: ignore[import-untyped]

    table = dataset.columns("form", "split", "is_last", "recording", "text")
    splits = pc.dictionary_encode(table["split"]).combine_chunks()
    is_span = pc.and_(pc.equal(table["form"], "audio"), table["is_last"])
    return SourceDocuments(
        name=name,
        kind=dataset.info.kind,
        lengths=dataset.lengths,
        recordings=table["recording"].to_numpy(),
        texts=table["text"].to_numpy(),
        splits=splits.indices.to_numpy().astype(np.int32),
        split_names=tuple(splits.dictionary.to_pylist()),
        is_span=is_span.to_numpy(),
        language=dataset.info.language,
        sha256=dataset.info.sha256,
    )


def plan_of(sources: Sequence[SourceDocuments], config: MixtureConfig, num_slots: int) -> MixturePlan:
    """A plan of documents that are known already; errors as `make_plan`.

    Args:
        sources: all of the folder: those that are not trained on hold out recordings and texts of the others, too.
        num_slots: codes a frame.
    """
    kinds = {source.name: kind_in_shares(source.name, source.kind) for source in sources}
    wanted = {name for phase in config.phases for share in phase.shares for name in sources_of(share, phase, kinds)}
    used = [index for index, source in enumerate(sources) if source.name in wanted]
    _check_lengths([sources[index] for index in used], config)
    roles = hold_out(sources, config, used)
    trained = [sources[index] for index in used]
    roles = [roles[index] for index in used]
    tokens = {
        source.name: np.bincount(role, weights=source.lengths, minlength=5).astype(np.int64)
        for source, role in zip(trained, roles, strict=True)
    }
    takes = allot(
        config,
        {source.name: kinds[source.name] for source in trained},
        {name: int(counts[TRAIN]) for name, counts in tokens.items()},
        {name: _held_words(counts) for name, counts in tokens.items()},
    )
    drawn = draw_phases(trained, roles, takes, config, num_slots)
    phases, first_row = [], 0
    for phase in drawn:
        phases.append(_phase(phase, trained, first_row))
        first_row += phases[-1].num_rows
    about = {}
    for source, role in zip(trained, roles, strict=True):
        counts = tokens[source.name]
        spent = sum(phase.source_tokens[source.name] for phase in phases)
        about[source.name] = PlanSource(
            kind=source.kind,
            language=source.language,
            tokens=int(counts.sum()),
            documents=len(role),
            dev_tokens=int(counts[DEV]),
            withheld_tokens=int(counts[DEV + 1 :].sum()),
            train_tokens=spent,
            unused_tokens=int(counts[TRAIN]) - spent,
            sha256=source.sha256,
        )
    return MixturePlan(config=config, sources=about, phases=phases, arrays=_arrays(drawn, roles))


def _arrays(drawn: Sequence[DrawnPhase], roles: Sequence[NDArray[np.int8]]) -> dict[str, NDArray[Any]]:
    before = np.cumsum([0, *(len(phase.documents) for phase in drawn)])
    rows = [phase.starts[:-1] + start for phase, start in zip(drawn, before, strict=False)]
    held = [np.flatnonzero(role != TRAIN) for role in roles]
    why = np.concatenate([role[numbers] for role, numbers in zip(roles, held, strict=True)])
    owners = np.repeat(np.arange(len(roles)), [len(numbers) for numbers in held])
    listed = np.stack([owners, np.concatenate(held), why], axis=1).astype(np.int32)
    return {
        "rows": np.concatenate([*rows, before[-1:]]).astype(np.int64),
        "documents": np.concatenate([np.stack([phase.sources, phase.documents], axis=1) for phase in drawn]),
        "dev": listed[why == DEV, :2],
        "withheld": listed[why != DEV],
    }


def _phase(drawn: DrawnPhase, sources: Sequence[SourceDocuments], first_row: int) -> PlanPhase:
    tokens, documents = {}, {}
    for index, source in enumerate(sources):
        own = drawn.documents[drawn.sources == index]
        tokens[source.name] = int(source.lengths[own].sum(dtype=np.int64))
        documents[source.name] = len(own)
    return PlanPhase(
        name=drawn.config.name,
        shares=dict(drawn.config.shares),
        tokens=drawn.config.tokens,
        first_row=first_row,
        num_rows=len(drawn.starts) - 1,
        source_tokens=tokens,
        source_documents=documents,
        filled=drawn.filled,
    )


def _check_lengths(sources: Sequence[SourceDocuments], config: MixtureConfig) -> None:
    for source in sources:
        if len(source.lengths) and int(source.lengths.max()) > config.row_tokens:
            raise ValueError(
                f"source {source.name} has a document of {source.lengths.max():,} tokens "
                f"({int((source.lengths > config.row_tokens).sum()):,} are longer than a row), but row_tokens is "
                f"{config.row_tokens:,}; pack with --max-tokens {config.row_tokens}, or make the rows longer"
            )


def _held_words(counts: NDArray[np.int64]) -> str:
    return f"of {counts.sum():,}; {counts[DEV]:,} held out for dev, {counts[DEV + 1 :].sum():,} withheld"
