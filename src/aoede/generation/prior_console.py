"""A prior on the command line: what is opened, what is written, what a person reads next.

Owns the behaviour of `aoede generate`; the verb holds the options only. Knows nothing of how ids are drawn.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from aoede.generation.console import check_output
from aoede.generation.prior_stream import GeneratedAudio


def generate(args: argparse.Namespace) -> None:
    """`aoede generate KIND`: open the prior, generate, write, print.

    Raises:
        ValueError: an output that cannot be written, and what `Prior` raises.
    """
    from aoede.generation.prior import Prior

    is_text = args.kind == "text"
    if not is_text:
        check_output(args.out)
        if args.codes:
            check_codes_output(args.codes)
    prior = Prior.from_pretrained(
        args.model,
        codec=None if is_text else args.codec,
        device=args.device,
        backend="inductor" if args.compile else None,
        needs_codec=not is_text,
    )
    drawing = {"seed": args.seed, "temperature": args.temperature, "top_p": args.top_p, "top_k": args.top_k}
    if is_text:
        prompt = sys.stdin.read() if args.prompt == "-" else args.prompt
        print(prior.text(prompt, max_tokens=args.max_tokens, **drawing))
        return
    given = {name: getattr(args, name) for name in ("prefix", "suffix") if hasattr(args, name)}
    stream = prior.stream(args.seconds, text=args.text, min_seconds=args.min_seconds, **given, **drawing)
    audio = stream.collect()
    written = replace(audio, samples=audio.new_samples) if args.only_new else audio
    print(f"written {written.save(args.out)}")
    if args.codes:
        print(f"written {prior.save_codes(audio, args.codes)}")
    print("\n".join(describe(audio, str(prior.budget(args.seconds)))))
    if args.plot:
        print(f"drawn   {written.plot(args.plot)}")


def describe(audio: GeneratedAudio, budget: str) -> list[str]:
    """What was made of how much, how fast, and the notes."""
    start, stop = audio.made
    speed = audio.compute_seconds / max(stop - start, 1e-9)
    how = "ended by the model" if audio.end == "closed" else "cut at the budget"
    return [
        f"{stop - start:.2f} s generated, from {start:.2f} to {stop:.2f} of {audio.duration:.2f} s, {how}",
        f"budget {budget}, seed {audio.seed}, {speed:.2f} s of compute a generated second",
        *(f"note: {note}" for note in audio.notes),
    ]


def check_codes_output(path: str) -> None:
    """Refuse, before any work, a name that could not be written after it."""
    from aoede.data.saving import check_target

    if not path.endswith(".snac"):
        raise ValueError(f"{path}: codes are written as .snac files; choose such a name")
    check_target(path)
