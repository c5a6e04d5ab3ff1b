"""Decoding: our engine against Hugging Face `generate` with a mask processor, same weights, same ids, in one run.

    python benchmarks/decoding.py [--batches 1 8] [--frames 24] [--threads 2] [--compile] [--device cpu] [--clock wall]

A Gemma-3-270m-like model (18 layers of width 640, 262,144 text ids) with random weights gets the ids of a 24 kHz SNAC,
274,434 rows in all. The peer is the same text model, whole head, with `SlotLogitsProcessor` in `generate`. Both decode
the same frames greedily (the closing marker barred for both, so that they do the same work), and the ids must be equal.
The floor is what must be read at every step (backbone, the rows of one range, keys and values) at the memory bandwidth
of this machine, measured in the same run. Milliseconds are medians over the rounds, which take turns; `--clock cpu`
counts the process's CPU time instead, for a machine that others use too (take one thread then).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from aoede.generation import Engine, Request, Sampling
from aoede.models import CodecCausalLM, extend
from aoede.tokens import CodecVocabulary, FrameLayout

GREEDY = Sampling(temperature=0)
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def make_models(text_rows: int, layers: int, device: str) -> tuple[CodecCausalLM, Gemma3ForCausalLM]:
    """Ours, and the plain text model that shares its weights."""
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=text_rows,
        hidden_size=640,
        intermediate_size=2048,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=256,
        sliding_window=512,
        max_position_embeddings=32768,
        initializer_range=0.05,
    )
    vocabulary = CodecVocabulary.extend(text_rows, FrameLayout("CMMFFFF"), (4096,) * 3)
    ours = extend(Gemma3ForCausalLM(config).eval(), vocabulary).eval().to(device)
    with torch.device("meta"):
        peer = Gemma3ForCausalLM(ours.config.text_config)
    peer.model, peer.lm_head = ours.model, ours.lm_head
    peer.config.vocab_size = peer.vocab_size = vocabulary.size
    return ours, peer.eval()


def ours_decodes(
    engine: Engine, prompts: Sequence[Sequence[int]], frames: int, now: Callable[[], float]
) -> tuple[list[list[int]], list[float]]:
    """Codec ids of every row, and the seconds of every step after the first (which the prompt's reading belongs to)."""
    found: list[list[int]] = [[] for _ in prompts]
    times = []
    vocabulary = engine.model.vocabulary
    requests = [Request(ids=prompt, max_frames=frames, min_frames=frames) for prompt in prompts]
    with engine.open(len(prompts), GREEDY) as session:
        session.join_all(requests)
        for _ in range(frames * vocabulary.num_slots):
            start = now()
            steps = session.step()
            times.append(now() - start)
            for step in steps:
                found[step.row] += vocabulary.ids_from_frames(step.frame[None, None])[0].tolist()
    return found, times[1:]


class Clock:
    """A stopping criterion that never stops and notes the time: seconds of every step of `generate` after the first."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now, self.times = now, []
        self.last: float | None = None

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        now = self.now()
        if self.last is not None:
            self.times.append(now - self.last)
        self.last = now
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


class NoEnd:
    """Bars the closing marker, as `min_frames` does on our side."""

    def __init__(self, close_id: int) -> None:
        self.close_id = close_id

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores[:, self.close_id] = -torch.inf
        return scores


def peer_decodes(
    peer: Gemma3ForCausalLM,
    ours: CodecCausalLM,
    prompts: Sequence[Sequence[int]],
    frames: int,
    now: Callable[[], float],
) -> tuple[list[list[int]], list[float]]:
    """The same through `generate`."""
    vocabulary, clock = ours.vocabulary, Clock(now)
    ids = torch.tensor([[*prompt, vocabulary.open_id] for prompt in prompts], device=ours.device)
    out = peer.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=frames * vocabulary.num_slots,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
        logits_processor=[ours.router.logits_processor(), NoEnd(vocabulary.close_id)],
        stopping_criteria=[clock],
    )
    return out[:, ids.shape[1] :].tolist(), clock.times


def bandwidth(device: str, now: Callable[[], float]) -> float:
    """Bytes a second of one product of a matrix too large for any cache with a vector, best of 5."""
    matrix, vector = torch.ones(1 << 15, 1 << 13, device=device), torch.ones(1 << 13, device=device)
    best = float("inf")
    for _ in range(6):
        start = now()
        torch.mv(matrix, vector)
        if device != "cpu":
            torch.cuda.synchronize()
        best = min(best, now() - start)
    return matrix.nbytes / best


def bytes_a_step(model: CodecCausalLM, batch: int, length: float) -> tuple[float, float]:
    """What a step must read: ours (backbone, one range, keys and values), and with the whole head instead."""
    config = model.config.text_config
    embedding = model.model.get_input_embeddings().weight
    backbone = sum(p.nbytes for p in model.model.parameters()) - embedding.nbytes
    row = embedding.nbytes // embedding.shape[0]
    windows = [config.sliding_window if kind == "sliding_attention" else length for kind in config.layer_types]
    cells = sum(min(length, window) for window in windows) * config.num_key_value_heads * config.head_dim
    memory = 2 * batch * cells * embedding.element_size()
    levels = model.vocabulary.codebook_sizes
    ours = sum(levels[level] for level in model.vocabulary.layout.levels) / model.vocabulary.num_slots * row
    return backbone + ours + memory, backbone + embedding.nbytes + memory


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--frames", type=int, default=24, help="frames a row, 7 ids each")
    parser.add_argument("--prompt", type=int, default=32, help="text ids before the sound")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--text-rows", type=int, default=262144)
    parser.add_argument("--layers", type=int, default=18)
    parser.add_argument("--compile", action="store_true", help="a third way: our step compiled")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    args = parser.parse_args()

    now = CLOCKS[args.clock]
    torch.set_num_threads(args.threads)
    ours, peer = make_models(args.text_rows, args.layers, args.device)
    machine = "the CPU" if args.device == "cpu" else torch.cuda.get_device_name()
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    print(f"{ours.vocabulary.size:,} rows of {ours.config.hidden_size}, {args.layers} layers, float32, {versions}")
    speed = bandwidth(args.device, now)
    measured = f"{speed / 1e9:.1f} GB/s (product of a 1 GiB matrix)"
    print(f"on {machine}, {args.threads} threads, {args.clock} time, memory {measured}")
    engines = {"ours": Engine(ours)}
    if args.compile:
        engines["compiled"] = Engine(ours, backend="inductor")
    generator = torch.Generator().manual_seed(1)
    for batch in args.batches:
        prompts = torch.randint(5, 1000, (batch, args.prompt), generator=generator).tolist()
        times: dict[str, list[float]] = {name: [] for name in ("generate", *engines)}
        expected = None
        for turn in range(args.rounds + 1):
            for name in times:
                if name == "generate":
                    ids, taken = peer_decodes(peer, ours, prompts, args.frames, now)
                else:
                    ids, taken = ours_decodes(engines[name], prompts, args.frames, now)
                expected = expected or ids
                assert ids == expected, f"{name} and generate drew different ids at batch {batch}"
                times[name] += taken if turn else []  # the first turn warms up
        middle = {name: statistics.median(values) * 1e3 for name, values in times.items()}
        length = args.prompt + 1 + args.frames * ours.vocabulary.num_slots / 2
        floors = [count / speed * 1e3 for count in bytes_a_step(ours, batch, length)]
        print(f"batch {batch}: generate {middle['generate']:.1f} ms a step (floor {floors[1]:.1f})", end="")
        for name in engines:
            print(f"   {name} {middle[name]:.1f} ms, {middle['generate'] / middle[name]:.2f}x", end="")
        print(f"   floor {floors[0]:.1f} ms; ids equal over {args.frames} frames")


if __name__ == "__main__":
    main()
