"""The depth decoder's loop: the codes of one frame, slot after slot.

Owns the draw of a frame's codes from the backbone's hidden state, as it is or compiled. Knows nothing of frames before
it. This file travels inside saved model folders.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from aoede.models.sampling import Sampling, choose
from aoede.models.two_stage.products import MOST_COPIED, PackedProduct, Product, of_modules
from aoede.models.two_stage.stages import LlamaStage, open_stage

if TYPE_CHECKING:
    from aoede.models.two_stage.model import TwoStageModel


Processor = Callable[[Tensor, Tensor], Tensor]
"""(codes so far, scores) -> scores."""


class DepthLoop:
    """Draws the slots of a frame for up to `rows` rows at a time."""

    def __init__(self, model: TwoStageModel, rows: int, *, backend: bool | str | Callable[..., Any] = False) -> None:
        """Make room for so many rows.

        Args:
            backend: compile each slot's step with this backend of torch.compile (True: inductor); all `rows` are then
                computed, however many are left. False runs the steps as they are.
        Raises:
            ValueError: compiling a depth decoder that is not Llama.
        """
        self.model = model
        self.config = model.config
        packs = backend is False
        self.stage = open_stage(model.depth_decoder, rows, self.config.num_slots, packs=packs)
        self.project = of_modules([model.projection], rows, copies=packs, packs=packs)
        self.heads = self._heads(rows, packs)
        self.step: Any = None
        if backend is not False:
            if not isinstance(self.stage, LlamaStage):
                raise ValueError(
                    f"compile_depth takes Llama depth decoders with sdpa attention; this one is "
                    f"{self.config.depth_decoder.model_type}"
                )
            backend = "inductor" if backend is True else backend
            self.step = torch.compile(_compiled_step, backend=backend, fullgraph=True, dynamic=False)

    def draw(
        self,
        hidden: Tensor,
        history: Tensor,
        samplings: tuple[Sampling, Sampling],
        processors: tuple[Processor | None, Processor | None],
        uniform: Tensor,
        with_log_probs: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """Draw a frame of each row.

        Args:
            hidden: [B, H] of the frame before; history: [B, n], the codes of slot 0 drawn so far.
            samplings, processors: of slot 0, and of the others.
            uniform: [B, S] float64 random numbers of [0, 1).
        Returns:
            codes [B, S] int64, -1 in the other slots of a stop row; their log-probabilities [B, S] float32, or None.
        """
        model, config, slots = self.model, self.config, self.config.num_slots
        batch = len(hidden)
        if self.step is None and self.stage.rows != batch:
            self.stage.keep(torch.arange(batch, device=hidden.device))
        self.stage.rewind()
        codes: list[Tensor] = []
        seen: list[Tensor] = []
        scores = model.slot0_logits(hidden)[:, : config.legal_rows[0]]
        for slot in range(slots):
            process, changed = processors[slot > 0], scores
            if process is not None:
                changed = process(torch.stack(codes, 1) if slot else history, scores.clone())
            code = choose(changed, samplings[slot > 0], uniform[:, slot])
            codes.append(code)
            if with_log_probs:
                seen.append(scores)
            if slot == slots - 1:
                break
            last = model.embed_codes(code[:, None], slot)
            inputs = torch.cat([hidden[:, None], last], 1) if slot == 0 else last
            if self.step is None:
                state = self.stage.run(self.project(inputs))[:, -1]
            else:
                state = self._run_compiled(inputs, slot)
            if self.heads is None:
                scores = state @ model.depth_heads[config.tables[slot + 1] - 1, :, : config.legal_rows[slot + 1]]
            else:
                scores = self.heads[config.tables[slot + 1] - 1](state)
        drawn = torch.stack(codes, 1)
        found = _log_probs(seen, drawn) if with_log_probs else None
        if config.stop == "row":
            ended = drawn[:, 0] == config.stop_frame[0]
            drawn[ended, 1:] = -1
            if found is not None:
                found[ended, 1:] = 0.0
        return drawn, found

    def _heads(self, rows: int, packs: bool) -> list[Product] | None:
        """The heads of the depth decoder, packed for several rows; None: as they stand, which suits one."""
        heads = self.model.depth_heads.detach()
        if rows < 2 or not packs or heads.device.type != "cpu" or heads.numel() > MOST_COPIED:
            return None
        if not PackedProduct.takes(heads):
            return None
        config = self.config
        legal = [config.legal_rows[config.tables.index(table)] for table in range(1, len(heads) + 1)]
        return [PackedProduct(head[:, :count].t(), None, rows) for head, count in zip(heads, legal, strict=True)]

    def _run_compiled(self, inputs: Tensor, slot: int) -> Tensor:
        batch, rows = len(inputs), self.stage.rows
        index = torch.arange(slot + 1 if slot else 0, slot + 2, device=inputs.device)
        if batch < rows:  # shapes stay, so that nothing is compiled again
            inputs = torch.cat([inputs, inputs[:1].expand(rows - batch, -1, -1)])
        return self.step(self.stage, self.model.projection, inputs, index)[:batch]


def _compiled_step(stage: LlamaStage, projection: Any, inputs: Tensor, index: Tensor) -> Tensor:
    return stage.run_at(projection(inputs), index)[:, -1]


def _log_probs(scores: list[Tensor], codes: Tensor) -> Tensor:
    """[B, S] float32 of the codes under scores [B, V_s] of each slot."""
    widest = max(s.shape[-1] for s in scores)
    padded = [F.pad(s.float(), (0, widest - s.shape[-1]), value=-torch.inf) for s in scores]
    return torch.stack(padded, 1).log_softmax(-1).gather(-1, codes[..., None])[..., 0]
