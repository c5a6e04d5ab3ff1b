"""Evaluation: how good a codec or a voice is, always beside the recordings. Imports data, codec and generation only."""

from aoede.evaluation.audio_command import CommandRecogniser, CommandSimilarity
from aoede.evaluation.codec import (
    Alignment,
    CodebookUse,
    LevelUse,
    align_si_sdr,
    mel_distance,
    si_sdr,
    stft_distance,
)
from aoede.evaluation.codec_report import CodecReport, CodecSheet
from aoede.evaluation.coder import Coder, open_coders
from aoede.evaluation.command import evaluate_codec_folders, evaluate_speech_folders
from aoede.evaluation.embeddings import (
    Embedding,
    EmbeddingsInfo,
    embed_sources,
    load_embeddings,
    save_embeddings,
)
from aoede.evaluation.faults import FaultLimits, find_faults
from aoede.evaluation.intelligibility import Edit, Recogniser, Score, WhisperRecogniser, align, error_rate, score
from aoede.evaluation.intervals import Interval
from aoede.evaluation.likeness import SpeakerComparison
from aoede.evaluation.listening import Listener, Utterance
from aoede.evaluation.probe import ProbeReport, probe_classes, probe_numbers
from aoede.evaluation.quality import CommandMeasure, DistillMos, Pesq, QualityMeasure, Stoi
from aoede.evaluation.report import Report
from aoede.evaluation.roundtrip import CodecEvaluationConfig, evaluate_codecs
from aoede.evaluation.speaker import ResemblyzerEncoder, SpeakerEncoder, similarity, speaker_centre
from aoede.evaluation.speech import SpeechEvaluationConfig, evaluate_speech
from aoede.evaluation.speech_report import SpeechReport
from aoede.evaluation.spelling import normalise
from aoede.evaluation.systems import CommandSystem, FolderSystem, SpeakingVoice, System, VoiceSystem, open_systems
from aoede.evaluation.texts import Passage, TextList, open_texts

__all__ = [
    "Alignment",
    "CodebookUse",
    "CodecEvaluationConfig",
    "CodecReport",
    "CodecSheet",
    "Coder",
    "CommandMeasure",
    "CommandRecogniser",
    "CommandSimilarity",
    "CommandSystem",
    "DistillMos",
    "Edit",
    "Embedding",
    "EmbeddingsInfo",
    "FaultLimits",
    "FolderSystem",
    "Interval",
    "LevelUse",
    "Listener",
    "Passage",
    "Pesq",
    "ProbeReport",
    "QualityMeasure",
    "Recogniser",
    "Report",
    "ResemblyzerEncoder",
    "Score",
    "SpeakerComparison",
    "SpeakerEncoder",
    "SpeakingVoice",
    "SpeechEvaluationConfig",
    "SpeechReport",
    "Stoi",
    "System",
    "TextList",
    "Utterance",
    "VoiceSystem",
    "WhisperRecogniser",
    "align",
    "align_si_sdr",
    "embed_sources",
    "error_rate",
    "evaluate_codec_folders",
    "evaluate_codecs",
    "evaluate_speech",
    "evaluate_speech_folders",
    "find_faults",
    "load_embeddings",
    "mel_distance",
    "normalise",
    "open_coders",
    "open_systems",
    "open_texts",
    "probe_classes",
    "probe_numbers",
    "save_embeddings",
    "score",
    "si_sdr",
    "similarity",
    "speaker_centre",
    "stft_distance",
]
