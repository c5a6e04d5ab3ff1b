"""The two-stage model: a backbone that predicts slot 0 of the next frame, a depth decoder for the other slots.

Owns the weights, how a frame becomes an embedding, scores and log-probabilities. Knows nothing of audio, text or
training loops; `losses.py` adds up the losses, `stream.py` draws frames. The architecture is that of Sesame's CSM
(2025), itself after the RQ-Transformer (Lee et al. 2022, arXiv 2203.01941), for any slots. This file travels inside
saved model folders.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModel, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import DynamicCache

from aoede.models.packing import document_starts, is_recurrent
from aoede.models.two_stage.clock import FrameClock, frame_strides
from aoede.models.two_stage.config import TwoStageConfig
from aoede.models.two_stage.conversion import FolderLayouts
from aoede.models.two_stage.decoding import FrameDecoding
from aoede.models.two_stage.frames import entries, is_right_padded, trained_entries
from aoede.models.two_stage.laid_out import forget
from aoede.models.two_stage.losses import TwoStageOutput, add_losses
from aoede.models.two_stage.stages import Prefix

_CHUNK_FRAMES = 512


class TwoStageModel(FolderLayouts, FrameDecoding, PreTrainedModel, GenerationMixin):
    """A backbone across frames and a depth decoder inside each frame, over any slots.

    A frame is the sum of its entries' embeddings. The hidden state of frame t - 1 gives slot 0 of frame t; the depth
    decoder reads it (projected), then slot 0, slot 1, ... of frame t, and gives slot s at place s by rows of its own.
    """

    config_class = TwoStageConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    accepts_loss_kwargs = True
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012

    def __init__(self, config: TwoStageConfig) -> None:
        """Build from a configuration.

        Raises:
            ValueError: a configuration without stages or slots, or a depth decoder too short for the slots.
        """
        super().__init__(config)
        if config.backbone is None or config.depth_decoder is None or config.slot_sizes is None:
            raise ValueError("a two-stage model needs backbone, depth_decoder and slot_sizes in its configuration")
        longest = getattr(config.depth_decoder, "max_position_embeddings", None)
        if longest is not None and longest < config.num_slots:
            raise ValueError(
                f"the depth decoder has {longest} positions, but a frame has {config.num_slots} slots; raise its "
                "max_position_embeddings"
            )
        self.backbone = AutoModel.from_config(config.backbone)
        self.depth_decoder = AutoModel.from_config(config.depth_decoder)
        for stage in (self.backbone, self.depth_decoder):
            stage.set_input_embeddings(nn.Identity())  # frames come as embeddings; no rows of its own
        width, depth_width = config.hidden_size, int(config.depth_decoder.hidden_size)
        assert config.slot_rows is not None
        self.text_embeddings = nn.Embedding(config.text_vocab_size, width)
        self.audio_embeddings = nn.Embedding(config.slot_offsets[-1], width)
        # Which of the slots that share rows a code stands in. The depth decoder reads them one by one; in the sum that
        # the backbone reads, vectors that are added tell no order, and gains do.
        self.slot_embeddings = None if config.slot_tables is None else nn.Embedding(config.num_slots, width)
        self.slot_gains = nn.Embedding(config.num_slots, width) if config.slot_gains else None
        self.projection = nn.Linear(width, depth_width, bias=False)
        self.slot0_head = nn.Linear(width, config.slot_rows[0], bias=False)
        self.depth_heads = nn.Parameter(torch.empty(max(config.tables), depth_width, max(config.slot_rows[1:])))
        self._tables: dict[torch.device, tuple[Tensor, Tensor, Tensor | None, Tensor | None]] = {}
        self.is_recurrent = is_recurrent(self.backbone)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self:
            init.normal_(self.depth_heads, mean=0.0, std=self.config.initializer_range)
        elif module is self.slot_gains:
            # Far enough apart to be told from each other, near enough that a row means the same in all slots.
            init.normal_(self.slot_gains.weight, mean=0.0, std=0.5)

    def get_input_embeddings(self) -> nn.Module:
        """The text embedding."""
        return self.text_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the text embedding."""
        self.text_embeddings = value

    def get_output_embeddings(self) -> None:
        """None: nothing is tied, and no text is written."""
        return

    def train(self, mode: bool = True) -> TwoStageModel:
        """As any module; going back to training drops the copies of weights that generation keeps."""
        if mode:
            forget(self)
        super().train(mode)
        return self

    # -- forward ------------------------------------------------------------------------------------------------

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        training_mask: Tensor | None = None,
        amortization: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        prefix_embeds: Tensor | None = None,
        prefix_key_values: Prefix | None = None,
        use_cache: bool | None = None,
        text_stride: Tensor | float | None = None,
        noisy_ids: Tensor | None = None,
        return_logits: bool = True,
        num_items_in_batch: Tensor | int | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> TwoStageOutput | tuple:
        """Scores of slot 0 of every next frame; with labels both losses, and the scores of the other slots.

        Args:
            input_ids: [B, F, S + 1]; column s the code of slot s, column S a text id, -1 no entry. A text frame has
                its text id only, an audio frame its codes only.
            attention_mask: [B, F, S + 1], 0 at entries that do not count, or [B, F], 0 at frames that do not (with a
                cache [B, past + F]); padding on either side. A frame without entries is padding.
            labels: [B, F, S], equal to `input_ids` where trained, else -100; shifted inside.
            training_mask: [B, F], 0 at frames (of context turns) whose labels do not count.
            amortization: [B, F], the frames the depth decoder trains on (see `amortized_frames`). None: in training
                one of `config.amortization_ratio`, drawn from torch's own generator, else all. Only these are computed.
            position_ids: [B, F]. Where they start again at 0 a new conversation begins, which sees nothing of the one
                before; its first frame is not trained.
            prefix_embeds: [P, H] or [B, P, H], trained vectors in front of the frames (prompt tuning).
            prefix_key_values: (keys, values) [1 or B, heads, P, width] of each backbone layer (prefix tuning).
            text_stride: positions a text frame, in place of `config.text_stride`: a number, one a row [B], or one a
                frame [B, F] where turns differ. `position_ids` win over it.
            noisy_ids: [B, F, S + 1], what both stages read in place of `input_ids`: some codes of the past replaced, so
                that the model learns to go on after mistakes of its own. Labels are those of `input_ids` all the same.
            return_logits: False leaves the logits out of the output, and those that no loss needs uncomputed.
            num_items_in_batch: trained entries (labels that are not -100) of the whole accumulated batch, as HF's
                Trainer counts them (context turns are then -100, not `training_mask`); both losses become sums over
                it, by the share that each stage has here.
            kwargs: for the backbone.
        Raises:
            ValueError: ids, masks or labels that do not fit (see `frames.py`); packed rows with a cache or a prefix.
        """
        if input_ids is None:
            raise ValueError("a two-stage model reads frames: pass input_ids [B, F, S + 1]")
        read = input_ids if noisy_ids is None else noisy_ids
        if read.shape != input_ids.shape:
            raise ValueError(f"noisy_ids are {list(read.shape)}, input_ids {list(input_ids.shape)}")
        hidden, predictable, cache = self._walk(
            read,
            attention_mask,
            position_ids,
            past_key_values,
            prefix_embeds,
            prefix_key_values,
            use_cache,
            kwargs,
            text_stride,
        )
        result = TwoStageOutput(past_key_values=cache)
        if return_logits:
            result.backbone_logits = self.slot0_logits(hidden)
        if labels is not None:
            read, labels = read.long(), labels.to(hidden.device).long()
            trained = trained_entries(input_ids, labels, predictable, training_mask, self.config)
            add_losses(self, result, hidden, read, labels, trained, amortization, num_items_in_batch)
            if not return_logits:
                result.depth_logits = None
        return result.to_tuple() if return_dict is False else result

    def log_probs(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        frames: Tensor | None = None,
        *,
        temperature: float = 1.0,
        depth_temperature: float | None = None,
        position_ids: Tensor | None = None,
        prefix_embeds: Tensor | None = None,
        prefix_key_values: Prefix | None = None,
        text_stride: Tensor | float | None = None,
    ) -> Tensor:
        """Log-probabilities of the codes that stand in frames, as `generate` would have drawn them without filters.

        Args:
            frames: [B, F] bool, which to score; None: every audio frame that has a frame before it.
            temperature, depth_temperature: divide the scores of slot 0 and of the others (None: the same).
        Returns:
            [B, F, S] float32, 0 where nothing is scored; differentiable.
        """
        hidden, predictable, _ = self._walk(
            input_ids, attention_mask, position_ids, None, prefix_embeds, prefix_key_values, False, {}, text_stride
        )
        slots = self.config.num_slots
        codes = input_ids[..., :slots].long()
        present = entries(input_ids, attention_mask, self.config)[..., :slots] & predictable[..., None]
        if frames is not None:
            present = present & frames.bool()[..., None]
        depth_temperature = temperature if depth_temperature is None else depth_temperature
        found = torch.zeros(codes.shape, dtype=torch.float32, device=hidden.device)
        rows, places = present[..., 0].nonzero(as_tuple=True)
        scores = self.slot0_logits(hidden[rows, places - 1]).float() / temperature
        first = scores.log_softmax(-1).gather(-1, codes[rows, places, :1])
        found = found.index_put((rows, places, torch.zeros_like(rows)), first[:, 0])
        rows, places = present[..., 1:].any(-1).nonzero(as_tuple=True)
        parts = []
        for at in range(0, len(rows), _CHUNK_FRAMES):
            r, p = rows[at : at + _CHUNK_FRAMES], places[at : at + _CHUNK_FRAMES]
            scores = self.depth_logits(hidden[r, p - 1], codes[r, p]).float() / depth_temperature
            parts.append(scores.log_softmax(-1).gather(-1, codes[r, p, 1:, None].clamp(min=0))[..., 0])
        if parts:
            rest = F.pad(torch.cat(parts), (1, 0)).masked_fill(~present[rows, places], 0.0)
            found = found.index_put((rows, places), rest, accumulate=True)
        return found

    def hidden_states(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        position_ids: Tensor | None = None,
        text_stride: Tensor | float | None = None,
    ) -> Tensor:
        """What the backbone makes of frames, [B, F, H]: frame t's state gives frame t + 1 (`slot0_logits`,
        `depth_logits`)."""
        return self._walk(input_ids, attention_mask, position_ids, None, None, None, False, {}, text_stride)[0]

    # -- the parts ----------------------------------------------------------------------------------------------

    def embed(self, input_ids: Tensor, present: Tensor) -> Tensor:
        """Embeddings of frames [..., S + 1], the sum over the entries that are present: [..., H]."""
        slots = self.config.num_slots
        offsets = self._table(input_ids.device)[0]
        rows = (input_ids[..., :slots].clamp(min=0) + offsets).reshape(-1, slots)
        weight = self.audio_embeddings.weight
        # A bag adds the rows up as it reads them: [B, F, S, H] is never made.
        weights = present[..., :slots].reshape(-1, slots).to(weight.dtype)
        if self.slot_gains is None:
            audio = F.embedding_bag(rows, weight, mode="sum", per_sample_weights=weights)
        else:
            audio = (weights[:, None] @ (F.embedding(rows, weight) * (1 + self.slot_gains.weight)))[:, 0]
        if self.slot_embeddings is not None:
            audio = audio + weights @ self.slot_embeddings.weight
        text = self.text_embeddings(input_ids[..., slots].clamp(min=0)) * present[..., slots, None].to(weight.dtype)
        return audio.view(text.shape) + text

    def embed_codes(self, codes: Tensor, slot: int = 0) -> Tensor:
        """Embeddings [..., n, H] of codes [..., n] of the slots from `slot` on; below 0 is taken as 0."""
        slots = slice(slot, slot + codes.shape[-1])
        embeds: Tensor = self.audio_embeddings(codes.clamp(min=0) + self._table(codes.device)[0][slots])
        if self.slot_gains is not None:
            embeds = embeds * (1 + self.slot_gains.weight[slots])
        return embeds if self.slot_embeddings is None else embeds + self.slot_embeddings.weight[slots]

    def slot0_logits(self, hidden: Tensor) -> Tensor:
        """Scores of slot 0 [..., V0] after frames with hidden states [..., H]."""
        logits = self.slot0_head(hidden)
        illegal = self._table(hidden.device)[2]
        return logits if illegal is None else logits.masked_fill(illegal, -torch.inf)

    def depth_logits(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """Scores of slots 1.. [N, S - 1, V] of frames with codes [N, S], after frames with hidden states [N, H]."""
        illegal = self._table(hidden.device)[3]
        inputs = self.projection(torch.cat([hidden[:, None], self.embed_codes(codes[:, :-1])], 1))
        outputs = self.depth_decoder(inputs_embeds=inputs, use_cache=False).last_hidden_state
        heads = self.depth_heads
        if self.config.slot_tables is not None:
            heads = heads[[table - 1 for table in self.config.slot_tables[1:]]]
        logits = torch.einsum("nsd,sdv->nsv", outputs[:, 1:], heads)
        return logits if illegal is None else logits.masked_fill(illegal, -torch.inf)

    def _walk(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        position_ids: Tensor | None,
        cache: Any,
        prefix_embeds: Tensor | None,
        prefix_key_values: Prefix | None,
        use_cache: bool | None,
        kwargs: dict[str, Any],
        text_stride: Tensor | float | None = None,
    ) -> tuple[Tensor, Tensor, Any]:
        """Hidden states [B, F, H], which frames have one of their own before them [B, F], and the cache."""
        present = entries(input_ids, attention_mask, self.config)
        input_ids = input_ids.long()
        real = present.any(-1)
        batch, frames = real.shape
        embeds = self.embed(input_ids, present)
        past = 0 if cache is None else int(cache.get_seq_length())
        predictable = F.pad(real[:, 1:] & real[:, :-1], (1, 0))
        stride = self.config.text_stride if text_stride is None else text_stride
        if position_ids is not None and past == 0:
            starts = document_starts(position_ids, batch, None) if position_ids.shape[-1] > 1 else None
            if starts is not None:
                if cache is not None or use_cache or prefix_embeds is not None or prefix_key_values is not None:
                    raise ValueError("packed rows take neither a cache nor a prefix: put one conversation in a row")
                if stride is not None:
                    raise ValueError("text_stride sets the positions itself: pad rows instead of packing them")
                if self.is_recurrent:
                    raise ValueError("packed rows would leak through a recurrent backbone: one conversation in a row")
                if bool((real[:, 1:] & ~real[:, :-1] & ~starts[:, 1:]).any()):
                    raise ValueError("a conversation in a packed row has padding inside; put it behind, or at 0 anew")
                outputs = self.backbone(
                    inputs_embeds=embeds, position_ids=position_ids, use_cache=False, **_given(kwargs)
                )
                return outputs.last_hidden_state, predictable & ~starts, None
        width, held = 0, 0
        if prefix_embeds is not None:
            width = prefix_embeds.shape[-2]
            prefix_embeds = prefix_embeds.to(embeds.dtype).expand(batch, -1, -1)
            embeds = torch.cat([prefix_embeds, embeds], 1)
        if prefix_key_values is not None:
            if cache is not None or width:
                raise ValueError("prefix_key_values takes neither past_key_values nor prefix_embeds beside it")
            cache = DynamicCache(
                [(k.expand(batch, -1, -1, -1), v.expand(batch, -1, -1, -1)) for k, v in prefix_key_values]
            )
            past = held = int(cache.get_seq_length())
        if past and attention_mask is not None and attention_mask.ndim == 2 and attention_mask.shape[1] > frames:
            seen = attention_mask[:, : attention_mask.shape[1] - frames].bool()
        else:
            seen = real.new_ones(batch, past)
        mask: Tensor | None = torch.cat([seen, real.new_ones(batch, width), real], 1)
        assert mask is not None
        clock = None
        if stride is not None and position_ids is None:
            clock = FrameClock(batch, self.config.num_slots, real.device, past + width) if past in (0, held) else None
            clock = clock or getattr(cache, "clock", None)
            if clock is None:
                raise ValueError("with text_stride the cache must be one that this model returned: it keeps positions")
            position_ids = clock.advance(present, frame_strides(stride, batch, frames, real.device))
            if width:
                columns = torch.arange(width, device=real.device).expand(batch, -1)
                position_ids = torch.cat([columns, position_ids], 1)
        # Causal attention never looks right, so padding on the right needs no mask: SDPA's fast path.
        if is_right_padded(mask) and (not self.is_recurrent or bool(mask.all())) and (not past or bool(mask.all())):
            mask = None
            if clock is not None:  # without a mask, transformers reads jumps in the positions as packed documents
                mask = real.new_ones(batch, past + width + frames)
        elif position_ids is None:
            position_ids = (mask.long().cumsum(1) - 1).clamp(min=0)[:, past:]
        outputs = self.backbone(
            inputs_embeds=embeds,
            attention_mask=None if mask is None else mask.long(),
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=use_cache,
            **_given(kwargs),
        )
        kept = None if prefix_key_values is not None and not use_cache else outputs.get("past_key_values")
        if clock is not None and kept is not None:
            kept.clock = clock
        return outputs.last_hidden_state[:, width:], predictable, kept

    def _table(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """On a device: offsets [S], legal rows [S], illegal rows of slot 0 [V0] and of the rest [S - 1, V], or None."""
        if device not in self._tables:
            config = self.config
            assert config.slot_rows is not None
            legal = torch.tensor(config.legal_rows, device=device)
            first = torch.arange(config.slot_rows[0], device=device) >= legal[0]
            rest = torch.arange(max(config.slot_rows[1:]), device=device) >= legal[1:, None]
            self._tables[device] = (
                torch.tensor(config.slot_offsets[:-1], device=device),
                legal,
                first if bool(first.any()) else None,
                rest if bool(rest.any()) else None,
            )
        return self._tables[device]


def _given(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if value is not None}
