"""The `.snac` format as a stream: codes go in frame by frame and come out frame by frame.

Owns every byte of it (docs/formats.md): the header, the packing of codes into bits, the stop bit, the checksum. Writes
to a pipe as well as to a file, because nothing at the front depends on what comes later. Knows nothing of sound or of
the codec's network; `codefile.py` holds a whole recording.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .codes import CodesInfo

MAGIC = b"\x89SNAC"
VERSION = 1

EARLIER = b"AOEDCODE"
"""How the `.codes` files began that Aoede wrote before it had `.snac`."""

_HEAD = struct.Struct("<5sB8sIIHB")
_TAIL = struct.Struct("<II")

_HELD = 1 + _TAIL.size
"""Bytes at the end of what has arrived that may be the end of the file: the byte of the stop bit and the tail."""

_BLOCK_FRAMES = 4096


class CodeWriter:
    """Writes one recording as `.snac`, codes as they come.

    Args:
        stream: takes bytes, need not seek. Bytes are handed on as soon as they are whole.
        info: the codec the codes belong to; goes into the header at once.
    Raises:
        ValueError: a codec whose numbers the header cannot hold.
    """

    def __init__(self, stream: BinaryIO, info: CodesInfo) -> None:
        self.info = info
        self.num_frames = 0
        self.num_bytes = 0
        self._stream = stream
        self._checksum = 0
        self._held = np.zeros(0, dtype=np.uint8)  # bits that do not fill a byte yet
        self._put(_header(info))

    def write(self, codes: Sequence[NDArray[np.uint16]]) -> None:
        """Append whole frames, one [T_k] a level; none at all is fine.

        Raises:
            ValueError: levels that are not whole frames, or a code beyond the codebook.
        """
        check_levels(self.info, codes)
        counts = self.info.codes_per_frame
        frames = len(codes[0]) // counts[0]
        slots = [level.astype(np.uint16).reshape(frames, count) for level, count in zip(codes, counts, strict=True)]
        values = np.concatenate(slots, axis=1).ravel()
        planes = (values[:, None] >> np.arange(code_bits(self.info), dtype=np.uint16)) & 1
        bits = np.concatenate((self._held, planes.astype(np.uint8).ravel()))
        whole = len(bits) // 8 * 8
        self._held = bits[whole:]
        self.num_frames += frames
        self._put(np.packbits(bits[:whole], bitorder="little").tobytes())

    def finish(self, num_samples: int) -> None:
        """Write the end: the recording has this many samples at the codec's rate, the rest of its frames is padding.

        Raises:
            ValueError: more samples than the frames hold, or none.
        """
        padding = check_length(self.info, self.num_frames, num_samples)
        stop = np.concatenate((self._held, np.ones(1, dtype=np.uint8)))
        self._put(np.packbits(stop, bitorder="little").tobytes())
        self._put(struct.pack("<I", padding))
        self._put(struct.pack("<I", self._checksum))

    def _put(self, content: bytes) -> None:
        if content:
            self._checksum = zlib.crc32(content, self._checksum)
            self.num_bytes += len(content)
            self._stream.write(content)
            self._stream.flush()


class CodeReader:
    """Reads one recording of `.snac`, codes as they come.

    `num_frames` counts what has been given out; `num_samples` is None until the end has been read, because only there
    the length stands, and the checksum.

    Args:
        stream: gives bytes, need not seek; `read(n)` waits for n bytes or the end.
        name: what to call it in messages.
    Raises:
        ValueError: not such a file, of another version, a header that says nonsense; from `blocks` also a file that is
            damaged, cut short, or holds codes beyond its codebook.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = name
        self.num_frames = 0
        self.num_samples: int | None = None
        self._stream = stream
        self.info, header = _read_header(stream, name)
        self._checksum = zlib.crc32(header)
        self._pending = b""
        self._bits = np.zeros(0, dtype=np.uint8)

    def blocks(self, frames: int = _BLOCK_FRAMES) -> Iterator[list[NDArray[np.uint16]]]:
        """At most `frames` whole frames at a time, one [T_k] a level."""
        per_frame = sum(self.info.codes_per_frame) * code_bits(self.info)
        at_end = False
        while not at_end:
            missing = (frames * per_frame - len(self._bits) + 7) // 8 + _HELD - len(self._pending)
            arrived = self._stream.read(missing)
            at_end = len(arrived) < missing
            self._pending += arrived
            self._release(len(self._pending) - _HELD)
            if at_end:
                self._close(per_frame)
            while len(self._bits) >= (per_frame if at_end else frames * per_frame):
                count = min(frames, len(self._bits) // per_frame)
                bits, self._bits = self._bits[: count * per_frame], self._bits[count * per_frame :]
                self.num_frames += count
                yield self._levels(bits)

    def _release(self, count: int) -> None:
        """Move bytes from those that may be the end to the bits that are codes."""
        if count > 0:
            content, self._pending = self._pending[:count], self._pending[count:]
            self._checksum = zlib.crc32(content, self._checksum)
            fresh = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
            self._bits = np.concatenate((self._bits, fresh))

    def _close(self, per_frame: int) -> None:
        """Check the end, take the last bits, learn the length."""
        if len(self._pending) < _HELD:
            raise ValueError(f"{self.name}: cut short: nothing but a header")
        last, tail = self._pending[:1], self._pending[1:]
        padding, checksum = _TAIL.unpack(tail)
        if zlib.crc32(last + tail[:4], self._checksum) != checksum:
            raise ValueError(f"{self.name}: damaged or cut short: its checksum does not fit its content")
        fresh = np.unpackbits(np.frombuffer(last, np.uint8), bitorder="little")
        self._bits = np.concatenate((self._bits, fresh[: max(0, last[0].bit_length() - 1)]))
        total, rest = divmod(len(self._bits), per_frame)
        total += self.num_frames
        if last == b"\0" or rest or padding >= total * self.info.frame_length:
            raise ValueError(
                f"{self.name}: written wrongly: {total:,} frames and {rest} bits, {padding:,} samples of padding, "
                f"last byte {last.hex()}"
            )
        self.num_samples = total * self.info.frame_length - padding

    def _levels(self, bits: NDArray[np.uint8]) -> list[NDArray[np.uint16]]:
        width, counts = code_bits(self.info), self.info.codes_per_frame
        weights = np.left_shift(1, np.arange(width)).astype(np.uint32)
        values = (bits.reshape(-1, width) @ weights).astype(np.uint16).reshape(-1, sum(counts))
        starts = np.cumsum((0, *counts))
        levels = [values[:, start : start + count].ravel() for start, count in zip(starts, counts, strict=False)]
        try:
            check_levels(self.info, levels)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        return levels


def code_bits(info: CodesInfo) -> int:
    """Bits a code takes."""
    return max(1, (info.codebook_size - 1).bit_length())


def check_levels(info: CodesInfo, codes: Sequence[NDArray[np.uint16]]) -> None:
    """Raises ValueError unless codes are whole frames, one [T_k] a level, inside the codebook."""
    counts = info.codes_per_frame
    frames = len(codes[0]) // counts[0] if len(codes) == len(counts) else -1
    if [len(level) for level in codes] != [frames * count for count in counts]:
        raise ValueError(f"levels of {[len(level) for level in codes]} codes are not whole frames of {list(counts)}")
    for index, level in enumerate(codes):
        if len(level) and int(level.max()) >= info.codebook_size:
            raise ValueError(f"code {int(level.max())} in level {index} is outside 0..{info.codebook_size - 1}")


def check_length(info: CodesInfo, num_frames: int, num_samples: int) -> int:
    """Samples of padding after a recording of `num_samples` in `num_frames`; ValueError where they do not fit."""
    held = num_frames * info.frame_length
    if not 0 < num_samples <= held:
        raise ValueError(f"num_samples is {num_samples:,}; the codes hold 1 to {held:,}")
    if held - num_samples >= 1 << 32:
        raise ValueError(f"{held - num_samples:,} samples of padding; a file holds {(1 << 32) - 1:,} at most")
    return held - num_samples


def _header(info: CodesInfo) -> bytes:
    limits = {"number of levels": (len(info.vq_strides), 255), "coarsest stride": (info.vq_strides[0], 255)}
    for what, (value, limit) in limits.items():
        if value > limit:
            raise ValueError(f"the {what} is {value}; a .snac file holds {limit} at most")
    try:
        name = bytes.fromhex(info.codec_fingerprint)
    except ValueError:
        name = b""
    if len(name) != 8:
        raise ValueError(f"codec_fingerprint is {info.codec_fingerprint!r}; 16 hex digits are expected")
    size = info.codebook_size - 1
    numbers = (info.sample_rate, info.frame_length, size, len(info.vq_strides))
    return _HEAD.pack(MAGIC, VERSION, name, *numbers) + bytes(info.vq_strides)


def _read_header(stream: BinaryIO, name: str) -> tuple[CodesInfo, bytes]:
    content = stream.read(_HEAD.size)
    if content[: len(EARLIER)] == EARLIER:
        raise ValueError(f"{name}: a .codes file of an earlier Aoede, which is no longer read; encode the sound again")
    if content[: len(MAGIC)] != MAGIC[: len(content)] or not content:
        raise ValueError(f"{name}: not a .snac file (it does not begin with the bytes {MAGIC.hex(' ')})")
    if len(content) > len(MAGIC) and content[len(MAGIC)] != VERSION:
        found = content[len(MAGIC)]
        advice = "update Aoede" if found > VERSION else "it is damaged"
        raise ValueError(f"{name}: version {found} of the .snac format; this Aoede reads version {VERSION}: {advice}")
    if len(content) < _HEAD.size:
        raise ValueError(f"{name}: cut short: {len(content)} bytes do not hold the header")
    _, _, fingerprint, rate, frame_length, size, levels = _HEAD.unpack(content)
    strides = stream.read(levels)
    if len(strides) < levels:
        raise ValueError(f"{name}: cut short: {len(content) + len(strides)} bytes do not hold the header")
    whole = levels > 0 and 0 not in strides and all(strides[0] % stride == 0 for stride in strides)
    if not (rate and frame_length and whole):
        raise ValueError(
            f"{name}: damaged: its header says {rate} Hz, frames of {frame_length} samples, strides {list(strides)}"
        )
    info = CodesInfo(
        codec_fingerprint=fingerprint.hex(),
        sample_rate=rate,
        vq_strides=tuple(strides),
        codebook_size=size + 1,
        frame_length=frame_length,
    )
    return info, content + strides
