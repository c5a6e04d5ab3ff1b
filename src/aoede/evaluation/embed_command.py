"""`aoede embed` and `aoede embed probe`: what is opened, written and printed.

Owns the behaviour of the verb; the verb holds the options only.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path

from aoede.codec import load_codec
from aoede.data.saving import check_target
from aoede.evaluation.embed import Pool, resolve_layer
from aoede.evaluation.embeddings import Embedding, EmbeddingsInfo, embed_sources, load_embeddings, save_embeddings
from aoede.evaluation.probe import ProbeReport, probe_classes, probe_numbers
from aoede.generation.prior_folder import find_codec, open_model

__all__ = ["embed_files", "probe_file"]

CLASSES = ("language", "speaker")
NUMBERS = ("quality",)


def embed_files(
    model: str | os.PathLike[str],
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    layer: int = -1,
    pool: Pool = "mean",
    codec: str | os.PathLike[str] | None = None,
    device: str = "cpu",
) -> tuple[Path, list[Embedding], EmbeddingsInfo]:
    """Embed recordings and write the file.

    Raises:
        ValueError: an output that cannot be written, and what opening and embedding raise.
    """
    if Path(out).suffix != ".parquet":
        raise ValueError(f"{os.fspath(out)}: embeddings are a .parquet file; choose such a name")
    check_target(out)
    opened, _, folder = open_model(model, device)
    opened.eval()
    number = resolve_layer(opened, layer)
    found = None
    if codec is not None or _has_codec(folder):
        found = load_codec(find_codec(folder) if codec is None else codec).to(device)
    embeddings, fingerprint = embed_sources(opened, found, inputs, layer=number, pool=pool)
    info = EmbeddingsInfo(
        model=os.fspath(model),
        layer=number,
        num_layers=opened.config.num_hidden_layers,
        pool=pool,
        codec_fingerprint=fingerprint,
    )
    return save_embeddings(out, embeddings, info), embeddings, info


def probe_file(
    path: str | os.PathLike[str],
    label: str,
    *,
    values: str | os.PathLike[str] | None = None,
    test: str | None = None,
    seed: int = 0,
) -> ProbeReport:
    """Probe a file of embeddings for a label.

    Args:
        label: language or speaker, from the recordings' own columns; quality, from `values`.
        values: a .csv, .tsv or .jsonl file with the columns `id` and the label; replaces the recordings' own.
        test: the split to test on.
    Raises:
        ValueError: no such label, or no values for it.
    """
    if label not in CLASSES + NUMBERS:
        raise ValueError(f"label is {label!r}; choose one of {', '.join(CLASSES + NUMBERS)}")
    embeddings, _ = load_embeddings(path)
    if values is not None:
        given = read_values(values, label)
    elif label in CLASSES:
        given = {one.id: str(getattr(one, label)) for one in embeddings}
    else:
        raise ValueError(
            f"recordings do not say their {label}: give it, --values FILE with the columns id and {label} (a predicted "
            "opinion score, a signal to noise ratio, a listener's mark)"
        )
    if label in CLASSES:
        return probe_classes(embeddings, given, label, test=test, seed=seed)
    numbers = {}
    for name, value in given.items():
        try:
            numbers[name] = float(value)
        except ValueError:
            raise ValueError(f"{os.fspath(values or path)}: {label} of {name!r} is {value!r}, no number") from None
    return probe_numbers(embeddings, numbers, label, test=test, seed=seed)


def read_values(path: str | os.PathLike[str], label: str) -> dict[str, str]:
    """id -> value of a .csv, .tsv or .jsonl file; empty values are left out.

    Raises:
        ValueError: another kind of file, or a missing column.
    """
    where = Path(path)
    kind = where.suffix.lower()
    with where.open(encoding="utf-8-sig", newline="") as file:
        if kind == ".jsonl":
            rows = [json.loads(line) for line in file if line.strip()]
        elif kind in (".csv", ".tsv"):
            rows = list(csv.DictReader(file, delimiter="\t" if kind == ".tsv" else ","))
        else:
            raise ValueError(f"{where}: values are a .csv, .tsv or .jsonl file, not {kind!r}")
    if not rows or not {"id", label} <= set(rows[0]):
        there = ", ".join(rows[0]) if rows else "nothing"
        raise ValueError(f"{where}: needs the columns id and {label}; it has {there}")
    return {str(row["id"]): str(row[label]) for row in rows if row.get(label) not in (None, "")}


def _has_codec(folder: Path | None) -> bool:
    try:
        find_codec(folder)
    except ValueError:
        return False  # codes need none; sound says what is missing
    return True
