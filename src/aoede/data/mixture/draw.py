"""Drawing a mixture: what is held out, what each phase takes, which row every document stands in.

Owns the guarantees of a plan: held-out documents first, then one window a phase in a shuffled order of each source, so
that no document can be drawn twice; and the refusal of what the data cannot fill. Works on arrays only, a few bytes a
document. Opens no file: `planning.py` does. That the guarantees hold is checked by other code (`check.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .chance import bits, key_of, shuffled
from .config import COPIES, MixtureConfig, PhaseConfig, sources_of
from .infill import EXTRA_IDS, can_be_rearranged, is_drawn
from .rows import best_fit

TRAIN, DEV, RELATED, OTHER_SPLIT, SPARE = range(5)
"""What a document is for: training; validation; nothing, since it shares its recording or its text with a held-out
one; nothing, since its split is not trained on; nothing, being of a dev split that has more than is asked."""


@dataclass(frozen=True, kw_only=True)
class SourceDocuments:
    """What drawing knows of a source's documents."""

    name: str
    kind: str
    lengths: NDArray[np.int32]
    """[N] ids."""

    recordings: NDArray[np.uint64]
    """[N], equal for pieces and copies of one recording."""

    texts: NDArray[np.uint64]
    """[N], equal for equal texts; 0 where there is none."""

    splits: NDArray[np.int32]
    """[N], which of `split_names`."""

    split_names: Sequence[str]
    is_span: NDArray[np.bool_]
    """[N], audio alone with both its markers."""

    language: str = ""
    sha256: dict[str, str] = field(default_factory=dict)
    """Of the packed files."""


@dataclass(frozen=True, kw_only=True)
class DrawnPhase:
    """One phase: its documents in the order of the rows."""

    config: PhaseConfig
    sources: NDArray[np.int32]
    """[D] index of each document's source."""

    documents: NDArray[np.int32]
    """[D] its number in the source."""

    starts: NDArray[np.int64]
    """[R + 1]: row r holds documents starts[r] .. starts[r + 1] - 1."""

    filled: int
    """Ids in the rows, padding not counted; more than the documents have where some are rearranged."""


def hold_out(sources: Sequence[SourceDocuments], config: MixtureConfig, used: Sequence[int]) -> list[NDArray[np.int8]]:
    """What every document of every source is for.

    Args:
        used: indices of the sources that are trained on; only they get held-out documents.
    Returns:
        [N] of TRAIN .. SPARE for each source.
    Raises:
        ValueError: a source whose recordings are all too long to be held out.
    """
    roles = [_by_split(source, config) for source in sources]
    _withhold(sources, roles, against=(OTHER_SPLIT,), among=(TRAIN, SPARE))
    for index in used:
        source, role = sources[index], roles[index]
        if config.dev.tokens == 0 or source.name.endswith(COPIES):
            continue
        own = np.flatnonzero(role == SPARE)
        candidates = own if len(own) else np.flatnonzero(role == TRAIN)
        most = None if len(own) else config.dev.max_share * float(source.lengths[candidates].sum(dtype=np.int64))
        role[_recordings(source, candidates, config, most)] = DEV
    _withhold(sources, roles, against=(DEV, SPARE), among=(TRAIN,))
    return roles


def allot(
    config: MixtureConfig, kinds: dict[str, str], available: dict[str, int], held: dict[str, str]
) -> dict[str, NDArray[np.int64]]:
    """Tokens that every phase takes of each source.

    A source that a phase names gets its share; a kind's share is divided among its other sources by the tokens that no
    phase asks of them by name.

    Args:
        kinds: source -> kind, as shares call it.
        available: source -> tokens to train on.
        held: source -> words on where its other tokens are, for the error.
    Returns:
        source -> [phases].
    Raises:
        ValueError: more is asked than there is; names every source or kind that runs out, the phase in which it does,
            what there is and what was asked.
    """
    takes = {name: np.zeros(len(config.phases), dtype=np.int64) for name in kinds}
    by_kind: dict[str, list[tuple[int, Sequence[str], int]]] = {}
    for number, phase in enumerate(config.phases):
        for share, part in phase.shares.items():
            meant, tokens = sources_of(share, phase, kinds), max(1, round(part * phase.tokens))
            if share in kinds:
                takes[share][number] += tokens
            else:
                by_kind.setdefault(share, []).append((number, meant, tokens))
    short = [
        _runs_out(name, by_phase, available[name], held[name], config)
        for name, by_phase in takes.items()
        if by_phase.sum() > available[name]
    ]
    for share, entries in by_kind.items():
        # A phase that names some sources of the kind itself has the fewest left to choose from: it comes first.
        for number, meant, tokens in sorted(entries, key=lambda entry: len(entry[1])):
            left = [max(available[name] - int(takes[name].sum()), 0) for name in meant]
            if tokens > sum(left):
                short.append(
                    f"{share} runs out in phase {config.phases[number].name}: its sources ({', '.join(meant)}) have "
                    f"{sum(left):,} tokens left of {sum(available[name] for name in meant):,} to train on, the phase "
                    f"asks for {tokens:,}; ask for {tokens - sum(left):,} tokens fewer, or add data"
                )
                break
            upto = [tokens * part // sum(left) for part in np.cumsum([0, *left]).tolist()]
            for name, before, after in zip(meant, upto[:-1], upto[1:], strict=True):
                takes[name][number] += after - before
    if short:
        raise ValueError("the data cannot fill this mixture: " + "; ".join(short))
    return takes


def draw_phases(
    sources: Sequence[SourceDocuments],
    roles: Sequence[NDArray[np.int8]],
    takes: dict[str, NDArray[np.int64]],
    config: MixtureConfig,
    num_slots: int,
) -> list[DrawnPhase]:
    """Documents of every phase and their rows.

    Each source is shuffled once; phase p takes the documents after those of phase p - 1 until all phases so far have
    what they asked for together, so that the excess is less than one document however many phases there are.

    Args:
        sources: those that are trained on; an index into them is what a drawn document carries.
    """
    windows: list[list[NDArray[np.int64]]] = []
    rearranged: list[NDArray[np.bool_]] = []
    for source, role in zip(sources, roles, strict=True):
        train = np.flatnonzero(role == TRAIN)
        order = train[shuffled(key_of("order", config.seed, source.name), len(train))]
        ends = np.cumsum(source.lengths[order], dtype=np.int64)
        upto = np.cumsum(takes[source.name])
        stops = np.where(upto > 0, np.searchsorted(ends, upto, side="left") + 1, 0)
        windows.append(np.split(order, np.minimum(stops, len(order)))[: len(config.phases)])
        able = can_be_rearranged(source.lengths, source.is_span, num_slots, config.row_tokens)
        rearranged.append(able & is_drawn(config.seed, source.name, np.arange(len(able)), config.fim_rate))
    phases = []
    for number, phase in enumerate(config.phases):
        documents = np.concatenate([window[number] for window in windows])
        owners = np.repeat(np.arange(len(sources)), [len(window[number]) for window in windows])
        lengths = np.concatenate(
            [
                source.lengths[window[number]] + EXTRA_IDS * more[window[number]]
                for source, window, more in zip(sources, windows, rearranged, strict=True)
            ]
        )
        order, starts = _into_rows(lengths, key_of("rows", config.seed, phase.name), config)
        phases.append(
            DrawnPhase(
                config=phase,
                sources=owners[order].astype(np.int32),
                documents=documents[order].astype(np.int32),
                starts=starts,
                filled=int(lengths.sum(dtype=np.int64)),
            )
        )
    return phases


def _by_split(source: SourceDocuments, config: MixtureConfig) -> NDArray[np.int8]:
    meaning = [
        TRAIN if name in config.train_splits else SPARE if name in config.dev.splits else OTHER_SPLIT
        for name in source.split_names
    ]
    return np.array(meaning, dtype=np.int8)[source.splits]


def _withhold(
    sources: Sequence[SourceDocuments],
    roles: Sequence[NDArray[np.int8]],
    against: tuple[int, ...],
    among: tuple[int, ...],
) -> None:
    """Mark the documents `among` these roles that share a recording or a text with one in the roles `against`."""
    for name in ("recordings", "texts"):
        keys = [getattr(source, name)[np.isin(role, against)] for source, role in zip(sources, roles, strict=True)]
        held = np.unique(np.concatenate(keys)) if keys else np.zeros(0, dtype=np.uint64)
        held = held[held != 0]
        if len(held) == 0:
            continue
        for source, role in zip(sources, roles, strict=True):
            role[np.isin(role, among) & np.isin(getattr(source, name), held)] = RELATED


def _recordings(
    source: SourceDocuments, candidates: NDArray[np.int64], config: MixtureConfig, most: float | None
) -> NDArray[np.int64]:
    """Whole recordings among the candidates, drawn until there are enough tokens, at most `most`."""
    if len(candidates) == 0:
        return candidates
    keys, owner = np.unique(source.recordings[candidates], return_inverse=True)
    tokens = np.bincount(owner, weights=source.lengths[candidates], minlength=len(keys)).astype(np.int64)
    # The keys are hashes: mixed with the seed they are the order of the draw, whatever the order of the documents.
    order = np.argsort(bits(key_of("dev", config.seed, source.name), keys), kind="stable")
    if most is not None:
        order = order[tokens[order] <= most]
        if len(order) == 0:
            raise ValueError(
                f"source {source.name}: its shortest recording has {tokens.min():,} tokens, but at most {most:,.0f} of "
                f"its {tokens.sum():,} may be held out (dev.max_share {config.dev.max_share:g}); raise dev.max_share, "
                "or set dev.tokens to 0"
            )
    ends = np.cumsum(tokens[order])
    count = int(np.searchsorted(ends, config.dev.tokens, side="left")) + 1
    if most is not None:
        count = min(count, int((ends <= most).sum()))
    chosen = np.zeros(len(keys), dtype=np.bool_)
    chosen[order[:count]] = True
    return candidates[chosen[owner]]


def _into_rows(
    lengths: NDArray[np.integer[Any]], key: int, config: MixtureConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Documents in the order of shuffled rows, and where each row starts."""
    if config.one_document_a_row:
        rows, num_rows = np.arange(len(lengths)), len(lengths)
    else:
        rows, num_rows = best_fit(lengths, config.row_tokens)
    place = np.empty(num_rows, dtype=np.int64)
    place[shuffled(key, num_rows)] = np.arange(num_rows)
    rows = place[rows]
    # Within a row, too, chance decides: best fit would put the long documents first.
    order = np.lexsort((bits(key_of("within", key), np.arange(len(rows))), rows))
    starts = np.zeros(num_rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=num_rows), out=starts[1:])
    return order, starts


def _runs_out(name: str, by_phase: NDArray[np.int64], has: int, words: str, config: MixtureConfig) -> str:
    upto = np.cumsum(by_phase)
    phase = config.phases[int(np.searchsorted(upto, has, side="right"))].name
    asked = ", ".join(f"{config.phases[i].name} {by_phase[i]:,}" for i in np.flatnonzero(by_phase))
    return (
        f"source {name} runs out in phase {phase}: it has {has:,} tokens to train on ({words}), the phases ask for "
        f"{upto[-1]:,} ({asked}); ask for {upto[-1] - has:,} tokens fewer, or add data"
    )
