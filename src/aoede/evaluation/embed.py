"""Embeddings: what a prior makes of a recording, one vector each, from the residual stream of any layer.

Owns the sequence that is read ([open] and the frames), the layers and the pooling. Where recordings come from and how
vectors are kept is `embeddings.py`'s; `probe.py` asks what can be read off them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aoede.generation.requests import longest_row
from aoede.models import CodecCausalLM

__all__ = ["Pool", "embed", "resolve_layer"]

Pool = Literal["mean", "last"]
"""Over all codec positions, or the last one, which has heard everything."""


def resolve_layer(model: CodecCausalLM, layer: int) -> int:
    """A layer's number: 0 is the embedding of the ids, N what layer N leaves, -1 the last.

    Raises:
        ValueError: no such layer.
    """
    count = model.config.num_hidden_layers
    found = layer + count + 1 if layer < 0 else layer
    if not 0 <= found <= count:
        raise ValueError(f"layer {layer} does not exist; 0 (the ids' embedding) .. {count}, or -1 for the last")
    return found


def embed(
    model: CodecCausalLM, frames: Sequence[Tensor], *, layer: int = -1, pool: Pool = "mean", batch_tokens: int = 4096
) -> Iterator[NDArray[np.float32]]:
    """Vectors of recordings.

    A recording is read as [open] frames. Where it is longer than the model's positions it is read in pieces, each with
    an opening marker of its own: `mean` is over all of them, `last` is the last piece's. The last layer is taken after
    the model's final norm, as the head reads it; the others as the stream leaves them.

    Args:
        frames: [F, S] int64 each, slots in the vocabulary's order.
        layer: 0 is the embedding of the ids, N what layer N leaves, -1 the last.
        batch_tokens: ids that are read at a time, padding included.
    Yields:
        [H] float32 a recording, in their order.
    Raises:
        ValueError: no such layer or pool, or a recording without frames.
    """
    if pool not in get_args(Pool):
        raise ValueError(f"pool is {pool!r}; choose one of {', '.join(get_args(Pool))}")
    layer = resolve_layer(model, layer)
    longest = longest_row(model)
    most = None if longest is None else (longest - 1) // model.vocabulary.num_slots
    waiting: list[tuple[int, Tensor]] = []
    pieces_of: list[int] = []
    results: dict[int, list[tuple[NDArray[np.float64], int]]] = {}
    told = 0

    def flush() -> None:
        for (index, _), part in zip(waiting, _pooled(model, [ids for _, ids in waiting], layer, pool), strict=True):
            results.setdefault(index, []).append(part)
        waiting.clear()

    for index, one in enumerate(frames):
        if one.ndim != 2 or not len(one):
            raise ValueError(f"recording {index} has frames of shape {list(one.shape)}; expected [F, S], F at least 1")
        pieces = one.split(most) if most else [one]
        pieces_of.append(len(pieces))
        for piece in pieces:
            ids = model.vocabulary.ids_from_frames(piece[None], open=True)[0]
            width = max([len(ids), *(len(other) for _, other in waiting)])
            if waiting and width * (len(waiting) + 1) > batch_tokens:
                flush()
            waiting.append((index, ids))
        while told < index and len(results.get(told, ())) == pieces_of[told]:
            yield _joined(results.pop(told), pool)
            told += 1
    flush()
    for index in range(told, len(pieces_of)):
        yield _joined(results.pop(index), pool)


def _pooled(
    model: CodecCausalLM, rows: Sequence[Tensor], layer: int, pool: Pool
) -> Iterator[tuple[NDArray[np.float64], int]]:
    """(vector, positions it stands for) of each row of ids; rows are padded on the right, where nobody looks."""
    if not rows:
        return
    device = model.device
    ids = torch.nn.utils.rnn.pad_sequence([row.to(device) for row in rows], batch_first=True)
    with torch.inference_mode():
        outputs = model.model(input_ids=ids, use_cache=False, output_hidden_states=True)
        hidden = outputs.hidden_states[layer].double()
        for index, row in enumerate(rows):
            part = hidden[index, 1 : len(row)] if pool == "mean" else hidden[index, len(row) - 1 : len(row)]
            yield part.mean(0).cpu().numpy(), len(row) - 1


def _joined(parts: Sequence[tuple[NDArray[np.float64], int]], pool: Pool) -> NDArray[np.float32]:
    if pool == "last":
        return parts[-1][0].astype(np.float32)
    vectors, counts = zip(*parts, strict=True)
    return np.average(np.stack(vectors), axis=0, weights=counts).astype(np.float32)
