"""The cache of a session: each row writes at its own place, windows go round, rows move, buffers grow."""

import pytest
import torch
from transformers import Gemma3TextConfig, LlamaConfig
from transformers.cache_utils import Cache

from aoede.generation.cache import RowsCache

SHAPE = {"vocab_size": 8, "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "head_dim": 4}
WINDOW = 4


def make_cache(rows=3):
    """A layer with a window of 4, and one that sees all."""
    config = Gemma3TextConfig(
        **SHAPE, num_hidden_layers=2, layer_types=["sliding_attention", "full_attention"], sliding_window=WINDOW
    )
    config._attn_implementation = "sdpa"
    return RowsCache(config, rows)


def keys_at(row, positions):
    """Key p of row r is filled with 100 r + p: [heads, positions, 4]."""
    return (100.0 * row + torch.as_tensor(positions, dtype=torch.float32))[None, :, None].expand(2, -1, 4)


def prefilled(cache, row, length):
    source = Cache(layers=cache.prefill_layers())
    for layer in range(2):
        source.update(keys_at(row, range(length))[None], -keys_at(row, range(length))[None], layer)
    return source


def write(cache, lengths):
    """One step of rows with these lengths; what every row sees in each layer, as sets of positions."""
    masks = cache.place(lengths, torch.device("cpu"), torch.float32)
    keys = torch.stack([keys_at(row, [length]) for row, length in enumerate(lengths)])
    seen = {}
    for layer, name in enumerate(("sliding_attention", "full_attention")):
        found, values = cache.update(keys, -keys, layer)
        assert torch.equal(found, -values)
        for row in range(len(lengths)):
            shown = found[row, 0, :, 0] if masks[name] is None else found[row, 0, masks[name][row, 0, 0] == 0, 0]
            seen[name, row] = sorted(int(key) for key in shown)
    return seen


def test_rows_of_different_lengths_see_what_is_theirs():
    cache, lengths = make_cache(), [2, 7, 3]
    cache.reserve(12)
    for row, length in enumerate(lengths):
        cache.insert(prefilled(cache, row, length), 0, length, row)
    for step in range(4):
        seen = write(cache, [length + step for length in lengths])
        for row, length in enumerate(lengths):
            here = [100 * row + p for p in range(length + step + 1)]
            assert seen["full_attention", row] == here
            assert seen["sliding_attention", row] == here[-WINDOW:]


@pytest.mark.parametrize("length", [2, 3, 5, 9])
def test_rows_in_step_need_no_mask(length):
    cache = make_cache()
    cache.reserve(12)
    for row in range(3):
        cache.insert(prefilled(cache, row, length), 0, length, row)
    for at in (length, length + 1):
        seen = write(cache, [at] * 3)
        assert all(cursor.mask is None for cursor in cache.cursors.values())
        for row in range(3):
            assert seen["full_attention", row] == [100 * row + p for p in range(at + 1)]
            assert seen["sliding_attention", row] == [100 * row + p for p in range(max(0, at + 1 - WINDOW), at + 1)]


def test_a_row_that_moves_and_a_buffer_that_grows_keep_what_they_hold():
    cache = make_cache()
    cache.reserve(6)
    cache.capacity = 6  # as if no more had been reserved
    for row in range(2):
        cache.insert(prefilled(cache, row, 5), 0, 5, row)
    cache.move(1, 0, 5)
    cache.reserve(600)
    assert cache.capacity == 600
    full, sliding = cache.layers[1], cache.layers[0]
    assert torch.equal(full.keys[0, :, :5], keys_at(1, range(5))) and full.keys.shape[2] == 600
    assert sliding.keys.shape[2] == WINDOW
    assert sorted(sliding.keys[0, 0, :, 0].tolist()) == [101.0, 102.0, 103.0, 104.0]


def test_attention_without_row_masks_is_refused():
    config = LlamaConfig(**SHAPE, num_hidden_layers=1)
    config._attn_implementation = "flash_attention_2"
    with pytest.raises(ValueError, match="attention 'flash_attention_2' takes no mask for each row"):
        RowsCache(config, 1)
