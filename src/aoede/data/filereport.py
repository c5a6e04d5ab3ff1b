"""What became of one recording, in the lines that a person reads after `aoede codec`. Computes nothing but sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .audio import AudioInfo, channel_words, duration_words
from .codefile import packed_bytes
from .codes import CodesInfo


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """What became of one recording; `str()` is for a person."""

    source: str
    target: str
    info: CodesInfo
    num_samples: int
    """Length of the recording at the codec's rate."""

    num_frames: int
    work_seconds: float
    """Time spent, reading and writing included."""

    audio: AudioInfo | None = None
    """The sound that was read; None where codes were."""

    written_rate: int | None = None
    """Sample rate of the sound written; None where codes were."""

    distance: float | None = None

    exit_code: int = 0
    """What the command ends with."""

    @property
    def seconds(self) -> float:
        return self.num_samples / self.info.sample_rate

    def __str__(self) -> str:
        rate = self.info.sample_rate
        head = f"{Path(self.source).name}  {duration_words(self.seconds)}"
        if self.audio is not None:
            head += f", {self.audio.sample_rate / 1000:g} kHz {channel_words(self.audio.channels)}"
            head += f" -> {rate / 1000:g} kHz mono"
        words = size_words(self.info, self.num_frames)
        lines = [head, f"{words}, {self.work_seconds / self.seconds:.2f} s of compute a second"]
        if self.audio is not None:
            lines += [f"note: {note}" for note in self.audio.notes]
        last = f"written {self.target}"
        if self.written_rate not in (None, rate):
            last += f" (at {self.written_rate} Hz: this format does not take {rate})"
        lines.append(last if self.distance is None else f"mel distance {self.distance:.2f}   {last}")
        return "\n".join(lines)


def size_words(info: CodesInfo, num_frames: int) -> str:
    """`15,785 codes, 23.7 kB (984 bit/s)`: what the codes take, without header and end."""
    count, size = num_frames * sum(info.codes_per_frame), packed_bytes(info, num_frames)
    rate = size * 8 * info.sample_rate / (num_frames * info.frame_length)
    return f"{count:,} codes, {f'{size / 1000:.1f} kB' if size >= 1000 else f'{size} bytes'} ({rate:,.0f} bit/s)"
