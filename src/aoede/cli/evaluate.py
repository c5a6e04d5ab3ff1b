"""`aoede evaluate`: how good a codec or a voice is, beside the recordings. Knows only the options."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aoede.evaluation.report import Report


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("evaluate", help="measure a codec, a voice or a language model on what was held out")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    codec = kinds.add_parser("codec", help="measure codecs side by side")
    codec.add_argument(
        "model", nargs="*", metavar="CODEC", help="DIR, LABEL=DIR or bundled (default); the first is the base"
    )
    codec.add_argument("manifest", metavar="RECORDINGS", help="a manifest or a folder of sound files")
    speech = kinds.add_parser("speech", help="measure voices side by side")
    speech.add_argument(
        "model",
        nargs="*",
        metavar="SYSTEM",
        help="voice folder DIR, LABEL=DIR, or LABEL=COMMAND with {text} and {audio} (default: the bundled voice)",
    )
    speech.add_argument("manifest", metavar="LIST", help="texts: recordings with texts, a table, lines, Seed-TTS-eval")
    for one in (codec, speech):
        one.add_argument("--out", required=True, metavar="DIR", help="folder for report.html, .json, .md and the audio")
        one.add_argument("--split", help="clips of the manifest to measure (default: heldout)")
        one.add_argument(
            "--recogniser",
            metavar="DIR|CMD",
            help="faster-whisper folder, or a command that prints the words of {audio}",
        )
        one.add_argument(
            "--encoder", default="auto", metavar="E", help="auto, resemblyzer, none, or a command: {audio} {reference}"
        )
        one.add_argument(
            "--measures", default="auto", help="auto (default: all installed), none, or of pesq,stoi,distillmos"
        )
        one.add_argument(
            "--command", action="append", metavar="NAME=CMD", help="a further measure: prints a number of {audio}"
        )
        one.add_argument("--limit", type=int, metavar="N", help="at most N clips, spread evenly (default: all)")
        one.add_argument("--worst", type=int, default=12, metavar="N", help="clips with players on the page")
        one.add_argument("--threads", type=int, default=1, help="CPU threads of every model (default: 1)")
        one.add_argument("--source", action="append", help="only clips of this source (may be repeated)")
        one.add_argument("--device", default="cpu", help="cpu (default) or cuda")
        one.add_argument("--title", help="heading of the report")
        one.add_argument("--results", metavar="FILE.md", help="also write a results page, with its chart beside it")
    codec.add_argument("--speaker", help="only this speaker's clips")
    codec.add_argument(
        "--no-text", action="store_const", const=None, default="text", dest="text", help="no text column"
    )
    codec.add_argument("--rate", type=int, metavar="HZ", help="compare at this sample rate (default: the lowest)")
    codec.add_argument("--batch", type=int, default=1, metavar="N", help="clips coded at a time (default: 1)")
    codec.add_argument(
        "--level-clips", type=int, default=8, metavar="N", help="clips decoded level by level (default: 8)"
    )
    codec.set_defaults(run=run_codec)
    speech.add_argument("--speaker", help="speak every text as this speaker")
    speech.add_argument("--seed", type=int, default=0, help="text i is spoken with SEED + i (default: 0)")
    speech.add_argument("--language", metavar="L", help="of texts that do not say theirs (default: en)")
    speech.add_argument(
        "--recordings", metavar="MANIFEST", help="people saying other texts: the ceiling of a bare list"
    )
    speech.add_argument("--reference", metavar="FILE", help="speak every text like this recording (two-stage voices)")
    speech.add_argument("--reference-text", metavar="TEXT", help="what is said in it, word for word")
    speech.add_argument("--no-clone", action="store_false", dest="clone", help="never speak like the list's recordings")
    speech.add_argument(
        "--voice-prompt", action="append", default=[], metavar="FILE", help="of all voices, or LABEL=FILE of one"
    )
    speech.set_defaults(run=run_speech)
    likelihood = kinds.add_parser("likelihood", help="measure language models on held-out documents, side by side")
    likelihood.add_argument(
        "folders", nargs="+", metavar="FOLDER", help="models (DIR or LABEL=DIR) and documents: a plan or packed sources"
    )
    likelihood.add_argument("--out", required=True, metavar="DIR", help="folder for report.html, .json and .md")
    likelihood.add_argument("--split", help="documents of packed sources to measure (default: all)")
    likelihood.add_argument(
        "--tokens", type=int, dest="tokens_per_source", metavar="N", help="at most N ids a source (default: all)"
    )
    likelihood.add_argument(
        "--batch", type=int, default=16384, dest="tokens_per_batch", metavar="N", help="ids a batch (default: 16384)"
    )
    likelihood.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    likelihood.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    likelihood.add_argument("--threads", type=int, help="CPU threads (default: torch's own)")
    likelihood.add_argument("--title", help="heading of the report")
    likelihood.set_defaults(run=run_likelihood)


def run_speech(args: argparse.Namespace) -> int:
    from aoede.evaluation.command import evaluate_speech_folders
    from aoede.evaluation.speech import SpeechEvaluationConfig

    check(args)
    config = SpeechEvaluationConfig(limit=args.limit, seed=args.seed, speaker=args.speaker, clone=args.clone)
    same = (
        "split", "source", "language", "recordings", "reference", "reference_text", "voice_prompt", "recogniser",
        "encoder", "measures", "threads", "device", "title",
    )  # fmt: skip
    options = {name: getattr(args, name) for name in same}
    report = evaluate_speech_folders(
        args.model, args.manifest, args.out, commands=args.command or (), config=config, **options
    )
    return finish(args, report)


def run_likelihood(args: argparse.Namespace) -> int:
    from aoede.evaluation.likelihood_run import evaluate_likelihood

    options = {name: value for name, value in vars(args).items() if name not in ("run", "version", "kind")}
    report = evaluate_likelihood(options.pop("folders"), options.pop("out"), **options)
    page = report.save()
    print(report.markdown(), end="")
    print(f"written {page}")
    return 0


def run_codec(args: argparse.Namespace) -> int:
    from aoede.evaluation.command import evaluate_codec_folders
    from aoede.evaluation.roundtrip import CodecEvaluationConfig

    check(args)
    config = CodecEvaluationConfig(limit=args.limit, rate=args.rate, batch=args.batch, level_clips=args.level_clips)
    same = ("split", "recogniser", "encoder", "measures", "threads", "device", "source", "speaker", "text", "title")
    options = {name: getattr(args, name) for name in same}
    report = evaluate_codec_folders(
        args.model, args.manifest, args.out, commands=args.command or (), config=config, **options
    )
    return finish(args, report)


def check(args: argparse.Namespace) -> None:
    """What would otherwise be told after all the work."""
    if args.worst < 0:
        raise ValueError(f"worst is {args.worst}; 0 or more clips can have players")
    if args.results and not args.results.endswith(".md"):
        raise ValueError(f"{args.results}: a results page is Markdown, FILE.md")


def finish(args: argparse.Namespace, report: "Report") -> int:
    """Writes and prints a report."""
    from aoede.evaluation.command import repeat_words

    page = report.save(args.worst)
    print(report.markdown(), end="")
    if args.results:
        command = repeat_words(args.kind, args.model, args.manifest, vars(args))
        print(f"written {report.save_results(args.results, command)}")
    print(f"written {page}")
    return 0
