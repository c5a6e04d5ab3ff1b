"""The prior objective: a language model learns to go on with text and with speech, of many sources and languages.

In: rows of packed documents, each text alone or speech alone (or text before its speech), in the order that a mixture's
plan says. Predicted: every id of a document from those before it in the same document, among the ids that its place
allows: text among text rows, each code among the codebook of its slot. Averaged over all trained ids of a step,
whatever the number of processes and of batches it is split into. `prior_model.py` makes and writes the model,
`prior_validation.py` measures the dev splits; the loop is `loop.py`'s, what a row holds `aoede.data.mixture`'s.
"""

import dataclasses
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from aoede.data.mixture import MixtureData, MixturePlan
from aoede.evaluation.likelihood import autocast, label_shifts
from aoede.models.adapters import AdapterConfig, adapt
from aoede.training import distributed, loop
from aoede.training.loop import LoopConfig
from aoede.training.model_folder import describe_model
from aoede.training.objective import TrainedState
from aoede.training.optim import OptimConfig, Optimizer
from aoede.training.prior_model import PriorModelConfig, build_model, decoupled_rows, tokenizer_of, write_model
from aoede.training.prior_validation import Validation, ValidationConfig
from aoede.training.schedule import ScheduleConfig, factor
from aoede.training.sharded import parallelise


@dataclass(frozen=True, kw_only=True)
class PriorLoopConfig(LoopConfig):
    """`LoopConfig`, whose steps the plan may say."""

    steps: int = 0
    """Updates in all; 0 is as many as the plan has rows for."""

    best_metric: str | None = None
    """`loss/even` keeps and exports the step where the dev loss, sources weighed alike, was lowest. (`loss` follows the
    phase's shares, so it does not compare across phases.) None exports the last step."""

    def __post_init__(self) -> None:
        if self.steps == 0:
            dataclasses.replace(self, steps=1)  # the other fields are checked now
        else:
            super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class PriorRecipe:
    """Everything `aoede train prior` takes."""

    plan: str
    """Folder that `aoede mix` wrote: which documents stand in which row, phase after phase."""

    packed: str | None = None
    """Where the packed documents are now; None: where the plan says."""

    model: PriorModelConfig
    rows_per_step: int
    """Rows of the plan an update, those of all processes together."""

    accumulate: int = 1
    """Batches into which a process splits its rows of a step; the update is the same."""

    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    loop: PriorLoopConfig = field(default_factory=PriorLoopConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    precision: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16`: products under autocast; weights and optimiser stay float32."""

    gradient_checkpointing: bool = False
    """Compute each layer again in the backward pass instead of keeping what it made."""

    adapter: AdapterConfig | None = None
    """Train a LoRA or DoRA beside the frozen model, and the new rows in full; the export has it apart and merged."""

    parallel: Literal["none", "ddp", "fsdp"] = "ddp"
    """What several processes share: `ddp` the batch, `fsdp` weights and optimiser too; `none` refuses to be several."""

    shard_size: int | None = None
    """Of `fsdp`: processes that share one copy of the weights; null is all of them."""

    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        for name in ("rows_per_step", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be 1 or more")
        if self.rows_per_step % self.accumulate:
            raise ValueError(f"rows_per_step {self.rows_per_step} cannot be split into {self.accumulate} equal batches")
        if self.adapter is not None and self.parallel == "fsdp":
            raise ValueError("an adapter is small: train it with parallel=ddp, fsdp would spread the frozen model only")
        if self.adapter is not None and self.model.base is None:
            raise ValueError("an adapter stands on a pretrained model: give model.base, or leave adapter at null")


def train(recipe: PriorRecipe, out_dir: str | Path, resume: str = "auto") -> Path:
    """Train, and export a model folder; see `loop.run` for the run. Under torchrun, call it in every process."""
    with distributed.group(recipe.device) as device:
        recipe = resolve(recipe, MixturePlan.load(recipe.plan, recipe.packed))
        objective = PriorObjective(recipe, out_dir, device)
        if distributed.is_main():
            for line in objective.describe():
                print(line, file=sys.stderr)
        return loop.run(objective, recipe.loop, out_dir, resume, recipe=recipe)


def resolve(recipe: PriorRecipe, plan: MixturePlan) -> PriorRecipe:
    """The recipe with the number of steps that the plan allows.

    Raises:
        ValueError: more steps than the plan has rows for, or less than one.
    """
    most = plan.num_rows // recipe.rows_per_step
    if most < 1 or recipe.loop.steps > most:
        raise ValueError(
            f"{max(1, recipe.loop.steps):,} steps of {recipe.rows_per_step} rows need more than the {plan.num_rows:,} "
            f"rows of {recipe.plan}, which give {most:,}: set loop.steps=0 for all there are, or mix a longer plan"
        )
    return dataclasses.replace(recipe, loop=dataclasses.replace(recipe.loop, steps=recipe.loop.steps or most))


class PriorObjective:
    """A step: rows of the plan, loss, gradient, update."""

    name = "prior"

    def __init__(self, recipe: PriorRecipe, out_dir: str | Path, device: torch.device | None = None) -> None:
        """`device` is this process's own, which `distributed.group` gives; None is for a process alone."""
        self.recipe = recipe
        self.out = Path(out_dir)
        self.device = device if device is not None else distributed.device_of(recipe.device)
        if recipe.loop.threads is not None:
            torch.set_num_threads(recipe.loop.threads)
        self.share = distributed.share(recipe.rows_per_step)
        if (self.share.stop - self.share.start) % recipe.accumulate:
            raise ValueError(
                f"each process has {self.share.stop - self.share.start} rows a step, which {recipe.accumulate} batches "
                "(accumulate) do not divide; change one of them"
            )
        self.plan = MixturePlan.load(recipe.plan, recipe.packed)
        self.data = MixtureData(self.plan)
        torch.manual_seed(recipe.loop.seed)
        self.model = build_model(recipe.model, self.plan, seed=recipe.loop.seed)
        self.adapted = None
        if recipe.adapter is not None:
            self.adapted = adapt(self.model, recipe.adapter, seed=recipe.loop.seed)  # its layers stand in the model
        if recipe.gradient_checkpointing:
            recompute = getattr(self.model, "activation_checkpointing_enable", None)  # its name from 5.2x on
            (recompute or self.model.gradient_checkpointing_enable)({"use_reentrant": False})
        gathered = torch.bfloat16 if recipe.precision == "bfloat16" and self.device.type == "cuda" else None
        self.parallel = parallelise(
            self.model,
            recipe.parallel,
            self.device,
            shard_size=recipe.shard_size,
            gather_dtype=gathered if recipe.parallel == "fsdp" else None,
        )
        self.is_sharded = self.parallel.is_sharded
        rows, new = decoupled_rows(self.model)
        self.optimizer = Optimizer(self.model, recipe.optim, decoupled=rows, new_rows=new)
        self.state = TrainedState(self.model, self.optimizer, adapter_only=self.adapted is not None)
        self.validation = Validation(self.plan, self.model.vocabulary, recipe.validation)

    def describe(self) -> list[str]:
        """What a person wants to know before the first step."""
        recipe, plan, vocabulary = self.recipe, self.plan, self.model.vocabulary
        parameters = [(p.numel(), p.requires_grad) for p in self.model.parameters()]
        total, moving = sum(n for n, _ in parameters), sum(n for n, moves in parameters if moves)
        trained = "" if moving == total else f", {moving / 1e6:.1f} M of them trained"
        steps, rows = recipe.loop.steps, recipe.rows_per_step
        lines = [
            f"model: {total / 1e6:.1f} M parameters{trained}, {vocabulary.size:,} ids ({vocabulary.text_size:,} text, "
            f"frames {vocabulary.layout}) on {self.device}",
            f"{steps:,} steps of {rows} rows of {plan.row_tokens:,} ids: {steps * rows * plan.row_tokens:,} places, "
            f"{plan.num_rows - steps * rows:,} of the plan's {plan.num_rows:,} rows are left over",
        ]
        for phase in plan.phases:
            end = (phase.first_row + phase.num_rows) / rows
            lines.append(f"phase {phase.name}: to step {end:,.0f}, {phase.num_tokens:,} ids")
        return [*lines, self.validation.describe()]

    def train_step(self, step: int) -> dict[str, float]:
        recipe = self.recipe
        self.model.train()
        size = (self.share.stop - self.share.start) // recipe.accumulate
        first = step * recipe.rows_per_step + self.share.start
        batches = [self.data.batch(first + i * size, size) for i in range(recipe.accumulate)]
        # Each process's loss is its sum over the processes' mean count, so that the mean of their gradients is the
        # gradient of the mean over all ids of the step.
        trained = self.parallel.items(sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in batches))
        sums: dict[str, float] = {}
        for batch in batches:
            with autocast(self.device, recipe.precision):
                output = self.model(**self._place(batch), num_items_in_batch=trained)
            output.loss.backward()
            sums["loss"] = sums.get("loss", 0.0) + output.loss.item()
            for name, mean in output.losses.items():
                sums[f"sum/{name}"] = sums.get(f"sum/{name}", 0.0) + float(mean) * output.counts[name]
                sums[f"count/{name}"] = sums.get(f"count/{name}", 0.0) + output.counts[name]
        metrics = self._over_processes(sums)
        if not math.isfinite(metrics["loss"]):
            return metrics  # the loop stops here, with weights that are still good
        self.parallel.reduce(self.optimizer.parameters)
        rate = factor(recipe.schedule, step, recipe.loop.steps)
        metrics["grad_norm"] = self.optimizer.step(rate)
        return metrics | {"lr": rate * recipe.optim.lr, "ids": trained * distributed.world_size()}

    def evaluate(self, step: int) -> dict[str, float]:
        """Loss of each range on the dev splits, by source and blended by the phase's shares; the label-shift check."""
        row = max(0, step * self.recipe.rows_per_step - 1)
        phase = self.plan.phases[self.plan.phase_of_row(min(row, self.plan.num_rows - 1))]
        found = self.validation.measure(self.model, step, phase, precision=self.recipe.precision)
        if distributed.is_main():
            self.validation.write(self.out, found)
        values = found.metrics()
        shifts = label_shifts(self.model, self.validation.speech_batches, precision=self.recipe.precision)
        return values | {f"alignment/{shift:+d}": loss for shift, loss in (shifts.losses if shifts else {}).items()}

    def state_dict(self) -> dict[str, Any]:
        return self.state.save()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state.load(state)

    def export(self, directory: Path) -> None:
        """Write the model folder: weights, tokenizer, augmented.yaml, and the code that loads them without Aoede. Of
        sharded weights every process brings its part."""
        write_model(directory, self.model, self.plan, self.recipe.model, self.adapted)

    def describe_model(self, directory: Path) -> None:
        """Write all of the export folder but the weights, for checkpoints of format dcp."""
        if self.adapted is None:  # else a checkpoint holds the adapter alone
            describe_model(self.model, tokenizer_of(self.plan), directory)

    def _place(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        names = ("input_ids", "labels", "position_ids")
        return {name: batch[name].to(self.device, non_blocking=True) for name in names}

    def _over_processes(self, sums: dict[str, float]) -> dict[str, float]:
        """The step's loss and that of each range, over all processes; every process gets the same names."""
        names = self.validation.ranges
        keys = ["loss", *(f"{what}/{name}" for name in names for what in ("sum", "count"))]
        means = distributed.mean_values({key: sums.get(key, 0.0) for key in keys})
        ranges = {f"loss/{n}": means[f"sum/{n}"] / means[f"count/{n}"] for n in names if means[f"count/{n}"]}
        return {"loss": means["loss"]} | ranges
