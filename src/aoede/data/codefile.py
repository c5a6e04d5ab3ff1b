"""One recording as codes, whole in memory, and the `.snac` file it is kept in.

Owns `CodeFile` and the checks of a file on disk. The bytes are `codestream.py`'s business, and so is every refusal of a
file that is foreign, damaged, cut short or of another version. Knows nothing of sound files or of the codec's network.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .codes import CodesInfo
from .codestream import EARLIER, MAGIC, CodeReader, CodeWriter, code_bits
from .saving import replacing


@dataclass(frozen=True, kw_only=True)
class CodeFile:
    """One recording as codes."""

    info: CodesInfo
    num_samples: int
    """Length of the audio at the codec's rate: decoding trims to it."""

    codes: list[NDArray[np.uint16]]
    """One [T_k] a level."""

    @property
    def seconds(self) -> float:
        return self.num_samples / self.info.sample_rate

    @property
    def num_codes(self) -> int:
        return sum(len(level) for level in self.codes)

    @property
    def num_frames(self) -> int:
        return len(self.codes[0]) // self.info.codes_per_frame[0]

    @property
    def num_bytes(self) -> int:
        """Bytes of the packed codes alone, without header and end."""
        return packed_bytes(self.info, self.num_frames)

    def to_bytes(self) -> bytes:
        """The file's content.

        Raises:
            ValueError: levels that are not whole frames, too few for `num_samples`, or codes beyond the codebook.
        """
        stream = io.BytesIO()
        writer = CodeWriter(stream, self.info)
        writer.write(self.codes)
        writer.finish(self.num_samples)
        return stream.getvalue()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file atomically."""
        content = self.to_bytes()
        with replacing(path) as temporary:
            temporary.write_bytes(content)

    @classmethod
    def from_bytes(cls, content: bytes, name: str = "<bytes>") -> Self:
        """Read a file's content; ValueError names what is wrong with it."""
        return cls._read(CodeReader(io.BytesIO(content), name))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a `.snac` file.

        Raises:
            ValueError: missing, not such a file, of another version, cut short or damaged.
        """
        check_source(path)
        with open(path, "rb") as stream:
            return cls._read(CodeReader(stream, os.fspath(path)))

    @classmethod
    def _read(cls, reader: CodeReader) -> Self:
        blocks = list(reader.blocks())
        assert reader.num_samples is not None
        codes = [np.concatenate(level) for level in zip(*blocks, strict=True)]
        return cls(info=reader.info, num_samples=reader.num_samples, codes=codes)


@dataclass(frozen=True, kw_only=True)
class CodeFileSize:
    """What a `.snac` file holds, without its codes."""

    info: CodesInfo
    num_samples: int
    num_frames: int


def check_code_file(path: str | os.PathLike[str]) -> CodeFileSize:
    """Read a `.snac` file through, checksum and all, in bounded memory.

    Raises:
        ValueError: as `CodeFile.load`.
    """
    check_source(path)
    with open(path, "rb") as stream:
        reader = CodeReader(stream, os.fspath(path))
        for _ in reader.blocks():
            pass
    assert reader.num_samples is not None
    return CodeFileSize(info=reader.info, num_samples=reader.num_samples, num_frames=reader.num_frames)


def check_source(path: str | os.PathLike[str]) -> None:
    """Raises ValueError unless there is a file to read."""
    if Path(path).is_dir():
        raise ValueError(f"{os.fspath(path)}: a folder, not a .snac file")
    if not Path(path).is_file():
        raise ValueError(f"{os.fspath(path)}: no such file")


def is_code_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as a `.snac` file does, or as its predecessor did."""
    with open(path, "rb") as stream:
        head = stream.read(max(len(MAGIC), len(EARLIER)))
    return head.startswith((MAGIC, EARLIER))


def packed_bytes(info: CodesInfo, num_frames: int) -> int:
    """Bytes that the codes of so many frames take, without header and end."""
    return (num_frames * sum(info.codes_per_frame) * code_bits(info) + 7) // 8
