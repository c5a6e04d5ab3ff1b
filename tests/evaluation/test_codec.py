"""Spectral distances against hand-made sounds and a second implementation; codebook figures against counted codes."""

import math

import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank

from aoede.evaluation.codec import CodebookUse, align_si_sdr, mel_distance, si_sdr, stft_distance


def noise(seconds=0.5, seed=0):
    return 0.1 * torch.randn(int(24000 * seconds), generator=torch.Generator().manual_seed(seed))


def test_equal_audio_has_no_distance():
    audio = noise()
    assert mel_distance(audio, audio, 24000) == 0.0
    assert stft_distance(audio, audio) == 0.0


def test_half_the_loudness_is_log_ten_of_four_on_each_scale():
    # Magnitudes halve: log10 of their squares differs by log10(4) = 0.602 in every bin, on both scales.
    audio = noise()
    magnitudes = [
        torch.stft(audio, w, w // 4, window=torch.hann_window(w), return_complex=True).abs() for w in (2048, 512)
    ]
    linear = sum(float(m.mean()) / 2 for m in magnitudes)
    assert stft_distance(audio, audio / 2) == pytest.approx(2 * math.log10(4) + linear, rel=1e-4)


def test_a_worse_copy_is_further_away():
    audio = noise()
    near, far = audio + 0.01 * noise(seed=1), audio + 0.5 * noise(seed=1)
    assert mel_distance(audio, near, 24000) < mel_distance(audio, far, 24000)
    assert stft_distance(audio, near) < stft_distance(audio, far)


def test_mel_distance_is_that_of_bands_made_by_another_library():
    audio, copy = noise(), noise(seed=1)
    total = 0.0
    for window, bands in ((2048, 150), (512, 80)):
        mels = mel_filter_bank(window // 2 + 1, bands, 0.0, 12000.0, 24000, norm="slaney", mel_scale="slaney").T
        shape = torch.hann_window(window)
        a, b = (
            mels @ torch.stft(x, window, window // 4, window=shape, return_complex=True).abs().numpy()
            for x in (audio, copy)
        )
        logs = np.abs(np.log10(np.maximum(a, 1e-5) ** 2) - np.log10(np.maximum(b, 1e-5) ** 2))
        total += np.abs(a - b).mean() + logs.mean()
    assert mel_distance(audio, copy, 24000) == pytest.approx(total, rel=1e-5)


def test_si_sdr_ignores_gain_and_measures_noise_power():
    # A tone over whole periods plus an orthogonal tone a tenth as loud: 20 dB.
    time = torch.arange(24000) / 24000
    tone, other = torch.sin(2 * math.pi * 100 * time), torch.sin(2 * math.pi * 300 * time)
    assert si_sdr(tone, 3 * (tone + 0.1 * other)) == pytest.approx(20.0, abs=0.01)
    assert si_sdr(tone, 0.5 * tone) > 60


def test_si_sdr_of_white_noise_is_its_level():
    # Independent noise a hundredth of the power: 10 log10(100) = 20 dB, give or take 1 / sqrt(T).
    audio = noise(seconds=4)
    assert si_sdr(audio, audio + 0.1 * noise(seconds=4, seed=1)) == pytest.approx(20.0, abs=0.2)


def test_si_sdr_stops_at_a_hundred():
    audio = noise()
    assert si_sdr(audio, audio) == si_sdr(audio, -2 * audio) == 100.0
    assert si_sdr(audio, torch.zeros_like(audio)) == -100.0


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_a_silent_original_has_no_si_sdr(level):
    with pytest.raises(ValueError, match=r"silent \(100 samples\)"):
        si_sdr(torch.full((100,), level), torch.ones(100))


@pytest.mark.parametrize("lag", [-37, -1, 0, 1, 240])
@pytest.mark.parametrize("gain", [0.5, -2.0])
def test_alignment_finds_lag_gain_and_sign(lag, gain):
    audio = noise()
    found = align_si_sdr(audio, gain * torch.roll(audio, lag), max_lag=300)
    assert found.lag == lag
    assert found.gain == pytest.approx(gain, rel=1e-4)
    assert found.si_sdr > 90


def test_alignment_leaves_the_noise_that_is_really_there():
    audio = noise(seconds=4)
    late = torch.roll(audio, 50) + 0.1 * noise(seconds=4, seed=1)
    assert si_sdr(audio, late) < -20
    found = align_si_sdr(audio, late, max_lag=100)
    assert (found.lag, round(found.si_sdr)) == (50, 20)


def test_alignment_agrees_with_trying_every_lag():
    audio, other = noise(seconds=0.05), noise(seconds=0.05, seed=1)
    copy = other + 0.2 * torch.roll(audio, -7)
    tried = {}
    for lag in range(-20, 21):
        s = audio[max(-lag, 0) : len(audio) - max(lag, 0)]
        x = copy[max(lag, 0) : len(audio) - max(-lag, 0)]
        tried[lag] = si_sdr(s, x)
    best = max(tried, key=tried.get)
    found = align_si_sdr(audio, copy, max_lag=20)
    assert (found.lag, found.si_sdr) == (best, pytest.approx(tried[best], abs=1e-6))


def test_alignment_never_goes_below_the_raw_figure_and_prefers_no_lag():
    tone = torch.sin(2 * math.pi * 100 * torch.arange(24000) / 24000)
    found = align_si_sdr(tone, tone, max_lag=1000)  # a period is 240 samples: many lags fit as well
    assert (found.lag, found.si_sdr) == (0, 100.0)
    nothing = align_si_sdr(tone, torch.zeros_like(tone), max_lag=10)
    assert (nothing.lag, nothing.gain, nothing.si_sdr) == (0, 0.0, -100.0)


@pytest.mark.parametrize("max_lag", [-1, 6001])
def test_a_lag_that_leaves_too_little_is_refused(max_lag):
    with pytest.raises(ValueError, match=f"max_lag is {max_lag} samples; 0 to 6000 fit 12000"):
        align_si_sdr(noise(), noise(), max_lag)


@pytest.mark.parametrize("copy", [torch.zeros(100), torch.zeros(1, 12000)])
def test_shapes_that_differ_are_refused(copy):
    with pytest.raises(ValueError, match="one length"):
        stft_distance(noise(), copy)


def test_audio_shorter_than_a_window_is_refused():
    with pytest.raises(ValueError, match="too few"):
        mel_distance(torch.zeros(500), torch.zeros(500), 24000)


def test_codebook_use_of_counted_codes():
    use = CodebookUse([4, 8])
    use.update([torch.tensor([[0, 0, 1, 1]]), torch.tensor([[7, 7, 7, 7, 7, 7, 7, 7]])])
    coarse, fine = use.levels()
    assert (coarse.utilisation, coarse.perplexity, coarse.bits, coarse.num_codes) == pytest.approx((0.5, 2.0, 1.0, 4))
    assert (fine.utilisation, fine.perplexity, fine.bits, fine.num_codes) == pytest.approx((0.125, 1.0, 0.0, 8))


@pytest.mark.parametrize("size", [2, 16, 4096])
def test_codes_used_evenly_have_the_entropy_of_the_codebook(size):
    use = CodebookUse([size])
    use.update([torch.arange(size).repeat(3)[None]])
    level = use.levels()[0]
    assert level.bits == pytest.approx(math.log2(size))
    assert (level.utilisation, level.perplexity) == pytest.approx((1.0, size))


def test_counts_add_up_over_clips():
    use = CodebookUse([4])
    for code in range(4):
        use.update([torch.tensor([[code]])])
    assert use.levels()[0].perplexity == pytest.approx(4.0)


def test_codes_outside_the_codebook_or_of_other_levels_are_refused():
    use = CodebookUse([4])
    with pytest.raises(ValueError, match="level 0 has codes 0 to 4; 0 to 3 exist"):
        use.update([torch.tensor([[0, 4]])])
    with pytest.raises(ValueError, match="2 levels of codes, but 1"):
        use.update([torch.tensor([[0]]), torch.tensor([[0]])])
    assert use.levels()[0].num_codes == 0
