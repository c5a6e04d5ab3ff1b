"""A row of a session: where one request stands while it is decoded.

Owns nothing but the record; `session.py` moves it on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from aoede.generation.requests import Request, TextRequest
from aoede.generation.sampling import Sampling


@dataclass(eq=False)
class Row:
    """Where one row stands."""

    number: int
    request: Request | TextRequest
    sampling: Sampling
    limit: int
    """New frames, or text ids."""

    route: int
    length: int
    """Ids in the cache."""

    position: int
    """Of the id that is read next."""

    read: int
    """Text ids since the row or its last span began; only parallel positions ask."""

    hidden: Tensor | None
    """[H] after the last id that was read, where the next one is still to be drawn."""

    generator: torch.Generator
    uniform: Tensor | None = None
    """[1] float64, the number that its next id is drawn with."""

    pending: int | None = None
    """Drawn, not yet read."""

    count: int = 0
    frame: list[int] = field(default_factory=list)

    shadow: Row | None = None
    """Reads what this row draws, behind the textless prompt; only guided rows have one."""

    is_shadow: bool = False
    """Draws nothing and is told to nobody."""

    @property
    def guidance(self) -> float:
        """How far its scores are moved from those of its shadow."""
        return self.request.guidance if isinstance(self.request, Request) else 1.0

    @property
    def may_close(self) -> bool:
        return isinstance(self.request, Request) and self.count >= self.request.min_frames
