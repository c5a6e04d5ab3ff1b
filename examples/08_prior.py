"""A prior from a corpus of two sources: recordings and text, packed, mixed in two phases, trained, put to use.

The recordings are toys (every letter is a tone, the codec beeps) and the model is tiny, but each step is the one that a
large run takes; `aoede prepare`, `pack`, `mix`, `train prior` and `generate` are the same as commands.

Run: python examples/08_prior.py
"""

from pathlib import Path

from toy_recordings import SENTENCE, WORDS, make_codec, make_recordings

from aoede.data import CorpusFolder, load_corpus_config, prepare_corpus
from aoede.data.mixture import MixturePlan, check_plan, describe_plan, load_mixture_config, make_plan
from aoede.data.packed import TextTokenizer, pack
from aoede.generation import Prior
from aoede.training import OptimConfig, ScheduleConfig, read_log
from aoede.training.prior import PriorLoopConfig, PriorRecipe, train
from aoede.training.prior_model import PriorModelConfig
from aoede.training.scratch import ScratchConfig

# Two sources: the toy recordings, and a text of the same words.
folder = Path("toy_prior")
make_recordings(folder / "recordings")
make_codec().save_pretrained(folder / "codec")
lines = [" ".join(WORDS[(start + step) % 7] for step in range(8)) for start in range(7)]
(folder / "scales.txt").write_text("\n".join(f"{line} {number}" for number, line in enumerate(lines * 40)))
(folder / "corpus.yaml").write_text("""
format: 1
codec: codec
clean: off
sources:
  - {name: flute, kind: studio, licence: CC0-1.0, path: recordings/manifest.jsonl}
  - {name: scales, kind: text, language: en, licence: CC0-1.0, path: scales.txt}
""")
print(prepare_corpus(load_corpus_config(folder / "corpus.yaml"), folder / "corpus", workers=0))

# Documents of ids, in Megatron's format, and the plan of what is read when.
sources = CorpusFolder.open(folder / "corpus").sources
print(pack(sources, TextTokenizer.open("bytes"), "extend", folder / "packed", max_tokens=256))
(folder / "mixture.yaml").write_text("""
packed: packed
row_tokens: 256
dev: {tokens: 200}
phases:
  - {name: words, tokens: 3000, shares: {"kind:text": 0.8, flute: 0.2}}
  - {name: tones, tokens: 2000, shares: {"kind:text": 0.3, flute: 0.7}}
""")
plan = make_plan(load_mixture_config(folder / "mixture.yaml"))
plan.save(folder / "plan")
print(describe_plan(plan))
print(check_plan(MixturePlan.load(folder / "plan")))

# Train through both phases: as many steps as the plan has rows for.
recipe = PriorRecipe(
    plan=str(folder / "plan"),
    model=PriorModelConfig(scratch=ScratchConfig(hidden=64, layers=2, heads=2, intermediate=128)),
    rows_per_step=1,
    optim=OptimConfig(lr=4e-3),
    schedule=ScheduleConfig(kind="wsd", warmup_steps=3, decay_shape="minus_sqrt"),
    loop=PriorLoopConfig(steps=0, eval_every=10, checkpoint_every=10, tensorboard=False),
)
export = train(recipe, folder / "run")
for row in read_log(folder / "run" / "metrics.jsonl"):
    if row["phase"] == "eval":
        print(f"step {row['step']:3d}  text {row['loss/text']:.2f}  C {row['loss/C']:.2f}  F {row['loss/F']:.2f}")

# Text stays text, sound is always a legal stream.
prior = Prior.from_pretrained(export, codec=str(folder / "codec"))
print(repr(prior.text(SENTENCE, max_tokens=12, seed=0)))
audio = prior.audio(1.0, seed=0)
audio.save("prior.wav")
print(f"written prior.wav, {len(audio.samples) / audio.sample_rate:.2f} s of sound from nothing")
