"""The slot grammar as masks over rows of logits, the part that both of vLLM's interfaces share.

Owns the table of illegal ids on the engine's device and the masking of rows by their routes, without a look at a value
on the way (a look would make the device wait). Knows nothing of requests or of vLLM.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aoede.tokens import SlotRouter


class RouteMasks:
    """Illegal ids of every route, for logits of `num_rows` columns."""

    def __init__(self, router: SlotRouter, num_columns: int, device: torch.device | str) -> None:
        """Make the table.

        Args:
            num_columns: width of the logits, at least the vocabulary's size (heads are padded); what is beyond is
                illegal.
        """
        size = router.vocabulary.size
        if num_columns < size:
            raise ValueError(f"the logits have {num_columns} columns, but the vocabulary has {size} ids")
        legal = router.mask(torch.arange(-1, router.vocabulary.num_slots))
        self.open_id = router.vocabulary.open_id
        illegal = torch.nn.functional.pad(~legal, (0, num_columns - size), value=True)
        closed_text = illegal[:1].clone()
        closed_text[0, self.open_id] = True
        # Row 0: text that may not open a span; then the routes -1, 0, 1, ...
        self.illegal = torch.cat([closed_text, illegal]).to(device)

    def apply(self, logits: Tensor, routes: Tensor, text_only: Tensor) -> Tensor:
        """Write -inf over the illegal ids of logits [N, V] in place.

        Args:
            routes: [N] int64, route of the id drawn from each row.
            text_only: [N] bool, rows that may not open a span.
        """
        at = routes + 1 + (~text_only | (routes >= 0)).long()
        return logits.masked_fill_(self.illegal[at], -torch.inf)
