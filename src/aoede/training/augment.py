"""Changes to a recording that a listener would not call another sound: its loudness, and the phase of its parts.

Pure functions of a batch and numbers drawn elsewhere. Knows nothing of where the audio comes from.
"""

import torch
from torch import Tensor


def rotate_phase(audio: Tensor, angles: Tensor) -> Tensor:
    """Turns the phase of every frequency by one angle: cos(a) x - sin(a) H(x), H the Hilbert transform.

    An all-pass filter: magnitudes stay. An angle of pi is a change of polarity, exact to rounding. The segment counts
    as periodic, so its last and first few samples hear each other.

    Args:
        audio: [B, 1, T].
        angles: [B], in radians.
    Returns:
        [B, 1, T]; peaks may be higher than before.
    """
    spectrum = torch.fft.rfft(audio, dim=-1)
    turn = torch.polar(torch.ones_like(angles, dtype=audio.dtype), angles.to(audio.dtype))[:, None, None]
    turned = spectrum * turn
    # The constant has no phase, and neither has the highest frequency of an even length: both stay real.
    turned[..., 0] = spectrum[..., 0] * turn[..., 0].real
    if audio.shape[-1] % 2 == 0:
        turned[..., -1] = spectrum[..., -1] * turn[..., 0].real
    return torch.fft.irfft(turned, n=audio.shape[-1], dim=-1)


def scale_within(audio: Tensor, gains_db: Tensor) -> Tensor:
    """Louder or quieter by `gains_db` [B], but never beyond full scale; [B, 1, T]."""
    peaks = audio.abs().amax((1, 2)).clamp(min=1e-4)
    return audio * torch.minimum(10.0 ** (gains_db / 20.0), 1.0 / peaks)[:, None, None]
