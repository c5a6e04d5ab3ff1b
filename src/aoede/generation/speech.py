"""A voice: text in, speech out, whole or as a stream.

Owns the way from a text to samples: sentences, prompts, pace, the engine, the streaming decoder, joining. Each part is
its own file's; this one puts them in order. What a voice is on disk is `voice_folder.py`'s.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aoede.codec import Snac, StreamDecoder
from aoede.codec.folding import FoldedDecoder
from aoede.data.text import NothingToSay
from aoede.generation.engine import Engine
from aoede.generation.joining import EdgeFader, pause
from aoede.generation.pairing import check_pair
from aoede.generation.prior_folder import quiet_loading
from aoede.generation.requests import Request
from aoede.generation.sampling import Sampling
from aoede.generation.sound import Audio
from aoede.generation.voice_folder import VoiceSettings, find_voice
from aoede.models import CodecCausalLM

FIRST_FRAMES = 4
"""Frames before the codec is asked for the first samples: it can give some from three frames on."""

GROWTH = 1.5
"""Each later piece may be this much longer: a long piece wastes less on its edges, a short one comes sooner."""

MOST_FRAMES = 24
SLOWEST, FASTEST = 0.5, 2.0
_GUARD_FACTOR, _GUARD_SECONDS = 2.0, 1.0


@dataclass(frozen=True)
class _Piece:
    """One utterance: a sentence, or a part of a long one."""

    written: str
    ids: list[int]


class SpeechStream:
    """Samples of a text as they are made: iterate for float32 chunks [T]; afterwards `cut` and `notes` are complete."""

    def __init__(
        self,
        voice: Voice,
        pieces: list[_Piece],
        speaker: str | None,
        seed: int,
        sampling: Sampling,
        speed: float,
        notes: list[str],
    ) -> None:
        self.sample_rate, self.speaker, self.seed = voice.sample_rate, speaker, seed
        self.cut = False
        self.compute_seconds = 0.0
        self.first_audio_seconds = 0.0
        self._notes = notes
        self._chunks = self._run(voice, pieces, sampling, speed)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know, so far."""
        return tuple(dict.fromkeys(self._notes))

    def __iter__(self) -> SpeechStream:
        return self

    def __next__(self) -> NDArray[np.float32]:
        started = time.perf_counter()
        try:
            return next(self._chunks)
        finally:
            self.compute_seconds += time.perf_counter() - started
            self.first_audio_seconds = self.first_audio_seconds or self.compute_seconds

    def close(self) -> None:
        """Stop early."""
        self._chunks.close()

    def _run(self, voice: Voice, pieces: list[_Piece], sampling: Sampling, speed: float) -> Iterator[Any]:
        for number, piece in enumerate(pieces):
            fader = EdgeFader(self.sample_rate)
            for samples in self._speak(voice, piece, number, sampling, speed):
                if len(chunk := fader.push(samples)):
                    yield chunk
            yield fader.finish()
            if number + 1 < len(pieces):
                yield pause(piece.written, self.sample_rate)

    def _speak(self, voice: Voice, piece: _Piece, number: int, sampling: Sampling, speed: float) -> Iterator[Any]:
        """One utterance, sample for sample what one decode of all its frames gives."""
        # Independent of one another and of how many sentences there are: sentence i sounds the same in any text.
        draw_seed, noise_seed = np.random.SeedSequence([self.seed, number]).generate_state(2).tolist()
        limit = voice.guard_seconds(len(piece.ids), self.speaker, speed)
        request = Request(
            ids=piece.ids,
            seed=draw_seed,
            max_frames=max(1, math.ceil(limit * voice.codec.config.frame_rate)),
            text_stride=voice.text_stride(len(piece.ids), self.speaker, speed),
        )
        decoder = StreamDecoder(voice.codec, seed=noise_seed, folded=voice.folded)
        frames: list[torch.Tensor] = []
        count = 0
        wanted = float(FIRST_FRAMES)
        for step in voice.engine.generate([request], sampling):
            if step.frame is not None:
                frames.append(step.frame)
                count += 1
                if len(frames) >= int(wanted):
                    yield voice.decode(decoder, frames)
                    frames, wanted = [], min(wanted * GROWTH, MOST_FRAMES)
            elif step.end == "cut":
                self.cut = True
                seconds = count / voice.codec.config.frame_rate
                self._notes.append(f"cut after {seconds:.1f} s without an end: {_shorten(piece.written)}")
        if frames:
            yield voice.decode(decoder, frames)
        with torch.inference_mode():
            yield decoder.flush()[0, 0].float().cpu().numpy()


class Voice:
    """Codec, language model and text front end, ready to speak. Make one with `Voice.from_pretrained`."""

    def __init__(self, codec: Snac, model: CodecCausalLM, tokenizer: Any, settings: VoiceSettings) -> None:
        check_pair(model.vocabulary, codec)
        self.codec, self.model, self.tokenizer, self.settings = codec.eval(), model.eval(), tokenizer, settings
        self.folded = FoldedDecoder(self.codec)  # shared by the streams: folding the weights costs some milliseconds
        self.engine = Engine(model)

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike[str] | None = None, *, device: str = "cpu") -> Voice:
        """Load a voice.

        Args:
            source: voice folder, name of a bundled voice, or hub repository; None is the bundled voice.
            device: where to run, e.g. "cpu" or "cuda".
        Raises:
            ValueError: no such voice, or a folder that is not whole.
        """
        from transformers import AutoTokenizer

        folder = find_voice(source)
        settings = VoiceSettings.load(folder)
        for part in ("codec", "model"):
            if not (folder / part).is_dir():
                raise ValueError(f"{folder} has no folder {part}/: the voice is not whole")
        codec = Snac.from_pretrained(folder / "codec").to(device)
        with quiet_loading():
            model = CodecCausalLM.from_pretrained(folder / "model").to(device)
        if model.device.type == "cpu":
            model = model.float()  # half precision is a form of storage here: most CPUs compute it slowly
        return cls(codec, model, AutoTokenizer.from_pretrained(folder / "model"), settings)

    @property
    def name(self) -> str:
        """The voice's name."""
        return self.settings.name

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names `speak` takes."""
        return self.settings.speakers

    @property
    def default_speaker(self) -> str | None:
        """Who speaks when nobody is asked for."""
        return self.settings.default_speaker or next(iter(self.speakers), None)

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return int(self.codec.config.sample_rate)

    def speak(
        self,
        text: str,
        speaker: str | None = None,
        *,
        seed: int = 0,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        speed: float = 1.0,
    ) -> Audio:
        """Say a text.

        Args:
            text: any length; sentences are spoken one by one and joined.
            speaker: one of `speakers`; None is the default speaker.
            seed: equal seeds give equal samples.
            temperature, top_p, top_k: None takes the voice's own; temperature 0 is greedy.
            speed: 0.5 to 2, above 1 is faster; only for voices with parallel positions.
        Raises:
            ValueError: empty text, foreign script, unknown speaker or event, a setting out of range.
        """
        started = time.perf_counter()
        stream = self.stream(text, speaker, seed=seed, temperature=temperature, top_p=top_p, top_k=top_k, speed=speed)
        prepared = time.perf_counter() - started
        samples = np.concatenate(list(stream))
        return Audio(
            samples=samples,
            sample_rate=self.sample_rate,
            text=text,
            speaker=stream.speaker,
            seed=seed,
            cut=stream.cut,
            notes=stream.notes,
            compute_seconds=prepared + stream.compute_seconds,
            first_audio_seconds=prepared + stream.first_audio_seconds,
        )

    def stream(
        self,
        text: str,
        speaker: str | None = None,
        *,
        seed: int = 0,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        speed: float = 1.0,
    ) -> SpeechStream:
        """Say a text piece by piece: the chunks one after the other are what `speak` returns, sample for sample.

        Arguments and errors are those of `speak`; errors come at the call, before the first chunk.
        """
        if seed < 0:
            raise ValueError(f"seed {seed} is negative; use 0 or more")
        speaker = self._resolve(speaker)
        self._check_speed(speed)
        sampling = self.settings.sampling.override(temperature=temperature, top_p=top_p, top_k=top_k)
        pieces, notes = self._pieces(text, speaker)
        return SpeechStream(self, pieces, speaker, seed, sampling, speed, notes)

    def text_stride(self, num_units: int, speaker: str | None, speed: float = 1.0) -> float | None:
        """Codec ids a text id when a speaker reads so many; None for models with ordinary positions."""
        if not self.engine.is_parallel:
            return None
        seconds = self.settings.expected_seconds(num_units, speaker)
        if seconds is None:
            return float(self.model.config.text_stride) / speed
        return seconds / num_units * self.codec.config.frame_rate * self.engine.num_slots / speed

    def guard_seconds(self, num_units: int, speaker: str | None, speed: float = 1.0) -> float:
        """The most seconds that so many text ids may take: twice what is expected and one more."""
        seconds = self.settings.expected_seconds(num_units, speaker)
        if seconds is None:
            return self.settings.max_seconds
        return min(_GUARD_FACTOR * seconds / speed + _GUARD_SECONDS, self.settings.max_seconds)

    def decode(self, decoder: StreamDecoder, frames: list[torch.Tensor]) -> NDArray[np.float32]:
        """Push frames ([S] each) into a streaming decoder: the samples [T] that are final now."""
        codes = self.model.vocabulary.layout.unflatten(torch.stack(frames)[None].to(self.model.device))
        with torch.inference_mode():
            samples: NDArray[np.float32] = decoder.push(codes)[0, 0].float().cpu().numpy()
        return samples

    def _pieces(self, text: str, speaker: str | None) -> tuple[list[_Piece], list[str]]:
        front = self.settings.text
        pieces: list[_Piece] = []
        notes: list[str] = []
        for sentence in front.split_sentences(text):
            try:
                prompt = front.prepare(sentence, speaker)
            except NothingToSay:
                notes.append(f"left out, nothing to say: {_shorten(sentence)}")
                continue
            notes += prompt.notes
            ids = list(self.tokenizer(prompt.text)["input_ids"])
            notes += self._unknown(prompt.text, ids)
            pieces.append(_Piece(sentence, ids))
        if not pieces:
            front.prepare(text, speaker)  # says what is wrong with the whole
        return pieces, notes

    def _unknown(self, prompt: str, ids: list[int]) -> list[str]:
        unknown = self.tokenizer.unk_token_id
        if unknown is None or unknown not in ids:
            return []
        signs = [
            c for c in dict.fromkeys(prompt) if unknown in self.tokenizer(c, add_special_tokens=False)["input_ids"]
        ]
        return [f"the voice does not know {' '.join(repr(c) for c in signs[:5]) or 'a sign'}: it may be left out"]

    def _resolve(self, speaker: str | None) -> str | None:
        if speaker is None:
            return self.default_speaker
        if speaker not in self.speakers:
            known = ", ".join(self.speakers) or "none, it has a single unnamed speaker"
            raise ValueError(f"unknown speaker {speaker!r}; this voice has: {known}")
        return speaker

    def _check_speed(self, speed: float) -> None:
        if not SLOWEST <= speed <= FASTEST:
            raise ValueError(f"speed {speed} is outside {SLOWEST} .. {FASTEST} (1 is the speaker's own pace)")
        if speed != 1.0 and not self.engine.is_parallel:
            raise ValueError(f"voice {self.name!r} has no control of its pace: leave speed at 1")


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
