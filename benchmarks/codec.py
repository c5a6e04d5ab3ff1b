"""Prepared codecs against the PyPI package `snac`, in one run, on shared random weights.

    python benchmarks/codec.py [--presets snac_24khz snac_32khz snac_44khz] [--backends eager openvino ...]
                               [--batches 1 8] [--seconds 1 10] [--threads 1 2] [--repeats 3] [--dtype bfloat16]
                               [--keep-freed-memory] [--markdown OUT.md]

For encode and decode prints the real-time factor of the package and of each backend (seconds of computing a second of
audio, best of the repeats; a batch counts all its audio), the ratio, the largest difference from the package, and the
share of the matrix rate that this machine reaches in one large float32 product with as many threads. The package adds
random noise; the backends draw it by counter, which is timed too. Differences are taken with the noise off in both.
Everything runs as a user's own script would run it; --keep-freed-memory gives the whole process, the package included,
the setting of malloc that Aoede's command line makes.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from aoede.cli.allocator import keep_freed_memory
from aoede.codec import Snac, SnacConfig
from aoede.codec.inference import prepare
from aoede.codec.runtimes import missing

PRESETS = ("snac_24khz", "snac_32khz", "snac_44khz")


def public_package(codec: Snac) -> nn.Module:
    """The package's model with the same weights."""
    import snac

    config = codec.config
    model = snac.SNAC(
        sampling_rate=config.sample_rate,
        encoder_dim=config.encoder_dim,
        encoder_rates=list(config.encoder_rates),
        decoder_dim=config.decoder_dim,
        decoder_rates=list(config.decoder_rates),
        attn_window_size=config.attn_window_size,
        codebook_size=config.codebook_size,
        codebook_dim=config.codebook_dim,
        vq_strides=list(config.vq_strides),
        noise=config.noise,
        depthwise=config.depthwise,
    )
    model.load_state_dict(codec.state_dict())
    return model.eval()


def best(work: Callable[[], object], repeats: int, patience: float = 20.0) -> float:
    """Seconds of the fastest call, after one that warms up; no further repeats once they took `patience` seconds."""
    work()
    times: list[float] = []
    while len(times) < repeats and (not times or sum(times) + times[-1] < patience):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def matrix_rate(repeats: int = 5) -> float:
    """Floating-point operations a second of one large float32 product."""
    size = 2048
    left, right = torch.randn(size, size), torch.randn(size, size)
    return 2 * size**3 / best(lambda: left @ right, repeats)


def operations(config: SnacConfig) -> tuple[float, float]:
    """Floating-point operations of encoding and decoding a second of audio, convolutions only (counted, not timed)."""

    def units(dim: int, rate: float) -> float:
        wide = 7 * dim if config.depthwise else 7 * dim * dim
        return 3 * rate * (wide + dim * dim)

    rate, dim, encode = float(config.sample_rate), config.encoder_dim, 7.0 * config.encoder_dim * config.sample_rate
    for stride in config.encoder_rates:
        encode += units(dim, rate)
        rate /= stride
        encode += rate * 2 * stride * dim * 2 * dim
        dim *= 2
    encode += rate * 7 * dim * (1 if config.depthwise else dim)
    latents, dim = dim, config.decoder_dim
    decode = rate * ((7 * latents + latents * dim) if config.depthwise else 7 * latents * dim)
    for stride in config.decoder_rates:
        rate *= stride
        decode += rate * 2 * dim * (dim // 2)
        dim //= 2
        decode += units(dim, rate) + (rate * dim * dim if config.noise else 0.0)
    return 2 * encode, 2 * (decode + 7 * dim * rate)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=["snac_24khz"])
    parser.add_argument("--backends", nargs="+", default=["eager", "openvino", "onnx"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1])
    parser.add_argument("--seconds", nargs="+", type=float, default=[1.0, 10.0])
    parser.add_argument("--threads", nargs="+", type=int, default=[torch.get_num_threads()])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of our backends")
    parser.add_argument("--keep-freed-memory", action="store_true", help="for the package too")
    parser.add_argument("--markdown", type=Path, help="also write the table here")
    args = parser.parse_args()
    if args.keep_freed_memory:
        keep_freed_memory()
    backends = [name for name in args.backends if missing(name) is None]
    for name in set(args.backends) - set(backends):
        print(f"{name} left out: {missing(name)}", file=sys.stderr)
    packages = ("torch", "snac", "onnxruntime", "openvino")
    lines = [", ".join(f"{name} {version(name)}" for name in packages), ""]
    names = " | ".join(f"{name}, ratio" for name in backends)
    lines.append(f"| preset | verb | batch | seconds | threads | package RTF | {names} | best: share of matrix rate |")
    lines.append("|---" * (7 + len(backends)) + "|")
    print("\n".join(lines), flush=True)
    for preset, threads in itertools.product(args.presets, args.threads):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        codec = Snac(getattr(SnacConfig, preset)()).eval()
        peer, rate = public_package(codec), matrix_rate()
        prepared = {name: prepare(codec, name, dtype=getattr(torch, args.dtype)) for name in backends}
        for batch, seconds in itertools.product(args.batches, args.seconds):
            for row in measured(codec, peer, prepared, rate, batch, seconds, args.repeats):
                line = f"| {preset} | {row[0]} | {batch} | {seconds:g} | {threads} | {row[1]} |"
                print(line, flush=True)
                lines.append(line)
    if args.markdown is not None:
        args.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


def measured(
    codec: Snac, peer: nn.Module, prepared: dict[str, object], rate: float, batch: int, seconds: float, repeats: int
) -> list[tuple[str, str]]:
    """The rows of one size: verb, and the cells from the package's RTF on."""
    config = codec.config
    audio = torch.randn(batch, 1, round(seconds * config.sample_rate)) * 0.1
    total = batch * seconds
    codes = codec.encode(audio)
    silent = codec.decode(codes, noise="off")
    rows = []
    with torch.inference_mode():
        theirs = [level.clone() for level in peer.encode(audio)]
        for verb, count in zip(("encode", "decode"), operations(config), strict=True):
            if verb == "encode":
                base = best(lambda: peer.encode(audio), repeats)
            else:
                base = best(lambda: peer.decode(codes), repeats)
            cells, fastest = [], base
            for ours in prepared.values():
                if verb == "encode":
                    taken = best(lambda ours=ours: ours.encode(audio), repeats)
                    wrong = sum(int((a != b).sum()) for a, b in zip(ours.encode(audio), theirs, strict=True))
                    note = f"{wrong} codes differ" if wrong else "codes equal"
                else:
                    taken = best(lambda ours=ours: ours.decode(codes), repeats)
                    note = f"{difference(ours.decode(codes, noise='off'), silent):.0e}"
                fastest = min(fastest, taken)
                cells.append(f"{taken / total:.4f}, {base / taken:.2f}x ({note})")
            share = count * total / fastest / rate
            rows.append((verb, f"{base / total:.4f} | {' | '.join(cells)} | {share:.0%} of {rate / 1e9:.0f} GFLOP/s"))
    return rows


def difference(one: Tensor, other: Tensor) -> float:
    """The largest, sample by sample."""
    return float((one - other).abs().max())


if __name__ == "__main__":
    main()
