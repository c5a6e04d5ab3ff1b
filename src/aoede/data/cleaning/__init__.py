"""Cleaning of recordings, step by step, and copies of them that differ on purpose."""

from .augment import AugmentConfig, Augmented, augment
from .config import CleanConfig, JudgeConfig, JudgesConfig
from .digest import sample_digest
from .judges import Comparison, Judges, LanguageJudge, OpinionJudge, TranscriptJudge, Unjudged, load_judges
from .recording import STEPS, Cleaned, Event, Piece, clean
from .report import ReportedSource, write_report
from .voice import VoiceConfig

__all__ = [
    "STEPS",
    "AugmentConfig",
    "Augmented",
    "CleanConfig",
    "Cleaned",
    "Comparison",
    "Event",
    "JudgeConfig",
    "Judges",
    "JudgesConfig",
    "LanguageJudge",
    "OpinionJudge",
    "Piece",
    "ReportedSource",
    "TranscriptJudge",
    "Unjudged",
    "VoiceConfig",
    "augment",
    "clean",
    "load_judges",
    "sample_digest",
    "write_report",
]
