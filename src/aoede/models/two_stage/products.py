"""Products of few rows with a weight: what most of a decoding step is, with the weight laid out for it.

Owns the choice of a layout and the copies. A step of one row reads every weight once: on a CPU a transposed copy is
read 1.3 to 2 times as fast, and in blocks of columns, one a thread, all threads read it: the plain product of one row
keeps to one. For two rows and more oneDNN's packed layout makes eight rows cost little more than one, where the plain
product takes two to three times as long. Weights that are read together are joined, which saves calls. Knows nothing of
layers. This file travels inside saved model folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aoede.models.two_stage.laid_out import laid_out

MOST_COPIED = 1 << 28
"""Elements of weights that may be copied for one stage while it decodes (1 GiB in float32); larger ones are used as
they are."""


class Product:
    """x [N, in] -> [N, out], for a weight [out, in] or several beside each other."""

    def __call__(self, x: Tensor) -> Tensor:
        """The product."""
        raise NotImplementedError

    def onto(self, states: Tensor, x: Tensor) -> Tensor:
        """states [N, out] + the product."""
        return states + self(x)


class ModuleProduct(Product):
    """Through the modules themselves (adapters on them count); their results side by side."""

    def __init__(self, modules: Sequence[nn.Module], gain: Tensor | None = None) -> None:
        self.modules, self.gain = list(modules), gain

    def __call__(self, x: Tensor) -> Tensor:
        x = x if self.gain is None else x * self.gain
        parts = [module(x) for module in self.modules]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)


class PlainProduct(Product):
    """One weight [in, out] where it lies."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def __call__(self, x: Tensor) -> Tensor:
        return x.mm(self.weight)


class JoinedProduct(Product):
    """One weight [out, in], where calls are what costs."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class BlockProduct(Product):
    """A weight as [in, out] in blocks of columns, one a thread: for one row on a CPU."""

    def __init__(self, turned: Tensor, bias: Tensor | None = None, *, copies: bool = True) -> None:
        """Take a weight [in, out]; without `copies` it is used where it lies, which is nearly as fast."""
        inner, outer = turned.shape
        self.blocks = torch.get_num_threads() if outer % torch.get_num_threads() == 0 else 1
        self.weight = turned.view(inner, self.blocks, outer // self.blocks).transpose(0, 1)
        if copies:
            laid = torch.empty(self.weight.shape, dtype=turned.dtype)
            for block, columns in zip(laid, self.weight, strict=True):  # torch turns two dimensions fast, three slowly
                block.copy_(columns)
            self.weight = laid
        self.inner, self.outer, self.bias = inner, outer, bias

    def __call__(self, x: Tensor) -> Tensor:
        if self.blocks == 1:
            made = x.mm(self.weight[0])
        else:
            made = torch.bmm(x.expand(self.blocks, -1, -1), self.weight)
            made = made.transpose(0, 1).reshape(len(x), self.outer)
        return made if self.bias is None else made + self.bias

    def onto(self, states: Tensor, x: Tensor) -> Tensor:
        if self.bias is not None or len(x) > 1:
            return states + self(x)
        if self.blocks == 1:
            return torch.addmm(states, x, self.weight[0])
        parts = states.view(self.blocks, 1, -1)
        return torch.baddbmm(parts, x.expand(self.blocks, -1, -1), self.weight).view(1, self.outer)


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


def of_modules(
    modules: Sequence[nn.Module],
    rows: int,
    *,
    copies: bool,
    packs: bool,
    gain: Tensor | None = None,
    scale: float = 1.0,
) -> Product:
    """The product of linear modules that read the same rows. Copies are shared by all who ask while weights stay.

    Args:
        rows: so many at a time, mostly.
        copies: whether weights may be copied; else, or where a module is no plain `nn.Linear`, modules are called.
        packs: whether oneDNN's packed layout may be used (it cannot be compiled).
        gain: [in], a norm's weight: rows are multiplied by it and by `scale` first; copies have both in them.
    """
    gain = None if gain is None else gain.detach()
    if not copies or any(type(module) is not nn.Linear for module in modules):
        return ModuleProduct(modules, None if gain is None else gain * scale)
    plain: list[Any] = list(modules)
    weights = [module.weight.detach() for module in plain]
    biases = [module.bias.detach() for module in plain if module.bias is not None]
    if len(biases) not in (0, len(plain)):
        return ModuleProduct(modules, None if gain is None else gain * scale)

    def make() -> Product:
        # Joined and multiplied in a copy; a single weight on a CPU is copied by whatever lays it out.
        is_copied = len(weights) > 1 or gain is not None or weights[0].device.type != "cpu"
        weight = torch.cat(weights) if is_copied else weights[0]
        if gain is not None:
            weight *= gain * scale
        return of_weight(weight, torch.cat(biases) if biases else None, rows, packs=packs)

    read = [*weights, *biases] if gain is None else [*weights, *biases, gain]
    return laid_out(modules[0], (rows, packs, scale, torch.get_num_threads()), read, make)


def of_weight(weight: Tensor, bias: Tensor | None, rows: int, *, packs: bool) -> Product:
    """The product with a copy of a weight [out, in]."""
    if weight.device.type != "cpu":
        return JoinedProduct(weight, bias)
    if rows > 1 and packs and PackedProduct.takes(weight):
        return PackedProduct(weight, bias, rows)
    return BlockProduct(weight.t(), bias)
