"""What every codec offers, ours or another: sound to codes and back, and the numbers that layouts are made from.

Owns the two protocols and nothing that computes. `Snac` fits them as it is, `other.py` makes Mimi, DAC and EnCodec fit;
whatever is written against `Codec` (layouts, prepared data, models, evaluation, files) works with all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn


class CodecNumbers(Protocol):
    """The numbers of a codec; `SnacConfig` has them, and so has `EqualRateConfig`."""

    @property
    def sample_rate(self) -> int:
        """Samples a second."""

    @property
    def hop_length(self) -> int:
        """Samples a latent."""

    @property
    def vq_strides(self) -> tuple[int, ...]:
        """Latents covered by one code, a level; (1, 1, ...) where all levels have the same rate."""

    @property
    def codebook_size(self) -> int:
        """Entries of each codebook."""

    @property
    def num_codebooks(self) -> int:
        """Levels."""

    @property
    def codes_per_frame(self) -> tuple[int, ...]:
        """Codes of each level in one frame."""

    @property
    def frame_length(self) -> int:
        """Samples of a frame."""

    @property
    def frame_rate(self) -> float:
        """Frames a second."""

    @property
    def pad_multiple(self) -> int:
        """Codes stand for a whole number of this many samples."""

    @property
    def codes_per_second(self) -> float:
        """Codes of all levels a second."""

    @property
    def bits_per_second(self) -> float:
        """Rate of the codes, each worth log2(codebook_size) bits."""


@runtime_checkable
class Codec(Protocol):
    """A codec: `encode` and `decode` as `Snac` documents them."""

    @property
    def config(self) -> CodecNumbers:
        """Its numbers."""

    def encode(self, audio: Tensor, lengths: Tensor | Sequence[int] | None = None) -> list[Tensor]:
        """[B, 1, T] -> one [B, T_k] int64 a level."""

    def decode(
        self,
        codes: Sequence[Tensor],
        length: int | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        *,
        noise: Literal["seeded", "random", "off"] = "seeded",
        seed: int = 0,
    ) -> Tensor:
        """One [B, T_k] a level -> [B, 1, T], trimmed to `length` samples."""

    def frames(self, length: int) -> int:
        """Frames that `length` samples take, padding included."""

    def check_codes(self, codes: Sequence[Tensor]) -> None:
        """Raises ValueError unless codes fit this codec."""

    def fingerprint(self) -> str:
        """16 hex digits that name what its codes mean."""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """Its weights."""

    def to(self, device: torch.device | str) -> Self:
        """The codec, moved."""
