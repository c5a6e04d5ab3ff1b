"""`aoede extend`: give a text model the ids of a codec. Knows only the options and what to print."""

import argparse


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("extend", help="give a text model the ids of a codec")
    parser.add_argument("base", metavar="BASE", help="folder or hub repository of a causal language model")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="new folder for model, tokenizer and augmented.yaml"
    )
    parser.add_argument(
        "--vocabulary", default="extend", metavar="NAME",
        help="calliope, orpheus, guide, extend (from the codec), or an augmented.yaml (default: extend)",
    )  # fmt: skip
    parser.add_argument("--codec", metavar="DIR", help="codec that `extend` is made for (default: the bundled one)")
    parser.add_argument("--tokenizer", metavar="DIR", help="where BASE has no tokenizer")
    parser.add_argument("--seed", type=int, default=0, help="of the new rows (default: 0)")
    parser.add_argument("--text-stride", type=float, metavar="R", help="parallel positions: audio ids a text id")
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16"), help="of the weights written"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from transformers.utils import logging

    from aoede.data.inspection import open_codec
    from aoede.models.extend_folder import extend_folder
    from aoede.tokens import FrameLayout

    logging.disable_progress_bar()
    shape = {}
    if args.vocabulary == "extend":
        config = open_codec(args.codec).config
        shape = {
            "layout": FrameLayout.depth_first(config.vq_strides),
            "codebook_sizes": (config.codebook_size,) * len(config.vq_strides),
        }
    elif args.codec is not None:
        raise ValueError(f"--codec goes with --vocabulary extend; {args.vocabulary!r} says itself which codes it has")
    options = {"tokenizer": args.tokenizer, "seed": args.seed, "text_stride": args.text_stride, "dtype": args.dtype}
    print(extend_folder(args.base, args.out, args.vocabulary, **shape, **options))
