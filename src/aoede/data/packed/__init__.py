"""Documents of a corpus as token ids in Megatron's files: written by `aoede pack`, read memory-mapped."""

from .dataset import PackedDataset, PackedFolder, PackedInfo
from .index import IndexedFile, IndexedWriter
from .reading import PackSource
from .tokenizer import TextTokenizer, byte_tokenizer
from .writing import PackSummary, pack

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
    "pack",
]
