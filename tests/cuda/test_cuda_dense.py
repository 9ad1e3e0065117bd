"""Dense layers by tiles, against the oracle: sizes below, at and above those of a tile, and sums cut into parts."""

import math

import numpy as np
import oracle
import pytest

from numbacnn.optimizers import OPTIMIZERS
from numbacnn.values import FiniteLossCheck

SHAPES = [
    (1, 1, 1),
    (3, 1, 5),
    (4, 2, 8),
    (5, 3, 9),
    (8, 4, 8),
    (9, 5, 17),
    (2, 9, 4),  # a sum in parts, with rows that vectors fit
    (17, 6, 3),
]
"""(n, k, f) around the simulator's tiles of 4 or 8 rows, 8 or 16 columns and slices of 2."""

EMPTY = [(0, 3, 4), (0, 9, 9)]

RULES = {name: optimizer.rule(0.1, 3) for name, optimizer in OPTIMIZERS.items()}
SLOTS = {name: len(optimizer.slots) for name, optimizer in OPTIMIZERS.items()}


@pytest.fixture
def tiled_dense(canaries):
    from numbacnn.backends.cuda.tiled import dense

    return dense


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def check(computed, exact, terms, magnitude):
    oracle.assert_close(computed, exact, oracle.rounding(np.float32, terms + 1, magnitude))


@pytest.mark.parametrize("shape", SHAPES + EMPTY, ids=str)
def test_dense_equals_the_formula(tiled_dense, run, shape):
    count, terms, units = shape
    x, weights, bias = normal(1, count, terms), normal(2, terms, units), normal(3, units)
    exact, magnitude = oracle.dense(x, weights, bias), oracle.dense(np.abs(x), np.abs(weights), np.abs(bias))
    y = run(tiled_dense.dense, x, weights, bias, False)
    check(y, exact, terms, magnitude)
    np.testing.assert_array_equal(run(tiled_dense.dense, x, weights, bias, True), np.maximum(y, 0))
    check(run(tiled_dense.dense, x, weights, None, False), exact - bias, terms, magnitude)


@pytest.mark.parametrize("shape", SHAPES + EMPTY, ids=str)
def test_dense_gradients_equal_the_formulas(tiled_dense, run, shape):
    count, terms, units = shape
    x, weights, dy = normal(1, count, terms), normal(2, terms, units), normal(3, count, units)
    dx, dweights, _ = oracle.dense_backward(x, weights, dy)
    most_dx, most_dweights, _ = oracle.dense_backward(np.abs(x), np.abs(weights), np.abs(dy))
    check(run(tiled_dense.input_gradient, dy, weights), dx, units, most_dx)
    check(run(tiled_dense.weight_gradient, x, dy), dweights, count, most_dweights)


@pytest.mark.simulator
def test_dense_in_float64_is_exact_to_fifteen_digits(tiled_dense, run):
    x, weights, bias = (normal(seed, *shape).astype(np.float64) for seed, shape in enumerate([(9, 7), (7, 9), (9,)]))
    np.testing.assert_allclose(run(tiled_dense.dense, x, weights, bias, False), x @ weights + bias, rtol=1e-13)


def test_dense_keeps_nan_in_its_row(tiled_dense, run):
    x = np.ones((9, 5), np.float32)
    x[3, 4] = np.nan
    for bias in (None, np.zeros(9, np.float32)):
        y = run(tiled_dense.dense, x, np.ones((5, 9), np.float32), bias, True)
        assert np.isnan(y).all(axis=1).tolist() == [n == 3 for n in range(9)]
        assert np.isnan(y).any(axis=1).sum() == 1


def test_a_long_sum_is_cut_into_parts_by_its_shape_alone():
    from numbacnn.backends.cuda.tiled.product import MANY_ROWS, TILES, grid_of

    for tile in TILES:
        for terms in range(3 * tile.depth + 40):
            (down, across, parts), each = grid_of(tile, 5, 3, terms)
            assert (down, across) == (-(-5 // tile.rows), -(-3 // tile.columns))
            assert each % tile.depth == 0
            assert (parts - 1) * each < max(terms, 1) <= parts * each
    assert grid_of(MANY_ROWS[0], 0, 9, 50)[0][0] == 0


@pytest.mark.parametrize("rule", SLOTS)
@pytest.mark.parametrize("shape", [(3, 1, 1), (4, 9, 8), (1, 5, 17), (9, 2, 3), (0, 3, 4)], ids=str)  # (9, 2, 3): in parts
def test_an_update_fused_to_its_gradient_has_the_bits_of_one_after_the_other(tiled_dense, canaries, rule, shape):
    from numbacnn.backends.cuda.memory import to_host
    from numbacnn.backends.cuda.plain import updates

    count, terms, units = shape
    x, dy = canaries.device(normal(1, count, terms)), canaries.device(normal(2, count, units))
    start = [normal(seed, terms, units) ** 2 for seed in range(3, 4 + SLOTS[rule])]
    fused, apart = ([canaries.device(each) for each in start] for _ in range(2))
    tiled_dense.update(fused[0], fused[1:], x, dy, RULES[rule], None)
    updates.update(apart[0], apart[1:], tiled_dense.weight_gradient(x, dy), RULES[rule], None)
    canaries.check()
    for one, other in zip(fused, apart, strict=True):
        np.testing.assert_array_equal(to_host(one), to_host(other))


@pytest.mark.parametrize("rule", SLOTS)
@pytest.mark.parametrize("loss", [1.0, math.nan, math.inf])
def test_a_fused_update_is_held_back_unless_the_loss_is_finite(tiled_dense, canaries, rule, loss):
    from numbacnn.backends.cuda.memory import to_host

    x, dy = canaries.device(normal(1, 2, 3)), canaries.device(normal(2, 2, 4))
    start = [normal(seed, 3, 4) ** 2 for seed in range(3, 4 + SLOTS[rule])]
    state = [canaries.device(each) for each in start]
    check = FiniteLossCheck(canaries.device(np.array([0, loss], np.float32)), 1)
    tiled_dense.update(state[0], state[1:], x, dy, RULES[rule], check)
    canaries.check()
    for before, after in zip(start, state, strict=True):
        assert np.array_equal(before, to_host(after)) != math.isfinite(loss)
