"""Learning rates over the time of a training, in epochs."""

import math

import pytest

from numbacnn.schedules import SCHEDULES, constant, cosine, exponential, one_cycle, schedule


def test_a_constant_rate_stays() -> None:
    assert [constant(0.1)(time) for time in (0, 0.5, 7)] == [0.1] * 3


def test_an_exponential_rate_changes_with_each_epoch_and_not_within_one() -> None:
    rate = exponential(0.1, 0.5)
    assert [rate(time) for time in (0, 0.5, 0.999, 1, 1.25, 2)] == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05, 0.025])


def test_a_cosine_falls_from_the_rate_to_zero_and_stays_there() -> None:
    rate = cosine(0.1, 8)
    assert [rate(time) for time in (0, 2, 4, 6, 8)] == pytest.approx(
        [0.1, 0.05 * (1 + math.sqrt(0.5)), 0.05, 0.05 * (1 - math.sqrt(0.5)), 0]
    )
    assert rate(9) == pytest.approx(0), "a run that is taken up with more epochs than it had does not rise again"


def test_one_cycle_goes_up_to_the_rate_and_down_below_its_start() -> None:
    rate = one_cycle(0.1, 10, warm_up=0.4, start=0.04, end=1e-4)
    assert [rate(time) for time in (0, 2, 4, 7, 10, 11)] == pytest.approx([0.004, 0.052, 0.1, 0.050005, 1e-5, 1e-5])
    times = [k / 10 for k in range(101)]
    rates = [rate(time) for time in times]
    assert rates[:41] == sorted(rates[:41])
    assert rates[40:] == sorted(rates[40:], reverse=True)


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("constant", constant(0.1)),
        ("exponential", exponential(0.1, 0.6)),
        ("cosine", cosine(0.1, 5)),
        ("one-cycle", one_cycle(0.1, 5)),
    ],
)
def test_a_schedule_by_its_name_is_that_of_the_settings(name: str, same) -> None:  # type: ignore[no-untyped-def]
    rate = schedule(name, 0.1, 0.6, 5)
    assert [rate(k / 4) for k in range(21)] == [same(k / 4) for k in range(21)]


def test_every_name_is_a_schedule() -> None:
    assert all(schedule(name, 0.1, 0.9, 3)(0) > 0 for name in SCHEDULES)
