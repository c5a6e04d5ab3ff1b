"""`aoede export`: a codec language model as a folder for others. Knows only the options and what to print."""

import argparse


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("export", help="write a codec language model as a folder that others load")
    parser.add_argument("model", metavar="MODEL", help="model folder: of aoede extend, or of a run's export")
    parser.add_argument("--out", required=True, metavar="DIR", help="new folder")
    parser.add_argument("--adapter", metavar="DIR", help="adapter trained on MODEL, to be merged")
    parser.add_argument("--tokenizer", metavar="DIR", help="where MODEL has none")
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16"), help="of the weights written"
    )
    parser.add_argument(
        "--plain", action="store_true", help="as the text model's own architecture, for engines such as vLLM"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from transformers.utils import logging

    from aoede.models.export import export_folder

    logging.disable_progress_bar()
    options = {"adapter": args.adapter, "tokenizer": args.tokenizer, "dtype": args.dtype, "plain": args.plain}
    folder = export_folder(args.model, args.out, **options)
    for file in sorted(folder.iterdir()):
        print(f"{file}  {file.stat().st_size / 1e6:,.2f} MB")
