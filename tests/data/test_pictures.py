"""Pictures are well formed and show what they should."""

import io

import numpy as np
import pytest
from PIL import Image

from aoede.data.pictures import spectrogram_png


def test_a_tone_is_a_bright_line_at_its_height():
    time = np.arange(24000) / 24000
    png = spectrogram_png(np.sin(2 * np.pi * 3000 * time).astype(np.float32), 24000, width=40, height=64)
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
    assert picture.shape == (64, 40)
    brightest = picture[:, 10:30].sum(1).argmax()
    assert brightest == pytest.approx(64 - 64 * 3000 / 12000, abs=1)  # a quarter of the way up


@pytest.mark.parametrize("audio", [np.zeros(0), np.zeros(5), np.zeros(9000)])
def test_silence_is_drawn_dark(audio):
    picture = np.asarray(Image.open(io.BytesIO(spectrogram_png(audio.astype(np.float32), 16000))))
    assert picture.max() < 100
