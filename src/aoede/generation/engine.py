"""The engine: requests in, frames out, as they are finished.

Owns the way from a list of requests to their steps, and the compiled step that sessions share. The decoding itself is
`session.py`'s, the memory `cache.py`'s. Knows nothing of text, codecs or files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from aoede.generation.requests import Request, Step, TextRequest, frames_that_fit
from aoede.generation.row_session import RowSession
from aoede.generation.row_stage import RowStage
from aoede.generation.sampling import Sampling
from aoede.generation.session import Session, backbone_step
from aoede.models import CodecCausalLM


class Engine:
    """Decodes requests with one model; holds no state between calls."""

    def __init__(self, model: CodecCausalLM, *, backend: str | Callable[..., Any] | None = None) -> None:
        """Wrap a model.

        Args:
            backend: compile the step of the backbone with this backend of torch.compile ("inductor"); None runs it
                as it is. Compiling takes a minute or so at the first step of each number of rows; results are equal
                but for rounding. Rows that are free are computed too, so a compiled session should be full.
        """
        self.model = model
        self.num_slots = model.vocabulary.num_slots
        self.open_id, self.close_id = model.vocabulary.open_id, model.vocabulary.close_id
        self.is_parallel = model.config.text_stride is not None
        self._stage: RowStage | None = None
        self._has_stage = backend is None
        self._compiled: Callable[..., Tensor] | None = None
        if backend is not None:
            self._compiled = torch.compile(backbone_step, backend=backend, fullgraph=True)

    def open(
        self, rows: int, sampling: Sampling | None = None, *, capacity: int | None = None, guided: bool = False
    ) -> Session:
        """A session of up to so many rows, which may join and leave at any time.

        Args:
            rows: the most that are decoded together.
            sampling: for requests that bring none.
            capacity: ids a row to make room for at once; None makes room as rows join.
            guided: make room for guided requests, each of which is decoded as two rows.
        Raises:
            ValueError: a model that cannot decode rows of different lengths together (says why).
        """
        if (stage := self.stage()) is not None:
            return RowSession(stage, rows, sampling or Sampling())
        return Session(self.model, rows, sampling or Sampling(), capacity, self._compiled, guided)

    def stage(self) -> RowStage | None:
        """What makes rows independent of one another to the bit, where the model and this machine allow it.

        It holds copies of the weights, made when they are first asked for and anew when the weights have changed.
        """
        if self._has_stage and (self._stage is None or not self._stage.is_current()):
            self._stage = None  # before another is made: copies are large
            self._stage = RowStage.of(self.model)
            self._has_stage = self._stage is not None
        return self._stage

    def generate(self, requests: Sequence[Request | TextRequest], sampling: Sampling) -> Iterator[Step]:
        """Frames (or text ids) of all requests as they are finished.

        Rows of equal progress come in the order of the requests, and what a row gives does not depend on the others.

        Raises:
            ValueError: ids that are neither text nor whole audio spans, a prompt longer than the model.
        """
        if not requests:
            return
        guided = any(isinstance(request, Request) and request.is_guided for request in requests)
        with self.open(len(requests), sampling, guided=guided) as session:
            session.join_all(requests)
            while len(session):
                yield from session.step()

    def max_frames(self, prompt_length: int) -> int | None:
        """The most frames that fit the model's positions after a prompt; None where there is no such limit."""
        return frames_that_fit(self.model, 0 if self.is_parallel else prompt_length)
