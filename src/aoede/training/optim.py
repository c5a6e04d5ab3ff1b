"""Optimisers: AdamW or Muon behind one object, gradient clipping, and an average of the weights.

Owns which parameter is decayed, which of two optimisers moves it and how fast: embeddings and heads may have rates of
their own, and of those the new rows another. Knows nothing of schedules (it is handed a factor), losses or models (it
is told which parameters are embeddings). Sources: AdamW (Loshchilov and Hutter 2019), Muon (Jordan 2024,
`torch.optim.Muon`), `decoupled_lr` as Megatron-LM names it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """How the weights move."""

    kind: Literal["adamw", "muon"] = "adamw"
    """`muon`: Muon for hidden matrices and the kernels of convolutions, AdamW for all the rest (embeddings, heads,
    depthwise kernels, vectors)."""

    lr: float = 3e-4
    """Peak learning rate of AdamW."""

    muon_lr: float | None = None
    """Peak learning rate of Muon, whose updates are scaled to AdamW's size; None is `lr`."""

    decoupled_lr: float | None = None
    """Peak learning rate of embeddings and output head (Megatron's name); None is `lr`."""

    new_rows_lr: float | None = None
    """Peak learning rate of those of their rows that were added to a text model; None is that of the other rows. With
    `decoupled_lr: 0` only the new rows move."""

    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    muon_momentum: float = 0.95

    weight_decay: float = 0.01
    """On matrices and kernels only: biases, norms, Snake's alphas and other vectors are never decayed."""

    decoupled_weight_decay: float | None = None
    """On embeddings and output head; None is `weight_decay`."""

    clip: float | None = 1.0
    """Largest norm of the whole gradient; None does not clip (the norm is still reported)."""

    muon_exclude: tuple[str, ...] = ("embed", "lm_head", "codebook")
    """A parameter whose name contains one of these goes to AdamW all the same."""

    def __post_init__(self) -> None:
        if not self.lr > 0.0:
            raise ValueError(f"lr is {self.lr}, but must be above 0")
        for name in ("decoupled_lr", "new_rows_lr", "decoupled_weight_decay"):
            value = getattr(self, name)
            if value is not None and value < 0.0:
                raise ValueError(f"{name} is {value}, but must be 0 or more (null: as the rest)")
        if self.clip is not None and not self.clip > 0.0:
            raise ValueError(f"clip is {self.clip}, but must be above 0 (null does not clip)")


class Optimizer:
    """One or two torch optimisers that step together.

    `step(factor)` clips, updates with every learning rate times `factor`, and clears the gradients.
    """

    def __init__(
        self,
        module: nn.Module,
        config: OptimConfig,
        *,
        decoupled: Sequence[Tensor] = (),
        new_rows: range | None = None,
    ) -> None:
        """`decoupled` are the parameters of `module` that `decoupled_lr` moves, and `new_rows` the rows of each that
        `new_rows_lr` moves.

        Raises:
            ValueError: no parameter requires a gradient, or a rate is given for parameters or rows that nobody named.
        """
        self.config = config
        if not decoupled and any(r is not None for r in (config.decoupled_lr, config.decoupled_weight_decay)):
            raise ValueError("decoupled_lr and decoupled_weight_decay are for embeddings and heads of language models")
        if new_rows is None and config.new_rows_lr is not None:
            raise ValueError("new_rows_lr is given, but no rows are new: leave it at null")
        apart = {id(parameter) for parameter in decoupled}
        separate = config.decoupled_lr is not None or config.decoupled_weight_decay is not None
        separate |= config.new_rows_lr is not None
        decayed: list[Tensor] = []
        plain: list[Tensor] = []
        hidden: list[Tensor] = []
        rows: list[Tensor] = []
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            if separate and id(parameter) in apart:
                rows.append(parameter)
            elif parameter.numel() == max(parameter.shape, default=1):
                plain.append(parameter)  # a vector, also one that is dressed as [1, C, 1]
            elif config.kind == "muon" and _mixes(parameter) and not any(k in name for k in config.muon_exclude):
                hidden.append(parameter)
            else:
                decayed.append(parameter)
        self.parameters = decayed + plain + rows + hidden
        if not self.parameters:
            raise ValueError("nothing to train: no parameter requires a gradient")
        groups = [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        rate = config.lr if config.decoupled_lr is None else config.decoupled_lr
        decay = config.weight_decay if config.decoupled_weight_decay is None else config.decoupled_weight_decay
        self._rows = _RowRates(rows, new_rows, rate, config.new_rows_lr) if rows else None
        if self._rows is not None:
            groups.append({"params": rows, "weight_decay": decay, "lr": self._rows.rate})
        self._optimizers: list[torch.optim.Optimizer] = []
        self._flat: list[tuple[nn.Parameter, Tensor]] = []
        if decayed or plain or rows:
            adamw = torch.optim.AdamW(
                [group for group in groups if group["params"]],
                lr=config.lr,
                betas=config.betas,
                eps=config.eps,
                fused=all(parameter.is_floating_point() for parameter in decayed + plain + rows),
            )
            self._optimizers.append(adamw)
        if any(hasattr(parameter, "to_local") for parameter in hidden):
            raise ValueError("optim.kind muon needs whole matrices, which fsdp spreads: take adamw, or parallel=ddp")
        if hidden:
            # Muon orthogonalises matrices: a kernel [out, in, ...] moves as the matrix [out, in * ...] over its memory.
            self._flat = [(nn.Parameter(p.detach().view(len(p), -1)), p) for p in hidden]
            muon = torch.optim.Muon(
                [flat for flat, _ in self._flat],
                lr=config.muon_lr if config.muon_lr is not None else config.lr,
                momentum=config.muon_momentum,
                weight_decay=config.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
            self._optimizers.append(muon)
        self._peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in self._optimizers]

    def step(self, factor: float = 1.0) -> float:
        """Clip, update, clear. Returns the gradient's norm before clipping."""
        limit = self.config.clip if self.config.clip is not None else float("inf")
        total = nn.utils.clip_grad_norm_(self.parameters, limit)
        norm = float(total.full_tensor() if hasattr(total, "full_tensor") else total)  # sharded: of all processes
        for flat, parameter in self._flat:
            flat.grad = None if parameter.grad is None else parameter.grad.view(flat.shape)
        for optimizer, peaks in zip(self._optimizers, self._peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
        held = self._rows.hold() if self._rows is not None else None
        for optimizer in self._optimizers:
            optimizer.step()
        if self._rows is not None and held is not None:
            self._rows.scale(held)
        self.zero_grad()
        return norm

    def zero_grad(self) -> None:
        for parameter in (*self.parameters, *(flat for flat, _ in self._flat)):
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Moments and settings. AdamW's moments are there before the first update too (zero, as it would begin): a
        checkpoint in parts is read into what is there, which says the part of each that this process holds."""
        for optimizer in self._optimizers:
            if isinstance(optimizer, torch.optim.AdamW):
                _begin(optimizer)
        return {"optimizers": [optimizer.state_dict() for optimizer in self._optimizers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Moments come from the state; learning rates and decay from the configuration (a resumed run may change them).

        Raises:
            ValueError: the state is that of another kind of optimiser, or of one with other groups.
        """
        if len(state["optimizers"]) != len(self._optimizers):
            raise ValueError(f"the checkpoint's optimiser is not of kind {self.config.kind!r}; resume with its recipe")
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            sizes = [[len(g["params"]) for g in groups] for groups in (saved["param_groups"], optimizer.param_groups)]
            if sizes[0] != sizes[1]:
                raise ValueError(
                    f"the checkpoint's optimiser has groups of {sizes[0]} parameters, this recipe's of {sizes[1]}; "
                    "whether embeddings have rates of their own, or an adapter is trained, must stay as it was"
                )
            settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, setting in zip(optimizer.param_groups, settings, strict=True):
                group.update(setting)


@torch.no_grad()
def _begin(optimizer: torch.optim.AdamW) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if not optimizer.state[parameter]:
                counts_on = parameter.device if group["fused"] else "cpu"
                optimizer.state[parameter] = {
                    "step": torch.zeros((), dtype=torch.float32, device=counts_on),
                    "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                    "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                }


class _RowRates:
    """Rows of a parameter that move at another rate than its other rows.

    An AdamW update, decay included, is proportional to the learning rate. So the optimiser takes one rate for the whole
    parameter, and afterwards the change of some rows is scaled: that works as well on a parameter that is sharded over
    processes, and leaves the optimiser's state as everybody expects it.
    """

    def __init__(
        self, parameters: Sequence[Tensor], new: range | None, old_rate: float, new_rate: float | None
    ) -> None:
        self.parameters = parameters
        self.rate, self._ratio = old_rate, 1.0
        self._scaled = range(0)
        """The rows whose change is scaled: the new ones, or the old ones before them where those stand still."""
        if new is None or new_rate is None or new_rate == old_rate:
            return
        if not 0 <= new.start < new.stop or any(new.stop != len(p) for p in parameters):
            raise ValueError(f"the new rows {new} must be the last ones of parameters with {len(parameters[0])} rows")
        if old_rate > 0.0:
            self._scaled, self._ratio = new, new_rate / old_rate
        else:
            self.rate, self._scaled, self._ratio = new_rate, range(new.start), 0.0

    @torch.no_grad()
    def hold(self) -> list[Tensor]:
        """The scaled rows as they are before the update."""
        return [self._local(parameter).clone() for parameter in self.parameters] if len(self._scaled) else []

    @torch.no_grad()
    def scale(self, held: Sequence[Tensor]) -> None:
        """The same rows, moved from `held` by the change times the ratio."""
        for parameter, before in zip(self.parameters, held, strict=False):
            rows = self._local(parameter)
            rows.copy_(before if self._ratio == 0.0 else torch.lerp(before, rows, self._ratio))

    def _local(self, parameter: Tensor) -> Tensor:
        """This process's part of the scaled rows: a view."""
        first, values = 0, parameter
        if hasattr(parameter, "to_local"):
            from torch.distributed.tensor import DTensor
            from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

            assert isinstance(parameter, DTensor)
            _, offset = compute_local_shape_and_global_offset(
                parameter.shape, parameter.device_mesh, parameter.placements
            )
            first, values = int(offset[0]), parameter.to_local()
        stop = max(0, self._scaled.stop - first)
        return values[min(max(0, self._scaled.start - first), stop) : stop]


def _mixes(parameter: Tensor) -> bool:
    """Whether a weight mixes channels: a matrix, or a kernel that is not depthwise."""
    return parameter.ndim >= 2 and parameter.shape[0] > 1 and parameter.shape[1] > 1


class EMA:
    """Exponential moving average of a module's floating-point parameters and buffers."""

    def __init__(self, module: nn.Module, decay: float = 0.999, warmup: bool = True) -> None:
        """`warmup` lets the decay grow as (1 + n) / (10 + n) up to `decay`, so that early averages forget the start."""
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"the decay of an EMA is {decay}, but must lie in [0, 1)")
        self.decay, self.warmup = decay, warmup
        self.restart(module)

    def restart(self, module: nn.Module) -> None:
        """Begin anew from a module's weights."""
        self.updates = 0
        self._shadow = {name: tensor.detach().clone() for name, tensor in _tensors(module)}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay
        for name, tensor in _tensors(module):
            if tensor.is_floating_point():
                self._shadow[name].lerp_(tensor, 1.0 - decay)
            else:
                self._shadow[name].copy_(tensor)

    @torch.no_grad()
    def adopt(self, name: str, tensor: Tensor, rows: Tensor) -> None:
        """Takes some rows over as they are: they were set anew, and averaging them with what they were means nothing.

        Args:
            name: of the parameter; `tensor` is it, and `rows` a mask over its first dimension.
        """
        self._shadow[name][rows] = tensor[rows]

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Overwrite a module's weights by the average."""
        for name, tensor in _tensors(module):
            tensor.copy_(self._shadow[name])

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """The module holds the average inside the `with`, and its own weights again after it."""
        own = {name: tensor.detach().clone() for name, tensor in _tensors(module)}
        self.copy_to(module)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, tensor in _tensors(module):
                    tensor.copy_(own[name])

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "shadow": dict(self._shadow)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        missing = sorted(set(self._shadow) ^ set(state["shadow"]))
        if missing:
            raise ValueError(f"the averaged weights do not fit the model: {missing[0]} is in one of them only")
        self.updates = int(state["updates"])
        for name, tensor in self._shadow.items():
            tensor.copy_(state["shadow"][name])


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()
