"""A stream of frames: rows that are being generated, one frame at a time.

Owns their state (what both stages remember, random numbers, the frame that is not read yet). Knows nothing of text or
audio, or when a row has ended. A row draws S numbers a frame from its own generator, so what it gives depends on its
seed and its frames, not on its batch. This file travels inside saved model folders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from aoede.models.sampling import Sampling
from aoede.models.two_stage.clock import FrameClock, frame_strides
from aoede.models.two_stage.depth import DepthLoop, Processor
from aoede.models.two_stage.frames import entries
from aoede.models.two_stage.stages import Prefix, open_stage

if TYPE_CHECKING:
    from aoede.models.two_stage.model import TwoStageModel


@dataclass(frozen=True)
class FrameStep:
    """One new frame of every row."""

    codes: Tensor
    """[B, S] int64; -1 where nothing was drawn (the other slots of a stop row)."""

    log_probs: Tensor | None
    """[B, S] float32: of the codes under the model itself (temperature 1, no filters); 0 where nothing was drawn. None
    in a stream without them."""

    is_stop: Tensor
    """[B] bool: this frame is the stop frame."""


class FrameStream:
    """Rows that are being generated: feed what is given, step for what is drawn.

    `feed` and `step` may follow each other in any order after a first `feed`: a dialogue goes on in one stream, turn
    after turn, without reading anything twice.
    """

    def __init__(
        self,
        model: TwoStageModel,
        rows: int,
        *,
        sampling: Sampling | None = None,
        depth_sampling: Sampling | None = None,
        seeds: int | Sequence[int] | None = None,
        capacity: int = 512,
        logits_processor: Processor | None = None,
        depth_logits_processor: Processor | None = None,
        compile_depth: bool | str | Callable[..., Any] = False,
        with_log_probs: bool = True,
        prefix_embeds: Tensor | None = None,
        prefix_key_values: Prefix | None = None,
        text_stride: Tensor | float | None = None,
    ) -> None:
        """Open a stream of so many rows.

        Args:
            sampling, depth_sampling: of slot 0, and of the others (None: the same).
            seeds: one a row; a number: the first row's, the others count on from it; None: from torch's generator.
            capacity: frames a row to make room for at once; more are taken as needed.
            logits_processor: changes the scores of slot 0 before the draw: (codes of slot 0 so far [B, n], scores
                [B, V0]) -> scores, as HF's processors do. Illegal codes are not among the columns.
            depth_logits_processor: the same for the other slots: (codes of this frame so far [B, s], scores [B, V_s]).
            compile_depth: True, or a backend of torch.compile: compile the depth decoder's step.
            with_log_probs: False saves a little work.
            prefix_embeds, prefix_key_values: as in `TwoStageModel.forward`, in front of all that is fed.
            text_stride: positions a text frame, of models with parallel positions: a number, or one a row [B]; None is
                `config.text_stride`.
        """
        self.model = model
        self.sampling = sampling or Sampling()
        self.depth_sampling = depth_sampling or self.sampling
        self.generators = _generators(seeds, rows)
        self.device = model.audio_embeddings.weight.device
        self.rows, self.slots = rows, model.config.num_slots
        self.prefix_embeds = prefix_embeds
        self.with_log_probs = with_log_probs
        self.processors = (logits_processor, depth_logits_processor)
        self.drawn = torch.zeros(rows, 0, dtype=torch.long, device=self.device)
        self.backbone = open_stage(model.backbone, rows, capacity, prefix_key_values)
        self.depth = DepthLoop(model, rows, backend=compile_depth)
        self.mask = torch.ones(rows, self.backbone.length, dtype=torch.bool, device=self.device)
        self.counts = self.mask.sum(1)
        self.stride, self.clock = None, None
        stride = model.config.text_stride if text_stride is None else text_stride
        if stride is not None:
            self.stride = frame_strides(stride, rows, 0, self.device)
            prefix = 0 if prefix_embeds is None else prefix_embeds.shape[-2]
            self.clock = FrameClock(rows, self.slots, self.device, self.backbone.length + prefix)
        self.hidden: Tensor | None = None
        self.pending: tuple[Tensor, Tensor] | None = None

    @torch.no_grad()
    def feed(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        text_stride: Tensor | float | None = None,
    ) -> None:
        """Read frames [B, n, S + 1] that are given: a prompt, or the next turn (behind the frame drawn last).

        Args:
            text_stride: from here on, in place of the stream's: a number, or one a row [B].
        Raises:
            ValueError: frames that do not fit; a row whose last frame is padding (pad on the left); a stride where
                the stream has ordinary positions.
        """
        if text_stride is not None:
            if self.clock is None:
                raise ValueError("this stream has ordinary positions: open it with a text_stride, or leave it out")
            self.stride = frame_strides(text_stride, self.rows, 0, self.device)
        present = entries(input_ids, attention_mask, self.model.config)
        if input_ids.shape[0] != self.rows:
            raise ValueError(f"{input_ids.shape[0]} rows of frames for a stream of {self.rows}")
        if not bool(present[:, -1:].any(-1).any(-1).all()):
            raise ValueError("the last frame of a row is padding: pad prompts on the left")
        self._read(input_ids.long(), present)

    @torch.no_grad()
    def step(self, *, may_stop: bool = True) -> FrameStep:
        """Draw the next frame of every row.

        Args:
            may_stop: False draws no stop frame: its row of slot 0, or the last zero of a frame of zeros, is left out.
                `log_probs` are those of the model itself, which has it.
        Raises:
            ValueError: nothing was fed yet.
        """
        if self.pending is not None:
            self._read(*self._flush())
        if self.hidden is None:
            raise ValueError("nothing was fed: give the stream a prompt before the first step")
        uniform = torch.stack([torch.rand(self.slots, generator=g, dtype=torch.float64) for g in self.generators])
        codes, log_probs = self.depth.draw(
            self.hidden,
            self.drawn,
            (self.sampling, self.depth_sampling),
            self.processors,
            uniform.to(self.device),
            self.with_log_probs,
            may_stop,
        )
        self.drawn = torch.cat([self.drawn, codes[:, :1]], 1)
        stop = codes == torch.tensor(self.model.config.stop_frame, device=codes.device)
        text = torch.full_like(codes[:, :1], -1)
        frame = torch.cat([codes, text], 1)[:, None]
        self.pending = (frame, frame >= 0)
        return FrameStep(codes, log_probs, stop.all(-1))

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows [n] only."""
        self.backbone.keep(rows)
        self.mask, self.counts, self.drawn = self.mask[rows], self.counts[rows], self.drawn[rows]
        if self.clock is not None and self.stride is not None:
            self.clock.keep(rows)
            self.stride = self.stride[rows]
        self.generators = [self.generators[row] for row in rows.tolist()]
        if self.hidden is not None:
            self.hidden = self.hidden[rows]
        if self.pending is not None:
            self.pending = (self.pending[0][rows], self.pending[1][rows])
        self.rows = len(rows)

    # -- the parts ----------------------------------------------------------------------------------------------

    def _flush(self) -> tuple[Tensor, Tensor]:
        assert self.pending is not None
        pending, self.pending = self.pending, None
        return pending

    def _read(self, input_ids: Tensor, present: Tensor) -> None:
        if self.pending is not None:
            ids, there = self._flush()
            input_ids, present = torch.cat([ids, input_ids], 1), torch.cat([there, present], 1)
        embeds = self.model.embed(input_ids, present)
        real = present.any(-1)
        timed = None
        if self.clock is not None and self.stride is not None:
            timed = self.clock.advance(present, self.stride)
        if self.prefix_embeds is not None:
            prefix = self.prefix_embeds.to(embeds).expand(self.rows, -1, -1)
            embeds = torch.cat([prefix, embeds], 1)
            real = torch.cat([real.new_ones(self.rows, prefix.shape[1]), real], 1)
            self.prefix_embeds = None
            if timed is not None:
                timed = torch.cat([torch.arange(prefix.shape[1], device=timed.device).expand(self.rows, -1), timed], 1)
        # Positions count what is there, so padding moves nothing.
        positions = (self.counts[:, None] + real.long().cumsum(1) - 1).clamp(min=0)
        self.counts = self.counts + real.sum(1)
        self.mask = torch.cat([self.mask, real], 1)
        mask = None if bool(self.mask.all()) else self.mask
        if timed is None and mask is not None:
            timed = positions
        self.hidden = self.backbone.run(embeds, timed, mask)[:, -1]


def _generators(seeds: int | Sequence[int] | None, rows: int) -> list[torch.Generator]:
    if seeds is None:
        seeds = torch.randint(0, 2**62, (rows,)).tolist()
    elif isinstance(seeds, int):
        seeds = range(seeds, seeds + rows)
    if len(seeds) != rows:
        raise ValueError(f"{len(seeds)} seeds for {rows} rows; give one a row, or one number")
    return [torch.Generator().manual_seed(int(seed)) for seed in seeds]
