"""`aoede checkpoint`: weights of a checkpoint as a model folder, and back. Knows nothing of how either is written."""

import argparse


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("checkpoint", help="a checkpoint of many processes as a model folder, and back")
    ways = parser.add_subparsers(required=True, metavar="WAY")
    one = ways.add_parser("to-hf", help="write a checkpoint's weights as a Hugging Face folder")
    one.add_argument("checkpoint", metavar="CKPT", help="RUN/checkpoints/step-XXXXXXXX of checkpoint_format dcp")
    one.add_argument("directory", metavar="DIR", help="new folder")
    one.add_argument("--average", action="store_true", help="the averaged weights (a recipe's ema)")
    one.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="default: as in the checkpoint")
    one.set_defaults(run=to_hf)
    two = ways.add_parser("from-hf", help="write a model folder as a checkpoint to start from")
    two.add_argument("directory", metavar="DIR", help="folder of a codec language model")
    two.add_argument("checkpoint", metavar="CKPT", help="new folder, for aoede train ... --resume CKPT")
    two.set_defaults(run=from_hf)


def to_hf(args: argparse.Namespace) -> int:
    from aoede.training.model_folder import dcp_to_folder

    print(f"written {dcp_to_folder(args.checkpoint, args.directory, average=args.average, dtype=args.dtype)}")
    return 0


def from_hf(args: argparse.Namespace) -> int:
    from aoede.training.model_folder import folder_to_dcp

    path = folder_to_dcp(args.directory, args.checkpoint)
    print(f"written {path}; start with it: aoede train prior RECIPE --out DIR --resume {path}")
    return 0
