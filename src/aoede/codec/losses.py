"""Losses that train a codec: spectral distances and the adversarial terms.

Owns mel filters, the multi-scale mel and STFT losses, least-squares adversarial losses and feature matching. Training
and measurement only: inference never imports it. Knows nothing of networks; `discriminators.py` makes the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class MelLossConfig:
    """Multi-scale mel loss (Kumar et al. 2023, "High-fidelity audio compression with improved RVQGAN", section 3.3)."""

    windows: tuple[int, ...] = (32, 64, 128, 256, 512, 1024, 2048)
    """STFT windows, in samples; the hop is a quarter of each."""

    mels: tuple[int, ...] = (5, 10, 20, 40, 80, 160, 320)
    """Mel bands of each window."""

    floor: float = 1e-5
    """Magnitudes below this count as this before the logarithm."""

    def __post_init__(self) -> None:
        if not self.windows or len(self.windows) != len(self.mels):
            raise ValueError(f"{len(self.windows)} windows but {len(self.mels)} numbers of mels: give one a window")
        if any(window < 4 or window % 4 for window in self.windows):
            raise ValueError(f"windows {self.windows}: each must be a multiple of 4 samples")


def mel_loss(audio_hat: Tensor, audio: Tensor, sample_rate: int, config: MelLossConfig | None = None) -> Tensor:
    """Mean absolute difference of log10 mel magnitudes, summed over windows.

    Args:
        audio_hat, audio: [B, 1, T].
    Returns:
        A scalar; 0 for equal audio.
    """
    config = config or MelLossConfig()
    loss = audio.new_zeros(())
    for window, mels in zip(config.windows, config.mels, strict=True):
        loss = loss + F.l1_loss(
            log_mel(audio_hat, sample_rate, window, mels, config.floor),
            log_mel(audio, sample_rate, window, mels, config.floor),
        )
    return loss


def stft_loss(audio_hat: Tensor, audio: Tensor, windows: Sequence[int] = (2048, 512), floor: float = 1e-5) -> Tensor:
    """Mean absolute difference of log10 magnitudes plus that of magnitudes, summed over windows."""
    loss = audio.new_zeros(())
    for window in windows:
        left, right = magnitudes(audio_hat, window), magnitudes(audio, window)
        loss = loss + F.l1_loss(left, right)
        loss = loss + F.l1_loss(left.clamp(min=floor).log10(), right.clamp(min=floor).log10())
    return loss


SI_SDR_BOUND = 100.0
"""dB; ratios beyond it, as of a copy without any error, count as this so that a mean over clips exists."""

SILENT_ENERGY = 1e-12
"""An original of no more energy than this has no SI-SDR."""


def si_sdr(audio_hat: Tensor, audio: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio of each item in dB, [B, 1, T] -> [B], means removed (Le Roux et al.
    2019), within +-`SI_SDR_BOUND`. An item whose original is silent has none and counts as 0 dB."""
    target, heard = (x[:, 0].double() - x[:, 0].double().mean(-1, keepdim=True) for x in (audio, audio_hat))
    energy = target.square().sum(-1, keepdim=True)
    scaled = target * (heard * target).sum(-1, keepdim=True) / energy.clamp(min=1e-12)
    signal, error = scaled.square().sum(-1), (heard - scaled).square().sum(-1)
    ratio = 10.0 * torch.log10(signal / error.clamp(min=1e-300))
    return torch.where(energy[:, 0] > SILENT_ENERGY, ratio.clamp(-SI_SDR_BOUND, SI_SDR_BOUND), 0.0)


def magnitudes(audio: Tensor, window: int) -> Tensor:
    """[B, 1, T] -> [B, window / 2 + 1, N], hop window / 4, edges reflected (zeros where the audio is too short)."""
    flat = audio[:, 0]
    half = window // 2
    padded = F.pad(flat[:, None], (half, half), mode="reflect" if flat.shape[-1] > half else "constant")[:, 0]
    hann = torch.hann_window(window, device=audio.device, dtype=audio.dtype)
    spectrum = torch.stft(padded, window, window // 4, window=hann, center=False, return_complex=True)
    # The small addend keeps the gradient of the square root finite at exact silence.
    return (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt()


def log_mel(audio: Tensor, sample_rate: int, window: int, mels: int, floor: float) -> Tensor:
    """[B, 1, T] -> log10 mel magnitudes [B, mels, N]."""
    filters = mel_filters(sample_rate, window, mels).to(audio)
    return (filters @ magnitudes(audio, window)).clamp(min=floor).log10()


@cache
def mel_filters(sample_rate: int, window: int, mels: int) -> Tensor:
    """Triangular filters of equal area on Slaney's mel scale, [mels, window / 2 + 1]."""
    edges = _mel_to_hertz(torch.linspace(0.0, _hertz_to_mel(sample_rate / 2), mels + 2, dtype=torch.float64))
    bins = torch.linspace(0.0, sample_rate / 2, window // 2 + 1, dtype=torch.float64)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    triangles = torch.minimum(rising, falling).clamp(min=0.0)
    return (triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]).float()


def discriminator_loss(scores_hat: Sequence[Tensor], scores: Sequence[Tensor]) -> Tensor:
    """Least squares (Mao et al. 2017): recordings towards 1, reconstructions towards 0."""
    pairs = zip(scores_hat, scores, strict=True)
    return torch.stack([fake.square().mean() + (1.0 - real).square().mean() for fake, real in pairs]).sum()


def adversarial_loss(scores_hat: Sequence[Tensor]) -> Tensor:
    """Least squares for the codec: reconstructions towards 1."""
    return torch.stack([(1.0 - fake).square().mean() for fake in scores_hat]).sum()


def feature_matching_loss(features_hat: Sequence[Sequence[Tensor]], features: Sequence[Sequence[Tensor]]) -> Tensor:
    """Mean absolute difference of what the discriminators' layers see, summed over layers (Larsen et al. 2016)."""
    terms = [
        F.l1_loss(fake, real.detach())
        for fakes, reals in zip(features_hat, features, strict=True)
        for fake, real in zip(fakes, reals, strict=True)
    ]
    return torch.stack(terms).sum()


# Slaney's scale: 3 mel a 200 Hz up to 1 kHz, then 27 mel to every factor of 6.4.
_LINEAR, _BREAK_MEL, _LOG_STEP = 200.0 / 3.0, 15.0, float(torch.log(torch.tensor(6.4, dtype=torch.float64))) / 27.0


def _hertz_to_mel(hertz: float) -> float:
    if hertz < 1000.0:
        return hertz / _LINEAR
    return _BREAK_MEL + float(torch.log(torch.tensor(hertz / 1000.0, dtype=torch.float64))) / _LOG_STEP


def _mel_to_hertz(mel: Tensor) -> Tensor:
    return torch.where(mel < _BREAK_MEL, mel * _LINEAR, 1000.0 * torch.exp((mel - _BREAK_MEL) * _LOG_STEP))
