"""Documents of a corpus as token ids in Megatron's files: written by `aoede pack`, read memory-mapped."""

from .dataset import PackedDataset, PackedFolder, PackedInfo
from .index import IndexedFile, IndexedWriter
from .sources import corpus_sources
from .tokenizer import TextTokenizer, byte_tokenizer
from .writing import PackSource, PackSummary, pack

__all__ = [
    "IndexedFile",
    "IndexedWriter",
    "PackSource",
    "PackSummary",
    "PackedDataset",
    "PackedFolder",
    "PackedInfo",
    "TextTokenizer",
    "byte_tokenizer",
    "corpus_sources",
    "pack",
]
