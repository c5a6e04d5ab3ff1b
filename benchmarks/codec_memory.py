"""Peak memory of a prepared codec over the length of a recording, each length in a process of its own.

    python benchmarks/codec_memory.py [--preset snac_24khz] [--backend openvino] [--minutes 1 10 60]

Prints, a length: the peak of resident memory less that of the same process after one second of audio, the size of the
recording itself (input and output are whole tensors here), what is left of the first when the second is taken away, and
the real-time factors. The last line compares with one uncut pass over a minute.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import torch

from aoede.codec import Snac, SnacConfig
from aoede.codec.inference import prepare


def peak() -> float:
    """Most resident memory so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(preset: str, backend: str, minutes: float, uncut: bool) -> None:
    """One length: print its row."""
    torch.manual_seed(0)
    codec = Snac(getattr(SnacConfig, preset)()).eval()
    rate = codec.config.sample_rate
    prepared = prepare(codec, backend, **({"piece_seconds": 60 * minutes} if uncut else {}))
    short = torch.randn(1, 1, rate) * 0.1
    prepared.decode(prepared.encode(short))
    before, length = peak(), round(60 * minutes * rate)
    audio = torch.randn(1, 1, length) * 0.1
    start = time.perf_counter()
    codes = prepared.encode(audio)
    encoded = time.perf_counter()
    out = prepared.decode(codes, length)
    decoded = time.perf_counter()
    grown, own = peak() - before, 2 * 4 * length / 1e6
    assert out.shape == audio.shape
    words = "in one piece" if uncut else ""
    print(
        f"{minutes:g} min {words:12} peak +{grown:,.0f} MB, of which the recording {own:,.0f} MB, "
        f"rest {grown - own:,.0f} MB; "
        f"encode {(encoded - start) / 60 / minutes:.3f}, decode {(decoded - encoded) / 60 / minutes:.3f}",
        flush=True,
    )


def main() -> None:
    """Start one process a length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="snac_24khz")
    parser.add_argument("--backend", default="openvino")
    parser.add_argument("--minutes", nargs="+", type=float, default=[1, 10, 60])
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--uncut", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        measure(args.preset, args.backend, args.one, args.uncut)
        return
    print(f"{args.preset}, {args.backend}, {torch.get_num_threads()} threads", flush=True)
    own = [sys.executable, __file__, "--preset", args.preset, "--backend", args.backend]
    for minutes in args.minutes:
        subprocess.run([*own, "--one", str(minutes)], check=True)
    subprocess.run([*own, "--one", "1", "--uncut"], check=True)


if __name__ == "__main__":
    main()
