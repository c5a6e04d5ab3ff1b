"""Samples of voices: the same sentence by every speaker, as sound files and one page with players.

Owns the files that `aoede voices --samples` writes, what `samples.json` says of them, and the weights that it names.
How a voice speaks is `speech.py`'s; which samples a voice brings is shown by `roll.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tqdm import tqdm

from aoede.data.saving import FORMATS, file_sha256, replacing, write_json
from aoede.generation.voice_folder import VoiceSettings, find_voices

FOLDER, INDEX, PAGE = "samples", "samples.json", "index.html"
FORMAT = 1
SENTENCES = {
    "cs": "Takhle zním, když předčítám větu.",
    "de": "So klinge ich, wenn ich einen Satz vorlese.",
    "en": "This is how I sound when I read a sentence to you.",
    "es": "Así sueno cuando leo una frase.",
    "fr": "Voici ma voix quand je lis une phrase.",
    "it": "Questa è la mia voce quando leggo una frase.",
    "ru": "Вот так я звучу, когда читаю вам вслух.",
}
"""What is said where no text is given, by language."""

MARK = '<meta name="generator" content="aoede voices">'
"""In every page of ours: another page is not written over."""

STYLE = (
    ":root { color-scheme: light dark; } body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; "
    "max-width: 44rem; padding: 0 1rem; } figure { margin: 0 0 1rem; } audio { display: block; width: 100%; } "
    "small { opacity: .75; }"
)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One speaker's sample."""

    speaker: str
    """The voice's name where its speaker has none."""
    file: str
    """Beside `samples.json`."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class SampleSet:
    """What `samples.json` holds: samples of one voice, and which weights made them."""

    voice: str
    language: str
    text: str
    seed: int
    weights: Mapping[str, str]
    """See `weights_of`."""
    samples: tuple[Sample, ...]

    @classmethod
    def load(cls, folder: Path) -> SampleSet | None:
        """The samples of a folder; None where it holds none.

        Raises:
            ValueError: a `samples.json` that cannot be read, or that names files elsewhere.
        """
        path = folder / INDEX
        if not path.is_file():
            return None
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data.pop("format") != FORMAT:
                raise ValueError(f"this Aoede reads format {FORMAT}")
            found = cls(**{**data, "samples": tuple(Sample(**sample) for sample in data["samples"])})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path} is no list of samples (aoede voices --samples writes one): {error}") from error
        for sample in found.samples:
            if Path(sample.file).name != sample.file:
                raise ValueError(f"{path}: the sample of {sample.speaker} is {sample.file!r}, which is not beside it")
        return found

    def save(self, folder: Path) -> None:
        """Write `samples.json`."""
        samples = [{"speaker": s.speaker, "file": s.file, "seconds": round(s.seconds, 2)} for s in self.samples]
        told: dict[str, Any] = {name: getattr(self, name) for name in ("voice", "language", "text", "seed")}
        write_json(folder / INDEX, {"format": FORMAT, **told, "weights": dict(self.weights), "samples": samples})


def weights_of(voice: Path) -> dict[str, str]:
    """SHA-256 of every weight file of a voice folder, by its path in it: what a sample or a figure belongs to."""
    files = sorted(voice.glob("*/*.safetensors"))
    return {file.relative_to(voice).as_posix(): file_sha256(file) for file in files}


def digest(weights: Mapping[str, str]) -> str:
    """All weights of a voice in 12 letters, as reports name them."""
    lines = "".join(f"{name} {found}\n" for name, found in sorted(weights.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def write_samples(
    voices: Iterable[str],
    folder: str | Path,
    *,
    form: str = "wav",
    text: str | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> list[str]:
    """Speak a sentence by every speaker of every voice; write the sounds, `samples.json` and `index.html`.

    Args:
        voices: see `find_voice`; none takes all bundled ones. The files of several go into a folder each, by name.
        folder: is made; files of other names stay.
        form: wav, flac, ogg, mp3 or opus.
        text: None takes the language's own of `SENTENCES`.
        progress: None shows a bar on a terminal.
    Returns:
        a line for every speaker that said nothing.
    Raises:
        ValueError: an unknown form, a page of somebody else's in the folder, a language without a sentence, what
            `Voice.speak` raises.
    """
    if f".{form}" not in FORMATS:
        raise ValueError(f"format {form!r} is none of {', '.join(name[1:] for name in FORMATS)}")
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target} is a file; --samples takes a folder")
    if (target / PAGE).exists() and MARK not in (target / PAGE).read_text(encoding="utf-8", errors="replace"):
        raise ValueError(f"{target / PAGE} is another page: name a new folder, or move it away")
    found = [(source, VoiceSettings.load(source)) for source in find_voices(voices)]
    texts = [_sentence(settings) if text is None else text for _, settings in found]
    places = [target] if len(found) == 1 else [target / name for name in file_names([s.name for _, s in found])]
    bar = tqdm(total=sum(max(1, len(s.speakers)) for _, s in found), unit="speaker", disable=_hidden(progress))
    silent: list[str] = []
    sets = []
    with bar:
        for (source, settings), said, place in zip(found, texts, places, strict=True):
            sets.append(_speak(source, settings, said, place, form, seed, bar, silent))
    with replacing(target / PAGE) as temporary:
        temporary.write_text(_page(sets, places, target), encoding="utf-8")
    return silent


def file_names(names: Sequence[str]) -> list[str]:
    """Names as plain file names, in order: letters, digits, dots and dashes, told apart by numbers where need be."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "voice"
        number = 2
        unique = plain
        while unique.lower() in (other.lower() for other in found):
            unique, number = f"{plain}-{number}", number + 1
        found.append(unique)
    return found


def _sentence(settings: VoiceSettings) -> str:
    language = settings.text.language
    text = SENTENCES.get(language.partition("-")[0].lower())
    if text is None:
        raise ValueError(
            f"voice {settings.name!r} speaks {language}, and there is no sentence for it (there are: "
            f"{', '.join(SENTENCES)}): give one, --text"
        )
    return text


def _hidden(progress: bool | None) -> bool | None:
    """tqdm's `disable`: None leaves it to the terminal."""
    return None if progress is None else not progress


def _speak(
    source: Path, settings: VoiceSettings, text: str, place: Path, form: str, seed: int, bar: Any, silent: list[str]
) -> SampleSet:
    """All speakers of one voice."""
    from aoede.generation.speech import Voice

    voice = Voice.from_pretrained(source)
    speakers: Sequence[str | None] = voice.speakers or [None]
    names = [speaker or settings.name for speaker in speakers]
    place.mkdir(parents=True, exist_ok=True)
    samples = []
    for speaker, name, stem in zip(speakers, names, file_names(names), strict=True):
        bar.set_postfix_str(name)
        audio = voice.speak(text, speaker, seed=seed)
        if len(audio.samples):
            audio.save(place / f"{stem}.{form}")
            samples.append(Sample(speaker=name, file=f"{stem}.{form}", seconds=audio.duration))
        else:
            silent.append(f"{settings.name}, {name}: no sound came: {'; '.join(audio.notes)} (--seed)")
        bar.update()
    made = SampleSet(
        voice=settings.name,
        language=settings.text.language,
        text=text,
        seed=seed,
        weights=weights_of(source),
        samples=tuple(samples),
    )
    made.save(place)
    return made


def _page(sets: Sequence[SampleSet], places: Sequence[Path], folder: Path) -> str:
    """Players for all samples; needs no other file than the sounds."""
    body = "".join(
        f'<section><h2>{escape(one.voice)}</h2><p><span lang="{escape(one.language)}">{escape(one.text)}</span> '
        f"<small>Seed {one.seed}.</small></p>"
        f"{''.join(_players(one, place.relative_to(folder)))}</section>"
        for one, place in zip(sets, places, strict=True)
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{MARK}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Voices</title><style>{STYLE}</style></head><body><h1>Voices</h1>{body}</body></html>\n"
    )


def _players(samples: SampleSet, place: Path) -> Iterator[str]:
    for sample in samples.samples:
        name = escape(sample.speaker)
        yield (
            f"<figure><figcaption>{name} <small>{sample.seconds:.1f} s</small></figcaption>"
            f'<audio controls preload="none" aria-label="{name}" src="{quote((place / sample.file).as_posix())}">'
            "</audio></figure>"
        )
