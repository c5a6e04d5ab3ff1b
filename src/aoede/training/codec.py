"""The codec's objective: audio in, the same audio out, through a few integers.

Owns the recipe and the step: reconstruction (mel, or waveform and STFT) from the first step, quantizer losses, dead
codes revived, and from `adversarial.start` on two alternating players (Kumar et al. 2023). Logs utilisation and
perplexity of every level. Several processes share each batch and make one update. Knows nothing of token ids or text;
`codec_data.py` says which audio a step sees.
"""

import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from aoede.codec import NoiseSource, Snac, SnacConfig
from aoede.codec.discriminators import DiscriminatorConfig, Discriminators
from aoede.codec.initialise import scale_to_data
from aoede.codec.losses import (
    MelLossConfig,
    adversarial_loss,
    discriminator_loss,
    feature_matching_loss,
    mel_loss,
    si_sdr,
    stft_loss,
)
from aoede.codec.quantize import Quantized
from aoede.codec.revival import CodeRevival, code_statistics
from aoede.training import distributed, loop
from aoede.training.codec_data import CodecData, CodecDataConfig
from aoede.training.loop import LoopConfig
from aoede.training.optim import EMA, OptimConfig, Optimizer
from aoede.training.schedule import ScheduleConfig, factor


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
    objective: Literal["mel", "l1_stft"] = "mel"
    """What a reconstruction is judged by: log-mel spectra on several scales, or the waveform itself and linear spectra
    on several scales, the lighter mode that fine-tuning often takes. Critics may be added to either."""

    mel: MelLossConfig = field(default_factory=MelLossConfig)
    mel_weight: float = 15.0
    l1_weight: float = 1.0
    """Of `l1_stft`: mean absolute difference of the samples."""

    stft_weight: float = 1.0
    """Of `l1_stft`: magnitudes and their logarithms, the mean over `stft_windows`."""

    stft_windows: tuple[int, ...] = (1024, 2048, 4096)
    """In samples; the hop is a quarter of each."""

    codebook_weight: float = 1.0
    commitment_weight: float = 0.25
    adversarial: AdversarialConfig | None = None
    """None trains on spectra alone."""

    quantize_from: int = 0
    """Until this step nothing is quantized: encoder, projections and decoder first learn to agree."""

    bypass: float = 0.0
    """Share of segments that are not quantized after that."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU where there is one; under torchrun each process takes its own."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16`: the products of encoder, decoder and critics (autocast). Weights, quantizer, losses and evaluation
    stay float32, so a code never depends on it."""

    ema: float = 0.999
    revive_every: int = 20
    """Steps between two looks for dead codes."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.bypass < 1.0:
            raise ValueError(f"bypass is {self.bypass}, but must lie in [0, 1)")
        if not self.stft_windows or any(window < 4 or window % 4 for window in self.stft_windows):
            raise ValueError(f"stft_windows {self.stft_windows}: name at least one, each a multiple of 4 samples")
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
    """Trains a codec; see `loop.run` for the folder and the result. Under torchrun, call it in every process."""
    with distributed.group(recipe.device) as device:
        objective = CodecObjective(recipe, Path(out_dir), device)
        if distributed.is_main():
            for line in objective.describe():
                print(line, file=sys.stderr)
        return loop.run(objective, recipe.loop, out_dir, resume, recipe=recipe)


class CodecObjective:
    """One codec, its critics, and the recordings."""

    name = "codec"

    def __init__(self, recipe: CodecRecipe, out_dir: Path, device: torch.device | None = None) -> None:
        """`device` is this process's own, which `distributed.group` gives; None is for a process alone."""
        self.recipe = recipe
        self.device = device if device is not None else distributed.device_of(recipe.device)
        torch.manual_seed(recipe.loop.seed)
        codec = Snac.from_pretrained(recipe.init) if recipe.init is not None else Snac(recipe.codec_config())
        self.config = codec.config
        self.codec = codec.train().to(self.device)
        if recipe.decoder_only:
            self.codec.encoder.requires_grad_(False)
            self.codec.quantizer.requires_grad_(False)
        self.data = CodecData(
            recipe.data, sample_rate=self.config.sample_rate, multiple=self.config.pad_multiple,
            seed=recipe.loop.seed, cache=out_dir / "cache",
        )  # fmt: skip
        if recipe.scale_init and recipe.init is None:
            scale_to_data(self.codec, self.data.loud_batch().to(self.device))
        distributed.broadcast(self.codec)
        self.optimizer = Optimizer(self.codec, recipe.optim)
        trained = recipe.init is not None
        self.revival = CodeRevival(self.codec.quantizer, every=recipe.revive_every, trained=trained)
        self.average = EMA(self.codec, recipe.ema)
        if recipe.adversarial is not None:
            shortest = recipe.adversarial.discriminators.min_samples
            segment = min(stage.samples for stage in self.data.stages)
            if segment < shortest:
                raise ValueError(
                    f"segments of {segment} samples are too short for the discriminators, which need {shortest}: "
                    f"set data.segment_seconds to {shortest / self.config.sample_rate:.3f} or more, or take smaller "
                    "fft_sizes and periods"
                )
            self.critics = Discriminators(recipe.adversarial.discriminators).to(self.device)
            distributed.broadcast(self.critics)
            self.critics_optimizer = Optimizer(self.critics, recipe.adversarial.optim)

    def describe(self) -> list[str]:
        """Lines that tell a person what is about to happen."""
        processes = distributed.world_size()
        lines = self.data.describe(self.recipe.loop.steps)
        if processes > 1:
            lines.append(f"{processes} processes share every batch; one update of all of them a step")
        return lines

    def train_step(self, step: int) -> dict[str, float]:
        """One update of the codec, after one of the critics where they play."""
        recipe = self.recipe
        audio = self.data.batch(step).to(self.device)
        noise = NoiseSource("seeded", seed=step)
        generator = torch.Generator().manual_seed(recipe.loop.seed * 1_000_003 + step)
        quantizing = step >= recipe.quantize_from
        train_codes = quantizing and not recipe.decoder_only
        # Drawn for the batch of all processes, of which this one has a part: what is drawn after it is then the same.
        whole = self.data.stage(step).batch
        bypass = torch.rand(whole, generator=generator) < (recipe.bypass if quantizing else 2.0)
        bypass = bypass[distributed.share(whole)].to(self.device)
        audio_hat, quantized = self._reconstruct(audio, noise, bypass)
        loss, terms = self._distance(audio_hat, audio)
        if train_codes:
            loss = loss + recipe.codebook_weight * quantized.codebook_loss
            loss = loss + recipe.commitment_weight * quantized.commitment_loss
        values: dict[str, Tensor | float] = {
            **terms,
            "codebook": quantized.codebook_loss,
            "commitment": quantized.commitment_loss,
        }
        playing = recipe.adversarial
        scale = factor(recipe.schedule, step, recipe.loop.steps)
        if playing is not None and step >= playing.start and step % playing.every == 0:
            values["critics"] = self._train_critics(audio_hat.detach(), audio, scale)
            self.critics.requires_grad_(False)
            with self._autocast():
                scores, features = self.critics(audio_hat)
                with torch.no_grad():
                    _, targets = self.critics(audio)
            self.critics.requires_grad_(True)
            values["adversarial"] = adversarial = adversarial_loss(_floats(scores))
            matching = feature_matching_loss([_floats(f) for f in features], [_floats(f) for f in targets])
            values["feature_matching"] = matching
            loss = loss + playing.weight * adversarial + playing.feature_weight * matching
        loss.backward()  # type: ignore[no-untyped-call]
        distributed.average_gradients(self.optimizer.parameters)
        values |= {"loss": loss, "grad_norm": self.optimizer.step(scale), "lr": recipe.optim.lr * scale}
        seen = _of_all(quantized)
        if train_codes:
            values["revived"] = float(self.revival.update(self.codec.quantizer, seen, generator))
        elif not recipe.decoder_only:
            self.revival.observe(seen)
        self.average.update(self.codec)
        if train_codes:
            for index, rows in enumerate(self.revival.replaced):
                weight = self.codec.quantizer.levels[index].codebook.weight
                self.average.adopt(f"quantizer.quantizers.{index}.codebook.weight", weight, rows)
        return {name: float(v.detach()) if isinstance(v, Tensor) else v for name, v in values.items()}

    def _reconstruct(self, audio: Tensor, noise: NoiseSource, bypass: Tensor) -> tuple[Tensor, Quantized]:
        if self.recipe.precision == "float32":
            return self.codec.reconstruct(audio, noise, bypass)
        with self._autocast():
            latents = self.codec.encoder(audio)
        quantized = self.codec.quantizer(latents.float(), bypass)
        with self._autocast():
            audio_hat = self.codec.decoder(quantized.latents, noise)
        return audio_hat.float(), quantized

    def _distance(self, audio_hat: Tensor, audio: Tensor) -> tuple[Tensor, dict[str, Tensor | float]]:
        """How far a reconstruction is from the recording, weighted, and the parts of it."""
        recipe = self.recipe
        if recipe.objective == "mel":
            mel = mel_loss(audio_hat, audio, self.config.sample_rate, recipe.mel)
            return recipe.mel_weight * mel, {"mel": mel}
        l1 = F.l1_loss(audio_hat, audio)
        stft = stft_loss(audio_hat, audio, recipe.stft_windows) / len(recipe.stft_windows)
        return recipe.l1_weight * l1 + recipe.stft_weight * stft, {"l1": l1, "stft": stft}

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16")

    def _train_critics(self, audio_hat: Tensor, audio: Tensor, scale: float) -> Tensor:
        with self._autocast():
            scores_hat, _ = self.critics(audio_hat)
            scores, _ = self.critics(audio)
        loss = discriminator_loss(_floats(scores_hat), _floats(scores))
        loss.backward()  # type: ignore[no-untyped-call]
        distributed.average_gradients(self.critics_optimizer.parameters)
        self.critics_optimizer.step(scale)
        return loss.detach()

    def evaluate(self, step: int) -> dict[str, float]:
        """Distances on the fixed validation set with the averaged weights, and how its codes are used.

        `loss` is the recipe's own distance; `mel` and `stft` have fixed windows, so that recipes compare.
        """
        config = self.config
        sums, codes = dict.fromkeys(("loss", "mel", "stft", "si_sdr"), 0.0), []
        with self.average.applied(self.codec), torch.no_grad():
            self.codec.eval()
            for batch in self.data.valid.split(8):
                audio = batch.to(self.device)
                audio_hat, some = self.codec(audio)
                sums["loss"] += float(self._distance(audio_hat, audio)[0]) * len(audio)
                sums["mel"] += float(mel_loss(audio_hat, audio, config.sample_rate)) * len(audio)
                sums["stft"] += float(stft_loss(audio_hat, audio)) * len(audio)
                sums["si_sdr"] += float(si_sdr(audio_hat, audio).sum())
                codes.append([level.reshape(-1) for level in some])
            self.codec.train()
        values = {name: total / len(self.data.valid) for name, total in sums.items()}
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


def _floats(tensors: list[Tensor]) -> list[Tensor]:
    return [tensor.float() for tensor in tensors]


def _of_all(quantized: Quantized) -> Quantized:
    """What the levels looked up in the batch of all processes: every one of them revives the same codes."""
    if distributed.world_size() == 1:
        return quantized
    return replace(
        quantized,
        codes=[distributed.gather_rows(codes) for codes in quantized.codes],
        projected=[distributed.gather_rows(vectors) for vectors in quantized.projected],
    )
