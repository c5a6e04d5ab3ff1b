"""Voice folders: where they are and what `voice.json` says.

Owns the settings of a voice and the search for a folder: a path, a bundled name, a repository on the model hub. Knows
nothing of how speech is made. Layout: voice.json, codec/, model/ (with its tokenizer).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from aoede.data.conversation.turns import TurnText
from aoede.data.text import TextFrontEnd
from aoede.generation.guidance import check_guidance
from aoede.generation.sampling import Sampling

FILE_NAME = "voice.json"
FORMAT = 1
Kind = Literal["flat", "two-stage"]
BUNDLED = Path(__file__).resolve().parent.parent / "voices"
"""Folder of the voices that come with the package."""
DEFAULT = "aoede-small"
"""The bundled voice that speaks where none is named."""


@dataclass(frozen=True, kw_only=True)
class VoiceSettings:
    """What `voice.json` holds."""

    name: str
    """Shown to people."""

    text: TextFrontEnd
    """How the voice reads text; the same as in training."""

    speakers: tuple[str, ...] = ()
    """Names that the model was trained on; empty for a voice without speaker tokens."""

    default_speaker: str | None = None
    """Used when none is asked for; None takes the first."""

    seconds_per_unit: Mapping[str, float] = field(default_factory=dict)
    """Speaker to seconds of audio a text id (speaker token counted): sets the pace and the length guard."""

    seconds_offset: Mapping[str, float] = field(default_factory=dict)
    """Speaker to seconds that every utterance takes besides (pauses at its ends): short texts are not read too fast."""

    short_seconds: Mapping[int, float] = field(default_factory=dict)
    """Text ids to seconds of audio, whoever speaks: what a word or two takes, where a speaker's line through whole
    sentences says too little. Read in between; above the largest number the speaker's line holds."""

    sampling: Sampling = field(default_factory=Sampling)
    """Defaults of `speak`."""

    max_seconds: float = 30.0
    """No sentence is longer than this."""

    attempts: int = 1
    """Of a flat voice: how often a short utterance is drawn while it does not end (`redraw_beyond` of writers.py)."""

    guidance: float = 1.0
    """Of a flat voice that was trained with `text_dropout`: how much more the text counts (`Request.guidance`); 1 is
    none, and needs half the work."""

    kind: Kind = "flat"
    """What model/ holds: "flat" writes ids one by one (CodecCausalLM), "two-stage" frames (TwoStageModel)."""

    depth_sampling: Sampling | None = None
    """Of a two-stage voice: how the slots after the first are drawn; None: as `sampling`."""

    turn: TurnText | None = None
    """Of a two-stage voice: how a turn is written where `text` does not write it (the public CSM's template, say)."""

    context_turns: int | None = None
    """Of a two-stage voice: the most earlier turns that a turn hears, as many as in training (recordings that come
    first are not counted); None: as many as the model has room for."""

    reference_speaker: str | None = None
    """The name that a cloned voice is written with where none is given; "" is no name. None: of a two-stage voice the
    default speaker; a flat one takes no recordings then (it learns to from training with `speaker_dropout`)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "speakers", tuple(self.speakers))
        if self.default_speaker is not None and self.default_speaker not in self.speakers:
            raise ValueError(f"default_speaker {self.default_speaker!r} is not among the speakers {self.speakers}")
        if self.max_seconds <= 0:
            raise ValueError(f"max_seconds is {self.max_seconds}; it must be above 0")
        check_guidance(self.guidance)
        if not 1 <= self.attempts <= 20:
            raise ValueError(f"attempts is {self.attempts}; it lies in 1 .. 20, and 1 never draws anew")
        for name in ("guidance", "attempts"):
            if self.kind != "flat" and getattr(self, name) != 1:
                raise ValueError(f"{name} is for flat voices; leave it out")
        for speaker, seconds in self.seconds_per_unit.items():
            if not seconds > 0:
                raise ValueError(f"seconds_per_unit of {speaker!r} is {seconds}; it must be above 0")
        object.__setattr__(self, "short_seconds", {int(n): float(s) for n, s in sorted(self.short_seconds.items())})
        for units, seconds in self.short_seconds.items():
            if units < 1 or not seconds > 0:
                raise ValueError(f"short_seconds says {seconds} s for {units} ids; both must be above 0")
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind is {self.kind!r}; it is {' or '.join(map(repr, get_args(Kind)))}")
        if self.context_turns is not None and self.context_turns < 0:
            raise ValueError(f"context_turns is {self.context_turns}; 0 hears no earlier turn, 3 the last three")
        for name in ("depth_sampling", "turn", "context_turns"):
            if self.kind == "flat" and getattr(self, name) is not None:
                raise ValueError(f'{name} is for two-stage voices; leave it out, or write "kind": "two-stage"')

    def expected_seconds(self, num_units: int, speaker: str | None) -> float | None:
        """How long so many text ids take; None where nothing is known. A speaker not listed takes the mean pace."""
        if not self.seconds_per_unit:
            return None
        if self.short_seconds and num_units <= max(self.short_seconds):
            return float(np.interp(num_units, list(self.short_seconds), list(self.short_seconds.values())))
        means = [sum(known.values()) / max(1, len(known)) for known in (self.seconds_per_unit, self.seconds_offset)]
        each = self.seconds_per_unit.get(speaker or "", means[0])
        return each * num_units + self.seconds_offset.get(speaker or "", means[1])

    @classmethod
    def load(cls, folder: Path) -> VoiceSettings:
        """Read `voice.json` of a voice folder.

        Raises:
            ValueError: not a voice folder, not JSON, an unknown key or format (names file and key).
        """
        path = folder / FILE_NAME
        if not path.is_file():
            raise ValueError(f"{folder} is no voice folder: it has no {FILE_NAME} (aoede voices lists what there is)")
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not JSON: {error}") from error
        try:
            return cls.from_dict(data)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> VoiceSettings:
        """Inverse of `to_dict`."""
        values = dict(data)
        if values.pop("format", None) != FORMAT:
            raise ValueError(f"format is {data.get('format')!r}, this Aoede reads {FORMAT}")
        known = [f.name for f in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f"unknown key {', '.join(unknown)}; known: {', '.join(known)}")
        if missing := sorted({"name", "text"} - set(values)):
            raise ValueError(f"key {', '.join(missing)} is missing")
        values["text"] = TextFrontEnd.from_dict(values["text"])
        values["short_seconds"] = {int(units): s for units, s in (values.get("short_seconds") or {}).items()}
        values["sampling"] = Sampling.from_dict(values.get("sampling") or {})
        if values.get("depth_sampling") is not None:
            values["depth_sampling"] = Sampling.from_dict(values["depth_sampling"])
        if values.get("turn") is not None:
            values["turn"] = TurnText.from_dict(values["turn"])
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "format": FORMAT,
            "name": self.name,
            **self._of_kind(),
            "text": self.text.to_dict(),
            "speakers": list(self.speakers),
            "default_speaker": self.default_speaker,
            "seconds_per_unit": dict(self.seconds_per_unit),
            "seconds_offset": dict(self.seconds_offset),
            "short_seconds": {str(units): seconds for units, seconds in self.short_seconds.items()},
            "sampling": self.sampling.to_dict(),
            "max_seconds": self.max_seconds,
        }

    def _of_kind(self) -> dict[str, Any]:
        """What only voices of its kind have."""
        if self.kind == "flat":
            own: dict[str, Any] = {"guidance": self.guidance, "attempts": self.attempts}
            return own if self.reference_speaker is None else own | {"reference_speaker": self.reference_speaker}
        return {
            "kind": self.kind,
            "depth_sampling": None if self.depth_sampling is None else self.depth_sampling.to_dict(),
            "turn": None if self.turn is None else self.turn.to_dict(),
            "context_turns": self.context_turns,
            "reference_speaker": self.reference_speaker,
        }

    def save(self, folder: str | Path) -> Path:
        """Write `voice.json` into a folder, which is made; returns its path."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(self.to_dict(), file, ensure_ascii=False, indent=1)
            file.write("\n")
        os.chmod(temporary, 0o644)
        os.replace(temporary, folder / FILE_NAME)
        return folder / FILE_NAME


def bundled_voices() -> dict[str, Path]:
    """Name to folder of the voices inside the package, the default first, the others sorted by name."""
    if not BUNDLED.is_dir():
        return {}
    folders = sorted(BUNDLED.iterdir(), key=lambda folder: (folder.name != DEFAULT, folder.name))
    return {folder.name: folder for folder in folders if (folder / FILE_NAME).is_file()}


def find_voice(source: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a voice.

    Args:
        source: a folder, the name of a bundled voice, or a repository on the model hub ("owner/name"); None takes the
            first bundled voice.
    Raises:
        ValueError: nothing there (says what was looked for and what there is).
    """
    bundled = bundled_voices()
    if source is None:
        if not bundled:
            raise ValueError(f"no voice is bundled in {BUNDLED}: train one (docs/speaking.md) or name a voice folder")
        return next(iter(bundled.values()))
    folder = Path(source)
    if folder.is_dir():
        return folder
    name = os.fspath(source)
    if name in bundled:
        return bundled[name]
    if folder.is_file():
        raise ValueError(
            f"{name} is a file, a voice is a folder; with a voice prompt speak (aoede speak --voice {name})"
        )
    if name.count("/") == 1 and not name.startswith((".", "/", "~")) and not folder.suffix:
        return _download(name)
    there = ", ".join(bundled) or "none"
    raise ValueError(f"no voice {name!r}: it is no folder, and no bundled voice (bundled: {there})")


def find_voices(sources: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The folders of some voices, or of all bundled ones where none is named.

    Raises:
        ValueError: as `find_voice`, also where none is named and none is bundled.
    """
    return [find_voice(source) for source in sources] or list(bundled_voices().values()) or [find_voice(None)]


def _download(repository: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"no folder {repository!r}, and the model hub did not give it: {reason}") from error
