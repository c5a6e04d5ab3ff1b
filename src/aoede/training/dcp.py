"""Checkpoints of many processes: every rank writes its part of each tensor, any number of ranks reads them again.

Owns the folder `step-XXXXXXXX/` of `checkpoint_format: dcp`: `tensors/` (torch.distributed.checkpoint), `state.pt` (all
that is no tensor of the objective, with marks where tensors belong), `meta.json`, `recipe.yaml`, `model/` where the
objective describes its model. Written by a thread while training goes on, and renamed when complete. Knows nothing of
models: a state is a tree of dicts, lists, tuples, numbers, strings and tensors.
"""

import pickle
import shutil
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.tensor import DTensor, distribute_tensor

from aoede.training import checkpoint as ckpt
from aoede.training import distributed
from aoede.training.sharded import twins_of

TENSORS = "tensors"
_MARK = "<tensor>"


def is_dcp(path: str | Path) -> bool:
    """Whether a checkpoint's tensors lie in parts beside `state.pt`."""
    return (Path(path) / TENSORS).is_dir()


class DcpWriter:
    """Writes the checkpoints of a run, one at a time, behind its back."""

    def __init__(self, root: Path, keep: int) -> None:
        """`keep` as `prune_checkpoints` has it. Every rank makes one, and calls its methods alike."""
        self.root, self.keep = root, keep
        cuda = torch.cuda.is_available()
        # Pinned copies are kept from one checkpoint to the next.
        self._stager = DefaultStager(StagingOptions(cuda, False, False, cuda))
        self._group = distributed.side_group()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._step = 0

    def save(
        self,
        step: int,
        state: Mapping[str, Any],
        recipe: str | None = None,
        protect: Collection[int] = (),
        describe: Callable[[Path], None] | None = None,
    ) -> None:
        """Takes a copy of the state and returns; the disk is written meanwhile. Waits for the checkpoint before it.

        Args:
            state: tensors are written in parts where they lie under "objective", and by rank 0 elsewhere.
            protect: steps whose checkpoints stay, however old.
            describe: writes all of a model's folder but the weights (rank 0 calls it, into `model/`).
        Raises:
            OSError: the checkpoint before it could not be written.
        """
        self.wait()
        name = f"step-{step:08d}"
        temporary = self.root / f"{ckpt.TEMPORARY}{name}-dcp"
        tree, tensors = take_apart(state["objective"])
        copies = self._stager.stage(tensors)
        if distributed.is_main():
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            # Small, and the caller's to change later: written before it goes on.
            ckpt.write_parts(temporary, step, {**state, "objective": tree}, recipe, {"checkpoint_format": "dcp"})
            if describe is not None:
                (temporary / "model").mkdir()
                describe(temporary / "model")
        distributed.barrier()
        self._step, self._error = step, None
        work = (temporary, self.root / name, copies, tuple(protect))
        # A daemon: a process that fails must not stay for a checkpoint that its peers will never finish.
        self._thread = threading.Thread(target=self._work, args=work, name="checkpoint", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Returns when the last checkpoint is complete.

        Raises:
            OSError: it could not be written (says which, and why).
        """
        if self._thread is None:
            return
        self._thread.join()
        self._thread = None
        if self._error is not None:
            reason = " ".join(str(self._error).split())[-300:] or type(self._error).__name__
            raise OSError(f"the checkpoint of step {self._step} could not be written: {reason}") from self._error
        # Rank 0 renames last; nobody looks for the folder before.
        distributed.barrier()

    def _work(self, temporary: Path, final: Path, tensors: dict[str, Tensor], protect: Collection[int]) -> None:
        try:
            _save(tensors, temporary / TENSORS, self._group)
            if distributed.is_main():  # returned: the parts of every rank are on the disk
                ckpt.put_in_place(temporary, final)
                ckpt.prune_checkpoints(self.root, self.keep, protect)
        except BaseException as error:
            self._error = error


def load_state(path: str | Path, objective: Mapping[str, Any]) -> dict[str, Any]:
    """Reads a checkpoint of either format, written by any number of processes.

    Args:
        path: `step-XXXXXXXX/`; every rank calls this with the same one.
        objective: the objective's present state. Its tensors say which part of each this rank holds, and are
            overwritten: the state that comes back holds the same ones, to be given to `load_state_dict`.
    Returns:
        The state; tensors that `objective` lacks come whole and on the CPU.
    Raises:
        ValueError: no checkpoint, a damaged one, or a tensor of another size (names it).
    """
    path = Path(path)
    state = ckpt.load_checkpoint(path)
    targets = dict(_leaves(objective))
    if not is_dcp(path):
        state["objective"] = _map(state["objective"], lambda name, leaf: _spread(leaf, targets.get(name)))
        return state
    sizes = sizes_of(path)
    places = _marks(state["objective"])
    found: dict[str, Tensor] = {}
    for place, name in places.items():
        target, size = targets.get(place), sizes[name]
        if target is not None and target.shape != size.size:
            raise ValueError(
                f"{path.name}: {place} is {list(size.size)} in the checkpoint and {list(target.shape)} in the recipe's "
                "model; resume with the recipe of the checkpoint"
            )
        if name not in found:
            found[name] = torch.empty(size.size, dtype=size.properties.dtype) if target is None else target
    read_tensors(path, found)

    def fill(place: str, name: str) -> Tensor:
        target = targets.get(place)
        if target is not None and target is not found[name]:  # a second name of the same numbers
            with torch.no_grad():
                target.copy_(found[name])
        return found[name] if target is None else target

    state["objective"] = _fill(state["objective"], fill)
    return state


def sizes_of(path: str | Path) -> dict[str, TensorStorageMetadata]:
    """Name, shape and type of every tensor of a checkpoint."""
    stored = _Reader(Path(path) / TENSORS).read_metadata().state_dict_metadata
    return {name: entry for name, entry in stored.items() if isinstance(entry, TensorStorageMetadata)}


def read_tensors(path: str | Path, into: dict[str, Tensor]) -> None:
    """Fills tensors (whole, or this rank's parts) with those of the same names; every rank asks for the same names.

    Raises:
        ValueError: a file is missing or damaged (says which checkpoint, and what to do).
    """
    path = Path(path)
    try:
        with torch.no_grad():
            alone = _alone()
            load(into, storage_reader=_Reader(path / TENSORS), process_group=distributed.side_group(), no_dist=alone)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, CheckpointException) as error:
        last = str(error).strip().splitlines()
        reason = last[-1] if last else type(error).__name__
        raise ValueError(
            f"{path / TENSORS} cannot be read ({reason}); move {path.name} away to go on from an older one"
        ) from error


def write_tensors(tensors: dict[str, Tensor], folder: Path) -> None:
    """Writes whole tensors from one process, as a checkpoint's `tensors/`."""
    assert distributed.world_size() == 1, "many processes write through DcpWriter"
    _save(tensors, folder, None)


def take_apart(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """A state without its tensors (marks in their places), and the tensors by name; tied ones once."""
    leaves = dict(_leaves(tree))
    twins = twins_of(leaves)
    marked = _map(tree, lambda name, leaf: {_MARK: twins.get(name, name)})
    return marked, {name: leaf.detach() for name, leaf in leaves.items() if name not in twins}


def _save(tensors: dict[str, Tensor], folder: Path, group: Any) -> None:
    save(tensors, storage_writer=FileSystemWriter(folder), process_group=group, no_dist=_alone())


def _alone() -> bool:
    if distributed.world_size() > 1:
        return False
    warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")
    return True


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(tree, Tensor):
        yield prefix, tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(tree, list | tuple):
        for index, value in enumerate(tree):
            yield from _leaves(value, f"{prefix}.{index}" if prefix else str(index))


def _map(tree: Any, change: Callable[[str, Tensor], Any], prefix: str = "") -> Any:
    """The tree with every tensor changed."""
    if isinstance(tree, Tensor):
        return change(prefix, tree)
    if isinstance(tree, Mapping):
        return {key: _map(v, change, f"{prefix}.{key}" if prefix else str(key)) for key, v in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_map(v, change, f"{prefix}.{i}" if prefix else str(i)) for i, v in enumerate(tree))
    return tree


def _fill(tree: Any, change: Callable[[str, str], Tensor], prefix: str = "") -> Any:
    """The tree with every mark changed into a tensor."""
    if isinstance(tree, Mapping):
        if set(tree) == {_MARK}:
            return change(prefix, tree[_MARK])
        return {key: _fill(v, change, f"{prefix}.{key}" if prefix else str(key)) for key, v in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_fill(v, change, f"{prefix}.{i}" if prefix else str(i)) for i, v in enumerate(tree))
    return tree


def _marks(tree: Any) -> dict[str, str]:
    """The place of every mark, and the name of the tensor that belongs there."""
    found: dict[str, str] = {}

    def note(place: str, name: str) -> Tensor:
        found[place] = name
        return torch.empty(0)

    _fill(tree, note)
    return found


def _spread(whole: Tensor, target: Tensor | None) -> Tensor:
    """A whole tensor of a one-file checkpoint as this rank's part, where the target is one."""
    if not isinstance(target, DTensor) or isinstance(whole, DTensor):
        return whole
    on_device = whole.to(target.to_local().device)
    return distribute_tensor(on_device, target.device_mesh, target.placements, src_data_rank=None)


class _Reader(FileSystemReader):
    """Reads the table of contents, which torch pickles, without letting it run anything."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        file = Path(self.path) / ".metadata"
        if not file.is_file():
            raise ValueError(f"{file} is missing: {Path(self.path).parent.name} is no complete checkpoint")
        try:
            with open(file, "rb") as stream:
                metadata = _Contents(stream).load()
        except (pickle.UnpicklingError, EOFError, AttributeError, ValueError) as error:
            raise ValueError(f"{file} cannot be read ({error}); move {Path(self.path).parent.name} away") from error
        assert isinstance(metadata, Metadata)
        return metadata


class _Contents(pickle.Unpickler):
    """Knows the classes of a table of contents, and no other."""

    _CLASSES = frozenset(
        {
            ("torch.distributed.checkpoint.metadata", "ChunkStorageMetadata"),
            ("torch.distributed.checkpoint.metadata", "Metadata"),
            ("torch.distributed.checkpoint.metadata", "MetadataIndex"),
            ("torch.distributed.checkpoint.metadata", "StorageMeta"),
            ("torch.distributed.checkpoint.metadata", "TensorProperties"),
            ("torch.distributed.checkpoint.metadata", "TensorStorageMetadata"),
            ("torch.distributed.checkpoint.metadata", "BytesStorageMetadata"),
            ("torch.distributed.checkpoint.metadata", "_MEM_FORMAT_ENCODING"),
            ("torch", "Size"),
            ("torch.serialization", "_get_layout"),
            ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
            ("pathlib", "PosixPath"),
            ("pathlib", "WindowsPath"),
            ("pathlib._local", "PosixPath"),
            ("collections", "OrderedDict"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        is_type = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if is_type or (module, name) in self._CLASSES:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no checkpoint needs")
