"""Rows of whole documents: every document once, none too long, nearly nothing wasted."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoede.data.mixture.chance import bits, shuffled, uniform
from aoede.data.mixture.rows import best_fit


def one_by_one(lengths, capacity):
    """Best fit decreasing as the books have it: how many rows."""
    room = []
    for length in sorted(lengths, reverse=True):
        fitting = [i for i, left in enumerate(room) if left >= length]
        if fitting:
            room[min(fitting, key=lambda i: room[i])] -= length
        else:
            room.append(capacity - length)
    return len(room)


@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=60), capacity=st.integers(20, 50))
def test_rows_hold_what_they_may_and_are_as_few_as_best_fit_makes_them(lengths, capacity):
    rows, count = best_fit(np.array(lengths), capacity)
    filled = np.bincount(rows, weights=lengths, minlength=count)
    assert len(filled) == count and filled.max() <= capacity and filled.min() > 0
    assert count == one_by_one(lengths, capacity)


def test_two_hundred_thousand_documents_take_a_moment_and_fill_their_rows():
    lengths = np.random.default_rng(0).integers(20, 1500, 200_000)
    start = time.perf_counter()
    rows, count = best_fit(lengths, 2048)
    assert time.perf_counter() - start < 10
    assert np.bincount(rows, weights=lengths).max() <= 2048
    assert lengths.sum() / (count * 2048) > 0.995


def test_a_document_longer_than_a_row_is_refused():
    with pytest.raises(ValueError, match=r"lengths lie in 3\.\.21; a row takes 1\.\.20"):
        best_fit(np.array([3, 21]), 20)
    assert best_fit(np.zeros(0, dtype=np.int64), 20)[1] == 0


def test_chance_depends_on_its_keys_alone():
    # Written down once: another machine or version must give the same numbers.
    assert bits(1, np.arange(3)).tolist() == [6238072747940578789, 10451216379200822465, 13757245211066428519]
    assert shuffled(7, 6).tolist() == shuffled(7, 6).tolist() != shuffled(8, 6).tolist()
    assert sorted(shuffled(7, 1000).tolist()) == list(range(1000))
    drawn = uniform(3, np.arange(100_000))
    assert drawn.min() >= 0 and drawn.max() < 1 and abs(drawn.mean() - 0.5) < 0.005
