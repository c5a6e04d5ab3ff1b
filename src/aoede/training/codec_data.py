"""What a codec learns from: segments of recordings, whose number and length may grow, and one fixed validation set.

Owns the recipe's `data` section and the batch of every step, a pure function of (seed, step) that several processes
share row by row. Knows nothing of networks or losses.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from aoede.data import Clip
from aoede.evaluation.recordings import spread
from aoede.training import distributed
from aoede.training.audio_files import AudioFiles
from aoede.training.audio_pool import AudioPool, Recordings
from aoede.training.augment import rotate_phase, scale_within
from aoede.training.recordings import SourceConfig, find_clips


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """From a step or an epoch on, other segments."""

    segment_seconds: float
    batch: int
    step: int | None = None
    epoch: float | None = None
    """An epoch has passed when as much audio was drawn as there is; each stage's own batches count."""

    def __post_init__(self) -> None:
        if (self.step is None) == (self.epoch is None):
            raise ValueError("a stage of data.curriculum begins at a step or at an epoch: give exactly one of them")
        if (self.step if self.step is not None else self.epoch or 0) <= 0:
            raise ValueError("the first stage of data.curriculum begins after step 0: data.segment_seconds and "
                             "data.batch say what comes before it")  # fmt: skip
        if self.segment_seconds <= 0 or self.batch < 1:
            raise ValueError("segment_seconds of a stage must be above 0, and its batch 1 or more")


@dataclass(frozen=True, kw_only=True)
class CodecDataConfig:
    """Which audio, and how it is cut."""

    train: tuple[SourceConfig, ...]
    train_split: str | None = "train"
    """null takes every clip."""

    valid: tuple[SourceConfig, ...] = ()
    """Other recordings to evaluate on; empty takes those of `train`."""

    valid_split: str | None = "dev"
    """The clips on which every evaluation is made: one fixed set, one fixed length."""

    valid_share: float = 0.05
    """Of a folder without a manifest: the share of its files that is its split `dev`."""

    segment_seconds: float = 0.512
    batch: int = 8
    """Segments an update sees, of all processes together."""

    curriculum: tuple[StageConfig, ...] = ()
    """Longer segments later on: what `segment_seconds` and `batch` are from a step or an epoch on."""

    valid_seconds: float = 2.0
    valid_clips: int = 64
    """Spread evenly over the validation split; 0 takes all."""

    valid_from: Literal["start", "middle"] = "start"
    """Which `valid_seconds` of a clip: music often begins in silence."""

    gain_db: float = 6.0
    """Segments are scaled by a random gain in this range, up or down, never into clipping."""

    phase: Literal["off", "polarity", "rotation"] = "off"
    """Turn the phase of segments by a random angle: 0 or 180 degrees, or any."""

    read: Literal["cache", "seek"] = "cache"
    """`cache` decodes everything once into 16-bit samples on disk; `seek` reads each segment where it lies."""

    def __post_init__(self) -> None:
        if not self.train:
            raise ValueError("data.train lists no manifest: name at least one")
        if self.segment_seconds <= 0 or self.batch < 1 or self.valid_seconds <= 0:
            raise ValueError("segment_seconds and valid_seconds must be above 0, and batch 1 or more")
        if self.valid_clips < 0:
            raise ValueError(f"valid_clips is {self.valid_clips}, but must be 0 (all) or more")
        if not 0.0 <= self.valid_share < 1.0:
            raise ValueError(f"valid_share is {self.valid_share}, but must lie in [0, 1)")
        if self.valid_split is None and not self.valid:
            raise ValueError("valid_split null would evaluate on what is trained on: name other recordings with valid")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of a run with segments of one length."""

    step: int
    """The first step of it."""

    samples: int
    """Of a segment."""

    batch: int


class CodecData:
    """Training segments and the validation set, at a codec's rate."""

    def __init__(self, config: CodecDataConfig, *, sample_rate: int, multiple: int, seed: int, cache: Path) -> None:
        """Args: `multiple`, of which every segment is a whole number of samples; `cache`, a folder for decoded audio.

        Raises:
            ValueError: no audio, or a curriculum whose stages do not rise.
        """
        self.config, self.sample_rate, self.multiple, self.seed = config, sample_rate, multiple, seed
        train = find_clips(config.train, config.train_split, config.valid_share)
        held = find_clips(config.valid or config.train, config.valid_split, config.valid_share)
        same = {clip.audio for clip in train if isinstance(clip.audio, str)} & {clip.audio for clip in held}
        if same:
            raise ValueError(f"{len(same)} recordings are trained on and validated on, {min(map(str, same))} among "
                             "them: give them different splits")  # fmt: skip
        held = spread(held, config.valid_clips or None)
        self.pool = self._open(train, cache)
        self.valid = self._open(held, cache).heads(round(config.valid_seconds * sample_rate), config.valid_from)
        self.stages = self._stages()
        for stage in self.stages:
            distributed.share(stage.batch)

    def stage(self, step: int) -> Stage:
        """The stage that a step belongs to."""
        return next(stage for stage in reversed(self.stages) if stage.step <= step)

    def batch(self, step: int) -> Tensor:
        """This process's segments of a step, [its share of the batch, 1, samples]."""
        config, stage = self.config, self.stage(step)
        generator = np.random.default_rng([self.seed, step])
        crops = self.pool.plan(stage.batch, stage.samples, generator)
        gains = torch.from_numpy(generator.uniform(-config.gain_db, config.gain_db, stage.batch)).float()
        angles = torch.zeros(stage.batch)
        if config.phase == "polarity":
            angles = torch.from_numpy(generator.integers(2, size=stage.batch)).float() * math.pi
        elif config.phase == "rotation":
            angles = torch.from_numpy(generator.uniform(-math.pi, math.pi, stage.batch)).float()
        mine = distributed.share(stage.batch)
        audio = self.pool.read(crops[mine], stage.samples)
        if config.phase != "off":
            audio = rotate_phase(audio, angles[mine])
        return scale_within(audio, gains[mine])

    def loud_batch(self) -> Tensor:
        """Segments to scale the first weights by; most recordings begin and end in silence, so many are looked at."""
        audio = self.pool.crops(64, self.stages[0].samples, np.random.default_rng(self.seed))
        return audio[audio.square().mean((1, 2)).argsort(descending=True)[:16]]

    def describe(self, steps: int) -> list[str]:
        """Lines that tell a person how much audio there is and how a curriculum goes; `steps` is the run's length."""
        seconds = self.pool.num_samples / self.sample_rate
        lines = [f"{seconds / 60.0:,.1f} min of audio to train on, {len(self.valid)} clips to evaluate on"]
        if len(self.stages) > 1:
            for stage in self.stages:
                passed = "" if stage.step < steps else f"  (never: the run ends at step {steps:,})"
                lines.append(
                    f"from step {stage.step:,}: {stage.batch} x {stage.samples / self.sample_rate:.2f} s, an epoch is "
                    f"{self.pool.num_samples / (stage.batch * stage.samples):,.0f} steps{passed}"
                )
        return lines

    def _stages(self) -> tuple[Stage, ...]:
        stages = [Stage(step=0, samples=self._samples(self.config.segment_seconds), batch=self.config.batch)]
        epoch = 0.0  # at the first step of the latest stage
        for number, wanted in enumerate(self.config.curriculum, start=1):
            latest = stages[-1]
            pace = latest.batch * latest.samples / self.pool.num_samples  # epochs a step
            if wanted.step is not None:
                step = wanted.step
            else:
                assert wanted.epoch is not None
                step = latest.step + math.ceil((wanted.epoch - epoch) / pace - 1e-9)
            if step <= latest.step:
                raise ValueError(
                    f"stage {number} of data.curriculum would begin at step {step:,}, but the one before it begins at "
                    f"step {latest.step:,}: let them rise (an epoch is {1.0 / pace:,.1f} steps there)"
                )
            epoch += (step - latest.step) * pace
            stages.append(Stage(step=step, samples=self._samples(wanted.segment_seconds), batch=wanted.batch))
        return tuple(stages)

    def _samples(self, seconds: float) -> int:
        return max(1, round(seconds * self.sample_rate / self.multiple)) * self.multiple

    def _open(self, clips: Sequence[Clip], cache: Path) -> Recordings:
        def build(quiet: bool) -> Recordings:
            if self.config.read == "seek":
                return AudioFiles.build(clips, self.sample_rate, quiet=quiet)
            return AudioPool.build(clips, self.sample_rate, cache, quiet=quiet)

        # One process decodes, the others then map what it wrote.
        opened = build(quiet=False) if distributed.is_main() else None
        distributed.barrier()
        return opened if opened is not None else build(quiet=True)
