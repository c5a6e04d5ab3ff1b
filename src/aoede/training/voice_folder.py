"""The voice folder: what training hands to speaking.

Owns how a trained model, its codec and its text front end are written as one folder (docs/formats.md). Knows nothing of
training steps; `aoede.generation` reads the folder.
"""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from transformers import PreTrainedModel

from aoede.codec import Snac
from aoede.data.text import TextFrontEnd
from aoede.folders import replacing_folder
from aoede.generation import Sampling, VoiceSettings


@dataclass(frozen=True, kw_only=True)
class VoiceConfig:
    """What the voice folder says beside the weights."""

    name: str = "voice"
    speakers: tuple[str, ...] | None = None
    """The speakers that the voice offers; others of the data only teach. None: all."""

    default_speaker: str | None = None
    """None: the first of the speakers offered."""

    sampling: Sampling = field(default_factory=Sampling)
    """How ids are drawn unless `speak` is told otherwise."""

    depth_sampling: Sampling | None = None
    """Of a two-stage voice: how the slots after the first are drawn; None: as `sampling`."""

    guidance: float = 1.0
    """Of a flat voice trained with `text_dropout`: how much the text counts when speaking; 1 is none."""

    short_seconds: dict[str, float] = field(default_factory=dict)
    """Text ids (as text) to seconds that a word or two takes, whoever speaks; see `VoiceSettings.short_seconds`."""

    attempts: int = 1
    """Of a flat voice: how often a short utterance is drawn while it does not end."""

    reference_speaker: str | None = None
    """The name behind which a recording is gone on with; "" is no name, which `speaker_dropout` teaches. None: a flat
    voice takes no recordings."""

    max_seconds: float = 30.0
    """Longest piece of speech made at once."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the language model's weights in the folder."""


class VoiceData(Protocol):
    """What a voice folder says of the data that a model was trained on."""

    @property
    def tokenizer(self) -> Any: ...

    @property
    def front_end(self) -> TextFrontEnd: ...

    @property
    def speakers(self) -> tuple[str, ...]: ...

    @property
    def pace(self) -> dict[str, tuple[float, float]]: ...


def write_voice(
    directory: Path, config: VoiceConfig, model: PreTrainedModel, codec: Snac, data: VoiceData, **settings: Any
) -> None:
    """Write `voice.json`, `codec/` and `model/` (weights, tokenizer, augmented.yaml); an older folder is replaced.

    Args:
        settings: more of `VoiceSettings`, such as `kind`.
    Raises:
        ValueError: the default speaker is none of the voice's.
    """
    offered, default = config.speakers or data.speakers, default_speaker(config, data)
    with replacing_folder(directory) as temporary:
        codec.save_pretrained(temporary / "codec")
        dtype = getattr(torch, config.dtype)
        # A copy: casting must not touch the weights that go on training.
        copy.deepcopy(model).to("cpu", dtype).eval().save_pretrained(temporary / "model")
        data.tokenizer.save_pretrained(temporary / "model")
        told = VoiceSettings(
            name=config.name,
            text=data.front_end,
            speakers=offered,
            default_speaker=default,
            seconds_per_unit={speaker: data.pace[speaker][0] for speaker in offered if speaker in data.pace},
            seconds_offset={speaker: data.pace[speaker][1] for speaker in offered if speaker in data.pace},
            sampling=config.sampling,
            max_seconds=config.max_seconds,
            guidance=config.guidance,
            attempts=config.attempts,
            short_seconds={int(units): seconds for units, seconds in config.short_seconds.items()},
            depth_sampling=config.depth_sampling,
            **({"reference_speaker": config.reference_speaker} | settings),
        )
        told.save(temporary)


def default_speaker(config: VoiceConfig, data: VoiceData) -> str:
    """The speaker of a text that names none; a ValueError where the voice does not offer, or the data lacks, a name."""
    for speaker in config.speakers or ():
        if speaker not in data.speakers:
            raise ValueError(f"voice.speakers names {speaker!r}, but the data has {', '.join(data.speakers)}")
    offered = config.speakers or data.speakers
    default = config.default_speaker or offered[0]
    if default not in offered:
        raise ValueError(f"voice.default_speaker is {default!r}, but the data has {', '.join(offered)}")
    return default
