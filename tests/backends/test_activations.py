"""The activations and their gradients, which are functions of the output or of the input, against the oracle."""

import numpy as np
import oracle
import pytest
from devices import normal, small
from gradient_check import numeric_gradient, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn.layers.activation import ACTIVATIONS, OF_INPUT

EVERY = pytest.mark.parametrize("name", ACTIVATIONS)
ELEMENTWISE = pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "softmax"])
CANCEL = ("hard_sigmoid", "hard_swish")  # x + 3 loses digits near -3
ULPS = 32  # exp and its neighbours are good to a few units in the last place; the formulas around them multiply that a few times
SHAPES = [(0, 4), (1, 1), (1, 7), (2, 4), (3, 3), (31, 1), (4, 8), (33, 1), (2, 1, 3, 5), (0, 2, 2, 3), (1, 65)]


def check(device, name, shape, dtype, scale, seed=0):
    x, dy = normal(seed, dtype, shape, shape)
    x = scale * x
    y = device.run(name, x)
    dx = device.run(f"{name}_backward", x if name in OF_INPUT else y, dy)
    assert y.dtype == dx.dtype == dtype
    eps, terms = np.finfo(dtype).eps, shape[-1] if name == "softmax" else 1
    lost = 4 * eps if name in CANCEL else 1e-30
    np.testing.assert_allclose(y, getattr(oracle, name)(x), rtol=min(ULPS, shape[-1] + 8) * eps, atol=lost)
    # dx is a product with y's error in it, and 1 - y cancels: so bounded by the largest dy, not by dx
    atol = min(ULPS * terms, 4 * (shape[-1] + 8)) * eps * np.abs(dy).max(initial=0)
    np.testing.assert_allclose(dx, getattr(oracle, f"{name}_backward")(x, dy), rtol=0, atol=atol)


@EVERY
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_activations_and_their_gradients_equal_the_formula(device, dtype, name, shape):
    check(device, name, shape, dtype, scale=3)


RANDOM_SHAPES = st.one_of(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 17)),
)


@EVERY
@settings(derandomize=True, deadline=None, max_examples=60)
@given(shape=RANDOM_SHAPES, dtype=st.sampled_from([np.float32, np.float64]), seed=st.integers(0, 9999))
def test_activations_and_their_gradients_equal_the_formula_on_random_shapes(name, shape, dtype, seed):
    with small("plain") as device:
        check(device, name, shape, dtype, 4, seed)


@pytest.mark.simulator
@pytest.mark.usefixtures("one_thread")
@EVERY
@pytest.mark.parametrize("shape", [(2, 3), *(pytest.param(s, marks=pytest.mark.large) for s in [(4, 9), (2, 3, 4, 5)])], ids=str)
def test_activation_gradients_equal_finite_differences(device, name, shape):
    count = int(np.prod(shape))
    x = ((np.random.default_rng(0).permutation(count) - count / 2 + 0.5) / 10).reshape(shape)  # none near the corner of ReLU
    (dy,) = normal(1, np.float64, shape)
    ops = device.ops
    dx = device.run(f"{name}_backward", x if name in OF_INPUT else device.run(name, x), dy)
    numeric = numeric_gradient(lambda probe: float(np.vdot(ops.to_host(getattr(ops, name)(ops.asarray(probe))), dy)), x)
    assert relative_error(dx, numeric) < 1e-6


@ELEMENTWISE
def test_activations_of_nan_infinities_and_zeros(device, dtype, name):
    x = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 100, -100, 1e-30], dtype)
    exact = getattr(oracle, name)(x)
    np.testing.assert_allclose(device.run(name, x), exact, rtol=4 * np.finfo(dtype).eps, atol=1e-30)


def test_relu_is_exact(device, dtype):
    x = np.array([[-np.inf, -1.5, -1e-40, -0.0, 0, 1e-40, 1.5, np.inf]], dtype)
    np.testing.assert_array_equal(device.run("relu", x), np.maximum(x, 0))


def test_no_gradient_passes_relu_at_zero_or_nan_but_nan_passes(device, dtype):
    y, dy = np.array([0, -0.0, np.nan, 1e-30, np.inf], dtype), np.array([1, 2, 3, 4, 5], dtype)
    np.testing.assert_array_equal(device.run("relu_backward", y, dy), [0, 0, 0, 4, 5])
    dy[4] = np.nan
    np.testing.assert_array_equal(device.run("relu_backward", y, dy), [0, 0, 0, 4, np.nan])


@ELEMENTWISE
def test_gradients_far_from_zero_are_finite(device, dtype, name):
    x = np.array([-np.inf, -1e30, -800, -90, 90, 800, 1e30, np.inf], dtype)
    dx = device.run(f"{name}_backward", x if name in OF_INPUT else getattr(oracle, name)(x).astype(dtype), np.ones_like(x))
    below, above = {"leaky_relu": (0.2, 1), "relu": (0, 1), "elu": (0, 1), "silu": (0, 1), "hard_swish": (0, 1)}.get(name, (0, 0))
    np.testing.assert_allclose(dx, [below] * 4 + [above] * 4, rtol=1e-6, atol=1e-30)


def test_leaky_relu_has_the_slope_that_it_is_given(device, dtype):
    x, dy = np.array([-2, -0.0, 0, 3], dtype), np.array([1, 2, 4, 8], dtype)
    y = device.run("leaky_relu", x, 0.5)
    np.testing.assert_array_equal(y, [-1, 0, 0, 3])
    np.testing.assert_array_equal(device.run("leaky_relu_backward", y, dy, 0.5), [0.5, 1, 2, 8])


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_squashing_functions_saturate_without_overflow(device, dtype, name):
    x = np.array([[-np.inf, -1e30, -1e4, -800, -90, 90, 800, 1e4, 1e30, np.inf]], dtype)
    y = device.run(name, x)
    low = -1 if name == "tanh" else 0
    np.testing.assert_allclose(y, [[low] * 5 + [1] * 5], rtol=0, atol=1e-30)
    gradient = device.run(f"{name}_backward", y, np.ones_like(x))
    np.testing.assert_allclose(gradient, np.zeros_like(x), rtol=0, atol=1e-30)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # inf - inf, which the simulator leaves to NumPy
def test_softmax_spreads_nan_and_infinity_over_their_row_alone(device, dtype):
    x = np.zeros((4, 3), dtype)
    x[0, 0], x[1, 2], x[2, 1] = np.nan, np.nan, np.inf
    y = np.isnan(device.run("softmax", x))
    assert y.all(axis=1).tolist() == y.any(axis=1).tolist() == [True, True, True, False]


def test_softmax_of_huge_logits_does_not_overflow(device, dtype):
    x = np.array([[1e30, 1e30, -1e30], [1e4, -1e4, 0], [-1e30, -1e30, -1e30], [88, 89, 200], [-1000, -1000, -1001]], dtype)
    y = device.run("softmax", x)
    np.testing.assert_allclose(y, oracle.softmax(x), rtol=8 * np.finfo(dtype).eps, atol=1e-30)
    np.testing.assert_allclose(y[:3], [[0.5, 0.5, 0], [1, 0, 0], [1 / 3] * 3], rtol=4 * np.finfo(dtype).eps, atol=0)


def test_softmax_rows_add_up_to_one(device, dtype):
    y = device.run("softmax", normal(0, dtype, (9, 10))[0] * 30)
    assert (y >= 0).all()
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("shift", [1000, -1000, 2.0**20])
def test_softmax_does_not_change_when_all_logits_are_shifted(device, dtype, shift):
    """The shifts and logits are multiples of 1/8 and stay exact in float32, so the results must be the same bits."""
    x = np.random.default_rng(0).integers(-40, 40, (20, 10)).astype(dtype) / 8
    np.testing.assert_array_equal(device.run("softmax", x + dtype(shift)), device.run("softmax", x))
