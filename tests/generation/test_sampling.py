"""Sampling: what the filters keep, and that rows are their own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aoede.generation import Sampling, draw


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def draws(probabilities, sampling, count=4000):
    logits = torch.tensor(probabilities).log().expand(count, -1)
    columns = draw(logits, sampling, generators(*range(count)))
    return torch.bincount(columns, minlength=len(probabilities)) / count


def test_temperature_zero_takes_the_highest_score():
    logits = torch.tensor([[1.0, 3.0, 2.0], [5.0, 0.0, 4.0]])
    assert draw(logits, Sampling(temperature=0), generators(0, 1)).tolist() == [1, 0]


def test_draws_follow_the_probabilities():
    found = draws([0.5, 0.3, 0.2], Sampling(temperature=1.0))
    assert torch.allclose(found, torch.tensor([0.5, 0.3, 0.2]), atol=0.03)


def test_temperature_two_flattens_by_the_square_root():
    found = draws([0.8, 0.2], Sampling(temperature=2.0))
    assert abs(found[0] - 2 / 3) < 0.03  # sqrt(0.8) : sqrt(0.2) = 2 : 1


def test_top_k_keeps_the_two_most_likely():
    found = draws([0.2, 0.5, 0.3], Sampling(temperature=1.0, top_k=2))
    assert found[0] == 0 and abs(found[1] - 0.625) < 0.03


def test_top_p_keeps_the_smallest_set_that_reaches_the_mass():
    found = draws([0.2, 0.5, 0.3], Sampling(temperature=1.0, top_p=0.7))
    assert found[0] == 0 and abs(found[1] - 0.625) < 0.03
    assert draws([0.2, 0.5, 0.3], Sampling(temperature=1.0, top_p=0.01), 100)[1] == 1


def test_min_p_drops_what_is_far_below_the_best():
    found = draws([0.6, 0.35, 0.05], Sampling(temperature=1.0, min_p=0.1))
    assert found[2] == 0 and found[1] > 0.3


@given(st.integers(0, 2**40), st.integers(1, 50), st.floats(0.1, 1.0), st.floats(0.0, 0.9))
def test_an_impossible_id_is_never_drawn(seed, size, top_p, min_p):
    logits = torch.randn(3, size + 1, generator=torch.Generator().manual_seed(seed))
    logits[:, 0] = -torch.inf
    columns = draw(logits, Sampling(top_p=top_p, min_p=min_p), generators(seed, seed + 1, seed + 2))
    assert (columns > 0).all() and (columns <= size).all()


def test_a_row_draws_the_same_whoever_stands_beside_it():
    logits = torch.randn(3, 100, generator=torch.Generator().manual_seed(0))
    together = draw(logits, Sampling(top_p=0.9), generators(7, 8, 9))
    alone = [draw(logits[i : i + 1], Sampling(top_p=0.9), generators(7 + i)).item() for i in range(3)]
    assert together.tolist() == alone


def by_sorting_all(logits, sampling, uniform):
    """The draw as it is defined: every id, sorted; the filters one after the other."""
    scores, columns = (logits / sampling.temperature).double().sort(descending=True, stable=True)
    scores = scores[: sampling.top_k or len(scores)]
    probabilities = scores.softmax(-1)
    keep = probabilities.cumsum(-1) - probabilities < sampling.top_p
    keep &= probabilities >= sampling.min_p * probabilities[0]
    mass = (probabilities * keep).cumsum(-1)
    return int(columns[torch.searchsorted(mass, uniform * mass[-1], right=True)])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 8.0},
        {"top_p": 0.999, "temperature": 3.0},
        {"min_p": 0.01, "temperature": 4.0},
        {"top_k": 300},
    ],
    ids=str,
)
def test_a_draw_beyond_the_ids_that_are_sorted_first_is_that_of_all_sorted(settings):
    sampling = Sampling(**{"temperature": 1.0, **settings})
    logits = 2 * torch.randn(64, 2048, generator=torch.Generator().manual_seed(0))
    numbers = [torch.rand(1, generator=one, dtype=torch.float64) for one in generators(*range(64))]
    expected = [by_sorting_all(*pair) for pair in zip(logits, [sampling] * 64, numbers, strict=True)]
    assert draw(logits, sampling, generators(*range(64))).tolist() == expected


@pytest.mark.parametrize("settings", [{}, {"top_k": 40}, {"top_p": 0.9}], ids=str)
def test_equal_scores_are_told_apart_alone_as_among_others(settings):
    logits = torch.randint(3, (16, 2048), generator=torch.Generator().manual_seed(0)).float()
    sampling = Sampling(temperature=0.5, **settings)
    together = draw(logits, sampling, generators(*range(16))).tolist()
    assert together == [draw(logits[n : n + 1], sampling, generators(n)).item() for n in range(16)]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"temperature": -1}, "temperature -1 is outside"),
        ({"top_p": 0.0}, "top_p 0.0 is outside"),
        ({"top_k": 0}, "top_k 0 is below 1"),
        ({"min_p": 1.0}, "min_p 1.0 is outside"),
    ],
)
def test_a_setting_out_of_range_is_refused(setting, words):
    with pytest.raises(ValueError, match=words):
        Sampling(**setting)


def test_settings_round_trip_and_override():
    sampling = Sampling(temperature=0.7, top_k=50)
    assert Sampling.from_dict(sampling.to_dict()) == sampling
    assert sampling.override(temperature=0.0, top_k=None) == Sampling(temperature=0.0, top_k=50)
    with pytest.raises(ValueError, match="unknown sampling setting topp"):
        Sampling.from_dict({"topp": 1})
