import pytest

from aoede.training.schedule import ScheduleConfig, factor


def test_warm_up_rises_linearly_and_its_first_step_moves():
    config = ScheduleConfig(kind="constant", warmup_steps=4)
    assert [factor(config, step, 10) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine_is_one_after_warm_up_half_way_in_the_middle_and_final_at_the_last_step():
    config = ScheduleConfig(kind="cosine", warmup_steps=0, final=0.2)
    assert factor(config, 0, 101) == 1.0
    assert factor(config, 50, 101) == pytest.approx(0.6)
    assert factor(config, 100, 101) == pytest.approx(0.2)
    assert factor(config, 500, 101) == pytest.approx(0.2)


SHAPES = [("linear", 0.5), ("cosine", 0.5), ("minus_sqrt", 1 - 0.5**0.5), ("exponential", 2 * 0.5**0.5 - 1)]


@pytest.mark.parametrize(("shape", "half_way"), SHAPES)
def test_wsd_stays_at_one_and_falls_over_its_last_steps(shape, half_way):
    config = ScheduleConfig(kind="wsd", final=0.0, decay_steps=21, decay_shape=shape)
    assert factor(config, 79, 100) == 1.0
    assert factor(config, 89, 100) == pytest.approx(half_way)
    assert factor(config, 99, 100) == pytest.approx(0.0)


def test_exponential_multiplies_by_gamma_every_step():
    config = ScheduleConfig(kind="exponential", gamma=0.5)
    assert [factor(config, step, 9) for step in range(3)] == [1.0, 0.5, 0.25]


@pytest.mark.parametrize("bad", [{"final": 2.0}, {"warmup_steps": -1}, {"decay_steps": 0}, {"gamma": 0.0}])
def test_a_factor_that_makes_no_sense_is_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        ScheduleConfig(**bad)


@pytest.mark.parametrize("kind", ["constant", "cosine", "wsd", "exponential"])
@pytest.mark.parametrize("total", [1, 2, 5])
def test_very_short_runs_have_a_factor_in_zero_to_one(kind, total):
    config = ScheduleConfig(kind=kind, warmup_steps=2)
    assert all(0.0 <= factor(config, step, total) <= 1.0 for step in range(total))
