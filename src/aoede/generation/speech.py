"""A voice: text in, speech out, whole or as a stream.

Owns what a person asks of a voice, its pace and its recordings, and puts the parts in order: what is to be spoken is
`planning.py`'s, how it is spoken `stream.py`'s, who writes the frames `writers.py`'s. What a voice is on disk is
`voice_folder.py`'s.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from aoede.codec import Codec, Snac
from aoede.codec.folding import FoldedDecoder
from aoede.generation.decoders import FrameDecoder
from aoede.generation.engine import Engine
from aoede.generation.given import Recording
from aoede.generation.guidance import check_guidance
from aoede.generation.hearing import Hearing
from aoede.generation.pairing import check_pair, check_slots
from aoede.generation.parts import layout_of, load_parts
from aoede.generation.planning import Plan, Planner
from aoede.generation.reading import TextReader
from aoede.generation.sampling import Sampling
from aoede.generation.script import TurnLike, as_turns
from aoede.generation.sound import Audio
from aoede.generation.stream import SpeechStream
from aoede.generation.voice_folder import VoiceSettings, find_voice
from aoede.generation.voice_prompt import VoicePrompt, voice_of_file
from aoede.generation.writers import FlatWriter, TwoStageWriter, Writer
from aoede.models import CodecCausalLM, TwoStageModel

SLOWEST, FASTEST = 0.5, 2.0
_GUARD_FACTOR, _GUARD_SECONDS = 2.0, 1.0
_SHORT_SECONDS = 1.5


class Voice:
    """Codec, language model and text front end, ready to speak. Make one with `Voice.from_pretrained`.

    The model is flat (it writes ids one by one) or two-stage (frame by frame); what only one of them can do is said
    where it is asked of the other.
    """

    def __init__(
        self,
        codec: Codec,
        model: CodecCausalLM | TwoStageModel,
        tokenizer: Any,
        settings: VoiceSettings,
        *,
        voice_prompt: VoicePrompt | str | os.PathLike[str] | None = None,
    ) -> None:
        self.layout = layout_of(model)
        self.engine: Engine | None = None
        """What decodes a flat model; None for a two-stage one."""
        if isinstance(model, TwoStageModel):
            check_slots(model.config, self.layout, codec)
        else:
            check_pair(model.vocabulary, codec)
            self.engine = Engine(model)
        if isinstance(codec, torch.nn.Module):
            codec.eval()
        self.codec, self.model, self.tokenizer, self.settings = codec, model.eval(), tokenizer, settings
        self.reader = TextReader(tokenizer, settings)
        # Shared by the streams: folding the weights costs some milliseconds.
        self.folded = FoldedDecoder(codec) if isinstance(codec, Snac) else None
        self.voice_prompt: VoicePrompt | None = None
        self.use_prompt(voice_prompt)

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str] | None = None,
        *,
        device: str = "cpu",
        voice_prompt: VoicePrompt | str | os.PathLike[str] | None = None,
    ) -> Voice:
        """Load a voice.

        Args:
            source: voice folder, name of a bundled voice, or hub repository; None is the bundled voice. The file of a
                voice prompt takes the voice that it was tuned on.
            device: where to run, e.g. "cpu" or "cuda".
            voice_prompt: a file of prompt or prefix tuning, which gives a two-stage voice another voice.
        Raises:
            ValueError: no such voice, a folder that is not whole, a prompt of another model.
        """
        if source is not None and Path(source).is_file():
            if voice_prompt is not None:
                raise ValueError(
                    f"{os.fspath(source)} is a voice prompt (or no voice), and another is given: take one of them"
                )
            voice_prompt, folder = source, voice_of_file(source)
        else:
            folder = find_voice(source)
        settings = VoiceSettings.load(folder)
        return cls(*load_parts(folder, settings, device), settings, voice_prompt=voice_prompt)

    def use_prompt(self, prompt: VoicePrompt | str | os.PathLike[str] | None) -> None:
        """Speak behind a voice prompt (or its file) from now on; None speaks without.

        Raises:
            ValueError: no such file, a prompt that was tuned on another model, a flat voice.
        """
        if prompt is None:
            self.voice_prompt = None
            return
        where = "the voice prompt" if isinstance(prompt, VoicePrompt) else os.fspath(prompt)
        if not isinstance(self.model, TwoStageModel):
            raise ValueError(f"voice {self.name!r} is flat, {where} is for a two-stage voice: name the one it is of")
        loaded = prompt if isinstance(prompt, VoicePrompt) else VoicePrompt.load(prompt)
        loaded.check(self.model, where)
        self.voice_prompt = loaded

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
        """Who speaks when nobody is asked for; with a voice prompt, whom that was tuned as."""
        if self.voice_prompt is not None:
            return self.voice_prompt.speaker
        return self.settings.default_speaker or next(iter(self.speakers), None)

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return int(self.codec.config.sample_rate)

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return float(self.codec.config.frame_rate)

    @property
    def can_clone(self) -> bool:
        """Whether it speaks like a recording (`reference`)."""
        return self._hearing.can_clone

    @property
    def is_parallel(self) -> bool:
        """Whether text and audio run in parallel positions, so that the pace can be set."""
        return self.model.config.text_stride is not None

    def speak(
        self,
        text: str,
        speaker: str | None = None,
        *,
        seed: int = 0,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        guidance: float | None = None,
        speed: float = 1.0,
        reference: Recording | None = None,
        reference_text: str | None = None,
    ) -> Audio:
        """Say a text.

        Args:
            text: any length; sentences are spoken one by one and joined.
            speaker: one of `speakers`; None is the default speaker.
            seed: equal seeds give equal samples.
            temperature, top_p, top_k: None takes the voice's own; temperature 0 is greedy. A two-stage voice draws all
                slots with what is given.
            guidance: how much the text counts, for flat voices trained with `text_dropout`; None takes the voice's own,
                1 is none and the fastest.
            speed: 0.5 to 2, above 1 is faster; only for voices with parallel positions, flat or two-stage.
            reference: a recording to speak like, which a two-stage voice hears as an earlier turn, and a flat one that
                can (`can_clone`) goes on from: a sound or .snac file, samples [T] at `sample_rate`, or codes.
            reference_text: what is said in it, word for word.
        Raises:
            ValueError: empty text, foreign script, unknown speaker or event, a setting out of range, a recording
                without its text or for a voice that cannot clone.
        """
        started = time.perf_counter()
        stream = self.stream(
            text,
            speaker,
            seed=seed,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            guidance=guidance,
            speed=speed,
            reference=reference,
            reference_text=reference_text,
        )
        return stream.collect(text, time.perf_counter() - started)

    def stream(
        self,
        text: str,
        speaker: str | None = None,
        *,
        seed: int = 0,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        guidance: float | None = None,
        speed: float = 1.0,
        reference: Recording | None = None,
        reference_text: str | None = None,
        chunk_frames: int | None = None,
    ) -> SpeechStream:
        """Say a text piece by piece: the chunks one after the other are what `speak` returns, sample for sample.

        Arguments and errors are those of `speak`; errors come at the call, before the first chunk.

        Args:
            chunk_frames: frames a chunk, 1 for a frame at a time; None begins with few, which come soon, and lets
                them grow.
        """
        plan = self._planner.text(text, speaker, reference, reference_text)
        if self.engine is not None and plan.recordings:
            self._hearing.go_on(plan, speed)
        sampling = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "guidance": guidance}
        return self._begin(plan, sampling, seed, speed, chunk_frames)

    def converse(
        self,
        turns: Sequence[TurnLike],
        *,
        seed: int = 0,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        guidance: float | None = None,
        speed: float = 1.0,
    ) -> Audio:
        """Say a dialogue: each turn by its speaker, with a pause between turns.

        A two-stage voice hears the turns before (at most `context_turns` of its settings, and recordings that come
        first); a flat one speaks each by itself, and a note says so.

        Args:
            turns: `Turn`, mappings with its fields, or (speaker, text); one with `audio` is a recording, which is heard
                and not spoken.
            seed, temperature, top_p, top_k, guidance, speed: as in `speak`.
        Returns:
            the audio of all turns; `turns` says who speaks when.
        Raises:
            ValueError: what `speak` raises, with the turn's number; no turn to speak.
        """
        started = time.perf_counter()
        turns = as_turns(turns)
        stream = self.stream_turns(
            turns,
            seed=seed,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            guidance=guidance,
            speed=speed,
        )
        text = "\n".join(turn.text for turn in turns if turn.audio is None)
        return stream.collect(text, time.perf_counter() - started)

    def stream_turns(
        self,
        turns: Sequence[TurnLike],
        *,
        seed: int = 0,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        guidance: float | None = None,
        speed: float = 1.0,
        chunk_frames: int | None = None,
    ) -> SpeechStream:
        """Say a dialogue piece by piece; the chunks one after the other are what `converse` returns.

        Arguments and errors are those of `converse` and `stream`; errors come at the call.
        """
        turns = as_turns(turns)
        if not isinstance(self.model, TwoStageModel):
            for number, turn in enumerate(turns, 1):
                if turn.audio is not None:
                    raise ValueError(
                        f"turn {number}: voice {self.name!r} is flat and hears no recorded turn; use a two-stage voice"
                    )
        plan = self._planner.turns(turns)
        if not isinstance(self.model, TwoStageModel):
            plan.notes.append(
                f"voice {self.name!r} is flat: it speaks each turn by itself and does not hear the others"
            )
        sampling = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "guidance": guidance}
        return self._begin(plan, sampling, seed, speed, chunk_frames)

    def text_stride(
        self, num_units: int, speaker: str | None, speed: float = 1.0, pace: float | None = None
    ) -> float | None:
        """Codec ids a text id when a speaker reads so many; None for models with ordinary positions.

        Args:
            pace: seconds a text id, in place of what the settings say of the speaker.
        """
        own = self.model.config.text_stride
        if own is None:
            return None
        seconds = self.settings.expected_seconds(num_units, speaker) if pace is None else pace * num_units
        if seconds is None:
            return float(own) / speed
        return seconds / num_units * self.frame_rate * self.layout.num_slots / speed

    def guard_seconds(
        self, num_units: int, speaker: str | None, speed: float = 1.0, pace: float | None = None
    ) -> float:
        """The most seconds that so many text ids may take: twice what is expected and one more; `pace` as above."""
        seconds = self.settings.expected_seconds(num_units, speaker) if pace is None else pace * num_units
        if seconds is None:
            return self.settings.max_seconds
        return min(_GUARD_FACTOR * seconds / speed + _GUARD_SECONDS, self.settings.max_seconds)

    def redraw_seconds(
        self, num_units: int, speaker: str | None, speed: float = 1.0, pace: float | None = None
    ) -> float | None:
        """Seconds after which a short utterance that has not ended goes round in circles; None for longer ones, which
        are heard while they are made. No recording of 200 was above 1.19 times what its speaker's pace tells."""
        seconds = self.settings.expected_seconds(num_units, speaker) if pace is None else pace * num_units
        if seconds is None or seconds / speed > _SHORT_SECONDS:
            return None
        return 1.4 * seconds / speed + 0.5

    def open_decoder(self, seed: int) -> FrameDecoder:
        """A decoder for one utterance, whose noise `seed` names."""
        return FrameDecoder(self.codec, self.layout, seed, self.folded)

    def open_writer(self, recordings: list[torch.Tensor], changes: dict[str, Any]) -> Writer:
        """A writer for one speech: what it hears first, and how its draws differ from the voice's own."""
        changes = dict(changes)
        guidance = changes.pop("guidance", None)
        sampling: Sampling = self.settings.sampling.override(**changes)
        if self.engine is not None:
            guidance = self.settings.guidance if guidance is None else guidance
            check_guidance(guidance)
            recording = recordings[-1] if recordings else None
            return FlatWriter(self.engine, sampling, guidance, self.reader.textless, recording, self.settings.attempts)
        assert isinstance(self.model, TwoStageModel)
        if guidance not in (None, 1.0):
            raise ValueError(
                f"guidance {guidance} is for flat voices, and voice {self.name!r} has two stages: leave it out"
            )
        return TwoStageWriter(
            self.model,
            sampling,
            (self.settings.depth_sampling or self.settings.sampling).override(**changes),
            context_turns=self.settings.context_turns,
            recordings=recordings,
            prompt=self.voice_prompt,
        )

    # -- the parts ----------------------------------------------------------------------------------------------

    @property
    def _planner(self) -> Planner:
        return Planner(self.reader, self._hearing.turn, self.default_speaker)

    @property
    def _hearing(self) -> Hearing:
        return Hearing(self.codec, self.layout, self.model, self.reader, self.name)

    def _begin(
        self, plan: Plan, sampling: dict[str, Any], seed: int, speed: float, chunk_frames: int | None
    ) -> SpeechStream:
        """The stream of what was prepared, after the last checks."""
        if seed < 0:
            raise ValueError(f"seed {seed} is negative; use 0 or more")
        if chunk_frames is not None and chunk_frames < 1:
            raise ValueError(f"chunk_frames is {chunk_frames}; 1 is a frame at a time, None lets chunks grow")
        self._check_speed(speed)
        writer = self.open_writer(plan.recordings, sampling)
        for piece in plan.pieces:
            writer.check(len(piece.ids))
        return SpeechStream(
            self,
            writer,
            plan.pieces,
            plan.texts,
            seed=seed,
            speed=speed,
            notes=plan.notes,
            chunk_frames=chunk_frames,
        )

    def _check_speed(self, speed: float) -> None:
        if not SLOWEST <= speed <= FASTEST:
            raise ValueError(f"speed {speed} is outside {SLOWEST} .. {FASTEST} (1 is the speaker's own pace)")
        if speed != 1.0 and not self.is_parallel:
            raise ValueError(f"voice {self.name!r} has no control of its pace: leave speed at 1")
