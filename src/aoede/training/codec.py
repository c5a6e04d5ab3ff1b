"""The codec's objective: audio in, the same audio out, through a few integers.

Owns the recipe and the step: reconstruction (mel) from the first step, quantizer losses, dead codes revived, and from
`adversarial.start` on two alternating players (Kumar et al. 2023). Logs utilisation and perplexity of every level.
Knows nothing of token ids or text.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from aoede.codec import NoiseSource, Snac, SnacConfig
from aoede.codec.discriminators import DiscriminatorConfig, Discriminators
from aoede.codec.initialise import scale_to_data
from aoede.codec.losses import (
    MelLossConfig,
    adversarial_loss,
    discriminator_loss,
    feature_matching_loss,
    mel_loss,
    stft_loss,
)
from aoede.codec.revival import CodeRevival, code_statistics
from aoede.data import Clip, load_manifest
from aoede.training import loop
from aoede.training.audio_pool import AudioPool
from aoede.training.loop import LoopConfig
from aoede.training.optim import EMA, OptimConfig, Optimizer
from aoede.training.schedule import ScheduleConfig, factor


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Recordings to learn from."""

    manifest: str
    """What `aoede.data.load_manifest` reads."""

    sources: tuple[str, ...] = ()
    """Only these values of the manifest's `source`; empty takes all."""


@dataclass(frozen=True, kw_only=True)
class CodecDataConfig:
    """Which audio, and how it is cut."""

    train: tuple[SourceConfig, ...]
    train_split: str | None = "train"
    valid_split: str = "dev"
    """Split of the same manifests on which every evaluation is made: one fixed set, one fixed length."""

    segment_seconds: float = 0.512
    batch: int = 8
    valid_seconds: float = 2.0
    valid_clips: int = 64
    """Spread evenly over the validation split; 0 takes all."""

    gain_db: float = 6.0
    """Segments are scaled by a random gain in this range, up or down, never into clipping."""

    def __post_init__(self) -> None:
        if not self.train:
            raise ValueError("data.train lists no manifest: name at least one")
        if self.segment_seconds <= 0 or self.batch < 1 or self.valid_seconds <= 0:
            raise ValueError("segment_seconds and valid_seconds must be above 0, and batch 1 or more")
        if self.valid_clips < 0:
            raise ValueError(f"valid_clips is {self.valid_clips}, but must be 0 (all) or more")


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """The two players."""

    start: int
    """First step at which the discriminators play."""

    discriminators: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    optim: OptimConfig = field(default_factory=lambda: OptimConfig(lr=6e-4, betas=(0.8, 0.99), clip=10.0))
    weight: float = 1.0
    feature_weight: float = 2.0
    every: int = 1
    """Play at every n-th step only: 2 halves the cost."""


@dataclass(frozen=True, kw_only=True)
class CodecRecipe:
    """`aoede train codec`."""

    data: CodecDataConfig
    loop: LoopConfig
    preset: str | None = "small_24khz"
    """A class method of SnacConfig; or null, with `model` given."""

    model: dict[str, Any] | None = None
    """Keys of a published `config.json`, instead of a preset."""

    init: str | None = None
    """Codec folder or hub repository to start from, instead of random weights; it also says the configuration."""

    scale_init: bool = True
    """Scale random weights to the first audio, so that every layer starts with an output of unit size."""

    decoder_only: bool = False
    """Leave encoder and quantizer as they are: codes made before, and language models that write them, stay valid."""

    optim: OptimConfig = field(default_factory=lambda: OptimConfig(lr=6e-4, betas=(0.8, 0.99), clip=10.0))
    schedule: ScheduleConfig = field(default_factory=lambda: ScheduleConfig(kind="exponential"))
    mel: MelLossConfig = field(default_factory=MelLossConfig)
    mel_weight: float = 15.0
    codebook_weight: float = 1.0
    commitment_weight: float = 0.25
    adversarial: AdversarialConfig | None = None
    """None trains on spectra alone."""

    quantize_from: int = 0
    """Until this step nothing is quantized: encoder, projections and decoder first learn to agree."""

    bypass: float = 0.0
    """Share of segments that are not quantized after that."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU where there is one."""

    ema: float = 0.999
    revive_every: int = 20
    """Steps between two looks for dead codes."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.bypass < 1.0:
            raise ValueError(f"bypass is {self.bypass}, but must lie in [0, 1)")
        if self.decoder_only and self.init is None:
            raise ValueError("decoder_only keeps the encoder of an existing codec: name its folder with init")
        if self.decoder_only and (self.bypass or self.quantize_from):
            raise ValueError("decoder_only quantizes always: leave bypass and quantize_from at 0")

    def codec_config(self) -> SnacConfig:
        """The network that the recipe names, where it starts from random weights."""
        if (self.preset is None) == (self.model is None):
            raise ValueError("give either preset or model, and null for the other")
        if self.model is not None:
            return SnacConfig.from_dict(self.model)
        presets = ("snac_24khz", "snac_32khz", "snac_44khz", "small_24khz")
        if self.preset not in presets:
            raise ValueError(f"preset {self.preset!r} is none of {', '.join(presets)}")
        config: SnacConfig = getattr(SnacConfig, self.preset)()
        return config


def train(recipe: CodecRecipe, out_dir: str | Path, resume: str = "auto") -> Path:
    """Trains a codec; see `loop.run` for the folder and the result."""
    return loop.run(CodecObjective(recipe, Path(out_dir)), recipe.loop, out_dir, resume, recipe=recipe)


class CodecObjective:
    """One codec, its critics, and the recordings."""

    name = "codec"

    def __init__(self, recipe: CodecRecipe, out_dir: Path) -> None:
        self.recipe = recipe
        torch.manual_seed(recipe.loop.seed)
        codec = Snac.from_pretrained(recipe.init) if recipe.init is not None else Snac(recipe.codec_config())
        self.config = codec.config
        frames = recipe.data.segment_seconds * self.config.sample_rate / self.config.pad_multiple
        self.segment = max(1, round(frames)) * self.config.pad_multiple
        self.device = torch.device(
            ("cuda" if torch.cuda.is_available() else "cpu") if recipe.device == "auto" else recipe.device
        )
        self.codec = codec.train().to(self.device)
        if recipe.decoder_only:
            self.codec.encoder.requires_grad_(False)
            self.codec.quantizer.requires_grad_(False)
        self.pool = AudioPool.build(self._clips(recipe.data.train_split), self.config.sample_rate, out_dir / "cache")
        if recipe.scale_init and recipe.init is None:
            scale_to_data(self.codec, self._loud_batch().to(self.device))
        self.optimizer = Optimizer(self.codec, recipe.optim)
        self.revival = CodeRevival(self.codec.quantizer, every=recipe.revive_every)
        self.average = EMA(self.codec, recipe.ema)
        if recipe.adversarial is not None:
            shortest = recipe.adversarial.discriminators.min_samples
            if self.segment < shortest:
                raise ValueError(
                    f"segments of {self.segment} samples are too short for the discriminators, which need {shortest}: "
                    f"set data.segment_seconds to {shortest / self.config.sample_rate:.3f} or more, or take smaller "
                    "fft_sizes and periods"
                )
            self.critics = Discriminators(recipe.adversarial.discriminators).to(self.device)
            self.critics_optimizer = Optimizer(self.critics, recipe.adversarial.optim)
        held = self._clips(recipe.data.valid_split)
        wanted = min(recipe.data.valid_clips or len(held), len(held))
        held = [held[index * len(held) // wanted] for index in range(wanted)]
        valid = AudioPool.build(held, self.config.sample_rate, out_dir / "cache")
        self.valid = valid.heads(round(recipe.data.valid_seconds * self.config.sample_rate))

    def train_step(self, step: int) -> dict[str, float]:
        """One update of the codec, after one of the critics where they play."""
        recipe = self.recipe
        audio = self._batch(step).to(self.device)
        noise = NoiseSource("seeded", seed=step)
        generator = torch.Generator().manual_seed(recipe.loop.seed * 1_000_003 + step)
        quantizing = step >= recipe.quantize_from
        train_codes = quantizing and not recipe.decoder_only
        bypass = torch.rand(len(audio), generator=generator) < (recipe.bypass if quantizing else 2.0)
        audio_hat, quantized = self.codec.reconstruct(audio, noise, bypass.to(self.device))
        mel = mel_loss(audio_hat, audio, self.config.sample_rate, recipe.mel)
        loss = recipe.mel_weight * mel
        if train_codes:
            loss = loss + recipe.codebook_weight * quantized.codebook_loss
            loss = loss + recipe.commitment_weight * quantized.commitment_loss
        values: dict[str, Tensor | float] = {
            "mel": mel,
            "codebook": quantized.codebook_loss,
            "commitment": quantized.commitment_loss,
        }
        playing = recipe.adversarial
        scale = factor(recipe.schedule, step, recipe.loop.steps)
        if playing is not None and step >= playing.start and step % playing.every == 0:
            values["critics"] = self._train_critics(audio_hat.detach(), audio, scale)
            self.critics.requires_grad_(False)
            scores, features = self.critics(audio_hat)
            with torch.no_grad():
                _, targets = self.critics(audio)
            self.critics.requires_grad_(True)
            values["adversarial"] = adversarial = adversarial_loss(scores)
            values["feature_matching"] = matching = feature_matching_loss(features, targets)
            loss = loss + playing.weight * adversarial + playing.feature_weight * matching
        loss.backward()  # type: ignore[no-untyped-call]
        values |= {"loss": loss, "grad_norm": self.optimizer.step(scale), "lr": recipe.optim.lr * scale}
        if train_codes:
            values["revived"] = float(self.revival.update(self.codec.quantizer, quantized, generator))
        elif not recipe.decoder_only:
            self.revival.observe(quantized)
        self.average.update(self.codec)
        if train_codes:
            for index, rows in enumerate(self.revival.replaced):
                weight = self.codec.quantizer.levels[index].codebook.weight
                self.average.adopt(f"quantizer.quantizers.{index}.codebook.weight", weight, rows)
        return {name: float(v.detach()) if isinstance(v, Tensor) else v for name, v in values.items()}

    def _train_critics(self, audio_hat: Tensor, audio: Tensor, scale: float) -> Tensor:
        scores_hat, _ = self.critics(audio_hat)
        scores, _ = self.critics(audio)
        loss = discriminator_loss(scores_hat, scores)
        loss.backward()  # type: ignore[no-untyped-call]
        self.critics_optimizer.step(scale)
        return loss.detach()

    def evaluate(self, step: int) -> dict[str, float]:
        """Distances on the fixed validation set with the averaged weights, and how its codes are used."""
        config = self.config
        mel, stft, codes = 0.0, 0.0, []
        with self.average.applied(self.codec), torch.no_grad():
            self.codec.eval()
            batches = self.valid.split(8)
            for batch in batches:
                audio = batch.to(self.device)
                audio_hat, some = self.codec(audio)
                mel += float(mel_loss(audio_hat, audio, config.sample_rate)) * len(audio)
                stft += float(stft_loss(audio_hat, audio)) * len(audio)
                codes.append([level.reshape(-1) for level in some])
            self.codec.train()
        values = {"mel": mel / len(self.valid), "stft": stft / len(self.valid)}
        for index, level in enumerate(zip(*codes, strict=True)):
            used, perplexity = code_statistics(torch.cat(level), config.codebook_size)
            values |= {f"utilisation/level{index}": used, f"perplexity/level{index}": perplexity}
        return values

    def state_dict(self) -> dict[str, Any]:
        """Weights, moments, averages, usage."""
        state = {
            "codec": self.codec.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "revival": self.revival.state_dict(),
            "average": self.average.state_dict(),
        }
        if self.recipe.adversarial is not None:
            state |= {"critics": self.critics.state_dict(), "critics_optimizer": self.critics_optimizer.state_dict()}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict`; critics that a checkpoint does not hold yet start fresh."""
        self.codec.load_state_dict(state["codec"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.revival.load_state_dict(state["revival"])
        self.average.load_state_dict(state["average"])
        if self.recipe.adversarial is not None and "critics" in state:
            self.critics.load_state_dict(state["critics"])
            self.critics_optimizer.load_state_dict(state["critics_optimizer"])

    def export(self, directory: Path) -> None:
        """The averaged codec, in the form that `Snac.from_pretrained` reads."""
        with self.average.applied(self.codec):
            self.codec.save_pretrained(directory)

    def _clips(self, split: str | None) -> list[Clip]:
        clips: list[Clip] = []
        for source in self.recipe.data.train:
            splits = None if split is None else [split]
            clips += load_manifest(source.manifest, text=None, splits=splits, sources=source.sources or None)
        if not clips:
            raise ValueError(f"split {split!r} of the manifests holds no clips")
        return clips

    def _loud_batch(self) -> Tensor:
        """Segments to scale the first weights by; most recordings begin and end in silence, so many are looked at."""
        audio = self.pool.crops(64, self.segment, np.random.default_rng(self.recipe.loop.seed))
        return audio[audio.square().mean((1, 2)).argsort(descending=True)[:16]]

    def _batch(self, step: int) -> Tensor:
        data = self.recipe.data
        generator = np.random.default_rng([self.recipe.loop.seed, step])
        audio = self.pool.crops(data.batch, self.segment, generator)
        gains = 10.0 ** (torch.from_numpy(generator.uniform(-data.gain_db, data.gain_db, data.batch)).float() / 20.0)
        peaks = audio.abs().amax((1, 2)).clamp(min=1e-4)
        return audio * torch.minimum(gains, 1.0 / peaks)[:, None, None]
