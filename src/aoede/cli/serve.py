"""`aoede serve`: voices over HTTP, as OpenAI's speech API. Knows the options; `aoede.serving` serves."""

import argparse


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "serve", help="speak over HTTP, with a page", description="Serve voices as OpenAI's speech API, with a page."
    )
    add_option = parser.add_argument
    add_option(
        "--voice",
        action="append",
        metavar="VOICE",
        help="voice folder, bundled name or hub repository; may be repeated",
    )
    add_option("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 is every one (127.0.0.1)")
    add_option("--port", type=int, default=8000, help="0 takes a free one (8000)")
    add_option("--slots", type=int, metavar="N", help="requests that speak at the same time, a voice (8)")
    add_option("--queue", type=int, metavar="N", help="requests that wait, a voice; more are refused with 429 (32)")
    add_option("--threads", type=int, metavar="N", help="threads of torch")
    add_option("--max-characters", type=int, metavar="N", help="the longest text (4096)")
    add_option("--max-upload-mb", type=float, metavar="MB", help="the largest recording to speak like (10)")
    add_option("--max-reference-seconds", type=float, metavar="S", help="the longest recording to speak like (30)")
    add_option("--timeout", type=float, metavar="S", help="the longest that a request may have its slot (600)")
    add_option("--stall", type=float, metavar="S", help="a client that reads or sends nothing so long is let go (30)")
    add_option("--drain", type=float, metavar="S", help="what began may take so long after SIGTERM (30)")
    add_option("--token-file", metavar="FILE", help="file with the token that clients must send (AOEDE_TOKEN)")
    add_option("--no-page", action="store_true", help="leave out the page at /")
    add_option("--device", default="cpu", help="cpu (default) or cuda")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from aoede.cli.allocator import keep_freed_memory
    from aoede.serving.command import serve

    keep_freed_memory()
    serve(args)
    return 0
