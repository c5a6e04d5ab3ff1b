"""`aoede evaluate`: how good a codec or a voice is, beside the recordings. Knows only the options."""

import argparse


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("evaluate", help="measure a codec, a voice or a language model on what was held out")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    codec = kinds.add_parser("codec", help="measure codecs side by side")
    codec.add_argument(
        "model", nargs="*", metavar="CODEC", help="DIR, LABEL=DIR or bundled (default); the first is the base"
    )
    codec.add_argument("manifest", metavar="RECORDINGS", help="a manifest or a folder of sound files")
    speech = kinds.add_parser("speech", help="measure a voice folder")
    speech.add_argument("model", metavar="SPEECH_DIR", help="voice folder")
    speech.add_argument("manifest", help="recordings with texts (see docs on manifests)")
    for one in (codec, speech):
        one.add_argument("--out", required=True, metavar="DIR", help="folder for report.html, .json, .md and the audio")
        one.add_argument("--split", help="clips of the manifest to measure (default: heldout)")
        one.add_argument("--recogniser", metavar="DIR", help="faster-whisper folder; without it words are not measured")
        one.add_argument("--encoder", choices=("auto", "resemblyzer", "none"), default="auto", help="speaker encoder")
        one.add_argument("--limit", type=int, metavar="N", help="at most N clips, spread evenly (default: all)")
        one.add_argument("--worst", type=int, default=12, metavar="N", help="clips with players on the page")
        one.add_argument("--threads", type=int, default=1, help="CPU threads of every model (default: 1)")
        one.add_argument("--source", action="append", help="only clips of this source (may be repeated)")
    codec.add_argument("--speaker", help="only this speaker's clips")
    codec.add_argument(
        "--no-text", action="store_const", const=None, default="text", dest="text", help="no text column"
    )
    codec.add_argument(
        "--measures", default="auto", help="auto (default: all installed), none, or of pesq,stoi,distillmos"
    )
    codec.add_argument(
        "--command", action="append", metavar="NAME=CMD", help="a further measure: prints a number of {audio}"
    )
    codec.add_argument("--rate", type=int, metavar="HZ", help="compare at this sample rate (default: the lowest)")
    codec.add_argument("--batch", type=int, default=1, metavar="N", help="clips coded at a time (default: 1)")
    codec.add_argument(
        "--level-clips", type=int, default=8, metavar="N", help="clips decoded level by level (default: 8)"
    )
    codec.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    codec.add_argument("--title", help="heading of the report")
    codec.add_argument("--results", metavar="FILE.md", help="also write a results page, with its chart beside it")
    codec.set_defaults(run=run_codec)
    speech.add_argument("--speaker", help="speak every text as this speaker")
    speech.add_argument("--seed", type=int, default=0)
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
    from aoede.evaluation.command import evaluate_folder

    check_worst(args.worst)
    options = {name: value for name, value in vars(args).items() if name not in ("run", "version", "worst")}
    report = evaluate_folder(**options)
    page = report.save(args.worst)
    print(report.markdown(), end="")
    print(f"written {page}")
    return 0


def run_likelihood(args: argparse.Namespace) -> int:
    from aoede.evaluation.likelihood_run import evaluate_likelihood

    options = {name: value for name, value in vars(args).items() if name not in ("run", "version", "kind")}
    report = evaluate_likelihood(options.pop("folders"), options.pop("out"), **options)
    page = report.save()
    print(report.markdown(), end="")
    print(f"written {page}")
    return 0


def run_codec(args: argparse.Namespace) -> int:
    from aoede.evaluation.command import evaluate_codec_folders, repeat_words
    from aoede.evaluation.roundtrip import CodecEvaluationConfig

    check_worst(args.worst)
    if args.results and not args.results.endswith(".md"):
        raise ValueError(f"{args.results}: a results page is Markdown, FILE.md")
    config = CodecEvaluationConfig(limit=args.limit, rate=args.rate, batch=args.batch, level_clips=args.level_clips)
    same = ("split", "recogniser", "encoder", "measures", "threads", "device", "source", "speaker", "text", "title")
    options = {name: getattr(args, name) for name in same}
    report = evaluate_codec_folders(
        args.model, args.manifest, args.out, commands=args.command or (), config=config, **options
    )
    page = report.save(args.worst)
    print(report.markdown(), end="")
    if args.results:
        print(f"written {report.save_results(args.results, repeat_words(vars(args)))}")
    print(f"written {page}")
    return 0


def check_worst(worst: int) -> None:
    if worst < 0:
        raise ValueError(f"worst is {worst}; 0 or more clips can have players")
