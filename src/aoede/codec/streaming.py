"""Exact streaming: pieces in, pieces out, equal to one shot, every sample computed once.

Owns how codes of uneven levels become latents, how audio becomes whole frames, and what is given out when. What a layer
needs between pieces is in `stages.py`; noise is drawn at absolute positions, so nothing depends on the cuts. Knows
nothing of token ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from aoede.codec.folding import FoldedDecoder, FoldedEncoder
from aoede.codec.model import Snac
from aoede.codec.noise import NoiseMode, NoiseSource
from aoede.codec.quantize import Codebook
from aoede.codec.receptive import decoder_tail, encoder_tail, latents_for
from aoede.codec.stages import silence

NOISE_AHEAD = 8192
"""Steps of a track drawn at once: drawing costs some hundred small operations, however few steps are wanted."""


class StreamDecoder:
    """Codes in, audio out; the pieces put together equal `codec.decode` of all codes.

    Exact audio comes `tail` samples late (4,757 for the published 24 kHz network: 198 ms), because later codes change
    earlier samples that far back; `flush` gives the rest. What is final when is `receptive.final_samples`. One stream
    decodes a batch, row by row in step (`stream_step.py` is for rows that are not).

    Attributes:
        tail: samples at the end of whole windows of latents that later codes still change.
        num_samples: samples given out so far.
    """

    def __init__(
        self,
        codec: Snac,
        *,
        noise: NoiseMode = "seeded",
        seed: int = 0,
        lookahead: int | None = None,
        folded: FoldedDecoder | None = None,
    ) -> None:
        """Start a stream.

        Args:
            codec: its weights are copied when the stream is made.
            noise: `seeded` or `off`.
            seed: names the noise.
            lookahead: samples at the end of what was pushed that are held back, 0 to `tail`. None gives out what is
                final, and audio is exact. With less, the audio between the two is a guess: computed as if the last
                latent went on, anew at every push, while the state goes on from what is exact.
                `benchmarks/streaming.py` measures the error and the cost.
            folded: `FoldedDecoder(codec)`, to be shared by many streams; None makes one.
        Raises:
            ValueError: noise that cannot stream, or a lookahead out of range.
        """
        if noise == "random" and codec.config.noise:
            raise ValueError("noise='random' cannot stream exactly: choose 'seeded' or 'off'")
        self.codec = codec
        self.tail = decoder_tail(codec.config)
        if lookahead is not None and not 0 <= lookahead <= self.tail:
            raise ValueError(
                f"lookahead={lookahead}: choose 0 to {self.tail} samples; None, or {self.tail}, is exact for this codec"
            )
        self.lookahead = self.tail if lookahead is None else lookahead
        self.num_samples = 0
        self._folded = FoldedDecoder(codec) if folded is None else folded
        self._levels = [_Level(level) for level in self._folded.quantizer.levels]
        self._noise = _Tracks(NoiseSource(noise, seed), self._folded.like) if codec.config.noise else silence
        self._states: list[Any] | None = None
        self._batch = 1
        self._latents = 0  # latents computed from codes
        self._last: Tensor | None = None  # the latest of them, [B, C, 1]
        self._exact = 0  # samples computed for good; without lookahead, those given out
        self._flushed = False

    @torch.no_grad()
    def push(self, codes: Sequence[Tensor]) -> Tensor:
        """Give the next codes, get the next audio.

        Args:
            codes: one [B, T_k] integer tensor a level, any lengths, 0 too. Levels may run ahead of each other, as they
                do inside a frame; what counts is the time that all of them cover. The batch is that of the first push.
        Returns:
            [B, 1, T] in the codec's type, T >= 0: the samples that can be given out now.
        Raises:
            ValueError: codes that do not fit the codec or the stream, or a stream that was flushed.
        """
        if self._flushed:
            raise ValueError("the stream was flushed: start a new StreamDecoder")
        self._check(codes)
        for level, pushed in zip(self._levels, codes, strict=True):
            level.push(pushed)
        latents = self._ready()
        if self._states is None:
            self._batch = codes[0].shape[0]
            self._states = self._folded.chain.begin(latents)
        if latents.shape[-1]:
            self._latents += latents.shape[-1]
            self._last = latents[..., -1:].clone()
        audio, self._states = self._folded.chain.step(latents, self._states, self._noise)
        return self._given(audio)

    @torch.no_grad()
    def flush(self) -> Tensor:
        """The samples held back, [B, 1, T]; the stream is over.

        Raises:
            ValueError: the stream ends inside a frame or an attention window, or was flushed before.
        """
        if self._flushed:
            raise ValueError("the stream was flushed before: start a new StreamDecoder")
        config = self.codec.config
        covered = [self._latents + level.latents for level in self._levels]
        if len(set(covered)) > 1 or self._latents % config.vq_strides[0]:
            raise ValueError(
                f"the stream ends inside a frame: its levels cover {covered} latents, a frame is "
                f"{config.vq_strides[0]}; push the codes that are missing"
            )
        if self._latents % config.latents_multiple:
            raise ValueError(
                f"the stream ends after {self._latents // config.vq_strides[0]} frames, inside an attention window: "
                f"this codec's audio is multiples of {config.latents_multiple // config.vq_strides[0]} frames"
            )
        self._flushed = True
        if self._states is None:
            return self._folded.like.new_zeros(1, 1, 0)
        nothing = self._folded.like.new_zeros(self._batch, self._folded.chain.channels, 0)
        audio, self._states = self._folded.chain.step(nothing, self._states, self._noise, final=True)
        return self._given(audio)

    @property
    def _strides(self) -> tuple[int, ...]:
        return self.codec.config.vq_strides

    def _ready(self) -> Tensor:
        """The latents [B, C, n] of the time that all levels cover."""
        count = min(level.latents for level in self._levels)
        total = self._levels[0].take(count)
        for level in self._levels[1:]:
            total = total + level.take(count)
        return total

    def _given(self, exact: Tensor) -> Tensor:
        """What is given out, when so much was computed for good."""
        first, self._exact = self._exact, self._exact + exact.shape[-1]
        if self.lookahead == self.tail:
            self.num_samples = self._exact
            return exact
        sure = exact[..., max(0, self.num_samples - first) :]
        until = max(self._exact, self.num_samples)
        if not self._flushed:
            until = max(until, self._latents * self.codec.config.hop_length - self.lookahead)
        pieces = [sure]
        if until > max(self._exact, self.num_samples):
            guess = self._guess(until)
            pieces.append(guess[..., max(0, self.num_samples - self._exact) : until - self._exact])
        self.num_samples = until
        return torch.cat(pieces, dim=-1)

    def _guess(self, until: int) -> Tensor:
        """Samples from `_exact` to `until` at least, as if the last latent went on; the stream stays where it is."""
        assert self._states is not None and self._last is not None
        more = self._last.expand(-1, -1, latents_for(self.codec.config, until) - self._latents)
        return self._folded.chain.step(more, self._states, self._noise)[0]

    def _check(self, codes: Sequence[Tensor]) -> None:
        if isinstance(codes, Tensor) or len(codes) != len(self._strides):
            raise ValueError(f"codes must be a list of {len(self._strides)} tensors [B, T_k], one a level")
        if any(level.dim() != 2 or level.is_floating_point() for level in codes):
            raise ValueError(f"codes must be integer tensors [B, T_k], got {[tuple(c.shape) for c in codes]}")
        if len({level.shape[0] for level in codes}) != 1:
            raise ValueError(f"levels of {[level.shape[0] for level in codes]} rows: give every level the same batch")
        if self._states is not None and codes[0].shape[0] != self._batch:
            raise ValueError(f"{codes[0].shape[0]} rows pushed into a stream of {self._batch}")
        size = self.codec.config.codebook_size
        for index, level in enumerate(codes):
            if level.numel() and not 0 <= int(level.min()) <= int(level.max()) < size:
                raise ValueError(f"level {index} holds a code outside 0..{size - 1}")


class _Level:
    """One level's codes on their way to latents: codes that wait for other levels, and a part of the latest code."""

    def __init__(self, level: Codebook) -> None:
        self.level, self.stride = level, level.stride
        self.codes: Tensor | None = None  # [B, n]
        self.part: Tensor | None = None  # [B, C, less than stride]

    @property
    def latents(self) -> int:
        """Latents that could be taken."""
        waiting = 0 if self.codes is None else self.codes.shape[1] * self.stride
        return waiting + (0 if self.part is None else self.part.shape[-1])

    def push(self, codes: Tensor) -> None:
        self.codes = codes if self.codes is None or not self.codes.shape[1] else torch.cat((self.codes, codes), dim=1)

    def take(self, count: int) -> Tensor:
        """The next `count` latents, [B, C, count]."""
        assert self.codes is not None
        held = 0 if self.part is None else self.part.shape[-1]
        fresh = max(0, -(-(count - held) // self.stride))
        parts = [] if self.part is None else [self.part]
        if fresh:
            parts.append(self.level.expand(self.level.entries(self.codes[:, :fresh])))
        self.codes = self.codes[:, fresh:].clone()  # a copy: what was pushed belongs to the caller
        if not parts:
            channels = self.level.out_proj.out_channels
            return self.level.codebook.weight.new_zeros(self.codes.shape[0], channels, 0)
        out = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
        self.part = out[..., count:].clone() if out.shape[-1] > count else None
        return out[..., :count]


class _Tracks:
    """Noise by absolute position, drawn ahead."""

    def __init__(self, source: NoiseSource, like: Tensor) -> None:
        self.source, self.like = source, like
        self.held: dict[int, tuple[int, Tensor]] = {}

    def __call__(self, layer: int, start: int, steps: int) -> Tensor | None:
        if self.source.mode == "off":
            return None
        first, track = self.held.get(layer, (0, None))
        if track is None or start < first or start + steps > first + track.shape[-1]:
            first = start
            track = self.source.draw(1, layer, start, max(steps, NOISE_AHEAD), self.like)
            assert track is not None
            self.held[layer] = (first, track)
        return track[..., start - first : start - first + steps]


class StreamEncoder:
    """Audio in, codes out, whole frames; the pieces put together equal `codec.encode` of all audio.

    A frame's codes come when the last sample that they hear has been pushed: `tail` samples past the frame's end, or
    past the end of its attention window.

    Attributes:
        tail: those samples.
        num_samples: samples pushed so far; what `decode(length=)` needs to trim the padding.
    """

    def __init__(self, codec: Snac, *, folded: FoldedEncoder | None = None) -> None:
        """Start a stream; `folded`, a `FoldedEncoder(codec)`, may be shared by many streams."""
        self.codec = codec
        self.tail = encoder_tail(codec.config)
        self.num_samples = 0
        self._folded = FoldedEncoder(codec) if folded is None else folded
        self._states: list[Any] | None = None
        self._batch = 1
        self._latents: Tensor | None = None  # of the frame that is not complete, [B, C, n]
        self._flushed = False

    @torch.no_grad()
    def push(self, audio: Tensor) -> list[Tensor]:
        """Give the next audio, get the next codes.

        Args:
            audio: [B, 1, T] in [-1, 1] at the codec's rate, any length. The batch is that of the first push.
        Returns:
            One [B, T_k] int64 a level: the codes of every frame that later audio cannot change.
        Raises:
            ValueError: audio that does not fit the codec or the stream, or a stream that was flushed.
        """
        if self._flushed:
            raise ValueError("the stream was flushed: start a new StreamEncoder")
        if audio.dim() != 3 or audio.shape[1] != 1 or not audio.is_floating_point():
            raise ValueError(f"audio of shape {tuple(audio.shape)}, {audio.dtype}: must be floating point [B, 1, T]")
        if not bool(torch.isfinite(audio).all()):
            raise ValueError("audio holds NaN or infinite samples: replace them before encoding")
        if self._states is not None and audio.shape[0] != self._batch:
            raise ValueError(f"{audio.shape[0]} rows pushed into a stream of {self._batch}")
        audio = audio.to(self._folded.like.dtype)  # NumPy's samples often come as doubles
        self.num_samples += audio.shape[-1]
        return self._encode(audio, final=False)

    @torch.no_grad()
    def flush(self) -> list[Tensor]:
        """The codes held back, the end padded with zeros to whole frames (and windows); the stream is over."""
        if self._flushed:
            raise ValueError("the stream was flushed before: start a new StreamEncoder")
        if self.num_samples == 0:
            raise ValueError("nothing was pushed into this stream")
        self._flushed = True
        missing = -self.num_samples % self.codec.config.pad_multiple
        return self._encode(self._folded.like.new_zeros(self._batch, 1, missing), final=True)

    def _encode(self, audio: Tensor, final: bool) -> list[Tensor]:
        if self._states is None:
            self._batch = audio.shape[0]
            self._states = self._folded.chain.begin(audio)
        latents, self._states = self._folded.chain.step(audio, self._states, silence, final)
        if self._latents is not None and self._latents.shape[-1]:
            latents = torch.cat((self._latents, latents), dim=-1)
        stride = self.codec.config.vq_strides[0]
        count = latents.shape[-1] // stride * stride
        self._latents = latents[..., count:].clone()
        if count == 0:
            return [audio.new_zeros((audio.shape[0], 0), dtype=torch.long) for _ in self.codec.config.vq_strides]
        return self._folded.quantizer.encode(latents[..., :count])
