"""relu, sigmoid, tanh, softmax and their gradients (functions of the forward's input), against the oracle."""

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn import functional as F
from numbacnn.errors import ShapeError

BOTH_TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SQUASHING = pytest.mark.parametrize("name", ["sigmoid", "tanh"])
EVERY = pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "softmax"])
ULPS = 32  # exp and its neighbours are good to a few units in the last place; the formulas around them multiply that a few times
SHAPES = st.one_of(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 17)),
)


def forward(name):
    return getattr(F, name), getattr(oracle, name)


def backward(name):
    return getattr(F, f"{name}_backward"), getattr(oracle, f"{name}_backward")


def numbers(shape, dtype, seed, scale=4.0):
    generator = np.random.default_rng(seed)
    return [(generator.standard_normal(shape) * scale).astype(dtype), generator.standard_normal(shape).astype(dtype)]


@EVERY
@settings(derandomize=True, deadline=None, max_examples=60)
@given(shape=SHAPES, dtype=st.sampled_from([np.float32, np.float64]), seed=st.integers(0, 9999))
def test_activation_and_its_gradient_equal_the_formula(name, shape, dtype, seed):
    x, dy = numbers(shape, dtype, seed)
    computed, exact = (f(x) for f in forward(name))
    assert computed.dtype == dtype
    few = ULPS * np.finfo(dtype).eps
    oracle.assert_close(
        computed, exact, few * np.maximum(np.abs(exact), np.abs(x) if name == "softmax" else 0) + np.finfo(dtype).tiny
    )
    computed, exact = (f(x, dy) for f in backward(name))
    assert computed.dtype == dtype
    # the gradients of saturated cells are differences like 1 - y*y: good to eps of the largest term, not of themselves
    terms = shape[-1] if name == "softmax" else 1
    oracle.assert_close(computed, exact, few * terms * np.abs(dy).max() + np.finfo(dtype).tiny)


@BOTH_TYPES
def test_relu_is_exact(dtype):
    x = np.array([[-np.inf, -1.5, -1e-40, -0.0, 0.0, 1e-40, 1.5, np.inf]], dtype)
    np.testing.assert_array_equal(F.relu(x), np.maximum(x, 0))


@BOTH_TYPES
def test_relu_gradient_at_zero_is_zero(dtype):
    x = np.array([[-1, -0.0, 0.0, 1]], dtype)
    np.testing.assert_array_equal(F.relu_backward(x, np.full((1, 4), 3, dtype)), [[0, 0, 0, 3]])


@EVERY
@BOTH_TYPES
def test_activation_passes_nan_on(name, dtype):
    x = np.zeros((3, 4), dtype)
    x[1, 2] = np.nan
    spoiled = np.isnan(forward(name)[0](x))
    assert spoiled[1, 2]
    assert spoiled.any(axis=1).tolist() == [False, True, False]


@SQUASHING
@BOTH_TYPES
def test_squashing_functions_saturate_without_overflow(name, dtype):
    x = np.array([[-np.inf, -1e30, -1e4, -800, -90, 90, 800, 1e4, 1e30, np.inf]], dtype)
    y = forward(name)[0](x)
    low = -1 if name == "tanh" else 0
    np.testing.assert_allclose(y, [[low] * 5 + [1] * 5], rtol=0, atol=1e-30)
    gradient = backward(name)[0](x, np.ones_like(x))
    np.testing.assert_allclose(gradient, np.zeros_like(x), rtol=0, atol=1e-30)


def test_sigmoid_gradient_is_at_most_a_quarter():
    """Why four sigmoid layers shrink a gradient 256 times and more."""
    x = np.linspace(-10, 10, 4001)[None]
    gradient = F.sigmoid_backward(x, np.ones_like(x))
    assert gradient.max() == 0.25
    assert gradient.argmax() == 2000


def test_sigmoid_and_tanh_are_one_function():
    """tanh(x) = 2 sigmoid(2x) - 1"""
    x = np.linspace(-5, 5, 101)[None]
    np.testing.assert_allclose(F.tanh(x), 2 * F.sigmoid(2 * x) - 1, rtol=0, atol=1e-15)


@BOTH_TYPES
def test_softmax_rows_add_up_to_one(dtype):
    x, _ = numbers((50, 10), dtype, 0, scale=30)
    y = F.softmax(x)
    assert (y >= 0).all()
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=20 * np.finfo(dtype).eps)


@BOTH_TYPES
@pytest.mark.parametrize("shift", [1000, -1000, 2.0**20])
def test_softmax_does_not_change_when_all_logits_are_shifted(shift, dtype):
    """The shifts and logits are multiples of 1/8 and stay exact in float32, so the results must be the same bits."""
    x = np.random.default_rng(0).integers(-40, 40, (20, 10)).astype(dtype) / 8
    np.testing.assert_array_equal(F.softmax(x + dtype(shift)), F.softmax(x))


@BOTH_TYPES
@pytest.mark.parametrize("largest", [1e4, 1e30])
def test_softmax_of_huge_logits_is_finite(largest, dtype):
    x = np.array([[largest, -largest, 0], [-largest, -largest, -largest], [largest, largest, 0]], dtype)
    np.testing.assert_allclose(
        F.softmax(x), [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]], rtol=4 * np.finfo(dtype).eps, atol=0
    )


def test_softmax_follows_a_permutation_of_its_classes():
    x, _ = numbers((5, 10), np.float64, 0)
    order = np.random.default_rng(0).permutation(10)
    np.testing.assert_allclose(F.softmax(x[:, order]), F.softmax(x)[:, order], rtol=1e-14)


def test_softmax_gradient_is_orthogonal_to_a_shift():
    """A shift of all logits changes nothing, so each row of the gradient adds up to 0."""
    x, dy = numbers((5, 10), np.float64, 0)
    np.testing.assert_allclose(F.softmax_backward(x, dy).sum(axis=1), 0, atol=1e-15)


def test_softmax_of_one_class_is_certain():
    np.testing.assert_array_equal(F.softmax(np.array([[3.0], [-800.0]])), [[1], [1]])


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 1, 3, 1, 2), (0,), (3, 0, 2)])
def test_activation_keeps_any_shape(name, shape):
    x = np.full(shape, 0.5)
    assert np.shape(forward(name)[0](x)) == shape
    assert np.shape(backward(name)[0](x, x)) == shape


@EVERY
def test_activation_backward_rejects_a_gradient_of_another_shape(name):
    with pytest.raises(ShapeError):
        backward(name)[0](np.ones((3, 4)), np.ones((3, 5)))
