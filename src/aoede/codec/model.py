"""The codec: audio <-> codes.

Owns `Snac`, the network with its public verbs. Knows nothing of files on disk (`weights.py` does), of losses, or of
token ids: codes are integers a level, nothing more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aoede.codec.config import SnacConfig
from aoede.codec.layers import Decoder, Encoder, mask_tail
from aoede.codec.noise import NoiseMode, NoiseSource
from aoede.codec.quantize import Quantized, ResidualQuantizer


class Snac(nn.Module):
    """SNAC, the multi-scale neural audio codec (Siuzdak et al. 2024)."""

    def __init__(self, config: SnacConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizer = ResidualQuantizer(config)
        self.decoder = Decoder(config)

    @torch.no_grad()
    def encode(self, audio: Tensor, lengths: Tensor | Sequence[int] | None = None) -> list[Tensor]:
        """Audio to codes.

        Args:
            audio: [B, 1, T] in [-1, 1] at `config.sample_rate`; padded with zeros to `config.pad_multiple`.
            lengths: [B] samples of each item when they differ; what lies past an item's length is not looked at.
        Returns:
            One [B, T_k] int64 a level. With `lengths`, an item of n samples has the codes that it would have
            alone, `frames(n) * codes_per_frame[k]` of them, and code 0 past those.
        Raises:
            ValueError: a wrong shape, no samples, NaN or infinity, or a length out of range.
        """
        self._check_audio(audio)
        limits = self._check_lengths(lengths, audio.shape[0], audio.shape[-1], audio.device)
        padded = self._pad(audio)
        if limits is not None:
            padded = mask_tail(padded, limits)
        multiple = self.config.pad_multiple
        rounded = None if limits is None else (limits + multiple - 1) // multiple * multiple
        codes = self.quantizer.encode(self.encoder(padded, rounded))
        if rounded is None:
            return codes
        hops = rounded // self.config.hop_length
        return [
            level.masked_fill(torch.arange(level.shape[1], device=level.device) >= (hops // stride)[:, None], 0)
            for level, stride in zip(codes, self.config.vq_strides, strict=True)
        ]

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
            codes: one [B, T_k] int64 a level, T_k = frames * codes_per_frame[k].
            length: samples to keep; None keeps all, frames * frame_length.
            lengths: [B] samples of each item when they differ; an item comes out as it would alone, then zeros.
            noise: `seeded` (by counter: same seed, same audio), `random` (torch's generator) or `off`.
            seed: names the noise.
        Returns:
            [B, 1, T] in [-1, 1].
        Raises:
            ValueError: levels that do not fit each other, a code out of range, or a length out of range.
        """
        _, limits = self._check_decode(codes, length, lengths)
        source = NoiseSource(noise, seed)
        latents = self.quantizer.decode(codes)
        if limits is None:
            audio: Tensor = self.decoder(latents, source)
            return audio[..., :length]
        multiple = self.config.pad_multiple
        hops = (limits + multiple - 1) // multiple * self.config.latents_multiple
        return mask_tail(self.decoder(latents, source, lengths=hops), limits)[..., :length]

    def forward(self, audio: Tensor, *, noise: NoiseMode = "seeded", seed: int = 0) -> tuple[Tensor, list[Tensor]]:
        """There and back with gradients: audio [B, 1, T] -> (audio_hat [B, 1, T], codes)."""
        audio_hat, quantized = self.reconstruct(audio, NoiseSource(noise, seed))
        return audio_hat, quantized.codes

    def reconstruct(self, audio: Tensor, noise: NoiseSource, bypass: Tensor | None = None) -> tuple[Tensor, Quantized]:
        """As `forward`, with what training needs of the quantizer: its losses and what it looked up.

        Items that `bypass` [B] marks are not quantized (see `ResidualQuantizer.forward`).
        """
        self._check_audio(audio)
        quantized = self.quantizer(self.encoder(self._pad(audio)), bypass)
        return self.decoder(quantized.latents, noise)[..., : audio.shape[-1]], quantized

    def frames(self, length: int) -> int:
        """Frames that `length` samples take, padding included."""
        multiple = self.config.pad_multiple
        return math.ceil(length / multiple) * multiple // self.config.frame_length

    @classmethod
    def from_pretrained(cls, source: str | Path) -> Snac:
        """Loads a folder or a hub repository in the published form (see `weights.load_codec`), ready to use."""
        from aoede.codec.weights import load_codec

        return load_codec(source)

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes `config.json` and `model.safetensors` into a folder."""
        from aoede.codec.weights import save_codec

        save_codec(self, folder)

    def fingerprint(self) -> str:
        """16 hex digits that name what the codes mean (see `weights.fingerprint`)."""
        from aoede.codec.weights import fingerprint

        return fingerprint(self)

    def check_codes(self, codes: Sequence[Tensor]) -> None:
        """Raises ValueError unless codes are one [B, T_k] integer tensor a level, fitting, and in range."""
        config = self.config
        if isinstance(codes, Tensor) or len(codes) != config.num_codebooks:
            raise ValueError(f"codes must be a list of {config.num_codebooks} tensors [B, T_k], one a level")
        if any(level.dim() != 2 or level.is_floating_point() for level in codes):
            raise ValueError(f"codes must be integer tensors [B, T_k], got {[tuple(c.shape) for c in codes]}")
        frames = codes[0].shape[1] // config.codes_per_frame[0]
        expected = [(codes[0].shape[0], frames * count) for count in config.codes_per_frame]
        if frames < 1 or [tuple(level.shape) for level in codes] != expected:
            raise ValueError(
                f"codes of shapes {[tuple(c.shape) for c in codes]} are not whole frames: {frames} frames of "
                f"strides {config.vq_strides} would be {expected}"
            )
        if config.attn_window_size is not None and frames % (config.latents_multiple // config.vq_strides[0]):
            raise ValueError(
                f"{frames} frames are not whole attention windows: this codec decodes multiples of "
                f"{config.latents_multiple // config.vq_strides[0]} frames"
            )
        for index, level in enumerate(codes):
            low, high = int(level.min()), int(level.max())
            if low < 0 or high >= config.codebook_size:
                raise ValueError(
                    f"code {low if low < 0 else high} in level {index} is outside 0..{config.codebook_size - 1}"
                )

    def _pad(self, audio: Tensor) -> Tensor:
        audio = audio.to(self.quantizer.levels[0].codebook.weight.dtype)  # NumPy's samples often come as doubles
        return F.pad(audio, (0, -audio.shape[-1] % self.config.pad_multiple))

    def _check_audio(self, audio: Tensor) -> None:
        if audio.dim() != 3 or audio.shape[1] != 1:
            raise ValueError(f"audio of shape {tuple(audio.shape)}: must be [B, 1, T], mono")
        if not audio.is_floating_point():
            raise ValueError(f"audio of type {audio.dtype}: must be floating point in [-1, 1]")
        if audio.shape[0] == 0 or audio.shape[-1] == 0:
            raise ValueError(f"audio of shape {tuple(audio.shape)} holds no samples")
        if not bool(torch.isfinite(audio).all()):
            raise ValueError("audio holds NaN or infinite samples: replace them before encoding")

    def _check_decode(
        self, codes: Sequence[Tensor], length: int | None, lengths: Tensor | Sequence[int] | None
    ) -> tuple[int, Tensor | None]:
        """The samples that the codes hold, and the items' lengths as a tensor."""
        self.check_codes(codes)
        total = codes[-1].shape[1] * self.config.vq_strides[-1] * self.config.hop_length
        if length is not None and not 0 < length <= total:
            raise ValueError(f"length={length}: the codes hold {total} samples; choose 1 to {total}")
        return total, self._check_lengths(lengths, codes[0].shape[0], total, codes[0].device)

    def _check_lengths(
        self, lengths: Tensor | Sequence[int] | None, batch: int, longest: int, device: torch.device
    ) -> Tensor | None:
        if lengths is None:
            return None
        limits = torch.as_tensor(lengths, device=device)
        if limits.shape != (batch,) or limits.is_floating_point():
            raise ValueError(f"lengths of shape {tuple(limits.shape)}: must be {batch} whole numbers, one an item")
        if int(limits.min()) < 1 or int(limits.max()) > longest:
            raise ValueError(f"lengths {limits.tolist()} must lie in 1..{longest} samples")
        return limits
