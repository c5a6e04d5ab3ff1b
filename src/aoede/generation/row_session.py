"""A session of rows that do not feel each other: what a row draws are, bit for bit, the ids that it draws alone.

Owns the rows' memories and when `RowStage` reads for whom; everything else is `session.py`'s. A row that is not asked
for stands still, so rows may go at their own pace, and a step that raised may be tried again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from aoede.generation.requests import Request, Step, TextRequest
from aoede.generation.row import Row
from aoede.generation.row_stage import RowMemory, RowStage
from aoede.generation.sampling import Sampling
from aoede.generation.session import Session
from aoede.models.tracking import RowState


class RowSession(Session):
    """Rows of one model that are decoded together, each as if alone; `Engine.open` makes one where it can."""

    def __init__(self, stage: RowStage, rows: int, sampling: Sampling) -> None:
        self.stage = stage
        self._memories: dict[int, RowMemory] = {}
        super().__init__(stage.model, rows, sampling, guided=True)  # memories come with the rows: room costs nothing

    def close(self) -> None:
        super().close()
        self._memories.clear()

    def _open(self, capacity: int | None) -> None:
        """Rows bring their own memory, which grows."""

    def _begin(self, requests: Sequence[Request | TextRequest], prompts: list[list[int]], limits: list[int]) -> None:
        """Read prompts, one behind the other in one pass, and add their rows."""
        memories = [self.stage.open() for _ in prompts]
        hidden = self.stage.read(
            torch.tensor([token for prompt in prompts for token in prompt]),
            torch.cat([self._places(*pair) for pair in zip(requests, prompts, strict=True)]),
            [(memory, len(prompt)) for memory, prompt in zip(memories, prompts, strict=True)],
        )
        for index, (request, prompt, limit) in enumerate(zip(requests, prompts, limits, strict=True)):
            row = self._add(request, prompt, limit, hidden[index].clone())
            self._memories[row.number] = memories[index]

    def _places(self, request: Request | TextRequest, prompt: list[int]) -> Tensor:
        """Positions of a prompt."""
        own = self.model.config.text_stride
        if own is None:
            return torch.arange(len(prompt))
        stride = torch.tensor([float(own) if request.text_stride is None else request.text_stride])
        _, positions, _ = self.model.tracker.advance(torch.tensor([prompt]), None, RowState.initial(1), stride)
        assert positions is not None
        return positions[0]

    def _some(self, only: Collection[int]) -> list[Row]:
        wanted = set(only)
        shadows = {row.shadow.number for row in self._rows if row.number in wanted and row.shadow is not None}
        return [row for row in self._rows if row.number in (wanted | shadows if shadows else wanted)]

    def _read(self, rows: list[Row]) -> Tensor:
        going = [row for row in rows if row.hidden is None]
        if going:
            hidden = self.stage.read(
                torch.tensor([row.pending for row in going]),
                torch.tensor([self._position(row) for row in going]),
                [(self._memories[row.number], 1) for row in going],
            )
            # Kept until the draw has come to its end: should it raise, nothing is read twice.
            for row, state in zip(going, hidden, strict=True):
                row.hidden = state
                self._advance(row)
        states = [row.hidden for row in rows if row.hidden is not None]
        return hidden if len(going) == len(rows) else torch.stack(states)

    def _logits(self, hidden: Tensor, route: int) -> tuple[Tensor, Tensor]:
        return self.stage.logits(hidden, route)

    def _tell(self, rows: list[Row], chosen: list[int]) -> list[Step]:
        for row in rows:
            row.hidden = None
        return super()._tell(rows, chosen)

    def _remove(self, index: int) -> None:
        del self._memories[self._rows.pop(index).number]
