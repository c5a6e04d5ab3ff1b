"""Guidance: scores moved away from those that the same codes have behind a prompt without text.

Owns the rule and its limits (classifier-free guidance, Ho and Salimans 2022, here of a language model's scores). Knows
nothing of rows, prompts or caches: `session.py` reads both prompts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

MOST_GUIDANCE = 10.0


def check_guidance(guidance: float, where: str = "") -> None:
    """Raises ValueError for a factor that is none (names it and the limits).

    Args:
        where: whose it is, as the message begins.
    """
    if not 0.0 <= guidance <= MOST_GUIDANCE:
        raise ValueError(f"{where}guidance {guidance} is outside 0 .. {MOST_GUIDANCE:g} (1 is none, 1.2 to 3 is usual)")


def guided(scores: Tensor, textless: Tensor, places: Sequence[int], guidance: Sequence[float]) -> Tensor:
    """Scores of rows, some of them guided: u + guidance * (c - u), with c behind the text and u without it.

    Args:
        scores: [n, R] of all rows.
        textless: [m, R] of the same ids without text, for the rows that are guided.
        places: which m rows those are.
        guidance: their factors.
    Returns:
        [n, R]; rows that are not guided are as they were.
    """
    at = torch.tensor(places, device=scores.device)
    factor = torch.tensor(guidance, dtype=scores.dtype, device=scores.device)[:, None]
    return scores.index_copy(0, at, textless + factor * (scores[at] - textless))
