"""Ids out of a model, audio out of ids: sampling, the decoding engine and its sessions, voices, dialogues, priors."""

from aoede.generation.engine import Engine
from aoede.generation.prior import Prior, TokenBudget
from aoede.generation.prior_stream import GeneratedAudio, PriorStream
from aoede.generation.requests import Request, Step, TextRequest
from aoede.generation.sampling import Sampling, draw
from aoede.generation.script import Turn, load_script
from aoede.generation.session import Session
from aoede.generation.sound import Audio, SpokenTurn
from aoede.generation.speech import Voice
from aoede.generation.stream import SpeechStream
from aoede.generation.voice_folder import VoiceSettings, bundled_voices, find_voice
from aoede.generation.voice_prompt import VoicePrompt

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
    "SpokenTurn",
    "Step",
    "TextRequest",
    "TokenBudget",
    "Turn",
    "Voice",
    "VoicePrompt",
    "VoiceSettings",
    "bundled_voices",
    "draw",
    "find_voice",
    "load_script",
]
