"""A toy corpus for the tests of the prior: two sources of text, two of speech, two languages - packed and mixed.

Every character of a speech's text is one frame whose codes follow from it, and from the language: a tiny model learns
that in a few steps.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aoede.codec import Snac
from aoede.data.codes import REPORT, CodedClip, CodesInfo, write_shard
from aoede.data.mixture import MixtureConfig, MixturePlan, make_plan
from aoede.data.mixture.config import DevConfig, PhaseConfig
from aoede.data.packed import TextTokenizer, pack
from aoede.training.optim import OptimConfig
from aoede.training.prior import PriorLoopConfig, PriorRecipe
from aoede.training.prior_model import PriorModelConfig
from aoede.training.schedule import ScheduleConfig
from aoede.training.scratch import ScratchConfig

WORDS = {"cs": ["dub", "jilm", "jasan", "tis", "lípa"], "en": ["oak", "elm", "ash", "fir", "yew"]}
ROW_TOKENS = 96


@dataclass(frozen=True)
class Source:
    """What packing wants to know of a source."""

    name: str
    kind: str
    language: str
    folder: Path
    licence: str = "CC0-1.0"


def toy_source(folder: Path, codec: Snac, name: str, kind: str, language: str, count: int, seed: int) -> Source:
    generator = np.random.default_rng(seed)
    (folder / name).mkdir(parents=True)
    # A number in each: the same text twice would be held out together.
    texts = [f"{number} " + " ".join(generator.choice(WORDS[language], 2)) for number in range(count)]
    ids = [f"{name}-{number}" for number in range(count)]
    if kind == "text":
        columns = {
            "id": ids,
            "text": texts,
            "language": [language] * count,
            "source": [name] * count,
            "split": [""] * count,
        }
        pq.write_table(pa.table(columns), folder / name / "text-00000.parquet")
    else:
        clips = []
        for number, text in enumerate(texts):
            letters = np.array([(ord(c) + (31 if language == "cs" else 0)) % 61 for c in text])
            codes = [np.repeat(letters, n) + np.tile(np.arange(n), len(text)) % 3 for n in (1, 2, 4)]
            clips.append(
                CodedClip(
                    id=ids[number], text=text, speaker="ann", language=language, source=name, split="",
                    seconds=len(text) * 16 / 800, codes=[level.astype(np.uint16) for level in codes],
                )
            )  # fmt: skip
        write_shard(folder / name / "codes-00000.parquet", clips, CodesInfo.of(codec), {})
    (folder / name / REPORT).write_text("{}")
    return Source(name, kind, language, folder / name)


def toy_plan(folder: Path, codec: Path) -> Path:
    """Pack four sources and mix two phases; returns the plan's folder."""
    network = Snac.from_pretrained(codec)
    sources = [
        toy_source(folder / "corpus", network, "stories", "text", "en", 120, 0),
        toy_source(folder / "corpus", network, "listy", "text", "cs", 120, 1),
        toy_source(folder / "corpus", network, "radio", "bulk-noisy", "cs", 90, 2),
        toy_source(folder / "corpus", network, "studio", "studio", "en", 90, 3),
    ]
    pack(sources, TextTokenizer.open("bytes"), "extend", folder / "packed", max_tokens=72)
    config = MixtureConfig(
        packed=str(folder / "packed"),
        row_tokens=ROW_TOKENS,
        phases=(
            PhaseConfig(name="wide", tokens=6000, shares={"kind:text": 0.2, "radio": 0.5, "studio": 0.3}),
            PhaseConfig(name="clean", tokens=3000, shares={"stories": 0.2, "studio": 0.8}),
        ),
        dev=DevConfig(tokens=300),
    )
    make_plan(config).save(folder / "plan")
    return folder / "plan"


def toy_recipe(plan: Path, steps: int = 6, **changes) -> PriorRecipe:
    given = {
        "plan": str(plan),
        "model": PriorModelConfig(
            scratch=ScratchConfig(hidden=32, layers=2, heads=2, intermediate=64, max_positions=128)
        ),
        "rows_per_step": 4,
        # Adam divides by the size of a gradient: with a large addend, rounding in gradients near 0 stays rounding.
        "optim": OptimConfig(lr=1e-2, eps=1e-2),
        "schedule": ScheduleConfig(kind="constant", warmup_steps=2),
        "loop": PriorLoopConfig(steps=steps, eval_every=3, checkpoint_every=3, keep=5, log_every=1, tensorboard=False),
        "device": "cpu",
    }
    return PriorRecipe(**(given | changes))


def rows_of(plan: Path) -> int:
    return MixturePlan.load(plan).num_rows
