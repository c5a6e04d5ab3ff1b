"""Mixtures: which documents a model sees in which phase, drawn once, checked, and read row by row."""

from .batches import MixtureData
from .check import PlanCheck, check_plan
from .config import DevConfig, MixtureConfig, PhaseConfig, load_mixture_config
from .plan import MixturePlan, PlanPhase, PlanSource
from .planning import make_plan
from .report import describe_plan, plot_plan

__all__ = [
    "DevConfig",
    "MixtureConfig",
    "MixtureData",
    "MixturePlan",
    "PhaseConfig",
    "PlanCheck",
    "PlanPhase",
    "PlanSource",
    "check_plan",
    "describe_plan",
    "load_mixture_config",
    "make_plan",
    "plot_plan",
]
