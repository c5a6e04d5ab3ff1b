"""`aoede speak`: a text or a dialogue to a sound file. Knows options and what to print; `aoede.generation` speaks."""

import argparse


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("speak", help="say a text", description="Say a text or a dialogue with a voice.")
    parser.add_argument("text", nargs="?", metavar="TEXT", help="what to say; - reads standard input")
    parser.add_argument("--file", metavar="PATH", help="read the text from a file (UTF-8)")
    parser.add_argument("--script", metavar="JSONL", help='a dialogue, a line a turn: {"speaker": NAME, "text": TEXT}')
    parser.add_argument(
        "-o", "--output", dest="out", metavar="OUT", help="sound file: wav, flac, ogg, mp3 or opus (speech.wav)"
    )
    parser.add_argument(
        "--voice", metavar="VOICE", help="folder, bundled name, hub repository or voice prompt (bundled)"
    )
    parser.add_argument("--speaker", metavar="NAME", help="who speaks; `aoede voices` lists them")
    parser.add_argument("--reference", metavar="FILE", help="a recording to speak like (voices that can clone)")
    parser.add_argument("--reference-text", metavar="TEXT", help="what is said in it, word for word")
    parser.add_argument("--voice-prompt", metavar="FILE", help="of `aoede train voice-prompt`, for the voice --voice")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another take (0)")
    parser.add_argument("--temperature", type=float, metavar="T", help="0 is greedy (the voice's own)")
    parser.add_argument("--top-p", type=float, metavar="P", help="keep the likeliest ids up to this sum")
    parser.add_argument("--top-k", type=int, metavar="K", help="keep the K likeliest ids")
    parser.add_argument(
        "--guidance", type=float, metavar="G", help="how much the text counts; 1 is fastest (the voice's own)"
    )
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="0.5 to 2; above 1 is faster (1)")
    parser.add_argument("--plot", metavar="PNG", help="draw waveform and mel spectrogram")
    parser.add_argument("--play", action="store_true", help="play it with ffplay, paplay, aplay or afplay")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from aoede.cli.allocator import keep_freed_memory
    from aoede.generation.console import speak

    keep_freed_memory()
    speak(args)
    return 0
