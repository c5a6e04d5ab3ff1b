"""What is asked of the engine and what it tells: requests for speech or text, and steps.

Owns the checks of a request against a model's vocabulary and positions. Knows nothing of how ids are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from aoede.generation.guidance import check_guidance
from aoede.generation.sampling import Sampling
from aoede.models import CodecCausalLM

End = Literal["closed", "cut"]
"""Why a row ended: by its closing marker (a text: by its end id), or by its length guard."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One audio span to generate."""

    ids: Sequence[int]
    """The prompt before the span, without its open marker: text, and whole spans with their markers; may be empty."""

    prefix: Sequence[Sequence[int]] = ()
    """Frames [F, S] that the span begins with; they are read, not given out."""

    seed: int = 0
    """Of this row's own generator."""

    max_frames: int
    """The length guard: no more new frames than this."""

    min_frames: int = 1
    """No closing marker before so many new frames. Silence is written in codes too, so an utterance has a frame."""

    text_stride: float | None = None
    """Positions a text id, for a model with parallel positions; None takes the model's own."""

    sampling: Sampling | None = None
    """How this row draws; None takes what the session was opened with."""

    guidance: float = 1.0
    """Scores are moved away from those behind `textless`, by this factor: u + guidance * (c - u). 1 asks nothing of
    it; above 1 the text counts for more (classifier-free guidance, Ho and Salimans 2022). Such a request is decoded as
    two rows."""

    textless: Sequence[int] = ()
    """What guidance compares with: the prompt `ids` without what is said. The prefix follows it too."""

    @property
    def is_guided(self) -> bool:
        """Whether it takes two rows."""
        return self.guidance != 1.0


@dataclass(frozen=True, kw_only=True)
class TextRequest:
    """A text to go on with: only text ids can come."""

    ids: Sequence[int]
    """The prompt: text, and whole spans with their markers."""

    max_tokens: int
    """The length guard."""

    stop_ids: Sequence[int] = ()
    """Ids that end the text; they are not given out."""

    seed: int = 0
    text_stride: float | None = None
    sampling: Sampling | None = None


@dataclass(frozen=True)
class Step:
    """What happened to one row: a finished frame, a text id, or its end."""

    row: int
    """Index of the request (`generate`), or what `join` returned."""

    frame: Tensor | None = None
    """[S] int64 codes in slot order, on the CPU."""

    end: End | None = None
    """Set on a row's last step, which carries nothing else."""

    token: int | None = None
    """A text id, of a `TextRequest`."""


def unguided(request: Request) -> Request:
    """What guidance compares with, as a request of its own."""
    return replace(request, ids=request.textless, guidance=1.0)


def prompt_ids(model: CodecCausalLM, request: Request | TextRequest) -> list[int]:
    """All ids that are read before the first one is drawn.

    Raises:
        ValueError: frames that are none of this vocabulary (names frame, slot and limit).
    """
    ids = [int(i) for i in request.ids]
    if isinstance(request, TextRequest):
        return ids
    if len(request.prefix) == 0:
        return [*ids, model.vocabulary.open_id]
    frames = torch.as_tensor(request.prefix)[None]
    return ids + [int(i) for i in model.vocabulary.ids_from_frames(frames, open=True)[0]]


def check(model: CodecCausalLM, name: int | str, request: Request | TextRequest) -> None:
    """Raises ValueError for a request that cannot be answered (names it, the value, the limit)."""
    vocabulary, longest = model.vocabulary, longest_row(model)
    ids = torch.as_tensor([int(i) for i in request.ids], dtype=torch.long)[None]
    if isinstance(request, TextRequest) and not ids.numel():
        raise ValueError(f"request {name} has an empty prompt: a text goes on from at least one id")
    wanted, what = (request.max_frames, "frames") if isinstance(request, Request) else (request.max_tokens, "ids")
    if wanted < 1:
        raise ValueError(f"request {name} allows {wanted} {what}; at least 1 is needed")
    if isinstance(request, Request):
        check_guidance(request.guidance, f"request {name}: ")
    if isinstance(request, Request) and not 0 <= request.min_frames <= wanted:
        raise ValueError(f"request {name} asks for {request.min_frames} frames at least and {wanted} at most")
    try:
        _, state = model.router.advance(ids, strict=True)
    except ValueError as error:
        raise ValueError(f"request {name}: the prompt is neither text nor whole audio spans: {error}") from None
    if int(state) >= 0:
        raise ValueError(
            f"request {name}: the prompt ends inside an audio span; close it, or give its frames as the prefix"
        )
    if isinstance(request, TextRequest):
        for stop in request.stop_ids:
            if not bool(vocabulary.is_text(torch.tensor(stop))):
                raise ValueError(f"request {name}: stop id {stop} is no text, so it never comes")
    prompt = prompt_ids(model, request)
    if longest is not None and room(model, request) < 1:
        given, one = (len(prompt) - 1, "a frame") if isinstance(request, Request) else (len(prompt), "an id")
        raise ValueError(
            f"request {name} has {given} prompt ids, the model takes {longest} in all: there is no room for {one}"
        )
    if isinstance(request, Request) and request.is_guided:
        check(model, f"{name} (textless)", unguided(request))


def longest_row(model: CodecCausalLM) -> int | None:
    """Positions of the model; None where it has none, or no limit."""
    longest = getattr(model.config.text_config, "max_position_embeddings", None)
    return None if longest is None or not model.has_positions else int(longest)


def frames_that_fit(model: CodecCausalLM, prompt_length: int) -> int | None:
    """The most frames after a prompt of so many ids (its open marker not counted); None where there is no limit."""
    longest = longest_row(model)
    return None if longest is None else max(0, (longest - prompt_length - 2) // model.vocabulary.num_slots)


def room(model: CodecCausalLM, request: Request | TextRequest) -> int:
    """New frames (or text ids) that fit the model's positions after a request's prompt; its own limit where less."""
    longest = longest_row(model)
    if isinstance(request, TextRequest):
        # Text positions of a model with parallel positions grow by the stride: its count is no measure of them.
        if longest is None or model.config.text_stride is not None:
            return request.max_tokens
        return min(request.max_tokens, longest - len(request.ids))
    is_parallel = model.config.text_stride is not None
    # With parallel positions the span begins where the spans before it ended: text takes none of its room.
    before = len(request.ids)
    if is_parallel:
        text = model.vocabulary.is_text(torch.as_tensor([int(i) for i in request.ids], dtype=torch.long))
        before -= int(text.sum())
    fits = frames_that_fit(model, before + len(request.prefix) * model.vocabulary.num_slots)
    return request.max_frames if fits is None else min(request.max_frames, fits)
