"""What vLLM hands to a logits processor, as its public interface describes it, written down step by step.

vLLM pins a torch of its own and is not installed here. These containers have the attributes of its `BatchUpdate`,
`LogitsProcRequestState` and `LogitsContext`, and nothing else; the steps in the tests are those of its scheduler:
requests that come and go, slots moved or used again, prompts read in chunks, preemption, draft tokens.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from types import SimpleNamespace

import torch

from aoede.tokens import CodecVocabulary, FrameLayout

VOCABULARY = CodecVocabulary.extend(20, FrameLayout("CMFFMFF"), (8, 8, 8))
"""Text 0-19, open 20, close 21, C 22-29, M 30-37, F 38-45."""

ROWS = 48
"""Rows of the served head: padded beyond the 46 of the vocabulary."""


class MoveDirectionality(enum.Enum):
    """As in vLLM."""

    UNIDIRECTIONAL = enum.auto()
    SWAP = enum.auto()


@dataclass(frozen=True)
class BatchUpdate:
    """As in vLLM's V1 interface."""

    batch_size: int
    removed: tuple = ()
    added: tuple = ()
    moved: tuple = ()


def params(**extra):
    """Sampling parameters with custom arguments."""
    return SimpleNamespace(extra_args=extra or None)


def config(model, rows=ROWS, drafts=None, **additional):
    """The parts of a `VllmConfig` that a processor may read."""
    return SimpleNamespace(
        model_config=SimpleNamespace(model=str(model), revision=None, get_vocab_size=lambda: rows),
        additional_config=additional,
        speculative_config=None if drafts is None else SimpleNamespace(num_speculative_tokens=drafts),
    )


def legal(logits):
    """Ids that are not masked, row by row."""
    return [row.isfinite().nonzero().flatten().tolist() for row in logits]


TEXT = [*range(21)]
C, M, F = list(range(22, 30)), list(range(30, 38)), list(range(38, 46))
CLOSE_OR_C = [21, *C]


@dataclass
class Slots:
    """The V2 runner's request state: ids by slot, as `LogitsProcRequestState` shows them."""

    device: str = "cpu"
    max_num_reqs: int = 4
    vocab_size: int = ROWS
    all_token_ids: SimpleNamespace = field(init=False)
    prefill_len: SimpleNamespace = field(init=False)

    def __post_init__(self):
        self.all_token_ids = SimpleNamespace(gpu=torch.full((self.max_num_reqs, 32), -7, dtype=torch.int32))
        self.prefill_len = SimpleNamespace(np=[0] * self.max_num_reqs)

    def fill(self, slot, ids):
        """A request's prompt (and what it had generated before a preemption) goes to the device."""
        self.all_token_ids.gpu[slot] = -7  # what an earlier request left must not be read
        self.write(slot, 0, ids)
        self.prefill_len.np[slot] = len(ids)

    def write(self, slot, position, ids):
        """Ids that were accepted."""
        self.all_token_ids.gpu[slot, position : position + len(ids)] = torch.tensor(ids, dtype=torch.int32)


def context(rows):
    """A `LogitsContext`: rows are (slot, position, id fed there), drafts behind their request's first row."""
    slots = list(dict.fromkeys(slot for slot, _, _ in rows))
    seen: dict[int, int] = {}
    offsets = []
    for slot, _, _ in rows:
        offsets.append(seen.get(slot, 0))
        seen[slot] = offsets[-1] + 1
    return SimpleNamespace(
        expanded_idx_mapping=torch.tensor([slot for slot, _, _ in rows], dtype=torch.int32),
        idx_mapping=torch.tensor(slots, dtype=torch.int32),
        expanded_local_pos=torch.tensor(offsets, dtype=torch.int32),
        input_ids=torch.tensor([token for _, _, token in rows], dtype=torch.int32),
        pos=torch.tensor([position for _, position, _ in rows]),
    )
