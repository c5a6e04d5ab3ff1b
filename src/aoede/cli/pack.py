"""`aoede pack`: a prepared corpus to documents of token ids. Knows only the options and what to print."""

import argparse


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("pack", help="write a prepared corpus as documents of token ids (Megatron's files)")
    parser.add_argument("corpus", metavar="CORPUS", nargs="?", help="folder that `aoede prepare corpus.yaml` wrote")
    parser.add_argument("--out", metavar="DIR", help="folder for the documents; the same command goes on in it")
    parser.add_argument("--tokenizer", metavar="DIR", help="Hugging Face tokenizer, or `bytes`: one id a byte")
    parser.add_argument(
        "--vocabulary", metavar="NAME", default="extend",
        help="calliope, orpheus, an augmented.yaml (or its model's folder), or extend: new ids behind the tokenizer's "
        "for the codec of the corpus (default: extend)",
    )  # fmt: skip
    parser.add_argument("--max-tokens", type=int, metavar="N", help="cut longer documents (default: leave them whole)")
    parser.add_argument("--text-before-audio", action="store_true", help="documents begin with their transcript")
    parser.add_argument("--source", action="append", metavar="NAME", help="only this source (may be repeated)")
    parser.add_argument("--check", metavar="DIR", help="compare the files of a packed folder with their checksums")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from aoede.data.corpus import CorpusFolder
    from aoede.data.packed import PackedFolder, TextTokenizer, pack

    if args.check:
        folder = PackedFolder(args.check)
        folder.check()
        print(f"{args.check}  {len(folder.names)} sources, every file as it was written")
        return
    for name in ("corpus", "out", "tokenizer"):
        if getattr(args, name) is None:
            raise ValueError(f"{'CORPUS' if name == 'corpus' else '--' + name} is missing; see `aoede pack --help`")
    sources = CorpusFolder.open(args.corpus).sources
    options = {"max_tokens": args.max_tokens, "text_before_audio": args.text_before_audio, "only": args.source}
    print(pack(sources, TextTokenizer.open(args.tokenizer), args.vocabulary, args.out, progress=True, **options))
