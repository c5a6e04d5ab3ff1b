"""A tiny recipe for two stages over the toy speech of `toy_speech.py`."""

from pathlib import Path

from aoede.data.text import TextFrontEnd
from aoede.training import LoopConfig, OptimConfig, ScheduleConfig
from aoede.training.scratch import ScratchConfig
from aoede.training.speech_data import SpeechDataConfig
from aoede.training.two_stage import TwoStageRecipe
from aoede.training.two_stage_model import TwoStageModelConfig, TwoStageScratchConfig


def toy_recipe(shards: Path, codec: Path, steps: int = 12, **changes) -> TwoStageRecipe:
    scratch = TwoStageScratchConfig(
        backbone=ScratchConfig(hidden=32, layers=2, heads=2, intermediate=64),
        depth_decoder=ScratchConfig(hidden=24, layers=1, heads=2, intermediate=32),
    )
    given = {
        "data": SpeechDataConfig(shards=(str(shards),), codec=str(codec), text=TextFrontEnd()),
        "model": TwoStageModelConfig(scratch=scratch),
        "loop": LoopConfig(steps=steps, eval_every=6, checkpoint_every=5, log_every=3, tensorboard=False),
        "optim": OptimConfig(lr=1e-2),
        "schedule": ScheduleConfig(kind="constant", warmup_steps=5),
        "frames_per_batch": 400,
    }
    return TwoStageRecipe(**(given | changes))
