import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from aoede.training import EMA, LoopConfig, NonFiniteLoss, OptimConfig, Optimizer, export_checkpoint, read_log, run
from aoede.training.checkpoint import list_checkpoints, step_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    loop: LoopConfig
    optim: OptimConfig = dataclasses.field(default_factory=OptimConfig)


class Toy:
    """A small net with dropout, so that every random generator matters."""

    name = "toy"

    def __init__(self, kind="adamw", hook=lambda step: None):
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1))
        self.optimizer = Optimizer(self.net, OptimConfig(kind=kind))
        self.average = EMA(self.net)
        self.hook = hook

    def train_step(self, step):
        value = self.hook(step)
        x = torch.randn(16, 4) + float(np.random.rand())
        loss = ((self.net(x) - x.sum(1, keepdim=True)) ** 2).mean()
        loss.backward()
        norm = self.optimizer.step()
        self.average.update(self.net)
        return {"loss": loss.item() if value is None else value, "grad_norm": norm, "lr": 1e-3}

    def evaluate(self, step):
        torch.randn(3)  # must not disturb training
        return {"loss": abs(step - 20) + 1.0, "utilisation/C": 0.5}

    def state_dict(self):
        return {"net": self.net.state_dict(), "optim": self.optimizer.state_dict(), "ema": self.average.state_dict()}

    def load_state_dict(self, state):
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optim"])
        self.average.load_state_dict(state["ema"])

    def export(self, directory):
        directory.mkdir(exist_ok=True)
        torch.save(self.net.state_dict(), directory / "net.pt")


CONFIG = LoopConfig(steps=30, eval_every=10, checkpoint_every=7, log_every=4, tensorboard=False)


def rows(out: Path) -> list[dict]:
    """The log without what a clock says."""
    return [{k: v for k, v in row.items() if k != "steps_per_second"} for row in read_log(out / "metrics.jsonl")]


def assert_same_weights(a: Path, b: Path) -> None:
    mine, theirs = torch.load(a / "net.pt"), torch.load(b / "net.pt")
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


class Killed(RuntimeError):
    pass


def kill_at(at):
    def hook(step):
        if step == at:
            raise Killed

    return hook


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_killed_and_resumed_run_equals_an_uninterrupted_one_to_the_bit(tmp_path, kind):
    whole = run(Toy(kind), CONFIG, tmp_path / "whole", recipe=Recipe(loop=CONFIG))
    with pytest.raises(Killed):
        run(Toy(kind, kill_at(17)), CONFIG, tmp_path / "cut", recipe=Recipe(loop=CONFIG))
    resumed = run(Toy(kind), CONFIG, tmp_path / "cut", recipe=Recipe(loop=CONFIG))
    assert resumed == tmp_path / "cut" / "export"
    assert_same_weights(whole, resumed)
    assert rows(tmp_path / "whole") == rows(tmp_path / "cut")
    assert (tmp_path / "cut" / "curves.png").is_file() and (tmp_path / "cut" / "recipe.yaml").is_file()


def test_how_often_a_run_evaluates_does_not_change_what_it_learns(tmp_path):
    often = dataclasses.replace(CONFIG, eval_every=3, eval_at_start=True)
    assert_same_weights(run(Toy(), CONFIG, tmp_path / "a"), run(Toy(), often, tmp_path / "b"))


def test_a_time_limit_stops_with_a_checkpoint_and_the_rest_follows_later(tmp_path, capsys):
    whole = run(Toy(), CONFIG, tmp_path / "whole")
    limited = dataclasses.replace(CONFIG, max_minutes=0.3 / 60)
    stopped = run(Toy(hook=lambda step: time.sleep(0.05)), limited, tmp_path / "cut")
    assert stopped.parent == tmp_path / "cut" / "checkpoints" and 0 < step_of(stopped) < 30
    message = capsys.readouterr().err
    assert "max_minutes=0.005 is over" in message and f"--out {tmp_path / 'cut'}" in message
    assert_same_weights(whole, run(Toy(), CONFIG, tmp_path / "cut"))


def test_a_run_in_pieces_of_so_many_steps_equals_a_run_at_once(tmp_path, capsys):
    whole = run(Toy(), CONFIG, tmp_path / "whole")
    pieces = dataclasses.replace(CONFIG, max_steps=13)
    assert [step_of(run(Toy(), pieces, tmp_path / "cut")) for _ in range(2)] == [13, 26]
    assert "max_steps=13 are done: stopped after step 26 of 30" in capsys.readouterr().err
    assert_same_weights(whole, run(Toy(), pieces, tmp_path / "cut"))
    with pytest.raises(ValueError, match="max_steps is 0, but must be 1 or more"):
        LoopConfig(steps=30, max_steps=0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_step_and_leaves_a_checkpoint(tmp_path, number, capsys):
    def hook(step):
        if step == 12:
            os.kill(os.getpid(), number)

    stopped = run(Toy(hook=hook), CONFIG, tmp_path)
    assert step_of(stopped) == 13
    assert number.name in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    def hook(step):
        if step == 12:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(Toy(hook=hook), CONFIG, tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_with_words_and_keeps_the_checkpoint_before_it(tmp_path, value):
    with pytest.raises(NonFiniteLoss, match=rf"loss is {value} at step 18; .*step-00000014"):
        run(Toy(hook=lambda step: value if step == 17 else None), CONFIG, tmp_path)
    assert [step_of(path) for path in list_checkpoints(tmp_path / "checkpoints")] == [7, 14]
    assert rows(tmp_path)[-1]["loss"] == str(value)


def test_the_best_checkpoint_stays_and_is_exported(tmp_path):
    config = dataclasses.replace(CONFIG, best_metric="loss", keep=1)
    out = run(Toy(), config, tmp_path)
    assert [step_of(path) for path in list_checkpoints(tmp_path / "checkpoints")] == [20, 30]
    best = export_checkpoint(Toy(), tmp_path, tmp_path / "best", "best")
    latest = export_checkpoint(Toy(), tmp_path, tmp_path / "latest")
    assert_same_weights(out, best)
    with pytest.raises(AssertionError):
        assert_same_weights(best, latest)


def test_an_unknown_best_metric_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"'wer'.*loss, utilisation/C"):
        run(Toy(), dataclasses.replace(CONFIG, best_metric="wer"), tmp_path)


def test_never_refuses_a_folder_that_holds_a_run_and_a_path_starts_a_new_one(tmp_path):
    run(Toy(), CONFIG, tmp_path / "a")
    with pytest.raises(ValueError, match="already holds a run"):
        run(Toy(), CONFIG, tmp_path / "a", "never")
    older = tmp_path / "a" / "checkpoints" / "step-00000028"
    with pytest.raises(ValueError, match="another --out"):
        run(Toy(), CONFIG, tmp_path / "a", str(older))
    forked = run(Toy(), CONFIG, tmp_path / "b", str(older))
    assert_same_weights(tmp_path / "a" / "export", forked)


def test_a_changed_recipe_is_told_on_resume(tmp_path, capsys):
    run(Toy(), CONFIG, tmp_path, recipe=Recipe(loop=CONFIG))
    longer = dataclasses.replace(CONFIG, steps=31)
    run(Toy(), longer, tmp_path, recipe=Recipe(loop=longer, optim=OptimConfig(lr=1e-4)))
    message = capsys.readouterr().err
    assert "loop.steps: 30 -> 31" in message and "optim.lr: 0.0003 -> 0.0001" in message


def test_a_checkpoint_of_another_objective_is_refused(tmp_path):
    run(Toy(), CONFIG, tmp_path)
    other = Toy()
    other.name = "codec"
    with pytest.raises(ValueError, match="'toy', not of 'codec'"):
        run(other, CONFIG, tmp_path)


def test_two_runs_cannot_share_a_folder(tmp_path):
    def hook(step):
        with pytest.raises(ValueError, match="in use by another training run"):
            run(Toy(), CONFIG, tmp_path)

    run(Toy(hook=hook), dataclasses.replace(CONFIG, steps=1), tmp_path)


def test_a_process_killed_by_force_goes_on_from_its_last_checkpoint(tmp_path):
    code = f"""
import sys, time; sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_loop import CONFIG, Toy; from aoede.training import run; from pathlib import Path
run(Toy(hook=lambda step: time.sleep(0.02)), CONFIG, Path({str(tmp_path / "cut")!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        while not list_checkpoints(tmp_path / "cut" / "checkpoints"):
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    whole = run(Toy(), CONFIG, tmp_path / "whole")
    assert_same_weights(whole, run(Toy(), CONFIG, tmp_path / "cut"))
    assert rows(tmp_path / "whole") == rows(tmp_path / "cut")


def test_a_baseline_stands_beside_every_later_figure_and_survives_a_resume(tmp_path, capsys):
    config = dataclasses.replace(CONFIG, eval_at_start=True, best_metric="loss")
    with pytest.raises(Killed):
        run(Toy(hook=kill_at(17)), config, tmp_path)
    capsys.readouterr()
    run(Toy(), config, tmp_path)
    told = capsys.readouterr().err
    # The toy's loss is |step - 20| + 1: 21 before the first step, 1 at step 20, 11 at the end.
    assert "step 20  eval  loss 1 (from 21, -95.2%)  utilisation/C 0.5 (from 0.5, +0.0%)" in told
    assert "step 30  eval  loss 11 (from 21, -47.6%)" in told
    assert "exported step 20; validation before the first step -> after it\n  loss 1 (from 21, -95.2%)" in told
    changes = [row for row in rows(tmp_path) if row["phase"] == "change"]
    assert [(row["step"], round(row["loss"], 3)) for row in changes] == [(10, -0.476), (20, -0.952), (30, -0.476)]


def test_without_an_evaluation_before_the_first_step_nothing_is_compared(tmp_path, capsys):
    run(Toy(), CONFIG, tmp_path)
    assert "from" not in capsys.readouterr().err.replace("from aoede", "")
    assert {row["phase"] for row in rows(tmp_path)} == {"train", "eval"}


def test_a_checkpoint_written_before_there_were_baselines_goes_on(tmp_path):
    run(Toy(), CONFIG, tmp_path / "a")
    path = tmp_path / "a" / "checkpoints" / "step-00000028" / "state.pt"
    state = torch.load(path, weights_only=True)
    del state["loop"]["baseline"]
    torch.save(state, path)
    assert_same_weights(tmp_path / "a" / "export", run(Toy(), CONFIG, tmp_path / "b", str(path.parent)))
