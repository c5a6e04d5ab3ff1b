"""Many processes, one run: what training needs of `torch.distributed`, and nothing else.

Owns joining the group that torchrun announces in the environment, and a handful of exchanges. Every one of them is a
plain no-op in a single process, so an objective is written once. Data parallelism is by hand: each rank backpropagates
its share of the batch, `average_gradients` makes the sum, and every rank makes the same update. Knows nothing of models
or of the loop.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from aoede.training.peers import Watch

_side: "dist.ProcessGroup | None" = None

_BUCKET = 1 << 24
"""Numbers that one exchange of gradients carries: 64 MB, so that the copy stays small beside a large model."""


@contextmanager
def group(device: str = "auto") -> Iterator[torch.device]:
    """Joins the processes that `torchrun` started, if it did, and leaves them at the end.

    Args:
        device: "auto" (a GPU where there is one), "cpu" or "cuda"; on GPUs each process takes its own.
    Yields:
        This process's device.
    Raises:
        PeerFailure: another process failed; every one of them ends within seconds, with the reason of the first.
    """
    global _side
    mine = device_of(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield mine
        return
    if mine.type == "cuda":
        torch.cuda.set_device(mine)
    # The others wait while rank 0 decodes a corpus; a process that died is noticed by its peers, not by the clock.
    backend = "cpu:gloo,cuda:nccl" if mine.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timedelta(hours=12))
    clean = False
    try:
        with Watch(rank(), world_size()) as watch:
            yield mine
            watch.rest()
            barrier()  # nobody leaves while rank 0 still writes
        clean = True
    finally:
        _side = None
        # After a failure, NCCL would first wait for what its peers will never send; the end of the process ends it.
        if clean or mine.type == "cpu":
            dist.destroy_process_group()


def device_of(device: str) -> torch.device:
    """This process's device: what "auto", "cpu" or "cuda" means here.

    Raises:
        ValueError: a GPU is asked for, and there is none for this process.
    """
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    index = int(os.environ.get("LOCAL_RANK", "0"))
    if index >= torch.cuda.device_count():
        raise ValueError(
            f"process {index} of this machine has no GPU, there are {torch.cuda.device_count()}: set device=cpu, or "
            "start fewer processes (torchrun --nproc-per-node)"
        )
    return torch.device("cuda", index)


def side_group() -> "dist.ProcessGroup | None":
    """A second group of the same processes, on the CPU, for exchanges beside training: what a thread that writes a
    checkpoint says must not meet what the step says. None in a single process; every rank asks for it at the same place
    first."""
    global _side
    if world_size() == 1:
        return None
    if _side is None:
        _side = dist.new_group(backend="gloo", timeout=timedelta(hours=12))
    return _side


def rank() -> int:
    """Which of the processes this is; 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    return rank() == 0


def barrier() -> None:
    """Waits until every process is here."""
    if world_size() > 1:
        dist.all_reduce(torch.zeros(1))  # by gloo: NCCL's own barrier guesses which GPU it may use


def share(count: int) -> slice:
    """This rank's part of `count` things; the ranks' parts are equal, disjoint and together the whole.

    Raises:
        ValueError: the count cannot be divided so.
    """
    if count % world_size():
        raise ValueError(
            f"a batch of {count} cannot be shared evenly by {world_size()} processes: make it a multiple of "
            f"{world_size()}, or start another number of processes"
        )
    size = count // world_size()
    return slice(rank() * size, (rank() + 1) * size)


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replaces every gradient by its mean over the ranks: for losses that are means over equal shares of a batch, the
    gradient of the whole batch. A parameter that has no gradient on any rank keeps none."""
    if world_size() == 1:
        return
    bucket: list[Tensor] = []
    size = 0
    for parameter in parameters:
        bucket.append(parameter)
        size += parameter.numel()
        if size >= _BUCKET:
            _average(bucket)
            bucket, size = [], 0
    if bucket:
        _average(bucket)


def _average(bucket: list[Tensor]) -> None:
    # Who has a gradient travels along: ranks need not agree on it, as when only some items of a batch reach a layer.
    has = bucket[0].new_tensor([float(p.grad is not None) for p in bucket], dtype=torch.float32)
    parts = [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1).float() for p in bucket]
    flat = torch.cat([*parts, has])
    dist.all_reduce(flat)
    *means, counts = flat.split([*(p.numel() for p in bucket), len(bucket)])
    for parameter, mean, count in zip(bucket, means, counts.tolist(), strict=True):
        if count:
            averaged = (mean / world_size()).view_as(parameter).to(parameter.dtype)
            if parameter.grad is None:
                parameter.grad = averaged
            else:
                parameter.grad.copy_(averaged)


@torch.no_grad()
def broadcast(module: nn.Module) -> None:
    """Gives every rank the weights and buffers of rank 0."""
    if world_size() > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.detach(), 0)


def gather_rows(tensor: Tensor) -> Tensor:
    """[N, ...] on every rank -> [world_size * N, ...], in the order of the ranks; N is the same everywhere."""
    if world_size() == 1:
        return tensor
    parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def mean_values(values: Mapping[str, float]) -> dict[str, float]:
    """The ranks' means of named numbers; one that is not finite anywhere is not finite everywhere."""
    if world_size() == 1:
        return dict(values)
    flat = torch.tensor(list(values.values()), dtype=torch.float64)
    dist.all_reduce(flat)
    return dict(zip(values, (flat / world_size()).tolist(), strict=True))


def sum_values(values: Mapping[str, float]) -> dict[str, float]:
    """The ranks' sums of named numbers; every rank gives the same names in the same order."""
    if world_size() == 1:
        return {name: float(value) for name, value in values.items()}
    flat = torch.tensor(list(values.values()), dtype=torch.float64)
    dist.all_reduce(flat)
    return dict(zip(values, flat.tolist(), strict=True))


def any_rank(here: bool) -> bool:
    """Whether it is so on any rank."""
    if world_size() == 1:
        return here
    flag = torch.tensor([float(here)])
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag.item())


def from_main(thing: Any) -> Any:
    """What rank 0 has, on every rank (anything that can be pickled)."""
    if world_size() == 1:
        return thing
    box = [thing]
    dist.broadcast_object_list(box, 0)
    return box[0]


def from_all(thing: Any) -> list[Any]:
    """What every rank has, in the order of the ranks (anything that can be pickled)."""
    if world_size() == 1:
        return [thing]
    box: list[Any] = [None] * world_size()
    dist.all_gather_object(box, thing)
    return box
