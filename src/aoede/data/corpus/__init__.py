"""Corpora of many sources: one YAML file in, one folder of shards out, however often the work is interrupted.

`config` the corpus file, `sources` and `texts` what lies at a path, `work` one shard's work, `local` and `ray_engine`
where it is done, `plan` and `journal` what is begun and what is finished, `summary` what became of it, `folder` the
result as others see it, `engine` all of it together.
"""

from .config import ColumnsConfig, CorpusConfig, SelectConfig, SourceConfig, load_corpus_config
from .engine import prepare_corpus
from .folder import CorpusCheck, CorpusFolder, SourceInfo, check_corpus
from .summary import CorpusSummary, SourceSummary
from .texts import TextDocument

__all__ = [
    "ColumnsConfig",
    "CorpusCheck",
    "CorpusConfig",
    "CorpusFolder",
    "CorpusSummary",
    "SelectConfig",
    "SourceConfig",
    "SourceInfo",
    "SourceSummary",
    "TextDocument",
    "check_corpus",
    "load_corpus_config",
    "prepare_corpus",
]
