"""`aoede pack`: the sources of a corpus, one after the other, as documents in Megatron's files.

Owns the order of work, what a folder was begun with (a run with other settings is refused) and that a source's files
appear only when complete, so that a killed run goes on with the first source that is not. Reads batch by batch: memory
does not grow with the corpus but for 4 bytes a document. `documents.py` says what a document is.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import yaml
from tqdm import tqdm

from ..holding import clear_leftovers, holding
from ..saving import file_sha256, replacing
from .dataset import PARTS, PackedDataset, PackedInfo
from .documents import DocumentMaker
from .index import IndexedWriter, dtype_for
from .reading import PackSource, codec_of, content_of, documents_of
from .settings import hold_to_settings
from .table import TableWriter
from .tokenizer import TextTokenizer
from .vocabulary import resolve_vocabulary


@dataclass(frozen=True, kw_only=True)
class PackSummary:
    """What a packed folder holds, and what the last run did; `str()` is for a person."""

    folder: str
    sources: Sequence[PackedInfo]
    new_tokens: int
    """Packed by this run; the rest was there."""

    work_seconds: float

    def __str__(self) -> str:
        rows = [("source", "kind", "documents", "tokens", "frames", "left out")]
        for one in self.sources:
            forms = ", ".join(f"{count:,} {form}" for form, count in one.forms.items())
            rows.append((one.source, one.kind, forms, f"{one.tokens:,}", f"{one.frames:,}", f"{len(one.left_out):,}"))
        widths = [max(len(row[i]) for row in rows) for i in range(6)]
        lines = []
        for row in rows:
            cells = [*(row[i].ljust(widths[i]) for i in range(3)), *(row[i].rjust(widths[i]) for i in range(3, 6))]
            lines.append("  ".join(cells))
        total = sum(one.tokens for one in self.sources)
        lines.append(f"{self.folder}  {total:,} tokens in {sum(one.documents for one in self.sources):,} documents")
        if self.new_tokens:
            lines.append(f"{self.new_tokens / self.work_seconds:,.0f} tokens a second")
        else:
            lines.append("nothing left to do")
        if any(one.left_out for one in self.sources):
            lines.append(f"what was left out, and why: left_out in {self.folder}/<source>.json")
        return "\n".join(lines)


def pack(
    sources: Sequence[PackSource],
    tokenizer: TextTokenizer,
    vocabulary: str,
    out: str | os.PathLike[str],
    *,
    max_tokens: int | None = None,
    text_before_audio: bool = False,
    only: Sequence[str] | None = None,
    progress: bool = False,
) -> PackSummary:
    """Write `<source>.bin`, `.idx`, `.documents.parquet` and `.json` for every source, and `augmented.yaml` and
    `tokenizer/` for all.

    Args:
        sources: all of the corpus, whose codec the vocabulary must fit.
        vocabulary: as `resolve_vocabulary` takes it.
        out: folder to make or to go on with; finished sources stay, new ones are added.
        max_tokens: no document is longer; what is, is cut (audio between frames).
        text_before_audio: documents of recordings begin with their transcript.
        only: names of the sources to pack now; None packs all.
        progress: a bar on stderr.
    Raises:
        ValueError: the folder was begun with other settings, another process writes there, codes of several codecs,
            or a source without anything that can be used.
    """
    started = time.perf_counter()
    chosen = _chosen(sources, only)
    codec = codec_of(sources)
    words = resolve_vocabulary(vocabulary, tokenizer, codec)
    least = 2 + (words.num_slots if codec is not None else 0)
    if max_tokens is not None and max_tokens < least:
        raise ValueError(f"max_tokens is {max_tokens}; a document of this corpus needs {least} at least")
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    new_tokens = 0
    with holding(folder, "aoede pack"):
        clear_leftovers(folder)
        contents = {source.name: content_of(source) for source in sources}
        hold_to_settings(
            folder,
            {
                "format": 1,
                "tokenizer": tokenizer.fingerprint,
                "codec": None if codec is None else codec.codec_fingerprint,
                "vocabulary": _digest(yaml.safe_dump(words.to_dict(), sort_keys=True)),
                "max_tokens": max_tokens,
                "text_before_audio": text_before_audio,
                "sources": contents,
            },
            only=[source.name for source in chosen],
        )
        words.save(folder / "augmented.yaml")
        _save_tokenizer(tokenizer, folder / "tokenizer")
        infos = []
        for source in chosen:
            json_path = folder / f"{source.name}.json"
            if not json_path.is_file():
                maker = DocumentMaker(
                    source=source.name,
                    language=source.language,
                    vocabulary=words,
                    tokenizer=tokenizer,
                    max_tokens=max_tokens,
                    text_before_audio=text_before_audio,
                    codec=None if source.kind == "text" else codec,
                )
                info = _pack_source(source, maker, folder, contents[source.name], progress)
                info.save(json_path)
                new_tokens += info.tokens
            infos.append(PackedDataset(folder / source.name).info)
    return PackSummary(
        folder=os.fspath(out), sources=infos, new_tokens=new_tokens, work_seconds=time.perf_counter() - started
    )


def _chosen(sources: Sequence[PackSource], only: Sequence[str] | None) -> list[PackSource]:
    known = [source.name for source in sources]
    for name in only or ():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3) or known
            raise ValueError(f"the corpus has no source {name!r}; there are {', '.join(near)}")
    chosen = [source for source in sources if only is None or source.name in only]
    if not chosen:
        raise ValueError("no sources to pack")
    return chosen


def _pack_source(source: PackSource, maker: DocumentMaker, folder: Path, content: str, progress: bool) -> PackedInfo:
    forms: Counter[str] = Counter()
    left_out: list[dict[str, str]] = []
    frames = 0
    with ExitStack() as stack:
        paths = {suffix: stack.enter_context(replacing(folder / (source.name + suffix))) for suffix in PARTS}
        writer = stack.enter_context(IndexedWriter(paths[".bin"], dtype_for(maker.vocabulary.size)))
        table = stack.enter_context(TableWriter(paths[".documents.parquet"], source.name, source.kind))
        bar = stack.enter_context(
            tqdm(desc=source.name, unit="token", unit_scale=True, disable=not progress, file=sys.stderr)
        )
        for documents in documents_of(source, maker):
            writer.add(documents.ids, documents.lengths)
            table.add(documents.table)
            forms.update(documents.table["form"].to_pylist())
            left_out += documents.left_out
            frames += documents.frames
            bar.update(len(documents.ids))
        if writer.num_documents == 0:
            reasons = Counter(one["reason"] for one in left_out).most_common(1)
            why = f"; most are left out for: {reasons[0][0]}" if reasons else " in it"
            raise ValueError(f"source {source.name}: nothing to pack{why}")
        writer.close()
        table.close()
        digests = {
            ".bin": writer.bin_sha256,
            ".idx": writer.write_index(paths[".idx"]),
            ".documents.parquet": file_sha256(paths[".documents.parquet"]),
        }
    return PackedInfo(
        source=source.name,
        kind=source.kind,
        language=source.language,
        licence=source.licence,
        tokens=writer.num_tokens,
        documents=writer.num_documents,
        forms=dict(sorted(forms.items())),
        frames=frames,
        left_out=left_out,
        vocabulary=maker.vocabulary.to_dict(),
        tokenizer_fingerprint=maker.tokenizer.fingerprint,
        codec=None if maker.codec is None else maker.codec.to_dict(),
        eos_id=maker.tokenizer.eos_id,
        pad_id=maker.tokenizer.pad_id,
        max_tokens=maker.max_tokens,
        content=content,
        sha256=digests,
    )


def _save_tokenizer(tokenizer: TextTokenizer, folder: Path) -> None:
    for leftover in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(leftover)
    if folder.is_dir():
        return
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    tokenizer.save(temporary)
    os.replace(temporary, folder)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
