"""How likely a model finds held-out documents: loss of each range of ids, document by document.

Owns the sums of negative log-likelihoods by document and range (`text`, `open`, `close`, then the codec's levels), and
the check that labels stand where the model predicts. Knows nothing of sources, tables or training: `documents.py` opens
documents and lays them in rows, `likelihood_report.py` says what was found, and training validates with these sums too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
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

__all__ = [
    "DocumentSums",
    "LabelShifts",
    "RangeTable",
    "autocast",
    "label_shifts",
    "score_rows",
    "spread_batches",
    "uniform_losses",
]


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
    model.train(False)
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


@dataclass(frozen=True, kw_only=True)
class LabelShifts:
    """What the state before a code foretells: the code of its level that came before, that code, or the next one."""

    losses: Mapping[int, float]
    """Mean loss by shift: -1, 0 and +1."""

    uniform: float
    """What a uniform guess among the ids of each place would lose."""

    @property
    def is_aligned(self) -> bool:
        """Whether the labels were where they belong when the model was trained.

        Labels one place early teach to foretell what comes after the next code (+1 is lowest), labels one place late
        to copy the code just read, and then nothing is known of the next one: 0 loses as much as a guess. A model that
        is aligned may still name the last code of a level sooner than the next, since sounds last and the last code is
        in sight; it then knows the next one better than a guess does.
        """
        before, this, after = (self.losses[shift] for shift in (-1, 0, 1))
        return this < after and (this < before or this < 0.95 * self.uniform)

    def __str__(self) -> str:
        told = ", ".join(f"{shift:+d}: {self.losses[shift]:.3f}" for shift in (-1, 0, 1))
        if not self.is_aligned:
            return f"{told}, a guess {self.uniform:.3f}: NOT ALIGNED"
        repeats = (
            "" if self.losses[0] < self.losses[-1] else "; codes that were just read are likelier still, as sounds last"
        )
        return f"{told}, a guess {self.uniform:.3f}: aligned{repeats}"


def spread_batches(
    batches: Sequence[Mapping[str, Tensor]], vocabulary: CodecVocabulary, count: int = 4
) -> list[Mapping[str, Tensor]]:
    """At most so many of the batches that hold speech, evenly from all of them: sources follow each other."""
    speech = [batch for batch in batches if bool(vocabulary.is_codec(batch["input_ids"]).any())]
    return [speech[index * len(speech) // min(count, len(speech))] for index in range(min(count, len(speech)))]


@torch.no_grad()
def label_shifts(
    model: CodecCausalLM, batches: Sequence[Mapping[str, Tensor]], *, precision: str = "float32"
) -> LabelShifts | None:
    """Mean loss when the hidden state before a code is asked for the code of its level that came before (-1), for that
    code (0) and for the next one of its level (+1), all among the same ids: those of the code's place.

    Args:
        batches: as `score_rows` takes them.
    Returns:
        None where no document of the batches has three codes of one level.
    """
    totals, uniform, count = dict.fromkeys((-1, 0, 1), 0.0), 0.0, 0
    for batch in batches:
        found, guessed, places = _shift_sums(model, batch, precision)
        totals = {shift: total + found[shift] for shift, total in totals.items()}
        uniform, count = uniform + guessed, count + places
    if count == 0:
        return None
    return LabelShifts(losses={shift: total / count for shift, total in totals.items()}, uniform=uniform / count)


def _shift_sums(
    model: CodecCausalLM, batch: Mapping[str, Tensor], precision: str
) -> tuple[dict[int, float], float, int]:
    """Summed losses by shift, that of a uniform guess, and over how many codes."""
    vocabulary = model.vocabulary
    ids, documents = batch["input_ids"].cpu().flatten(), batch["document_ids"].cpu().flatten()
    places, before, after, slots = [], [], [], []
    ranges: dict[int, dict[range, int]] = {}
    for slot, level in enumerate(vocabulary.layout.levels):
        ranges.setdefault(level, {}).setdefault(vocabulary.range_of(slot), slot)
    for spans in ranges.values():
        code, slot_of = torch.full_like(ids, -1), torch.full_like(ids, -1)
        for codes, slot in spans.items():
            here = (ids >= codes.start) & (ids < codes.stop)
            code = torch.where(here, ids - codes.start, code)
            slot_of = torch.where(here, slot, slot_of)
        at = (code >= 0).nonzero().flatten()
        if len(at) < 3:
            continue
        last, this, following = at[:-2], at[1:-1], at[2:]
        inside = (documents[last] == documents[this]) & (documents[following] == documents[this])
        inside &= documents[this - 1] == documents[this]
        places.append(this[inside])
        before.append(code[last[inside]])
        after.append(code[following[inside]])
        slots.append(slot_of[this[inside]])
    totals, uniform = dict.fromkeys((-1, 0, 1), 0.0), 0.0
    if not places or not sum(len(part) for part in places):
        return totals, uniform, 0
    place, slot_at = torch.cat(places), torch.cat(slots)
    device, was_training = model.device, model.training
    model.train(False)
    with autocast(device, precision):
        hidden, _ = model.hidden_states(
            batch["input_ids"].to(device), position_ids=batch["position_ids"].to(device), use_cache=False
        )
    states = hidden.flatten(0, 1)[(place - 1).to(device)].to(model.dtype)
    for spans in ranges.values():
        for codes, slot in spans.items():
            chosen = slot_at == slot
            if not bool(chosen.any()):
                continue
            logits, legal = model.routed_logits(states[chosen.to(device)], slot)
            uniform += int(chosen.sum()) * math.log(len(codes))
            wanted = {-1: torch.cat(before)[chosen], 0: ids[place[chosen]] - codes.start, 1: torch.cat(after)[chosen]}
            for shift, code in wanted.items():
                columns = torch.searchsorted(legal, (code + codes.start).to(device))
                totals[shift] += float(F.cross_entropy(logits.float(), columns, reduction="sum"))
    model.train(was_training)
    return totals, uniform, len(place)
