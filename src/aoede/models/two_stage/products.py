"""Products of few rows with a weight: what most of a decoding step is, with the weight laid out for it.

Owns the choice of a layout and the copies. A step of one row reads every weight once: on a CPU a transposed copy is
read 1.3 to 1.7 times as fast. For two rows and more oneDNN's packed layout makes eight rows cost little more than one,
where the plain product takes two to three times as long. Weights that are read together are joined, which saves calls.
Knows nothing of layers. This file travels inside saved model folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOST_COPIED = 1 << 28
"""Elements of weights that may be copied for one stage while it decodes (1 GiB in float32); larger ones are used as
they are."""


class Product:
    """x [..., in] -> [..., out], for a weight [out, in] or several beside each other."""

    def __call__(self, x: Tensor) -> Tensor:
        """The product."""
        raise NotImplementedError


class ModuleProduct(Product):
    """Through the modules themselves (adapters on them count); their results side by side."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.modules = list(modules)

    def __call__(self, x: Tensor) -> Tensor:
        parts = [module(x) for module in self.modules]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


class JoinedProduct(Product):
    """One weight [out, in], where calls are what costs."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class TurnedProduct(Product):
    """A weight as [in, out], for one row on a CPU."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias = weight.t().contiguous(), bias

    def __call__(self, x: Tensor) -> Tensor:
        made = x @ self.weight
        return made if self.bias is None else made + self.bias


class PackedProduct(Product):
    """A weight as oneDNN packs it, for several rows on a CPU."""

    def __init__(self, weight: Tensor, bias: Tensor | None, rows: int) -> None:
        self.weight: Any = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
        self.bias = bias

    @staticmethod
    def takes(weight: Tensor) -> bool:
        """Whether this build of torch packs such a weight."""
        names = ("_reorder_linear_weight", "_linear_pointwise")
        backend: Any = torch.backends.mkldnn
        packs = backend.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in names)
        return packs and weight.dtype == torch.float32

    def __call__(self, x: Tensor) -> Tensor:
        made: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return made


def of_modules(modules: Sequence[nn.Module], rows: int, *, copies: bool, packs: bool) -> Product:
    """The product of linear modules that read the same rows.

    Args:
        rows: so many at a time, mostly.
        copies: whether weights may be copied; else, or where a module is no plain `nn.Linear`, modules are called.
        packs: whether oneDNN's packed layout may be used (it cannot be compiled).
    """
    if not copies or any(type(module) is not nn.Linear for module in modules):
        return ModuleProduct(modules)
    plain: list[Any] = list(modules)
    biases = [module.bias for module in plain]
    if any((bias is None) != (biases[0] is None) for bias in biases):
        return ModuleProduct(modules)
    weight = torch.cat([module.weight.detach() for module in plain])
    return of_weight(weight, None if biases[0] is None else torch.cat(biases).detach(), rows, packs=packs)


def of_weight(weight: Tensor, bias: Tensor | None, rows: int, *, packs: bool) -> Product:
    """The product with a copy of a weight [out, in]."""
    if weight.device.type != "cpu":
        return JoinedProduct(weight, bias)
    if rows > 1 and packs and PackedProduct.takes(weight):
        return PackedProduct(weight, bias, rows)
    return TurnedProduct(weight, bias)
