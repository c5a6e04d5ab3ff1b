"""Evaluators that are commands: a program that is given sound files prints the words it hears, or a number.

Owns how such a program is named, started, timed out and read. Knows nothing of clips or figures. Programs are started
without a shell: a text or a path is one argument, whatever characters it has.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aoede.data.audio import AudioError, load_audio
from aoede.data.saving import save_audio

__all__ = [
    "TIMEOUT_SECONDS",
    "AudioCommand",
    "CommandFailed",
    "CommandRecogniser",
    "CommandSimilarity",
    "last_number",
]

TIMEOUT_SECONDS = 300.0
PLACES = {
    "{audio}": ", the file that it should hear (or write)",
    "{reference}": ", the file to compare with",
    "{text}": ", what it should say",
}
SILENCE = 1e-3
"""Audio whose peak is below this says nothing about who speaks."""


class CommandFailed(ValueError):
    """The program gave no answer: it ended with an error, took too long, or printed something else."""


class AudioCommand:
    """A command line with places for files and words.

    Args:
        name: what messages call it.
        command: words as in a shell; a place such as `{audio}` stands for a file or a word wherever it occurs.
        needs: places that must occur.
        timeout: seconds for one run.
    Raises:
        ValueError: quotes that do not close, a needed place that is missing, or a program that is not here.
    """

    def __init__(
        self,
        name: str,
        command: str,
        *,
        needs: Sequence[str] = ("{audio}",),
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self.name, self.timeout = name, timeout
        try:
            self.words = shlex.split(command)
        except ValueError as error:
            raise ValueError(f"the command of {name} cannot be read ({error}): {command}") from error
        for place in needs:
            if not self.has(place):
                raise ValueError(f"the command of {name} names no {place}{PLACES.get(place, '')}: {command}")
        if shutil.which(self.words[0]) is None:
            raise ValueError(f"the command of {name} begins with {self.words[0]}, which is not a program here")

    @property
    def program(self) -> str:
        """The program's name, without its folder."""
        return Path(self.words[0]).name

    def has(self, place: str) -> bool:
        """Whether the command names this place."""
        return any(place in word for word in self.words)

    def run(
        self,
        sounds: Mapping[str, tuple[NDArray[np.float32], int]],
        words: Mapping[str, str] | None = None,
    ) -> str:
        """What the program prints.

        Args:
            sounds: samples [T] and their rate by place; written as WAV files (16 bit, mono) for those that occur.
            words: what other places stand for.
        Raises:
            CommandFailed: no answer, with the last line that it said.
        """
        with tempfile.TemporaryDirectory(prefix="aoede-command-") as folder:
            return self._run(Path(folder), sounds, words or {})

    def sound(
        self,
        sounds: Mapping[str, tuple[NDArray[np.float32], int]],
        words: Mapping[str, str] | None = None,
    ) -> tuple[NDArray[np.float32], int]:
        """The sound that the program writes where the place `{audio}` stands: samples [T] and their rate.

        Raises:
            CommandFailed: as `run`, and where it wrote no sound.
        """
        with tempfile.TemporaryDirectory(prefix="aoede-command-") as folder:
            written = Path(folder) / "audio.wav"
            self._run(Path(folder), sounds, {**(words or {}), "{audio}": str(written)})
            if not written.is_file():
                raise CommandFailed("it ended well, but wrote no file where {audio} stands")
            try:
                return load_audio(written)
            except AudioError as error:
                raise CommandFailed(f"what it wrote cannot be read: {error}") from error

    def _run(
        self, folder: Path, sounds: Mapping[str, tuple[NDArray[np.float32], int]], words: Mapping[str, str]
    ) -> str:
        values = dict(words)
        for place, (samples, rate) in sounds.items():
            if self.has(place):
                path = folder / f"{place.strip('{}')}.wav"
                save_audio(path, samples, rate)
                values[place] = str(path)
        # All places at once: a text that itself holds "{audio}" stays as it is.
        pattern = re.compile("|".join(re.escape(place) for place in values) or "(?!)")
        line = [pattern.sub(lambda match: values[match.group()], word) for word in self.words]
        try:
            # A group of its own: a program that hangs ends with all that it started, which would hold the pipes.
            process = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                errors="replace", start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise CommandFailed(f"it could not be started: {error}") from error
        with process:
            try:
                printed, complained = process.communicate(timeout=self.timeout)
            except BaseException as error:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise CommandFailed(f"no answer within {self.timeout:g} s") from error
                raise
        if process.returncode:
            said = (complained.strip() or printed.strip()).splitlines()
            raise CommandFailed(f"exit code {process.returncode}{': ' + said[-1] if said else ''}")
        return printed


def last_number(printed: str) -> float:
    """The last number of what a program printed.

    Raises:
        CommandFailed: there is none.
    """
    numbers = re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", printed)
    if not numbers:
        raise CommandFailed("it printed no number")
    return float(numbers[-1])


class CommandRecogniser:
    """A command that prints the words of `{audio}`; `{language}` stands for the text's two-letter code.

    Raises:
        ValueError: see `AudioCommand`.
    """

    def __init__(self, command: str, timeout: float = TIMEOUT_SECONDS) -> None:
        self._command = AudioCommand("the recogniser", command, timeout=timeout)
        self.name = f"command {self._command.program}"

    def transcribe(self, audio: NDArray[np.float32], sample_rate: int, language: str = "en") -> str:
        """See `Recogniser`; lines are joined by spaces.

        Raises:
            CommandFailed: the program gave no answer.
        """
        printed = self._command.run({"{audio}": (audio, sample_rate)}, {"{language}": language[:2]})
        return " ".join(printed.split())


class CommandSimilarity:
    """A command that prints how alike the speakers of `{audio}` and `{reference}` are; higher is more alike.

    Raises:
        ValueError: see `AudioCommand`.
    """

    def __init__(self, command: str, timeout: float = TIMEOUT_SECONDS) -> None:
        self._command = AudioCommand("the speaker encoder", command, needs=("{audio}", "{reference}"), timeout=timeout)
        self.name = f"command {self._command.program}"

    def compare(
        self,
        audio: NDArray[np.float32],
        sample_rate: int,
        reference: NDArray[np.float32],
        reference_rate: int,
    ) -> float | None:
        """See `SpeakerComparison`.

        Raises:
            CommandFailed: the program gave no answer.
        """
        if not len(audio) or float(np.abs(audio).max()) < SILENCE:
            return None
        return last_number(
            self._command.run({"{audio}": (audio, sample_rate), "{reference}": (reference, reference_rate)})
        )
