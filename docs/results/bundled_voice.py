"""Makes the documents say what was measured of the bundled voice: after new weights were bundled and evaluated, run

    aoede evaluate speech bundled ../shared/corpus/synthetic/manifest.jsonl --recogniser whisper-base --out report
    python docs/results/bundled_voice.py report/report.json [--system LABEL] [--heard MANIFEST ...]

It keeps the report's figures in bundled_voice.json and writes what follows from them between the marks `<!-- NAME -->`
and `<!-- /NAME -->` of README.md, bundled_voice.md and the voice's card; then the voice says the README's sentence for
docs/images/speech.png, and the README's Python runs for what it prints. Everything outside the marks is a person's.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aoede.data.manifest import load_manifest
from aoede.data.saving import replacing, write_json
from aoede.evaluation.figures import FIGURES, WORD_ERRORS, Figure
from aoede.evaluation.intervals import Interval
from aoede.evaluation.report import markdown_table
from aoede.generation import VoiceSettings, find_voice
from aoede.generation.roll import SPEAKERS_FILE, SpeakerNotes
from aoede.generation.samples import digest, weights_of

ROOT = Path(__file__).resolve().parents[2]
VOICE = "aoede-small"
"""The bundled voice that the README tells of."""
KEPT = "docs/results/bundled_voice.json"
RESULTS = "docs/results/bundled_voice.md"
SYSTEMS = {"recording": "recordings", "codec": "codec round trip", "voice": "voice"}
OPINION = "DistillMOS"
MEGABYTES = 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, metavar="REPORT.json", help="of `aoede evaluate speech`")
    parser.add_argument("--system", metavar="LABEL", help="the bundled voice's label (the first voice of the report)")
    parser.add_argument("--heard", type=Path, nargs="*", metavar="MANIFEST", help="what it learnt from: counts minutes")
    parser.add_argument("--trust", action="store_true", help="take a report that does not name its weights")
    args = parser.parse_args()
    try:
        fill(ROOT, args.report, find_voice(VOICE), system=args.system, heard=args.heard, trust=args.trust)
        redraw(ROOT)
    except (ValueError, OSError) as error:
        parser.error(str(error))


def fill(
    root: Path,
    report: Path,
    voice: Path,
    *,
    system: str | None = None,
    heard: Sequence[Path] | None = None,
    trust: bool = False,
) -> None:
    """Writes bundled_voice.json, the minutes in speakers.json, and every region.

    Raises:
        ValueError: no report of `aoede evaluate speech`, of other weights, without word errors; a document without one
            of its regions. Nothing is written then.
    """
    try:
        found = kept(json.loads(report.read_text(encoding="utf-8")), voice, system, trust)
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{report} is no report.json of `aoede evaluate speech`: {error!r}") from error
    documents = {path: (root / path).read_text(encoding="utf-8") for path in regions(found)}
    for path, parts in regions(found).items():
        for name, body in parts.items():
            documents[path] = with_region(documents[path], name, body, path)
    write_json(root / KEPT, found)
    if heard:
        write_json(
            voice / SPEAKERS_FILE, {"about": dict(SpeakerNotes.load(voice).about), "minutes": minutes(heard, voice)}
        )
    for path, text in documents.items():
        write(root / path, text)
        print(f"written {path}")


def redraw(root: Path) -> None:
    """Draws the README's first sentence, and lets its Python say what it prints."""
    from aoede.generation import Voice

    readme = (root / "README.md").read_text(encoding="utf-8")
    said = re.search(r'make speak TEXT="(.+?)"', readme)
    if said is None:
        raise ValueError('README.md has no make speak TEXT="..." to draw')
    Voice.from_pretrained().speak(said.group(1), seed=0).plot(root / "docs/images/speech.png")
    write(root / "README.md", with_printed(readme))
    print("drawn   docs/images/speech.png, and README.md says what its Python prints")


# -- what is kept of a report -----------------------------------------------------------------------------------------


def kept(report: Mapping[str, Any], voice: Path, system: str | None = None, trust: bool = False) -> dict[str, Any]:
    """The figures of a report that the documents need, and the weights that they belong to."""
    systems = report["systems"]
    labels = [name for name in systems if "source" in systems[name]]
    label = system or next(iter(labels), "voice")
    if label not in labels:
        raise ValueError(f"the report has no voice {label!r}; it has: {', '.join(labels) or 'none'}")
    if not {"recording", "codec"} <= set(systems):
        raise ValueError(
            "the report has no recordings of the same texts with their codec round trip: measure a manifest"
        )
    weights = weights_of(voice)
    named = re.search(r"weights (\w{12})", systems[label]["source"])
    if named is None and not trust:
        raise ValueError(f"{label} of the report does not name its weights; measure again, or say --trust")
    if named is not None and named.group(1) != digest(weights):
        raise ValueError(f"{label} of the report has weights {named.group(1)}, but {voice} has {digest(weights)}")
    if systems[label]["figures"].get(WORD_ERRORS.name) is None:
        raise ValueError("the report has no word errors: measure with --recogniser")
    chosen = {"recording": systems["recording"], "codec": systems["codec"], "voice": systems[label]}
    shown = [figure for figure in report["figures"] if any(s["figures"].get(figure["name"]) for s in chosen.values())]
    size = sum((voice / name).stat().st_size for name in weights)
    return {
        "voice": VoiceSettings.load(voice).name,
        "weights": weights,
        "weights named by the report": named is not None,
        "megabytes": round(size / MEGABYTES, 1),
        "settings": {name: value for name, value in report["settings"].items() if not name.startswith("system ")},
        "num_speakers": len(systems[label]["speakers"]),
        "figures": [{name: figure[name] for name in ("name", "unit", "better", "meaning")} for figure in shown],
        "systems": {
            name: {f["name"]: found["figures"].get(f["name"]) for f in shown} for name, found in chosen.items()
        },
        "word errors above the recordings": {
            name: found["word errors above the recordings"] for name, found in chosen.items()
        },
        "where it goes wrong": {name: found["where it goes wrong"] for name, found in chosen.items()},
        "speaker similarity of strangers": report["speaker similarity of strangers"],
        "levels": report["codecs"][0]["levels"],
        "not measured": [*report["not available"], *report["failures"]],
    }


def minutes(manifests: Sequence[Path], voice: Path) -> dict[str, float]:
    """Minutes of the training clips of each speaker of the voice; those of a manifest without splits all count."""
    total: Counter[str] = Counter()
    for manifest in manifests:
        clips = load_manifest(manifest)
        for clip in clips:
            if clip.split in ("train", "") and clip.speaker and clip.seconds:
                total[clip.speaker] += clip.seconds / 60
    return {name: round(total[name], 1) for name in VoiceSettings.load(voice).speakers if total[name]}


# -- what follows from it ---------------------------------------------------------------------------------------------


def regions(found: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What stands between which marks of which document."""
    card = f"src/aoede/voices/{found['voice']}/README.md"
    size = f"{found['megabytes']:.0f} MB of weights"
    return {
        "README.md": {"figures": short_table(found)},
        card: {"size": size, "verdict": verdict(found), "figures": f"{measured(found)}\n\n{full_table(found)}"},
        RESULTS: {
            "figures": f"{full_table(found)}\n\n{command(found)}",
            "codes": f"{levels(found)}\n\n{notes(found)}",
            "aims": aims(found),
        },
    }


def figures_of(found: Mapping[str, Any]) -> Iterator[Figure]:
    """The figures that were measured; a further measure is shown with two digits."""
    known = {figure.name: figure for figure in FIGURES}
    for told in found["figures"]:
        other = replace(WORD_ERRORS, name=told["name"], unit=told["unit"], digits=2, better=told["better"])
        yield known.get(told["name"], other)


def interval(found: Mapping[str, Any], system: str, name: str) -> Interval | None:
    value = found["systems"][system].get(name)
    return None if value is None else Interval(**value)


def full_table(found: Mapping[str, Any]) -> str:
    """Every figure with its interval: the table of report.md."""
    rows = [
        [figure.title, *(figure.show(interval(found, system, figure.name)) for system in SYSTEMS)]
        for figure in figures_of(found)
    ]
    added = [found["word errors above the recordings"][system] for system in SYSTEMS]
    shown = [WORD_ERRORS.show(None if value is None else Interval(**value)) for value in added]
    return table(["", *SYSTEMS.values()], [*rows, ["word errors above the recordings (points)", *shown]])


def short_table(found: Mapping[str, Any]) -> str:
    """What a person asks first, under one sentence."""
    names = {
        "word errors": "words misheard by the recogniser",
        "speaker similarity": "likeness to the speaker, 1 at most",
        OPINION: f"opinion predicted by {OPINION}, 1 to 5",
        "faulty clips": "clips with a loop, a cut, a long pause",
        "real-time factor": "seconds of computing a second of speech",
        "first audio": "first sound after",
    }
    known = {figure.name: figure for figure in figures_of(found)}
    rows = []
    for name, words in names.items():
        if name in known:
            figure = replace(known[name], digits=min(known[name].digits, 2))
            unit = f" {figure.unit}" if figure.unit else ""
            cells = [interval(found, system, name) for system in SYSTEMS]
            rows.append([words, *("-" if cell is None else figure.show(cell, False) + unit for cell in cells)])
    threads = found["settings"].get("threads", "1")
    told = (
        f"{found['megabytes']:.0f} MB of weights; {texts(found)} held-out sentences of {found['num_speakers']} "
        f"speakers, recogniser {found['settings']['recogniser']}, {threads} thread{'s' * (threads != '1')}:"
    )
    return f"{told}\n\n{table(['', *SYSTEMS.values()], rows)}"


def texts(found: Mapping[str, Any]) -> str:
    """How many were spoken: "60" of "60 of 157"."""
    return str(found["settings"]["texts"]).partition(" ")[0]


def measured(found: Mapping[str, Any]) -> str:
    told = f"{texts(found)} held-out sentences; recogniser {found['settings']['recogniser']}"
    return f"{told}; in brackets 95 % intervals.\nAll of it, with the commands: `{RESULTS}`."


def verdict(found: Mapping[str, Any]) -> str:
    """One clause on word errors."""
    voice, recording = (per_cent(interval(found, system, WORD_ERRORS.name)) for system in ("voice", "recording"))
    return (
        f"on held-out sentences a recogniser gets {voice} of its words wrong, where it gets {recording} of the "
        "recordings' wrong"
    )


def per_cent(value: Interval | None) -> str:
    return "-" if value is None else f"{WORD_ERRORS.show(value, False)} %"


def command(found: Mapping[str, Any]) -> str:
    """What to type to measure it again."""
    settings = found["settings"]
    count, _, whole = str(settings["texts"]).partition(" of ")
    limit = f" --limit {count}" if whole and whole != count else ""
    return (
        "Measured by\n\n"
        "    aoede evaluate speech bundled ../shared/corpus/synthetic/manifest.jsonl --split heldout \\\n"
        f"        --recogniser {settings['recogniser']}{limit} --seed {settings['seed']} --out report\n\n"
        f"on weights `{digest(found['weights'])}`. In brackets: 95 % intervals, bootstrap over clips."
    )


def levels(found: Mapping[str, Any]) -> str:
    """How the codec's books are used."""
    rows = [
        [str(i), f"{use['utilisation']:.1%}", f"{use['perplexity']:.0f}", f"{use['bits']:.2f}", f"{use['num_codes']:,}"]
        for i, use in enumerate(found["levels"])
    ]
    return table(["level", "codes used", "perplexity", "bits a code", "codes counted"], rows)


def notes(found: Mapping[str, Any]) -> str:
    """Settings, and what was not measured."""
    lines = [f"- {name}: {value}" for name, value in found["settings"].items()]
    floor = found["speaker similarity of strangers"]
    if floor is not None:
        lines.append(f"- speaker similarity of recordings to other speakers: {floor:.3f}")
    lines += [f"- not measured: {one.get('name') or one.get('id')}: {one['why']}" for one in found["not measured"]]
    return "\n".join(lines)


def aims(found: Mapping[str, Any]) -> str:
    """What was aimed at, and whether it was reached."""

    def value(system: str, name: str) -> float | None:
        known = interval(found, system, name)
        return None if known is None else known.value

    def less(one: float | None, other: float | None) -> float | None:
        return None if one is None or other is None else one - other

    words, likeness = WORD_ERRORS.name, "speaker similarity"
    added = less(value("codec", words), value("recording", words))
    opinion = less(value("recording", OPINION), value("codec", OPINION))
    used = min(level["utilisation"] for level in found["levels"])
    rows = [
        aim("codec: word errors above the recordings, at most 1 point", added, 0.01, "{:.1f} points", 100),
        aim("codec: speaker similarity at least 0.85", value("codec", likeness), -0.85, "{:.3f}"),
        aim(f"codec: {OPINION} at most 0.4 below the recordings", opinion, 0.4, "{:.2f}"),
        aim("codec: more than 60 % of every level used", used, -0.6, "{:.1f} %", 100),
        aim("voice: at most 5 % word errors", value("voice", words), 0.05, "{:.1f} %", 100),
        aim("voice: speaker similarity at least 0.80", value("voice", likeness), -0.8, "{:.3f}"),
        aim(f"voice: {OPINION} at least 3.8", value("voice", OPINION), -3.8, "{:.2f}"),
        aim("voice: no faulty clip", value("voice", "faulty clips"), 0.0, "{:.1f} %", 100),
        aim("voice: real-time factor at most 0.3", value("voice", "real-time factor"), 0.3, "{:.3f}"),
        aim("voice: first audio after at most 0.25 s", value("voice", "first audio"), 0.25, "{:.2f} s"),
        aim("weights: at most 40 MB", found["megabytes"], 40.0, "{:.1f} MB"),
    ]
    return table(["aim", "measured", ""], rows)


def aim(words: str, value: float | None, limit: float, form: str, scale: int = 1) -> list[str]:
    """A row; a negative limit is the least that is wanted, another one the most."""
    if value is None:
        return [words, "not measured", ""]
    met = value >= -limit if limit < 0 else value <= limit
    return [words, form.format(value * scale), "met" if met else "**not met**"]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(markdown_table(head, rows))


# -- documents --------------------------------------------------------------------------------------------------------


def region(text: str, name: str, path: str) -> re.Match[str]:
    """What stands between the marks of a name, which a document has once."""
    found = list(re.finditer(rf"(<!-- {name} -->)(.*?)(<!-- /{name} -->)", text, flags=re.DOTALL))
    if len(found) != 1:
        raise ValueError(f"{path} has {len(found)} regions <!-- {name} --> ... <!-- /{name} -->; it needs one")
    return found[0]


def with_region(text: str, name: str, body: str, path: str) -> str:
    """The document with another body; what has several lines stands on lines of its own."""
    found = region(text, name, path)
    inside = f"\n\n{body}\n\n" if "\n" in body else body
    return text[: found.start(2)] + inside + text[found.end(2) :]


def with_printed(readme: str) -> str:
    """The README with what the lines `print(...)  # that` of its Python print today."""

    def run(block: re.Match[str]) -> str:
        out, here = io.StringIO(), os.getcwd()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(out):
            os.chdir(folder)
            try:
                exec(compile(block.group(1), "README.md", "exec"), {"__name__": "readme"})
            finally:
                os.chdir(here)
        printed = iter(out.getvalue().splitlines())
        lines = [
            re.sub(r"(?<=# ).*$", lambda _: next(printed), line) if re.match(r"print\(.*\)\s+# ", line) else line
            for line in block.group(1).splitlines()
        ]
        return "```python\n" + "\n".join(lines) + "\n```"

    return re.sub(r"```python\n(.*?)\n?```", run, readme, flags=re.DOTALL)


def write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
