"""Dense layers and their gradients, against the oracle: sizes below, at and above those of tiles, and sums cut into parts."""

import numpy as np
import oracle
import pytest
from devices import normal, small
from gradient_check import numeric_gradient, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn.values import FactoredGradient

pytestmark = pytest.mark.devices("plain", "fast", "cuda")

LARGE = [(1, 784, 10), (100, 784, 10), (7, 1, 5), (5, 7, 1), (3, 17, 33), (65, 129, 63), (2, 3136, 1024), (301, 5, 3)]
SHAPES = [
    (1, 1, 1),
    (3, 1, 5),
    (4, 2, 8),
    (5, 3, 9),
    (8, 4, 8),
    (9, 5, 17),
    (2, 9, 4),  # a sum in parts, with rows that vectors fit
    (17, 6, 3),
    (0, 3, 4),
    (0, 9, 9),
    *(pytest.param(shape, marks=pytest.mark.large) for shape in LARGE),
]
"""(n, k, f), many around the simulator's tiles of 4 or 8 rows, 8 or 16 columns and slices of 2."""


def numbers(shape, dtype, seed=0):
    """x, kernel, bias and dy."""
    n, k, f = shape
    return normal(seed, dtype, (n, k), (k, f), (f,), (n, f))


def check(device, shape, dtype, seed=0):
    n, k, f = shape
    x, kernel, bias, dy = numbers(shape, dtype, seed)
    magnitude = oracle.dense(np.abs(x), np.abs(kernel), np.abs(bias))
    bound = oracle.rounding(dtype, k + 1, magnitude)
    y = device.run("dense", x, kernel, bias)
    assert y.dtype == dtype
    oracle.assert_close(y, oracle.dense(x, kernel, bias), bound)
    oracle.assert_close(device.run("dense", x, kernel, None), oracle.dense(x, kernel), bound)
    np.testing.assert_array_equal(device.run("dense", x, kernel, bias, relu=True), np.maximum(y, 0))

    gradients = device.run("dense_backward", x, kernel, dy)
    exact = oracle.dense_backward(x, kernel, dy)
    magnitude = oracle.dense_backward(np.abs(x), np.abs(kernel), np.abs(dy))
    for got, want, size, terms in zip(gradients, exact, magnitude, (f, n, n), strict=True):
        assert got.dtype == dtype
        oracle.assert_close(got, want, oracle.rounding(dtype, terms + 1, size))
    # <dense(x), dy> = <x, dx> = <kernel, dkernel>: linear in both, so the gradients are the transposes
    forward = np.vdot(oracle.dense(x, kernel), dy)
    bound = oracle.rounding(dtype, x.size + dy.size + kernel.size, np.vdot(oracle.dense(np.abs(x), np.abs(kernel)), np.abs(dy)))
    assert abs(forward - np.vdot(x.astype(float), gradients[0])) <= bound
    assert abs(forward - np.vdot(kernel.astype(float), gradients[1])) <= bound


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dense_and_its_gradients_equal_the_formula(device, dtype, shape):
    check(device, shape, dtype)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    st.sampled_from([("plain", np.float32), ("plain", np.float64), ("fast", np.float32)]),
    st.tuples(st.integers(1, 40), st.integers(1, 70), st.integers(1, 40)),
    st.integers(0, 9999),
)
def test_dense_and_its_gradients_equal_the_formula_on_random_shapes(kind, shape, seed):
    name, dtype = kind
    with small(name) as device:
        check(device, shape, dtype, seed)


@pytest.mark.devices("plain", "cuda")
@pytest.mark.simulator
@pytest.mark.usefixtures("one_thread")
def test_dense_gradients_equal_finite_differences(device):
    ops, (x, kernel, bias, dy) = device.ops, numbers((3, 4, 5), np.float64)
    arguments = [x, kernel, bias]
    for index, gradient in enumerate(device.run("dense_backward", x, kernel, dy)):

        def loss(probe, index=index):
            changed = [ops.asarray(probe if k == index else value) for k, value in enumerate(arguments)]
            return float(np.vdot(ops.to_host(ops.dense(*changed)), dy))

        assert relative_error(gradient, numeric_gradient(loss, arguments[index])) < 1e-6


@pytest.mark.devices("plain", "cuda")
@pytest.mark.simulator
def test_dense_in_float64_is_exact_to_fifteen_digits(device):
    x, kernel, bias, _ = numbers((9, 7, 9), np.float64)
    np.testing.assert_allclose(device.run("dense", x, kernel, bias), x @ kernel + bias, rtol=0, atol=1e-14)


def test_gradients_of_parameters_do_not_depend_on_how_they_are_asked_for(device, dtype):
    x, kernel, _, dy = numbers((4, 9, 5), dtype)
    _, *full = device.run("dense_backward", x, kernel, dy)
    nothing, *spare = device.run("dense_backward", x, kernel, dy, needs_dx=False)
    assert nothing is None

    def multiplied_out(*given):
        dx, dkernel, dbias = device.ops.dense_backward(*given, factored=True)
        return dx, device.ops.to_host(dkernel) if isinstance(dkernel, FactoredGradient) else device.get(dkernel), dbias

    given = [device.put(each) for each in (x, kernel, dy)]
    _, factored_dkernel, factored_dbias = multiplied_out(*given)
    for one, *others in zip(full, spare, (factored_dkernel, device.get(factored_dbias)), strict=True):
        for other in others:
            np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 3, 9), (41, 2, 5), (0, 3, 4), (9, 9, 33)], ids=str)
def test_the_gradient_of_a_layer_with_relu_has_the_bits_of_one_after_the_other(device, dtype, shape):
    x, kernel, _, dy = numbers(shape, dtype)
    y = np.maximum(numbers(shape, dtype, seed=1)[3], 0)
    y[:1, :1] = np.nan  # lets nothing pass
    for needs_dx in (True, False):
        together = device.run("dense_relu_backward", x, kernel, y, dy, needs_dx=needs_dx)
        passed = device.run("relu_backward", y, dy)
        assert passed.any() == (len(x) > 1)
        apart = device.run("dense_backward", x, kernel, passed, needs_dx=needs_dx)
        for one, other in zip(together, apart, strict=True):
            assert (one is None) == (other is None)
            np.testing.assert_array_equal(one, other)


def test_dense_passes_nan_on_to_its_row_alone(device, dtype):
    x, kernel, bias, _ = numbers((9, 5, 9), dtype)
    x[3, 4] = np.nan
    for given_bias in (None, bias):
        for relu in (False, True):
            y = device.run("dense", x, kernel, given_bias, relu=relu)
            assert np.isnan(y).all(axis=1).tolist() == np.isnan(y).any(axis=1).tolist() == [n == 3 for n in range(9)]


@pytest.mark.parametrize("terms", [3, pytest.param(784, marks=pytest.mark.large)])
@pytest.mark.large
def test_dense_of_a_row_does_not_depend_on_its_batch(device, dtype, terms):
    """Bit for bit: whoever predicts one image or a thousand sees the same numbers."""
    x, kernel, bias, _ = numbers((37, terms, 10), dtype)
    alone = np.concatenate([device.run("dense", x[row : row + 1], kernel, bias) for row in range(len(x))])
    np.testing.assert_array_equal(device.run("dense", x, kernel, bias), alone)
