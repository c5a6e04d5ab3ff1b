"""Rows: what a decoding step costs when rows share its products exactly, against an ordinary session, in one run.

    python benchmarks/rows.py [--voice V] [--rows 1 2 4 8] [--steps 98] [--rounds 5] [--threads 1] [--clock cpu]

Both decode the same requests of a voice with the same weights. In an ordinary session a row is rounded differently for
every number of rows beside it; in the other its bits are those it has alone, which is asserted: its ids among others
must be its ids alone. Rows stand in different slots, as in a server. The codec's cost for the same sound is printed
beside it. Milliseconds are medians over rounds, which take turns; `--clock cpu` counts the thread's CPU time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

import torch

from aoede.generation import Request, Session, Voice

CLOCKS = {"wall": time.perf_counter, "cpu": time.thread_time}
TEXT = "The quick brown fox jumps over the lazy dog."


def requests(voice: Voice, rows: int, frames: int) -> list[Request]:
    """So many of the same length, with seeds of their own."""
    ids = voice.reader.ids(TEXT, voice.default_speaker, [])
    return [Request(ids=ids, seed=seed, max_frames=frames, min_frames=frames) for seed in range(rows)]


def decode(
    session: Session, asked: list[Request], steps: int, now: Callable[[], float]
) -> tuple[dict[int, list[list[int]]], float, float]:
    """Frames of each row; seconds of reading a prompt, and of a step once all have joined (medians)."""
    found: dict[int, list[list[int]]] = {row: [] for row in range(len(asked))}
    prompts, times = [], []

    def step() -> None:
        for told in session.step():
            if told.frame is not None:
                found[told.row].append(told.frame.tolist())

    with session:
        for request in asked:
            start = now()
            session.join(request)
            prompts.append(now() - start)
            step()
        for _ in range(steps):
            start = now()
            step()
            times.append(now() - start)
    return found, statistics.median(prompts), statistics.median(times)


def codec_seconds(voice: Voice, frames: list[list[int]], now: Callable[[], float]) -> float:
    """Seconds of decoding a second of sound, piece by piece as it streams (the second time: the first one sets up)."""
    for _ in range(2):
        decoder, start = voice.open_decoder(0), now()
        for at in range(0, len(frames), 8):
            decoder.push([torch.tensor(frame) for frame in frames[at : at + 8]])
        decoder.finish()
        spent = now() - start
    return spent * voice.frame_rate / len(frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voice", help="a flat voice; default the bundled one")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--steps", type=int, default=98)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    voice, now = Voice.from_pretrained(given.voice), CLOCKS[given.clock]
    if voice.engine is None or (stage := voice.engine.stage()) is None:
        raise SystemExit("rows of this voice's model cannot share products exactly on this machine: nothing to compare")
    engine, slots = voice.engine, voice.layout.num_slots
    print(
        f"torch {version('torch')}, {given.threads} threads, {given.clock} time, {stage.__class__.__name__}, {TEXT!r}"
    )
    frames = 2 + (given.steps + max(given.rows)) // slots
    sampling = voice.settings.sampling
    alone = [
        decode(engine.open(1, sampling), [one], given.steps, now)[0][0]
        for one in requests(voice, max(given.rows), frames)
    ]
    seconds = codec_seconds(voice, alone[0], now)
    print("rows  ordinary  exact  ratio  of real time, model + codec")
    for rows in given.rows:
        asked = requests(voice, rows, frames)
        plain, exact = [], []
        for _ in range(given.rounds):
            plain.append(decode(Session(engine.model, rows, sampling), asked, given.steps, now)[2])
            found, _, spent = decode(engine.open(rows, sampling), asked, given.steps, now)
            exact.append(spent)
            for row, got in found.items():
                assert all(a == b for a, b in zip(got, alone[row], strict=False)), "a row felt another"
        old, new = statistics.median(plain), statistics.median(exact)
        load = new * slots * voice.frame_rate + seconds * rows
        print(f"{rows:4}  {old * 1e3:5.2f} ms  {new * 1e3:5.2f} ms  {old / new:4.2f}  {load:.2f} for {rows} streams")
    print(f"codec {seconds:.3f} s a second of sound")


if __name__ == "__main__":
    main()
