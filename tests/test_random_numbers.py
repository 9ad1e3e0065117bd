"""Random numbers by counting: known values, distributions, and independence of how many are drawn at once."""

import statistics

import numpy as np

from numbacnn.initializers import initial_values
from numbacnn.random_numbers import bits, permutation, stream, truncated_normal, uniform


def test_numbers_are_the_same_for_ever() -> None:
    """Every trained network begins with such numbers: a change of them changes all hashes."""
    assert stream(0, 1) == 0xAC050E5BEE7DEF75
    assert [int(value) for value in bits(stream(0), 2)] == [0xA706DD2F4D197E6F, 0xB382A305F4414F5E]
    assert permutation(stream(5, 1, 0), 10).tolist() == [1, 6, 9, 3, 2, 8, 4, 7, 0, 5]


def test_a_number_does_not_depend_on_how_many_are_drawn_with_it() -> None:
    for draw in (bits, uniform, truncated_normal):
        together = draw(stream(3), 1000)
        assert np.array_equal(together[700:], draw(stream(3), 300, 700))


def test_streams_differ_by_every_number_of_their_name_and_by_its_place() -> None:
    names = [(0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 1), (2**63 - 1,), (2**64 - 1, 7)]
    assert len({stream(*name) for name in names}) == len(names)
    first = {tuple(bits(stream(*name), 3).tolist()) for name in names}
    assert len(first) == len(names)


def test_uniform_numbers_lie_between_the_ends_and_fill_the_range() -> None:
    values = uniform(stream(1), 100_000)
    assert 0 < values.min() < 1e-4
    assert 1 - 1e-4 < values.max() < 1
    counts = np.histogram(values, 20, (0, 1))[0]
    assert np.abs(counts - 5000).max() < 5 * 5000**0.5
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.016


def test_truncated_normal_numbers_are_the_quantiles_of_uniform_ones() -> None:
    normal, count = statistics.NormalDist(), 3000
    low, high = normal.cdf(-2), normal.cdf(2)
    right = np.array([normal.inv_cdf(low + (high - low) * value) for value in uniform(stream(9), count)])
    found = truncated_normal(stream(9), count)
    assert np.abs(found / right - 1).max() < 2e-9
    assert np.abs(found).max() <= 2


def test_a_permutation_holds_each_number_once_and_mixes_them() -> None:
    order = permutation(stream(4), 1000)
    assert sorted(order.tolist()) == list(range(1000))
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.16


def test_initial_values_drawn_in_parts_are_those_drawn_at_once() -> None:
    whole = initial_values("he_normal", (300, 200), 300, 200, stream(0, 2), np.float64)
    scaled = truncated_normal(stream(0, 2), 60_000).reshape(300, 200)
    ratio = whole / scaled
    assert np.allclose(ratio, ratio[0, 0], rtol=1e-12)
