"""Makes docs/samples anew: sounds, spectrograms, samples.json and README.md.

    python docs/samples/make.py [--voice FOLDER] [--corpus FOLDER] [--out FOLDER]

Nothing is chosen by ear: the sentences stand below, the held-out clips follow from a rule, and every clip is the first
take. Needs the extra `plot` and the folder of the corpus that the voice was held out from; takes a minute on one core.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from aoede.data.audio import load_audio
from aoede.data.manifest import Clip, load_manifest
from aoede.data.saving import replacing, save_audio, write_json
from aoede.generation import Voice, find_voice
from aoede.generation.samples import weights_of
from aoede.generation.sound import mel_spectrogram

HERE = Path(__file__).resolve().parent
CORPUS = HERE.parents[2] / "shared" / "corpus" / "synthetic"
SEED = 0
SPEAKERS = ("af_heart", "am_michael", "bf_emma", "bm_george", "af_sarah")
"""Who says a held-out sentence: the four that the voice heard most, and one heard little."""
SHORTEST, LONGEST = 3.0, 8.0
VERSIONS = {"recording": "recording", "codec": "codec round trip", "voice": "voice"}


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """What is said by whom, and what it shows."""

    name: str
    speaker: str
    shows: str
    text: str


SENTENCES = (
    Sentence(
        name="greeting",
        speaker="af_heart",
        shows="a greeting",
        text="Good morning! It is lovely to hear from you again.",
    ),
    Sentence(
        name="numbers",
        speaker="bm_george",
        shows="a date, a time, numbers, money",
        text="On March 3rd, 2027, at 7:45 a.m., 1,250 people paid $18.50 each.",
    ),
    Sentence(
        name="question",
        speaker="am_michael",
        shows="a question",
        text="Would you rather walk along the river, or shall we take the bus?",
    ),
    Sentence(
        name="names",
        speaker="af_sarah",
        shows="names; a speaker heard little",
        text="Amelia Hartwell and her brother Oscar moved from Copenhagen to Dublin.",
    ),
    Sentence(
        name="abbreviations",
        speaker="am_liam",
        shows="abbreviations; a speaker heard little",
        text="Mr. Lee lives at 21 Baker St., approx. 5 km from the station.",
    ),
    Sentence(
        name="paragraph",
        speaker="bf_emma",
        shows="a paragraph",
        text="The harbour was quiet that evening. A few boats rocked at their ropes, and somewhere behind the "
        "warehouse a dog barked twice and then thought better of it. Mara put down her basket, looked at the grey "
        "water for a while, and wondered whether the ferry would come at all. When it finally did, an hour late, "
        "nobody complained: they were simply glad to be going home.",
    ),
)
"""Written before any voice said them; they stay the same from voice to voice."""

PAGE = """\
# Samples

What the bundled voice sounds like: {num_free} sentences of this page, and {num_heldout} that were held out from its
training, beside the recording and the codec's round trip of it, which is what the voice could reach at best.

Nothing here was chosen by ear. The sentences were written before any voice said them; the held-out clips are, for each
speaker, the first of {shortest:g} to {longest:g} seconds in the manifest; every clip of the voice is the first take,
seed {seed}, as `aoede speak` says it. One command makes this page, its sounds and its pictures anew:

    python docs/samples/make.py --corpus ../shared/corpus/synthetic

`aoede voices` has [a sample of every speaker](../speaking.md#who-speaks); how good the voice is in figures stands in
[the bundled voice](../results/bundled_voice.md). Sounds are Ogg Vorbis; pictures are mel spectrograms, 80 bands and
80 dB, those of one row on the same scale of time.

## Sentences of this page

{free}

## Held-out sentences

{heldout}

## Where they come from

Made by `{voice}`, weights (SHA-256) {weights}; [samples.json](samples.json) has
them whole.

The recordings are clips of the corpus `synthetic`, split `heldout`, spoken by the synthesiser Kokoro-82M (Apache-2.0);
their sentences are from the stories of the game Battle for Wesnoth (GPL-2+) and the Debian Administrator's Handbook
(GPL-2+ / CC-BY-SA 3.0). Nobody's own voice is in them.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", metavar="FOLDER", help="the voice (aoede-small)", default="aoede-small")
    parser.add_argument("--corpus", type=Path, metavar="FOLDER", default=CORPUS, help="holds manifest.jsonl")
    parser.add_argument("--out", type=Path, metavar="FOLDER", default=HERE, help="where it goes (docs/samples)")
    args = parser.parse_args()
    try:
        make(find_voice(args.voice), args.corpus, args.out)
    except ValueError as error:
        parser.error(str(error))


def make(
    folder: Path, corpus: Path, out: Path, sentences: Sequence[Sentence] = SENTENCES, speakers: Sequence[str] = SPEAKERS
) -> None:
    """Writes the sounds, then the pictures, then samples.json and README.md.

    Raises:
        ValueError: no manifest, a speaker without a held-out clip, a sentence that the voice does not say.
    """
    clips = heldout(corpus, speakers)
    voice = Voice.from_pretrained(folder)
    out.mkdir(parents=True, exist_ok=True)
    told = []
    for sentence in sentences:
        print(f"{sentence.name} ({sentence.speaker})", flush=True)
        files = keep(out, sentence.name, {"voice": say(voice, sentence.text, sentence.speaker)}, voice.sample_rate)
        told.append(
            {"held out": False, "shows": sentence.shows, "text": sentence.text, "speaker": sentence.speaker} | files
        )
    for number, clip in enumerate(clips, 1):
        print(f"held out: {clip.text}", flush=True)
        recording, _ = load_audio(clip.audio_source(), voice.sample_rate)
        sounds = {
            "recording": recording,
            "codec": roundtrip(voice, recording),
            "voice": say(voice, clip.text, str(clip.speaker)),
        }
        files = keep(out, f"heldout-{number}", sounds, voice.sample_rate)
        told.append({"held out": True, "clip": clip.id, "text": clip.text, "speaker": clip.speaker} | files)
    weights = weights_of(folder)
    write_json(out / "samples.json", {"voice": voice.name, "seed": SEED, "weights": weights, "samples": told})
    with replacing(out / "README.md") as temporary:
        temporary.write_text(page(voice.name, weights, told), encoding="utf-8")
    print(f"written {out / 'README.md'}")


def heldout(corpus: Path, speakers: Sequence[str]) -> list[Clip]:
    """For each speaker the first held-out clip of the manifest that is neither short nor long."""
    clips = [clip for clip in load_manifest(corpus / "manifest.jsonl") if clip.split == "heldout" and clip.text]
    found = []
    for speaker in speakers:
        own = [clip for clip in clips if clip.speaker == speaker and SHORTEST <= seconds(clip) <= LONGEST]
        if not own:
            raise ValueError(f"{corpus}: no held-out clip of {SHORTEST:g} to {LONGEST:g} s by {speaker}")
        found.append(own[0])
    return found


def seconds(clip: Clip) -> float:
    samples, rate = load_audio(clip.audio_source())
    return len(samples) / rate


def say(voice: Voice, text: str, speaker: str) -> NDArray[np.float32]:
    """The first take."""
    audio = voice.speak(text, speaker, seed=SEED)
    if not len(audio.samples):
        raise ValueError(f"{speaker} says nothing to {text!r}: {'; '.join(audio.notes)}")
    return audio.samples


def roundtrip(voice: Voice, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sound to codes and back."""
    with torch.inference_mode():
        codes = voice.codec.encode(torch.from_numpy(np.clip(samples, -1, 1))[None, None])
        return voice.codec.decode(codes, length=len(samples))[0, 0].numpy()


def keep(out: Path, name: str, sounds: Mapping[str, NDArray[np.float32]], rate: int) -> dict[str, object]:
    """Writes each version and its picture; pictures have the time scale of the longest."""
    longest = max(map(len, sounds.values())) / rate
    files = {}
    for version, samples in sounds.items():
        stem = f"{name}-{version}" if len(sounds) > 1 else name
        save_audio(out / f"{stem}.ogg", samples, rate)
        draw(out / f"{stem}.png", samples, rate, longest)
        files[version] = {"sound": f"{stem}.ogg", "picture": f"{stem}.png", "seconds": round(len(samples) / rate, 2)}
    return {"files": files}


def draw(path: Path, samples: NDArray[np.float32], rate: int, longest: float) -> None:
    """The mel spectrogram of `Audio.plot`, small: 128 colours are a third of the bytes of all."""
    figure = Figure(figsize=(4.8 if longest < 10 else 9.6, 1.9), layout="constrained")
    axes = figure.subplots()
    picture = mel_spectrogram(samples, rate)
    extent = (0, len(samples) / rate, 0, len(picture))
    axes.imshow(picture, origin="lower", aspect="auto", extent=extent, vmin=-80, vmax=0)
    axes.set_xlim(0, longest)
    axes.set_ylabel("mel band")
    axes.set_xlabel("seconds")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    image = Image.open(buffer).convert("RGB").quantize(128)
    with replacing(path) as temporary:
        image.save(temporary, format="PNG", optimize=True)


def page(voice: str, weights: Mapping[str, str], told: Sequence[Mapping[str, object]]) -> str:
    """README.md."""
    free = [sample for sample in told if not sample["held out"]]
    held = [sample for sample in told if sample["held out"]]
    free_rows = ["| what it shows | sentence | speaker | voice |", "|---|---|---|---|"]
    free_rows += [f"| {s['shows']} | {s['text']} | `{s['speaker']}` | {cell(s, 'voice')} |" for s in free]
    held_rows = [f"| sentence | {' | '.join(VERSIONS.values())} |", "|---|---|---|---|"]
    held_rows += [f"| {s['text']} `{s['speaker']}` | {' | '.join(cell(s, v) for v in VERSIONS)} |" for s in held]
    return PAGE.format(
        num_free=len(free),
        num_heldout=len(held),
        shortest=SHORTEST,
        longest=LONGEST,
        seed=SEED,
        voice=voice,
        weights=", ".join(f"{name} `{found[:16]}`" for name, found in weights.items()),
        free="\n".join(free_rows),
        heldout="\n".join(held_rows),
    )


def cell(sample: Mapping[str, object], version: str) -> str:
    """A link to the sound, and the picture under it."""
    files = sample["files"]
    assert isinstance(files, dict)
    file = files[version]
    told = f"{VERSIONS[version]}, {sample['speaker']}"
    return f"[play, {file['seconds']:.1f} s]({file['sound']})<br>![{told}]({file['picture']})"


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "agg")
    main()
