"""A prior at work: a language model that learned text and codes, asked for text, for sound, for more of a sound.

Owns the four things a prior is for (text, audio from nothing, going on, filling in), the order of ids each takes, and
the budget from seconds. Ids are drawn by the engine, recordings become frames in `given.py`, frames become samples in
`decoders.py`. Speaking a text is a voice's business (`speech.py`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aoede.codec import Codec, Snac, load_codec
from aoede.codec.folding import FoldedDecoder
from aoede.generation.decoders import FrameDecoder
from aoede.generation.engine import Engine
from aoede.generation.given import Recording, as_frames
from aoede.generation.pairing import check_pair
from aoede.generation.prior_folder import find_codec, open_model
from aoede.generation.prior_stream import GeneratedAudio, PriorStream
from aoede.generation.requests import Request, TextRequest, check, longest_row, room
from aoede.generation.sampling import Sampling
from aoede.models import CodecCausalLM

PRIOR_SAMPLING = Sampling(temperature=0.9, top_p=0.95)
"""How ids are drawn where nothing else is asked for."""


@dataclass(frozen=True, kw_only=True)
class TokenBudget:
    """What a number of seconds costs: seconds -> frames -> ids."""

    seconds: float
    """As asked for."""

    frames: int
    """The fewest that cover them."""

    ids: int
    """Codec ids of those frames; the closing marker is one more."""

    @classmethod
    def of(cls, seconds: float, frame_rate: float, num_slots: int) -> TokenBudget:
        """The budget of so many seconds at so many frames a second.

        Raises:
            ValueError: not above 0.
        """
        if not (math.isfinite(seconds) and seconds > 0):
            raise ValueError(f"{seconds} seconds asked for; it must be above 0")
        # Rounded first, so that 0.28 s of 12.5 frames a second, 3.5000000000000004, and the like stay what they are.
        frames = max(1, math.ceil(round(seconds * frame_rate, 6)))
        return cls(seconds=seconds, frames=frames, ids=frames * num_slots)

    def __str__(self) -> str:
        return f"{self.seconds:g} s -> {self.frames} frames -> {self.ids} ids"


class Prior:
    """A codec language model with its codec and tokenizer. Make one with `Prior.from_pretrained`."""

    def __init__(
        self, model: CodecCausalLM, codec: Codec | None = None, tokenizer: Any = None, *, backend: str | None = None
    ) -> None:
        """Put the parts together.

        Args:
            codec: needed for sound; None where only text is asked for.
            tokenizer: needed for text; None where only sound is asked for.
            backend: as `Engine` takes it.
        Raises:
            ValueError: a codec whose frames are not the model's.
        """
        if codec is not None:
            check_pair(model.vocabulary, codec)
        if isinstance(codec, Snac):
            codec.eval()
        self.model, self.tokenizer, self._codec = model.eval(), tokenizer, codec
        self.engine = Engine(model, backend=backend)
        self._folded = FoldedDecoder(codec) if isinstance(codec, Snac) else None

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        *,
        codec: str | os.PathLike[str] | None = None,
        device: str = "cpu",
        backend: str | None = None,
        needs_codec: bool = True,
    ) -> Prior:
        """Load a prior.

        Args:
            source: a model folder (config.json, weights, augmented.yaml, tokenizer), a folder with `model/` in it
                (a voice, a run's export), or a repository on the model hub.
            codec: what the codes mean, as `load_codec` takes it; None looks for `codec/` in the folder and beside it.
            device: where to run, e.g. "cpu" or "cuda".
            needs_codec: False opens a prior for text without looking for a codec.
        Raises:
            ValueError: no such model, no codec language model, or no codec found (says where it was looked for).
        """
        model, tokenizer, folder = open_model(source, device)
        found = None
        if codec is not None or needs_codec:
            found = load_codec(find_codec(folder) if codec is None else codec).to(device)
        return cls(model, found, tokenizer, backend=backend)

    @property
    def codec(self) -> Codec:
        """The codec.

        Raises:
            ValueError: this prior was opened without one.
        """
        if self._codec is None:
            raise ValueError("this prior was opened without a codec, so it knows ids but no sound; open it with codec=")
        return self._codec

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return int(self.codec.config.sample_rate)

    def budget(self, seconds: float) -> TokenBudget:
        """What so many seconds cost: seconds -> frames -> ids."""
        config = self.codec.config
        return TokenBudget.of(seconds, config.sample_rate / config.frame_length, self.engine.num_slots)

    # -- text ---------------------------------------------------------------------------------------------------

    def text(self, prompt: str, *, max_tokens: int = 128, seed: int = 0, **sampling: float | int | None) -> str:
        """Go on with a text; no codec id and no marker can come.

        Args:
            prompt: read as the tokenizer reads it; empty only where the tokenizer has a first token.
            max_tokens: no more ids than this; the text ends at the tokenizer's end id before that.
            seed: equal seeds give equal texts.
            sampling: temperature, top_p, top_k, min_p; what is left out is `PRIOR_SAMPLING`'s.
        Returns:
            what comes after the prompt.
        """
        ids = [step for step in self.text_ids(prompt, max_tokens=max_tokens, seed=seed, **sampling)]
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def text_ids(
        self, prompt: str, *, max_tokens: int = 128, seed: int = 0, **sampling: float | int | None
    ) -> Iterator[int]:
        """The ids of `text`, one by one as they are drawn; errors come at the call."""
        request = TextRequest(
            ids=self._prompt(prompt, is_needed=True),
            max_tokens=max_tokens,
            stop_ids=self._stop_ids(),
            seed=_seeds(seed)[0],
            sampling=PRIOR_SAMPLING.override(**sampling),
        )
        steps = self.engine.generate([request], PRIOR_SAMPLING)
        first = next(steps)  # checks the request

        def ids() -> Iterator[int]:
            step = first
            while step.token is not None:
                yield step.token
                step = next(steps)
            steps.close()

        return ids()

    # -- sound --------------------------------------------------------------------------------------------------

    def audio(self, seconds: float, **options: Any) -> GeneratedAudio:
        """Sound from nothing but the opening marker. Options and errors are those of `stream`."""
        return self.stream(seconds, **options).collect()

    def continuation(self, prefix: Recording, seconds: float, **options: Any) -> GeneratedAudio:
        """Go on with a recording for up to so many seconds; the whole is returned, `made` says which part is new."""
        return self.stream(seconds, prefix=prefix, **options).collect()

    def infill(self, prefix: Recording, suffix: Recording, seconds: float, **options: Any) -> GeneratedAudio:
        """Fill up to so many seconds in between two recordings.

        The ids are in the order of fill-in-the-middle (prefix, suffix, middle; Bavarian et al. 2022), each part a span
        of its own: [open] prefix [close] [open] suffix [close] [open] middle [close]. A prior that was not trained
        with `fim_rate` above 0 knows nothing of that order and will not meet the suffix.
        """
        return self.stream(seconds, prefix=prefix, suffix=suffix, **options).collect()

    def stream(
        self,
        seconds: float,
        *,
        prefix: Recording | None = None,
        suffix: Recording | None = None,
        text: str = "",
        min_seconds: float = 0.0,
        seed: int = 0,
        **sampling: float | int | None,
    ) -> PriorStream:
        """Sound piece by piece: the chunks one after the other are the samples of `audio`, `continuation`, `infill`.

        The ids are always a legal stream, since only the range of the next slot can be drawn.

        Args:
            seconds: the most that is generated; what is given comes on top.
            prefix, suffix: what to go on from, and with it, what to fill up to; see `Recording`.
            text: read before the sound, for a prior that learned text and sound in one document.
            min_seconds: the model may not end it before; at least a frame always comes.
            seed: equal seeds give equal samples.
            sampling: temperature (0 is greedy), top_p, top_k, min_p; what is left out is `PRIOR_SAMPLING`'s.
        Raises:
            ValueError: no codec, a suffix without a prefix, a recording that cannot be used, or more ids than the
                model has positions (says how many seconds there is room for).
        """
        draw_seed, noise_seed = _seeds(seed)
        if suffix is not None and prefix is None:
            raise ValueError("a suffix is given without a prefix; what is filled in stands between two recordings")
        budget = self.budget(seconds)
        if not 0.0 <= min_seconds <= seconds:
            raise ValueError(f"min_seconds {min_seconds} is outside 0 .. {seconds}, the seconds asked for")
        layout, vocabulary = self.model.vocabulary.layout, self.model.vocabulary
        before, after = (
            None if given is None else as_frames(given, self.codec, layout, name)
            for given, name in ((prefix, "prefix"), (suffix, "suffix"))
        )
        ids = self._prompt(text) if text else []
        if before is not None and after is not None:
            for given in (before, after):
                ids += vocabulary.ids_from_frames(given.frames[None], open=True, close=True)[0].tolist()
        request = Request(
            ids=ids,
            prefix=() if before is None or after is not None else before.frames.tolist(),
            seed=draw_seed,
            max_frames=budget.frames,
            min_frames=max(1, self.budget(min_seconds).frames) if min_seconds else 1,
            sampling=PRIOR_SAMPLING.override(**sampling),
        )
        self._check_room(request, budget)
        check(self.model, "for sound", request)
        decoder = FrameDecoder(self.codec, layout, noise_seed, self._folded)
        return PriorStream(
            self.engine,
            request,
            decoder,
            before=[] if before is None else [*before.frames],
            after=[] if after is None else [*after.frames],
            seed=seed,
            notes=[note for given in (before, after) if given is not None for note in given.notes],
        )

    def save_codes(self, audio: GeneratedAudio, path: str | os.PathLike[str]) -> Path:
        """Write the codes of what was generated as a `.snac` file; returns its path."""
        from aoede.data import CodeFile, CodesInfo

        levels = self.model.vocabulary.layout.unflatten(audio.frames[None])
        codes = [level[0].numpy().astype(np.uint16) for level in levels]
        CodeFile(info=CodesInfo.of(self.codec), num_samples=len(audio.samples), codes=codes).save(path)
        return Path(path)

    # -- parts --------------------------------------------------------------------------------------------------

    def _prompt(self, text: str, *, is_needed: bool = False) -> list[int]:
        if self.tokenizer is None:
            raise ValueError("this prior's folder has no tokenizer, so it cannot read text; save one with the model")
        ids = [int(i) for i in self.tokenizer(text)["input_ids"]]
        # Some tokenizers end every text with their end id; a prompt goes on.
        while ids and ids[-1] in self._stop_ids():
            ids.pop()
        if is_needed and not ids:
            if self.tokenizer.bos_token_id is None:
                raise ValueError("the prompt is empty, and this tokenizer has no token that begins a text: give a word")
            ids = [int(self.tokenizer.bos_token_id)]
        is_text = self.model.vocabulary.is_text(torch.tensor(ids, dtype=torch.long))
        if not bool(is_text.all()):
            bad = ids[int((~is_text).nonzero()[0])]
            raise ValueError(
                f"the prompt has id {bad}, {self.model.vocabulary.describe(bad)}: markers and codes are not written in "
                "text; give the recording as prefix"
            )
        return ids

    def _stop_ids(self) -> tuple[int, ...]:
        """Where a text ends: the tokenizer's end id and those of the text model."""
        named = getattr(self.model.config.text_config, "eos_token_id", None)
        given = [*(named if isinstance(named, list | tuple) else [named])]
        given.append(None if self.tokenizer is None else self.tokenizer.eos_token_id)
        ids = sorted({int(i) for i in given if i is not None})
        return tuple(i for i in ids if bool(self.model.vocabulary.is_text(torch.tensor(i))))

    def _check_room(self, request: Request, budget: TokenBudget) -> None:
        fits = room(self.model, request)
        if fits >= budget.frames:
            return
        config = self.codec.config
        used = len(request.ids) + len(request.prefix) * self.engine.num_slots
        most = max(0, fits) * config.frame_length / config.sample_rate
        raise ValueError(
            f"{budget}: with {used} ids before them they do not fit the model's {longest_row(self.model)} positions, "
            f"which leave {max(0, fits)} frames, {most:.2f} s; ask for less, or give less"
        )


def _seeds(seed: int) -> tuple[int, int]:
    """Seeds of the draws and of the codec's noise."""
    if seed < 0:
        raise ValueError(f"seed {seed} is negative; use 0 or more")
    draw_seed, noise_seed = np.random.SeedSequence([seed, 0]).generate_state(2).tolist()
    return draw_seed, noise_seed
