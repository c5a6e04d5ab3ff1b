"""Codecs of other makers, from `transformers`: Mimi, DAC and EnCodec behind the interface of `Snac`.

Owns one adapter a family: how its model is called, how many levels are used, what its codes mean. The networks are
those of `transformers`, which is imported only when such a codec is opened: `import aoede.codec` needs torch alone (a
test holds it). All their levels have the same rate, so a frame is one code of each.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aoede.codec.noise import NoiseMode


@dataclass(frozen=True, kw_only=True)
class EqualRateConfig:
    """The numbers of a codec whose levels all have the same rate; named as those of `SnacConfig`."""

    sample_rate: int
    """Samples a second."""

    hop_length: int
    """Samples a latent, which here is a frame."""

    num_codebooks: int
    """Levels in use."""

    codebook_size: int
    """Entries of each codebook."""

    @property
    def vq_strides(self) -> tuple[int, ...]:
        return (1,) * self.num_codebooks

    @property
    def codes_per_frame(self) -> tuple[int, ...]:
        return (1,) * self.num_codebooks

    @property
    def frame_length(self) -> int:
        return self.hop_length

    @property
    def frame_rate(self) -> float:
        return self.sample_rate / self.hop_length

    @property
    def pad_multiple(self) -> int:
        return self.hop_length

    @property
    def codes_per_second(self) -> float:
        return self.frame_rate * self.num_codebooks

    @property
    def bits_per_second(self) -> float:
        return self.codes_per_second * math.log2(self.codebook_size)


class OtherCodec(nn.Module):
    """A codec of `transformers` with the verbs of `Snac`. Subclasses say how the model is called."""

    kind: ClassVar[str]
    """Its name before the colon, and `model_type` in its `config.json`."""

    def __init__(self, model: Any, levels: int | None = None) -> None:
        """Wrap a model.

        Args:
            levels: use the first so many codebooks; None means as many as the model uses when not told.
        Raises:
            ValueError: more levels than the model has, fewer than it can do with, or a kind of model whose codes
                alone do not make audio.
        """
        super().__init__()
        self.model = model.eval()
        most, least, usual = self._levels()
        if levels is not None and not least <= levels <= most:
            raise ValueError(f"{levels} levels of {self.kind}: this model takes {least} to {most}")
        self.config = EqualRateConfig(
            sample_rate=int(model.config.sampling_rate),
            hop_length=self._hop_length(),
            num_codebooks=levels or usual,
            codebook_size=int(model.config.codebook_size),
        )

    @torch.no_grad()
    def encode(self, audio: Tensor, lengths: Tensor | Sequence[int] | None = None) -> list[Tensor]:
        """Audio to codes, those of the model itself.

        Args:
            audio: [B, 1, T] in [-1, 1] at `config.sample_rate`.
            lengths: [B] samples of each item when they differ. Each item is encoded alone and has its codes, then 0.
        Returns:
            One [B, T_k] int64 a level, T_k = ceil(T / hop_length).
        Raises:
            ValueError: a wrong shape, no samples, NaN or infinity, or a length out of range.
        """
        if audio.dim() != 3 or audio.shape[1] != 1 or not audio.is_floating_point() or audio.numel() == 0:
            raise ValueError(f"audio of shape {tuple(audio.shape)}, {audio.dtype}: must be floating point [B, 1, T]")
        if not bool(torch.isfinite(audio).all()):
            raise ValueError("audio holds NaN or infinite samples: replace them before encoding")
        audio = audio.to(next(self.parameters()).dtype)
        if lengths is None:
            return list(self._codes(audio).unbind(1))
        limits = _checked(lengths, audio.shape[0], audio.shape[-1])
        frames = self.frames(max(limits))
        rows = [self._codes(audio[row : row + 1, :, :limit]) for row, limit in enumerate(limits)]
        return list(torch.cat([F.pad(row, (0, frames - row.shape[-1])) for row in rows]).unbind(1))

    @torch.no_grad()
    def decode(
        self,
        codes: Sequence[Tensor],
        length: int | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        *,
        noise: NoiseMode = "seeded",
        seed: int = 0,
    ) -> Tensor:
        """Codes to audio.

        Args:
            codes: one [B, T] int64 a level.
            length: samples to keep; None keeps all, frames * hop_length (a few at the end are 0 where the model gives
                fewer, as DAC does).
            lengths: [B] samples of each item when they differ; each is decoded alone, then zeros.
            noise, seed: for the sake of the interface; these decoders add no noise.
        Returns:
            [B, 1, T].
        Raises:
            ValueError: levels that do not fit each other, a code out of range, or a length out of range.
        """
        self.check_codes(codes)
        stacked = torch.stack(tuple(codes), dim=1)
        total = stacked.shape[-1] * self.config.hop_length
        if length is not None and not 0 < length <= total:
            raise ValueError(f"length={length}: the codes hold {total} samples; choose 1 to {total}")
        if lengths is None:
            return _fitted(self._audio(stacked), total)[..., :length]
        limits = _checked(lengths, stacked.shape[0], total)
        rows = [
            _fitted(self._audio(stacked[row : row + 1, :, : self.frames(limit)]), limit)
            for row, limit in enumerate(limits)
        ]
        return torch.cat([_fitted(row, total) for row in rows])[..., :length]

    def frames(self, length: int) -> int:
        """Frames that `length` samples take, padding included."""
        return math.ceil(length / self.config.hop_length)

    def check_codes(self, codes: Sequence[Tensor]) -> None:
        """Raises ValueError unless codes are one [B, T] integer tensor a level, fitting, and in range."""
        count, size = self.config.num_codebooks, self.config.codebook_size
        if isinstance(codes, Tensor) or len(codes) != count:
            raise ValueError(f"codes must be a list of {count} tensors [B, T], one a level")
        shapes = {tuple(level.shape) for level in codes}
        if any(level.dim() != 2 or level.is_floating_point() for level in codes) or len(shapes) != 1:
            raise ValueError(f"codes must be integer tensors [B, T] of one shape, got {sorted(shapes)}")
        if codes[0].numel() == 0:
            raise ValueError(f"codes of shape {tuple(codes[0].shape)} hold nothing")
        for index, level in enumerate(codes):
            low, high = int(level.min()), int(level.max())
            if low < 0 or high >= size:
                raise ValueError(f"code {low if low < 0 else high} in level {index} is outside 0..{size - 1}")

    def fingerprint(self) -> str:
        """16 hex digits that name what the codes mean: family, levels, encoder and quantizer.

        Of the weights only the numbers count, not their names, which versions of `transformers` spell differently.
        """
        config = self.config
        numbers = [self.kind, config.sample_rate, config.hop_length, config.num_codebooks, config.codebook_size]
        parts = []
        for key, value in self.model.state_dict().items():
            if not key.startswith(("decoder", "upsample")):
                tensor = value.detach().cpu().contiguous()
                parts.append(hashlib.sha256(repr(tuple(tensor.shape)).encode() + tensor.numpy().tobytes()).hexdigest())
        return hashlib.sha256(json.dumps([numbers, sorted(parts)]).encode()).hexdigest()[:16]

    def _levels(self) -> tuple[int, int, int]:
        """Most levels, fewest, and as many as the model uses when not told."""
        raise NotImplementedError

    def _hop_length(self) -> int:
        return int(self.model.config.hop_length)

    def _codes(self, audio: Tensor) -> Tensor:
        """[B, 1, T] -> [B, K, ceil(T / hop_length)]."""
        raise NotImplementedError

    def _audio(self, codes: Tensor) -> Tensor:
        """[B, K, T] -> [B, 1, about T * hop_length]."""
        raise NotImplementedError


class MimiCodec(OtherCodec):
    """Mimi (Défossez et al. 2024, "Moshi"): 24 kHz, 12.5 frames a second, up to 32 levels of 2,048 entries."""

    kind = "mimi"

    def _levels(self) -> tuple[int, int, int]:
        config = self.model.config
        return config.num_quantizers, config.num_semantic_quantizers, config.num_quantizers

    def _hop_length(self) -> int:
        hop: int = round(self.model.config.sampling_rate / self.model.config.frame_rate)
        return hop

    def _codes(self, audio: Tensor) -> Tensor:
        codes: Tensor = self.model.encode(audio, num_quantizers=self.config.num_codebooks).audio_codes
        return codes

    def _audio(self, codes: Tensor) -> Tensor:
        audio: Tensor = self.model.decode(codes).audio_values
        return audio


class DacCodec(OtherCodec):
    """DAC (Kumar et al. 2023, "High-fidelity audio compression with improved RVQGAN"): 16, 24 or 44.1 kHz."""

    kind = "dac"

    def _levels(self) -> tuple[int, int, int]:
        count = self.model.config.n_codebooks
        return count, 1, count

    def _codes(self, audio: Tensor) -> Tensor:
        # The network rounds down; its feature extractor pads to whole frames, and so does this.
        padded = F.pad(audio, (0, -audio.shape[-1] % self.config.hop_length))
        codes: Tensor = self.model.encode(padded, n_quantizers=self.config.num_codebooks).audio_codes
        return codes

    def _audio(self, codes: Tensor) -> Tensor:
        audio: Tensor = self.model.decode(audio_codes=codes).audio_values
        return audio[:, None]


class EncodecCodec(OtherCodec):
    """EnCodec (Défossez et al. 2022, "High fidelity neural audio compression"), the 24 kHz kind.

    The 48 kHz kind is stereo and sends a loudness beside the codes of each chunk, so its codes alone are no audio.
    """

    kind = "encodec"

    def _levels(self) -> tuple[int, int, int]:
        config = self.model.config
        if config.audio_channels != 1 or config.normalize or config.chunk_length_s is not None:
            raise ValueError(
                "this EnCodec is stereo or sends scales beside its codes (the 48 kHz kind): codes alone do not make "
                "its audio; use the 24 kHz kind"
            )
        counts = self._counts()
        return max(counts), 1, counts[0]

    def _counts(self) -> list[int]:
        """Levels of each bandwidth that the model knows, in its order."""
        quantizer = self.model.quantizer
        return [quantizer.get_num_quantizers_for_bandwidth(width) for width in self.model.config.target_bandwidths]

    def _codes(self, audio: Tensor) -> Tensor:
        # A model takes only certain bandwidths; a wider one has the same first levels.
        wanted = self.config.num_codebooks
        widths = zip(self._counts(), self.model.config.target_bandwidths, strict=True)
        _, width = min(pair for pair in widths if pair[0] >= wanted)
        codes: Tensor = self.model.encode(audio, bandwidth=width).audio_codes[0]
        return codes[:, :wanted]

    def _audio(self, codes: Tensor) -> Tensor:
        audio: Tensor = self.model.decode(codes[None], [None]).audio_values
        return audio


def open_other(kind: str, source: str, levels: int | None = None) -> OtherCodec:
    """Opens a folder (or a hub repository) that holds a Mimi, DAC or EnCodec in the form of `transformers`.

    Raises:
        ValueError: no such folder, another kind of model in it, weights missing or of other shapes.
    """
    try:
        import transformers
    except ImportError:
        raise ValueError(
            f"{kind}:{source}: this codec needs the package transformers: pip install transformers"
        ) from None

    models: dict[str, tuple[type[OtherCodec], Any]] = {
        "mimi": (MimiCodec, transformers.MimiModel),
        "dac": (DacCodec, transformers.DacModel),
        "encodec": (EncodecCodec, transformers.EncodecModel),
    }
    adapter, model_class = models[kind]
    try:
        found = transformers.AutoConfig.from_pretrained(source).model_type
        if found != kind:
            raise ValueError(f"{source}: holds a model of type '{found}', not '{kind}'")
        with _no_bars():
            model, report = model_class.from_pretrained(source, output_loading_info=True)
    except OSError as error:
        raise ValueError(f"{kind}:{source}: {' '.join(str(error).split())}") from error
    lacking = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if lacking:
        raise ValueError(f"{source}: its weights do not fit its config.json; missing or misshapen: {lacking[:5]}")
    return adapter(model, levels)


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """Keeps the loader from drawing on standard error, which is the caller's."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _checked(lengths: Tensor | Sequence[int], batch: int, longest: int) -> list[int]:
    limits = torch.as_tensor(lengths)
    if limits.shape != (batch,) or limits.is_floating_point():
        raise ValueError(f"lengths of shape {tuple(limits.shape)}: must be {batch} whole numbers, one an item")
    if int(limits.min()) < 1 or int(limits.max()) > longest:
        raise ValueError(f"lengths {limits.tolist()} must lie in 1..{longest} samples")
    return [int(limit) for limit in limits]


def _fitted(audio: Tensor, length: int) -> Tensor:
    """[B, 1, T] of exactly this length: cut, or zeros at the end."""
    return F.pad(audio, (0, max(0, length - audio.shape[-1])))[..., :length]
