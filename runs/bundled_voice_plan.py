"""What training the bundled voice on one GPU would take: FLOPs, bytes and minutes a stage, counted before the run.

One real update of each objective is done here on the CPU with the real recipe, on noise and random codes, and every
tensor operation of it is counted: its FLOPs (PyTorch's own formulas, `torch.utils.flop_counter`), the bytes it reads
and writes, and that it was launched at all. An operation takes the longest of the three on the GPU; a step is their
sum. Transforms (FFT) and elementwise work have no FLOPs in those formulas: their bytes stand for them.

    python runs/bundled_voice_plan.py [--share 0.1] [--launch-us 10] [--hours 30] [--only codec]

Prints Markdown; docs/results/bundled_voice_plan.md holds its output. Knows nothing of any GPU but four numbers.
"""

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from aoede.codec import Snac, SnacConfig
from aoede.data import save_audio
from aoede.data.codes import REPORT, CodedClip, CodesInfo, write_shard
from aoede.training import load_recipe
from aoede.training.codec import CodecObjective, CodecRecipe
from aoede.training.speech import SpeechObjective, SpeechRecipe
from aoede.training.two_stage import TwoStageObjective, TwoStageRecipe

ROOT = Path(__file__).resolve().parents[1]
SENTENCES = (
    "This is your era, and thus it is your responsibility to see to it that your people receive justice.",
    "Of the various projects only one remains.",
    "Where have you been? We waited for an hour by the bridge.",
    "The package manager then asks which services should be restarted.",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """A GPU in four numbers."""

    flops: float = 798e12
    """Of a large bfloat16 product, measured on an H100; an H200 gave 769 to 798."""

    bandwidth: float = 3.0e12
    """Bytes a second, read and written, of a large copy, measured on an H100; an H200 gave 4.3e12."""

    share: float = 0.1
    """Of `flops` that products of this size reach: a few hundred channels do not fill 132 multiprocessors."""

    launch: float = 10e-6
    """Seconds that one operation takes the host (Python, dispatch, autograd, the launch itself)."""


class Count(TorchDispatchMode):
    """Sums over the operations inside: how many, their FLOPs, their bytes, and the seconds they would take."""

    def __init__(self, machine: Machine, scale: float) -> None:
        """Args: `scale`, how many times larger the real batch is than the one that is counted."""
        super().__init__()
        self.machine, self.scale = machine, scale
        self.operations, self.flops, self.bytes, self.seconds = 0, 0.0, 0.0, 0.0
        self.bound = {"host": 0.0, "products": 0.0, "memory": 0.0}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func.is_view or func.overloadpacket in (torch.ops.aten.detach, torch.ops.aten.empty):
            return out
        flops, size = 0.0, 0.0
        # What belongs to the weights alone (the optimiser, averages) does not grow with the batch.
        factor = self.scale if self.growing else 1.0
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            flops = factor * float(formula(*args, **kwargs, out_val=out))
        for leaf in tree_leaves((args, kwargs, out)):
            if isinstance(leaf, Tensor):
                size += factor * leaf.numel() * leaf.element_size()
        machine = self.machine
        times = {
            "host": machine.launch,
            "products": flops / (machine.flops * machine.share),
            "memory": size / machine.bandwidth,
        }
        longest = max(times, key=lambda name: times[name])
        self.bound[longest] += times[longest]
        self.seconds += times[longest]
        self.operations += 1
        self.flops += flops
        self.bytes += size
        return out

    growing = True
    """Whether the operations now belong to the batch."""


def count_step(objective: Any, step: int, machine: Machine, scale: float) -> Count:
    """Counts one update of an objective."""
    count = Count(machine, scale)

    def apart(method: Any) -> Any:
        def called(*args: Any, **kwargs: Any) -> Any:
            count.growing = False
            try:
                return method(*args, **kwargs)
            finally:
                count.growing = True

        return called

    for name in ("optimizer", "critics_optimizer"):
        if hasattr(objective, name):
            owner = getattr(objective, name)
            owner.step = apart(owner.step)
    average = getattr(objective, "average", None) or getattr(objective, "ema", None)
    if average is not None:
        average.update = apart(average.update)
    objective.train_step(step)  # once outside: lazily made state (moments, tables) is made
    with count, sdpa_kernel(SDPBackend.MATH):
        objective.train_step(step + 1)
    return count


def state_bytes(state: Any) -> int:
    """Bytes of all tensors of a checkpoint."""
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, Mapping):
        return sum(state_bytes(value) for value in state.values())
    if isinstance(state, list | tuple):
        return sum(state_bytes(value) for value in state)
    return 0


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def toy_audio(folder: Path, rate: int) -> Path:
    """Four recordings of noise."""
    generator = np.random.default_rng(0)
    with open(folder / "manifest.jsonl", "w", encoding="utf-8") as manifest:
        for number in range(4):
            samples = (0.05 * generator.standard_normal(3 * rate)).astype(np.float32)
            save_audio(folder / f"{number}.wav", samples, rate)
            split = "dev" if number == 3 else "train"
            line = {"audio": f"{number}.wav", "text": "noise", "speaker": "none", "language": "en", "split": split}
            manifest.write(json.dumps(line) + "\n")
    return folder / "manifest.jsonl"


def toy_codes(folder: Path, codec: Snac, speakers: tuple[str, ...], clips: int) -> Path:
    """Random codes of sentences, as long as they are when spoken at 14 letters a second."""
    generator = np.random.default_rng(0)
    folder.mkdir()
    config = codec.config
    made = []
    for number in range(clips):
        text = SENTENCES[number % len(SENTENCES)] + f" {number}"
        frames = round(len(text) / 14.0 * config.frame_rate)
        codes = [
            generator.integers(config.codebook_size, size=frames * each).astype(np.uint16)
            for each in config.codes_per_frame
        ]
        made.append(
            CodedClip(
                id=str(number), text=text, speaker=speakers[number % len(speakers)], language="en", source="plan",
                split="dev" if number % 20 == 19 else "train", seconds=frames / config.frame_rate, codes=codes,
            )
        )  # fmt: skip
    write_shard(folder / "codes-00000.parquet", made, CodesInfo.of(codec), {})
    (folder / REPORT).write_text("{}")
    return folder


def rows_of_codec(machine: Machine, work: Path) -> list[dict[str, Any]]:
    manifest = toy_audio(work, 24000)
    recipe = load_recipe(
        ROOT / "recipes/codec_bundled_gpu.yaml", CodecRecipe, [f"data.train=[{{manifest: {manifest}}}]", "device=cpu"]
    )
    assert recipe.adversarial is not None
    whole, part = recipe.data.batch, 2
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, batch=part))
    objective = CodecObjective(recipe, work / "codec")
    # Reviving codes (every 20 steps) is left out: the counted step is none of those.
    alone = count_step(objective, 1000, machine, whole / part)
    objective = CodecObjective(recipe, work / "codec")
    played = count_step(objective, recipe.adversarial.start + 1, machine, whole / part)
    heard = whole * recipe.data.segment_seconds / 3600
    sizes = {"parameters": parameters(objective.codec), "checkpoint": state_bytes(objective.state_dict())}
    sizes["export"] = 4 * sizes["parameters"]
    start, steps = recipe.adversarial.start, recipe.loop.steps
    sizes |= {"heard": f"{start * heard:.0f} h"}
    later = {"heard": f"{(steps - start) * heard:.0f} h", "critics": parameters(objective.critics)}
    return [
        {"stage": "codec, spectra alone", "steps": start, "count": alone} | sizes,
        {"stage": "codec, with critics", "steps": steps - start, "count": played} | sizes | later,
    ]


def row_of_model(machine: Machine, work: Path, word: str) -> dict[str, Any]:
    codec = Snac(SnacConfig.small_24khz())
    folder = work / "any-codec"
    codec.save_pretrained(folder)
    kind: Any = {"speech": SpeechRecipe, "two_stage": TwoStageRecipe}[word]
    recipe = load_recipe(ROOT / f"recipes/{word}_bundled_gpu.yaml", kind, ["device=cpu"])
    shards = toy_codes(work / f"{word}-codes", codec, recipe.voice.speakers, 240)
    name = "tokens_per_batch" if word == "speech" else "frames_per_batch"
    whole = getattr(recipe, name)
    part = whole // 16
    data = dataclasses.replace(recipe.data, shards=(str(shards),), codec=str(folder))
    recipe = dataclasses.replace(recipe, data=data, **{name: part})
    objective = (SpeechObjective if word == "speech" else TwoStageObjective)(recipe, work / word)
    count = count_step(objective, 200, machine, whole / part)
    size = parameters(objective.model)
    ids = recipe.loop.steps * whole
    heard = ids / (1.25 if word == "speech" else 2.0)  # the rest of a row is text and padding
    rate = codec.config.codes_per_second if word == "speech" else codec.config.frame_rate
    return {
        "stage": "flat language model" if word == "speech" else "two-stage language model",
        "steps": recipe.loop.steps, "count": count, "parameters": size,
        "checkpoint": state_bytes(objective.state_dict()), "export": 2 * size,
        "heard": f"{heard / rate / 3600:,.0f} h",
    }  # fmt: skip


def encode_flops(machine: Machine) -> float:
    """FLOPs of encoding one second."""
    codec = Snac(SnacConfig.small_24khz()).eval()
    with torch.no_grad(), Count(machine, 1.0) as count:
        codec.encode(torch.randn(1, 1, 96000))
    return count.flops / 4.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=0.1, help="of the peak that products reach (default: 0.1)")
    parser.add_argument("--launch-us", type=float, default=10.0, help="microseconds an operation (default: 10)")
    parser.add_argument("--hours", type=float, default=30.0, help="of speech to encode, before speeds (default: 30)")
    parser.add_argument("--only", choices=("codec", "speech", "two_stage"), help="count one stage only")
    args = parser.parse_args()
    if not 0.0 < args.share <= 1.0 or args.launch_us <= 0.0 or args.hours <= 0.0:
        parser.error("--share must lie in (0, 1], --launch-us and --hours above 0")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    machine = Machine(share=args.share, launch=args.launch_us * 1e-6)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        if args.only in (None, "codec"):
            rows += rows_of_codec(machine, work)
        for word in ("speech", "two_stage"):
            if args.only in (None, word):
                rows.append(row_of_model(machine, work, word))
    print("| stage | steps | operations | TFLOP | GB moved | ms a step | bound by | minutes | heard |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        count: Count = row["count"]
        told = ", ".join(f"{what} {100 * t / count.seconds:.0f}%" for what, t in count.bound.items() if t)
        step = f"{count.operations:,} | {count.flops / 1e12:.2f} | {count.bytes / 1e9:.0f} | {1000 * count.seconds:.0f}"
        minutes = row["steps"] * count.seconds / 60
        print(f"| {row['stage']} | {row['steps']:,} | {step} | {told} | {minutes:.1f} | {row['heard']} |")
    total = sum(row["steps"] * row["count"].flops for row in rows)
    minutes = sum(row["steps"] * row["count"].seconds for row in rows) / 60
    print(f"\nAll updates: {total / 1e15:.1f} PFLOP, {minutes:.1f} minutes.\n")
    print("| | parameters | critics | checkpoint, MB | finished, MB |")
    print("|---|---|---|---|---|")
    for row in rows:
        critics = f"{row['critics']:,}" if "critics" in row else "-"
        sizes = f"{row['checkpoint'] / 1e6:.0f} | {row['export'] / 1e6:.1f}"
        print(f"| {row['stage']} | {row['parameters']:,} | {critics} | {sizes} |")
    if args.only in (None, "codec"):
        each = encode_flops(machine)
        whole = 3 * 3600 * args.hours * each
        told = f"{args.hours:g} h at three speeds {whole / 1e15:.2f} PFLOP"
        print(f"\nEncoding: {each / 1e9:.2f} GFLOP a second of audio; {told}.")


if __name__ == "__main__":
    main()
