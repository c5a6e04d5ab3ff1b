"""`aoede data`: what is done to a folder of recordings before anything learns from it. Knows only the options."""

import argparse


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("data", help="split a folder of recordings into training and held-out ones")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    split = verbs.add_parser("split", help="write a manifest whose recordings are train or dev, none on both sides")
    split.add_argument("folder", metavar="DIR", help="folder of sound files, at any depth")
    split.add_argument(
        "--train-ratio",
        type=float,
        default=0.95,
        metavar="X",
        help="share of the recordings to train on (default: 0.95)",
    )
    by = "file (default); speaker: nobody on both sides; hash: each recording stays on its side whatever is added"
    split.add_argument("--by", choices=("file", "speaker", "hash"), default="file", help=by)
    split.add_argument("--seed", type=int, default=0, help="another seed, another draw (default: 0)")
    split.add_argument("--out", metavar="FILE", help="default: manifest.jsonl in DIR")
    split.add_argument("--overwrite", action="store_true", help="replace a manifest that is there")
    split.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from aoede.data.splitting import split_folder

    names = ("train_ratio", "by", "seed", "out", "overwrite")
    report = split_folder(args.folder, progress=True, **{name: getattr(args, name) for name in names})
    print(report)
    return report.exit_code
