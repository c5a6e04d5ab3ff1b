"""Copies of a recording are known for copies, and other recordings of the same voice are not."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile

from aoede.data import load_audio, save_audio
from aoede.data.twins import alike, listen

CLIPS = sorted((Path(__file__).parent / "clips").glob("*.ogg"))


def are_alike(*paths):
    return sorted(tuple(sorted(pair)) for pair in alike([listen(path) for path in paths]))


@pytest.mark.parametrize(
    ("suffix", "rate", "gain"),
    [(".wav", 16000, 1.0), (".flac", 16000, 1.0), (".wav", 44100, 1.0), (".wav", 8000, 1.0), (".flac", 16000, 0.3),
     (".ogg", 16000, 1.0), (".opus", 24000, 1.0), (".mp3", 24000, 1.0)],
)  # fmt: skip
def test_a_copy_in_another_form_is_known(tmp_path, suffix, rate, gain):
    for clip in CLIPS:
        samples, _ = load_audio(clip, rate)
        save_audio(tmp_path / f"copy{suffix}", samples * np.float32(gain), rate)
        assert are_alike(clip, tmp_path / f"copy{suffix}") == [(0, 1)], clip.name


def test_other_recordings_of_the_same_length_are_not_taken_for_copies(tmp_path):
    paths = []
    for clip in CLIPS:
        samples, rate = load_audio(clip)
        for start in range(0, len(samples) - rate, rate):
            paths.append(tmp_path / f"{len(paths)}.wav")
            save_audio(paths[-1], samples[start : start + rate], rate)
    for seed in range(20):
        paths.append(tmp_path / f"noise{seed}.wav")
        noise = 0.2 + 0.01 * np.random.default_rng(seed).standard_normal(16000)  # with the same constant
        save_audio(paths[-1], noise.astype(np.float32), 16000)
    assert len(list(combinations(paths, 2))) > 400
    assert are_alike(*paths) == []


def test_silence_is_nobodys_twin_but_has_a_digest(tmp_path):
    for name, kind in (("a.wav", "PCM_16"), ("b.wav", "FLOAT")):
        soundfile.write(tmp_path / name, np.zeros(8000), 16000, kind)
    assert are_alike(tmp_path / "a.wav", tmp_path / "b.wav") == []
    assert listen(tmp_path / "a.wav").digest == listen(tmp_path / "b.wav").digest


def test_a_signature_does_not_depend_on_the_blocks_it_was_read_in(tmp_path):
    samples = 0.1 * np.random.default_rng(0).standard_normal(8000 * 25)
    soundfile.write(tmp_path / "a.wav", samples, 8000, "FLOAT")
    whole = samples.astype(np.float32)
    rise = whole - np.concatenate((whole[[0, 0]], whole[:-2]))
    from aoede.data.twins import _BUCKETS, _PERIOD, _SIGNS, SIZE

    at = np.arange(len(whole)) % _PERIOD
    sums = np.bincount(_BUCKETS[at], weights=rise * _SIGNS[at], minlength=SIZE)
    assert np.allclose(listen(tmp_path / "a.wav").signature, sums / np.linalg.norm(sums), atol=1e-6)
