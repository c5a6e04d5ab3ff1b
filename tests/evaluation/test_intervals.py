"""Figures over a set and the width of what we know about them."""

import pytest

from aoede.evaluation.intervals import difference, mean, ratio


def test_a_ratio_is_the_sum_over_the_sum_not_the_mean_of_ratios():
    # 1 error in 2 words and 1 in 18: 2/20, where the mean of the rates would be (0.5 + 0.0556) / 2.
    assert ratio([1, 1], [2, 18]).value == pytest.approx(0.1)


def test_equal_utterances_have_an_interval_of_no_width():
    interval = mean([0.25] * 10)
    assert (interval.value, interval.low, interval.high, interval.count) == (0.25, 0.25, 0.25, 10)


def test_the_interval_of_a_coin_is_near_the_normal_one():
    # 200 tosses, half heads: 1.96 * sqrt(0.25 / 200) = 0.0693 each side.
    interval = mean([0.0, 1.0] * 100)
    assert interval.low == pytest.approx(0.5 - 0.0693, abs=0.012)
    assert interval.high == pytest.approx(0.5 + 0.0693, abs=0.012)


def test_a_paired_difference_is_sharper_than_its_two_sides():
    # The systems differ by exactly one error in ten on every utterance, however hard the utterance.
    hard = [0.0, 5.0] * 20
    gap = difference([h + 1 for h in hard], hard, [10.0] * 40)
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.1, 0.1, 0.1))


def test_ratios_over_different_denominators_are_told_apart():
    # 1 s of computing for 2 s of speech against 1 s for 4 s, clip by clip.
    gap = difference([1.0] * 9, [1.0] * 9, [2.0] * 9, baseline_denominators=[4.0] * 9)
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.25, 0.25, 0.25))
    same = difference([1.0, 3.0], [2.0, 2.0], [4.0, 6.0], baseline_denominators=[4.0, 6.0])
    assert same == difference([1.0, 3.0], [2.0, 2.0], [4.0, 6.0])


def test_the_same_seed_draws_the_same_interval():
    values = [0.1, 0.5, 0.9, 0.2]
    assert mean(values, seed=3) == mean(values, seed=3)


@pytest.mark.parametrize(("top", "bottom"), [([], []), ([1], [1, 2]), ([1], [0])])
def test_nothing_to_average_is_refused(top, bottom):
    with pytest.raises(ValueError, match="denominators"):
        ratio(top, bottom)


def test_a_difference_of_unequal_sets_is_refused():
    with pytest.raises(ValueError, match="2 utterances against 1"):
        difference([1, 2], [1], [1, 1])
