"""dropout: a mask that is a hash of (seed, step, layer, index), the same bits on every device."""

import math

import numpy as np
import oracle
import pytest
from devices import guarded, normal

from numbacnn.values import DropoutKey

MILLION = 1_000_000
KEYS = [DropoutKey(0, 0, 0), DropoutKey(3, 5, 2), DropoutKey(2**32 - 1, 2**40 + 7, 1), DropoutKey(2**63 - 1, 2**31, 255)]


def expected(x, rate, key):
    """Values are scaled in their own type: so bits are known."""
    zero = oracle.dropped(x.size, rate, *key[:3]).reshape(x.shape)
    return np.where(zero, x.dtype.type(0), x * x.dtype.type(1 / (1 - rate)))


@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (9,), (33,), (2, 3, 4, 5), (0, 3, 3, 1), (257,)], ids=str)
@pytest.mark.parametrize("rate", [0.3, 0.0])
def test_dropout_keeps_a_value_scaled_or_makes_it_zero_as_its_hash_says(device, dtype, shape, rate):
    (x,) = normal(0, dtype, shape)
    y = device.run("dropout", x, rate, KEYS[1])
    np.testing.assert_array_equal(y, expected(x, rate, KEYS[1]), strict=True)
    assert rate or y.tobytes() == x.tobytes()


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.999])
def test_dropout_masks_of_any_key_are_those_of_the_hash(device, dtype, key, rate):
    x = np.ones(67, dtype)
    np.testing.assert_array_equal(device.run("dropout", x, rate, key), expected(x, rate, key))


@pytest.mark.simulator
def test_a_part_of_a_batch_drops_the_values_that_the_whole_batch_drops(device):
    (x,) = normal(0, np.float32, (5, 3, 2))
    whole = device.run("dropout", x, 0.5, KEYS[1])
    np.testing.assert_array_equal(device.run("dropout", x[2:].copy(), 0.5, KEYS[1]._replace(first=2)), whole[2:])


@pytest.mark.simulator
def test_dropout_is_its_own_gradient(device):
    """The same key drops the same cells of x and of dy."""
    x, dy = normal(0, np.float64, (6, 7), (6, 7))
    forward = np.vdot(device.run("dropout", x, 0.4, KEYS[1]), dy)
    np.testing.assert_allclose(forward, np.vdot(x, device.run("dropout", dy, 0.4, KEYS[1])), rtol=1e-12)


@pytest.mark.simulator
def test_dropout_draws_the_same_mask_in_float64(device):
    (x,) = normal(0, np.float64, (50,))
    np.testing.assert_array_equal(device.run("dropout", x, 0.3, KEYS[1]), expected(x, 0.3, KEYS[1]), strict=True)


def test_dropout_passes_nan_on_where_it_is_kept(device, dtype):
    x = np.full((5, 8), np.nan, dtype)
    kept = ~oracle.dropped(x.size, 0.5, *KEYS[0][:3]).reshape(x.shape)
    np.testing.assert_array_equal(np.isnan(device.run("dropout", x, 0.5, KEYS[0])), kept)


# --- what the hash must do: statistics of large masks, on the CPU, whose bits are the GPU's --------------------------------


@pytest.fixture(scope="module")
def mask():
    with guarded("plain") as device:

        def mask(shape=(40, 50), rate=0.5, seed=0, step=0):
            return device.ops.dropout(np.ones(shape, np.float32), rate, DropoutKey(seed, step, 0)) != 0

        yield mask


@pytest.mark.parametrize(
    "other", [{"seed": 4, "step": 5}, {"seed": 3, "step": 6}, {"seed": 5, "step": 3}, {"seed": 0, "step": 0}]
)
def test_dropout_with_another_seed_or_step_draws_an_unrelated_mask(mask, other):
    """Two fair masks of 250,000 agree in half of the cells, give or take 5 sigma (sigma = sqrt(n)/2)."""
    shape = (500, 500)
    agree = int((mask(shape, seed=3, step=5) == mask(shape, **other)).sum())
    assert abs(agree - 125_000) < 5 * 250


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.4, 0.5, 0.9])
def test_dropout_drops_the_right_share(mask, rate):
    sigma = math.sqrt(MILLION * rate * (1 - rate))
    assert abs((~mask((1000, 1000), rate, 11, 13)).sum() - rate * MILLION) < 5 * sigma


def test_dropout_drops_rows_columns_and_neighbours_alike(mask):
    """No stripes: each row and column keeps half of 1000 (sigma 16), and neighbouring cells agree half of the time."""
    kept = mask((1000, 1000), seed=2, step=4)
    for axis in (0, 1):
        assert np.abs(kept.sum(axis=axis) - 500).max() < 6 * 16
        agree = (np.diff(kept, axis=axis) == 0).mean()  # diff of booleans: True where neighbours differ
        assert abs(agree - 0.5) < 5 * 0.5 / 1000


def test_dropout_consecutive_steps_share_no_pattern(mask):
    """Over 64 steps every cell is kept about 32 times: none is always kept or always dropped (chance 2e-20 each)."""
    kept = np.sum([mask((30, 30), seed=1, step=step) for step in range(64)], axis=0)
    assert kept.min() > 5
    assert kept.max() < 59
    assert abs(kept.var() - 16) < 5 * math.sqrt(2 * 16**2 / 900), "the steps must be independent: variance 64/4"


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32, 2**63 - 1])
@pytest.mark.parametrize("step", [0, 2**31, 2**40])
def test_dropout_takes_large_seeds_and_steps(mask, seed, step):
    assert abs(mask((200, 200), seed=seed, step=step).sum() - 20_000) < 5 * 100
