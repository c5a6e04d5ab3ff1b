"""`aoede generate`: text, sound, more of a sound, what is between two. Knows options only; the work is a prior's."""

import argparse

KINDS = {
    "text": ("go on with a text", ("prompt",)),
    "audio": ("sound from nothing", ()),
    "continue": ("go on with a recording", ("prefix",)),
    "infill": ("fill in between two recordings", ("prefix", "suffix")),
}
GIVEN = {"prompt": "text to go on with; - reads standard input", "prefix": "sound or .snac file that comes before",
         "suffix": "sound or .snac file that comes after"}  # fmt: skip


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("generate", help="let a prior write text or sound")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for kind, (words, given) in KINDS.items():
        one = kinds.add_parser(kind, help=words, description=words.capitalize() + " with a codec language model.")
        one.add_argument("model", metavar="MODEL", help="model folder, a folder with model/ in it, or a hub repository")
        for name in given:
            one.add_argument(name, metavar=name.upper(), help=GIVEN[name])
        one.add_argument("--seed", type=int, default=0, help="another seed, another take (0)")
        one.add_argument("--temperature", type=float, metavar="T", help="0 is greedy (0.9)")
        one.add_argument("--top-p", type=float, metavar="P", help="keep the likeliest ids up to this sum (0.95)")
        one.add_argument("--top-k", type=int, metavar="K", help="keep the K likeliest ids")
        one.add_argument("--device", default="cpu", help="cpu (default) or cuda")
        one.add_argument("--compile", action="store_true", help="compile the step: a minute first, faster from then on")
        if kind == "text":
            one.add_argument("--max-tokens", type=int, default=128, metavar="N", help="no more ids than this (128)")
            continue
        one.add_argument("--seconds", type=float, required=True, metavar="S", help="generate no more than this")
        one.add_argument("--min-seconds", type=float, default=0.0, metavar="S", help="and no less (0)")
        one.add_argument("--codec", metavar="CODEC", help="whose codes the model learned (codec/ in or beside MODEL)")
        one.add_argument("--text", default="", help="text read before the sound")
        one.add_argument("-o", "--output", dest="out", metavar="OUT", default="generated.wav", help="sound file")
        one.add_argument("--codes", metavar="FILE.snac", help="write the codes too")
        one.add_argument("--only-new", action="store_true", help="write the generated part alone")
        one.add_argument("--plot", metavar="PNG", help="draw waveform and mel spectrogram")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from aoede.cli.allocator import keep_freed_memory
    from aoede.generation.prior_console import generate

    keep_freed_memory()
    generate(args)
    return 0
