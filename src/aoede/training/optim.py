"""Optimisers: AdamW or Muon behind one object, gradient clipping, and an average of the weights.

Owns which parameter is decayed and which of two optimisers moves it. Knows nothing of schedules (it is handed a factor)
nor of losses. Sources: AdamW (Loshchilov and Hutter 2019), Muon (Jordan 2024, `torch.optim.Muon`).
"""

from collections.abc import Iterator
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

    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    muon_momentum: float = 0.95

    weight_decay: float = 0.01
    """On matrices and kernels only: biases, norms, Snake's alphas and other vectors are never decayed."""

    clip: float | None = 1.0
    """Largest norm of the whole gradient; None does not clip (the norm is still reported)."""

    muon_exclude: tuple[str, ...] = ("embed", "lm_head", "codebook")
    """A parameter whose name contains one of these goes to AdamW all the same."""

    def __post_init__(self) -> None:
        if not self.lr > 0.0:
            raise ValueError(f"lr is {self.lr}, but must be above 0")
        if self.clip is not None and not self.clip > 0.0:
            raise ValueError(f"clip is {self.clip}, but must be above 0 (null does not clip)")


class Optimizer:
    """One or two torch optimisers that step together.

    `step(factor)` clips, updates with every learning rate times `factor`, and clears the gradients.
    """

    def __init__(self, module: nn.Module, config: OptimConfig) -> None:
        self.config = config
        decayed: list[Tensor] = []
        plain: list[Tensor] = []
        hidden: list[Tensor] = []
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            if parameter.numel() == max(parameter.shape, default=1):
                plain.append(parameter)  # a vector, also one that is dressed as [1, C, 1]
            elif config.kind == "muon" and _mixes(parameter) and not any(k in name for k in config.muon_exclude):
                hidden.append(parameter)
            else:
                decayed.append(parameter)
        self.parameters = decayed + plain + hidden
        if not self.parameters:
            raise ValueError("nothing to train: no parameter requires a gradient")
        groups = [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self._optimizers: list[torch.optim.Optimizer] = []
        self._flat: list[tuple[nn.Parameter, Tensor]] = []
        if decayed or plain:
            adamw = torch.optim.AdamW(
                [group for group in groups if group["params"]],
                lr=config.lr,
                betas=config.betas,
                eps=config.eps,
                fused=all(parameter.is_floating_point() for parameter in decayed + plain),
            )
            self._optimizers.append(adamw)
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
        norm = float(nn.utils.clip_grad_norm_(self.parameters, limit))
        for flat, parameter in self._flat:
            flat.grad = None if parameter.grad is None else parameter.grad.view(flat.shape)
        for optimizer, peaks in zip(self._optimizers, self._peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            optimizer.step()
        self.zero_grad()
        return norm

    def zero_grad(self) -> None:
        for parameter in (*self.parameters, *(flat for flat, _ in self._flat)):
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        return {"optimizers": [optimizer.state_dict() for optimizer in self._optimizers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Moments come from the state; learning rates and decay from the configuration (a resumed run may change them).

        Raises:
            ValueError: the state is that of another kind of optimiser.
        """
        if len(state["optimizers"]) != len(self._optimizers):
            raise ValueError(f"the checkpoint's optimiser is not of kind {self.config.kind!r}; resume with its recipe")
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, setting in zip(optimizer.param_groups, settings, strict=True):
                group.update(setting)


def _mixes(parameter: Tensor) -> bool:
    """Whether a weight mixes channels: a matrix, or a kernel that is not depthwise."""
    return parameter.ndim >= 2 and parameter.shape[0] > 1 and parameter.shape[1] > 1


class EMA:
    """Exponential moving average of a module's floating-point parameters and buffers."""

    def __init__(self, module: nn.Module, decay: float = 0.999, warmup: bool = True) -> None:
        """`warmup` lets the decay grow as (1 + n) / (10 + n) up to `decay`, so that early averages forget the start."""
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"the decay of an EMA is {decay}, but must lie in [0, 1)")
        self.decay, self.warmup, self.updates = decay, warmup, 0
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
