"""The training loop: counts steps, logs, evaluates, checkpoints, stops cleanly, resumes exactly.

Owns everything about a run that is the same for every objective. Knows nothing of models, data or losses: an objective
takes a step and returns numbers. Folder of a run: `recipe.yaml`, `metrics.jsonl`, `tensorboard/`, `curves.png`,
`checkpoints/step-XXXXXXXX/`, `export/`. Of several processes (`distributed.py`) every one runs this loop in step, and
rank 0 alone writes and shows.
"""

import math
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
import yaml
from tqdm import tqdm

from aoede.training import checkpoint as ckpt
from aoede.training import distributed
from aoede.training.dcp import DcpWriter, is_dcp, load_state
from aoede.training.metrics import Meter, MetricsLog, against, changes, is_detail, plot_curves, read_log
from aoede.training.recipe import differences, dump_recipe
from aoede.training.stop import Stop, locked


class Objective(Protocol):
    """What the loop runs. Its weights are initialised when it is built (from the recipe's seed)."""

    name: str

    def train_step(self, step: int) -> dict[str, float]:
        """Do one update (forward, backward, optimiser). The batch is a pure function of (seed, step); in several
        processes each takes its share of it, and the loop averages the numbers."""

    def evaluate(self, step: int) -> dict[str, float]:
        """Numbers on the evaluation split; may draw random numbers, the loop restores the generators after it. Of
        several processes, those of rank 0 count."""

    def state_dict(self) -> dict[str, Any]:
        """Everything a later process needs: tensors, numbers, strings, lists, tuples and dicts only."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    def export(self, directory: Path) -> None:
        """Write the finished thing into a new folder."""

    # Two more, where an objective has them. `is_sharded`, true where its weights are spread over processes: `export`
    # and `state_dict` are then called on every rank, and rank 0 writes. `describe_model(directory)`: writes a model's
    # folder without the weights; checkpoints of format dcp carry it, for `aoede checkpoint to-hf`.


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """The run around an objective."""

    steps: int
    """Updates in all, over every resumption."""

    seed: int = 0
    eval_every: int = 500
    eval_at_start: bool = False
    """Evaluate before the first step too: the baseline, shown beside every later figure."""

    checkpoint_every: int = 500
    checkpoint_format: Literal["files", "dcp"] = "files"
    """`files`: rank 0 writes one file, and training waits. `dcp`: every process writes its part of each tensor while
    training goes on, and any number of processes reads it; sharded weights need it."""

    keep: int = 2
    """Newest checkpoints that stay; the best ones stay besides."""

    keep_best: int = 1
    """Checkpoints that stay because `best_metric` was best there; the very best is exported."""

    best_metric: str | None = None
    """Name of an evaluation number; the checkpoint where it was best is kept and exported."""

    best_mode: Literal["min", "max"] = "min"
    log_every: int = 20
    """Steps that one training row averages over."""

    max_minutes: float | None = None
    """Stop with a checkpoint after this long (of this process), to be resumed later."""

    max_steps: int | None = None
    """Stop with a checkpoint after so many updates (of this process), to be resumed later."""

    threads: int | None = None
    """CPU threads of torch; None leaves them alone."""

    tensorboard: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "eval_every", "checkpoint_every", "keep", "keep_best", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be 1 or more")
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise ValueError(f"max_minutes is {self.max_minutes}, but must be above 0 (null never stops)")
        if self.max_steps is not None and self.max_steps < 1:
            raise ValueError(f"max_steps is {self.max_steps}, but must be 1 or more (null never stops)")


class NonFiniteLoss(ValueError):
    """A loss or a gradient became infinite or not a number; the last checkpoint is from before it."""


def run(
    objective: Objective, config: LoopConfig, out_dir: str | Path, resume: str = "auto", *, recipe: Any = None
) -> Path:
    """Train to `config.steps`, or until time or a signal stops it.

    Args:
        out_dir: the run's folder, made where missing.
        resume: "auto" goes on from the folder's latest checkpoint where there is one; "never" refuses such a folder;
            anything else is the path of a checkpoint of this or another run to start from.
        recipe: the recipe dataclass; saved resolved in `out_dir` and in each checkpoint.
    Returns:
        `out_dir/export` when the run finished, the latest checkpoint's folder when it was stopped early.
    Raises:
        NonFiniteLoss: names the step and the value.
        ValueError: the folder is in use by another run, or does not fit `resume`.
    """
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    with locked(out) if distributed.is_main() else nullcontext():
        return _Run(objective, config, out, resume, recipe).go()


def export_checkpoint(objective: Objective, out_dir: str | Path, target: str | Path, which: str = "latest") -> Path:
    """Export a run's `latest` or `best` checkpoint (or the one at a path) without training."""
    out, path = Path(out_dir), None
    if which == "latest":
        path = ckpt.latest_checkpoint(out / "checkpoints")
    elif which == "best":
        latest = ckpt.latest_checkpoint(out / "checkpoints")
        best = ckpt.load_checkpoint(latest)["loop"]["best_step"] if latest else None
        path = out / "checkpoints" / f"step-{best:08d}" if best is not None else None
    else:
        path = Path(which)
    if path is None:
        raise ValueError(f"{out} has no {which} checkpoint to export")
    objective.load_state_dict(load_state(path, objective.state_dict())["objective"])
    objective.export(Path(target))
    return Path(target)


def _is_sharded(objective: Objective) -> bool:
    return bool(getattr(objective, "is_sharded", False))


class _Run:
    """One process's part of a run."""

    def __init__(self, objective: Objective, config: LoopConfig, out: Path, resume: str, recipe: Any) -> None:
        self.objective, self.config, self.out = objective, config, out
        self.checkpoints = out / "checkpoints"
        self.meter = Meter()
        self.step = 0
        self.ranking: list[tuple[float, int]] = []
        """The best values of `best_metric` and their steps, best first; `keep_best` of them."""
        self.baseline: dict[str, float] = {}
        """What evaluation gave before the first step; empty where nobody asked for it."""
        self.seconds_before = 0.0
        self.recipe_text = dump_recipe(recipe) if recipe is not None else None
        if _is_sharded(objective) and config.checkpoint_format == "files":
            raise ValueError(
                f"the weights are spread over {distributed.world_size()} processes, none of which could write them "
                "into one file: set loop.checkpoint_format=dcp"
            )
        if distributed.is_main():
            ckpt.sweep(self.checkpoints)
        distributed.barrier()  # nobody writes into what is being swept
        self.writer = DcpWriter(self.checkpoints, config.keep) if config.checkpoint_format == "dcp" else None
        # Ranks draw different numbers (dropout, say); what must be equal on all is a function of (seed, step).
        ckpt.seed_everything(config.seed + 7919 * distributed.rank())
        self._resume(resume)
        if recipe is not None and distributed.is_main():
            dump_recipe(recipe, out / "recipe.yaml")

    def go(self) -> Path:
        config = self.config
        stop = Stop(config.max_minutes)
        last = config.steps if config.max_steps is None else min(config.steps, self.step + config.max_steps)
        log = None
        if distributed.is_main():
            log = MetricsLog(self.out, start_step=self.step, tensorboard=config.tensorboard)
        bar = tqdm(
            total=config.steps, initial=self.step, desc=self.objective.name, unit="step", smoothing=0.05,
            mininterval=0.5 if sys.stderr.isatty() else 30.0, dynamic_ncols=True, disable=log is None,
        )  # fmt: skip
        if log is not None and log.notice:
            bar.write(log.notice, file=sys.stderr)
        self.started = time.monotonic()
        row_seconds, row_steps = 0.0, 0
        try:
            with stop.listening():
                if self.step == 0 and config.eval_at_start:
                    self._evaluate(log, bar)
                while self.step < last and not distributed.any_rank(stop.reason() is not None):
                    begun = time.monotonic()
                    values = distributed.mean_values(self.objective.train_step(self.step))
                    row_seconds += time.monotonic() - begun
                    self._check(values, log)
                    self.step += 1
                    row_steps += 1
                    self.meter.add(values)
                    bar.update()
                    if self.step % config.log_every == 0 or self.step == config.steps:
                        means = self.meter.take() | {"steps_per_second": row_steps / max(row_seconds, 1e-9)}
                        if log is not None:
                            log.write(self.step, "train", means)
                        shown: dict[str, object] = {k: f"{means[k]:.4g}" for k in ("loss", "lr") if k in means}
                        bar.set_postfix(shown, refresh=False)
                        row_seconds, row_steps = 0.0, 0
                    evaluated = self.step % config.eval_every == 0 or self.step == config.steps
                    is_best = self._evaluate(log, bar) if evaluated else False
                    if is_best or self.step % config.checkpoint_every == 0 or self.step == config.steps:
                        self._save()
                if self.step < config.steps:
                    self._save()
            if self.writer is not None:
                self.writer.wait()
        finally:
            bar.close()
            if log is not None:
                log.close()
        if log is not None:
            self._plot()
        if self.step < config.steps:
            distributed.barrier()  # rank 0 has written it
            path = ckpt.latest_checkpoint(self.checkpoints)
            assert path is not None
            if log is not None:
                counted = f"max_steps={config.max_steps} are done" if self.step == last else "another process ended"
                print(
                    f"{stop.reason() or counted}: stopped after step {self.step:,} of "
                    f"{config.steps:,}, checkpoint {path}\nthe same command with --out {self.out} goes on from there",
                    file=sys.stderr,
                )
            return path
        self._export()
        if log is not None:
            self._tell_improvement()
        return self.out / "export"

    def _resume(self, resume: str) -> None:
        latest = ckpt.latest_checkpoint(self.checkpoints)
        if resume == "auto":
            path = latest
        elif resume == "never":
            if latest is not None:
                raise ValueError(f"{self.out} already holds a run ({latest.name}); resume it or give another --out")
            path = None
        else:
            path = Path(resume)
            if latest is not None and path.resolve() != latest.resolve():
                raise ValueError(
                    f"{self.out} already holds a run up to {latest.name}; to start from {path}, give another --out"
                )
        if path is None:
            return
        present = self.objective.state_dict()
        state = load_state(path, present)
        loop = state["loop"]
        if loop is None:  # weights alone: a run begins with them
            kept = {name: present[name] for name in ("optimizer",) if name in present}
            self.objective.load_state_dict(kept | state["objective"])
            if distributed.is_main():
                print(f"starting {self.out} with the weights of {path}", file=sys.stderr)
            return
        if loop["objective"] != self.objective.name:
            raise ValueError(f"{path} is a checkpoint of {loop['objective']!r}, not of {self.objective.name!r}")
        self.objective.load_state_dict(state["objective"])
        self.meter.load_state_dict(loop["meter"])
        self.step = loop["step"]
        self.ranking = [(value, step) for value, step in loop.get("ranking") or [(loop["best"], loop["best_step"])]]
        self.ranking = [entry for entry in self.ranking if entry[1] is not None][: self.config.keep_best]
        self.seconds_before = loop["seconds"]
        self.baseline = loop.get("baseline") or {}
        if path.resolve().parent != self.checkpoints.resolve():
            self.ranking = [(value, -1) for value, _ in self.ranking]  # those stay in the other run's folder
        others = state.get("random_of_ranks", [])
        if distributed.is_main():
            ckpt.restore_random_states(state["random"])
        elif distributed.rank() < len(others):
            ckpt.restore_random_states(others[distributed.rank()])
        else:  # fewer processes wrote it: this one's numbers begin anew, and differently at every step
            ckpt.seed_everything(self.config.seed + 7919 * distributed.rank() + self.step)
        if not distributed.is_main():
            return
        print(f"resuming {self.out} from {path.name}", file=sys.stderr)
        saved = path / "recipe.yaml"
        if self.recipe_text is not None and saved.is_file():
            for line in differences(
                yaml.safe_load(saved.read_text(encoding="utf-8")), yaml.safe_load(self.recipe_text)
            ):
                print(f"  changed since: {line}", file=sys.stderr)

    def _evaluate(self, log: MetricsLog | None, bar: "tqdm[Any]") -> bool:
        """Evaluate and log; True where this is the best so far."""
        states = ckpt.random_states()
        measured = {name: float(value) for name, value in self.objective.evaluate(self.step).items()}
        values: dict[str, float] = distributed.from_main(measured)
        ckpt.restore_random_states(states)
        if log is not None:
            log.write(self.step, "eval", values)
            if self.baseline:
                log.write(self.step, "change", changes(values, self.baseline))
            brief = {name: value for name, value in values.items() if not is_detail(name)}
            shown = "  ".join(against(name, value, self.baseline.get(name)) for name, value in brief.items())
            bar.write(f"step {self.step:,}  eval  {shown}", file=sys.stderr)
        if self.step == 0:
            self.baseline = values
        name = self.config.best_metric
        if name is None:
            return False
        if name not in values:
            raise ValueError(f"best_metric is {name!r}, but evaluation gives {', '.join(values) or 'nothing'}")
        sign = 1.0 if self.config.best_mode == "min" else -1.0
        if self.step == 0 or not math.isfinite(values[name]):
            return False
        ranking = sorted([*self.ranking, (values[name], self.step)], key=lambda entry: (sign * entry[0], entry[1]))
        self.ranking = ranking[: self.config.keep_best]
        return any(step == self.step for _, step in self.ranking)

    @property
    def best_step(self) -> int | None:
        """The step to export, where one was best and its checkpoint is this run's."""
        return self.ranking[0][1] if self.ranking and self.ranking[0][1] >= 0 else None

    def _check(self, values: Mapping[str, float], log: MetricsLog | None) -> None:
        for name, value in values.items():
            if name.split("/")[0] in ("loss", "grad_norm") and not math.isfinite(value):
                if log is not None:
                    log.write(self.step + 1, "train", {key: float(number) for key, number in values.items()})
                if self.writer is not None:
                    self.writer.wait()  # the one that is being written is good
                last = ckpt.latest_checkpoint(self.checkpoints)
                kept = f"the last good checkpoint is {last}" if last else "there is no checkpoint yet"
                raise NonFiniteLoss(
                    f"{name} is {float(value)} at step {self.step + 1}; {kept}; "
                    "lower the learning rate or the clipping norm (an override such as optim.lr=1e-4), then resume"
                )

    def _save(self) -> None:
        states = distributed.from_all(ckpt.random_states())
        if not distributed.is_main() and self.writer is None:
            return
        loop = {
            "objective": self.objective.name, "step": self.step, "meter": self.meter.state_dict(),
            "best": self.ranking[0][0] if self.ranking else None, "best_step": self.best_step, "ranking": self.ranking,
            "seconds": self.seconds_before + time.monotonic() - self.started, "baseline": self.baseline,
        }  # fmt: skip
        state = {"loop": loop, "objective": self.objective.state_dict(), "random": states[0]}
        if len(states) > 1:
            state["random_of_ranks"] = states
        protect = [step for _, step in self.ranking]
        if self.writer is not None:
            describe = getattr(self.objective, "describe_model", None)
            self.writer.save(self.step, state, self.recipe_text, protect, describe)
            return
        ckpt.save_checkpoint(self.checkpoints, self.step, state, self.recipe_text)
        ckpt.prune_checkpoints(self.checkpoints, self.config.keep, protect)

    def _plot(self) -> None:
        try:
            plot_curves(self.out / "metrics.jsonl", self.out / "curves.png")
        except ImportError:
            print("matplotlib is not installed, no curves drawn; pip install 'aoede[plot]' adds it", file=sys.stderr)

    def _export(self) -> None:
        together = _is_sharded(self.objective)
        if self.best_step is not None and self.best_step != self.step:
            path = self.checkpoints / f"step-{self.best_step:08d}"
            if distributed.is_main() or together or is_dcp(path):
                self.objective.load_state_dict(load_state(path, self.objective.state_dict())["objective"])
        if distributed.is_main() or together:
            self.objective.export(self.out / "export")

    def _tell_improvement(self) -> None:
        """What was exported, beside the baseline; says nothing where none was measured."""
        exported = self.best_step if self.best_step is not None else self.step
        found = [row for row in read_log(self.out / "metrics.jsonl") if row["phase"] == "eval"]
        last = next((row for row in reversed(found) if row["step"] == exported), None)
        if not self.baseline or last is None or exported == 0:
            return
        print(f"exported step {exported:,}; validation before the first step -> after it", file=sys.stderr)
        for name, value in last.items():
            if name in self.baseline and not is_detail(name) and isinstance(value, float | int):
                print(f"  {against(name, float(value), self.baseline[name])}", file=sys.stderr)
