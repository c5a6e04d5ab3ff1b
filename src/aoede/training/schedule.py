"""Learning-rate schedules: pure functions of the step.

Owns the factor that every learning rate is multiplied by at a step. Knows nothing of optimisers; because the factor
depends on the step alone, nothing has to be saved for a resumed run to go on exactly.
"""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Linear warm-up, then one of four shapes."""

    kind: Literal["constant", "cosine", "wsd", "exponential"] = "cosine"
    """`wsd`: constant, then down over the last `decay_steps`. `exponential`: times `gamma` every step."""

    warmup_steps: int = 0
    """Steps over which the factor rises linearly to 1; the first step already moves."""

    final: float = 0.1
    """Factor at the last step of `cosine` and `wsd`."""

    decay_steps: int | None = None
    """Length of the decay of `wsd`; None is a fifth of all steps."""

    decay_shape: Literal["linear", "cosine", "exponential", "minus_sqrt"] = "linear"
    """How `wsd` falls, from 1 to `final`, by Megatron's names: `minus_sqrt` is 1 - sqrt(progress) (Hägele et al. 2024),
    `exponential` is 2 * 0.5 ** progress - 1."""

    gamma: float = 0.999994
    """Of `exponential`, a step (the SNAC paper's value)."""

    def __post_init__(self) -> None:
        if self.warmup_steps < 0:
            raise ValueError(f"warmup_steps is {self.warmup_steps}, but must be 0 or more")
        if not 0.0 <= self.final <= 1.0:
            raise ValueError(f"final is {self.final}, but must lie in [0, 1]: it is a factor of the learning rate")
        if self.decay_steps is not None and self.decay_steps < 1:
            raise ValueError(f"decay_steps is {self.decay_steps}, but must be 1 or more")
        if not 0.0 < self.gamma <= 1.0:
            raise ValueError(f"gamma is {self.gamma}, but must lie in (0, 1]")


def factor(config: ScheduleConfig, step: int, total_steps: int) -> float:
    """The factor of the learning rate for the update of `step` (0 is the first) in a run of `total_steps`."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.kind == "constant":
        return 1.0
    if config.kind == "exponential":
        return config.gamma ** (step - config.warmup_steps)
    start = config.warmup_steps
    if config.kind == "wsd":
        decay = config.decay_steps if config.decay_steps is not None else max(1, total_steps // 5)
        start = max(start, total_steps - decay)
    # Progress is 0 at `start` and 1 at the last step of the run, so the last update really uses `final`.
    progress = min(1.0, max(0.0, (step - start) / max(1, total_steps - 1 - start)))
    shape = "cosine" if config.kind == "cosine" else config.decay_shape
    if shape == "cosine":
        remaining = 0.5 * (1.0 + math.cos(math.pi * progress))
    elif shape == "minus_sqrt":
        remaining = 1.0 - math.sqrt(progress)
    elif shape == "exponential":
        remaining = 2.0 * 0.5**progress - 1.0
    else:
        remaining = 1.0 - progress
    return config.final + (1.0 - config.final) * remaining
