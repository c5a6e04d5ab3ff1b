"""Copies of weights that outlive a stream: laid out once, used by every stream that opens while the weights stay.

Owns what is kept for which module, and how a change of its weights is noticed: by torch's own count of writes, by where
they lie, and by sums over their bits, because a write through `.data` (merged adapters, averaged weights) counts
nowhere. Knows nothing of layouts. This file travels inside saved model folders.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

MOST_KEPT = 2
"""Copies a module, the ones used last: of one row and of the batch in use, mostly."""

_SPREAD = 0x1E3779B97F4A7C15
"""An odd number whose multiples spread over all 64 bits."""

Made = TypeVar("Made")

_LOCK = threading.Lock()
_kept: WeakKeyDictionary[nn.Module, OrderedDict[Hashable, tuple[Hashable, Any]]] = WeakKeyDictionary()


def laid_out(owner: nn.Module, key: Hashable, weights: Sequence[Tensor], make: Callable[[], Made]) -> Made:
    """What `make` returns, or returned when it was last called for these weights as they are now.

    Args:
        owner: copies go when it does; what is made must not hold it.
        key: what else a copy depends on, such as the number of rows.
        weights: all that `make` reads. It costs one pass over them, a tenth of what a transposed copy costs.
    """
    with _LOCK:
        now = state_of(weights)
        kept = _kept.setdefault(owner, OrderedDict())
        for other in [name for name, (state, _) in kept.items() if state != now]:
            del kept[other]
        if key not in kept:
            kept[key] = (now, make())
        kept.move_to_end(key)
        while len(kept) > MOST_KEPT:
            kept.popitem(last=False)
        made: Made = kept[key][1]
        return made


def forget(model: nn.Module) -> None:
    """Drop the copies of a model's weights, its parts' too; streams that are open keep theirs."""
    with _LOCK:
        for module in model.modules():
            _kept.pop(module, None)


def state_of(weights: Sequence[Tensor]) -> Hashable:
    """Equal while weights stay as they are: where they lie, how often they were written, and their bits."""
    sums = torch.stack([_bits(weight) for weight in weights]).tolist() if weights else []
    return tuple(
        (weight.data_ptr(), -1 if weight.is_inference() else weight._version, weight.shape, weight.dtype, total)
        for weight, total in zip(weights, sums, strict=True)
    )


def _bits(weight: Tensor) -> Tensor:
    """A sum over a weight's bits in which rows and columns count by their place, so that moved values are seen too.

    Bits are read as the widest integers that fill the rows; sums and products wrap, which loses nothing.
    """
    flat = weight.detach().reshape(-1)
    width = weight.shape[-1] * flat.element_size() if weight.ndim else flat.element_size()
    begin = int(flat.storage_offset()) * flat.element_size()
    kind = next(k for k in (torch.int64, torch.int32, torch.int16, torch.uint8) if (width | begin) % k.itemsize == 0)
    rows = flat.view(kind).view(-1, width // kind.itemsize)
    return sum(_by_place(rows.sum(dim, dtype=torch.int64)) for dim in (0, 1))  # type: ignore[return-value]


def _by_place(values: Tensor) -> Tensor:
    places = torch.arange(len(values), device=values.device) * 2 + 1
    return (values * (places * _SPREAD)).sum()
