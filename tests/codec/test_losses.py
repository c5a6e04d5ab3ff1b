"""Losses: filters and sums that a person can check, and gradients that stay finite."""

import pytest
import torch

from aoede.codec.losses import (
    MelLossConfig,
    adversarial_loss,
    discriminator_loss,
    feature_matching_loss,
    magnitudes,
    mel_filters,
    mel_loss,
    si_sdr,
    stft_loss,
)


def tone(hertz: float, sample_rate: int = 24000, samples: int = 4096) -> torch.Tensor:
    return torch.sin(2 * torch.pi * hertz * torch.arange(samples) / sample_rate)[None, None]


def test_mel_filters_by_hand() -> None:
    # Below 1 kHz Slaney's scale is 3 mel a 200 Hz. At a rate of 2000 Hz, 4 bands have edges 0, 200, .. 1000 Hz; bins
    # of a window of 20 samples lie at 0, 100, .. 1000 Hz. A triangle 400 Hz wide of area 1 is 1 / 200 high.
    filters = mel_filters(2000, 20, 4) * 200
    assert filters.shape == (4, 11)
    assert filters.tolist() == [
        pytest.approx([0, 0.5, 1, 0.5, 0, 0, 0, 0, 0, 0, 0], abs=1e-6),
        pytest.approx([0, 0, 0, 0.5, 1, 0.5, 0, 0, 0, 0, 0], abs=1e-6),
        pytest.approx([0, 0, 0, 0, 0, 0.5, 1, 0.5, 0, 0, 0], abs=1e-6),
        pytest.approx([0, 0, 0, 0, 0, 0, 0, 0.5, 1, 0.5, 0], abs=1e-6),
    ]


def test_mel_filters_above_1_khz() -> None:
    # From 1 kHz on, 27 mel multiply by 6.4: 6.4 kHz is mel 42. One band from 0 to mel 42 peaks at mel 21, which is
    # 1000 * 6.4 ** (6 / 27) = 1510.6 Hz, and has the height 2 / 6400.
    filters = mel_filters(12800, 12800, 1)[0]  # bins of 1 Hz
    assert int(filters.argmax()) == 1511
    assert float(filters.max()) == pytest.approx(2 / 6400, rel=1e-3)
    assert float(filters.sum()) == pytest.approx(1.0, rel=1e-4)


def test_each_band_of_speech_has_area_one() -> None:
    # Bins of 11.7 Hz are fine enough for 80 bands: the triangles sum to 1 / bin width.
    areas = mel_filters(24000, 2048, 80).sum(1) * 24000 / 2048
    assert torch.allclose(areas[10:], torch.ones(70), atol=0.05)


def test_a_tone_lands_in_its_bin() -> None:
    spectrum = magnitudes(tone(3000.0), 512)  # bins of 46.875 Hz: 3 kHz is bin 64
    assert spectrum.shape == (1, 257, 33)
    inside = spectrum[0, :, 2:-2]
    assert (inside.argmax(0) == 64).all()
    assert torch.allclose(inside[64], torch.full((29,), 128.0), rtol=1e-3)  # half the sum of the Hann window


@pytest.mark.parametrize("samples", [1, 5, 100, 3000])
def test_equal_audio_costs_nothing_at_any_length(samples: int) -> None:
    audio = torch.randn(2, 1, samples)
    assert float(mel_loss(audio, audio, 24000)) == 0.0
    assert float(stft_loss(audio, audio)) == 0.0
    assert float(mel_loss(audio, 0.5 * audio, 24000)) > 0.0


def test_half_the_loudness_costs_log10_of_2_in_every_band() -> None:
    config = MelLossConfig(windows=(256, 512), mels=(4, 8))
    audio = torch.randn(1, 1, 8000)
    assert float(mel_loss(0.5 * audio, audio, 8000, config)) == pytest.approx(2 * 0.30103, rel=1e-3)
    # stft_loss adds the difference of magnitudes, half their mean, to the same logarithm.
    expected = 0.30103 + 0.5 * float(magnitudes(audio, 512).mean())
    assert float(stft_loss(0.5 * audio, audio, (512,))) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("loss", [lambda a, b: mel_loss(a, b, 24000), stft_loss])
def test_gradients_are_finite_at_silence(loss) -> None:  # type: ignore[no-untyped-def]
    audio_hat = torch.zeros(1, 1, 4096, requires_grad=True)
    loss(audio_hat, tone(440.0)).backward()
    assert torch.isfinite(audio_hat.grad).all()


def test_mel_loss_leads_to_the_audio() -> None:
    target = tone(440.0)
    torch.manual_seed(0)
    audio_hat = (target + 0.1 * torch.randn_like(target)).requires_grad_()
    before = mel_loss(audio_hat, target, 24000)
    before.backward()
    with torch.no_grad():
        after = mel_loss(audio_hat - 0.02 * audio_hat.grad / audio_hat.grad.std(), target, 24000)
    assert after.item() < before.item()


def test_least_squares_by_hand() -> None:
    fake, real = [torch.tensor([0.0, 2.0]), torch.tensor([1.0])], [torch.tensor([1.0, 0.0]), torch.tensor([0.0])]
    # fakes to 0: (0 + 4) / 2 and 1; recordings to 1: (0 + 1) / 2 and 1
    assert float(discriminator_loss(fake, real)) == 4.5
    # fakes to 1: (1 + 1) / 2 and 0
    assert float(adversarial_loss(fake)) == 1.0


def test_feature_matching_by_hand_and_only_the_codec_learns() -> None:
    fake = [[torch.tensor([1.0, 3.0], requires_grad=True)], [torch.tensor([0.0]), torch.tensor([5.0])]]
    real = [[torch.tensor([0.0, 0.0], requires_grad=True)], [torch.tensor([2.0]), torch.tensor([4.0])]]
    loss = feature_matching_loss(fake, real)
    assert loss.item() == 2.0 + 2.0 + 1.0
    loss.backward()
    assert fake[0][0].grad is not None and real[0][0].grad is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"windows": (32,)}, "1 windows but 7 numbers of mels"),
        ({"windows": (), "mels": ()}, "0 windows"),
        ({"windows": (30,), "mels": (5,)}, r"windows \(30,\): each must be a multiple of 4"),
    ],
)
def test_mel_settings_that_cannot_be_are_refused(changes: dict[str, tuple[int, ...]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MelLossConfig(**changes)


def test_si_sdr_is_the_measure_of_the_reports_item_by_item() -> None:
    from aoede.evaluation.codec import si_sdr as measure

    audio = torch.cat((tone(440.0), tone(1000.0)))
    heard = 0.5 * audio + 0.1 * torch.randn(2, 1, 4096) + 0.2
    values = si_sdr(heard, audio)
    assert values.tolist() == pytest.approx([measure(a[0], h[0]) for a, h in zip(audio, heard, strict=True)], abs=1e-6)
    # Noise of a fifth of a unit sine's amplitude, scaled by 0.5: 10 log10(0.5 * 0.25 / 0.01) is 10.97 dB.
    assert values.tolist() == pytest.approx([10.97, 10.97], abs=0.3)
    assert si_sdr(heard, torch.zeros_like(audio)).tolist() == [0.0, 0.0]
