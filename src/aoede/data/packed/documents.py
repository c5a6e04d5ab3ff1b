"""Rows of a prepared source become documents: token ids end to end, their lengths, and a table of what they are.

Owns the form of a document (text and its end, an audio span, or both), where a long one is cut, and the keys by which
pieces of one recording, and recordings of one text, know each other. Works on whole columns, not on single rows. Opens
and writes no file: `writing.py` does.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from aoede.tokens import CodecVocabulary

from ..codes import CodesInfo
from .tokenizer import TextTokenizer

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

TEXT, AUDIO, BOTH = "text", "audio", "text+audio"
"""Forms of a document."""

AUGMENTED = "+aug"
"""Sources of augmented copies are called as their originals' source and this."""

_PIECE = re.compile(r"#\d+$")
_COPY = re.compile(r"\+[^+#]*(?=(?:#\d+)?$)")
_SPEED = re.compile(r"@\d+(?:\.\d+)?$")
_SILENT = re.compile(r"[\W_]+")

Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Documents of one batch of rows."""

    ids: Integers
    """[sum(lengths)], end to end."""

    lengths: Integers
    """[N]."""

    table: pa.Table
    """[N] rows, without `source` and `kind`, which are the same for all of a prefix."""

    frames: int
    left_out: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class DocumentMaker:
    """How rows of one source become documents."""

    source: str
    language: str
    """Of rows that do not say."""

    vocabulary: CodecVocabulary
    tokenizer: TextTokenizer
    max_tokens: int | None
    """No document is longer; None: as long as they are."""

    text_before_audio: bool = False
    codec: CodesInfo | None = None
    """Of the codes; None for text."""

    def from_text(self, rows: pa.RecordBatch) -> Documents:
        """Texts: their ids and the end-of-text id. Longer ones are cut into pieces of nearly the same length.

        Args:
            rows: columns id, text, language, split.
        """
        texts, names = rows["text"].to_pylist(), rows["id"].to_pylist()
        ids, lengths = self.tokenizer.ids(texts)
        reasons = self._unreadable(ids, lengths)
        kept, left_out = _sort_out(names, reasons)
        ids, lengths = ids[np.repeat(kept, lengths)], lengths[kept]
        kinds = _segments(np.stack([lengths, np.ones_like(lengths)], axis=1))
        flat = np.full(len(kinds), self.tokenizer.eos_id, dtype=np.int64)
        flat[kinds == 0] = ids
        owner, piece, sizes, is_last = _evenly(lengths + 1, self.max_tokens)
        keys = [_text_key(text) for text, keep in zip(texts, kept, strict=True) if keep]
        rows = rows.filter(_mask(kept))
        table = self._table(rows, owner, piece, is_last, sizes, np.array(keys, dtype=np.uint64), [TEXT] * len(owner))
        return Documents(ids=flat, lengths=sizes, table=table, frames=0, left_out=left_out)

    def from_codes(self, rows: pa.RecordBatch) -> Documents:
        """Recordings: open marker, frames, close marker. A longer one is cut between frames, every piece begins with
        the open marker and only the last ends with the close marker.

        Args:
            rows: the columns of a shard of codes (`codes.py`).
        Raises:
            ValueError: codes that do not fit the codec or the vocabulary (names the clip).
        """
        names, texts = rows["id"].to_pylist(), rows["text"].to_pylist()
        codes, frames = self._frames(rows, names)
        slots = self.vocabulary.num_slots
        room = None if self.max_tokens is None else (self.max_tokens - 2) // slots
        if self.text_before_audio:
            text_ids, num_text = self.tokenizer.ids(texts)
            reasons = self._unreadable(text_ids, num_text, empty_is_fine=True)
        else:
            text_ids, num_text = np.zeros(0, dtype=np.int64), np.zeros(len(names), dtype=np.int64)
            reasons = [""] * len(names)
        first_room = frames if self.max_tokens is None else (self.max_tokens - 2 - num_text) // slots
        for i in np.flatnonzero((first_room < 1) & (frames > 0)):
            reasons[i] = f"its text of {num_text[i]} ids leaves no room for a frame within {self.max_tokens} tokens"
        for i in np.flatnonzero(frames == 0):
            reasons[i] = "no frames"
        kept, left_out = _sort_out(names, reasons)
        text_ids, codes = text_ids[np.repeat(kept, num_text)], codes[np.repeat(kept, frames)]
        num_text, frames, first_room = num_text[kept], frames[kept], np.atleast_1d(first_room)[kept]

        # With text the first piece takes what fits behind the text, the rest is cut evenly; without, all of it is.
        has_text = num_text > 0
        head = np.where(has_text, np.minimum(frames, first_room), 0)
        owner, piece, sizes, is_last = _evenly(frames - head, room, has_text, head)
        in_piece = np.where(piece == 0, num_text[owner], 0)
        shape = np.stack([in_piece, np.ones_like(sizes), sizes * slots, is_last.astype(np.int64)], axis=1)
        kinds = _segments(shape)
        flat = np.full(len(kinds), self.vocabulary.open_id, dtype=np.int64)
        flat[kinds == 3] = self.vocabulary.close_id
        flat[kinds == 0] = text_ids
        flat[kinds == 2] = self.vocabulary.ids_from_frames(torch.from_numpy(codes)[None])[0].numpy()
        forms = np.where(in_piece > 0, BOTH, AUDIO).tolist()
        keys = [_text_key(text) for text, keep in zip(texts, kept, strict=True) if keep]
        table = self._table(
            rows.filter(_mask(kept)), owner, piece, is_last, shape.sum(axis=1), np.array(keys, dtype=np.uint64), forms
        )
        return Documents(ids=flat, lengths=shape.sum(axis=1), table=table, frames=int(frames.sum()), left_out=left_out)

    def _frames(self, rows: pa.RecordBatch, names: Sequence[str]) -> tuple[Integers, Integers]:
        """Codes of all clips as frames [F, S], and the number of frames of each clip [N]."""
        assert self.codec is not None, "codes need their codec"
        per_frame, levels = self.codec.codes_per_frame, len(self.codec.vq_strides)
        lists = rows["codes"]
        outer, inner = lists.offsets.to_numpy(), lists.values.offsets.to_numpy()
        flat = lists.values.values.to_numpy()
        frames = rows["num_frames"].to_numpy().astype(np.int64)
        for i in np.flatnonzero(np.diff(outer) != levels).tolist():
            raise ValueError(f"clip {names[i]}: {outer[i + 1] - outer[i]} levels of codes, its codec has {levels}")
        columns = []
        for level in range(levels):
            starts = inner[outer[:-1] + level].astype(np.int64)
            counts = inner[outer[:-1] + level + 1] - starts
            for i in np.flatnonzero(counts != frames * per_frame[level]).tolist():
                raise ValueError(
                    f"clip {names[i]}: {counts[i]} codes in level {level}, but {frames[i]} frames have "
                    f"{frames[i] * per_frame[level]}; its shard is damaged: run `aoede prepare` again"
                )
            column = flat[_gather(starts, counts)].astype(np.int64)
            if len(column) and int(column.max()) >= self.codec.codebook_size:
                at = int(column.argmax())
                clip = int(np.searchsorted(np.cumsum(counts), at, side="right"))
                raise ValueError(
                    f"clip {names[clip]}: code {column[at]} in level {level}, the codebook has "
                    f"{self.codec.codebook_size}; its shard is damaged: run `aoede prepare` again"
                )
            columns.append(torch.from_numpy(column)[None])
        found: Integers = self.vocabulary.layout.flatten(columns)[0].numpy()
        return found, frames

    def _unreadable(self, ids: Integers, lengths: Integers, empty_is_fine: bool = False) -> list[str]:
        """Why each text cannot be used; empty where it can."""
        reasons = [""] * len(lengths)
        if not empty_is_fine:
            for i in np.flatnonzero(lengths == 0):
                reasons[i] = "no text"
        wrong = ~self.vocabulary.is_text(torch.from_numpy(ids)).numpy()
        if wrong.any():
            owner = np.repeat(np.arange(len(lengths)), lengths)
            for at in np.flatnonzero(wrong)[::-1]:
                what = self.vocabulary.describe(int(ids[at]))
                reasons[owner[at]] = f"its text holds id {ids[at]}, which is {what}"
        return reasons

    def _table(
        self,
        rows: pa.RecordBatch,
        owner: Integers,
        piece: Integers,
        is_last: NDArray[np.bool_],
        lengths: Integers,
        text_keys: NDArray[np.uint64],
        forms: list[str],
    ) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc  # type: ignore[import-untyped]

        def column(name: str) -> pa.Array:
            if name not in rows.schema.names:
                return pa.array([""] * rows.num_rows, pa.string())
            return pc.fill_null(rows[name].cast(pa.string()), "")

        language = column("language")
        language = pc.if_else(pc.equal(language, ""), self.language, language)
        recordings = [_recording_key(self.source, name) for name in rows["id"].to_pylist()]
        take = pa.array(owner, pa.int64())
        return pa.table(
            {
                "id": rows["id"].cast(pa.string()).take(take),
                "form": pa.array(forms, pa.string()),
                "language": language.take(take),
                "speaker": column("speaker").take(take),
                "split": column("split").take(take),
                "piece": pa.array(piece, pa.int32()),
                "is_last": pa.array(is_last, pa.bool_()),
                "num_tokens": pa.array(lengths, pa.int32()),
                "recording": pa.array(np.array(recordings, dtype=np.uint64)[owner], pa.uint64()),
                "text": pa.array(text_keys[owner], pa.uint64()),
            }
        )


def _evenly(
    totals: Integers,
    most: int | None,
    has_head: NDArray[np.bool_] | None = None,
    head: Integers | None = None,
) -> tuple[Integers, Integers, Integers, NDArray[np.bool_]]:
    """Cut totals into as few pieces of at most `most` as there can be, their sizes differing by one at most.

    Args:
        has_head: which totals are preceded by a first piece of their own.
        head: its size.
    Returns:
        owner, number within the owner, size, is_last: all [P].
    """
    number = np.minimum(totals, 1) if most is None else -(-totals // most)
    before = np.zeros_like(totals) if has_head is None else has_head.astype(np.int64)
    counts = number + before
    owner = np.repeat(np.arange(len(totals)), counts)
    piece = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    among = piece - before[owner]
    parts = np.maximum(number, 1)[owner]
    sizes = totals[owner] // parts + (among < totals[owner] % parts)
    if head is not None:
        sizes = np.where(among < 0, head[owner], sizes)
    return owner, piece, sizes, piece == counts[owner] - 1


def _segments(shape: Integers) -> NDArray[np.uint8]:
    """[P, K] lengths of the K parts of each document -> the part that every id of them belongs to, [sum]."""
    parts = np.tile(np.arange(shape.shape[1], dtype=np.uint8), shape.shape[0])
    return np.repeat(parts, shape.ravel())


def _gather(starts: Integers, counts: Integers) -> Integers:
    """Indices of starts[i] .. starts[i] + counts[i] - 1 for every i, one after the other."""
    indices: Integers = np.arange(int(counts.sum())) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
    return indices


def _sort_out(names: Sequence[str], reasons: Sequence[str]) -> tuple[NDArray[np.bool_], list[dict[str, str]]]:
    left_out = [{"id": name, "reason": why} for name, why in zip(names, reasons, strict=True) if why]
    return np.array([not why for why in reasons], dtype=np.bool_), left_out


def _mask(kept: NDArray[np.bool_]) -> Any:
    import pyarrow as pa

    return pa.array(kept, pa.bool_())


def _recording_key(source: str, name: str) -> int:
    """One number for all pieces (`<id>#2`) and augmented copies (`<id>+pitch` in `<source>+aug`) of a recording."""
    if source.endswith(AUGMENTED):
        source, name = source.removesuffix(AUGMENTED), _COPY.sub("", name)
    return _key(source + "\0" + _SPEED.sub("", _PIECE.sub("", name)))


def _text_key(text: str) -> int:
    """The same number for texts of the same letters and digits, whatever their case and punctuation; 0: no text."""
    words = _SILENT.sub("", unicodedata.normalize("NFKC", text).casefold())
    return _key(words) if words else 0


def _key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") or 1
