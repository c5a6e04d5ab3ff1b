"""Ids out of a model, audio out of ids: sampling, the decoding engine and its sessions, voices, priors."""

from aoede.generation.engine import Engine
from aoede.generation.prior import Prior, TokenBudget
from aoede.generation.prior_stream import GeneratedAudio, PriorStream
from aoede.generation.requests import Request, Step, TextRequest
from aoede.generation.sampling import Sampling, draw
from aoede.generation.session import Session
from aoede.generation.sound import Audio
from aoede.generation.speech import SpeechStream, Voice
from aoede.generation.voice_folder import VoiceSettings, bundled_voices, find_voice

__all__ = [
    "Audio",
    "Engine",
    "GeneratedAudio",
    "Prior",
    "PriorStream",
    "Request",
    "Sampling",
    "Session",
    "SpeechStream",
    "Step",
    "TextRequest",
    "TokenBudget",
    "Voice",
    "VoiceSettings",
    "bundled_voices",
    "draw",
    "find_voice",
]
