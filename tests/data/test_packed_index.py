"""Megatron's files: our bytes, its bytes, and everything that must be refused."""

import pickle
import struct
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aoede.data.packed import IndexedFile, IndexedWriter
from aoede.data.packed.index import dtype_for

DOCUMENTS = [[5, 6, 7], [143_359], [0, 1], [9, 9, 9, 9, 9]]


def write(prefix, documents=DOCUMENTS, dtype=np.int32):
    with IndexedWriter(f"{prefix}.bin", dtype) as writer:
        for start in range(0, len(documents), 3):
            part = documents[start : start + 3]
            writer.add(np.concatenate([np.array(one, dtype=np.int64) for one in part]), np.array(list(map(len, part))))
    writer.write_index(f"{prefix}.idx")
    return writer


@pytest.fixture
def megatron():
    """The oracle: Megatron's own reader and writer."""
    with warnings.catch_warnings():
        # Its package warns of accelerators and compilers that a CPU does not have.
        warnings.simplefilter("ignore")
        from megatron.core.datasets import indexed_dataset

    return indexed_dataset


def test_the_bytes_are_those_that_the_format_describes(tmp_path):
    writer = write(tmp_path / "a", [[1, 2], [3]])
    assert (tmp_path / "a.bin").read_bytes() == struct.pack("<3i", 1, 2, 3)
    index = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 4, 2, 3) + struct.pack("<2i", 2, 1)
    assert (tmp_path / "a.idx").read_bytes() == index + struct.pack("<2q", 0, 8) + struct.pack("<3q", 0, 1, 2)
    assert (writer.num_documents, writer.num_tokens) == (2, 3)


def test_vocabularies_from_65_500_rows_take_32_bits_as_in_megatron():
    assert [dtype_for(size).name for size in (258, 65_499, 65_500, 143_360)] == ["uint16", "uint16", "int32", "int32"]


def test_documents_come_back_one_by_one(tmp_path):
    write(tmp_path / "a")
    found = IndexedFile(tmp_path / "a")
    assert [found[i].tolist() for i in range(len(found))] == DOCUMENTS
    assert found[-1].tolist() == DOCUMENTS[-1]
    assert (found.num_tokens, found.lengths.tolist()) == (11, [3, 1, 2, 5])
    with pytest.raises(IndexError, match="sequence 4 does not exist; there are 4"):
        found[4]
    found[0][:] = 0  # a copy: the file is not touched
    assert pickle.loads(pickle.dumps(found))[0].tolist() == [5, 6, 7]


@settings(max_examples=25)
@given(documents=st.lists(st.lists(st.integers(0, 65_535), min_size=1, max_size=9), min_size=1, max_size=9))
def test_any_documents_survive_the_round_trip(documents, tmp_path_factory):
    prefix = tmp_path_factory.mktemp("any") / "p"
    for dtype in (np.uint16, np.int32, np.int64):
        write(prefix, documents, dtype)
        found = IndexedFile(prefix)
        assert [one.tolist() for one in found] == documents
        assert found.dtype == dtype


def test_megatron_reads_what_we_write(tmp_path, megatron):
    for dtype in (np.uint16, np.int32):
        documents = [[token % 60_000 for token in one] for one in DOCUMENTS]
        write(tmp_path / dtype.__name__, documents, dtype)
        oracle = megatron.IndexedDataset(str(tmp_path / dtype.__name__))
        assert [oracle[i].tolist() for i in range(len(oracle))] == documents
        assert oracle[0].dtype == dtype
        assert oracle.sequence_lengths.tolist() == [3, 1, 2, 5]
        assert oracle.document_indices.tolist() == [0, 1, 2, 3, 4]


def test_we_write_the_bytes_that_megatron_writes_and_read_what_it_merges(tmp_path, megatron):
    write(tmp_path / "ours")
    builder = megatron.IndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=np.int32)
    for one in DOCUMENTS:
        builder.add_document(np.array(one), [len(one)])
    builder.finalize(str(tmp_path / "theirs.idx"))
    for suffix in ("bin", "idx"):
        assert (tmp_path / f"ours.{suffix}").read_bytes() == (tmp_path / f"theirs.{suffix}").read_bytes()

    merged = megatron.IndexedDatasetBuilder(str(tmp_path / "both.bin"), dtype=np.int32)
    merged.add_index(str(tmp_path / "ours"))
    merged.add_document(np.array([1, 2, 3]), [1, 2])
    merged.finalize(str(tmp_path / "both.idx"))
    found = IndexedFile(tmp_path / "both")
    assert [found[i].tolist() for i in range(len(found))] == [*DOCUMENTS, [1], [2, 3]]
    assert found.document_indices.tolist() == [0, 1, 2, 3, 4, 6]


@pytest.mark.parametrize(
    ("suffix", "spoil", "words"),
    [
        ("idx", lambda data: b"RIFF" + data[4:], "not an index of Megatron's format"),
        ("idx", lambda data: b"", "not an index of Megatron's format"),
        ("idx", lambda data: data[:20], "cut short: 20 bytes"),
        ("idx", lambda data: data[:-1], "cut short: 121 bytes, but its header tells of 122"),
        ("idx", lambda data: data + b"\0\0\0\0", "multimodal"),
        ("idx", lambda data: data[:9] + b"\x02" + data[10:], "version 2"),
        ("idx", lambda data: data[:17] + b"\x07" + data[18:], "type code 7 is none of integer ids"),
        ("idx", lambda data: data[:17] + b"\x05" + data[18:], "the index tells of|damaged"),
        ("idx", lambda data: data[:34] + struct.pack("<i", -3) + data[38:], "negative length"),
        ("idx", lambda data: data[:-8] + struct.pack("<q", 9), "do not cover its 4 sequences"),
        ("bin", lambda data: data[:-4], "cut short: 40 bytes, the index tells of 44"),
        ("bin", lambda data: data + data, "longer than its index says"),
        ("bin", lambda data: b"", "cut short: 0 bytes"),
    ],
)
def test_damaged_and_foreign_files_are_refused_in_words(tmp_path, suffix, spoil, words):
    write(tmp_path / "a")
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=words) as caught:
        IndexedFile(tmp_path / "a")
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.idx"):
        IndexedFile(tmp_path / "a")


def test_an_id_that_does_not_fit_is_refused(tmp_path):
    with IndexedWriter(tmp_path / "a.bin", np.uint16) as writer:
        with pytest.raises(ValueError, match=r"id 65536 does not fit uint16, 0\.\.65535"):
            writer.add(np.array([1, 65_536]), np.array([2]))
        with pytest.raises(ValueError, match="2 ids were given for lengths that add up to 3"):
            writer.add(np.array([1, 2]), np.array([3]))
    with pytest.raises(ValueError, match="ids cannot be kept as float32"):
        IndexedWriter(tmp_path / "b.bin", np.float32)
