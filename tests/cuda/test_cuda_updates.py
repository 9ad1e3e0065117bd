"""Parameter updates in place, and the checks that hold them back."""

import math

import numpy as np
import oracle
import pytest

from numbacnn.optimizers import OPTIMIZERS
from numbacnn.values import FiniteLossCheck

SIZES = [0, 1, 7, 8, 9, 31, 32, 33, 257]
"""At the edges of blocks, of the simulator's and the GPU's alike."""

RATE = 0.01
EPS = np.finfo(np.float32).eps


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def update(ops, name, weight, first, second, gradient, t, check=None):
    """One update by its name; state and gradient are device arrays."""
    if name == "moving_average":
        ops.moving_average_update(weight, gradient, 0.75, check)
    else:
        optimizer = OPTIMIZERS[name]
        ops.update(weight, (first, second)[: len(optimizer.slots)], gradient, optimizer.rule(RATE, t), check)


RULES = pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
UPDATES = pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "moving_average"])


@RULES
@pytest.mark.parametrize("size", SIZES)
def test_updates_equal_the_formula_over_three_steps(ops, canaries, name, size):
    weight, gradients = normal(0, size), [normal(seed, size) for seed in (1, 2, 3)]
    state = [canaries.device(each) for each in (weight, np.zeros_like(weight), np.zeros_like(weight))]
    for t, gradient in enumerate(gradients, start=1):
        g = canaries.device(gradient)
        update(ops, name, *state, g, t)
        np.testing.assert_array_equal(ops.to_host(g), gradient)
    canaries.check()
    formula = {"sgd": oracle.sgd, "momentum": lambda *a: oracle.momentum(*a, 0.9), "adam": oracle.adam}[name]
    *_, expected = formula(weight.astype(np.float64), [g.astype(np.float64) for g in gradients], RATE)
    np.testing.assert_allclose(ops.to_host(state[0]), expected, rtol=0, atol=3 * 8 * EPS)


@pytest.mark.parametrize("size", SIZES)
def test_moving_average_moves_a_share_of_the_way(ops, canaries, size):
    average, value = normal(0, size), normal(1, size)
    moved = canaries.device(average)
    ops.moving_average_update(moved, canaries.device(value), 0.75)
    canaries.check()
    np.testing.assert_allclose(ops.to_host(moved), 0.75 * average + 0.25 * value, rtol=0, atol=8 * EPS)


@UPDATES
def test_images_of_parameters_are_updated_as_rows_are(ops, canaries, name):
    shape = (2, 3, 1, 5) if name != "moving_average" else (5,)
    arrays = [normal(seed, *shape) ** 2 for seed in range(4)]
    state = [canaries.device(each) for each in arrays]
    update(ops, name, *state, 1)
    flat = [canaries.device(each.reshape(-1)) for each in arrays]
    update(ops, name, *flat, 1)
    for one, other in zip(state, flat, strict=True):
        np.testing.assert_array_equal(ops.to_host(one).reshape(-1), ops.to_host(other))


@UPDATES
@pytest.mark.parametrize("loss", [0.5, math.nan, math.inf, -math.inf])
def test_an_update_is_held_back_unless_the_loss_of_its_step_is_finite(ops, canaries, name, loss):
    arrays = [normal(seed, 9) ** 2 for seed in range(4)]
    check = FiniteLossCheck(canaries.device(np.array([1, loss, math.nan], np.float32)), 1)
    state, free = ([canaries.device(each) for each in arrays] for _ in range(2))
    update(ops, name, *state, 2, check=check)
    update(ops, name, *free, 2)
    canaries.check()
    expected = [ops.to_host(each) for each in free] if math.isfinite(loss) else arrays
    for got, want in zip(state, expected, strict=True):
        np.testing.assert_array_equal(ops.to_host(got), want)
    assert not np.array_equal(ops.to_host(free[0]), arrays[0])


@RULES
def test_updates_pass_nan_on(ops, canaries, name):
    """A gradient that is no number must spoil the weight for all to see."""
    state = [canaries.device(np.full(3, start, np.float32)) for start in (1, 0, 0)]
    update(ops, name, *state, canaries.device(np.array([1, np.nan, 1], np.float32)), 1)
    assert np.isnan(ops.to_host(state[0])).tolist() == [False, True, False]
