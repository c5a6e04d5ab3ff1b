"""Codec measures: how far a reconstruction is from its original, and how well the codebooks are used.

Owns the spectral distances, SI-SDR (as it is, and aligned) and the counting of codes. Pinned: unlike a training loss
(`codec.losses`, whose mel bands are used) these definitions never change with a recipe, so that figures of different
runs compare. Knows nothing of files, speakers or words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aoede.codec import losses
from aoede.codec.losses import SILENT_ENERGY, mel_filters

__all__ = ["Alignment", "CodebookUse", "LevelUse", "align_si_sdr", "mel_distance", "si_sdr", "stft_distance"]

FLOOR = 1e-5
"""Magnitudes below this count as this before the logarithm."""

STFT_WINDOWS = (2048, 512)
MEL_SCALES = ((2048, 150), (512, 80))
"""(STFT window in samples, mel bands) of each scale."""


def mel_distance(reference: Tensor, audio: Tensor, sample_rate: int) -> float:
    """Distance of mel spectra on two scales, as in the evaluation of DAC and SNAC (0 is equal).

    About 1 to 2 at 1 kbit/s. On each scale, (window, bands) = (2048, 150) and (512, 80), hop a quarter window: mean
    |difference| of the mel magnitudes, plus mean |difference| of log10 of their squares; the scales are added.

    Args:
        reference, audio: [T] in [-1, 1], the same T.
        sample_rate: in Hz; the bands reach to half of it.
    Raises:
        ValueError: shapes that differ, or audio shorter than half the longest window.
    """
    _check(reference, audio)
    total = 0.0
    for window, bands in MEL_SCALES:
        filters = mel_filters(sample_rate, window, bands)
        total += _distance(filters @ _magnitudes(reference, window), filters @ _magnitudes(audio, window))
    return total


def stft_distance(reference: Tensor, audio: Tensor) -> float:
    """As `mel_distance`, on the linear spectra of windows 2048 and 512."""
    _check(reference, audio)
    return sum(_distance(_magnitudes(reference, window), _magnitudes(audio, window)) for window in STFT_WINDOWS)


def si_sdr(reference: Tensor, audio: Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019, "SDR - half-baked or well done?").

    With the means removed, 10 log10(|a s|^2 / |x - a s|^2), where s is the original, x the copy and a = <x, s> / |s|^2
    the gain that fits best; a may be negative, so neither loudness nor polarity counts. In terms of their correlation
    r it is 10 log10(r^2 / (1 - r^2)). Says little below 2 kbit/s, where good copies have other phases.

    Args:
        reference, audio: [T], the same T.
    Returns:
        -100 to 100: a copy without error, or without anything of the original, counts as the bound.
    Raises:
        ValueError: shapes that differ, or an original that is silent (it has no ratio).
    """
    if reference.ndim != 1 or reference.shape != audio.shape:
        raise ValueError(f"shapes {tuple(reference.shape)} and {tuple(audio.shape)} differ; both must be [T], one T")
    centred = reference.double() - reference.double().mean()
    if not float(centred @ centred) > SILENT_ENERGY:
        raise ValueError(f"the original is silent ({len(reference)} samples): it has no SI-SDR; leave this clip out")
    return float(losses.si_sdr(audio[None, None], reference[None, None]))


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """A copy laid over its original."""

    lag: int
    """Samples by which the copy is late; below 0 where it is early."""
    gain: float
    """What the original is multiplied by to come nearest to the copy; below 0 where the polarity is turned."""
    si_sdr: float
    """dB, over the samples that both have once the lag is taken out."""


def align_si_sdr(reference: Tensor, audio: Tensor, max_lag: int) -> Alignment:
    """SI-SDR at the whole-sample lag that suits it best, for codecs that delay, scale or turn the sign.

    For every lag d of -max_lag .. max_lag, original s[t] meets copy x[t + d] wherever both exist; the d of the largest
    squared correlation (means removed over just those samples) is taken, the smallest |d| among equals, and `si_sdr`
    of that overlap is the result. Never below `si_sdr` without alignment. All lags are found at once, from one
    cross-correlation by FFT (Knapp and Carter 1976, without weighting) and running sums.

    Args:
        reference, audio: [T], the same T.
        max_lag: samples, 0 to T / 2.
    Raises:
        ValueError: shapes that differ, a silent original, a lag out of range.
    """
    raw = si_sdr(reference, audio)
    total = len(reference)
    if not 0 <= max_lag <= total // 2:
        raise ValueError(f"max_lag is {max_lag} samples; 0 to {total // 2} fit {total} samples")
    s, x = reference.double().cpu().numpy(), audio.double().cpu().numpy()
    s, x = s - s.mean(), x - x.mean()
    size = 1 << (2 * total - 1).bit_length()
    spectrum = np.conj(np.fft.rfft(s, size)) * np.fft.rfft(x, size)
    products = np.fft.irfft(spectrum, size)  # products[d] = sum over t of s[t] x[t + d]; negative d at the end
    lags = np.arange(-max_lag, max_lag + 1)
    # The overlap at lag d: s[begin : begin + count] with x[begin + d : begin + d + count].
    count, begin = total - np.abs(lags), np.maximum(-lags, 0)

    def over(values: NDArray[np.float64], first: NDArray[np.int64]) -> NDArray[np.float64]:
        sums = np.concatenate([[0.0], np.cumsum(values)])
        return np.asarray(sums[first + count] - sums[first])

    sum_s, sum_x = over(s, begin), over(x, begin + lags)
    power_s = over(s * s, begin) - sum_s**2 / count
    power_x = over(x * x, begin + lags) - sum_x**2 / count
    shared = products[lags] - sum_s * sum_x / count
    floor = 1e-9 * max(float(s @ s), 1e-12), 1e-9 * max(float(x @ x), 1e-12)  # a silent overlap is no match
    fits = np.where((power_s > floor[0]) & (power_x > floor[1]), shared**2 / np.maximum(power_s * power_x, 1e-300), 0)
    best = int(min(np.flatnonzero(fits >= fits.max() * (1 - 1e-12)), key=lambda i: (abs(lags[i]), lags[i])))
    lag, first, kept = int(lags[best]), int(begin[best]), int(count[best])
    aligned = raw if lag == 0 else si_sdr(reference[first : first + kept], audio[first + lag : first + lag + kept])
    if aligned <= raw:  # the bound, or rounding: no lag beats none
        lag, best, aligned = 0, max_lag, raw
    gain = float(shared[best] / power_s[best]) if power_s[best] > 0 else 0.0
    return Alignment(lag=lag, gain=gain, si_sdr=aligned)


@dataclass(frozen=True, kw_only=True)
class LevelUse:
    """How one codebook was used over a set."""

    utilisation: float
    """Share of its entries that occurred at all, 0 to 1."""
    perplexity: float
    """exp of the entropy of its codes: how many entries it would have if it used all of them equally."""
    bits: float
    """Entropy of a code, in bits (log2 of the perplexity)."""
    num_codes: int
    """Codes counted; a set with fewer codes than entries cannot use them all."""


class CodebookUse:
    """Counts codes, level by level.

    Args:
        codebook_sizes: entries of each level's codebook.
    """

    def __init__(self, codebook_sizes: Sequence[int]) -> None:
        self.counts = [np.zeros(size, dtype=np.int64) for size in codebook_sizes]

    def update(self, codes: Sequence[Tensor]) -> None:
        """Adds codes, one integer tensor of any shape a level.

        Raises:
            ValueError: another number of levels, or a code outside its codebook.
        """
        if len(codes) != len(self.counts):
            raise ValueError(f"{len(codes)} levels of codes, but {len(self.counts)} are being counted")
        for level, (count, part) in enumerate(zip(self.counts, codes, strict=True)):
            values = part.detach().cpu().numpy().ravel()
            if values.size and not 0 <= values.min() <= values.max() < len(count):
                raise ValueError(
                    f"level {level} has codes {values.min()} to {values.max()}; 0 to {len(count) - 1} exist"
                )
            count += np.bincount(values, minlength=len(count))

    def levels(self) -> list[LevelUse]:
        """The figures of each level so far; zeros before the first code."""
        return [_use(count) for count in self.counts]


def _use(count: np.ndarray) -> LevelUse:
    total = int(count.sum())
    share = count[count > 0] / max(total, 1)
    entropy = float(-(share * np.log(share)).sum())
    return LevelUse(
        utilisation=float((count > 0).mean()),
        perplexity=math.exp(entropy) if total else 0.0,
        bits=entropy / math.log(2),
        num_codes=total,
    )


def _check(reference: Tensor, audio: Tensor) -> None:
    if reference.ndim != 1 or reference.shape != audio.shape:
        raise ValueError(f"shapes {tuple(reference.shape)} and {tuple(audio.shape)}; both must be [T] of one length")
    if len(reference) <= STFT_WINDOWS[0] // 2:
        raise ValueError(f"{len(reference)} samples are too few for a window of {STFT_WINDOWS[0]}; leave this clip out")


def _magnitudes(audio: Tensor, window: int) -> Tensor:
    """[window // 2 + 1, frames]"""
    shape = torch.hann_window(window, dtype=audio.dtype, device=audio.device)
    return torch.stft(audio, window, window // 4, window=shape, return_complex=True).abs()


def _distance(reference: Tensor, heard: Tensor) -> float:
    a, b = reference.clamp_min(FLOOR), heard.clamp_min(FLOOR)
    return float((reference - heard).abs().mean() + 2 * (a.log10() - b.log10()).abs().mean())
