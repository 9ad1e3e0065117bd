"""dropout: a mask that depends on (seed, step) and nothing else."""

import math

import numpy as np
import pytest

from numbacnn import functional as F
from numbacnn.errors import NumbaCNNError

BOTH_TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
MILLION = 1_000_000


def mask(shape=(40, 50), rate=0.5, seed=0, step=0):
    return F.dropout(np.ones(shape, np.float32), rate, seed, step) != 0


@BOTH_TYPES
def test_dropout_of_rate_zero_is_the_identity_bit_for_bit(dtype):
    x = np.random.default_rng(0).standard_normal((9, 7)).astype(dtype)
    y = F.dropout(x, 0.0, 1, 2)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, x)


@BOTH_TYPES
def test_dropout_keeps_a_value_scaled_or_makes_it_zero(dtype):
    x = np.random.default_rng(0).standard_normal((90, 70)).astype(dtype)
    y = F.dropout(x, 0.2, 1, 2)
    kept = y != 0
    np.testing.assert_allclose(y[kept], x[kept] * dtype(1.25), rtol=2 * np.finfo(dtype).eps)
    assert 0 < (~kept).sum() < x.size


def test_dropout_with_the_same_seed_and_step_draws_the_same_mask():
    np.testing.assert_array_equal(mask(seed=3, step=5), mask(seed=3, step=5))


@pytest.mark.parametrize(
    "other", [{"seed": 4, "step": 5}, {"seed": 3, "step": 6}, {"seed": 5, "step": 3}, {"seed": 0, "step": 0}]
)
def test_dropout_with_another_seed_or_step_draws_an_unrelated_mask(other):
    """Two fair masks of 250,000 agree in half of the cells, give or take 5 sigma (sigma = sqrt(n)/2)."""
    shape = (500, 500)
    agree = int((mask(shape, seed=3, step=5) == mask(shape, **other)).sum())
    assert abs(agree - 125_000) < 5 * 250


def test_dropout_is_its_own_gradient():
    """The same seed and step drop the same cells of x and of dy."""
    x, dy = np.random.default_rng(0).standard_normal((2, 30, 40))
    forward = np.vdot(F.dropout(x, 0.4, 7, 9), dy)
    assert math.isclose(forward, np.vdot(x, F.dropout(dy, 0.4, 7, 9)), rel_tol=1e-12)


def test_dropout_mask_is_the_same_for_both_float_types():
    x = np.ones((100, 100))
    np.testing.assert_array_equal(F.dropout(x, 0.3, 1, 1) == 0, F.dropout(x.astype(np.float32), 0.3, 1, 1) == 0)


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.4, 0.5, 0.9])
def test_dropout_keeps_the_right_share_and_the_mean(rate):
    y = F.dropout(np.ones((1000, 1000), np.float32), rate, 11, 13).astype(np.float64)
    sigma = math.sqrt(MILLION * rate * (1 - rate))
    assert abs((y == 0).sum() - rate * MILLION) < 5 * sigma
    assert abs(y.mean() - 1) < 5 * math.sqrt(rate / (1 - rate)) / 1000


def test_dropout_drops_rows_columns_and_neighbours_alike():
    """No stripes: each row and column keeps half of 1000 (sigma 16), and neighbouring cells agree half of the time."""
    kept = mask((1000, 1000), seed=2, step=4)
    for axis in (0, 1):
        assert np.abs(kept.sum(axis=axis) - 500).max() < 6 * 16
        agree = (np.diff(kept, axis=axis) == 0).mean()  # diff of booleans: True where neighbours differ
        assert abs(agree - 0.5) < 5 * 0.5 / 1000


def test_dropout_consecutive_steps_share_no_pattern():
    """Over 64 steps every cell is kept about 32 times: none is always kept or always dropped (chance 2e-20 each)."""
    kept = np.sum([mask((30, 30), seed=1, step=step) for step in range(64)], axis=0)
    assert kept.min() > 5
    assert kept.max() < 59
    assert abs(kept.var() - 16) < 5 * math.sqrt(2 * 16**2 / 900), "the steps must be independent: variance 64/4"


def test_dropout_works_on_images_too():
    assert F.dropout(np.ones((2, 5, 6, 3)), 0.5, 0, 0).shape == (2, 5, 6, 3)


def test_dropout_passes_nan_on_where_it_is_kept():
    y = F.dropout(np.full((20, 20), np.nan), 0.5, 0, 0)
    np.testing.assert_array_equal(np.isnan(y), mask((20, 20)))


@pytest.mark.parametrize("rate", [1.0, 1.5, -0.1, math.nan, math.inf, "half", None])
def test_dropout_rejects_a_rate_that_is_no_fraction_below_one(rate):
    with pytest.raises(NumbaCNNError, match="rate"):
        F.dropout(np.ones((2, 2)), rate, 0, 0)


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32, 2**63 - 1])
@pytest.mark.parametrize("step", [0, 2**31, 2**40])
def test_dropout_takes_large_seeds_and_steps(seed, step):
    kept = mask((200, 200), seed=seed, step=step).sum()
    assert abs(kept - 20_000) < 5 * 100
