"""dense and its gradient, against the oracle."""

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn import functional as F
from numbacnn.errors import ShapeError

BOTH_TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
ODD_SHAPES = pytest.mark.parametrize(
    "shape",
    [(1, 1, 1), (1, 784, 10), (100, 784, 10), (7, 1, 5), (5, 7, 1), (3, 17, 33), (65, 129, 63), (2, 3136, 1024), (301, 5, 3)],
)


def numbers(shape, dtype, seed=0):
    """x (n, k), kernel (k, f), bias (f,), dy (n, f)."""
    n, k, f = shape
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(size).astype(dtype) for size in ((n, k), (k, f), (f,), (n, f))]


def check(shape, dtype, seed=0):
    n, k, f = shape
    x, kernel, bias, dy = numbers(shape, dtype, seed)
    y = F.dense(x, kernel, bias)
    assert y.dtype == dtype
    magnitude = oracle.dense(np.abs(x), np.abs(kernel), np.abs(bias))
    oracle.assert_close(y, oracle.dense(x, kernel, bias), oracle.rounding(dtype, k + 1, magnitude))
    exact = oracle.dense_backward(x, kernel, dy)
    magnitude = oracle.dense_backward(np.abs(x), np.abs(kernel), np.abs(dy))
    for got, want, size, terms in zip(F.dense_backward(x, kernel, dy), exact, magnitude, (f, n, n), strict=True):
        assert got.dtype == dtype
        oracle.assert_close(got, want, oracle.rounding(dtype, terms, size))


@BOTH_TYPES
@ODD_SHAPES
def test_dense_and_its_gradient_equal_the_formula_on_odd_shapes(shape, dtype):
    check(shape, dtype)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 70), st.integers(1, 40)),
    st.sampled_from([np.float32, np.float64]),
    st.integers(0, 9999),
)
def test_dense_and_its_gradient_equal_the_formula_on_random_shapes(shape, dtype, seed):
    check(shape, dtype, seed)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.tuples(st.integers(1, 20), st.integers(1, 40), st.integers(1, 20)), st.integers(0, 9999))
def test_dense_and_its_gradients_are_adjoint(shape, seed):
    x, kernel, _, dy = numbers(shape, np.float64, seed)
    dx, dkernel, dbias = F.dense_backward(x, kernel, dy)
    forward = np.vdot(F.dense(x, kernel), dy)
    bound = oracle.rounding(
        np.float64, x.size + dy.size + kernel.size, np.vdot(oracle.dense(np.abs(x), np.abs(kernel)), np.abs(dy))
    )
    assert abs(forward - np.vdot(x, dx)) <= bound
    assert abs(forward - np.vdot(kernel, dkernel)) <= bound
    np.testing.assert_allclose(dbias, dy.sum(axis=0), rtol=0, atol=1e-12)


def test_dense_with_an_identity_kernel_returns_its_input():
    x = np.random.default_rng(0).standard_normal((5, 7))
    np.testing.assert_array_equal(F.dense(x, np.eye(7)), x)


def test_dense_is_linear():
    x, kernel, _, _ = numbers((4, 9, 5), np.float64)
    x2 = numbers((4, 9, 5), np.float64, seed=1)[0]
    np.testing.assert_allclose(
        F.dense(2 * x - 3 * x2, kernel), 2 * F.dense(x, kernel) - 3 * F.dense(x2, kernel), rtol=0, atol=1e-13
    )


def test_dense_permuting_the_inputs_of_all_neurons_alike_changes_nothing():
    """Why a dense network does not care about the order of the pixels."""
    x, kernel, bias, _ = numbers((4, 50, 5), np.float64)
    order = np.random.default_rng(0).permutation(50)
    np.testing.assert_allclose(F.dense(x[:, order], kernel[order], bias), F.dense(x, kernel, bias), rtol=0, atol=1e-13)


@BOTH_TYPES
@pytest.mark.parametrize("k", [3, 784])
def test_dense_of_a_row_does_not_depend_on_its_batch(k, dtype):
    """Bit for bit: whoever predicts one image or a thousand sees the same numbers."""
    x, kernel, bias, _ = numbers((37, k, 10), dtype)
    alone = np.concatenate([F.dense(x[row : row + 1], kernel, bias) for row in range(len(x))])
    np.testing.assert_array_equal(F.dense(x, kernel, bias), alone)


@BOTH_TYPES
def test_dense_passes_nan_on_to_its_row_alone(dtype):
    x, kernel, bias, _ = numbers((6, 20, 5), dtype)
    x[2, 7] = np.nan
    assert np.isnan(F.dense(x, kernel, bias)).all(axis=1).tolist() == [False, False, True, False, False, False]


def test_dense_names_both_lengths_when_they_differ():
    with pytest.raises(ShapeError, match=r"(?s)784.*3136|3136.*784"):
        F.dense(np.ones((2, 784)), np.ones((3136, 10)))


@pytest.mark.parametrize(
    ("x", "kernel", "bias"),
    [
        ((3,), (3, 4), (4,)),
        ((2, 3, 1), (3, 4), (4,)),
        ((2, 3), (3,), (4,)),
        ((2, 3), (3, 4), (3,)),
        ((2, 3), (3, 4), (1, 4)),
        ((2, 3), (3, 4, 1), (4,)),
    ],
)
def test_dense_rejects_arrays_of_the_wrong_shape(x, kernel, bias):
    with pytest.raises(ShapeError):
        F.dense(np.ones(x), np.ones(kernel), np.ones(bias))


@pytest.mark.parametrize("dy", [(3, 4), (2, 3), (4,), (2, 4, 1)])
def test_dense_backward_rejects_a_gradient_that_is_not_of_the_outputs_shape(dy):
    with pytest.raises(ShapeError):
        F.dense_backward(np.ones((2, 3)), np.ones((3, 4)), np.ones(dy))
