"""Two-stage models: a backbone over frames, a depth decoder inside each frame."""

from aoede.models.two_stage.amortization import amortized_frames
from aoede.models.two_stage.config import TwoStageConfig
from aoede.models.two_stage.decoding import TwoStageGeneration
from aoede.models.two_stage.losses import TwoStageOutput
from aoede.models.two_stage.model import TwoStageModel
from aoede.models.two_stage.stream import FrameStep, FrameStream

__all__ = [
    "FrameStep",
    "FrameStream",
    "TwoStageConfig",
    "TwoStageGeneration",
    "TwoStageModel",
    "TwoStageOutput",
    "amortized_frames",
]
