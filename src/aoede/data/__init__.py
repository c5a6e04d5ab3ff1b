"""Sound files, manifests, codes and texts: what stands between recordings and training."""

from .audio import AudioError, AudioInfo, AudioReader, describe, load_audio
from .codefile import CodeFile
from .codes import CodedClip, CodesInfo, codes_info, load_codes
from .collate import LeftOut, SpeechExample, TokenBatches, speech_examples
from .corpus import (
    CorpusCheck,
    CorpusConfig,
    CorpusFolder,
    CorpusSummary,
    SourceInfo,
    TextDocument,
    check_corpus,
    load_corpus_config,
    prepare_corpus,
)
from .encode import PrepareSummary, prepare
from .filereport import FileReport
from .files import decode_file, encode_file, roundtrip_file
from .inspection import bundled_codec, describe_path, open_codec
from .manifest import Clip, load_manifest
from .mixture import MixtureConfig, MixtureData, MixturePlan, load_mixture_config, make_plan
from .packed import PackedDataset, PackedFolder, pack
from .phonemes import PhonemeError, espeak_voices, phonemise
from .pieces import decode_blocks, encode_blocks
from .saving import audio_writer, save_audio
from .stored import StoredAudio
from .text import NothingToSay, Prompt, TextFrontEnd, find_events
from .variants import at_speeds

__all__ = [
    "AudioError",
    "AudioInfo",
    "AudioReader",
    "Clip",
    "CodeFile",
    "CodedClip",
    "CodesInfo",
    "CorpusCheck",
    "CorpusConfig",
    "CorpusFolder",
    "CorpusSummary",
    "FileReport",
    "LeftOut",
    "MixtureConfig",
    "MixtureData",
    "MixturePlan",
    "NothingToSay",
    "PackedDataset",
    "PackedFolder",
    "PhonemeError",
    "PrepareSummary",
    "Prompt",
    "SourceInfo",
    "SpeechExample",
    "StoredAudio",
    "TextDocument",
    "TextFrontEnd",
    "TokenBatches",
    "at_speeds",
    "audio_writer",
    "bundled_codec",
    "check_corpus",
    "codes_info",
    "decode_blocks",
    "decode_file",
    "describe",
    "describe_path",
    "encode_blocks",
    "encode_file",
    "espeak_voices",
    "find_events",
    "load_audio",
    "load_codes",
    "load_corpus_config",
    "load_manifest",
    "load_mixture_config",
    "make_plan",
    "open_codec",
    "pack",
    "phonemise",
    "prepare",
    "prepare_corpus",
    "roundtrip_file",
    "save_audio",
    "speech_examples",
]
