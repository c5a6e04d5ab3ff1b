"""Where the codes of a turn's sound come from: the conversation itself, a prepared folder, a `.snac` file, a codec.

Owns that look-up and its checks: codes are of the model's codec, and whole frames. In training no codec is given, so
that nothing is encoded there: `aoede prepare` does it ahead. Knows nothing of texts or ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..audio import AudioReader
from ..codefile import CodeFile, is_code_file
from ..codes import CodesInfo, codes_info, load_codes
from ..pieces import encode_blocks
from .messages import Sound

if TYPE_CHECKING:
    from aoede.codec import Codec

Codes = Sequence[NDArray[np.uint16]]
"""One [T_k] a level, whole frames."""


class SoundCodes:
    """Looks codes up, and keeps the prepared folders that it opened.

    Args:
        codec_fingerprint: of the codec that made them; None takes codes of any, as long as they fit.
        codec: encodes sound files; None refuses them.
    """

    def __init__(self, codec_fingerprint: str | None = None, codec: Codec | None = None) -> None:
        self.codec_fingerprint = codec.fingerprint() if codec_fingerprint is None and codec else codec_fingerprint
        self.codec = codec
        self._folders: dict[str, dict[str, Codes]] = {}

    def of(self, sound: Sound) -> Codes:
        """The codes of a sound.

        Raises:
            ValueError: codes of another codec, a clip that is not there, a sound file without a codec, a placeholder.
        """
        if sound.codes is not None:
            return sound.codes
        if sound.prepared is not None:
            clips = self._clips(sound.prepared)
            if sound.id not in clips:
                raise ValueError(f"no clip '{sound.id}' in {sound.prepared}")
            return clips[sound.id]
        if sound.path is None:
            raise ValueError("an audio without a source; pass its codes or samples beside the conversations")
        if is_code_file(sound.path):
            file = CodeFile.load(sound.path)
            self._check(file.info, sound.path)
            return file.codes
        if self.codec is None:
            raise ValueError(
                f"{sound.path} is not encoded; run `aoede prepare CONVERSATIONS.jsonl OUT` ahead and use OUT, "
                "or give a codec (codec=) to encode it now"
            )
        with AudioReader(sound.path, self.codec.config.sample_rate) as reader:
            return self._encoded(list(reader.blocks()), sound.path)

    def encode(self, samples: NDArray[np.float32]) -> Codes:
        """The codes of samples [T] at the codec's rate."""
        return self._encoded([np.asarray(samples, dtype=np.float32).reshape(-1)], "samples")

    def _encoded(self, blocks: list[NDArray[np.float32]], name: str) -> Codes:
        if self.codec is None:
            raise ValueError(f"{name} cannot be encoded without a codec; give one (codec=), or codes")
        levels = [levels for _, levels in encode_blocks(self.codec, blocks)]
        if not levels:
            raise ValueError(f"{name}: no samples to encode")
        return [np.concatenate(level) for level in zip(*levels, strict=True)]

    def _clips(self, folder: str) -> dict[str, Codes]:
        if folder not in self._folders:
            self._check(codes_info(folder), folder)
            self._folders[folder] = {clip.id: clip.codes for clip in load_codes(folder)}
        return self._folders[folder]

    def _check(self, info: CodesInfo, place: str) -> None:
        if self.codec_fingerprint is not None and info.codec_fingerprint != self.codec_fingerprint:
            raise ValueError(
                f"{place}: codes of codec {info.codec_fingerprint}, but {self.codec_fingerprint} is wanted; codes mean "
                "nothing to another codec: encode again"
            )
