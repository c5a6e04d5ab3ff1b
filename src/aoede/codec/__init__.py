"""Waveform <-> codes: SNAC, and other codecs behind its interface. Needs torch only; knows nothing of token ids."""

from aoede.codec.config import SnacConfig
from aoede.codec.interface import Codec
from aoede.codec.loading import load_codec
from aoede.codec.model import Snac
from aoede.codec.noise import NoiseMode, NoiseSource
from aoede.codec.streaming import StreamDecoder, StreamEncoder
from aoede.codec.weights import fingerprint

__all__ = [
    "Codec",
    "NoiseMode",
    "NoiseSource",
    "Snac",
    "SnacConfig",
    "StreamDecoder",
    "StreamEncoder",
    "fingerprint",
    "load_codec",
]
