"""A voice as one job sees it: it speaks with the parts that all jobs share, and stops when the job does.

Owns what stands between a `SpeechStream` and the scheduler: whose turn it is to write or to decode, and which frames
were written. Knows nothing of queues or readers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aoede.generation import Request, Sampling, Step, TextRequest, Voice
from aoede.generation.decoders import FrameDecoder
from aoede.generation.writers import FlatWriter, Utterance, Writer
from aoede.serving.gates import Gate, Stop
from aoede.serving.shared_engine import SharedEngine


class ServedVoice(Voice):
    """One job's view of a voice: same parts, same samples."""

    def __init__(
        self,
        voice: Voice,
        *,
        stop: Stop,
        shared: SharedEngine | None,
        writing: Gate,
        decoding: Gate,
        urgency: Callable[[], float],
    ) -> None:
        """View a voice.

        Args:
            stop: of the job.
            shared: where its frames are written with those of other jobs; None: by itself, frame by frame in turn.
            writing, decoding: gates of those turns, and of the codec's.
            urgency: how urgent the job's decoding is.
        """
        self.__dict__.update(voice.__dict__)  # all parts are the voice's own: nothing is loaded or folded again
        self._frames: list[torch.Tensor] = []
        self._is_fresh = True
        self._stop, self._shared = stop, shared
        self._writing, self._decoding, self._urgency = writing, decoding, urgency

    def open_writer(self, recordings: list[torch.Tensor], changes: dict[str, Any]) -> Writer:
        """A writer for this job."""
        inner = super().open_writer(recordings, changes)
        if self._shared is not None:
            assert isinstance(inner, FlatWriter)
            inner.engine = _JobEngine(self._shared, self._stop)
            return _Followed(inner, self._stop, None, self._frames)
        return _Followed(inner, self._stop, self._writing, self._frames)

    def open_decoder(self, seed: int) -> FrameDecoder:
        """A decoder of the next utterance, which waits for its turn."""
        self._is_fresh = True
        return _GatedDecoder(self, seed, self._decoding, self._stop, self._urgency)

    def collect(self) -> tuple[list[list[int]], bool]:
        """Frames that were written since the last call, and whether they begin an utterance."""
        frames = [frame.tolist() for frame in self._frames]
        self._frames.clear()
        is_fresh = self._is_fresh
        if frames:
            self._is_fresh = False
        return frames, is_fresh


class _JobEngine:
    """The shared engine, for one job."""

    def __init__(self, shared: SharedEngine, stop: Stop) -> None:
        self._shared, self._stop = shared, stop

    def generate(self, requests: Sequence[Request | TextRequest], sampling: Sampling) -> Iterator[Step]:
        """As the engine."""
        return self._shared.generate(requests, sampling, self._stop)


class _Followed:
    """A writer whose frames are noted, and which takes turns where a gate is given."""

    def __init__(self, inner: Writer, stop: Stop, gate: Gate | None, frames: list[torch.Tensor]) -> None:
        self._inner, self._stop, self._gate, self._frames = inner, stop, gate, frames
        self.notes = inner.notes

    def check(self, num_ids: int) -> None:
        """As the writer."""
        self._inner.check(num_ids)

    def hear(self, turn: torch.Tensor) -> None:
        """As the writer."""
        self._inner.hear(turn)

    def write(self, utterance: Utterance) -> Iterator[Step]:
        """As the writer, a frame a turn."""
        steps = self._inner.write(utterance)
        while True:
            self._stop.check()
            if self._gate is None:
                step = next(steps, None)
            else:
                with self._gate.turn(self._stop):
                    step = next(steps, None)
            if step is None:
                return
            if step.frame is not None:
                self._frames.append(step.frame)
            yield step


class _GatedDecoder(FrameDecoder):
    """A frame decoder that waits for its turn."""

    def __init__(self, voice: Voice, seed: int, gate: Gate, stop: Stop, urgency: Callable[[], float]) -> None:
        super().__init__(voice.codec, voice.layout, seed, voice.folded)
        self._gate, self._stop, self._urgency = gate, stop, urgency

    def push(self, frames: Any) -> NDArray[np.float32]:
        """As the decoder."""
        with self._gate.turn(self._stop, self._urgency()):
            return super().push(frames)

    def finish(self) -> NDArray[np.float32]:
        """As the decoder."""
        with self._gate.turn(self._stop, self._urgency()):
            return super().finish()
