"""Streaming with state against the four-frame sliding window, in one run.

    python benchmarks/streaming.py [--codec DIR | --preset snac_24khz] [--audio FILE] [--seconds 6] [--plot PNG]

The sliding window is what players of such models do: at every frame decode the last four frames anew, play the second
of them. Both run the same folded weights. Prints, a frame: the compute of each way and the ratio, when the first sound
comes, and the error against one decode of everything (noise off), also for streams with less lookahead. A preset has
random weights: its times count, its errors do not. Without --audio the codes are those of a synthetic voice.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aoede.codec import Snac, SnacConfig, StreamDecoder
from aoede.codec.folding import FoldedDecoder
from aoede.codec.receptive import latents_for
from aoede.codec.stages import silence

WINDOW = 4
PLAYED = 1


def synthetic_voice(rate: int, seconds: float) -> Tensor:
    """[1, 1, T]: glottal harmonics on a gliding pitch, under formants and syllables."""
    t = torch.arange(int(rate * seconds)) / rate
    pitch = 120 + 30 * torch.sin(2 * math.pi * 0.7 * t) + 8 * torch.sin(2 * math.pi * 5 * t)
    phase = torch.cumsum(2 * math.pi * pitch / rate, 0)
    sound = torch.zeros_like(t)
    for harmonic in range(1, 30):
        frequency = harmonic * pitch
        formants = sum(torch.exp(-(((frequency - f) / w) ** 2)) for f, w in ((600, 200), (1300, 300), (2600, 500)))
        sound += (formants + 0.05) / harmonic**0.5 * torch.sin(harmonic * phase)
    sound *= (0.5 + 0.5 * torch.sin(2 * math.pi * 3 * t)).square()
    return (0.3 * sound / sound.abs().max())[None, None]


def pieces(codes: list[Tensor], counts: tuple[int, ...], first: int, frames: int) -> list[Tensor]:
    """So many frames of codes."""
    return [level[:, first * n : (first + frames) * n] for level, n in zip(codes, counts, strict=True)]


def streamed(codec: Snac, folded: FoldedDecoder, codes: list[Tensor], lookahead: int | None) -> tuple[Tensor, float]:
    """Frame by frame: the audio, and the median seconds of a push."""
    counts, times, out = codec.config.codes_per_frame, [], []
    stream = StreamDecoder(codec, noise="off", lookahead=lookahead, folded=folded)
    for frame in range(codes[0].shape[1] // counts[0]):
        start = time.perf_counter()
        out.append(stream.push(pieces(codes, counts, frame, 1)))
        times.append(time.perf_counter() - start)
    out.append(stream.flush())
    return torch.cat(out, dim=-1)[0, 0], statistics.median(times[len(times) // 4 :])


def windowed(codec: Snac, folded: FoldedDecoder, codes: list[Tensor]) -> tuple[Tensor, float]:
    """Four frames decoded at every frame, the second played: that audio, and the median seconds of a step."""
    config, times, out = codec.config, [], []
    for frame in range(codes[0].shape[1] // config.codes_per_frame[0] - WINDOW + 1):
        start = time.perf_counter()
        latents = folded.quantizer.decode(pieces(codes, config.codes_per_frame, frame, WINDOW))
        audio = folded.chain(latents, silence)
        out.append(audio[..., PLAYED * config.frame_length : (PLAYED + 1) * config.frame_length])
        times.append(time.perf_counter() - start)
    return torch.cat(out, dim=-1)[0, 0], statistics.median(times)


def decibels(error: Tensor, signal: Tensor) -> float:
    """Energy of the error against that of the signal."""
    return 10 * math.log10(float(error.square().mean() / signal.square().mean()) + 1e-20)


@torch.inference_mode()
def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", help="folder of a codec (default: the bundled one)")
    parser.add_argument("--preset", help="random weights of a published size instead, snac_24khz say")
    parser.add_argument("--audio", help="a recording to encode (default: a synthetic voice)")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--plot", type=Path, help="where to draw the errors")
    args = parser.parse_args()

    torch.manual_seed(0)
    if args.preset:
        codec = Snac(getattr(SnacConfig, args.preset)()).eval()
    else:
        import aoede

        bundled = Path(aoede.__file__).parent / "voices" / "aoede-small" / "codec"
        codec = Snac.from_pretrained(args.codec or bundled).eval()
    config = codec.config
    if config.attn_window_size is not None:
        raise SystemExit("a sliding window of four frames is for codecs without attention: choose a 24 kHz one")
    if args.audio:
        from aoede.data.audio import load_audio

        samples, _ = load_audio(args.audio, sample_rate=config.sample_rate)
        audio = torch.from_numpy(samples)[None, None, : int(args.seconds * config.sample_rate)]
    else:
        audio = synthetic_voice(config.sample_rate, args.seconds)
    codes, folded = codec.encode(audio), FoldedDecoder(codec)
    whole = codec.decode(codes, noise="off")[0, 0]
    frame = config.frame_length
    frame_ms = 1000 * frame / config.sample_rate
    print(
        f"{config.sample_rate / 1000:g} kHz, frames of {frame_ms:.1f} ms, {codes[0].shape[1]} frames; "
        f"torch {version('torch')}, {torch.get_num_threads()} threads"
    )

    exact, push = streamed(codec, folded, codes, None)
    window, step = windowed(codec, folded, codes)
    target = whole[PLAYED * frame : PLAYED * frame + len(window)]
    slots = sum(config.codes_per_frame)
    needed = -(-latents_for(config, 1) // config.vq_strides[0])
    print(f"{'':26} {'a frame':>9} {'x real time':>12} {'first sound':>26} {'error':>9}")

    def row(name: str, seconds: float, frames: int, error: float) -> None:
        first = f"{frames} frames, {frames * slots} ids + {1e3 * seconds:.0f} ms"
        print(f"{name:26} {1e3 * seconds:6.1f} ms {frame_ms / 1e3 / seconds:11.1f}x {first:>26} {error:6.1f} dB")

    row("four-frame window", step, WINDOW, decibels(window - target, target))
    row("stream, exact", push, needed, decibels(exact - whole, whole))
    curve = []
    for share in (0.75, 0.5, 0.25, 0.0):
        held = int(share * StreamDecoder(codec, folded=folded).tail)
        guessed, seconds = streamed(codec, folded, codes, held)
        curve.append((1000 * held / config.sample_rate, decibels(guessed - whole, whole)))
        row(f"stream, lookahead {held}", seconds, held // frame + 1, curve[-1][1])
    print(f"the window computes {step / push:.2f}x as long; it never plays the first frame nor the last two")
    seams = seam_errors(window - target, target, frame)
    print(f"its error is {seams.max():.1f} dB where a frame begins or ends, {seams.min():.1f} dB where it is least")
    if args.plot:
        draw(args.plot, seams, seam_errors(exact - whole, whole, frame), curve, config.sample_rate)
        print(f"drawn into {args.plot}")


def seam_errors(error: Tensor, signal: Tensor, frame: int) -> np.ndarray:
    """Decibels at each place of a frame, [frame]."""
    count = len(error) // frame * frame
    energy = error[:count].view(-1, frame).square().mean(0) / signal.square().mean()
    return (10 * torch.log10(energy + 1e-20)).numpy()


def draw(path: Path, window: np.ndarray, exact: np.ndarray, curve: list[tuple[float, float]], rate: int) -> None:
    """Errors over the place in a frame, and over lookahead."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    place = 1000 * np.arange(len(window)) / rate
    left.plot(place, window, label="four-frame window", linewidth=0.8)
    left.plot(place, exact, label="stream with state", linewidth=0.8)
    left.set(xlabel="place in a frame, ms", ylabel="error against one decode, dB", title="Seams of every frame")
    left.legend()
    right.plot(*zip(*curve, strict=True), marker="o", color="tab:green")
    right.set(xlabel="lookahead, ms", ylabel="error, dB", title="Less lookahead, guessed endings")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
