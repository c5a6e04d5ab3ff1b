"""How likely a model finds held-out documents: loss of each range of ids, document by document.

Owns the sums of negative log-likelihoods by document and range (`text`, `open`, `close`, then the codec's levels), and
the check that labels stand where the model predicts. Knows nothing of sources, tables or training: `documents.py` opens
documents and lays them in rows, `likelihood_report.py` says what was found, and training validates with these sums too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from aoede.models import CodecCausalLM
from aoede.tokens import CodecVocabulary

__all__ = ["DocumentSums", "RangeTable", "autocast", "label_shifts", "score_rows", "uniform_losses"]


@dataclass(frozen=True, kw_only=True)
class RangeTable:
    """Which range every id belongs to, as a loss is reported."""

    names: tuple[str, ...]
    """text, open, close, then the levels (C, M, F)."""

    kinds: Tensor
    """[V] int64: the index of each id's range; ids that are never legal count as text."""

    @classmethod
    def of(cls, vocabulary: CodecVocabulary) -> RangeTable:
        """The ranges of a vocabulary; slots of one level are one range."""
        kinds = torch.zeros(vocabulary.size, dtype=torch.long)
        kinds[vocabulary.open_id], kinds[vocabulary.close_id] = 1, 2
        for slot, level in enumerate(vocabulary.layout.levels):
            codes = vocabulary.range_of(slot)
            kinds[codes.start : codes.stop] = 3 + level
        return cls(names=("text", "open", "close", *vocabulary.level_names), kinds=kinds)


@dataclass(frozen=True, kw_only=True)
class DocumentSums:
    """What was added up for every document (rows) and range (columns, `RangeTable.names`)."""

    nll: NDArray[np.float64]
    """[N, K], nats."""
    hits: NDArray[np.float64]
    """[N, K], ids that the model found likeliest."""
    counts: NDArray[np.int64]
    """[N, K], trained ids."""

    @classmethod
    def zeros(cls, documents: int, ranges: int) -> DocumentSums:
        shape = (documents, ranges)
        return cls(nll=np.zeros(shape), hits=np.zeros(shape), counts=np.zeros(shape, dtype=np.int64))


def uniform_losses(vocabulary: CodecVocabulary) -> dict[str, float]:
    """What a guess among all entries of a level's codebook loses, in nats: ln(4096) = 8.318, say."""
    sizes = zip(vocabulary.level_names, vocabulary.codebook_sizes, strict=True)
    return {name: float(np.log(size)) for name, size in sizes}


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Products in bfloat16 where `precision` is "bfloat16"; nothing where it is "float32"."""
    return nullcontext() if precision == "float32" else torch.autocast(device.type, torch.bfloat16)


@torch.no_grad()
def score_rows(
    model: CodecCausalLM,
    batches: Iterable[Mapping[str, Tensor]],
    num_documents: int,
    *,
    precision: str = "float32",
) -> DocumentSums:
    """Negative log-likelihood of every document under a model, each id among those that its place allows.

    Args:
        batches: input_ids, labels, position_ids and document_ids, all [B, L] int64; document_ids say to which document
            a place belongs (-1 at padding), labels equal input_ids where they count and are -100 elsewhere.
        num_documents: N; document_ids are below it.
    Returns:
        Sums over each document.
    """
    table = RangeTable.of(model.vocabulary)
    sums = DocumentSums.zeros(num_documents, len(table.names))
    width = len(table.names)
    was_training = model.training
    model.eval()
    for batch in batches:
        given = {name: tensor.to(model.device) for name, tensor in batch.items()}
        with autocast(model.device, precision):
            found = model.log_probs(given["input_ids"], given["labels"], position_ids=given["position_ids"])
        mask = found["label_mask"].cpu()
        cells = batch["document_ids"][:, 1:][mask] * width + table.kinds[batch["labels"][:, 1:][mask].cpu()]
        at = cells.cpu().numpy()
        for total, name in ((sums.nll, "log_probs"), (sums.hits, "is_top1")):
            values = found[name].cpu()[mask].double().numpy()
            total += np.bincount(at, values, total.size).reshape(total.shape) * (-1.0 if name == "log_probs" else 1.0)
        sums.counts[:] += np.bincount(at, minlength=sums.counts.size).reshape(sums.counts.shape)
    model.train(was_training)
    return sums


@torch.no_grad()
def label_shifts(
    model: CodecCausalLM, batch: Mapping[str, Tensor], *, precision: str = "float32"
) -> dict[int, float] | None:
    """Mean loss when the hidden state before a code is asked for the code one earlier (-1), that code (0) and the one
    after it (+1), each among the ids of its own range. A model whose labels are aligned is lowest at 0.

    Args:
        batch: as `score_rows` takes it.
    Returns:
        Losses by shift; None where no code of the batch has codes of its own document on both sides.
    """
    vocabulary = model.vocabulary
    ids, documents = batch["input_ids"].cpu(), batch["document_ids"].cpu()
    is_code = vocabulary.is_codec(ids)
    # Codes whose neighbours on both sides, and the id whose state is asked, are of the same document.
    inner = is_code[:, 1:-1] & is_code[:, :-2] & is_code[:, 2:]
    inner &= (documents[:, 1:-1] == documents[:, :-2]) & (documents[:, 1:-1] == documents[:, 2:])
    rows, columns = inner.nonzero(as_tuple=True)
    if len(rows) == 0:
        return None
    was_training = model.training
    model.eval()
    with autocast(model.device, precision):
        hidden, _ = model.hidden_states(
            batch["input_ids"].to(model.device), position_ids=batch["position_ids"].to(model.device), use_cache=False
        )
    states = hidden[rows.to(model.device), columns.to(model.device)].to(model.dtype)  # column c is the state before c+1
    result = {}
    for shift in (-1, 0, 1):
        targets = ids[rows, columns + 1 + shift]
        total = 0.0
        for codes, slot in {vocabulary.range_of(slot): slot for slot in range(vocabulary.num_slots)}.items():
            here = (targets >= codes.start) & (targets < codes.stop)
            if not bool(here.any()):
                continue
            logits, legal = model.routed_logits(states[here.to(model.device)], slot)
            wanted = torch.searchsorted(legal, targets[here].to(model.device))
            total += float(F.cross_entropy(logits.float(), wanted, reduction="sum"))
        result[shift] = total / len(rows)
    model.train(was_training)
    return result
