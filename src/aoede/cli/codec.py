"""`aoede codec`: sound to codes and back. Knows only the options and what to print."""

import argparse
import sys
from typing import Any

from aoede.cli import codec_export


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("codec", help="turn sound into codes and codes into sound")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    encode = verbs.add_parser("encode", help="sound to .snac: a file, a folder or a pipe")
    decode = verbs.add_parser("decode", help=".snac to sound: a file, a folder or a pipe")
    roundtrip = verbs.add_parser("roundtrip", help="sound file to codes and back: what does the codec make of it?")
    info = verbs.add_parser("info", help="what a codec, a code file, a prepared folder or a sound file holds")
    encode.add_argument("source", metavar="IN", help="sound file, folder of them, or - for standard input")
    encode.add_argument("target", metavar="OUT", help=".snac file, folder, or - for standard output")
    decode.add_argument("source", metavar="IN", help=".snac file, folder of them, or - for standard input")
    decode.add_argument(
        "target", metavar="OUT", help="sound file (wav flac ogg mp3 opus), folder, or - for WAV to stdout"
    )
    roundtrip.add_argument("source", metavar="IN", help="sound file")
    roundtrip.add_argument("-o", "--out", metavar="OUT", help="sound file (default: IN.roundtrip.wav beside IN)")
    codec = "codec folder, hub repository, or another codec: mimi:DIR, dac:DIR, encodec:DIR (default: the bundled one)"
    for verb in (encode, decode, roundtrip):
        verb.add_argument("--codec", metavar="NAME", help=codec)
        if verb is not encode:
            verb.add_argument("--seed", type=int, default=0, help="names the decoder's noise (default: 0)")
        if verb is not decode:
            verb.add_argument("--keep-truncated", action="store_true", help="use what is there of a file cut short")
        if verb is not roundtrip:
            verb.add_argument("--workers", type=int, metavar="N", help="processes for a folder (default: CPU cores)")
            verb.add_argument("--raw", metavar="FORMAT", help="the pipe carries samples, not WAV: s16le, f32le, ...")
        verb.set_defaults(run=run)
    encode.add_argument("--rate", type=int, metavar="HZ", help="of raw samples (default: the codec's)")
    encode.add_argument("--channels", type=int, default=1, metavar="N", help="of raw samples, interleaved (default: 1)")
    decode.add_argument("--format", metavar="NAME", help="of the sound files of a folder (default: wav)")
    info.add_argument("path", nargs="?", metavar="PATH", help="also mimi:DIR and the like; default: the bundled codec")
    info.set_defaults(run=run)
    codec_export.add(verbs)


def run(args: argparse.Namespace) -> int:
    from aoede.cli.allocator import keep_freed_memory
    from aoede.data import transcode
    from aoede.data.inspection import describe_path

    keep_freed_memory()
    if args.verb == "info":
        report: Any = describe_path(args.path)
    elif args.verb == "encode":
        raw = transcode.raw_sound(args.raw, args.rate, args.channels)
        damage = "keep" if args.keep_truncated else "refuse"
        report = transcode.encode(args.source, args.target, args.codec, raw=raw, truncated=damage, workers=args.workers)
    elif args.verb == "decode":
        raw, options = transcode.raw_sound(args.raw), {"format": args.format, "workers": args.workers}
        report = transcode.decode(args.source, args.target, args.codec, seed=args.seed, raw=raw, **options)
    else:
        report = _roundtrip(args)
    print(report, file=sys.stderr if getattr(args, "target", "") == "-" else sys.stdout)
    return getattr(report, "exit_code", 0)


def _roundtrip(args: argparse.Namespace) -> Any:
    from torch import from_numpy

    from aoede.data.files import roundtrip_file
    from aoede.data.inspection import open_codec
    from aoede.evaluation.codec import mel_distance

    codec = open_codec(args.codec)
    damage = "keep" if args.keep_truncated else "refuse"

    def distance(original: Any, decoded: Any) -> float:
        return mel_distance(from_numpy(original), from_numpy(decoded), codec.config.sample_rate)

    options = {"truncated": damage, "seed": args.seed, "distance": distance, "progress": True}
    return roundtrip_file(args.source, args.out, codec, **options)
