"""The two-stage objective: a backbone learns slot 0 of every next frame, a depth decoder the frame's other slots.

In: rows of frames, a turn each or several: text frames, then the codes that speak them, then the stop frame. Predicted:
slot 0 of every trained frame from all frames before it; the other slots from the backbone's state and the slots before
them, on all trained frames or on one of `amortization_ratio`, drawn anew in every epoch. Averaged over the trained
entries of an update, each stage by itself; the text, and turns that are only context, are masked. `two_stage_data.py`
makes the rows, `two_stage_model.py` the model, `voice_folder.py` writes the result; the loop is `loop.py`'s.
"""

import copy
import dataclasses
import math
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from aoede.codec import Snac
from aoede.data.collate import IGNORED
from aoede.data.conversation import EncodedConversation
from aoede.evaluation.likelihood import autocast
from aoede.models import amortized_frames
from aoede.models.two_stage.adapters import (
    TwoStageAdapterConfig,
    adapt_two_stage,
    merge_two_stage_adapter,
    save_two_stage_adapter,
)
from aoede.training import distributed
from aoede.training.loop import LoopConfig, run
from aoede.training.objective import TrainedState, check_accumulate, main_first
from aoede.training.optim import EMA, OptimConfig, Optimizer
from aoede.training.schedule import ScheduleConfig, factor
from aoede.training.sharded import parallelise
from aoede.training.speech import TextStrideConfig
from aoede.training.speech_data import SpeechData, SpeechDataConfig, load_speech_data
from aoede.training.two_stage_conversations import (
    ConversationData,
    ConversationDataConfig,
    load_conversation_data,
)
from aoede.training.two_stage_data import (
    ContextConfig,
    ConversationRows,
    RowBatches,
    Rows,
    UtteranceRows,
    collate,
)
from aoede.training.two_stage_model import TwoStageModelConfig, build_model
from aoede.training.voice_folder import VoiceConfig, default_speaker, write_voice

_ROWS = ("slot0_head", "depth_heads", "slot_gains")
"""Rows of outputs and of slots, which are no hidden matrices: Muon leaves them to AdamW."""


@dataclass(frozen=True, kw_only=True)
class TwoStageRecipe:
    """Everything `aoede train two-stage` takes."""

    model: TwoStageModelConfig
    loop: LoopConfig
    data: SpeechDataConfig | None = None
    """Coded clips, as `aoede train speech` reads them."""

    conversations: ConversationDataConfig | None = None
    """In place of `data`: conversations that were written down, with their own context and masks."""

    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    voice: VoiceConfig = field(default_factory=VoiceConfig)

    context: ContextConfig | None = None
    """Earlier turns before a clip; None: every clip stands alone."""

    frames_per_batch: int = 4096
    """Rows times the longest row of a batch, padding included; a text id is a frame, and so are S codes."""

    accumulate: int = 1
    """Batches an update; their entries are averaged as if they were one."""

    amortization_ratio: int = 1
    """The depth decoder trains on one of so many frames of each row; only those are computed."""

    depth_loss_weight: float = 1.0
    """loss = backbone_loss + this * depth_loss, each a mean over entries. As many as there are slots after the first
    makes it the likelihood of whole frames."""

    adapter: TwoStageAdapterConfig | None = None
    """Train a LoRA or DoRA beside the frozen base, by name of stages and layers; the export has it apart and merged."""

    text_stride: TextStrideConfig | None = None
    """None: ordinary positions; else the text of a turn and its frames share one clock."""

    speaker_dropout: float = 0.0
    """Share of rows that are read without their speaker tokens."""

    code_noise: float = 0.0
    """Share of codes that are replaced, as input only, by a random code of the same slot: the model learns to go on
    after its own mistakes."""

    ema: float | None = None
    """Decay of an average of the weights, which is evaluated and exported; None: the weights themselves."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16`: products under autocast; weights and optimiser stay float32."""

    parallel: Literal["none", "ddp"] = "ddp"
    """Several processes share the batches of an update (`accumulate` must be a multiple of the processes); `none`
    refuses to be several."""

    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        for name in ("frames_per_batch", "accumulate", "amortization_ratio"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be 1 or more")
        for name in ("speaker_dropout", "code_noise"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}, but must lie in [0, 1): it is a share")
        if not self.depth_loss_weight > 0.0:
            raise ValueError(f"depth_loss_weight is {self.depth_loss_weight}, but must be above 0")
        if (self.data is None) == (self.conversations is None):
            raise ValueError("give either data (coded clips) or conversations, and not both")
        if self.data is not None and self.data.codec is None:
            raise ValueError("data.codec is missing: name the folder of the codec that made the codes")
        for name, given in (("context", self.context), ("speaker_dropout", self.speaker_dropout)):
            if given and self.conversations is not None:
                raise ValueError(f"{name} is for clips (data); conversations say themselves who speaks before whom")
        if self.adapter is not None and self.model.base is None:
            raise ValueError("an adapter stands on a trained model: give model.base, or leave adapter at null")
        if self.adapter is not None and self.ema is not None:
            raise ValueError("ema averages all weights, and an adapter trains a few: leave one of them at null")


def train(recipe: TwoStageRecipe, out_dir: str | Path, resume: str = "auto") -> Path:
    """Train, and export a voice folder. Returns it (or the checkpoint of a run that was stopped early). Under torchrun,
    call it in every process."""
    with distributed.group(recipe.device) as device:
        objective = TwoStageObjective(recipe, out_dir, device)
        if distributed.is_main():
            for line in objective.describe():
                print(line, file=sys.stderr)
        return run(objective, recipe.loop, out_dir, resume, recipe=recipe)


class TwoStageObjective:
    """A step: batch, two losses, gradient, update."""

    name = "two-stage"

    def __init__(self, recipe: TwoStageRecipe, out_dir: str | Path, device: torch.device | None = None) -> None:
        """`device` is this process's own, which `distributed.group` gives; None is for a process alone."""
        self.recipe = recipe
        self.device = device if device is not None else distributed.device_of(recipe.device)
        check_accumulate(recipe.accumulate)
        if recipe.loop.threads is not None:
            torch.set_num_threads(recipe.loop.threads)
        seed = recipe.loop.seed
        given = recipe.data or recipe.conversations
        assert given is not None and given.codec is not None
        self.codec = Snac.from_pretrained(given.codec)
        self.data: SpeechData | ConversationData
        with main_first():
            if isinstance(given, SpeechDataConfig):
                self.data = load_speech_data(given, self.codec, recipe.model.folder, Path(out_dir))
            else:
                self.data = load_conversation_data(given, self.codec, recipe.model, Path(out_dir))
        default_speaker(recipe.voice, self.data)  # a wrong name must not wait until the export
        torch.manual_seed(seed)
        self.model, added = build_model(
            recipe.model,
            self.data.vocabulary,
            self.codec,
            text_stride=None if recipe.text_stride is None else self.data.mean_text_stride,
            amortization_ratio=recipe.amortization_ratio,
            depth_loss_weight=recipe.depth_loss_weight,
        )
        self.adapted = None
        if recipe.adapter is not None:  # its layers stand in the model
            rows = added if recipe.adapter.new_text_rows else ()
            self.adapted = adapt_two_stage(self.model, recipe.adapter, new_text_rows=rows, seed=seed)
        self.parallel = parallelise(self.model, recipe.parallel, self.device)
        optim = dataclasses.replace(recipe.optim, muon_exclude=(*recipe.optim.muon_exclude, *_ROWS))
        self.optimizer = Optimizer(self.model, optim)
        self.ema = EMA(self.model, recipe.ema) if recipe.ema is not None else None
        self.state = TrainedState(self.model, self.optimizer, ema=self.ema, adapter_only=self.adapted is not None)
        config = self.model.config
        self.slots = config.num_slots
        self.stop = torch.tensor(config.stop_frame)
        self.train_rows: Rows
        self.dev_rows: Rows
        if isinstance(self.data, ConversationData):
            self.train_rows, self.dev_rows = ConversationRows(self.data.train), ConversationRows(self.data.dev)
        else:
            self.train_rows = UtteranceRows(
                self.data.train, self.data.vocabulary, config.stop_frame, context=recipe.context,
                speaker_tokens=self.data.speaker_ids, speaker_dropout=recipe.speaker_dropout, seed=seed,
            )  # fmt: skip
            self.dev_rows = UtteranceRows(self.data.dev, self.data.vocabulary, config.stop_frame)
        self.batches = RowBatches(self.train_rows, recipe.frames_per_batch, seed=seed)
        dev = RowBatches(self.dev_rows, recipe.frames_per_batch, spread=0.0)
        self.dev = [[self.dev_rows.row(0, i) for i in indices.tolist()] for indices in dev.epoch(0)]
        layout = self.data.vocabulary.layout
        self.levels = [self.data.vocabulary.level_names[level] for level in layout.levels]
        """The level of each slot, by name."""

    def describe(self) -> list[str]:
        """What a person wants to know before the first step."""
        stages = (self.model.backbone, self.model.depth_decoder)
        whole, inner, depth = (sum(p.numel() for p in m.parameters()) / 1e6 for m in (self.model, *stages))
        moving = sum(p.numel() for p in self.model.parameters() if p.requires_grad) / 1e6
        trained = f", {moving:.2f} M of them trained" if self.adapted is not None else ""
        steps = len(self.batches.epoch(0)) / self.recipe.accumulate
        frames = sum(self.train_rows.lengths(0))
        return [
            *self.data.report,
            f"model: {whole:.1f} M parameters{trained} (backbone {inner:.1f}, depth decoder {depth:.1f}, rows of codes "
            f"and text {whole - inner - depth:.1f}), frames {self.data.vocabulary.layout} on {self.device}",
            f"an epoch: {self.data.hours:.2f} h, {frames:,} frames, {steps:.0f} steps; "
            f"{self.recipe.loop.steps:,} steps are {self.recipe.loop.steps / steps:.1f} epochs",
        ]

    def train_step(self, step: int) -> dict[str, float]:
        recipe = self.recipe
        self.model.train()
        numbers = range(step * recipe.accumulate, (step + 1) * recipe.accumulate)
        batches = [self._batch(number) for number in numbers[distributed.share(recipe.accumulate)]]
        counts = [self._trained(batch) for batch in batches]
        of_first = self.parallel.items(sum(first for first, _ in counts))
        of_rest = self.parallel.items(sum(rest for _, rest in counts))
        sums = {f"{what}/{name}": 0.0 for name in dict.fromkeys(self.levels) for what in ("sum", "count")}
        sums |= {"first": 0.0, "rest": 0.0, "frames": 0.0}
        for batch, (first, rest) in zip(batches, counts, strict=True):
            with autocast(self.device, self.recipe.precision):
                output = self.model(**batch, return_logits=False)
            # The model's two means over this batch, as shares of the means over the whole update.
            shares = (output.backbone_loss * (first / of_first), output.depth_loss * (rest / of_rest))
            (shares[0] + recipe.depth_loss_weight * shares[1]).backward()
            sums["first"] += shares[0].item() / distributed.world_size()
            sums["rest"] += shares[1].item() / distributed.world_size()
            sums["frames"] += float((batch["input_ids"] >= 0).any(-1).sum())
            here = zip(self.levels, output.slot_losses.tolist(), output.slot_counts.tolist(), strict=True)
            for name, mean, count in here:
                sums[f"sum/{name}"] += mean * count
                sums[f"count/{name}"] += count
        sums = distributed.sum_values(sums)
        # A code's mean, whatever the share of frames that the depth decoder saw: comparable with a flat model's.
        loss = (sums["first"] + (self.slots - 1) * sums["rest"]) / self.slots
        metrics = {"loss": loss, "loss/backbone": sums["first"], "loss/depth": sums["rest"]} | {
            f"loss/{n}": sums[f"sum/{n}"] / sums[f"count/{n}"] for n in dict.fromkeys(self.levels) if sums[f"count/{n}"]
        }
        if not math.isfinite(loss):
            return metrics  # the loop stops here, with weights that are still good
        self.parallel.reduce(self.optimizer.parameters)
        rate = factor(recipe.schedule, step, recipe.loop.steps)
        metrics["grad_norm"] = self.optimizer.step(rate)
        if self.ema is not None:
            self.ema.update(self.model)
        return metrics | {"lr": rate * recipe.optim.lr, "frames": sums["frames"]}

    @torch.no_grad()
    def evaluate(self, step: int) -> dict[str, float]:
        """Loss of a code (the stop frames apart), of each stage and level, on the evaluation split at its exact pace;
        the label-shift check on its first batch."""
        self.model.train(False)
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}

        def add(name: str, values: Tensor) -> None:
            sums[name] = sums.get(name, 0.0) - float(values.sum())
            counts[name] = counts.get(name, 0) + values.numel()

        with self.ema.applied(self.model) if self.ema is not None else nullcontext():
            for rows in self.dev:
                batch = self._collate(rows)
                labels = batch["labels"]
                trained, is_sound = labels[..., 0] != IGNORED, self._is_sound(labels)
                with autocast(self.device, self.recipe.precision):
                    found = self.model.log_probs(
                        batch["input_ids"], frames=trained, text_stride=batch.get("text_stride")
                    )
                add("stop", found[trained & ~is_sound][:, 0])
                codes = found[is_sound]
                add("codes", codes)
                add("backbone", codes[:, 0])
                add("depth", codes[:, 1:])
                for slot, level in enumerate(self.levels):
                    add(level, codes[:, slot])
            shifts = self.label_shifts(self.dev[0])
        means = {f"loss/{name}": sums[name] / max(1, counts[name]) for name in sums if name != "codes"}
        loss = sums["codes"] / max(1, counts["codes"])
        return {"loss": loss} | means | {f"alignment/{shift:+d}": value for shift, value in shifts.items()}

    @torch.no_grad()
    def label_shifts(self, rows: Sequence[EncodedConversation]) -> dict[int, float]:
        """Mean loss of a code when the state before a frame is asked for the frame one earlier (-1), that frame (0) and
        the one after it (+1). A model whose labels are aligned is lowest at 0."""
        batch = self._collate(rows)
        labels = batch["labels"]
        is_sound = self._is_sound(labels)
        # Frames whose neighbours on both sides are sound too: the three shifts judge the same states.
        inner = F.pad(is_sound[:, 1:-1] & is_sound[:, :-2] & is_sound[:, 2:], (1, 1))
        at, places = inner.nonzero(as_tuple=True)
        result = {}
        with autocast(self.device, self.recipe.precision):
            states = self.model.hidden_states(batch["input_ids"], text_stride=batch.get("text_stride"))
            hidden = states[at, places - 1]
            first = self.model.slot0_logits(hidden).float()
            for shift in (-1, 0, 1):
                codes = labels[at, places + shift]
                total = F.cross_entropy(first, codes[:, 0], reduction="sum")
                rest = self.model.depth_logits(hidden, codes).float()
                total = total + F.cross_entropy(rest.flatten(0, 1), codes[:, 1:].flatten(), reduction="sum")
                result[shift] = float(total) / max(1, codes.numel())
        return result

    def state_dict(self) -> dict[str, Any]:
        return self.state.save()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state.load(state)

    def export(self, directory: Path) -> None:
        """Write the voice folder (the averaged weights where there are any; an adapter merged, and by itself in
        `adapter/`)."""
        turns = 0 if self.recipe.context is None else self.recipe.context.turns
        more: dict[str, Any] = {"reference_speaker": "" if self.recipe.speaker_dropout > 0.0 else None}
        if isinstance(self.data, ConversationData):
            turns = max(len(talk.messages) for talk in self.data.train.conversations) - 1
            more["turn"] = self.data.turn
        model = self.model
        if self.adapted is not None:
            model = merge_two_stage_adapter(copy.deepcopy(self.adapted))  # a copy: the adapter goes on training
        with self.ema.applied(self.model) if self.ema is not None else nullcontext():
            write_voice(
                directory, self.recipe.voice, model, self.codec, self.data, kind="two-stage",
                context_turns=turns, **more,
            )  # fmt: skip
            if self.adapted is not None:
                save_two_stage_adapter(self.adapted, directory / "adapter")

    def _batch(self, number: int) -> dict[str, Tensor]:
        recipe = self.recipe
        generator = np.random.default_rng((recipe.loop.seed, 1, number))
        epoch, items = self.batches.batch(number)
        rows = [self.train_rows.row(epoch, item) for item in items]
        batch = self._collate(rows, generator)
        if recipe.amortization_ratio > 1:
            drawn = torch.zeros(batch["labels"].shape[:2], dtype=torch.bool)
            for place, row in enumerate(rows):
                drawn[place, : row.num_frames] = amortized_frames(
                    recipe.amortization_ratio, recipe.loop.seed, epoch, row.name, row.labels
                )
            batch["amortization"] = drawn.to(self.device)
        if recipe.code_noise > 0.0:
            batch["noisy_ids"] = self._corrupt(batch["input_ids"], generator)
        return batch

    def _collate(
        self, rows: Sequence[EncodedConversation], generator: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        stride = self.recipe.text_stride
        jitter = 0.0 if stride is None else stride.jitter
        batch = collate(rows, has_paces=stride is not None, jitter=jitter, generator=generator)
        return {name: tensor.to(self.device) for name, tensor in batch.items()}

    def _corrupt(self, ids: Tensor, generator: np.random.Generator) -> Tensor:
        """Some codes replaced by others of their slot; the stop frame, and the text, stay."""
        values = ids.cpu().numpy().copy()
        codes = values[..., : self.slots]
        is_stop = (codes == self.stop.numpy()).all(-1, keepdims=True)
        struck = (generator.random(codes.shape) < self.recipe.code_noise) & (codes >= 0) & ~is_stop
        sizes = np.broadcast_to(np.asarray(self.model.config.slot_sizes), codes.shape)[struck]
        codes[struck] = generator.integers(0, sizes)
        return torch.from_numpy(values).to(self.device)

    def _trained(self, batch: dict[str, Tensor]) -> tuple[int, int]:
        """Trained entries of slot 0, and of the slots that the depth decoder is trained on."""
        is_trained = batch["labels"] != IGNORED
        rest = is_trained[..., 1:]
        if "amortization" in batch:
            rest = rest & batch["amortization"][..., None]
        return int(is_trained[..., 0].sum()), int(rest.sum())

    def _is_sound(self, labels: Tensor) -> Tensor:
        """[B, F]: trained frames that are not the stop."""
        stop = self.stop.to(labels.device)
        return (labels[..., 0] != IGNORED) & ((labels != stop) & (stop >= 0)).any(-1)
