"""`aoede embed`: vectors of recordings out of a prior, and what can be read off them. Knows only the options."""

import argparse

USAGE = """aoede embed MODEL INPUT [INPUT ...] --out FILE.parquet [--layer N] [--pool mean|last]
       aoede embed probe FILE.parquet --label language|speaker|quality [--values FILE] [--test SPLIT]"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "embed",
        usage=USAGE,
        help="vectors of recordings, and linear probes of them",
        description="Pool a layer of a prior's residual stream over recordings; or fit a linear probe on the vectors.",
    )
    parser.add_argument("model", metavar="MODEL", help="model folder, or the word probe")
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="prepared codes, a manifest, a folder of sound files, sound files"
    )
    parser.add_argument("--out", metavar="FILE.parquet", help="where the vectors go")
    parser.add_argument("--layer", type=int, default=-1, metavar="N", help="0 the ids' embedding .. N, -1 last (-1)")
    parser.add_argument("--pool", choices=("mean", "last"), default="mean", help="over positions, or the last (mean)")
    parser.add_argument("--codec", metavar="CODEC", help="whose codes the model learned (codec/ in or beside MODEL)")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--label", choices=("language", "speaker", "quality"), help="probe: what is read off")
    parser.add_argument("--values", metavar="FILE", help="probe: csv, tsv or jsonl with id and the label")
    parser.add_argument("--test", metavar="SPLIT", help="probe: split to test on (heldout, test, or cross-validation)")
    parser.add_argument("--seed", type=int, default=0, help="probe: of the folds and the intervals (0)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from aoede.evaluation.embed_command import embed_files, probe_file

    if args.model == "probe":
        if args.label is None or len(args.inputs) != 1:
            raise ValueError("aoede embed probe takes one FILE.parquet and --label language, speaker or quality")
        report = probe_file(args.inputs[0], args.label, values=args.values, test=args.test, seed=args.seed)
        print("\n".join(report.lines()))
        return 0
    if args.out is None:
        raise ValueError("where to? give --out FILE.parquet")
    options = {name: getattr(args, name) for name in ("layer", "pool", "codec", "device")}
    path, found, info = embed_files(args.model, args.inputs, args.out, **options)
    print(f"written {path}: {len(found)} recordings, {len(found[0].vector)} numbers each")
    print(f"layer {info.layer} of {info.num_layers}, {info.pool} over positions")
    return 0
