"""Activations and their gradients against the oracle."""

import numpy as np
import oracle
import pytest
from gradient_check import numeric_gradient, relative_error

EPS = np.finfo(np.float32).eps
SHAPES = [(0, 4), (1, 1), (1, 7), (2, 4), (3, 3), (31, 1), (4, 8), (33, 1), (2, 1, 3, 5), (0, 2, 2, 3), (1, 65)]
EVERY = pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "softmax"])
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 100.0, -100.0, 1e-30], np.float32)


def normal(seed, *shape):
    return (3 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


@EVERY
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_activations_and_their_gradients_equal_the_formula(ops, run, name, shape):
    x, dy = normal(0, *shape), normal(1, *shape)
    y = run(getattr(ops, name), x)
    dx = run(getattr(ops, f"{name}_backward"), y, dy)
    assert y.dtype == dx.dtype == np.float32
    assert y.shape == dx.shape == shape
    terms = shape[-1] + 8
    np.testing.assert_allclose(y, getattr(oracle, name)(x), rtol=terms * EPS, atol=1e-30)
    # dx is a product with y's error in it, and 1 - y cancels: so bounded by the largest dy, not by dx
    atol = 4 * terms * EPS * np.abs(dy).max(initial=0)
    np.testing.assert_allclose(dx, getattr(oracle, f"{name}_backward")(x, dy), rtol=0, atol=atol)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
def test_activations_of_nan_infinities_and_zeros(ops, run, name):
    np.testing.assert_allclose(run(getattr(ops, name), SPECIAL), getattr(oracle, name)(SPECIAL), rtol=4 * EPS, atol=1e-30)


def test_no_gradient_passes_relu_at_zero_or_nan_but_nan_passes(ops, run):
    y, dy = np.array([0, -0.0, np.nan, 1e-30, np.inf], np.float32), np.array([1, 2, 3, 4, 5], np.float32)
    np.testing.assert_array_equal(run(ops.relu_backward, y, dy), [0, 0, 0, 4, 5])
    dy[4] = np.nan
    np.testing.assert_array_equal(run(ops.relu_backward, y, dy), [0, 0, 0, 4, np.nan])


def test_softmax_of_huge_logits_does_not_overflow(ops, run):
    x = np.array([[1e30, 1e30, -1e30], [88, 89, 200], [-1000, -1000, -1001]], np.float32)
    np.testing.assert_allclose(run(ops.softmax, x), oracle.softmax(x), rtol=8 * EPS, atol=1e-30)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # inf - inf, which the simulator leaves to NumPy
def test_softmax_spreads_nan_and_infinity_over_their_row_alone(ops, run):
    x = np.zeros((4, 3), np.float32)
    x[0, 0], x[1, 2], x[2, 1] = np.nan, np.nan, np.inf
    np.testing.assert_array_equal(np.isnan(run(ops.softmax, x)).all(axis=1), [True, True, True, False])


@pytest.mark.simulator
@EVERY
def test_activation_gradients_equal_finite_differences(ops, run, name):
    x, dy = np.linspace(-1.15, 1.25, 6).reshape(2, 3), np.random.default_rng(1).standard_normal((2, 3))
    activation = getattr(ops, name)
    dx = run(getattr(ops, f"{name}_backward"), run(activation, x), dy)
    numeric = numeric_gradient(lambda probe: float(np.vdot(ops.to_host(activation(ops.asarray(probe))), dy)), x)
    assert relative_error(dx, numeric) < 1e-6
