"""A stretch of a file equals that part of the whole file, wherever it lies and whatever the rate."""

import numpy as np
import pytest

from aoede.data import AudioError, load_audio, save_audio
from aoede.data.spans import load_span


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_stretch_at_the_file_s_own_rate_is_exact(tmp_path, suffix):
    save_audio(tmp_path / f"a.{suffix}", noise(5000), 8000)
    whole, _ = load_audio(tmp_path / f"a.{suffix}")
    for start, length in ((0, 100), (777, 1000), (4900, 100)):
        assert np.array_equal(load_span(tmp_path / f"a.{suffix}", start, length, 8000), whole[start : start + length])


@pytest.mark.parametrize("rates", [(44100, 24000), (16000, 24000), (22050, 4000), (8000, 44100)])
def test_a_resampled_stretch_lines_up_with_the_whole(tmp_path, rates):
    native, wanted = rates
    save_audio(tmp_path / "a.wav", noise(40_000), native)
    whole, _ = load_audio(tmp_path / "a.wav", wanted)
    for start in (0, 1, len(whole) // 3, len(whole) - 500):
        span = load_span(tmp_path / "a.wav", start, 400, wanted)
        assert len(span) == 400
        assert np.abs(span - whole[start : start + 400]).max() < 1e-4


def test_an_ogg_file_seeks_to_the_sample(tmp_path):
    save_audio(tmp_path / "a.ogg", noise(30_000), 16000)
    whole, _ = load_audio(tmp_path / "a.ogg")
    assert np.abs(load_span(tmp_path / "a.ogg", 12_345, 2000, 16000) - whole[12_345:14_345]).max() < 1e-5


def test_channels_are_averaged_and_the_end_of_the_file_ends_the_stretch(tmp_path):
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.stack([noise(1000), noise(1000, 1)], axis=1), 8000, subtype="FLOAT")
    span = load_span(tmp_path / "a.wav", 900, 500, 8000)
    np.testing.assert_allclose(span, (noise(1000)[900:] + noise(1000, 1)[900:]) / 2, atol=1e-6)
    assert len(load_span(tmp_path / "a.wav", 5000, 10, 8000)) == 0


def test_only_the_stretch_is_read(tmp_path, monkeypatch):
    import soundfile

    save_audio(tmp_path / "a.wav", noise(400_000), 16000)
    asked = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda self, n, **k: asked.append(n) or read(self, n, **k))
    load_span(tmp_path / "a.wav", 300_000, 1000, 24000)
    assert len(asked) == 1 and asked[0] < 4000


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(AudioError, match=r"text\.wav: samples 0 to 10 \(at 8000 Hz\) cannot be read"):
        load_span(tmp_path / "text.wav", 0, 10, 8000)
    with pytest.raises(ValueError, match="start=-1, length=10"):
        load_span(tmp_path / "text.wav", -1, 10, 8000)
    import soundfile

    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan], dtype=np.float32), 8000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"nan\.wav: NaN or infinite samples near 0\.000 s"):
        load_span(tmp_path / "nan.wav", 0, 2, 8000)
