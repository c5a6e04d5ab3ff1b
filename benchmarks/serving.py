"""The server under load: 1 to 64 clients on loopback, batched against one request at a time, in one run.

    python benchmarks/serving.py [--clients 1 2 4 16 64] [--slots 8] [--seconds 20] [--voice DIR] [--threads 2]
        [--held 0] [--results docs/results/serving.md] [-- OPTIONS OF aoede serve]

Two servers run, each `aoede serve` as a process of its own: one with --slots, one with a single slot, which speaks one
request after the other. Level by level, first on one and then on the other, so many clients ask for sentences of
different lengths with seeds; each asks for the next when it has the last, for --seconds, and what was begun is waited
for. A client that is refused (429) comes again after what Retry-After says. All clients are one process with plain
sockets, whose share of the CPU is told.

Of each level: requests whose speech came whole; seconds of sound that came a second, while all were asking; time to the
first sound, from the request that was taken, and p95 from its first try; late chunks, that is those that came when
everything before them had been played by a player that starts with the first chunk (--held: one that collects so many
seconds first); streams with a late chunk; the silence that this puts into a second of sound; refusals; errors; rows
that the model stepped together; CPU seconds of the server a second of sound; its memory. The same text and seed must
give the same bytes wherever it was asked for: a difference ends the run with exit code 1, and so does an error.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from speech_load.client import speak
from speech_load.figures import COLUMNS, Asked, Level, cells, differing, milliseconds
from speech_load.server import HOST, ServerProcess

SAYINGS = (
    "Good morning.",
    "The harbour is quiet today.",
    "Please hold the line, somebody will be with you in a moment.",
    "She counted the boats twice, and both times there were seven.",
    "Turn left at the old mill. Then follow the river until you see the bridge.",
    "It rained all week, so the children built a town out of boxes, with streets, a square and a railway.",
    "Nothing in the letter was new to him. He read it three times, folded it, and put it back where it had been.",
    "Thank you.",
    "The lighthouse keeper writes down the weather every evening, as the keepers before him did for a hundred years.",
    "We leave at six.",
    "Tea or coffee? There is bread on the table, and the honey is in the cupboard beside the window.",
    "When the fog came in, the ferry waited an hour. Nobody minded much. Somebody had brought an accordion, and soon "
    "half of the passengers were singing.",
)
SEEDS = 2
SHORTEST_WAIT = 0.05
"""Seconds before a refused client comes again, whatever it is told."""


class Names:
    """What the server calls its first model and voice."""

    def __init__(self, server: ServerProcess) -> None:
        self.model = json.loads(server.get("/v1/models")[1])["data"][0]["id"]
        self.voice = json.loads(server.get("/v1/audio/voices")[1])["voices"][0]["id"]

    def request(self, saying: int, seed: int) -> dict[str, Any]:
        """The body of a request."""
        words = SAYINGS[saying]
        return {"model": self.model, "voice": self.voice, "input": words, "seed": seed, "response_format": "pcm"}


async def run_level(
    server: ServerProcess, clients: int, slots: int, *, seconds: float, grace: float, held: float
) -> Level:
    """So many clients at once, for so many seconds; what they began then has `grace` seconds to end."""
    names = Names(server)
    asked: list[Asked] = []
    before, steps, own = server.taken().cpu_seconds, server.steps(), time.process_time()
    opened = time.perf_counter()
    closes = opened + seconds

    async def client(number: int) -> None:
        while (now := time.perf_counter()) < closes:
            saying, seed = number % len(SAYINGS), number // len(SAYINGS) % SEEDS
            asked.append(mine := Asked(saying=saying, seed=seed, first_try=now))
            await ask(mine)
            number += clients

    async def ask(mine: Asked) -> None:
        while (now := time.perf_counter()) < closes:
            reply = await speak(HOST, server.port, names.request(mine.saying, mine.seed), closes + grace - now)
            if reply.status != 429:
                mine.reply = reply
                return
            mine.refusals += 1
            wait = max(reply.retry_after or 0.0, SHORTEST_WAIT)
            await asyncio.sleep(min(wait, max(closes - time.perf_counter(), 0.0)))

    await asyncio.gather(*(client(number) for number in range(clients)))
    taken = server.taken()
    rows, count = (now - then for now, then in zip(server.steps(), steps, strict=True))
    return Level(
        clients=clients,
        slots=slots,
        opened=opened,
        window=seconds,
        elapsed=time.perf_counter() - opened,
        asked=asked,
        cpu_seconds=taken.cpu_seconds - before,
        memory=taken.memory,
        rows_a_step=rows / count if count else None,
        client_cpu_seconds=time.process_time() - own,
        held=held,
    )


def warm_up(server: ServerProcess) -> str:
    """One request, which pays for what the first one pays for: its time to the first sound."""
    reply = asyncio.run(speak(HOST, server.port, Names(server).request(2, 0)))
    if not reply.is_whole:
        raise SystemExit(f"the first request failed: {reply.error or reply.text}\n{server.said()}")
    return milliseconds(reply.arrivals[0].at - reply.sent)


def conclusions(levels: Sequence[Level]) -> list[str]:
    """What the figures say, in words: batched against one at a time, and up to where playback never waits."""
    said = []
    single = {level.clients: level for level in levels if level.slots == 1}
    batched = [level for level in levels if level.slots != 1]
    for level in batched:
        peer = single[level.clients]
        mine, theirs = level.first_audio(50), peer.first_audio(50)
        if peer.throughput and mine and theirs:
            said.append(
                f"{level.clients} clients: {level.slots} slots give {level.throughput / peer.throughput:.2f}x the "
                f"sound a second of one slot, the first sound after {mine / theirs:.2f}x the time"
            )
    for group in (batched, list(single.values())):
        fluent = [level.clients for level in group if level.playbacks and not level.late]
        if group:
            most = f"up to {max(fluent)} clients" if fluent else "at no number of clients that was tried"
            said.append(f"{group[0].slots} slots: a level without a late chunk {most}")
    crowded = [level for level in batched if level.clients > level.slots]
    if len(crowded) > 1:
        few, many = crowded[0], crowded[-1]
        said.append(
            f"beyond the {few.slots} slots: {few.stalled_share:.3f} s of silence a second of sound at {few.clients} "
            f"clients, {many.stalled_share:.3f} s at {many.clients}"
        )
    busiest = max(levels, key=lambda level: level.client_cpu_seconds / level.elapsed)
    share = busiest.client_cpu_seconds / busiest.elapsed
    said.append(f"the clients themselves took at most {share:.1%} of a core ({busiest.clients} clients)")
    return said


def processor() -> str:
    """What the machine computes with."""
    if (about := Path("/proc/cpuinfo")).exists():
        for line in about.read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {os.cpu_count()} cores"
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 2, 4, 16, 64], help="levels of load")
    parser.add_argument("--slots", type=int, default=8, help="of the batched server")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the clients of a level begin requests")
    parser.add_argument("--grace", type=float, default=180.0, help="the most seconds that what was begun is waited for")
    parser.add_argument("--held", type=float, default=0.0, help="seconds of sound that a player collects first")
    parser.add_argument("--voice", help="a voice folder (default: the bundled one)")
    parser.add_argument("--threads", type=int, help="threads of each server's torch (default: its own choice)")
    parser.add_argument("--results", type=Path, help="also write Markdown here")
    parser.add_argument("options", nargs="*", help="after --: more options of `aoede serve`, for both servers")
    args = parser.parse_args()
    if min([*args.clients, args.slots - 1, args.seconds]) <= 0:
        parser.error("--clients and --seconds take numbers above 0, --slots takes 2 or more")
    if args.results and not args.results.parent.is_dir():
        parser.error(f"--results {args.results}: there is no folder {args.results.parent}")
    options = [*(["--voice", args.voice] if args.voice else []), *args.options]

    command = f"python benchmarks/serving.py {shlex.join(sys.argv[1:])}".strip()
    versions = ", ".join(f"{name} {version(name)}" for name in ("aoede", "torch", "fastapi", "uvicorn"))
    header = "| " + " | ".join(COLUMNS) + " |"
    table = [header, "|---" * len(COLUMNS) + "|"]
    levels: list[Level] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        servers: list[tuple[int, ServerProcess]] = []
        for slots in (args.slots, 1):
            log, given = Path(folder) / f"{slots}.log", ["--slots", str(slots), *options]
            try:
                servers.append((slots, stack.enter_context(ServerProcess(log, given, threads=args.threads))))
            except RuntimeError as error:
                parser.error(str(error))
        first = ", ".join(f"{slots} slots {warm_up(server)}" for slots, server in servers)
        about = f"{processor()}; {versions}; the very first sound: {first}"
        print(about, *table, sep="\n", flush=True)
        for clients in args.clients:
            for slots, server in servers:
                run = run_level(server, clients, slots, seconds=args.seconds, grace=args.grace, held=args.held)
                levels.append(level := asyncio.run(run))
                table.append(f"| {' | '.join(cells(level))} |")
                print(table[-1], flush=True)
    said = conclusions(levels)
    wrong = [*differing(levels), *(f"a server ended with {code}" for _, s in servers if (code := s.process.returncode))]
    for level in levels:
        wrong += [f"{level.clients} clients, {level.slots} slots: {error}" for error in sorted(set(level.errors))]
    heard = {key for level in levels for key in level.digests}
    said.append(
        f"{len(heard)} pairs of text and seed, compared across levels and servers: {len(differing(levels))} differ"
    )
    print(*said, *wrong, sep="\n")
    if args.results:
        date = time.strftime("%Y-%m-%d", time.gmtime())
        page = ["# The server under load", "", f"{date}, {about}.", "", f"    {command}", "", *table, ""]
        page += [f"- {line}" for line in [*said, *wrong]]
        part = args.results.with_name(args.results.name + ".part")
        part.write_text("\n".join(page) + "\n", encoding="utf-8")
        part.replace(args.results)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
