"""The `.snac` file: as many bits as the codec promises, and nothing else than what was written."""

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoede.codec import SnacConfig
from aoede.data import CodeFile, CodesInfo
from aoede.data.codefile import check_code_file
from aoede.data.codestream import CodeReader, CodeWriter


def info(codebook_size=4096, strides=(4, 2, 1)):
    return CodesInfo(
        codec_fingerprint="0123456789abcdef",
        sample_rate=24000,
        vq_strides=strides,
        codebook_size=codebook_size,
        frame_length=2048,
    )


def file(codebook_size=4096, strides=(4, 2, 1), frames=3, seed=0):
    rng = np.random.default_rng(seed)
    about = info(codebook_size, strides)
    codes = [rng.integers(0, codebook_size, frames * count).astype(np.uint16) for count in about.codes_per_frame]
    return CodeFile(info=about, num_samples=frames * 2048 - 100, codes=codes)


def same(one, other):
    equal = all(np.array_equal(a, b) for a, b in zip(one.codes, other.codes, strict=True))
    return equal and one.info == other.info and one.num_samples == other.num_samples


LAYOUTS = st.sampled_from([(4, 2, 1), (8, 4, 2, 1), (1, 1), (2,), (6, 3, 2, 1), (1,) * 32, (1,) * 255])


@given(codebook_size=st.integers(1, 65_536), strides=LAYOUTS, frames=st.integers(1, 40), seed=st.integers(0, 999))
def test_what_is_written_is_read(codebook_size, strides, frames, seed):
    written = file(codebook_size, strides, frames, seed)
    assert same(CodeFile.from_bytes(written.to_bytes()), written)


@given(
    codebook_size=st.sampled_from([1, 2, 5, 300, 2048, 4096, 65_536]),
    strides=LAYOUTS,
    cuts=st.lists(st.integers(0, 9), min_size=1, max_size=8),
    step=st.integers(1, 11),
)
def test_pieces_of_any_size_give_the_same_bytes_and_come_back_in_any_pieces(codebook_size, strides, cuts, step):
    whole = file(codebook_size, strides, max(1, sum(cuts)))
    stream = io.BytesIO()
    writer = CodeWriter(stream, whole.info)
    edges = np.cumsum([0, *cuts, whole.num_frames - sum(cuts)])
    counts = whole.info.codes_per_frame
    for first, last in itertools.pairwise(edges):
        writer.write([level[first * n : last * n] for level, n in zip(whole.codes, counts, strict=True)])
    writer.finish(whole.num_samples)
    assert stream.getvalue() == whole.to_bytes() and writer.num_bytes == len(stream.getvalue())
    reader = CodeReader(io.BytesIO(stream.getvalue()), "a.snac")
    blocks = list(reader.blocks(step))
    assert all(len(block[0]) // counts[0] == step for block in blocks[:-1])
    levels = [np.concatenate(level) for level in zip(*blocks, strict=True)]
    assert all(np.array_equal(a, b) for a, b in zip(levels, whole.codes, strict=True))
    assert (reader.num_samples, reader.num_frames) == (whole.num_samples, whole.num_frames)


@pytest.mark.parametrize("name", ["small_24khz", "snac_24khz", "snac_32khz", "snac_44khz"])
def test_a_minute_takes_at_most_one_percent_more_than_the_rate_of_the_codec(name):
    config: SnacConfig = getattr(SnacConfig, name)()
    about = CodesInfo(
        codec_fingerprint="0123456789abcdef",
        sample_rate=config.sample_rate,
        vq_strides=config.vq_strides,
        codebook_size=config.codebook_size,
        frame_length=config.frame_length,
    )
    samples = 60 * config.sample_rate
    frames = -(-samples // config.pad_multiple) * config.pad_multiple // config.frame_length
    codes = [np.full(frames * count, config.codebook_size - 1, np.uint16) for count in config.codes_per_frame]
    content = CodeFile(info=about, num_samples=samples, codes=codes).to_bytes()
    theory = config.bits_per_second * 60 / 8
    assert theory <= len(content) <= 1.01 * theory
    assert same(CodeFile.from_bytes(content), CodeFile(info=about, num_samples=samples, codes=codes))


def test_codes_0_and_4095_are_valid_and_4096_is_not():
    good = CodeFile(info=info(strides=(1,)), num_samples=1, codes=[np.array([0, 4095], np.uint16)])
    assert CodeFile.from_bytes(good.to_bytes()).codes[0].tolist() == [0, 4095]
    bad = CodeFile(info=info(strides=(1,)), num_samples=1, codes=[np.array([4096], np.uint16)])
    with pytest.raises(ValueError, match=r"code 4096 in level 0 is outside 0\.\.4095"):
        bad.to_bytes()


def test_the_bytes_are_those_of_the_description():
    codes = CodeFile(info=info(8, (2, 1)), num_samples=3000, codes=[np.array([1, 7]), np.array([2, 3, 0, 5])])
    header = b"\x89SNAC" + b"\x01" + bytes.fromhex("0123456789abcdef") + struct.pack("<IIHB", 24000, 2048, 7, 2)
    # Frame by frame, level by level, 3 bits a code, low bit first: 1 2 3 | 7 0 5, then the stop bit.
    # 100 010 110 111 000 101 1 -> 10001011 01110001 011 -> 0b11010001 0b10001110 0b110
    body = bytes([0b11010001, 0b10001110, 0b110])
    rest = header + bytes([2, 1]) + body + struct.pack("<I", 2 * 2048 - 3000)
    assert codes.to_bytes() == rest + struct.pack("<I", zlib.crc32(rest))
    assert len(header) == 25 and codes.num_bytes == 3


def test_a_frame_smaller_than_a_byte_is_still_counted():
    for frames in range(1, 20):
        codes = CodeFile(info=info(2, (1,)), num_samples=1, codes=[np.zeros(frames, np.uint16)])
        assert CodeFile.from_bytes(codes.to_bytes()).num_frames == frames


@pytest.mark.parametrize("keep", [0, 3, 5, 6, 11, 24, 25, 27, 28, 30, 36, 37, 60, -1, -4, -9])
def test_a_file_cut_short_says_so(keep):
    content = file(frames=30).to_bytes()
    with pytest.raises(ValueError, match=r"^a\.snac: .*(cut short|not a \.snac file)"):
        CodeFile.from_bytes(content[: keep if keep >= 0 else len(content) + keep], "a.snac")


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(place, bit):
    content = bytearray(file().to_bytes())
    content[int(place * len(content))] ^= 1 << bit
    with pytest.raises(ValueError, match=r"^a\.snac: "):
        CodeFile.from_bytes(bytes(content), "a.snac")


@given(st.binary(max_size=200))
def test_noise_behind_a_good_beginning_is_refused_in_words(content):
    for head in (b"", b"\x89SNAC\x01", file().to_bytes()[:28]):
        with pytest.raises(ValueError, match=r"^a\.snac: "):
            CodeFile.from_bytes(head + content, "a.snac")


def test_something_behind_the_end_is_noticed():
    with pytest.raises(ValueError, match="damaged or cut short: its checksum"):
        CodeFile.from_bytes(file().to_bytes() + b"\0")


def test_other_files_other_versions_and_missing_files_are_named(tmp_path):
    path = tmp_path / "a.snac"
    with pytest.raises(ValueError, match="no such file"):
        CodeFile.load(path)
    with pytest.raises(ValueError, match=r"a folder, not a \.snac file"):
        check_code_file(tmp_path)
    path.write_bytes(b"RIFF0000WAVE")
    with pytest.raises(ValueError, match=r"not a \.snac file"):
        CodeFile.load(path)
    path.write_bytes(b"AOEDCODE\x10\0\0\0{}")
    with pytest.raises(ValueError, match=r"a \.codes file of an earlier Aoede.*encode the sound again"):
        CodeFile.load(path)
    newer = bytearray(file().to_bytes())
    newer[5] = 2
    with pytest.raises(ValueError, match=r"version 2 of the \.snac format; this Aoede reads version 1: update Aoede"):
        CodeFile.from_bytes(bytes(newer))


@pytest.mark.parametrize(
    ("offset", "bytes_", "words"),
    [
        (14, b"\0\0\0\0", "0 Hz"),
        (18, b"\0\0\0\0", "frames of 0 samples"),
        (25, b"\0", r"strides \[0, 2, 1\]"),
        (25, b"\3", r"strides \[3, 2, 1\]"),
    ],
)
def test_a_header_that_says_nonsense_is_told_before_anything_is_read(offset, bytes_, words):
    content = bytearray(file().to_bytes())
    content[offset : offset + len(bytes_)] = bytes_
    with pytest.raises(ValueError, match=words):
        CodeReader(io.BytesIO(bytes(content)), "a.snac")


def test_a_well_formed_file_with_a_code_too_high_is_refused():
    content = bytearray(file(300).to_bytes())
    content[28:30] = b"\xff\xff"
    content[-4:] = struct.pack("<I", zlib.crc32(bytes(content[:-4])))
    with pytest.raises(ValueError, match=r"a\.snac: code 511 in level 0 is outside 0\.\.299"):
        CodeFile.from_bytes(bytes(content), "a.snac")


def test_lengths_that_do_not_fit_the_frames_are_refused():
    for samples in (0, 3 * 2048 + 1):
        with pytest.raises(ValueError, match=rf"num_samples is {samples:,}; the codes hold 1 to 6,144"):
            CodeFile(info=info(), num_samples=samples, codes=file().codes).to_bytes()


def test_a_codec_that_the_header_cannot_hold_is_refused():
    for strides, words in (((1,) * 256, "number of levels is 256"), ((256, 1), "coarsest stride is 256")):
        with pytest.raises(ValueError, match=words):
            CodeWriter(io.BytesIO(), info(strides=strides))


def test_save_and_load_agree_and_levels_must_be_whole_frames(tmp_path):
    written = file()
    written.save(tmp_path / "a.snac")
    assert same(CodeFile.load(tmp_path / "a.snac"), written)
    size = check_code_file(tmp_path / "a.snac")
    assert (size.info, size.num_samples, size.num_frames) == (written.info, written.num_samples, 3)
    assert (written.num_codes, written.num_frames, written.seconds) == (21, 3, (3 * 2048 - 100) / 24000)
    with pytest.raises(ValueError, match=r"levels of \[3, 6, 11\] codes are not whole frames"):
        CodeFile(
            info=written.info, num_samples=5, codes=[written.codes[0], written.codes[1], written.codes[2][1:]]
        ).to_bytes()


def test_codes_come_out_of_a_pipe_before_its_end():
    """All but the nine bytes that may be the end, whatever follows."""
    content = file(frames=10).to_bytes()
    header = 28
    reader = CodeReader(io.BytesIO(content[: header + 9 + 21]), "a.snac")  # 21 bytes are two frames of 84 bits
    block = next(reader.blocks(2))
    assert [len(level) for level in block] == [2, 4, 8] and reader.num_samples is None
