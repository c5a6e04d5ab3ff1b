"""Megatron's indexed files: `.bin` holds token ids end to end, `.idx` says where each sequence of them lies.

Owns the bytes of both (docs/formats.md), a writer that streams and a memory-mapped reader that refuses what is damaged
or foreign. Needs numpy only. Knows nothing of where documents come from or what an id means: `dataset.py` does.
"""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

MAGIC = b"MMIDIDX\0\0"
VERSION = 1
DTYPES: dict[int, type[np.generic]] = {
    1: np.uint8,
    2: np.int8,
    3: np.int16,
    4: np.int32,
    5: np.int64,
    6: np.float64,
    7: np.float32,
    8: np.uint16,
}
"""Megatron's codes of the types of ids."""

UINT16_BELOW = 65_500
"""Vocabularies smaller than this are kept in 16 bits: Megatron's own limit."""

_HEADER = struct.Struct("<9sQBQQ")


def dtype_for(vocabulary_size: int) -> np.dtype[Any]:
    """The type that ids of a vocabulary are kept in: uint16 below 65,500 rows, int32 from there."""
    return np.dtype(np.uint16 if vocabulary_size < UINT16_BELOW else np.int32)


class IndexedWriter:
    """Writes a `.bin` as the ids come and its `.idx` at the end; each sequence is a document of its own.

    Keeps 4 bytes a document in memory, no ids. `sha256` are the digests of the bytes written.
    """

    def __init__(self, bin_path: str | os.PathLike[str], dtype: DTypeLike) -> None:
        """
        Args:
            bin_path: is created, or emptied.
            dtype: integer type of the ids, one of Megatron's.
        Raises:
            ValueError: a type that Megatron has no code for, or that holds no ids.
        """
        self.dtype = np.dtype(dtype)
        codes = [code for code, known in DTYPES.items() if np.dtype(known) == self.dtype]
        if not codes or self.dtype.kind not in "iu":
            raise ValueError(f"ids cannot be kept as {self.dtype}; Megatron's files take uint8, int8..int64 and uint16")
        self._code = codes[0]
        self._lengths: list[NDArray[np.int32]] = []
        self._digest = hashlib.sha256()
        self.num_tokens = 0
        self.num_documents = 0
        self._file = open(bin_path, "wb")  # noqa: SIM115 (closed by close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def add(self, ids: NDArray[np.integer[Any]], lengths: NDArray[np.integer[Any]]) -> None:
        """Append documents.

        Args:
            ids: [sum(lengths)], the documents end to end.
            lengths: [N], ids of each.
        Raises:
            ValueError: lengths that do not add up, or an id that the type cannot hold.
        """
        if int(lengths.sum()) != len(ids) or (len(lengths) and int(lengths.min()) < 0):
            raise ValueError(f"{len(ids)} ids were given for lengths that add up to {int(lengths.sum())}")
        if len(ids) and ids.dtype != self.dtype:
            limits = np.iinfo(self.dtype)
            low, high = int(ids.min()), int(ids.max())
            if low < limits.min or high > limits.max:
                wrong = low if low < limits.min else high
                raise ValueError(f"id {wrong} does not fit {self.dtype}, {limits.min}..{limits.max}; use a wider type")
        view = np.ascontiguousarray(ids, dtype=self.dtype.newbyteorder("<")).data.cast("B")
        self._file.write(view)
        self._digest.update(view)
        self._lengths.append(lengths.astype(np.int32))
        self.num_tokens += len(ids)
        self.num_documents += len(lengths)

    @property
    def bin_sha256(self) -> str:
        """Of all ids so far."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Close the `.bin`."""
        self._file.close()

    def write_index(self, idx_path: str | os.PathLike[str]) -> str:
        """Write the `.idx` of everything added; returns its SHA-256."""
        lengths = np.concatenate(self._lengths) if self._lengths else np.zeros(0, dtype=np.int32)
        ends = np.cumsum(lengths, dtype=np.int64) * self.dtype.itemsize
        pointers = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1]])[: len(lengths)]
        header = _HEADER.pack(MAGIC, VERSION, self._code, len(lengths), len(lengths) + 1)
        digest = hashlib.sha256()
        with open(idx_path, "wb") as file:
            for part in (
                header,
                lengths.astype("<i4").tobytes(),
                pointers.astype("<i8").tobytes(),
                np.arange(len(lengths) + 1, dtype="<i8").tobytes(),
            ):
                file.write(part)
                digest.update(part)
        return digest.hexdigest()


class IndexedFile:
    """Sequences of ids in a `.bin` and `.idx` pair, memory-mapped; of this package or of Megatron itself."""

    lengths: NDArray[np.int32]
    """[N]: ids of each sequence."""

    document_indices: NDArray[np.int64]
    """[D + 1]: document d is sequences document_indices[d] .. document_indices[d + 1] - 1."""

    def __init__(self, prefix: str | os.PathLike[str]) -> None:
        """
        Args:
            prefix: path of both files without their suffix.
        Raises:
            ValueError: not such files, another version, or files that are damaged or do not belong together.
            OSError: a file that is not there.
        """
        self.prefix = Path(prefix)
        self.idx_path = self.prefix.with_name(self.prefix.name + ".idx")
        self.bin_path = self.prefix.with_name(self.prefix.name + ".bin")
        size = self.idx_path.stat().st_size
        index = np.memmap(self.idx_path, mode="r", dtype=np.uint8) if size else np.zeros(0, dtype=np.uint8)
        self.dtype, sequences, documents = self._read_header(bytes(index[: _HEADER.size]))
        expected = _HEADER.size + 12 * sequences + 8 * documents
        if size != expected:
            what = "cut short" if size < expected else "damaged, or a multimodal index, which has another form"
            raise ValueError(f"{self.idx_path}: {what}: {size:,} bytes, but its header tells of {expected:,}")
        start = _HEADER.size
        self.lengths = np.frombuffer(index, "<i4", sequences, start)
        self._pointers = np.frombuffer(index, "<i8", sequences, start + 4 * sequences)
        self.document_indices = np.frombuffer(index, "<i8", documents, start + 12 * sequences)
        self._check(sequences, self.bin_path.stat().st_size)
        empty = sequences == 0 or self.bin_path.stat().st_size == 0
        data = np.zeros(0, dtype=self.dtype) if empty else np.memmap(self.bin_path, mode="r", dtype=self.dtype)
        self._ids: NDArray[Any] = np.asarray(data)

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.lengths)

    @property
    def num_tokens(self) -> int:
        """Ids in all."""
        return int(self.lengths.sum(dtype=np.int64))

    def __getitem__(self, number: int) -> NDArray[Any]:
        """Sequence `number`: [L] in the file's type, a copy.

        Raises:
            IndexError: no such sequence.
        """
        if not -len(self) <= number < len(self):
            raise IndexError(f"{self.prefix}: sequence {number} does not exist; there are {len(self):,}")
        start = int(self._pointers[number]) // self.dtype.itemsize
        return np.array(self._ids[start : start + int(self.lengths[number])])

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process maps the files anew instead of being sent their content.
        return type(self), (self.prefix,)

    def _read_header(self, header: bytes) -> tuple[np.dtype[Any], int, int]:
        if not header.startswith(MAGIC):
            raise ValueError(f"{self.idx_path}: not an index of Megatron's format (it does not begin {MAGIC!r})")
        if len(header) < _HEADER.size:
            raise ValueError(f"{self.idx_path}: cut short: {len(header)} bytes, its header alone has {_HEADER.size}")
        _, version, code, sequences, documents = _HEADER.unpack(header)
        if version != VERSION:
            raise ValueError(f"{self.idx_path}: version {version} of the index; this reader knows version {VERSION}")
        if code not in DTYPES or np.dtype(DTYPES[code]).kind not in "iu":
            raise ValueError(f"{self.idx_path}: type code {code} is none of integer ids (1 to 5, or 8)")
        return np.dtype(DTYPES[code]).newbyteorder("<"), sequences, documents

    def _check(self, sequences: int, bin_size: int) -> None:
        """Lengths, pointers and documents must describe this very `.bin`."""
        borders = self.document_indices
        if len(borders) == 0 or borders[0] != 0 or borders[-1] != sequences or (np.diff(borders) < 0).any():
            raise ValueError(f"{self.idx_path}: damaged: its documents do not cover its {sequences:,} sequences")
        item = self.dtype.itemsize
        ends = self._pointers + self.lengths.astype(np.int64) * item
        if sequences and (self.lengths.min() < 0 or self._pointers.min() < 0 or (self._pointers % item).any()):
            raise ValueError(f"{self.idx_path}: damaged: a sequence has a negative length or lies at no id's border")
        wanted = int(ends.max()) if sequences else 0
        if bin_size != wanted:
            what = "cut short" if bin_size < wanted else "longer than its index says"
            raise ValueError(
                f"{self.bin_path}: {what}: {bin_size:,} bytes, the index tells of {wanted:,}; "
                "do both files come from the same run?"
            )
