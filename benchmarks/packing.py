"""Tokens a second of `aoede pack` against Megatron's own writer, in one run, on the same documents.

    python benchmarks/packing.py [--clips 20000] [--seconds 6] [--repeats 5] [--folder DIR]

Two ratios. "writer": documents that are in memory already go to disk, by Megatron's `IndexedDatasetBuilder`, one by one
as its own tools call it, and by `IndexedWriter`, a thousand at once as `aoede pack` calls it; the files must come out
equal to the byte. "corpus": shards of codes on disk become files of documents, by `load_codes`, `ids_from_frames` and
Megatron's builder, and by `aoede pack`, which also writes the table of documents and checksums. Speech of the 24 kHz
codec (seven codes a frame of 85 ms) in the ids of Calliope, which need 32 bits. Ways take turns; medians are compared.
Files are written to the folder's disk and not synced: with much data, the disk is measured too.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aoede.data.codes import CodedClip, CodesInfo, load_codes, write_shard
from aoede.data.corpus import SourceInfo
from aoede.data.packed import IndexedFile, IndexedWriter, TextTokenizer, byte_tokenizer, pack
from aoede.tokens import CodecVocabulary

INFO = CodesInfo(
    codec_fingerprint="0" * 16, sample_rate=24_000, vq_strides=(4, 2, 1), codebook_size=4096, frame_length=2048
)
BATCH = 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=20_000, help="recordings")
    parser.add_argument("--seconds", type=float, default=6.0, help="mean length of a recording")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", help="where to write (default: a temporary folder)")
    args = parser.parse_args()
    with warnings.catch_warnings():
        # It tells of accelerators and compilers that this machine does not have.
        warnings.simplefilter("ignore")
        from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        source = make_source(folder, args.clips, args.seconds)
        vocabulary = CodecVocabulary.calliope()
        documents = [ids_of(clip, vocabulary) for clip in load_codes(source.folder)]
        tokens = sum(map(len, documents))
        words = f"{len(documents):,} documents, {tokens:,} tokens, {len(documents) // BATCH + 1} shards"
        print(f"{words}; megatron-core {version('megatron-core')}, numpy {np.__version__}, torch {torch.__version__}, "
              f"{torch.get_num_threads()} threads, median of {args.repeats}")  # fmt: skip

        lengths = np.array(list(map(len, documents)))

        def theirs() -> Path:
            builder = IndexedDatasetBuilder(str(folder / "theirs.bin"), dtype=np.int32)
            for one in documents:
                builder.add_document(one, [len(one)])
            builder.finalize(str(folder / "theirs.idx"))
            return folder / "theirs"

        def ours() -> Path:
            with IndexedWriter(folder / "ours.bin", np.int32) as writer:
                for start in range(0, len(documents), BATCH):
                    writer.add(np.concatenate(documents[start : start + BATCH]), lengths[start : start + BATCH])
            writer.write_index(folder / "ours.idx")
            return folder / "ours"

        compare("writer", {"megatron": theirs, "aoede": ours}, tokens, args.repeats)

        def corpus_theirs() -> Path:
            builder = IndexedDatasetBuilder(str(folder / "theirs.bin"), dtype=np.int32)
            for clip in load_codes(source.folder):
                one = ids_of(clip, vocabulary)
                builder.add_document(one, [len(one)])
            builder.finalize(str(folder / "theirs.idx"))
            return folder / "theirs"

        tokenizer = TextTokenizer(byte_tokenizer())

        def corpus_ours() -> Path:
            shutil.rmtree(folder / "packed", ignore_errors=True)
            pack([source], tokenizer, "calliope", folder / "packed")
            return folder / "packed" / source.name

        compare("corpus", {"megatron": corpus_theirs, "aoede": corpus_ours}, tokens, args.repeats)
        opened = time.perf_counter()
        count = len(IndexedFile(folder / "packed" / source.name))
        print(f"opening {count:,} documents: {(time.perf_counter() - opened) * 1e3:.1f} ms")


def compare(name: str, ways: Mapping[str, Callable[[], Path]], tokens: int, repeats: int) -> None:
    """Time the ways in turns; their files must be equal."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(repeats + 1):
        digests = set()
        for way, work in ways.items():
            start = time.perf_counter()
            prefix = work()
            if turn:  # the first fills caches
                times[way].append(time.perf_counter() - start)
            digests.add(digest(prefix))
        if len(digests) != 1:
            raise SystemExit(f"{name}: the files of {' and '.join(ways)} differ")
    speed = {way: tokens / statistics.median(values) for way, values in times.items()}
    spread = {way: f"{min(values):.2f}..{max(values):.2f} s" for way, values in times.items()}
    for way in ways:
        print(f"{name:8} {way:9} {speed[way] / 1e6:8.1f} M tokens a second  ({spread[way]})")
    print(f"{name:8} ratio     {speed['aoede'] / speed['megatron']:8.2f}, equal to the byte")


def ids_of(clip: CodedClip, vocabulary: CodecVocabulary) -> np.ndarray[Any, Any]:
    """A recording as its document."""
    frames = vocabulary.layout.flatten([torch.from_numpy(level.astype(np.int64)) for level in clip.codes])
    return vocabulary.ids_from_frames(frames, open=True, close=True)[0].numpy()


def make_source(folder: Path, clips: int, seconds: float) -> SourceInfo:
    """Shards of random codes; lengths are spread as those of read sentences are."""
    home = folder / "corpus" / "speech"
    home.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number, start in enumerate(range(0, clips, BATCH)):
        shard = []
        for i in range(start, min(start + BATCH, clips)):
            frames = max(1, round(draw.gamma(4.0, seconds / 4.0) * 24_000 / 2048))
            codes = [draw.integers(0, 4096, frames * count, dtype=np.uint16) for count in INFO.codes_per_frame]
            fields = {"speaker": f"s{i % 50}", "language": "en", "source": "speech", "split": "train"}
            shard.append(CodedClip(id=f"{i:08d}", text=f"Sentence {i}.", seconds=frames * 2048 / 24_000, codes=codes,
                                   **fields))  # fmt: skip
        write_shard(home / f"codes-{number:05d}.parquet", shard, INFO, {})
    (home / "report.json").write_text("{}")
    return SourceInfo(name="speech", kind="clean-read", language="en", licence="none", folder=home)


def digest(prefix: Path) -> str:
    """Of the .bin and .idx."""
    found = hashlib.sha256()
    for suffix in (".bin", ".idx"):
        with open(prefix.with_name(prefix.name + suffix), "rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


if __name__ == "__main__":
    main()
