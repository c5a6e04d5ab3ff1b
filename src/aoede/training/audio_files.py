"""Training audio read where it lies: a crop seeks in its file, nothing is decoded ahead.

Owns the lengths of the files and what is left out. For corpora that would not fit on the disk a second time; the cache
of `audio_pool.py` is faster where they do (each crop is resampled here, and each file opened).
"""

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from aoede.data import AudioError, AudioReader, Clip
from aoede.data.spans import load_span
from aoede.training.audio_pool import Recordings, tell_left_out


class AudioFiles(Recordings):
    """Sound files, of each only its length in memory."""

    def __init__(self, paths: Sequence[str], lengths: Sequence[int], sample_rate: int, left_out: Sequence[str]) -> None:
        """Args: the files, and samples of each, counted at `sample_rate`."""
        super().__init__(lengths, left_out)
        self._paths = list(paths)
        self._sample_rate = sample_rate

    @classmethod
    def build(cls, clips: Sequence[Clip], sample_rate: int, *, quiet: bool = False) -> "AudioFiles":
        """Reads the header of every file.

        A file whose header cannot be read, or that is cut short, is left out and told of; one that turns out damaged
        inside stops the training with its name.

        Raises:
            ValueError: a clip is not a file of its own, or no file could be read.
        """
        paths: list[str] = []
        lengths: list[int] = []
        left_out: list[str] = []
        for clip in tqdm(clips, desc="reading headers", unit="clip", mininterval=2.0, disable=quiet):
            if not isinstance(clip.audio, str):
                raise ValueError(f"{clip.id}: data.read=seek reads sound files, but this clip lies in a table: "
                                 "use data.read=cache")  # fmt: skip
            try:
                with AudioReader(clip.audio, sample_rate) as reader:
                    damage, length = reader.info.truncated, reader.num_samples
                if damage or length < 1:
                    raise AudioError(f"{clip.audio}: {f'cut short: {damage}' if damage else 'no samples'}")
            except AudioError as error:
                left_out.append(str(error) if clip.id in str(error) else f"{clip.id}: {error}")
                continue
            paths.append(clip.audio)
            lengths.append(length)
        if not paths:
            raise ValueError(f"none of the {len(clips)} clips could be read; the first: {left_out[:1]}")
        if not quiet:
            tell_left_out(left_out, len(clips), "look at them with aoede codec info")
        return cls(paths, lengths, sample_rate, left_out)

    def piece(self, clip: int, begin: int, length: int) -> np.ndarray:
        return load_span(self._paths[clip], begin, length, self._sample_rate)
