"""The spread of several runs."""

import math
import random

import pytest

from numbacnn.spread import spread, t_quantile


@pytest.mark.parametrize(
    ("degrees", "expected"),  # Abramowitz and Stegun, table 26.10, A = 0.95
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (10, 2.228), (29, 2.045), (30, 2.042), (120, 1.980)],
)
def test_the_quantiles_are_those_of_the_tables(degrees: int, expected: float) -> None:
    assert round(t_quantile(degrees), 3) == expected


def test_the_quantiles_are_scipys() -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    for degrees in (*range(1, 60), 1000, 9999):
        assert t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-9)


def test_the_interval_of_ten_runs() -> None:
    found = spread([float(value) for value in range(10)])
    assert (found.count, found.mean) == (10, 4.5)
    assert found.standard_deviation == pytest.approx(math.sqrt(82.5 / 9))
    assert found.margin == pytest.approx(2.262157 * math.sqrt(82.5 / 9) / math.sqrt(10), rel=1e-6)


def test_one_run_has_a_mean_and_no_spread() -> None:
    found = spread([0.5])
    assert (found.mean, found.standard_deviation, found.margin) == (0.5, None, None)


def test_runs_that_end_in_another_order_change_no_bit() -> None:
    values = [random.Random(7).random() for _ in range(25)]
    assert spread(values) == spread(sorted(values)) == spread(values[::-1])


def test_no_value_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected at least one"):
        spread([])
