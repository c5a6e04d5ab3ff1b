"""The speech objective: a language model learns to write the codes of speech after reading a prompt.

In: coded clips with texts. Predicted: every code, and both markers, from all ids before it, each among the ids that its
slot allows. Averaged over all trained positions of a batch; the prompt is masked unless `text_loss` weighs it in.
`speech_data.py` makes the ids, `voice_folder.py` writes the result; the loop around it is `loop.py`'s.
"""

import math
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModelForCausalLM

from aoede.codec import Snac
from aoede.data.collate import SpeechExample, TokenBatches, collate
from aoede.evaluation.likelihood import autocast
from aoede.models import CodecCausalLM, extend
from aoede.training import distributed
from aoede.training.from_voice import StartingVoice
from aoede.training.loop import LoopConfig, run
from aoede.training.model_folder import describe_model, whole_model
from aoede.training.objective import TrainedState, check_accumulate, main_first
from aoede.training.optim import EMA, OptimConfig, Optimizer
from aoede.training.schedule import ScheduleConfig, factor
from aoede.training.scratch import ScratchConfig, from_scratch
from aoede.training.sharded import parallelise
from aoede.training.speech_data import SpeechData, SpeechDataConfig, load_speech_data, speaker_token
from aoede.training.voice_folder import VoiceConfig, default_speaker, write_voice


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What training begins from: a pretrained text model, nothing, or a voice."""

    base: str | None = None
    """Folder of a Hugging Face causal LM with its tokenizer; it is extended with the codec's ids."""

    scratch: ScratchConfig | None = None
    """Reads single characters (phoneme symbols), a token a speaker and a token an event."""

    init: str | None = None
    """A flat voice (a folder, a bundled voice's name, a repository) that learns other speakers or another language:
    its sizes, weights and tokens are taken, tokens it lacks are added."""

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.base, self.scratch, self.init)) != 1:
            raise ValueError(
                "give one of model.base (folder of a text model), model.scratch (sizes) and model.init (a voice)"
            )


@dataclass(frozen=True, kw_only=True)
class TextStrideConfig:
    """Parallel positions: text and audio share one clock (see `CodecLMConfig.text_stride`)."""

    jitter: float = 0.1
    """Training multiplies each clip's exact pace by a number drawn from [1 - jitter, 1 + jitter]: when speaking, the
    pace is only estimated."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.jitter < 1.0:
            raise ValueError(f"jitter is {self.jitter}, but must lie in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class SpeechRecipe:
    """Everything `aoede train speech` takes."""

    data: SpeechDataConfig
    model: ModelConfig
    loop: LoopConfig
    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    voice: VoiceConfig = field(default_factory=VoiceConfig)

    tokens_per_batch: int = 8192
    """Rows times the longest row of a batch, padding included."""

    accumulate: int = 1
    """Batches an update; their positions are averaged as if they were one."""

    text_loss: float = 0.0
    """Weight of a prompt's id in the loss beside a code's 1; 0 masks the prompt."""

    text_stride: TextStrideConfig | None = None
    """None: ordinary positions."""

    speaker_dropout: float = 0.0
    """Share of examples that are read without their speaker token."""

    text_dropout: float = 0.0
    """Share of examples that are read without their text, behind the speaker token alone: the model learns what speech
    is likely whatever is said, which `guidance` compares with when speaking (classifier-free guidance, Ho and Salimans
    2022). 0.1 is usual."""

    code_noise: float = 0.0
    """Share of codes that are replaced, as input only, by a random code of the same level: the model learns to go on
    after its own mistakes."""

    ema: float | None = None
    """Decay of an average of the weights, which is evaluated and exported; None: the weights themselves."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16`: products under autocast; weights and optimiser stay float32."""

    parallel: Literal["none", "ddp", "fsdp"] = "ddp"
    """What several processes share: `ddp` the batches of an update (`accumulate` must be a multiple of the processes),
    `fsdp` weights and optimiser too; `none` refuses to be several."""

    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        for name in ("tokens_per_batch", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be 1 or more")
        for name in ("speaker_dropout", "text_dropout", "code_noise"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}, but must lie in [0, 1): it is a share")
        if self.data.codec is None and self.model.init is None:
            raise ValueError("data.codec is missing: name the folder of the codec that made the codes")
        if self.text_loss < 0.0:
            raise ValueError(f"text_loss is {self.text_loss}, but must be 0 or more: it is a weight")


def train(recipe: SpeechRecipe, out_dir: str | Path, resume: str = "auto") -> Path:
    """Train, and export a voice folder. Returns it (or the checkpoint of a run that was stopped early). Under torchrun,
    call it in every process."""
    with distributed.group(recipe.device) as device:
        objective = SpeechObjective(recipe, out_dir, device)
        if distributed.is_main():
            for line in objective.describe():
                print(line, file=sys.stderr)
        return run(objective, recipe.loop, out_dir, resume, recipe=recipe)


class SpeechObjective:
    """A step: batch, loss, gradient, update."""

    name = "speech"

    def __init__(self, recipe: SpeechRecipe, out_dir: str | Path, device: torch.device | None = None) -> None:
        """`device` is this process's own, which `distributed.group` gives; None is for a process alone."""
        self.recipe = recipe
        self.device = device if device is not None else distributed.device_of(recipe.device)
        check_accumulate(recipe.accumulate)
        if recipe.loop.threads is not None:
            torch.set_num_threads(recipe.loop.threads)
        seed = recipe.loop.seed
        start = None if recipe.model.init is None else StartingVoice.load(recipe.model.init)
        self.codec = open_codec(recipe.data, start)
        with main_first():
            self.data: SpeechData = load_speech_data(recipe.data, self.codec, recipe.model.base, Path(out_dir), start)
        default_speaker(recipe.voice, self.data)  # a wrong name must not wait until the export
        torch.manual_seed(seed)
        self.model = build_model(recipe, self.data, start)
        self.parallel = parallelise(self.model, recipe.parallel, self.device)
        self.is_sharded = self.parallel.is_sharded
        self.optimizer = Optimizer(self.model, recipe.optim)
        self.ema = EMA(self.model, recipe.ema) if recipe.ema is not None else None
        self.state = TrainedState(self.model, self.optimizer, ema=self.ema)
        self.batches = TokenBatches([len(e.ids) for e in self.data.train], recipe.tokens_per_batch, seed=seed)
        dev = TokenBatches([len(e.ids) for e in self.data.dev], recipe.tokens_per_batch, spread=0.0)
        self.dev = [[self.data.dev[i] for i in indices] for indices in dev.epoch(0)]
        vocabulary = self.model.vocabulary
        self._code_ranges = [vocabulary.range_of(slot) for slot in range(vocabulary.num_slots)]
        # The text rows come first, then the markers, then a range a level (`CodecVocabulary.extend`).
        self._range_ids = {"text": range(vocabulary.text_size)}
        self._range_ids |= {
            n: range(i, i + 1) for n, i in (("open", vocabulary.open_id), ("close", vocabulary.close_id))
        }
        for level, ids in zip(vocabulary.layout.levels, self._code_ranges, strict=True):
            self._range_ids[vocabulary.level_names[level]] = ids

    def describe(self) -> list[str]:
        """What a person wants to know before the first step."""
        parameters = sum(p.numel() for p in self.model.parameters())
        vocabulary = self.model.vocabulary
        hours = sum(example.seconds for example in self.data.train) / 3600
        ids = sum(len(example.ids) for example in self.data.train)
        steps = len(self.batches.epoch(0)) / self.recipe.accumulate
        return [
            *self.data.report,
            f"model: {parameters / 1e6:.1f} M parameters, {vocabulary.size:,} ids ({vocabulary.text_size:,} text, "
            f"frames {vocabulary.layout}) on {self.device}",
            f"an epoch: {hours:.2f} h, {ids:,} ids, {steps:.0f} steps; {self.recipe.loop.steps:,} steps are "
            f"{self.recipe.loop.steps / steps:.1f} epochs",
        ]

    def train_step(self, step: int) -> dict[str, float]:
        recipe = self.recipe
        self.model.train()
        numbers = range(step * recipe.accumulate, (step + 1) * recipe.accumulate)
        batches = [self._batch(number) for number in numbers[distributed.share(recipe.accumulate)]]
        trained = self.parallel.items(sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in batches))
        sums = {f"{what}/{name}": 0.0 for name in self._range_ids for what in ("sum", "count")}
        sums |= {"loss": 0.0, "ids": float(sum(b["attention_mask"].sum() for b in batches))}
        for batch in batches:
            value, losses, number = self._loss(batch, trained)
            value.backward()
            sums["loss"] += value.item() / distributed.world_size()
            for name, mean in losses.items():
                sums[f"sum/{name}"] += mean * number[name]
                sums[f"count/{name}"] += number[name]
        sums = distributed.sum_values(sums)
        loss, ids = sums["loss"], sums["ids"]
        metrics = {"loss": loss} | {
            f"loss/{n}": sums[f"sum/{n}"] / sums[f"count/{n}"] for n in self._range_ids if sums[f"count/{n}"]
        }
        if not math.isfinite(loss):
            return metrics  # the loop stops here, with weights that are still good
        self.parallel.reduce(self.optimizer.parameters)
        rate = factor(recipe.schedule, step, recipe.loop.steps)
        metrics["grad_norm"] = self.optimizer.step(rate)
        if self.ema is not None:
            self.ema.update(self.model)
        return metrics | {"lr": rate * recipe.optim.lr, "ids": ids}

    @torch.no_grad()
    def evaluate(self, step: int) -> dict[str, float]:
        """Loss of each range on the evaluation split, at the exact pace; the label-shift check on its first batch."""
        self.model.eval()
        with self.ema.applied(self.model) if self.ema is not None else nullcontext():
            sums: dict[str, float] = {}
            counts: dict[str, int] = {}
            for examples in self.dev:
                batch = self._collate(examples, None, train_text=self.recipe.text_loss > 0.0)
                with autocast(self.device, self.recipe.precision):
                    output = self.model(
                        input_ids=batch["input_ids"], labels=batch["labels"], text_stride=batch.get("text_stride")
                    )
                for name, value in output.losses.items():
                    sums[name] = sums.get(name, 0.0) + float(value) * output.counts[name]
                    counts[name] = counts.get(name, 0) + output.counts[name]
            shifts = self.label_shifts(self.dev[0])
        audio = [name for name in sums if name != "text"]
        total = sum(sums[name] for name in audio) / sum(counts[name] for name in audio)
        means = {f"loss/{name}": sums[name] / counts[name] for name in sums}
        return {"loss": total} | means | {f"alignment/{shift:+d}": value for shift, value in shifts.items()}

    @torch.no_grad()
    def label_shifts(self, examples: list[SpeechExample]) -> dict[int, float]:
        """Mean loss when the hidden state before a code is asked for the code one earlier (-1), that code (0) and the
        one after it (+1), each among the ids of its own slot. A model whose labels are aligned is lowest at 0."""
        batch = self._collate(examples, None)
        with autocast(self.device, self.recipe.precision):
            hidden, _ = self.model.hidden_states(batch["input_ids"], text_stride=batch.get("text_stride"))
        slots = len(self._code_ranges)
        result = {}
        for shift in (-1, 0, 1):
            total, count = 0.0, 0
            for slot in range(slots):
                rows, places, targets = [], [], []
                for row, example in enumerate(examples):
                    first = example.num_text + 1
                    # Codes whose neighbours on both sides are codes too: the three shifts judge the same states.
                    at = np.arange(first + 1, first + example.num_codes - 1)
                    at = at[(at + shift - first) % slots == slot]
                    rows.append(np.full(len(at), row))
                    places.append(at - 1)
                    targets.append(example.ids[at + shift])
                row_at, place_at = np.concatenate(rows), np.concatenate(places)
                if len(row_at) == 0:
                    continue
                states = hidden[torch.from_numpy(row_at), torch.from_numpy(place_at)].to(self.model.dtype)
                logits, ids = self.model.routed_logits(states, slot)
                wanted = torch.from_numpy(np.concatenate(targets).astype(np.int64)).to(self.device)
                columns = torch.searchsorted(ids, wanted)
                total += float(F.cross_entropy(logits.float(), columns, reduction="sum"))
                count += len(row_at)
            result[shift] = total / max(1, count)
        return result

    def state_dict(self) -> dict[str, Any]:
        return self.state.save()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state.load(state)

    def export(self, directory: Path) -> None:
        """Write the voice folder (the averaged weights where there are any)."""
        with self.ema.applied(self.model) if self.ema is not None else nullcontext():
            model = whole_model(self.model) if self.is_sharded else self.model
            if model is not None:
                write_voice(directory, self.recipe.voice, model, self.codec, self.data)

    def describe_model(self, directory: Path) -> None:
        """What a checkpoint in parts says of its model."""
        describe_model(self.model, self.data.tokenizer, directory)

    def _batch(self, number: int) -> dict[str, Tensor]:
        generator = np.random.default_rng((self.recipe.loop.seed, 1, number))
        examples = [self.data.train[i] for i in self.batches.batch(number)]
        if self.recipe.speaker_dropout > 0.0:
            drop = generator.random(len(examples)) < self.recipe.speaker_dropout
            tokens = self.data.speaker_ids
            examples = [e.without(tokens[e.speaker]) if d else e for e, d in zip(examples, drop.tolist(), strict=True)]
        if self.recipe.text_dropout > 0.0:
            drop = generator.random(len(examples)) < self.recipe.text_dropout
            kept, pad = list(self.data.speaker_ids.values()), self.data.pad_id
            examples = [e.without_text(kept, pad) if d else e for e, d in zip(examples, drop.tolist(), strict=True)]
        batch = self._collate(examples, generator, train_text=self.recipe.text_loss > 0.0)
        if self.recipe.code_noise > 0.0:
            batch["input_ids"] = self._corrupt(batch["input_ids"], generator)
        return batch

    def _collate(
        self, examples: list[SpeechExample], generator: np.random.Generator | None, train_text: bool = False
    ) -> dict[str, Tensor]:
        strides = [example.text_stride for example in examples]
        if generator is not None and self.recipe.text_stride is not None:
            jitter = self.recipe.text_stride.jitter
            strides = [
                s * j for s, j in zip(strides, generator.uniform(1 - jitter, 1 + jitter, len(strides)), strict=True)
            ]
        batch = collate(examples, pad_id=self.data.pad_id, train_text=train_text, strides=strides)
        if self.recipe.text_stride is None:
            del batch["text_stride"]
        return {name: tensor.to(self.device) for name, tensor in batch.items()}

    def _corrupt(self, ids: Tensor, generator: np.random.Generator) -> Tensor:
        values = ids.cpu().numpy().copy()
        struck = generator.random(values.shape) < self.recipe.code_noise
        for codes in dict.fromkeys(self._code_ranges):
            here = struck & (values >= codes.start) & (values < codes.stop)
            values[here] = generator.integers(codes.start, codes.stop, int(here.sum()))
        return torch.from_numpy(values).to(self.device)

    def _loss(self, batch: dict[str, Tensor], trained: float) -> tuple[Tensor, dict[str, float], dict[str, int]]:
        """The batch's share of the mean over `trained` positions; means and counts of each range."""
        # Rows are padded on the right, where causal attention never looks: no mask, the fast path.
        inputs = {"input_ids": batch["input_ids"], "labels": batch["labels"], "text_stride": batch.get("text_stride")}
        with autocast(self.device, self.recipe.precision):
            if self.recipe.text_loss == 0.0:
                output = self.model(**inputs, num_items_in_batch=trained)
                return output.loss, {name: float(v) for name, v in output.losses.items()}, output.counts
            found = self.model.log_probs(**inputs)
        mask, nll, labels = found["label_mask"], -found["log_probs"].float(), batch["labels"][:, 1:]
        is_text = mask & self.model.vocabulary.is_text(labels)
        weight = mask * torch.where(is_text, self.recipe.text_loss, 1.0)
        means, counts = {}, {}
        for name, ids in self._range_ids.items():
            here = mask & (labels >= ids.start) & (labels < ids.stop)
            counts[name] = int(here.sum())
            means[name] = float(nll.detach()[here].sum()) / max(1, counts[name])
        return (nll * weight).sum() / trained, means, counts


def open_codec(config: SpeechDataConfig, start: StartingVoice | None) -> Snac:
    """The codec that made the codes; of a voice that training begins from, none but its own."""
    if config.codec is None:
        assert start is not None  # `SpeechRecipe` has seen to it
        return start.codec
    codec = Snac.from_pretrained(config.codec)
    if start is not None:
        start.check_codec(codec, config.codec)
    return codec


def build_model(recipe: SpeechRecipe, data: SpeechData, start: StartingVoice | None = None) -> CodecCausalLM:
    """The model a recipe asks for, with the rows of the data's vocabulary."""
    stride = data.mean_text_stride if recipe.text_stride is not None else None
    if start is not None:
        named = [speaker_token(data.front_end, speaker) for speaker in data.speakers]
        return start.model(
            data.vocabulary,
            data.tokenizer.get_vocab(),
            speakers=named,
            pad_id=data.pad_id,
            text_stride=stride,
            seed=recipe.loop.seed,
        )
    scratch = recipe.model.scratch
    if scratch is None:
        base = AutoModelForCausalLM.from_pretrained(recipe.model.base, dtype=torch.float32)
        return extend(base, data.vocabulary, seed=recipe.loop.seed, text_stride=stride)
    return from_scratch(scratch, data.vocabulary, pad_id=data.pad_id, text_stride=stride)
