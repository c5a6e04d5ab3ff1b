"""What the cleaning's defaults do to recordings, how right its measurements are, and how fast it is.

    python benchmarks/cleaning.py [--manifest MANIFEST] [--clips 12] [--split train]

First table: recordings of every source of the manifest, evenly spaced, through `CleanConfig()`: what was measured, what
was dropped. Second: the same recordings made worse on purpose (noise of known power, clipping, silence around them),
where the right answer is known. Third: speed, and loudness against the package pyloudnorm where it is installed, in
the same run. Without a manifest the clips of the tests are taken.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aoede.data import Clip, load_audio, load_manifest
from aoede.data.cleaning import CleanConfig, Cleaned, Event, Judges, clean
from aoede.data.cleaning.frames import measure_frames
from aoede.data.cleaning.loudness import integrated_loudness
from aoede.data.cleaning.voice import VoiceConfig, voiced_spans

RATE = 24000
CLIPS = Path(__file__).parents[1] / "tests" / "data" / "clips" / "manifest.jsonl"
MEASURED = ("loudness", "noise", "clipping", "trim")
Sound = tuple[Clip, NDArray[np.float32], int]


def event(cleaned: Cleaned, step: str) -> Event | None:
    """The first event of a step."""
    return next((found for found in cleaned.events if found.step == step), None)


def low_middle_high(values: Sequence[float], form: str) -> str:
    """5 %, 50 % and 95 % point."""
    return " / ".join(format(float(v), form) for v in np.percentile(values, (5, 50, 95))) if values else "-"


def by_source(sounds: Sequence[Sound]) -> None:
    """Print what the defaults measure and drop, source by source."""
    print("| source | clips | LUFS | noise, dB | clipped, per mille | trimmed, s | kept of time | dropped by |")
    print("|---|---|---|---|---|---|---|---|")
    groups: dict[str, list[Sound]] = defaultdict(list)
    for sound in sounds:
        groups[sound[0].source].append(sound)
    for source, members in groups.items():
        values: dict[str, list[float]] = defaultdict(list)
        dropped: dict[str, int] = defaultdict(int)
        kept, whole = 0.0, 0.0
        for clip, samples, rate in members:
            cleaned = clean(samples, rate, clip, CleanConfig(), Judges(), RATE)
            for step in MEASURED:
                found = event(cleaned, step)
                if found is not None and found.value is not None:
                    values[step].append(found.value)
            kept += sum(piece.seconds for piece in cleaned.pieces)
            whole += len(samples) / rate
            if not cleaned.pieces:
                dropped[cleaned.reason.partition(":")[0]] += 1
        told = ", ".join(f"{step} {count}" for step, count in sorted(dropped.items())) or "nothing"
        noise = low_middle_high(values["noise"], ".0f") + f" ({len(members) - len(values['noise'])} without pauses)"
        clipped = low_middle_high([1000 * value for value in values["clipping"]], ".2f")
        loudness, trimmed = low_middle_high(values["loudness"], ".1f"), low_middle_high(values["trim"], ".2f")
        cells = (source, len(members), loudness, noise, clipped, trimmed, f"{kept / whole:.1%}", told)
        print("| " + " | ".join(map(str, cells)) + " |")


def made_worse(sounds: Sequence[Sound]) -> None:
    """Print how far the measurements are from what was done to the recordings."""
    random = np.random.default_rng(0)
    print("| what was done | what was found | dropped by the defaults |")
    print("|---|---|---|")
    for wanted in (5, 10, 15, 20, 30):
        errors, lost = [], 0
        for clip, samples, rate in sounds:
            padded, power = with_silence(samples, rate), voice_power(samples, rate)
            hiss = random.standard_normal(len(padded)) * np.sqrt(power * 10 ** (-wanted / 10))
            noisy = np.clip(padded + hiss, -1, 1).astype(np.float32)
            cleaned = clean(noisy, rate, clip, replace(CleanConfig(), clipping=None), Judges(), rate)
            found = event(cleaned, "noise")
            if found is not None and found.value is not None:
                errors.append(found.value - wanted)
            lost += not cleaned.pieces
        print(f"| white noise, {wanted} dB | error {low_middle_high(errors, '+.1f')} dB | {lost} of {len(sounds)} |")
    for times in (1.5, 3.0):
        shares, lost = [], 0
        for clip, samples, rate in sounds:
            cut = np.clip(samples * np.float32(times / np.abs(samples).max()), -1, 1) * np.float32(0.8)
            cleaned = clean(cut, rate, clip, CleanConfig(), Judges(), rate)
            found = event(cleaned, "clipping")
            if found is not None and found.value is not None:
                shares.append(1000 * found.value)
            lost += not cleaned.pieces
        print(
            f"| peak {times:g} times too high, clipped, then 2 dB down | {low_middle_high(shares, '.2f')} per mille | "
            f"{lost} of {len(sounds)} |"
        )
    starts, ends = [], []
    for clip, samples, rate in sounds:
        bare = clean(samples, rate, clip, CleanConfig(), Judges(), rate)
        wide = clean(with_silence(samples, rate, 2.0), rate, clip, CleanConfig(), Judges(), rate)
        if bare.pieces and wide.pieces and len(bare.pieces) == len(wide.pieces):
            starts.append(wide.pieces[0].start_seconds - 2 - bare.pieces[0].start_seconds)
            last = [made.pieces[-1].start_seconds + made.pieces[-1].seconds for made in (bare, wide)]
            ends.append(last[1] - 2 - last[0])
    print(
        f"| 2 s of faint noise before and after | begin moved by {low_middle_high(starts, '+.2f')} s, end by "
        f"{low_middle_high(ends, '+.2f')} s | |"
    )


def with_silence(samples: NDArray[np.float32], rate: int, seconds: float = 0.7) -> NDArray[np.float32]:
    """The recording with next to nothing (-90 dB of full scale) before and after it."""
    faint = np.random.default_rng(1).standard_normal((2, round(seconds * rate))) * 10 ** (-90 / 20)
    return np.concatenate([faint[0], samples, faint[1]]).astype(np.float32)


def voice_power(samples: NDArray[np.float32], rate: int) -> float:
    """Mean square of what is found to be voice."""
    frames = measure_frames(samples, rate)
    spans = voiced_spans(frames, len(samples), VoiceConfig())
    return float(np.concatenate([frames.power[a // frames.hop : b // frames.hop + 1] for a, b in spans]).mean())


def speed(sounds: Sequence[Sound]) -> None:
    """Print seconds of sound a second of CPU."""
    seconds = sum(len(samples) / rate for _, samples, rate in sounds)
    started = time.process_time()
    for clip, samples, rate in sounds:
        clean(samples, rate, clip, CleanConfig(), Judges(), RATE)
    print(f"all default steps: {seconds / (time.process_time() - started):,.0f} times faster than it plays")
    started = time.process_time()
    ours = [integrated_loudness(samples, rate) for _, samples, rate in sounds]
    mine = time.process_time() - started
    print(f"loudness alone: {seconds / mine:,.0f} times", end="")
    try:
        import pyloudnorm
    except ImportError:
        print("; pyloudnorm is not installed: nothing to compare with")
        return
    started, theirs = time.process_time(), []
    for _, samples, rate in sounds:
        long_enough = len(samples) >= 0.4 * rate
        meter = pyloudnorm.Meter(rate, filter_class="DeMan")
        theirs.append(meter.integrated_loudness(samples.astype(np.float64)) if long_enough else None)
    other = time.process_time() - started
    both = [abs(a - b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    print(
        f"; pyloudnorm {version('pyloudnorm')}: {seconds / other:,.0f} times, ratio {other / mine:.2f}; "
        f"{len(both)} recordings differ by {np.median(both):.3f} LU, {max(both):.2f} at most"
    )


def main() -> None:
    """Read, then print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", default=str(CLIPS))
    parser.add_argument("--clips", type=int, default=12, help="recordings of each source")
    parser.add_argument("--split", action="append", help="only these splits (may be repeated)")
    args = parser.parse_args()
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in load_manifest(args.manifest, splits=args.split):
        groups[clip.source].append(clip)
    chosen = [
        members[place]
        for _, members in sorted(groups.items())
        for place in sorted({round(x) for x in np.linspace(0, len(members) - 1, min(args.clips, len(members)))})
    ]
    sounds = [(clip, *load_audio(clip.audio_source())) for clip in chosen]
    print(f"{len(sounds)} recordings of {len(groups)} sources, {sum(len(s) / r for _, s, r in sounds):.0f} s\n")
    print("5 / 50 / 95 % points\n")
    by_source(sounds)
    print()
    made_worse(sounds)
    print()
    speed(sounds)


if __name__ == "__main__":
    main()
