"""The entry point of the command `aoede`.

Owns the list of verbs, how errors are told and which exit codes are given. Knows nothing of what a verb does: each is a
module beside this one with `add(subparsers)`, which adds its parser and sets `run=` to the function that does the work.
Nothing heavy is imported before a verb runs, so that `aoede --help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

VERBS = (
    "speak",
    "voices",
    "serve",
    "generate",
    "codec",
    "data",
    "prepare",
    "converse",
    "pack",
    "mix",
    "extend",
    "train",
    "checkpoint",
    "evaluate",
    "embed",
    "export",
)
"""In the order of the help; each is the module `aoede.cli.<verb>`."""

EXIT_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

# Which extra of pyproject.toml brings a package that some verbs need and speaking does not.
EXTRAS = {
    "matplotlib": "plot",
    "datasets": "hub",
    "faster_whisper": "eval",
    "tensorboard": "train",
    "accelerate": "train",
    "peft": "train",
    "trl": "train",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "ray": "ray",
    "fastapi": "serve",
    "python_multipart": "serve",
    "prometheus_client": "serve",
    "uvicorn": "serve",
}

EPILOG = """\
exit codes: 0 done, 1 a bug (with its traceback), 2 an input or option that cannot be used,
3 done, but for the files that are listed, 130 interrupted.
AOEDE_TRACEBACK=1 shows the traceback of every error."""


class Version(argparse.Action):
    """Prints the version, read from the installed package only when asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: object) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version and stop")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"aoede {version('aoede')}")
        parser.exit()


def build_parser(names: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of `aoede` with the given verbs."""
    parser = argparse.ArgumentParser(
        prog="aoede",
        description="Codec language models: train a codec, teach a language model its codes, speak.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=Version)
    subparsers = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name in names:
        importlib.import_module(f"aoede.cli.{name}").add(subparsers)
    return parser


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """As `parse_args`, but KEY=VALUE overrides may also stand after an option, where argparse alone refuses them."""
    options, rest = parser.parse_known_args(arguments)
    if rest and hasattr(options, "overrides") and all("=" in word and not word.startswith("-") for word in rest):
        options.overrides = [*options.overrides, *rest]
        return options
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return options


def describe(error: Exception) -> str:
    """One line for a person: the file and what is wrong with it, or the message."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, ModuleNotFoundError):
        name = (error.name or "").partition(".")[0]
        return f"this needs the package {name}, which is not installed: pip install 'aoede[{EXTRAS[name]}]'"
    return " ".join(str(error).split()) or type(error).__name__


def is_input_error(error: Exception) -> bool:
    """Whether the user can mend it: a bad value, a file that cannot be used, an extra that is not installed."""
    if isinstance(error, ModuleNotFoundError):
        return (error.name or "").partition(".")[0] in EXTRAS
    return isinstance(error, (ValueError, OSError))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # The verb that is asked for is all that is imported; help and a wrong word want all of them.
    wanted = arguments[:1] if arguments and arguments[0] in VERBS else VERBS
    options = parse(build_parser(wanted), arguments)
    try:
        code = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("aoede: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (`head`, say) has what it wanted. Python flushes stdout once more as it ends: let it go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except Exception as error:
        if os.environ.get("AOEDE_TRACEBACK") or not is_input_error(error):
            raise
        print(f"aoede: error: {describe(error)}", file=sys.stderr)
        return EXIT_INPUT
    return int(code or 0)


if __name__ == "__main__":
    sys.exit(main())
