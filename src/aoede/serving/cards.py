"""What the server says of its voices and its limits.

Owns the cards of GET /v1/audio/voices. Knows nothing of HTTP.
"""

from __future__ import annotations

from aoede.generation import Voice
from aoede.serving.schemas import FrameShape, Limits, VoiceCard
from aoede.serving.settings import ServerSettings

ONLY_VOICE = "default"
"""The name of the voice of a model whose speakers have none."""


def voice_cards(model: str, voice: Voice) -> list[VoiceCard]:
    """A card a speaker, the default one first."""
    default = voice.default_speaker
    names = list(voice.speakers) or [ONLY_VOICE]
    names.sort(key=lambda name: name != default)
    config = voice.codec.config
    frame = FrameShape(
        seconds=1 / voice.frame_rate,
        levels=list(voice.layout.levels),
        codebook_sizes=[config.codebook_size] * voice.layout.num_levels,
    )
    return [
        VoiceCard(
            id=name,
            name=name,
            model=model,
            language=voice.settings.text.language,
            default=number == 0,
            can_clone=voice.can_clone,
            has_pace=voice.is_parallel,
            sample_rate=voice.sample_rate,
            frame=frame,
        )
        for number, name in enumerate(names)
    ]


def limits_of(settings: ServerSettings) -> Limits:
    """What a client should know before it asks."""
    return Limits(
        characters=settings.max_characters,
        upload_bytes=settings.max_upload_bytes,
        reference_seconds=settings.max_reference_seconds,
    )
