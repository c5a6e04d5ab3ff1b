"""Generation with a two-stage model: `generate_frame` and `generate`.

Owns the arguments, when a row ends, and what is handed back. The draws are `stream.py`'s. Knows nothing of text or
audio. This file travels inside saved model folders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers.utils import ModelOutput

from aoede.models.sampling import Sampling
from aoede.models.two_stage.depth import Processor
from aoede.models.two_stage.stages import Prefix
from aoede.models.two_stage.stream import FrameStep, FrameStream


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
        min_new_frames: int = 0,
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
        logits_processor: Processor | None = None,
        depth_logits_processor: Processor | None = None,
        stopping_criteria: Callable[[Tensor, Any], Any] | None = None,
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
            min_new_frames: so many first frames are no stop frames.
            do_sample: False takes the highest scores; True draws; None: as `generation_config` says, else draws.
            temperature, top_k, top_p, min_p: of slot 0; what is not given comes from `generation_config`.
            depth_temperature, depth_top_k, depth_top_p, depth_min_p: of the other slots; None: as slot 0.
            seeds: one a row; a number: the first row's, the others count on from it; None: from torch's generator.
            stop_on_all_zeros: False goes on to `max_new_frames`, whatever is drawn (with "zeros" as the stop).
            on_frame: called with (row, codes [S]) for every frame of sound as it is drawn; a true answer ends the row.
            logits_processor, depth_logits_processor: change scores before the draw (see `FrameStream`); HF's do.
            stopping_criteria: called with (frames so far [n, F, S] of the rows that go on, None) after every frame; a
                true answer, for all rows or one a row, ends them. HF's criteria on length and time work.
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
        if input_ids is None or input_ids.ndim != 3 or input_ids.shape[1] == 0:
            given = "" if input_ids is None else f", got {list(input_ids.shape)}"
            raise ValueError(f"generate needs a prompt: input_ids [B, F, S + 1]{given}")
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
            logits_processor=logits_processor, depth_logits_processor=depth_logits_processor,
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
            step = stream.step(may_stop=count >= min_new_frames)
            rows = torch.tensor(alive, device=stream.device)
            codes[rows, count] = step.codes
            if step.log_probs is not None:
                log_probs[rows, count] = step.log_probs
            verdict = False if stopping_criteria is None else stopping_criteria(codes[rows, : count + 1], None)
            enough = torch.as_tensor(verdict).expand(len(alive)).tolist()
            going = []
            for at, (row, ends) in enumerate(zip(alive, step.is_stop.tolist(), strict=True)):
                if ends and stops:
                    finished[row] = True
                    continue
                lengths[row] += 1
                is_enough = bool(enough[at]) | (on_frame is not None and bool(on_frame(row, step.codes[at])))
                if not is_enough:
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
    "min_new_tokens": "min_new_frames",
    "use_cache": "there is always a cache: leave it out",
    "num_return_sequences": "repeat the rows",
}
"""What other models call differently."""


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
    # A top_k of 0 keeps all, as elsewhere in HF; for the other slots that is not the same as none given.
    base = Sampling(temperature=1.0).override(**{**first, "top_k": first["top_k"] or None})
    depth = replace(base, top_k=None) if rest["top_k"] == 0 else base
    depth = depth.override(**{**rest, "top_k": rest["top_k"] or None})
    if do_sample is False:
        base, depth = base.override(temperature=0.0), depth.override(temperature=0.0)
    return base, depth
