"""Sound through pipes: what a file of the same samples gives, and words where something else comes."""

import io
import struct

import numpy as np
import pytest
import soundfile

from aoede.data import AudioError, load_audio, save_audio
from aoede.data.pipes import PipeReader, PipeWriter


def sound(samples=5000, channels=1, seed=0):
    shape = samples if channels == 1 else (samples, channels)
    return (0.3 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def wav(samples, rate, subtype, container="WAV"):
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, subtype, format=container)
    return stream.getvalue()


def read(content, rate=24000, seconds=0.01, **options):
    with PipeReader(io.BytesIO(content), rate, **options) as reader:
        return np.concatenate(list(reader.blocks(seconds))), reader.info


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize(("channels", "container", "rate"), [(1, "WAV", 24000), (2, "WAVEX", 16000)])
def test_a_wav_file_reads_as_it_does_from_disk(tmp_path, subtype, channels, container, rate):
    content = wav(sound(5000, channels), rate, subtype, container)
    (tmp_path / "a.wav").write_bytes(content)
    samples, info = read(content)
    assert np.abs(samples - load_audio(tmp_path / "a.wav", 24000)[0]).max() < 1e-6
    assert (info.num_samples, info.channels, info.sample_rate) == (5000, channels, rate)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0])
def test_a_wav_whose_length_was_not_known_is_taken_to_its_end(size):
    content = bytearray(wav(sound(), 24000, "PCM_16"))
    struct.pack_into("<I", content, 40, size)
    assert len(read(bytes(content))[0]) == 5000


def test_chunks_beside_the_sound_are_passed_over():
    content = wav(sound(), 24000, "PCM_16")
    extra = struct.pack("<4sI", b"LIST", 3) + b"abc\0"
    samples, _ = read(content[:36] + extra + content[36:] + extra)
    assert np.array_equal(samples, read(content)[0])


@pytest.mark.parametrize(
    ("raw", "kind", "scale"),
    [("s16le", "<i2", 2**15), ("s32le", "<i4", 2**31), ("f32le", "<f4", 1), ("f64le", "<f8", 1)],
)
def test_raw_samples_read_as_what_they_are(raw, kind, scale):
    wanted = np.array([[0.5, 0.0], [-1.0, -0.5], [0.25, 0.75]] * 30)
    content = (wanted * scale).astype(kind).tobytes()
    samples, _ = read(content, raw=raw, channels=2)
    assert np.abs(samples - wanted.mean(axis=1)).max() < 1e-6


def test_raw_samples_of_24_bits_keep_their_sign():
    content = bytes([0, 0, 0x40]) + bytes([0, 0, 0xC0]) + bytes([1, 0, 0])
    assert read(content, raw="s24le")[0].tolist() == [0.5, -0.5, 2**-23]


def test_raw_samples_of_another_rate_are_resampled():
    content = (sound(16000) * 32767).astype("<i2").tobytes()
    with PipeReader(io.BytesIO(content), 24000, raw="s16le", rate=16000) as reader:
        samples = np.concatenate(list(reader.blocks(0.01)))
        assert abs(len(samples) - 24000) <= 1 and reader.info.seconds == 1.0


def test_what_is_written_as_wav_is_what_a_file_holds(tmp_path):
    samples = np.concatenate((sound(3000), np.array([1.5, -1.5, 1.0, -1.0, 0.0], np.float32)))
    save_audio(tmp_path / "a.wav", samples, 24000)
    stream = io.BytesIO()
    writer = PipeWriter(stream, 24000)
    for part in np.array_split(samples, 7):
        writer.write(part)
    heard, info = read(stream.getvalue())
    assert info.container == "WAV s16le"
    assert np.array_equal(heard, load_audio(tmp_path / "a.wav")[0])


def test_raw_floats_go_through_unchanged():
    stream = io.BytesIO()
    PipeWriter(stream, 24000, raw="f32le").write(sound())
    assert np.array_equal(read(stream.getvalue(), raw="f32le")[0], sound())


def test_a_wav_that_ends_early_is_refused_and_kept_on_request():
    content = wav(sound(), 24000, "PCM_16")[:6044]
    with pytest.raises(
        AudioError, match=r"standard input: cut short: its header announces 4,000 bytes .* more than came"
    ):
        read(content)
    samples, info = read(content, truncated="keep")
    assert len(samples) == 3000 and info.truncated


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (b"", {}, "nothing came"),
        (b"fLaC" + bytes(50), {}, "not a WAV file; a pipe carries WAV, or raw samples"),
        (bytes(4) + b"ftypM4A " + bytes(20), {}, r"MP4/M4A.*ffmpeg -i IN -f wav -"),
        (b"RIFF\0\0\0\0WAVEfmt ", {}, "cut short: the WAV header has no data chunk"),
        (b"RIFF\0\0\0\0WAVEdata" + bytes(4), {}, "without a format"),
        (wav(sound(), 24000, "ULAW"), {}, "WAV of format 7 with 8 bits"),
        (wav(sound(), 24000, "PCM_16"), {"raw": "s16le"}, "leave --raw out"),
        (bytes(101), {"raw": "s16le"}, "ends inside a sample of 2 bytes"),
        (bytes(100), {"raw": "s16be"}, "raw format 's16be'; it is one of s16le"),
        (bytes(100), {"raw": "s16le", "channels": 0}, "0 channels"),
        (b"", {"raw": "s16le"}, "no samples"),
        (np.full(9, np.nan, "<f4").tobytes(), {"raw": "f32le"}, "NaN"),
        (np.full(9, 9e3, "<f4").tobytes(), {"raw": "f32le"}, "was it written as integers"),
    ],
)
def test_what_a_pipe_cannot_carry_is_told_with_the_way_out(content, options, words):
    with pytest.raises(ValueError, match=words):
        read(content, **options)


def test_a_format_that_cannot_be_written_is_refused():
    with pytest.raises(ValueError, match="'s24le' cannot be written; s16le and f32le can"):
        PipeWriter(io.BytesIO(), 24000, raw="s24le")
