"""An evaluation of likelihood from folders: what `aoede evaluate likelihood` calls.

Owns which folder is a model and which holds documents, opening them (the cheap checks first, so that a wrong path is
told at once), and scoring the same documents with each model in turn.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from transformers import AutoConfig

from aoede.evaluation.documents import HeldDocuments, open_documents
from aoede.evaluation.likelihood import RangeTable, label_shifts, score_rows, spread_batches, uniform_losses
from aoede.evaluation.likelihood_report import LikelihoodReport, ModelSheet
from aoede.models import CodecCausalLM, CodecLMConfig

__all__ = ["evaluate_likelihood", "sort_folders"]


def evaluate_likelihood(
    folders: Sequence[str | Path],
    out: str | Path,
    *,
    split: str | None = None,
    tokens_per_source: int | None = None,
    tokens_per_batch: int = 16384,
    precision: str = "float32",
    device: str = "cpu",
    threads: int | None = None,
    title: str | None = None,
    progress: bool = True,
) -> LikelihoodReport:
    """Scores held-out documents with one or more models.

    Args:
        folders: model folders (DIR or LABEL=DIR) and folders of documents (a mixture's plan, or packed sources), in any
            order; the first model is what the others are compared with.
        split: of packed sources; all documents by default. A plan has its own dev splits.
        tokens_per_source: documents of each source up to so many ids.
        precision: "float32", or "bfloat16" for products in bfloat16.
    Raises:
        ValueError: a folder that is neither, models or documents of different vocabularies, or nothing to measure.
    """
    for name, value in (("tokens_per_source", tokens_per_source), ("tokens_per_batch", tokens_per_batch)):
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; at least 1")
    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads is {threads}; at least 1")
        torch.set_num_threads(threads)
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device is {device}, but there is no GPU here: leave it at cpu")
    models, places = sort_folders(folders)
    documents = joined(
        [open_documents(place, split=split, tokens_per_source=tokens_per_source) for place in places], places
    )
    for label, folder in models.items():
        _check_vocabulary(label, folder, documents)
    sheets = []
    for label, folder in models.items():
        if progress:
            print(f"{label}: {len(documents.ids):,} documents, {documents.num_tokens:,} ids", file=sys.stderr)
        sheets.append(_score(label, folder, documents, tokens_per_batch, precision, device))
    table = RangeTable.of(documents.vocabulary)
    return LikelihoodReport(
        title=title or f"{' and '.join(models)} on {', '.join(place.resolve().name for place in places)}",
        settings={
            **{f"model {label}": folder.name for label, folder in models.items()},
            "documents": ", ".join(place.resolve().name for place in places) + (f", split {split}" if split else ""),
            "of each source": "all" if tokens_per_source is None else f"up to {tokens_per_source:,} ids",
            "precision": precision,
            "machine": f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {device}",
        },
        names=tuple(documents.names),
        sources=tuple(documents.sources),
        languages=tuple(documents.languages),
        ranges=table.names,
        uniform=uniform_losses(documents.vocabulary),
        models=tuple(sheets),
        folder=Path(out),
    )


def sort_folders(folders: Sequence[str | Path]) -> tuple[dict[str, Path], list[Path]]:
    """Models by label, and folders of documents.

    Raises:
        ValueError: no model or no documents among them, a folder that is neither, or a label twice.
    """
    models: dict[str, Path] = {}
    places: list[Path] = []
    for given in map(str, folders):
        label, _, name = given.rpartition("=")
        path = Path(given if Path(given).is_dir() else name)
        if not path.is_dir():
            raise ValueError(f"{given}: there is no such folder")
        if not (path / "config.json").is_file():
            places.append(path)
            continue
        label = label if path == Path(name) and label else path.resolve().name
        if label in models:
            raise ValueError(f"two models are called {label}: name one, OTHER={path}")
        models[label] = path
    if not models or not places:
        missing = "a model folder (config.json)" if not models else "a mixture's plan or a folder of packed documents"
        raise ValueError(f"{missing} is missing: aoede evaluate likelihood MODEL [MODEL ...] PLAN_OR_PACKED ...")
    return models, places


def joined(parts: Sequence[HeldDocuments], places: Sequence[Path]) -> HeldDocuments:
    """The documents of several folders as one set.

    Raises:
        ValueError: folders of different vocabularies.
    """
    first = parts[0]
    for part, place in zip(parts[1:], places[1:], strict=True):
        if part.vocabulary != first.vocabulary:
            raise ValueError(f"{place} is packed with another vocabulary than {places[0]}; measure them one by one")
    return replace(
        first,
        ids=[ids for part in parts for ids in part.ids],
        names=[name for part in parts for name in part.names],
        sources=[source for part in parts for source in part.sources],
        languages=[language for part in parts for language in part.languages],
        row_tokens=max(part.row_tokens for part in parts),
    )


def _check_vocabulary(label: str, folder: Path, documents: HeldDocuments) -> None:
    config = AutoConfig.from_pretrained(folder)
    if not isinstance(config, CodecLMConfig):
        raise ValueError(
            f"{label} ({folder}) is a {config.model_type} without codec ids: extend it first "
            "(aoede extend BASE --vocabulary PACKED/augmented.yaml --out DIR)"
        )
    if config.vocabulary != documents.vocabulary.to_dict():
        raise ValueError(
            f"{label} ({folder}) speaks another vocabulary than these documents are packed with "
            f"({documents.vocabulary.size:,} ids, frames {documents.vocabulary.layout}): pack them with its "
            "augmented.yaml and tokenizer"
        )


def _score(label: str, folder: Path, documents: HeldDocuments, tokens: int, precision: str, device: str) -> ModelSheet:
    model = CodecCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.to(torch.device(device))  # type: ignore[arg-type]
    model.train(False)
    # Recurrent layers keep the documents of a row apart by their CUDA kernels alone.
    rows = documents.rows(one_a_row=model.is_recurrent)
    begun = time.perf_counter()
    sums = score_rows(model, documents.batches(rows, tokens=tokens), len(documents.ids), precision=precision)
    seconds = time.perf_counter() - begun
    held = spread_batches(list(documents.batches(rows, tokens=tokens)), documents.vocabulary)
    shifts = label_shifts(model, held, precision=precision)
    return ModelSheet(
        label=label,
        source=folder.resolve().name,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        sums=sums,
        shifts=shifts,
        seconds=seconds,
    )
