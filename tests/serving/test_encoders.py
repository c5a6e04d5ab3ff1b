"""Sound formats, whole and piece by piece, decoded again by libsndfile and compared."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile
import soxr

from aoede.serving.encoders import FORMATS, MEDIA_TYPES, encode, open_encoder, output_rate, wav_header

SECONDS = 2.3


def tone(rate: int) -> np.ndarray:
    """A tone of 220 Hz that swells and fades."""
    time = np.arange(round(SECONDS * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * 220 * time) * np.sin(np.pi * time / SECONDS)).astype(np.float32)


def streamed(name: str, samples: np.ndarray, rate: int, piece: int = 1000) -> list[bytes]:
    encoder = open_encoder(name, rate)
    parts = [encoder.push(samples[start : start + piece]) for start in range(0, len(samples), piece)]
    return [*parts, encoder.finish()]


def decoded(name: str, data: bytes, rate: int, *, is_stream: bool) -> np.ndarray:
    """Samples at the rate that the encoder says, whatever libsndfile would make of an open end."""
    if name == "pcm":
        return np.frombuffer(data, "<i2") / 32767
    if name == "flac" and is_stream:
        # Its header says "unknown" many samples, which libsndfile takes for 2^63: count the frames instead.
        assert data[21] & 0x0F == 0 and data[22:26] == bytes(4)
        count = round(SECONDS * rate)
        data = data[:21] + bytes([data[21] | count >> 32]) + struct.pack(">I", count & 0xFFFFFFFF) + data[26:]
    samples, found = soundfile.read(io.BytesIO(data))
    assert found == rate
    return samples


@pytest.mark.parametrize("rate", [8000, 24000, 44100])
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_what_is_encoded_decodes_to_the_same_sound(name, rate, is_stream):
    samples = tone(rate)
    data = b"".join(streamed(name, samples, rate)) if is_stream else encode(name, samples, rate)
    target = output_rate(name, rate)
    got = decoded(name, data, target, is_stream=is_stream)
    wanted = soxr.resample(samples, rate, target)
    if name == "mp3" and is_stream:  # a frame of silence, the encoder's delay, and the rest of the last frame
        assert 0 <= len(got) - len(wanted) <= 4 * 1152
    else:
        assert abs(len(got) - len(wanted)) <= 1
    levels = [np.sqrt(np.sum(x**2) / len(wanted)) for x in (got, wanted)]
    assert 20 * abs(np.log10(levels[0] / levels[1])) < 0.6, levels
    # Lossless formats give the samples; the others the same tone, at most one delay later.
    if name in ("pcm", "wav", "flac"):
        assert np.abs(got[: len(wanted)] - wanted[: len(got)]).max() < 1e-3
    else:
        spectra = [np.abs(np.fft.rfft(x, 1 << 18)) for x in (got, wanted)]
        assert np.dot(*spectra) / np.linalg.norm(spectra[0]) / np.linalg.norm(spectra[1]) > 0.99


@pytest.mark.parametrize("name", ["pcm", "wav", "flac", "opus"])
def test_the_pieces_of_a_stream_do_not_change_its_bytes(name):
    samples = tone(24000)
    encoded = [b"".join(streamed(name, samples, 24000, piece)) for piece in (700, len(samples))]
    if name == "opus":  # every stream has a number of its own in its pages
        encoded = [soundfile.read(io.BytesIO(data))[0].tobytes() for data in encoded]
    assert encoded[0] == encoded[1]


@pytest.mark.parametrize("name", FORMATS)
def test_a_stream_flows(name):
    """After half a second of sound at most 0.3 s of it are held back."""
    samples, encoder = tone(24000), open_encoder(name, 24000)
    size = 0
    for start in range(0, 12_000, 1200):
        size += len(encoder.push(samples[start : start + 1200]))
    everything = sum(map(len, streamed(name, samples[:12_000], 24000)))
    assert size > 0.4 * everything
    encoder.close()


@pytest.mark.parametrize("name", FORMATS)
def test_samples_beyond_full_scale_come_out_at_full_scale(name):
    loud = np.full(24000, 1.5, np.float32)
    data = encode(name, loud * np.sign(np.sin(np.arange(24000) * 0.01)).astype(np.float32), 24000)
    got = decoded(name, data, 24000, is_stream=False)
    assert np.median(np.abs(got)) == pytest.approx(1, abs=0.12)


def test_a_wav_says_how_long_it_is_and_a_streamed_one_that_it_ends_when_it_ends():
    samples = tone(8000)
    data = encode("wav", samples, 8000)
    assert struct.unpack("<I", data[4:8])[0] == len(data) - 8
    assert struct.unpack("<I", data[40:44])[0] == len(data) - 44 == 2 * len(samples)
    stream = b"".join(streamed("wav", samples, 8000))
    assert stream[4:8] == stream[40:44] == b"\xff" * 4
    assert stream[44:] == data[44:] and stream[:44] == wav_header(8000)


def test_pcm_is_24_khz_whatever_the_voice_has():
    assert len(encode("pcm", tone(8000), 8000)) == pytest.approx(2 * 24000 * SECONDS, abs=4)
    assert output_rate("pcm", 44100) == 24000 and output_rate("mp3", 44100) == 44100
    assert output_rate("opus", 44100) == 48000


def test_every_format_has_a_media_type():
    assert set(MEDIA_TYPES) == set(FORMATS) == {"wav", "pcm", "flac", "mp3", "opus"}


@pytest.mark.parametrize("name", FORMATS)
def test_an_encoder_may_be_closed_in_the_middle_and_twice(name):
    encoder = open_encoder(name, 24000)
    encoder.push(tone(24000)[:5000])
    encoder.close()
    encoder.close()
    assert len(encode(name, tone(24000), 24000)) > 1000  # the next one is none the worse
