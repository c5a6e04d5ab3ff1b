"""Writers: what writes the frames of one speech, utterance after utterance, with a flat or with a two-stage model.

Owns the prompt of an utterance and what a two-stage model remembers of the turns before it. Knows nothing of text or
sound: ids come in, frames go out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from aoede.generation.requests import Request, Step, TextRequest
from aoede.generation.sampling import Sampling
from aoede.generation.voice_prompt import VoicePrompt
from aoede.models import TwoStageModel
from aoede.models.two_stage import FrameStream


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """What is to be written."""

    ids: Sequence[int]
    """Text ids of its turn."""

    seed: int
    max_frames: int
    text_stride: float | None = None

    redraw_beyond: int | None = None
    """A flat model draws it anew, with another seed, when it has not ended after so many frames; None: it is told as
    it comes. For short utterances, since nothing of it is told before its end."""


class Writer(Protocol):
    """Writes utterances one after the other; one writer a speech."""

    notes: list[str]
    """What a person should know of what was left out."""

    def check(self, num_ids: int) -> None:
        """Raises ValueError where an utterance of so many text ids has no room."""

    def hear(self, turn: Tensor) -> None:
        """Take a turn [n, S + 1] that was said just now, by whomever."""

    def write(self, utterance: Utterance) -> Iterator[Step]:
        """Its frames as they come, then a step with its end."""


class Generating(Protocol):
    """What a flat model's frames come from: an `Engine`, or a part in one that many share."""

    def generate(self, requests: Sequence[Request | TextRequest], sampling: Sampling) -> Iterator[Step]:
        """Frames of all requests as they are finished."""


class FlatWriter:
    """A flat model: each utterance stands alone, or goes on from the one recording that it is to sound like."""

    def __init__(
        self,
        engine: Generating,
        sampling: Sampling,
        guidance: float = 1.0,
        textless: Callable[[Sequence[int]], list[int]] | None = None,
        recording: Tensor | None = None,
        attempts: int = 1,
    ) -> None:
        """Begin a speech.

        Args:
            guidance: see `Request.guidance`.
            textless: makes of an utterance's ids those that guidance compares with; needed where that is not 1.
            attempts: draws of an utterance that may be redrawn (`Utterance.redraw_beyond`); the last one is kept.
            recording: [n, S + 1] text ids, then frames, that every utterance goes on from: one text, one sound.
        """
        assert guidance == 1.0 or textless is not None
        self.engine, self.sampling, self.guidance, self.textless = engine, sampling, guidance, textless
        self.attempts = attempts
        self.notes: list[str] = []
        self._said: list[int] = []
        self._prefix: list[list[int]] = []
        if recording is not None:
            is_audio = recording[:, 0] >= 0
            self._said = recording[~is_audio, -1].tolist()
            self._prefix = recording[is_audio, :-1].tolist()

    def check(self, num_ids: int) -> None:
        """The engine says what does not fit."""

    def hear(self, turn: Tensor) -> None:
        """A flat model hears nobody; voices refuse recordings before it comes to this."""
        raise AssertionError("a flat model was given a turn to hear")

    def write(self, utterance: Utterance) -> Iterator[Step]:
        """Its frames as they come, then a step with its end."""
        ids = [*self._said, *utterance.ids]
        request = Request(
            ids=ids,
            prefix=self._prefix,
            seed=utterance.seed,
            max_frames=utterance.max_frames,
            text_stride=utterance.text_stride,
            guidance=self.guidance,
            textless=self.textless(ids) if self.textless is not None and self.guidance != 1.0 else (),
        )
        if utterance.redraw_beyond is None or self.attempts == 1:
            yield from self.engine.generate([request], self.sampling)
            return
        steps: list[Step] = []
        for attempt in range(self.attempts):
            # The first attempt draws what a single one would draw.
            seed = utterance.seed if attempt == 0 else _another(utterance.seed, attempt)
            limit = min(utterance.max_frames, utterance.redraw_beyond)
            steps = list(self.engine.generate([replace(request, seed=seed, max_frames=limit)], self.sampling))
            if steps[-1].end == "closed":
                break
        if attempt > 0:
            self.notes.append(f"short words went on too long and were drawn {attempt + 1} times")
        yield from steps


def _another(seed: int, attempt: int) -> int:
    return int(np.random.SeedSequence([seed, attempt]).generate_state(1)[0])


class TwoStageWriter:
    """A two-stage model: an utterance is a turn, which hears recordings and the turns before it."""

    def __init__(
        self,
        model: TwoStageModel,
        sampling: Sampling,
        depth_sampling: Sampling,
        *,
        context_turns: int | None = None,
        recordings: Sequence[Tensor] = (),
        prompt: VoicePrompt | None = None,
    ) -> None:
        """Begin a speech.

        Args:
            sampling, depth_sampling: of slot 0, and of the others.
            context_turns: the most of the last turns that a turn hears; None: as many as the model has room for.
            recordings: turns [n, S + 1] (`turn_frames`) that stand first and that every turn hears.
            prompt: what stands in front of everything.
        """
        self.model, self.sampling, self.depth_sampling = model, sampling, depth_sampling
        self.context_turns, self.recordings, self.prompt = context_turns, list(recordings), prompt
        self.notes: list[str] = []
        self.heard: list[Tensor] = []
        self._stream: FrameStream | None = None
        self._read: list[Tensor] = []

    def check(self, num_ids: int) -> None:
        """Raises ValueError where an utterance of so many text ids has no room for a frame."""
        longest = self._longest
        if longest is not None and (taken := self._taken(num_ids)) + self._frame_places > longest:
            raise ValueError(
                f"a text of {num_ids} ids and the recordings before it take {taken} positions, the model has "
                f"{longest}: give a shorter recording, or shorter sentences"
            )

    def hear(self, turn: Tensor) -> None:
        """Take a turn [n, S + 1] that was said just now, by whomever."""
        self.heard.append(turn)
        if self.context_turns is not None:
            self.heard = self.heard[max(0, len(self.heard) - self.context_turns) :]

    def write(self, utterance: Utterance) -> Iterator[Step]:
        """Its frames as they come, then a step with its end; one that is cut is not heard by later ones."""
        self.check(len(utterance.ids))
        context, most = self._context(len(utterance.ids), utterance.max_frames)
        text = turn_frames(self.model, utterance.ids)
        stream = self._open(context, text, utterance, most)
        frames: list[Tensor] = []
        while True:
            step = stream.step(may_stop=bool(frames))  # an utterance has a frame
            if bool(step.is_stop[0]):
                break
            if len(frames) >= most:
                yield Step(0, end="cut")
                return
            # A plain copy: what is told belongs to the caller.
            frames.append(step.codes[0].cpu().clone())
            yield Step(0, frame=frames[-1])
        turn = turn_frames(self.model, utterance.ids, torch.stack(frames))
        self.hear(turn)
        if not self._is_parallel:  # there the turn was read at a pace that is not the exact one
            self._stream, self._read = stream, [*context, turn]
        yield Step(0, end="closed")

    @property
    def _longest(self) -> int | None:
        longest = getattr(self.model.config.backbone, "max_position_embeddings", None)
        return None if longest is None else int(longest)

    @property
    def _frame_places(self) -> int:
        """Positions of a frame of codes: parallel positions count codes, and text takes none of its own."""
        return self.model.config.num_slots if self._is_parallel else 1

    @property
    def _is_parallel(self) -> bool:
        return self.model.config.text_stride is not None

    def _places(self, turn: Tensor) -> int:
        """Positions of a turn [n, S + 1]."""
        audio = _count_audio(turn)
        return audio * self._frame_places + (0 if self._is_parallel else len(turn) - audio)

    def _taken(self, num_ids: int) -> int:
        """Positions that are taken whatever is left out: prompt, recordings, text and the frame that says stop."""
        prompt = self.prompt.length if self.prompt is not None else 0
        text = 0 if self._is_parallel else num_ids
        return prompt + sum(map(self._places, self.recordings)) + text + self._frame_places

    def _context(self, num_ids: int, max_frames: int) -> tuple[list[Tensor], int]:
        """The turns that an utterance hears, whole ones, and the frames that it may have."""
        heard, longest = list(self.heard), self._longest
        if longest is None:
            return [*self.recordings, *heard], max_frames
        room = longest - self._taken(num_ids)
        while heard and room < sum(map(self._places, heard)) + max_frames * self._frame_places:
            heard.pop(0)
            self.notes.append("earlier turns were left out of the context: the model has no room for all of them")
        self.heard = heard
        return [*self.recordings, *heard], min(max_frames, (room - sum(map(self._places, heard))) // self._frame_places)

    def _open(self, context: list[Tensor], text: Tensor, utterance: Utterance, most: int) -> FrameStream:
        """A stream that has read the context and the text; the last one goes on where the context does."""
        device = self.model.audio_embeddings.weight.device
        stream, self._stream = self._stream, None
        if stream is not None and list(map(id, self._read)) == list(map(id, context[: len(self._read)])):
            stream.generators = [torch.Generator().manual_seed(utterance.seed)]
            stream.feed(torch.cat([*context[len(self._read) :], text])[None].to(device))
            return stream
        prompt = self.prompt
        pairs = None if prompt is None else prompt.prefix_key_values
        dtype = self.model.audio_embeddings.weight.dtype
        stream = FrameStream(
            self.model,
            1,
            sampling=self.sampling,
            depth_sampling=self.depth_sampling,
            seeds=[utterance.seed],
            capacity=(prompt.length if prompt is not None else 0) + sum(map(len, context)) + len(text) + most + 1,
            with_log_probs=False,
            prefix_embeds=None if prompt is None or prompt.prefix_embeds is None else prompt.prefix_embeds.to(device),
            prefix_key_values=None if pairs is None else [(k.to(device, dtype), v.to(device, dtype)) for k, v in pairs],
        )
        if not self._is_parallel:
            stream.feed(torch.cat([*context, text])[None].to(device))
            return stream
        # As in training: turns that were said are read at their exact pace, the one to come at the pace it shall have.
        for turn in context:
            audio = _count_audio(turn)
            stride = max(audio - 1, 1) * self.model.config.num_slots / max(len(turn) - audio, 1)
            stream.feed(turn[None].to(device), text_stride=stride)
        stream.feed(text[None].to(device), text_stride=utterance.text_stride)
        return stream


def _count_audio(turn: Tensor) -> int:
    """Frames of codes in [n, S + 1], the one that says stop too."""
    return int((turn[:, :-1] >= 0).any(-1).sum())


def turn_frames(model: TwoStageModel, ids: Sequence[int], codes: Tensor | None = None) -> Tensor:
    """One turn as a two-stage model reads it: its text, an id a frame, then its codes and the stop frame.

    Args:
        ids: text ids [L].
        codes: [F, S]; None for a turn that is to be spoken.
    Returns:
        [L + F + 1, S + 1] int64 ([L, S + 1] without codes), -1 where there is no entry.
    Raises:
        ValueError: a frame of the codes is the one that says stop in this model.
    """
    slots, stop = model.config.num_slots, torch.tensor(model.config.stop_frame)
    count = 0 if codes is None else len(codes) + 1
    frames = torch.full((len(ids) + count, slots + 1), -1)
    frames[: len(ids), slots] = torch.tensor(list(ids), dtype=torch.long)
    if codes is not None:
        if bool((same := (codes == stop).all(-1)).any()):
            raise ValueError(
                f"frame {int(same.nonzero()[0])} is all zeros, which says stop in this model: cut the recording there, "
                'or use a model with stop="row"'
            )
        frames[len(ids) :, :slots] = torch.cat([codes, stop[None]])
    return frames
