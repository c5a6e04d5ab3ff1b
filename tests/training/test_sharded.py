"""One model on two processes is the model on one: losses, norms, weights, checkpoints, and after `kill -9`."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from aoede.training import checkpoint as ckpt
from aoede.training import run
from aoede.training.sharded import parallelise
from tests.training.test_distributed import REPOSITORY, launch
from tests.training.toy_parallel import STEPS, ToyObjective, loop_config, make_model

TWO = """
import json, sys, torch
from pathlib import Path
from torch.distributed.tensor import DTensor
from aoede.training import distributed, run
from aoede.training.sharded import whole_state
from tests.training.toy_parallel import STEPS, ToyObjective, loop_config
torch.set_num_threads(1)
root = Path(sys.argv[1])
with distributed.group("cpu"):
    for kind in ("ddp", "fsdp"):
        run(ToyObjective(kind), loop_config(), root / kind)
    run(ToyObjective("fsdp"), loop_config(), root / "one-two", str(root / "one/checkpoints/step-00000002"))
    variants = {
        "untied": dict(tied=False), "checkpointing": dict(checkpointing=True), "copies": dict(shard_size=1),
        "unclipped": dict(clip=None),
    }
    for name, options in variants.items():
        objective = ToyObjective("fsdp", **options)
        assert all(isinstance(p, DTensor) for p in objective.model.parameters()), name
        told = [distributed.mean_values(objective.train_step(step)) for step in range(3)]
        whole = whole_state(objective.model)
        assert (whole is not None) == distributed.is_main()
        if whole is not None:
            assert (whole["lm_head.weight"] is whole["model.embed_tokens.weight"]) == (name != "untied")
            torch.save(whole, root / f"{name}.pt")
            (root / f"{name}.json").write_text(json.dumps(told))
    try:
        run(ToyObjective("fsdp"), loop_config(checkpoint_format="files"), root / "refused")
    except ValueError as error:
        assert "spread over 2 processes" in str(error) and "checkpoint_format=dcp" in str(error)
    else:
        raise SystemExit("sharded weights went into one file")
"""


def rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "steps_per_second"} for line in lines]


def assert_alike(left: Path, right: Path, steps: range = range(1, STEPS + 1)) -> None:
    """The rows of two runs are equal within rounding, at the given steps."""
    mine, theirs = ([row for row in rows(folder) if row["step"] in steps] for folder in (left, right))
    assert len(mine) == len(theirs) > 2
    for one, other in zip(mine, theirs, strict=True):
        assert one.keys() == other.keys()
        for name in one.keys() - {"phase"}:
            assert other[name] == pytest.approx(one[name], rel=2e-5, abs=2e-6), (name, one["step"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one process ("one") and of two, whole ("ddp"), spread ("fsdp") and from one's checkpoint ("one-two")."""
    root = tmp_path_factory.mktemp("sharded")
    run(ToyObjective("none"), loop_config(), root / "one")
    told = launch(TWO, [str(root)], 2, patience=20.0)
    assert [process.returncode for process in told] == [0, 0], "\n".join(process.stderr[-3000:] for process in told)
    return root


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_take_the_steps_of_one(runs: Path, kind: str) -> None:
    assert_alike(runs / "one", runs / kind)
    one, two = (torch.load(runs / name / "export" / "weights.pt") for name in ("one", kind))
    torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-5)
    start = make_model().state_dict()
    assert all((one[name] - start[name]).abs().max() > 1e-2 for name in one)  # the tolerance would notice


@pytest.mark.parametrize("name", ["untied", "checkpointing", "copies", "unclipped"])
def test_variants_of_sharding_take_the_steps_of_one_process(runs: Path, name: str) -> None:
    alone = ToyObjective("none", tied=name != "untied", clip=None if name == "unclipped" else 0.5)
    expected = [alone.train_step(step) for step in range(3)]
    told = json.loads((runs / f"{name}.json").read_text())
    for one, other in zip(expected, told, strict=True):
        assert other == pytest.approx(one, rel=2e-5)
    assert min(step["grad_norm"] for step in expected) > 0.5  # clipping had something to do
    torch.testing.assert_close(torch.load(runs / f"{name}.pt"), dict(alone.model.state_dict()), rtol=1e-4, atol=1e-5)


def test_a_checkpoint_of_two_processes_goes_on_in_one(runs: Path, tmp_path: Path) -> None:
    half = runs / "fsdp" / "checkpoints" / "step-00000002"
    assert len(list((half / "tensors").glob("*.distcp"))) == 2
    run(ToyObjective("none"), loop_config(), tmp_path, str(half))
    assert_alike(runs / "one", tmp_path, range(3, STEPS + 1))


def test_a_checkpoint_of_one_process_goes_on_in_two(runs: Path) -> None:
    assert_alike(runs / "one", runs / "one-two", range(3, STEPS + 1))


def test_tied_weights_are_written_once(runs: Path) -> None:
    from aoede.training.dcp import sizes_of

    names = sizes_of(runs / "fsdp" / "checkpoints" / f"step-{STEPS:08d}")
    assert ("model.lm_head.weight" in names) != ("model.model.embed_tokens.weight" in names)
    assert list(names["optimizer.optimizers.0.state.0.exp_avg"].size) == [47, 16]


def stop_by_force(process: subprocess.Popen[bytes], folder: Path) -> None:
    """kill -9 of torchrun and of all it started."""
    for pid in (process.pid, *(int(file.read_text()) for file in folder.glob("pid-*"))):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def test_a_torchrun_killed_by_force_goes_on_to_the_same_end(runs: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command = [*torchrun, "tests.training.toy_parallel", str(cut), "fsdp", str(STEPS), "0.3"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with open(tmp_path / "told", "wb") as told:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=told, stderr=told)
    try:
        end = time.monotonic() + 300
        while not ckpt.list_checkpoints(cut / "checkpoints"):
            assert process.poll() is None and time.monotonic() < end, (tmp_path / "told").read_text()[-3000:]
            time.sleep(0.02)
    finally:
        stop_by_force(process, cut)
    assert ckpt.step_of(ckpt.list_checkpoints(cut / "checkpoints")[-1]) < STEPS
    program = "import runpy, sys; runpy.run_module('tests.training.toy_parallel', run_name='__main__')"
    again = launch(program, [str(cut), "fsdp", str(STEPS), "0"], 2, patience=20.0)
    assert [process.returncode for process in again] == [0, 0], "\n".join(p.stderr[-3000:] for p in again)
    assert "resuming" in again[0].stderr
    assert rows(cut) == rows(runs / "fsdp")  # to the bit
    mine, theirs = (torch.load(folder / "export" / "weights.pt") for folder in (cut, runs / "fsdp"))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_processes_that_would_train_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="shard_size is 2; it is for fsdp"):
        parallelise(make_model(), "ddp", torch.device("cpu"), shard_size=2)
    with pytest.raises(ValueError, match="parallel is 'tp'; it may be none, ddp or fsdp"):
        parallelise(make_model(), "tp", torch.device("cpu"))  # type: ignore[arg-type]
