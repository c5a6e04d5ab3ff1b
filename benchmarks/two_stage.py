"""Two-stage models: ours against `CsmForConditionalGeneration` of transformers, same weights and codes, in one run.

    python benchmarks/two_stage.py [--size small] [--slots 32] [--batches 1 8] [--frames 16] [--threads 2] [--compile]
        [--sample] [--ratios 1 4 16] [--device cpu] [--dtype float32] [--clock wall]

Generation: a model with random weights is written in transformers' layout and read by transformers; both then draw the
same frames greedily after the same text, which must be equal (in float32, and without --sample, which draws at
temperature 0.9 of the 50 best instead). Milliseconds are medians over the frames of all rounds but the first, which
take turns; reading the prompt is not counted. RTF: seconds of computing a second of sound, at 12.5 frames a second, all
rows at once; frames a second are those of all rows. --compile adds ours and transformers' compiled (static caches).

Training: seconds a step (forward and backward, then with AdamW) and the peak of memory over what weights, gradients and
AdamW's moments take, with the depth decoder on one of so many frames; transformers gets the same frames, by its labels.
Each in a process of its own. --clock cpu counts the process's CPU time, for a machine that others use too (take one
thread then).
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import CompileConfig, CsmForConditionalGeneration

from aoede.models import TwoStageConfig, TwoStageModel, amortized_frames

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
FRAME_RATE = 12.5
TEXT_ROWS = 1000
SIZES = {
    # width, layers, heads, key heads, inner width: of the backbone, of the depth decoder
    "tiny": ((128, 2, 4, 2, 256), (64, 1, 2, 1, 128)),
    "small": ((512, 6, 8, 2, 1536), (256, 2, 4, 2, 768)),
    "medium": ((1024, 12, 16, 4, 4096), (512, 4, 8, 2, 2048)),
    "csm-1b": ((2048, 16, 32, 8, 8192), (1024, 4, 8, 2, 8192)),
}
CODEC = {
    "model_type": "mimi", "num_filters": 2, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8, "vector_quantization_hidden_dimension": 8,
    "codebook_dim": 8, "upsample_groups": 16,
}  # fmt: skip


def make_model(size: str, slots: int, device: str, dtype: torch.dtype) -> TwoStageModel:
    """Ours, of random weights; all 2,048 rows of a slot are legal, as transformers has it."""
    torch.manual_seed(0)
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size")
    backbone, depth = (
        {"model_type": "llama", "max_position_embeddings": 2048, **dict(zip(names, sizes, strict=True))}
        for sizes in SIZES[size]
    )
    config = TwoStageConfig(
        backbone=backbone, depth_decoder=depth, slot_sizes=[2048] * slots, text_vocab_size=TEXT_ROWS,
        initializer_range=0.05, csm={"codec_config": CODEC},
    )  # fmt: skip
    return TwoStageModel(config).eval().to(device, dtype)


def as_peer(ours: TwoStageModel) -> CsmForConditionalGeneration:
    """transformers' model with the same weights, by way of a folder."""
    with tempfile.TemporaryDirectory() as folder:
        ours.save_pretrained(folder, layout="transformers")
        return CsmForConditionalGeneration.from_pretrained(folder, dtype=ours.dtype).eval().to(ours.device)


def wait(device: str) -> None:
    """Until the device has done what it was given."""
    if device != "cpu":
        torch.cuda.synchronize()


class Clock:
    """Notes the time of every frame: a streamer of transformers, and an `on_frame` of ours."""

    def __init__(self, now: Callable[[], float], device: str) -> None:
        self.now, self.device, self.times = now, device, []

    def put(self, codes: torch.Tensor) -> None:
        wait(self.device)
        self.times.append(self.now())

    def end(self) -> None:
        """Nothing is kept back."""

    def __call__(self, row: int, codes: torch.Tensor) -> None:
        if row == 0:
            self.put(codes)

    def gaps(self, frames: int) -> list[float]:
        """Seconds of every frame after the first."""
        last = self.times[-frames:]
        return [after - before for before, after in itertools.pairwise(last)]


Draw = Callable[[torch.Tensor, Clock, int], torch.Tensor]


def our_way(model: TwoStageModel, is_compiled: bool, is_sampled: bool) -> Draw:
    """Frames [B, F, S] by our `generate`."""
    settings: dict[str, Any] = {"temperature": 0.9, "top_k": 50, "seeds": 0} if is_sampled else {"do_sample": False}

    def draw(text: torch.Tensor, clock: Clock, frames: int) -> torch.Tensor:
        ids = torch.full((*text.shape, model.config.num_slots + 1), -1, device=text.device)
        ids[..., -1] = text
        found = model.generate(
            ids, max_new_frames=frames, stop_on_all_zeros=False, on_frame=clock, compile_depth=is_compiled, **settings
        )
        return torch.stack(found)

    return draw


def their_way(model: CsmForConditionalGeneration, is_compiled: bool, is_sampled: bool) -> Draw:
    """The same by transformers' `generate`."""
    settings: dict[str, Any] = {"do_sample": False}
    if is_sampled:
        settings = {"do_sample": True, "temperature": 0.9, "top_k": 50}
    if is_compiled:
        compiling = CompileConfig(mode="default")
        compiling._compile_all_devices = True
        settings |= {"cache_implementation": "static", "compile_config": compiling}
    settings |= {f"depth_decoder_{name}": value for name, value in settings.items()}

    def draw(text: torch.Tensor, clock: Clock, frames: int) -> torch.Tensor:
        return model.generate(
            text, attention_mask=torch.ones_like(text), max_new_tokens=frames, streamer=clock, **settings
        )

    return draw


def generation(args: argparse.Namespace) -> None:
    """Print a line a batch: milliseconds a frame of every way, and what it means."""
    ours = make_model(args.size, args.slots, args.device, getattr(torch, args.dtype))
    peer = as_peer(ours)
    ways = {"transformers": their_way(peer, False, args.sample), "ours": our_way(ours, False, args.sample)}
    if args.compile:
        ways["transformers compiled"] = their_way(peer, True, args.sample)
        ways["ours compiled"] = our_way(ours, True, args.sample)
    generator = torch.Generator().manual_seed(1)
    alone: dict[str, float] = {}
    is_checked = not args.sample and args.dtype == "float32"
    for batch in args.batches:
        text = torch.randint(0, TEXT_ROWS, (batch, args.prompt), generator=generator).to(args.device)
        times: dict[str, list[float]] = {name: [] for name in ways}
        expected = None
        for turn in range(args.rounds + 1):
            for name, draw in ways.items():
                clock = Clock(CLOCKS[args.clock], args.device)
                with torch.no_grad():
                    codes = draw(text, clock, args.frames)
                expected = codes if expected is None else expected
                if is_checked:
                    assert codes.equal(expected), f"{name} and transformers drew different codes at batch {batch}"
                times[name] += clock.gaps(args.frames) if turn else []  # the first turn warms up
        middle = {name: statistics.median(values) for name, values in times.items()}
        print(f"batch {batch}" + (f"; codes equal over {args.frames} frames" if is_checked else ""))
        for name, taken in middle.items():
            rate = batch / taken
            alone.setdefault(name, rate / batch if batch == 1 else 0.0)
            more = f"   {rate / alone[name]:.1f}x the frames of one row" if batch > 1 and alone[name] else ""
            print(
                f"  {name:22}{taken * 1e3:9.2f} ms a frame{rate:9.1f} frames/s   RTF {taken * FRAME_RATE:.3f}   "
                f"{middle['transformers'] / taken:5.2f}x{more}",
                flush=True,
            )


# -- training ---------------------------------------------------------------------------------------------------------


def memory(device: str, name: str) -> float:
    """MB of this process: resident now ("VmRSS") or at most since the last `reset` ("VmHWM")."""
    if device != "cpu":
        return (torch.cuda.memory_allocated() if name == "VmRSS" else torch.cuda.max_memory_allocated()) / 1e6
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name)) * 1024 / 1e6


def reset(device: str) -> None:
    """Count the peak from here."""
    if device == "cpu":
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    else:
        torch.cuda.reset_peak_memory_stats()


def training_batch(slots: int, rows: int, frames: int, ratio: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Frames [B, F, S + 1] (a quarter text), labels [B, F, S], and the frames that were drawn [B, F]."""
    generator = torch.Generator().manual_seed(3)
    ids, start = torch.full((rows, frames, slots + 1), -1), frames // 4
    ids[:, :start, slots] = torch.randint(0, TEXT_ROWS, (rows, start), generator=generator)
    ids[:, start:, :slots] = torch.randint(1, 2048, (rows, frames - start, slots), generator=generator)
    labels = ids[..., :slots].masked_fill(ids[..., :slots] < 0, -100)
    drawn = torch.stack([amortized_frames(ratio, 0, 0, row, labels[row]) for row in range(rows)])
    return ids, labels, drawn


def train(args: argparse.Namespace) -> None:
    """One way at one ratio, in this process: print seconds a step and the peak as JSON."""
    way, ratio, now = args.one, args.ratios[0], CLOCKS[args.clock]
    ours = make_model(args.size, args.slots, args.device, torch.float32)
    model: Any = (ours if way == "ours" else as_peer(ours)).train()
    del ours
    # Foreach steps copy all gradients: peaks of the optimizer would hide those of the stages.
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, foreach=False)

    def step(rows: int, frames: int) -> tuple[float, float]:
        ids, labels, drawn = (x.to(args.device) for x in training_batch(args.slots, rows, frames, ratio))
        start, at = now(), frames // 4
        if way == "ours":
            loss = model(ids, labels=labels, amortization=drawn, return_logits=False).loss
        else:
            labels[..., 1:] = labels[..., 1:].masked_fill(~drawn[..., None], -100)
            text = model.embed_text_tokens(ids[:, :at, -1])
            embeds = torch.cat([text, model.backbone_model.embed_tokens(ids[:, at:, :-1])], 1)
            loss = model(inputs_embeds=embeds, labels=labels, use_cache=False).loss
        loss.backward()
        wait(args.device)
        computed = now()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        wait(args.device)
        return computed - start, now() - start

    step(1, 8)  # makes gradients and moments
    before = memory(args.device, "VmRSS")
    reset(args.device)
    times = [step(args.rows, args.train_frames) for _ in range(args.rounds + 1)][1:]
    computed, whole = (statistics.median(column) for column in zip(*times, strict=True))
    print(json.dumps({"computed": computed, "whole": whole, "peak": memory(args.device, "VmHWM") - before}))


def training(args: argparse.Namespace) -> None:
    """Start a process for each way and ratio; print a line each."""
    print(f"training, {args.rows} rows of {args.train_frames} frames, a quarter of them text, float32")
    same = ["size", "slots", "rows", "train_frames", "threads", "device", "clock", "rounds"]
    options = [word for name in same for word in (f"--{name.replace('_', '-')}", str(getattr(args, name)))]
    found: dict[tuple[str, int], dict[str, float]] = {}
    for ratio in args.ratios:
        for way in ("transformers", "ours"):
            own = [sys.executable, __file__, "--one", way, "--ratios", str(ratio), *options]
            output = subprocess.run(own, check=True, stdout=subprocess.PIPE, text=True).stdout
            found[way, ratio] = json.loads(output.splitlines()[-1])
        first, theirs, mine = found["ours", args.ratios[0]], found["transformers", ratio], found["ours", ratio]
        print(f"  ratio {ratio}")
        for way, taken in (("transformers", theirs), ("ours", mine)):
            print(
                f"    {way:20}{taken['computed']:8.3f} s forward and backward, {taken['whole']:.3f} s with AdamW, peak "
                f"+{taken['peak']:,.0f} MB"
            )
        names = ("computed", "whole", "peak")
        shares = [f"{theirs[name] / mine[name]:.2f}x" for name in names]
        rest = [f"{mine[name] / first[name]:.2f}" for name in names]
        print(f"    ratios {', '.join(shares)}; of ours at ratio {args.ratios[0]}: {', '.join(rest)}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8], help="none: no generation")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--prompt", type=int, default=24, help="text frames of the prompt")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--sample", action="store_true")
    parser.add_argument("--ratios", type=int, nargs="*", default=[1, 4, 16], help="none: no training")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--train-frames", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", help="of generation")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--one", choices=("ours", "transformers"), help=argparse.SUPPRESS)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if args.one:
        train(args)
        return
    machine = "the CPU" if args.device == "cpu" else torch.cuda.get_device_name()
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    drawn = "sampled" if args.sample else "greedy"
    print(
        f"{args.size}, {args.slots} slots of 2,048, {args.dtype}, {drawn}, {versions}; on {machine}, {args.threads} "
        f"threads, {args.clock} time"
    )
    if args.batches:
        generation(args)
    if args.ratios:
        training(args)


if __name__ == "__main__":
    main()
