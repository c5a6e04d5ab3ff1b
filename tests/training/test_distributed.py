"""Two processes make one update: the same as one process with the whole batch; only rank 0 writes."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aoede.data import save_audio
from aoede.training import distributed

REPOSITORY = Path(__file__).resolve().parents[2]
STEPS = 5

RECIPE = """
preset: null
model: {{sampling_rate: 4000, encoder_dim: 4, encoder_rates: [2, 4], decoder_dim: 16, decoder_rates: [4, 2],
         codebook_size: 16, codebook_dim: 4, vq_strides: [2, 1]}}
data: {{train: [{{manifest: {folder}}}], valid_share: 0.2, segment_seconds: 0.064, batch: 4, valid_seconds: 0.1,
        phase: rotation, curriculum: [{{step: 3, segment_seconds: 0.096, batch: 6}}]}}
mel: {{windows: [64, 128], mels: [8, 16]}}
# Adam divides by the size of a gradient: with a large addend, rounding in gradients near 0 stays rounding.
optim: {{lr: 1.0e-3, eps: 1.0e-2}}
schedule: {{kind: constant}}
quantize_from: 1
bypass: 0.4
revive_every: 2
adversarial:
  start: 2
  discriminators: {{periods: [2, 3], period_channels: [2, 4], fft_sizes: [64], band_channels: 2}}
  optim: {{lr: 1.0e-3, eps: 1.0e-2}}
loop: {{steps: 5, eval_every: 5, eval_at_start: true, checkpoint_every: 3, keep: 5, log_every: 1, tensorboard: false}}
device: cpu
"""

TRAIN = """
import sys
from aoede.training.codec import CodecRecipe, train
from aoede.training.recipe import load_recipe
print("returned", train(load_recipe(sys.argv[1], CodecRecipe, sys.argv[4:]), sys.argv[2], sys.argv[3]))
"""


def launch(
    code: str, arguments: list[str], processes: int, patience: float = 3.0
) -> list[subprocess.CompletedProcess[str]]:
    """Runs a program in processes with the environment that torchrun gives them; when one fails, the others have
    `patience` seconds to end by themselves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    running = []
    with tempfile.TemporaryDirectory() as folder:
        for rank in range(processes):
            names = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(processes)}
            ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"}
            command = [sys.executable, "-c", code, *arguments]
            with open(f"{folder}/{rank}.out", "w") as out, open(f"{folder}/{rank}.err", "w") as err:
                environment = {**os.environ, **names, **ranks}
                running.append(subprocess.Popen(command, env=environment, cwd=REPOSITORY, stdout=out, stderr=err))
        try:
            end = time.monotonic() + 240
            while any(process.poll() is None for process in running) and time.monotonic() < end:
                if any(process.poll() for process in running):
                    end = min(end, time.monotonic() + patience)
                time.sleep(0.05)
        finally:
            for process in running:
                if process.poll() is None:
                    process.kill()
                process.wait()
        texts = [[Path(folder, f"{rank}.{kind}").read_text() for kind in ("out", "err")] for rank in range(processes)]
    return [
        subprocess.CompletedProcess(process.args, process.returncode, out, err)
        for process, (out, err) in zip(running, texts, strict=True)
    ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One process, two processes, and two that go on from the two's checkpoint of step 3."""
    root = tmp_path_factory.mktemp("ranks")
    generator = np.random.default_rng(0)
    (root / "hum").mkdir()
    for number in range(8):
        clock = np.arange(2000) / 4000
        sound = sum(0.3 / n * np.sin(700 * 1.1**number * n * clock + generator.uniform(0, 6)) for n in (1, 2))
        save_audio(root / "hum" / f"note{number}.wav", np.asarray(sound, dtype=np.float32), 4000)
    recipe = root / "recipe.yaml"
    recipe.write_text(RECIPE.format(folder=root / "hum"))
    told: dict[str, Any] = {"root": root}
    half = str(root / "two" / "checkpoints" / "step-00000003")
    for name, processes, resume in (("one", 1, "auto"), ("two", 2, "auto"), ("rest", 2, half)):
        told[name] = launch(TRAIN, [str(recipe), str(root / name), resume], processes)
        for process in told[name]:
            assert process.returncode == 0, process.stderr[-3000:]
    return told


def state(runs: dict[str, Any], name: str) -> dict[str, Any]:
    path = runs["root"] / name / "checkpoints" / f"step-{STEPS:08d}" / "state.pt"
    return torch.load(path, weights_only=True)


def rows(runs: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (runs["root"] / name / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_make_the_updates_of_one_with_the_whole_batch(runs: dict[str, Any]) -> None:
    one, two = state(runs, "one")["objective"], state(runs, "two")["objective"]
    start = torch.load(runs["root"] / "one" / "checkpoints" / "step-00000003" / "state.pt", weights_only=True)
    for part in ("codec", "critics"):
        for name, weight in one[part].items():
            torch.testing.assert_close(two[part][name], weight, rtol=1e-4, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")
        moved = max(float((one[part][name] - start["objective"][part][name]).abs().max()) for name in one[part])
        assert moved > 50 * 2e-5  # the tolerance would notice
    torch.testing.assert_close(two["average"]["shadow"], one["average"]["shadow"], rtol=1e-4, atol=2e-5)


def test_codes_are_revived_alike_and_their_usage_is_that_of_the_whole_batch(runs: dict[str, Any]) -> None:
    one, two = state(runs, "one")["objective"]["revival"], state(runs, "two")["objective"]["revival"]
    assert one["steps"] == two["steps"] == STEPS - 1
    torch.testing.assert_close(two["usage"], one["usage"])
    assert [level.shape for level in two["recent"]] == [level.shape for level in one["recent"]]
    torch.testing.assert_close(two["recent"], one["recent"], rtol=1e-3, atol=1e-4)
    revived = [[row["revived"] for row in rows(runs, name) if "revived" in row] for name in ("one", "two")]
    assert revived[0] == revived[1] and revived[0][0] == 32


def test_the_log_has_the_numbers_of_the_whole_batch(runs: dict[str, Any]) -> None:
    for left, right in zip(rows(runs, "one"), rows(runs, "two"), strict=True):
        assert left.keys() == right.keys()
        for name, value in left.items():
            if name not in ("steps_per_second", "phase"):
                assert right[name] == pytest.approx(value, rel=2e-3, abs=1e-4), (name, left["step"])


def test_a_run_of_two_processes_resumes_to_the_bit(runs: dict[str, Any]) -> None:
    two, rest = state(runs, "two"), state(runs, "rest")
    for name, weight in two["objective"]["codec"].items():
        assert torch.equal(rest["objective"]["codec"][name], weight), name
    assert rest["loop"]["baseline"] == two["loop"]["baseline"]
    assert len(two["random_of_ranks"]) == 2
    mine, other = (states["torch"] for states in two["random_of_ranks"])
    assert not torch.equal(mine, other)


def test_only_rank_0_writes_and_speaks(runs: dict[str, Any]) -> None:
    main, other = runs["two"]
    assert "2 processes share every batch" in main.stderr and "exported step" in main.stderr
    assert other.stderr.strip() == ""
    assert main.stdout == other.stdout == f"returned {runs['root'] / 'two' / 'export'}\n"
    for kind in ("train", "eval"):
        steps = [row["step"] for row in rows(runs, "two") if row["phase"] == kind]
        assert steps == sorted(set(steps))


EXCHANGES = """
import torch
from torch import nn
from aoede.training import distributed as d
with d.group("cpu") as device:
    assert device.type == "cpu" and d.world_size() == 2 and d.is_main() == (d.rank() == 0)
    rank = d.rank()
    a, b, c = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    a.grad = torch.tensor([1.0, 3.0]) * (1 + rank)
    if rank == 0:
        b.grad = torch.tensor([4.0, 6.0])
    d.average_gradients([a, b, c])
    assert a.grad.tolist() == [1.5, 4.5] and b.grad.tolist() == [2.0, 3.0] and c.grad is None
    assert d.share(6) == slice(3 * rank, 3 * rank + 3)
    try:
        d.share(5)
    except ValueError as error:
        assert str(error).startswith("a batch of 5 cannot be shared evenly by 2 processes: make it a multiple of 2")
    else:
        raise SystemExit("5 was shared by 2")
    assert d.gather_rows(torch.full((1, 2), rank)).tolist() == [[0, 0], [1, 1]]
    assert d.mean_values({"loss": float(rank), "nan": float("nan") if rank else 0.0})["loss"] == 0.5
    assert d.mean_values({"nan": float("nan") if rank else 0.0})["nan"] != 0.0
    assert d.any_rank(rank == 1) and not d.any_rank(False)
    assert d.from_main({"rank": rank}) == {"rank": 0} and d.from_all(rank) == [0, 1]
    linear = nn.Linear(1, 1)
    linear.weight.data.fill_(rank)
    d.broadcast(linear)
    assert linear.weight.item() == 0.0
    d.barrier()
assert d.world_size() == 1
print("good")
"""


def test_exchanges_give_what_they_say() -> None:
    assert [process.stdout or process.stderr for process in launch(EXCHANGES, [], 2)] == ["good\n", "good\n"]


def test_alone_every_exchange_is_nothing() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.ones(1)
    distributed.average_gradients([parameter])
    assert parameter.grad.item() == 1.0
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
    assert distributed.share(5) == slice(0, 5)
    assert distributed.gather_rows(parameter) is parameter
    assert distributed.mean_values({"a": 1.0}) == {"a": 1.0}
    assert distributed.any_rank(True) and not distributed.any_rank(False)
    with distributed.group("cpu") as device:
        assert device == torch.device("cpu") and distributed.world_size() == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="has no GPU, there are 0: set device=cpu"):
        distributed.device_of("cuda")
