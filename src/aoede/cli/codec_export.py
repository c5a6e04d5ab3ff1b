"""`aoede codec export`: the codec as an ONNX graph. Knows only the options and what to print."""

import argparse


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    export = verbs.add_parser("export", help="the decoder, or one step of its stream, as an ONNX graph")
    export.add_argument("codec", metavar="DIR", help="codec folder or hub repository")
    export.add_argument("target", metavar="OUT.onnx")
    kinds = export.add_mutually_exclusive_group()
    kinds.add_argument("--streaming", action="store_true", help="one step of the decoder, with its state in and out")
    kinds.add_argument("--encoder", action="store_true", help="the encoder instead: audio in, codes out")
    export.add_argument("--no-noise", action="store_true", help="leave out the decoder's noise and its inputs")
    export.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    import logging

    from aoede.codec import Snac
    from aoede.codec.export import export_decoder, export_encoder

    # The exporter tells what it skips of packages that this network does not use.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    codec = Snac.from_pretrained(args.codec)
    if args.encoder:
        path = export_encoder(codec, args.target)
    else:
        path = export_decoder(codec, args.target, streaming=args.streaming, noise=not args.no_noise)
    kind = "encoder" if args.encoder else "decoder, one step of a stream" if args.streaming else "decoder"
    print(f"{path}  {kind}, {path.stat().st_size / 1e6:.1f} MB; its metadata `aoede` says what goes in and comes out")
