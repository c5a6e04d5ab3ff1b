"""`aoede voices`: which voices there are, who speaks in them, and how they sound. Knows the options only."""

import argparse
import sys


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "voices",
        help="list voices and their speakers, with samples",
        description="List voices and their speakers; with --samples, speak a sentence by every speaker.",
    )
    parser.add_argument("folders", nargs="*", metavar="VOICE", help="voices as of `aoede speak` (all bundled ones)")
    parser.add_argument("--json", action="store_true", help="the list as JSON")
    parser.add_argument("--samples", metavar="FOLDER", help="write a sound file a speaker, and index.html to hear them")
    parser.add_argument("--format", metavar="F", help="of the files: wav, flac, ogg, mp3 or opus (wav)")
    parser.add_argument("--text", metavar="TEXT", help="what every speaker says (a sentence in the voice's language)")
    parser.add_argument("--seed", type=int, metavar="N", help="another seed, another take (0)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.samples is None:
        from aoede.generation.roll import describe_voices, voices_json

        for option in ("format", "text", "seed"):
            if getattr(args, option) is not None:
                raise ValueError(f"--{option} is for samples: add --samples FOLDER")
        print(voices_json(args.folders) if args.json else "\n".join(describe_voices(args.folders)))
        return 0
    if args.json:
        raise ValueError("--json lists, --samples speaks: leave one of them out")
    from aoede.generation.samples import PAGE, write_samples

    silent = write_samples(args.folders, args.samples, form=args.format or "wav", text=args.text, seed=args.seed or 0)
    print(f"written {args.samples.rstrip('/')}/{PAGE}")
    print("".join(f"{line}\n" for line in silent), end="", file=sys.stderr)
    return 3 if silent else 0
