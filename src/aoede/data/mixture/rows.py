"""Whole documents into rows of a fixed length: best fit, longest first.

Owns the packing of lengths into rows. Documents of the same length are placed together, so that the work grows with the
lengths there are and not with the documents: millions take seconds. Knows nothing of ids or sources. The idea of
packing whole documents by best fit: Ding et al. 2024, "Fewer truncations improve language modeling".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def best_fit(lengths: NDArray[np.integer[Any]], row_tokens: int) -> tuple[NDArray[np.int64], int]:
    """Place documents into as few rows as best-fit-decreasing finds.

    Args:
        lengths: [D], each 1 .. row_tokens.
    Returns:
        row of each document [D], and the number of rows.
    Raises:
        ValueError: a document that no row can hold.
    """
    count = len(lengths)
    rows = np.empty(count, dtype=np.int64)
    if count == 0:
        return rows, 0
    if int(lengths.max()) > row_tokens or int(lengths.min()) < 1:
        raise ValueError(f"lengths lie in {lengths.min()}..{lengths.max()}; a row takes 1..{row_tokens}")
    order = np.argsort(-lengths.astype(np.int64), kind="stable")
    values, starts = np.unique(-lengths[order].astype(np.int64), return_index=True)
    stops = np.append(starts[1:], count)
    # Rows begun so far by the room that is left in them: stacks of arrays of row numbers, and how many rows in each.
    stacks: list[list[NDArray[np.int64]]] = [[] for _ in range(row_tokens + 1)]
    open_rows = np.zeros(row_tokens + 1, dtype=np.int64)
    num_rows = 0
    for length, start, stop in zip((-values).tolist(), starts.tolist(), stops.tolist(), strict=True):
        documents = order[start:stop]
        while len(documents):
            fitting = np.flatnonzero(open_rows[length:])
            if len(fitting):
                room = length + int(fitting[0])
                taken = stacks[room].pop()
                if len(taken) > len(documents):
                    stacks[room].append(taken[len(documents) :])
                    taken = taken[: len(documents)]
                open_rows[room] -= len(taken)
                rows[documents[: len(taken)]] = taken
                documents = documents[len(taken) :]
                _put(stacks, open_rows, room - length, taken)
                continue
            # Nothing begun has room: new rows, each filled with as many of this length as it takes.
            each = row_tokens // length
            new = -(-len(documents) // each)
            numbers = num_rows + np.arange(len(documents)) // each
            rows[documents] = numbers
            full = np.arange(num_rows, num_rows + new - 1, dtype=np.int64)
            _put(stacks, open_rows, row_tokens - each * length, full)
            last = len(documents) - each * (new - 1)
            _put(stacks, open_rows, row_tokens - last * length, np.array([num_rows + new - 1], dtype=np.int64))
            num_rows += new
            break
    return rows, num_rows


def _put(
    stacks: list[list[NDArray[np.int64]]], open_rows: NDArray[np.int64], room: int, rows: NDArray[np.int64]
) -> None:
    if len(rows) and room:
        stacks[room].append(rows)
        open_rows[room] += len(rows)
