"""Phases turn and loudness changes; nothing else does."""

import math

import pytest
import torch

from aoede.training.augment import rotate_phase, scale_within

TIME = torch.arange(64) / 64


def test_a_cosine_turned_by_a_quarter_is_a_sine() -> None:
    wave = torch.cos(2 * math.pi * 5 * TIME)[None, None]
    turned = rotate_phase(wave, torch.tensor([math.pi / 2]))
    torch.testing.assert_close(turned[0, 0], -torch.sin(2 * math.pi * 5 * TIME), atol=1e-5, rtol=0)


@pytest.mark.parametrize("samples", [64, 63])
def test_a_half_turn_is_a_change_of_polarity_and_none_changes_nothing(samples: int) -> None:
    audio = torch.randn(2, 1, samples)
    turned = rotate_phase(audio, torch.tensor([math.pi, 0.0]))
    torch.testing.assert_close(turned, audio * torch.tensor([-1.0, 1.0])[:, None, None], atol=1e-5, rtol=0)


@pytest.mark.parametrize("samples", [64, 63])
def test_magnitudes_stay(samples: int) -> None:
    audio = torch.randn(3, 1, samples)
    audio = audio - audio.mean(-1, keepdim=True)
    turned = rotate_phase(audio, torch.tensor([0.3, -1.2, 2.0]))
    before, after = torch.fft.rfft(audio).abs(), torch.fft.rfft(turned).abs()
    torch.testing.assert_close(after[..., 1:-1], before[..., 1:-1], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(turned, audio, atol=0.1)


def test_loudness_changes_by_decibels_but_never_beyond_full_scale() -> None:
    audio = torch.tensor([[[0.1, -0.2]], [[0.1, -0.2]], [[0.0, 0.0]]])
    scaled = scale_within(audio, torch.tensor([-20.0, 40.0, 40.0]))
    torch.testing.assert_close(scaled, torch.tensor([[[0.01, -0.02]], [[0.5, -1.0]], [[0.0, 0.0]]]))
