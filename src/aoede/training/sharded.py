"""One model on many processes: whole on each of them (`ddp`), or its weights spread over them (`fsdp`).

Owns how a model is spread, how its gradients meet and how it is put together again. Knows nothing of data, losses or
files (`dcp.py` has those). What an objective does, in every process, inside `distributed.group`:

    parallel = parallelise(model, recipe.parallel, device)      # before the optimiser: it replaces the parameters
    optimizer = Optimizer(model, recipe.optim)                  # name parameters (decoupled=...) after parallelise too
    items = parallel.items(trained_here)                        # trained positions of this rank's part of the update
    for batch in parts:
        model(**batch, num_items_in_batch=items).loss.backward()
    parallel.reduce(optimizer.parameters)                       # once, after the last backward pass
    optimizer.step(factor)

`state_dict` and `load_state_dict` stay as they are ({"model": model.state_dict(), "optimizer": ...}). Set
`objective.is_sharded = parallel.is_sharded`: the loop then calls `export` on every rank, which begins with
`whole = whole_state(model)` (rank 0 gets it, the others None). Under fsdp every rank must call the model equally often,
in evaluation too. Source: FSDP2, `torch.distributed.fsdp.fully_shard` (Zhao et al. 2023 is its predecessor).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from aoede.training import distributed

Kind = Literal["none", "ddp", "fsdp"]

FORWARD_METHODS = ("hidden_states", "routed_logits", "log_probs")
"""Methods of `CodecCausalLM` beside `forward` that read weights: the weights are gathered for them too."""


@dataclass(frozen=True)
class Parallel:
    """How a model was spread; what a step needs to know of it."""

    kind: Kind
    """What is really done: "none" in a process alone, whatever was asked for."""

    @property
    def is_sharded(self) -> bool:
        """Whether parameters are `DTensor`s, of which this process holds a part."""
        return self.kind == "fsdp"

    def items(self, trained: int) -> float:
        """What to divide this rank's sum of losses by: the trained positions of all ranks over the number of ranks. The
        mean of the ranks' losses (and gradients) is then the mean over all trained positions.

        Args:
            trained: positions that this rank trains in this update, over all its parts.
        """
        total = distributed.sum_values({"items": trained})["items"]
        return max(1.0, total) / distributed.world_size()

    def reduce(self, parameters: Iterable[Tensor]) -> None:
        """Makes every gradient the mean over the ranks. Under fsdp each backward pass has done it already."""
        if self.kind == "ddp":
            distributed.average_gradients(parameters)


def parallelise(
    model: nn.Module,
    kind: Kind,
    device: torch.device,
    *,
    shard_size: int | None = None,
    gather_dtype: torch.dtype | None = None,
) -> Parallel:
    """Moves a model to its device and spreads it over the processes of the group, in place.

    Every rank brings the same model (the same seed, or the same folder); the weights of rank 0 count.

    Args:
        kind: "ddp": every process has the whole model and optimiser; gradients are averaged. "fsdp": every process has
            a part of each weight, of its gradient and of its moments; layers are put together when they are needed.
        shard_size: of "fsdp": processes that share one copy of the weights, 8 say where 8 GPUs of each machine do and
            machines only exchange gradients; None is all of them.
        gather_dtype: of "fsdp": the type in which weights travel and compute (bfloat16 halves the traffic; the
            optimiser's weights and the gradients' sums stay as they are). None: as they are.
    Raises:
        ValueError: several processes and kind "none", or a shard size that does not divide them.
    """
    processes = distributed.world_size()
    if kind not in ("none", "ddp", "fsdp"):
        raise ValueError(f"parallel is {kind!r}; it may be none, ddp or fsdp")
    if shard_size is not None and (kind != "fsdp" or shard_size < 1 or processes % shard_size):
        raise ValueError(f"shard_size is {shard_size}; it is for fsdp, and must divide the {processes} processes")
    if processes == 1:
        model.to(device)
        return Parallel("none")
    if kind == "none":
        raise ValueError(
            f"{processes} processes were started, but parallel is none: set parallel=ddp (a whole model on each) or "
            "parallel=fsdp (spread over them), or start one process"
        )
    if kind == "ddp":
        model.to(device)
        distributed.broadcast(model)
        return Parallel("ddp")
    size = processes if shard_size is None else shard_size
    if size == processes:
        mesh = init_device_mesh(device.type, (processes,), mesh_dim_names=("shard",))
    else:
        mesh = init_device_mesh(device.type, (processes // size, size), mesh_dim_names=("copy", "shard"))
    policy = MixedPrecisionPolicy(
        param_dtype=gather_dtype,
        reduce_dtype=None if gather_dtype is None else torch.float32,
        cast_forward_inputs=False,  # rotary angles are inputs of every layer, and bfloat16 is too coarse for them
    )
    # Embedding, head and last norm stay in the root's unit: the routed head reads rows of the head inside the root's
    # forward without calling that module, and tied weights must not be in two units. The root is taken apart after its
    # forward like the others (not torch's default), so that outside of a call every parameter is a part, always.
    for unit in (*_blocks(model), model):
        _move(unit, device)
        fully_shard(unit, mesh=mesh, reshard_after_forward=True, mp_policy=policy)
    for name in FORWARD_METHODS:
        if hasattr(model, name):
            register_fsdp_forward_method(model, name)
    return Parallel("fsdp")


def whole_state(module: nn.Module) -> dict[str, Tensor] | None:
    """All weights and persistent buffers, whole, on the CPU: on rank 0; None on the others. Of a sharded model every
    rank calls it.

    Names that share memory (tied embeddings) share it here too.
    """
    tensors = {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    twins = twins_of(tensors)
    whole: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name in twins:
            continue
        full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if distributed.is_main():
            whole[name] = full.detach().to("cpu", copy=True)
        del full
    if not distributed.is_main():
        return None
    return {name: whole[twins.get(name, name)] for name in tensors}


def twins_of(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Names of tensors that are the numbers of an earlier one (tied weights), with that one's name. Of sharded tensors
    rank 0 says it, on every rank, because writing and gathering them is every rank's business."""
    twins: dict[str, str] = {}
    first: dict[Any, str] = {}
    sharded = False
    for name, tensor in tensors.items():
        local = tensor
        if isinstance(tensor, DTensor):
            local, sharded = tensor.to_local(), True
        if local.numel():
            place = (local.device, local.data_ptr(), local.dtype, tuple(tensor.shape), local.stride())
            if place in first:
                twins[name] = first[place]
            first.setdefault(place, name)
    found: dict[str, str] = distributed.from_main(twins) if sharded else twins
    return found


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The layers of a model: the items of its largest list of modules."""
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module)]
    if lists:
        yield from max(lists, key=lambda modules: sum(p.numel() for p in modules.parameters()))


@torch.no_grad()
def _move(unit: nn.Module, device: torch.device) -> None:
    """Brings what is not spread yet to the device, with the values of rank 0: unit by unit, so that a GPU never holds
    a whole model that does not fit on it."""
    for parameter in unit.parameters():
        if not isinstance(parameter, DTensor):
            parameter.data = parameter.data.to(device)
            dist.broadcast(parameter.data, 0)
    for module in unit.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and not isinstance(buffer, DTensor):
                moved = buffer.to(device)
                dist.broadcast(moved, 0)
                module._buffers[name] = moved
