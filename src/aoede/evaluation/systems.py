"""Speaking systems under test: a voice, a program that speaks, a folder of what was spoken elsewhere.

Owns what an evaluation asks of any of them, and how they are named and opened. Knows nothing of how speech is measured.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aoede.codec import Codec
from aoede.data.audio import load_audio
from aoede.data.listing import SOUNDS
from aoede.data.manifest import Clip
from aoede.evaluation.audio_command import AudioCommand, CommandFailed
from aoede.evaluation.texts import Passage

__all__ = ["CommandSystem", "FolderSystem", "SpeakingVoice", "Spoken", "System", "VoiceSystem", "open_systems"]


class SpokenAudio(Protocol):
    """What a voice returns; `aoede.generation.Audio` is one."""

    @property
    def samples(self) -> NDArray[np.float32]:
        """[T]"""
        ...

    @property
    def sample_rate(self) -> int: ...

    @property
    def cut(self) -> bool:
        """Whether the length guard ended it."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know: characters left out, sentences cut."""
        ...

    @property
    def compute_seconds(self) -> float: ...

    @property
    def first_audio_seconds(self) -> float:
        """From the call to the first samples that could be played."""
        ...


class SpeakingVoice(Protocol):
    """What is asked of a voice; `aoede.generation.Voice` is one.

    One that can speak like a recording takes `reference` (a path) and `reference_text` as well.
    """

    @property
    def speakers(self) -> Sequence[str]:
        """Empty for a voice with a single unnamed speaker."""
        ...

    def speak(self, text: str, speaker: str | None = None, *, seed: int = 0) -> SpokenAudio: ...


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """What a system gave for a text; None where it has no clock."""

    samples: NDArray[np.float32]
    """[T]"""
    sample_rate: int
    speaker: str | None = None
    """Who speaks, where the system says so."""
    cut: bool = False
    notes: tuple[str, ...] = ()
    compute_seconds: float | None = None
    first_audio_seconds: float | None = None


class System(Protocol):
    """Anything that says texts."""

    label: str
    source: str
    """Where it came from, for the report."""
    speakers: Sequence[str] | None
    """Names it can be asked for; empty for a single one without a name, None where any name may be tried."""
    can_clone: bool
    """Whether it takes a recording to speak like."""
    codec: Codec | None
    """What its sound goes through, where that is known: recordings are sent through it for comparison."""

    def warm_up(self, passage: Passage, speaker: str | None, reference: Clip | None) -> None:
        """Begins to say a text: the first run of a network is slow, and is not timed."""
        ...

    def say(self, passage: Passage, speaker: str | None, reference: Clip | None, seed: int) -> Spoken:
        """Says a text, as one of `speakers` or like a recording.

        Raises:
            ValueError: it cannot say this.
        """
        ...


class VoiceSystem:
    """A voice with a label.

    Args:
        source: where it came from, for the report.
        codec: what its recordings are compared through; None leaves the round trip out.
        own_speaker: who speaks where nobody is asked for.
        prompted: it speaks behind a voice prompt, as that one alone.
        can_clone: it takes a recording to speak like; not every flat one does.
    """

    def __init__(
        self,
        label: str,
        voice: SpeakingVoice,
        *,
        source: str = "",
        codec: Codec | None = None,
        own_speaker: str | None = None,
        prompted: bool = False,
        can_clone: bool = True,
    ) -> None:
        self.label, self.voice, self.source, self.codec = label, voice, source or label, codec
        self.speakers: Sequence[str] | None = () if prompted else tuple(voice.speakers)
        self.own_speaker = None if prompted else own_speaker
        self.can_clone = can_clone

    def warm_up(self, passage: Passage, speaker: str | None, reference: Clip | None) -> None:
        """See `System`; a voice that streams stops at its first samples."""
        begin = getattr(self.voice, "stream", None)
        if begin is not None:
            stream = begin(passage.text, speaker, **_like(reference))
            next(stream, None)
            stream.close()

    def say(self, passage: Passage, speaker: str | None, reference: Clip | None, seed: int) -> Spoken:
        """See `System`."""
        spoken = self.voice.speak(passage.text, speaker, seed=seed, **_like(reference))
        return Spoken(
            samples=np.asarray(spoken.samples, dtype=np.float32),
            sample_rate=spoken.sample_rate,
            speaker=speaker or (None if reference is not None else self.own_speaker),
            cut=spoken.cut,
            notes=tuple(spoken.notes),
            compute_seconds=spoken.compute_seconds,
            first_audio_seconds=spoken.first_audio_seconds,
        )


class CommandSystem:
    """A program that writes a sound file: `espeak-ng -w {audio} {text}`.

    Places: `{text}` and `{audio}`, which it writes as a WAV file; where it takes them, `{speaker}`, `{language}`,
    `{seed}`, and `{reference}` with `{reference_text}` to speak like a recording. Its time is that of a whole run, with
    its start; it has no first audio.

    Raises:
        ValueError: see `AudioCommand`.
    """

    codec: Codec | None = None

    def __init__(self, label: str, command: str, timeout: float = 300.0) -> None:
        self.label = label
        self._command = AudioCommand(label, command, needs=("{text}", "{audio}"), timeout=timeout)
        self.source = f"command {self._command.program}, its start timed too"
        self.speakers: Sequence[str] | None = None if self._command.has("{speaker}") else ()
        self.can_clone = self._command.has("{reference}")

    def warm_up(self, passage: Passage, speaker: str | None, reference: Clip | None) -> None:
        """See `System`; every run of a program starts cold."""

    def say(self, passage: Passage, speaker: str | None, reference: Clip | None, seed: int) -> Spoken:
        """See `System`."""
        words = {
            "{text}": passage.text,
            "{speaker}": speaker or "",
            "{language}": passage.language or "en",
            "{seed}": str(seed),
            "{reference_text}": reference.text if reference is not None else "",
        }
        sounds = {}
        if reference is not None:
            if not self._command.has("{reference}"):
                raise ValueError(
                    f"the command of {self.label} names no {{reference}}: it cannot speak like a recording"
                )
            sounds["{reference}"] = load_audio(reference.audio_source())
        try:
            started = time.perf_counter()
            samples, rate = self._command.sound(sounds, words)
        except CommandFailed as error:
            raise ValueError(f"{self.label} said nothing: {error}") from error
        return Spoken(samples=samples, sample_rate=rate, speaker=speaker, compute_seconds=time.perf_counter() - started)


class FolderSystem:
    """What was spoken elsewhere: a folder with a sound file for every text, named by its id.

    Raises:
        ValueError: no sound file in it.
    """

    speakers: Sequence[str] | None = None
    can_clone = True
    codec: Codec | None = None

    def __init__(self, label: str, folder: str | Path) -> None:
        self.label, self.source, self._folder = label, f"sound files of {Path(folder).name}", Path(folder)
        self._files = {
            path.stem: path
            for path in sorted(self._folder.iterdir())
            if path.suffix.lower() in SOUNDS and path.is_file()
        }
        if not self._files:
            raise ValueError(f"{folder} is neither a voice folder (no voice.json) nor a folder of sound files")

    def warm_up(self, passage: Passage, speaker: str | None, reference: Clip | None) -> None:
        """See `System`; nothing runs here."""

    def say(self, passage: Passage, speaker: str | None, reference: Clip | None, seed: int) -> Spoken:
        """See `System`; the file is `ID.wav`, the id without folders and suffix where it is a path."""
        names = (passage.id, Path(passage.id).stem)
        path = next((self._files[name] for name in names if name in self._files), None)
        if path is None:
            raise ValueError(f"{self.label}: {self._folder} has no sound file called {Path(passage.id).stem}")
        samples, rate = load_audio(path)
        return Spoken(samples=samples, sample_rate=rate, speaker=speaker)


def _like(reference: Clip | None) -> dict[str, Any]:
    return {} if reference is None else {"reference": reference.audio_source(), "reference_text": reference.text}


def open_systems(
    names: Sequence[str | os.PathLike[str]],
    *,
    prompts: Mapping[str, str] | str | None = None,
    device: str = "cpu",
) -> list[System]:
    """Systems from what a person calls them.

    Args:
        names: `DIR` or `LABEL=DIR` each, a voice folder, the name of a bundled voice, a hub repository or the word
            `bundled`, which is also what none at all means; a folder of sound files named by the texts' ids; or
            `LABEL=COMMAND` with `{text}` and `{audio}`, see `CommandSystem`. A single one without a label is called
            "voice", of several each by its folder.
        prompts: the file of a voice prompt for every voice, or files by label.
        device: where voices run.
    Raises:
        ValueError: what cannot be opened, two of one label, or a prompt for none of them.
    """
    wanted = [_split(os.fspath(name)) for name in names or ["bundled"]]
    labels = [label or ("voice" if len(wanted) == 1 else _called(source)) for label, source in wanted]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"two systems are called {label}; name them: LABEL=DIR")
        if label == "recording" or label.partition(" ")[0] == "codec":
            raise ValueError(f"the report has its own {label}; give that system another label: LABEL=DIR")
    by_label = prompts if isinstance(prompts, Mapping) else dict.fromkeys(labels, prompts) if prompts else {}
    for label in by_label:
        if label not in labels:
            raise ValueError(f"there is a voice prompt for {label}, but no such system; there are: {', '.join(labels)}")
    return [
        _open(label, source, by_label.get(label), device) for label, (_, source) in zip(labels, wanted, strict=True)
    ]


def _open(label: str, source: str, prompt: str | None, device: str) -> System:
    from aoede.generation import Voice

    path = Path(source)
    if "{text}" in source or "{audio}" in source:
        system: System = CommandSystem(label, source)
    elif path.is_dir() and not (path / "voice.json").is_file():
        system = FolderSystem(label, path)
    else:
        chosen = None if source == "bundled" and not path.exists() else source
        voice = Voice.from_pretrained(chosen, device=device, voice_prompt=prompt)
        told = f"{path.name if chosen else voice.name} ({voice.settings.kind}, {_count(voice)}{_weights(chosen)})"
        return VoiceSystem(
            label,
            voice,
            source=told + (f", voice prompt {Path(prompt).name}" if prompt else ""),
            codec=voice.codec,
            own_speaker=voice.default_speaker,
            prompted=prompt is not None,
            can_clone=voice.can_clone,
        )
    if prompt:
        raise ValueError(f"{label} is no voice folder: a voice prompt is for a two-stage voice")
    return system


def _count(voice: Any) -> str:
    return f"{sum(parameter.numel() for parameter in voice.model.parameters()) / 1e6:.1f} M parameters"


def _weights(source: str | None) -> str:
    """Which weights were measured, so that figures can be told to belong to a voice; "" for a voice prompt's file."""
    from aoede.generation import find_voice
    from aoede.generation.samples import digest, weights_of

    if source is not None and Path(source).is_file():
        return ""
    return f", weights {digest(weights_of(find_voice(source)))}"


def _split(name: str) -> tuple[str, str]:
    label, sign, source = name.partition("=")
    if not sign or Path(name).exists() or "{" in label:
        return "", name
    if not label.strip() or not source.strip():
        raise ValueError(f"{name}: a system is named LABEL=DIR, LABEL=COMMAND or DIR")
    return label.strip(), source.strip()


def _called(source: str) -> str:
    if "{" in source:
        return Path(source.split()[0]).name
    return Path(source).resolve().name if Path(source).exists() else source
