"""Speaking from the command line: where the text comes from, what is printed, how it is played.

Owns the behaviour of `aoede speak`; the verb holds the options only. Knows nothing of how speech is made.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from aoede.generation.script import Turn, load_script
from aoede.generation.sound import Audio, SpokenTurn

PLAYERS = (
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"),
    ("paplay",),
    ("aplay", "-q"),
    ("afplay",),
)
"""Programs that play a WAV file named last, in the order they are tried."""


def speak(args: argparse.Namespace) -> Audio:
    """`aoede speak`: read the text or the script, speak, save, draw, play; prints what a person wants next.

    Raises:
        ValueError: no text or two texts, an output that cannot be written, no player, and what `Voice.speak` and
            `Voice.converse` raise.
    """
    turns = None if args.script is None else read_script(args)
    text = "" if turns is not None else read_text(args.text, args.file)
    if (args.reference is None) != (args.reference_text is None):
        raise ValueError("--reference FILE and --reference-text TEXT go together: a recording, and what is said in it")
    out = args.out or (None if args.play else "speech.wav")
    player = find_player() if args.play else None
    if out is not None:
        check_output(out)

    from aoede.generation.speech import Voice

    voice = Voice.from_pretrained(args.voice, device=args.device, voice_prompt=args.voice_prompt)
    how = {name: getattr(args, name) for name in ("seed", "temperature", "top_p", "top_k", "guidance", "speed")}
    if turns is not None:
        audio = voice.converse(turns, **how)
    else:
        audio = voice.speak(text, args.speaker, reference=args.reference, reference_text=args.reference_text, **how)
    if not len(audio.samples):
        raise ValueError(f"no sound came: {'; '.join(audio.notes)} (--seed)")
    if out is not None:
        print(f"written {audio.save(out)}")
    name = voice.name + (f" with the prompt {voice.voice_prompt.name}" if voice.voice_prompt is not None else "")
    print("\n".join(describe(audio, name)))
    if args.plot:
        print(f"drawn   {audio.plot(args.plot)}")
    sys.stdout.flush()
    if player is not None:
        play(audio, player)
    return audio


def describe(audio: Audio, voice: str) -> list[str]:
    """Length, speed, who and which take, then the notes."""
    who = f"voice {voice}" + (f", speaker {audio.speaker}" if audio.speaker else "") + f", seed {audio.seed}"
    return [
        f"{audio.duration:.2f} s of speech, {audio.real_time_factor:.2f} s of compute a second, "
        f"first sound after {audio.first_audio_seconds:.2f} s",
        who,
        *(map(describe_turn, audio.turns) if len(audio.turns) > 1 else ()),
        *(f"note: {note}" for note in audio.notes),
    ]


def describe_turn(turn: SpokenTurn) -> str:
    """When, who, what."""
    return f"{turn.start:7.2f} s  {turn.speaker or '-'}: {turn.text}"


def read_script(args: argparse.Namespace) -> list[Turn]:
    """The turns of `--script`, which goes without what a single text has."""
    for name in ("text", "file", "speaker", "reference", "reference_text"):
        if getattr(args, name) is not None:
            option = "a TEXT" if name == "text" else f"--{name.replace('_', '-')}"
            raise ValueError(f"--script has the texts, speakers and recordings of all turns: leave {option} out")
    return load_script(args.script)


def read_text(text: str | None, file: str | None) -> str:
    """The text of the argument, of a file, or of standard input for "-"."""
    if text is not None and file is not None:
        raise ValueError("both a text and --file are given; take one of them")
    if file is not None and file != "-":
        try:
            return Path(file).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{file} is not UTF-8 text: {error}") from error
    if text == "-" or file == "-":
        return sys.stdin.read()
    if text is None:
        raise ValueError('nothing to say: give a TEXT, --file PATH, or - for standard input (aoede speak "Hello.")')
    return text


def check_output(path: str) -> None:
    """Refuse, before any work, a name that could not be written after it."""
    from aoede.data.saving import written_rate

    written_rate(path, 24000)
    folder = Path(path).parent
    if not folder.is_dir():
        raise ValueError(f"{path} cannot be written: there is no folder {folder}")


def find_player() -> list[str]:
    """The command line of the first player that is installed."""
    for name, *options in PLAYERS:
        if program := shutil.which(name):
            return [program, *options]
    names = ", ".join(name for name, *_ in PLAYERS)
    raise ValueError(f"--play needs one of {names}, and none is installed (Debian: apt install ffmpeg or alsa-utils)")


def play(audio: Audio, player: list[str]) -> None:
    """Play through an installed program.

    Raises:
        ValueError: the player failed (with what it said).
    """
    with tempfile.TemporaryDirectory() as folder:
        path = audio.save(Path(folder) / "speech.wav")
        done = subprocess.run([*player, str(path)], capture_output=True, text=True)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ValueError(f"{Path(player[0]).name} could not play: {said[-1] if said else f'exit {done.returncode}'}")
