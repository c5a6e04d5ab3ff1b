"""Texts to say: each with the recording of someone saying it, and the recording to speak like, where there are such.

Owns `Passage`, and the reading of what a list may be: recordings with their texts (a manifest or a folder), a table of
texts, a text a line, a list in the form of Seed-TTS-eval. Reads no audio.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aoede.data.listing import is_sound_folder
from aoede.data.manifest import Clip, load_manifest, manifest_rows
from aoede.evaluation.recordings import open_recordings
from aoede.evaluation.spelling import words

__all__ = ["Passage", "TextList", "open_texts", "with_reference"]

TABLES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
PLAIN = (".txt", ".lst", ".list")
SEED_FIELDS = {
    2: ("id", "text"),
    3: ("id", "text", "reference"),
    4: ("id", "reference_text", "reference", "text"),
    5: ("id", "reference_text", "reference", "text", "audio"),
}
"""Fields of a line by their number, as the public scripts around Seed-TTS-eval (Anastassiou et al. 2024) read them."""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """One text to say."""

    id: str
    text: str
    language: str = ""
    speaker: str = ""
    """Who should say it; "" leaves it to the voice."""
    source: str = ""
    recording: Clip | None = None
    """A person saying this very text: the ceiling."""
    reference: Clip | None = None
    """A recording to speak like; its `text` is what is said in it, "" where nobody wrote it down."""

    @classmethod
    def of(cls, clip: Clip, reference: Clip | None = None) -> Passage:
        """A clip's text, with the clip as its recording."""
        return cls(
            id=clip.id,
            text=clip.text,
            language=clip.language,
            speaker=clip.speaker,
            source=clip.source,
            recording=clip,
            reference=reference,
        )


@dataclass(frozen=True, kw_only=True)
class TextList:
    """What a list holds."""

    passages: tuple[Passage, ...]
    pool: tuple[Clip, ...] = ()
    """Other recordings of the speakers: the splits of a manifest that are not spoken."""
    told: str
    """The list in words, for the report."""


def open_texts(
    path: str | Path,
    *,
    split: str | None = None,
    sources: Sequence[str] | None = None,
    language: str | None = None,
) -> TextList:
    """A list of texts, whatever its form.

    Args:
        path: a manifest of recordings with texts, a folder of sound files with texts beside them; a table (JSONL, CSV,
            TSV, Parquet) with the column `text` and no column `audio`; a `.txt` file, a text a line; or a Seed-TTS-eval
            list: `.lst` or `.list`, or a `.txt` whose first line has three bars. Tables may have the columns
            `reference` (a sound file to speak like, beside the table) and `reference_text`.
        split: of a manifest, "heldout" by default; of a table of texts, all by default.
        sources: keep only these.
        language: of texts that do not say theirs.
    Raises:
        ValueError: nothing there, nothing to say in it, or a mistake, with its line.
    """
    where = Path(path)
    kind = where.suffix.lower()
    if where.is_file() and kind in PLAIN:
        if split or sources:
            without = "a split" if split else "sources"
            raise ValueError(f"{path} is a list of lines, without {without}; a table can have them")
        found = TextList(passages=tuple(_lines_of(where, kind)), told=where.name)
    elif where.is_file() and kind in TABLES and not _has_column(where, "audio"):
        told = where.name + (f", {split}" if split else "")
        found = TextList(passages=tuple(_table_of(where, split, sources)), told=told)
    else:
        clips, pool = open_recordings(path, split, sources)
        references = _references(where) if where.is_file() and kind in TABLES else {}
        folder = "" if is_sound_folder(where) else f", {split or 'heldout'}"
        parts = where.resolve().parts[-2:] if where.exists() else (str(path),)
        found = TextList(
            passages=tuple(Passage.of(clip, references.get(clip.id)) for clip in clips),
            pool=tuple(pool),
            told="/".join(parts) + folder,
        )
    if language:
        found = replace(found, passages=tuple(replace(p, language=p.language or language) for p in found.passages))
    spoken = tuple(p for p in found.passages if words(p.text, p.language or "en"))
    if not spoken:
        raise ValueError(f"{path}: none of its {len(found.passages)} texts has a word to say")
    return replace(found, passages=spoken)


def with_reference(passages: Sequence[Passage], audio: str | Path, text: str | None) -> list[Passage]:
    """The same texts, all to be spoken like one recording.

    Raises:
        ValueError: no such file, or no text of it.
    """
    path = Path(audio)
    if not path.is_file():
        raise ValueError(f"{audio}: there is no such recording to speak like")
    if text is None or not text.strip():
        raise ValueError(f"{audio} needs its text, word for word: --reference-text")
    language = passages[0].language if passages else ""
    # A name of its own: lengths and speakers of the list's recordings are somebody else's.
    name = f"like {path.name}"
    clip = Clip(audio=str(path.resolve()), id=path.name, text=text, speaker=name, language=language)
    return [replace(passage, reference=clip) for passage in passages]


def _lines_of(path: Path, kind: str) -> Iterator[Passage]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start + 1} is not UTF-8; convert it with iconv -t UTF-8") from None
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise ValueError(f"{path} is empty: a text a line is expected")
    if kind == ".txt" and numbered[0][1].count("|") < 3:
        yield from (Passage(id=f"line {number}", text=line) for number, line in numbered)
        return
    seen: dict[str, int] = {}
    for number, line in numbered:
        passage = _seed_passage(path, number, line)
        if passage.id in seen:
            raise ValueError(f"{path} line {number}: id '{passage.id}' was used before, at line {seen[passage.id]}")
        seen[passage.id] = number
        yield passage


def _seed_passage(path: Path, number: int, line: str) -> Passage:
    """A line of Seed-TTS-eval: `id|text of the prompt|prompt|text to say`, and the text's recording as a fifth field.

    As in that test set, `wavs/ID.wav` beside the list is the recording where no field names it, and a list that lies in
    a folder `en` or `zh` is of that language.
    """
    parts = [part.strip() for part in line.split("|")]
    where = f"{path} line {number}"
    if len(parts) not in SEED_FIELDS:
        raise ValueError(
            f"{where} has {len(parts)} fields; expected is `id|prompt text|prompt wav|text to say`, with the recording "
            "of that text as a fifth field where there is one"
        )
    fields = dict(zip(SEED_FIELDS[len(parts)], parts, strict=True))
    name = fields["id"].removesuffix(".wav")
    language = path.resolve().parent.name.lower()
    language = language if language in ("en", "zh") else ""
    recording = None
    if fields.get("audio"):
        recording = _clip(where, path.parent, fields["audio"], fields["text"], language)
    elif (beside := path.parent / "wavs" / f"{name}.wav").is_file():
        recording = Clip(audio=str(beside.resolve()), id=f"wavs/{name}.wav", text=fields["text"], language=language)
    reference = None
    if fields.get("reference"):
        reference = _clip(where, path.parent, fields["reference"], fields.get("reference_text", ""), language)
    return Passage(id=name, text=fields["text"], language=language, recording=recording, reference=reference)


def _table_of(path: Path, split: str | None, sources: Sequence[str] | None) -> Iterator[Passage]:
    """Rows with a text and no recording of it."""
    seen: dict[str, str] = {}
    kept = {"split": [split] if split else None, "source": sources}
    there: dict[str, set[str]] = {"split": set(), "source": set()}
    for number, (where, row) in enumerate(manifest_rows(path), 1):
        if "text" not in row:
            raise ValueError(f"{where}: no column 'text' among {', '.join(map(str, row))}; a list of texts needs one")
        text = row["text"]
        if not isinstance(text, str):
            raise ValueError(f"{where}: column 'text' holds {text!r}; text is expected")
        name = _word(row, "id") or f"row {number}"
        if name in seen:
            raise ValueError(f"{where}: id '{name}' was used before, at {seen[name]}; ids are unique")
        seen[name] = where
        for field in there:
            there[field].add(_word(row, field))
        if any(wanted and _word(row, field) not in wanted for field, wanted in kept.items()):
            continue
        language = _word(row, "language")
        yield Passage(
            id=name, text=" ".join(text.split()), language=language, speaker=_word(row, "speaker"),
            source=_word(row, "source"),
            reference=_reference_of(where, row, path.parent, language, _word(row, "speaker")),
        )  # fmt: skip
    for field, wanted in kept.items():
        for value in wanted or ():
            if value not in there[field]:
                known = ", ".join(sorted(filter(None, there[field]))) or "none"
                raise ValueError(f"{path}: no text has {field} '{value}'; there are: {known}")


def _references(path: Path) -> dict[str, Clip]:
    """The column `reference` of a manifest, by the ids of its clips."""
    if not _has_column(path, "reference"):
        return {}
    found = {}
    for clip, (where, row) in zip(load_manifest(path), manifest_rows(path), strict=True):
        reference = _reference_of(where, row, path.parent, clip.language, clip.speaker)
        if reference is not None:
            found[clip.id] = reference
    return found


def _reference_of(where: str, row: Mapping[str, Any], folder: Path, language: str, speaker: str) -> Clip | None:
    """A row's recording to speak like; it is taken to be by the row's speaker."""
    given = _word(row, "reference")
    if not given:
        return None
    return replace(_clip(where, folder, given, _word(row, "reference_text"), language), speaker=speaker)


def _clip(where: str, folder: Path, name: str, text: str, language: str) -> Clip:
    path = folder / Path(name).expanduser()
    if not path.is_file():
        raise ValueError(f"{where}: there is no file {path}; paths begin beside the list")
    return Clip(audio=str(path.resolve()), id=name, text=text, language=language)


def _word(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    return "" if value is None or value != value else str(value)  # a table's empty cell may be NaN


def _has_column(path: Path, column: str) -> bool:
    first = next(iter(manifest_rows(path)), None)
    return first is not None and column in first[1]
