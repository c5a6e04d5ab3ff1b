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
from aoede.models.two_stage.laid_out import laid_out
from aoede.models.two_stage.products import MOST_COPIED, BlockProduct, PackedProduct, PlainProduct, Product, of_modules
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
        # Asked of a configuration of transformers these would take longer than a step has.
        self.slots, self.legal, self.offsets = self.config.num_slots, self.config.legal_rows, self.config.slot_offsets
        packs = backend is False
        self.stage = open_stage(model.depth_decoder, rows, self.config.num_slots, packs=packs)
        self.project = of_modules([model.projection], rows, copies=packs, packs=packs)
        heads = self._heads(rows, packs)
        self.heads = [heads[table - 1] for table in self.config.tables[1:]]
        places = (model.slot_embeddings, model.slot_gains)
        self.vectors, self.gains = (None if place is None else place.weight.detach() for place in places)
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
        may_stop: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """Draw a frame of each row.

        Args:
            hidden: [B, H] of the frame before; history: [B, n], the codes of slot 0 drawn so far.
            samplings, processors: of slot 0, and of the others.
            uniform: [B, S] float64 random numbers of [0, 1).
            may_stop: False never draws the stop frame; log-probabilities are those of the model all the same.
        Returns:
            codes [B, S] int64, -1 in the other slots of a stop row; their log-probabilities [B, S] float32, or None.
        """
        batch, slots = len(hidden), self.slots
        stops_by_row = self.config.stop == "row"
        if self.step is None and self.stage.rows != batch:
            self.stage.keep(torch.arange(batch, device=hidden.device))
        self.stage.rewind()
        numbers = uniform.t().contiguous()
        codes: list[Tensor] = []
        seen: list[Tensor] = []
        scores = self.model.slot0_logits(hidden)[:, : self.legal[0]]
        for slot in range(slots):
            process, changed = processors[slot > 0], scores
            if not may_stop and slot == self.last_way_out:
                changed = self._without_stop(scores, codes)
            if process is not None:
                changed = process(torch.stack(codes, 1) if slot else history, changed.clone())
            code = choose(changed, samplings[slot > 0], numbers[slot])
            codes.append(code)
            if with_log_probs:
                seen.append(scores)
            if slot == slots - 1:
                break
            if slot == 0 and stops_by_row and bool((code == self.legal[0] - 1).all()):
                codes += [torch.full_like(code, -1)] * (slots - 1)
                break
            last = self._embed(code, slot)
            inputs = torch.stack([hidden, last], 1) if slot == 0 else last[:, None]
            if self.step is None:
                count = inputs.shape[1]
                state = self.stage.run(self.project(inputs.flatten(0, 1)).view(batch, count, -1))[:, -1]
            else:
                state = self._run_compiled(inputs, slot)
            scores = self.heads[slot](state)
        drawn = torch.stack(codes, 1)
        found = _log_probs(seen, drawn) if with_log_probs else None
        if stops_by_row:
            ended = drawn[:, 0] == self.legal[0] - 1
            drawn[ended, 1:] = -1
            if found is not None:
                found[ended, 1:] = 0.0
        return drawn, found

    @property
    def last_way_out(self) -> int:
        """The slot whose draw decides that a frame is no stop frame: slot 0, or the last one with a choice."""
        if self.config.stop == "row":
            return 0
        return max((slot for slot in range(self.slots) if self.legal[slot] > 1), default=0)

    def _without_stop(self, scores: Tensor, codes: list[Tensor]) -> Tensor:
        """Scores of that slot without the code that would make a stop frame of the codes so far."""
        scores = scores.clone()
        if self.config.stop == "row":
            scores[:, -1] = -torch.inf
        elif not codes:
            scores[:, 0] = -torch.inf
        else:
            scores[(torch.stack(codes, 1) == 0).all(1), 0] = -torch.inf
        return scores

    def _heads(self, rows: int, packs: bool) -> list[Product]:
        """The heads of the depth decoder, their legal rows alone: packed for several rows, else as they stand."""
        model, config = self.model, self.config
        heads = model.depth_heads.detach()
        legal = [config.legal_rows[config.tables.index(table)] for table in range(1, len(heads) + 1)]
        packed = rows > 1 and packs and heads.numel() <= MOST_COPIED and heads.device.type == "cpu"
        if packed and PackedProduct.takes(heads):

            def make() -> list[Product]:
                parts = zip(heads, legal, strict=True)
                return [PackedProduct(head[:, :count].t(), None, rows) for head, count in parts]

            return laid_out(model, ("depth_heads", rows, tuple(legal)), [heads], make)
        blocks = packs and heads.device.type == "cpu"
        return [
            (BlockProduct(head[:, :count], copies=False) if blocks else PlainProduct(head[:, :count]))
            for head, count in zip(heads, legal, strict=True)
        ]

    def _embed(self, code: Tensor, slot: int) -> Tensor:
        """What `TwoStageModel.embed_codes` makes of codes [B] of one slot, in fewer steps."""
        found = self.model.audio_embeddings.weight.index_select(0, code + self.offsets[slot])
        if self.gains is not None:
            found = torch.addcmul(found, found, self.gains[slot])
        return found if self.vectors is None else found + self.vectors[slot]

    def _run_compiled(self, inputs: Tensor, slot: int) -> Tensor:
        batch, rows = len(inputs), self.stage.rows
        index = torch.arange(slot + 1 if slot else 0, slot + 2, device=inputs.device)
        if batch < rows:  # shapes stay, so that nothing is compiled again
            inputs = torch.cat([inputs, inputs[:1].expand(rows - batch, -1, -1)])
        return self.step(self.stage, self.model.projection, inputs, index)[:batch]


def _compiled_step(stage: LlamaStage, projection: Any, inputs: Tensor, index: Tensor) -> Tensor:
    return stage.run_at(projection(inputs), index)[:, -1]


def _log_probs(scores: list[Tensor], codes: Tensor) -> Tensor:
    """[B, S] float32 of the codes under scores [B, V_s] of each slot; 0 where all rows have ended before a slot."""
    widest = max(s.shape[-1] for s in scores)
    padded = [F.pad(s.float(), (0, widest - s.shape[-1]), value=-torch.inf) for s in scores]
    made = torch.stack(padded, 1).log_softmax(-1)
    found = made.gather(-1, codes[:, : len(scores), None].clamp(min=0))[..., 0]
    return F.pad(found, (0, codes.shape[1] - len(scores)))
