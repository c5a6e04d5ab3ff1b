"""Decoding: frames out of a two-stage model, one at a time.

Owns the state of rows that are being generated (both caches, random numbers, who has ended), `generate_frame` and
`generate`. Knows nothing of text or audio. A row draws S numbers a frame from its own generator, so what it gives
depends on its seed and its frames, not on its batch. This file travels inside saved model folders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.utils import ModelOutput

from aoede.models.sampling import Sampling
from aoede.models.two_stage.clock import FrameClock, frame_strides
from aoede.models.two_stage.depth import DepthLoop
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


@dataclass
class TwoStageGeneration(ModelOutput):
    """What `generate(return_dict_in_generate=True)` returns."""

    sequences: Tensor | None = None
    """[B, F, S] int64: the drawn frames, the stop frame too; -1 behind it."""

    lengths: Tensor | None = None
    """[B] int64: frames of sound, the stop frame not counted."""

    is_finished: Tensor | None = None
    """[B] bool: the row drew its stop frame (else `max_new_frames` cut it)."""

    log_probs: Tensor | None = None
    """[B, F, S] float32, as in `FrameStep`; `TwoStageModel.log_probs` gives the same."""

    @property
    def frames(self) -> list[Tensor]:
        """The frames of sound of each row, [F_i, S]."""
        assert self.sequences is not None and self.lengths is not None
        return [row[:length] for row, length in zip(self.sequences, self.lengths.tolist(), strict=True)]


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
        if not bool(present[:, -1:].any(-1).any(-1).all()):
            raise ValueError("the last frame of a row is padding: pad prompts on the left")
        self._read(input_ids.long(), present)

    @torch.no_grad()
    def step(self) -> FrameStep:
        """Draw the next frame of every row.

        Raises:
            ValueError: nothing was fed yet.
        """
        if self.pending is not None:
            self._read(*self._flush())
        if self.hidden is None:
            raise ValueError("nothing was fed: give the stream a prompt before the first step")
        uniform = torch.stack([torch.rand(self.slots, generator=g, dtype=torch.float64) for g in self.generators])
        first = self.model.slot0_logits(self.hidden)
        codes, log_probs = self.depth.draw(
            self.hidden, first, self.sampling, self.depth_sampling, uniform.to(self.device), self.with_log_probs
        )
        stop = codes == torch.tensor(self.model.config.stop_frame, device=codes.device)
        text = torch.full_like(codes[:, :1], -1)
        frame = torch.cat([codes, text], 1)[:, None]
        self.pending = (frame, frame >= 0)
        return FrameStep(codes, log_probs, stop.all(-1))

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows [n] only."""
        self.backbone.keep(rows)
        self.mask, self.counts = self.mask[rows], self.counts[rows]
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
        if input_ids.shape[0] != self.rows:
            raise ValueError(f"{input_ids.shape[0]} rows of frames for a stream of {self.rows}")
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


class FrameDecoding:
    """`generate_frame` and `generate`, for `TwoStageModel`."""

    def generate_frame(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        stream: FrameStream | None = None,
        **options: Any,
    ) -> tuple[FrameStep, FrameStream]:
        """One frame after a prompt, or after what a stream has read and drawn so far.

        Args:
            input_ids, attention_mask: frames to read first, [B, F, S + 1].
            stream: what the last call returned; None opens one.
            options: of `FrameStream` (sampling, depth_sampling, seeds, ...).
        Returns:
            the frame, and the stream, which goes on behind it.
        """
        if stream is None:
            if input_ids is None:
                raise ValueError("give input_ids, or the stream that the last call returned")
            stream = FrameStream(self, input_ids.shape[0], **options)  # type: ignore[arg-type]
        if input_ids is not None:
            stream.feed(input_ids, attention_mask)
        return stream.step(), stream

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        max_new_frames: int | None = None,
        do_sample: bool | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        depth_temperature: float | None = None,
        depth_top_k: int | None = None,
        depth_top_p: float | None = None,
        depth_min_p: float | None = None,
        seeds: int | Sequence[int] | None = None,
        stop_on_all_zeros: bool = True,
        on_frame: Callable[[int, Tensor], Any] | None = None,
        compile_depth: bool | str | Callable[..., Any] = False,
        prefix_embeds: Tensor | None = None,
        prefix_key_values: Prefix | None = None,
        text_stride: Tensor | float | None = None,
        return_dict_in_generate: bool = False,
        generation_config: Any = None,
        max_new_tokens: int | None = None,
        **unknown: Any,
    ) -> list[Tensor] | TwoStageGeneration:
        """Frames after prompts, until their stop frame.

        Args:
            input_ids, attention_mask: prompts [B, F, S + 1], padded on the left.
            max_new_frames: the most frames a row (`max_new_tokens` is the same).
            do_sample: False takes the highest scores; True draws; None: as `generation_config` says, else draws.
            temperature, top_k, top_p, min_p: of slot 0; what is not given comes from `generation_config`.
            depth_temperature, depth_top_k, depth_top_p, depth_min_p: of the other slots; None: as slot 0.
            seeds: one a row; a number: the first row's, the others count on from it; None: from torch's generator.
            stop_on_all_zeros: False goes on to `max_new_frames`, whatever is drawn (with "zeros" as the stop).
            on_frame: called with (row, codes [S]) for every frame of sound as it is drawn; a true answer ends the row.
            compile_depth: run the depth decoder through torch.compile (True, or one of its backends); it takes a minute
                at the first frame, and rows that have ended are computed to the end.
            text_stride: positions a text frame, a number or one a row [B], in place of `config.text_stride`.
        Returns:
            the frames of sound of each row, [F_i, S] int64, or a `TwoStageGeneration`.
        Raises:
            ValueError: an unknown argument, a prompt without frames or padded on the right.
        """
        if unknown:
            told = [f"{name} ({_INSTEAD[name]})" if name in _INSTEAD else name for name in sorted(unknown)]
            raise ValueError(f"generate of a two-stage model does not take {', '.join(told)}")
        if input_ids is None:
            raise ValueError("generate needs a prompt: input_ids [B, F, S + 1]")
        settings = generation_config if generation_config is not None else self.generation_config  # type: ignore[attr-defined]
        limits = (max_new_frames, max_new_tokens, getattr(settings, "max_new_tokens", None), 1024)
        most = next(int(limit) for limit in limits if limit is not None)
        if most < 1:
            raise ValueError(f"max_new_frames is {most}; it must be 1 or more")
        first, rest = _samplings(
            settings, do_sample,
            {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p},
            {"temperature": depth_temperature, "top_k": depth_top_k, "top_p": depth_top_p, "min_p": depth_min_p},
        )  # fmt: skip
        batch, frames, _ = input_ids.shape
        stream = FrameStream(
            self, batch, sampling=first, depth_sampling=rest, seeds=seeds, capacity=frames + most,  # type: ignore[arg-type]
            compile_depth=compile_depth, with_log_probs=return_dict_in_generate, prefix_embeds=prefix_embeds,
            prefix_key_values=prefix_key_values, text_stride=text_stride,
        )  # fmt: skip
        stream.feed(input_ids, attention_mask)
        slots = self.config.num_slots  # type: ignore[attr-defined]
        codes = torch.full((batch, most, slots), -1, device=stream.device)
        log_probs = torch.zeros(batch, most, slots, device=stream.device)
        lengths, finished = [0] * batch, [False] * batch
        stops = stop_on_all_zeros or self.config.stop != "zeros"  # type: ignore[attr-defined]
        alive, count = list(range(batch)), 0
        while alive and count < most:
            step = stream.step()
            rows = torch.tensor(alive, device=stream.device)
            codes[rows, count] = step.codes
            if step.log_probs is not None:
                log_probs[rows, count] = step.log_probs
            going = []
            for at, (row, ends) in enumerate(zip(alive, step.is_stop.tolist(), strict=True)):
                if ends and stops:
                    finished[row] = True
                    continue
                lengths[row] += 1
                if on_frame is None or not on_frame(row, step.codes[at]):
                    going.append(at)
            if len(going) < len(alive) and going:
                stream.keep(torch.tensor(going, device=stream.device))
            alive, count = [alive[at] for at in going], count + 1
        result = TwoStageGeneration(
            sequences=codes[:, :count],
            lengths=torch.tensor(lengths, device=stream.device),
            is_finished=torch.tensor(finished, device=stream.device),
            log_probs=log_probs[:, :count],
        )
        return result if return_dict_in_generate else result.frames


_INSTEAD = {
    "topk": "top_k",
    "max_length": "max_new_frames",
    "streamer": "on_frame",
    "use_cache": "there is always a cache: leave it out",
    "num_return_sequences": "repeat the rows",
}
"""What other models call differently."""


def _generators(seeds: int | Sequence[int] | None, rows: int) -> list[torch.Generator]:
    if seeds is None:
        seeds = torch.randint(0, 2**62, (rows,)).tolist()
    elif isinstance(seeds, int):
        seeds = range(seeds, seeds + rows)
    if len(seeds) != rows:
        raise ValueError(f"{len(seeds)} seeds for {rows} rows; give one a row, or one number")
    return [torch.Generator().manual_seed(int(seed)) for seed in seeds]


def _samplings(
    settings: Any, do_sample: bool | None, first: dict[str, Any], rest: dict[str, Any]
) -> tuple[Sampling, Sampling]:
    """Slot 0's and the others' sampling: arguments, then the generation configuration, then drawing as it is."""
    for name, value in first.items():
        if value is None:
            first[name] = getattr(settings, name, None)
    for name, value in rest.items():
        if value is None:
            rest[name] = getattr(settings, f"depth_{name}", None)
    do_sample = getattr(settings, "do_sample", None) if do_sample is None else do_sample
    base = Sampling(temperature=1.0).override(**{**first, "top_k": first["top_k"] or None})
    depth = base.override(**{**rest, "top_k": rest["top_k"] or None})
    if do_sample is False:
        base, depth = base.override(temperature=0.0), depth.override(temperature=0.0)
    return base, depth
