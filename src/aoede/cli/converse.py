"""`aoede converse`: conversations from single utterances, and conversations shown. Knows only the options."""

import argparse
import sys


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("converse", help="build conversations from utterances, or show a file of them")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    build = verbs.add_parser(
        "build", help="utterances of each speaker, with earlier ones of the same speaker as context"
    )
    build.add_argument(
        "source", metavar="MANIFEST|CODES", help="a manifest, or a folder that `aoede prepare` made of one"
    )
    build.add_argument("--out", required=True, metavar="FILE", help="file of conversations, .jsonl")
    build.add_argument("--context", type=int, required=True, metavar="K", help="earlier turns before each (0 or more)")
    build.add_argument("--seed", type=int, default=0, help="another seed, another order (default: 0)")
    build.add_argument(
        "--order", choices=("shuffled", "manifest"), default="shuffled",
        help="of a speaker's utterances: drawn (default), or as listed, for recordings that follow each other",
    )  # fmt: skip
    build.add_argument(
        "--train", choices=("last", "all"), default="last",
        help="last (default): K context turns, one trained; all: pieces of K + 1 turns, all trained",
    )  # fmt: skip
    build.add_argument(
        "--roles", choices=("name", "number"), default="name", help="the speaker's name (default), or 0 for everyone"
    )
    for field in ("split", "speaker"):
        build.add_argument(f"--{field}", action="append", metavar="NAME", help=f"only this {field} (may be repeated)")
    build.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    build.set_defaults(run=run_build)
    show = verbs.add_parser("show", help="turns with their mask, as text or as a page with players")
    show.add_argument("file", metavar="FILE", help="file of conversations, or a folder of prepared ones")
    show.add_argument("--line", type=int, action="append", metavar="N", help="only this line (may be repeated)")
    show.add_argument("--limit", type=int, metavar="N", help="at most N conversations (default: 10)")
    show.add_argument("--html", metavar="PAGE", help="write a page with players; it needs no other file")
    show.add_argument("--codec", metavar="DIR", help="decodes turns that are codes (default: the bundled one)")
    show.add_argument("--skip-bad", action="store_true", help="list bad lines and show the others")
    show.set_defaults(run=run_show)


def run_build(args: argparse.Namespace) -> int:
    from aoede.data.conversation.building import build_conversations, check_new, save_conversations

    check_new(args.out, args.overwrite)
    options = {name: getattr(args, name) for name in ("context", "seed", "order", "train", "roles")}
    built = build_conversations(args.source, splits=args.split, speakers=args.speaker, **options)
    save_conversations(args.out, built.conversations)
    print(built)
    print(f"written {args.out}")
    return 3 if built.left_out.count else 0


def run_show(args: argparse.Namespace) -> int:
    from aoede.data.conversation.show import show_file

    options = {name: getattr(args, name) for name in ("limit", "html", "codec", "skip_bad")}
    report = show_file(args.file, lines=args.line, **options)
    print(report.text)
    for mistake in report.mistakes:
        print(f"left out: {mistake}", file=sys.stderr)
    return 3 if report.mistakes else 0
