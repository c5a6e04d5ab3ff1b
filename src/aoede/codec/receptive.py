"""How far the network sees: which latents a sample needs, and which samples a latent needs.

Owns the arithmetic of kernels and strides, layer by layer, from a config alone. Knows nothing of weights or tensors;
`streaming.py` cuts by it.
"""

from __future__ import annotations

import math

from aoede.codec.config import SnacConfig
from aoede.codec.layers import DILATIONS, KERNEL

REACH = KERNEL // 2
"""Steps that a plain wide kernel sees on each side."""

UNITS_REACH = sum(REACH * dilation for dilation in DILATIONS)
"""Steps that three residual units see on each side."""


def latents_needed(config: SnacConfig, first: int, last: int) -> tuple[int, int]:
    """Latents that the decoder reads for samples `first..last` (both included); may lie outside the audio."""
    low, high = first - REACH, last + REACH
    for stride in reversed(config.decoder_rates):
        low, high = low - UNITS_REACH, high + UNITS_REACH
        # A transposed convolution writes input i to outputs i * stride - padding .. + 2 * stride - 1.
        padding = math.ceil(stride / 2)
        low, high = -((2 * stride - 1 - padding - low) // stride), (high + padding) // stride
    if config.attn_window_size is not None:
        window = config.attn_window_size
        low, high = low // window * window, high // window * window + window - 1
    return low - REACH, high + REACH


def samples_needed(config: SnacConfig, first: int, last: int) -> tuple[int, int]:
    """Samples that the encoder reads for latents `first..last` (both included); may lie outside the audio."""
    low, high = first - REACH, last + REACH
    if config.attn_window_size is not None:
        window = config.attn_window_size
        low, high = low // window * window, high // window * window + window - 1
    for stride in reversed(config.encoder_rates):
        padding = math.ceil(stride / 2)
        low, high = low * stride - padding, high * stride - padding + 2 * stride - 1
        low, high = low - UNITS_REACH, high + UNITS_REACH
    return low - REACH, high + REACH


def decoder_tail(config: SnacConfig) -> int:
    """Samples at the end of a decoded piece, whole windows long, that the next latent still changes (4,757 for the
    published 24 kHz network)."""
    low = -REACH
    if config.attn_window_size is not None:
        low = -config.attn_window_size
    for stride in config.decoder_rates:
        low = low * stride - math.ceil(stride / 2) - UNITS_REACH
    return REACH - low


def encoder_tail(config: SnacConfig) -> int:
    """Samples past a frame's end that its codes look at."""
    return samples_needed(config, -1, -1)[1] + 1


def final_samples(config: SnacConfig, latents: int) -> int:
    """Samples at the start of the audio that no latent after the first `latents` can change."""
    low = latents - REACH
    if config.attn_window_size is not None:
        low = low // config.attn_window_size * config.attn_window_size
    for stride in config.decoder_rates:
        low = low * stride - math.ceil(stride / 2) - UNITS_REACH
    return max(0, low - REACH)


def latents_for(config: SnacConfig, samples: int) -> int:
    """The fewest latents after which the first `samples` samples are final."""
    window = config.attn_window_size
    late = decoder_tail(config) - (REACH if window is None else window) * config.hop_length  # by the blocks alone
    steps = -(-(samples + late) // config.hop_length)
    return REACH + (steps if window is None else -(-steps // window) * window)
