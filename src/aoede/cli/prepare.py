"""`aoede prepare`: a manifest, a file of conversations, or a corpus file of many sources, to shards of codes.

Knows only the options, which of them belong to which of the three, and what to print.
"""

import argparse
from typing import Any

COLUMNS = ("audio", "text", "speaker", "language", "source", "split", "seconds", "id")
CORPUS = (".yaml", ".yml")
FILTERS = ("split", "language", "source", "speaker")
MANIFEST_ONLY = ("codec", "split", "language", "source", "speaker", "no_text", "speed", "batch_seconds", "shard_clips")


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("prepare", help="encode a corpus: a manifest, or a corpus.yaml of many sources")
    parser.add_argument(
        "manifest", nargs="?", metavar="MANIFEST|CONVERSATIONS.jsonl|CORPUS.yaml",
        help=".jsonl, .csv, .tsv or .parquet file, saved data set or one of the hub; conversations; or a corpus file",
    )  # fmt: skip
    parser.add_argument(
        "out", nargs="?", metavar="OUT", help="folder for the shards; the same command goes on after an interruption"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="as many at work side by side (default: CPU cores)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    corpus = parser.add_argument_group("with a corpus file (docs/corpora.md)")
    corpus.add_argument("--engine", choices=("local", "ray"), help="processes here, or a Ray cluster (default: local)")
    corpus.add_argument("--check", metavar="OUT", help="compare a finished corpus with its checksums, and stop")
    only = parser.add_argument_group("with a manifest (a corpus file says these itself)")
    only.add_argument("--codec", metavar="DIR", help="codec folder or hub repository (default: the bundled one)")
    for field in FILTERS:
        only.add_argument(f"--{field}", action="append", metavar="NAME", help=f"only this {field} (may be repeated)")
    for column in COLUMNS:
        only.add_argument(f"--{column}-column", metavar="NAME", help=argparse.SUPPRESS)
    only.add_argument("--no-text", action="store_true", help="the manifest has no texts")
    only.add_argument(
        "--speed", type=float, action="append", metavar="FACTOR",
        help="encode training clips also at this speed, pitch and all, as speaker NAME@FACTOR (may be repeated)",
    )  # fmt: skip
    only.add_argument("--batch-seconds", type=float, metavar="N", help="sound encoded at once (default: 60)")
    only.add_argument("--shard-clips", type=int, metavar="N", help="clips a shard (default: 512)")
    talk = parser.add_argument_group("with a file of conversations (docs/conversations.md)")
    talk.add_argument("--skip-bad", action="store_true", help="list bad lines and go on without them")
    parser.epilog = "Columns of other names: --audio-column NAME, --text-column NAME, and so on for " + ", ".join(
        COLUMNS
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.check is not None:
        return _check(args)
    if args.manifest is None or args.out is None:
        raise ValueError("give a manifest or a corpus file, and a folder for the shards: aoede prepare MANIFEST OUT")
    from aoede.cli.allocator import keep_freed_memory

    keep_freed_memory()
    if args.manifest.lower().endswith(CORPUS):
        return _corpus(args)
    from aoede.data.conversation import is_conversation_file

    return _conversations(args) if is_conversation_file(args.manifest) else _manifest(args)


def _check(args: argparse.Namespace) -> int:
    if args.manifest is not None:
        raise ValueError(f"--check {args.check} takes no {args.manifest} beside it: aoede prepare --check OUT")
    from aoede.data import check_corpus

    found = check_corpus(args.check)
    print(found)
    return found.exit_code


def _corpus(args: argparse.Namespace) -> int:
    given = [
        name
        for name in (*MANIFEST_ONLY, "skip_bad", *(f"{column}_column" for column in COLUMNS))
        if getattr(args, name)
    ]
    if given:
        raise ValueError(f"--{given[0].replace('_', '-')} goes with a manifest; write it into {args.manifest} instead")
    from aoede.data import load_corpus_config, prepare_corpus
    from aoede.evaluation.judges import DEFAULT_JUDGES

    options: dict[str, Any] = {"engine": args.engine or "local", "workers": args.workers, "device": args.device}
    print(prepare_corpus(load_corpus_config(args.manifest), args.out, judges=DEFAULT_JUDGES, progress=True, **options))
    return 0


def _conversations(args: argparse.Namespace) -> int:
    names = (*FILTERS, "no_text", "speed", "engine", *(f"{column}_column" for column in COLUMNS))
    given = [name for name in names if getattr(args, name)]
    if given:
        raise ValueError(f"--{given[0].replace('_', '-')} does not go with conversations, which {args.manifest} holds")
    from aoede.data.conversation import prepare_conversations
    from aoede.data.inspection import open_codec

    codec = open_codec(args.codec).to(args.device)
    sizes = {name: getattr(args, name) for name in ("shard_clips", "batch_seconds") if getattr(args, name) is not None}
    options = {"workers": args.workers, "skip_bad": args.skip_bad, **sizes}
    summary = prepare_conversations(args.manifest, codec, args.out, progress=True, **options)
    print(summary)
    return summary.exit_code


def _manifest(args: argparse.Namespace) -> int:
    if args.skip_bad:
        raise ValueError(f"--skip-bad goes with a file of conversations; {args.manifest} is a manifest")
    if args.engine is not None:
        raise ValueError(f"--engine goes with a corpus file (.yaml); {args.manifest} is a manifest")
    from aoede.data import at_speeds, load_manifest, prepare
    from aoede.data.inspection import open_codec

    columns = {column: getattr(args, f"{column}_column") or column for column in COLUMNS}
    if args.no_text:
        columns["text"] = None
    wanted = {f"{field}s": getattr(args, field) for field in FILTERS}
    clips = at_speeds(load_manifest(args.manifest, **columns, **wanted), args.speed or [])
    codec = open_codec(args.codec).to(args.device)
    sizes = {name: getattr(args, name) for name in ("shard_clips", "batch_seconds") if getattr(args, name) is not None}
    options = {"shard_clips": 512, "batch_seconds": 60.0, **sizes, "workers": args.workers}
    print(prepare(clips, codec, args.out, progress=True, **options))
    return 0
