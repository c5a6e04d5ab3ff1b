"""Requests and answers of the speech API, as pydantic models: OpenAI's fields, and ours.

Owns names, types and fixed limits, which the OpenAPI page shows. Limits that a server sets (characters, seconds) and
what a voice refuses are checked where they are known.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from aoede.generation.speech import FASTEST, SLOWEST
from aoede.serving.encoders import FormatName

MOST_SEED = 2**53 - 1
"""The largest integer that JSON readers agree on."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class VoiceName(BaseModel):
    """A voice as an object, which OpenAI's clients may send in place of its name."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Name


class SpeechOptions(BaseModel):
    """What may be said of a speech besides whose voice it has."""

    model: Name = Field(description="One of GET /v1/models.")
    input: str = Field(min_length=1, description="What is to be said.")
    response_format: FormatName = Field("mp3", description="pcm is 24 kHz, 16 bit little endian, mono.")
    speed: Finite = Field(1.0, ge=SLOWEST, le=FASTEST, description="Above 1 is faster; not every voice can.")
    stream_format: Literal["audio", "sse"] | None = Field(
        None, description="audio: the body is sent while it is made; sse: as events that carry it in base64."
    )
    stream: bool | None = Field(
        None,
        description="true as stream_format audio; false: at once, with the length in the headers. Not given: pcm, mp3 "
        "and opus are sent while they are made, wav and flac at once, since their headers hold the length.",
    )
    include: list[Literal["frames", "timings"]] = Field(
        default_factory=list, max_length=2, description="With sse: what events carry besides audio."
    )
    instructions: str | None = Field(None, description="Refused unless empty: no voice here follows instructions.")
    seed: int | None = Field(None, ge=0, le=MOST_SEED, description="Equal seeds give equal samples; else one is drawn.")
    temperature: Finite | None = Field(None, ge=0, le=10, description="0 takes the likeliest; else the voice's own.")
    top_p: Finite | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=1, le=2**31 - 1)
    guidance: Finite | None = Field(None, ge=0, le=10, description="How much the text counts (flat voices); 1 is none.")

    @field_validator("instructions")
    @classmethod
    def _nobody_follows(cls, value: str | None) -> str | None:
        if value:
            raise ValueError("no voice here follows instructions: leave them out")
        return value


class SpeechRequest(SpeechOptions):
    """POST /v1/audio/speech as JSON."""

    model_config = ConfigDict(extra="forbid", strict=True)

    voice: Name | VoiceName | None = Field(None, description="One of GET /v1/audio/voices; not given: the default one.")

    @property
    def speaker(self) -> str | None:
        """The name of the voice."""
        return self.voice.id if isinstance(self.voice, VoiceName) else self.voice


class CloneForm(SpeechOptions):
    """POST /v1/audio/speech as a form, which carries a recording to speak like."""

    model_config = ConfigDict(extra="forbid")

    voice: Name | None = Field(None, description="Whose name the recording goes by; not given: the model's own choice.")
    reference: UploadFile = Field(description="A recording to speak like: wav, flac, ogg, mp3 or opus.")
    reference_text: str = Field(min_length=1, description="What is said in it, word for word.")

    @property
    def speaker(self) -> str | None:
        """The name of the voice."""
        return self.voice


class ModelCard(BaseModel):
    """A model of GET /v1/models."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(BaseModel):
    """GET /v1/models."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class FrameShape(BaseModel):
    """What a frame of codes is, for those who look at them."""

    seconds: float
    levels: list[int] = Field(description="Whose code each slot is, by level from 0.")
    codebook_sizes: list[int] = Field(description="Entries a level.")


class VoiceCard(BaseModel):
    """A voice of GET /v1/audio/voices."""

    id: str = Field(description="What a request's `voice` says.")
    name: str
    model: str = Field(description="What a request's `model` says.")
    language: str
    default: bool = Field(description="Whether it speaks where a request names none.")
    can_clone: bool = Field(description="Whether its model speaks like a recording.")
    has_pace: bool = Field(description="Whether `speed` may differ from 1.")
    sample_rate: int
    frame: FrameShape


class Limits(BaseModel):
    """What this server allows."""

    characters: int
    upload_bytes: int
    reference_seconds: float


class VoiceList(BaseModel):
    """GET /v1/audio/voices."""

    voices: list[VoiceCard]
    limits: Limits


class Health(BaseModel):
    """GET /health."""

    status: Literal["ok", "draining"]
    version: str
    draining: bool
    models: dict[str, Any] = Field(description="A model: rows that speak, requests that wait.")
