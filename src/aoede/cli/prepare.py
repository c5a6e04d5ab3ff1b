"""`aoede prepare`: a manifest of recordings to shards of codes. Knows only the options and what to print."""

import argparse

COLUMNS = ("audio", "text", "speaker", "language", "source", "split", "seconds", "id")


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("prepare", help="encode a corpus: a manifest of recordings to shards of codes")
    parser.add_argument("manifest", help=".jsonl, .csv, .tsv or .parquet file, saved data set, or data set of the hub")
    parser.add_argument(
        "out", metavar="OUT", help="folder for the shards; the same command goes on after an interruption"
    )
    parser.add_argument("--codec", metavar="DIR", help="codec folder or hub repository (default: the bundled one)")
    for field in ("split", "language", "source", "speaker"):
        parser.add_argument(f"--{field}", action="append", metavar="NAME", help=f"only this {field} (may be repeated)")
    for column in COLUMNS:
        parser.add_argument(f"--{column}-column", default=column, metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("--no-text", action="store_true", help="the manifest has no texts")
    parser.add_argument(
        "--speed", type=float, action="append", default=[], metavar="FACTOR",
        help="encode training clips also at this speed, pitch and all, as speaker NAME@FACTOR (may be repeated)",
    )  # fmt: skip
    parser.add_argument(
        "--batch-seconds", type=float, default=60.0, metavar="N", help="sound encoded at once (default: 60)"
    )
    parser.add_argument("--shard-clips", type=int, default=512, metavar="N", help="clips a shard (default: 512)")
    parser.add_argument("--workers", type=int, metavar="N", help="batches encoded side by side (default: CPU cores)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.epilog = "Columns of other names: --audio-column NAME, --text-column NAME, and so on for " + ", ".join(
        COLUMNS
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from aoede.cli.allocator import keep_freed_memory
    from aoede.data import at_speeds, load_manifest, prepare
    from aoede.data.inspection import open_codec

    keep_freed_memory()
    columns = {column: getattr(args, f"{column}_column") for column in COLUMNS}
    if args.no_text:
        columns["text"] = None
    wanted = {f"{field}s": getattr(args, field) for field in ("split", "language", "source", "speaker")}
    clips = at_speeds(load_manifest(args.manifest, **columns, **wanted), args.speed)
    codec = open_codec(args.codec).to(args.device)
    options = {"shard_clips": args.shard_clips, "batch_seconds": args.batch_seconds, "workers": args.workers}
    print(prepare(clips, codec, args.out, progress=True, **options))
