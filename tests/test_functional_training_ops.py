"""The operations that training uses and the functional API does not show: batch normalisation, updates, branches, pixels."""

import math

import numpy as np
import oracle
import pytest
from gradient_check import numeric_gradient, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn.backends import get_ops
from numbacnn.optimizers import OPTIMIZERS
from numbacnn.shapes import window2d

BOTH_TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
EPSILON = 1e-3


@pytest.fixture(scope="module")
def ops():
    return get_ops("cpu")


def normal(seed, dtype, *shapes):
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(shape).astype(dtype) for shape in shapes]


SHAPES = st.one_of(
    st.tuples(st.integers(2, 60), st.integers(1, 20)),
    st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(2, 6), st.integers(1, 17)),
)


@settings(derandomize=True, deadline=None, max_examples=80)
@given(shape=SHAPES, dtype=st.sampled_from([np.float32, np.float64]), seed=st.integers(0, 9999))
def test_batch_norm_and_its_gradient_equal_the_formula(shape, dtype, seed):
    ops = get_ops("cpu")
    x, gamma, beta, dy = normal(seed, dtype, shape, shape[-1:], shape[-1:], shape)
    y, mean, variance = ops.batch_norm(x, gamma, beta, EPSILON)
    count = x.size // shape[-1]
    # the normalised values are below sqrt(count), and a small variance (not below epsilon) amplifies an error of the mean
    few = 64 * count * np.finfo(dtype).eps / math.sqrt(EPSILON)
    for got, want in zip((y, mean, variance), oracle.batch_norm(x, gamma, beta, EPSILON), strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=0, atol=few)
    exact = oracle.batch_norm_backward(x, gamma, EPSILON, dy)
    for got, want in zip(ops.batch_norm_backward(x, gamma, mean, variance, EPSILON, dy), exact, strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=0, atol=few / math.sqrt(EPSILON))


def test_batch_norm_gradients_equal_finite_differences(ops):
    x, gamma, beta, dy = normal(0, np.float64, (3, 4, 5, 2), (2,), (2,), (3, 4, 5, 2))
    _, mean, variance = ops.batch_norm(x, gamma, beta, EPSILON)
    gradients = ops.batch_norm_backward(x, gamma, mean, variance, EPSILON, dy)
    arguments = [x, gamma, beta]
    for place, gradient in enumerate(gradients):

        def loss(probe, place=place):
            changed = [probe if k == place else value for k, value in enumerate(arguments)]
            return float(np.vdot(ops.batch_norm(*changed, EPSILON)[0], dy))

        assert relative_error(gradient, numeric_gradient(loss, arguments[place])) < 1e-6


@BOTH_TYPES
def test_batch_norm_brings_every_channel_to_mean_0_and_variance_1(ops, dtype):
    (x,) = normal(0, dtype, (50, 6, 6, 3))
    y, _, _ = ops.batch_norm(x * dtype(3) + dtype(100), np.ones(3, dtype), np.zeros(3, dtype), 1e-12)
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(y.var(axis=(0, 1, 2)), 1, rtol=1e-4)


def test_batch_norm_variance_survives_a_large_mean(ops):
    """A one-pass variance, E[x^2] - E[x]^2, would lose all digits here."""
    x = np.tile(np.array([[10000.0], [10001.0]], np.float32), (500, 1))
    _, mean, variance = ops.batch_norm(x, np.ones(1, np.float32), np.zeros(1, np.float32), EPSILON)
    assert (mean.item(), variance.item()) == (10000.5, 0.25)


@BOTH_TYPES
def test_batch_norm_inference_uses_the_moments_it_is_given(ops, dtype):
    x, gamma, beta, mean = normal(1, dtype, (4, 3, 3, 5), (5,), (5,), (5,))
    variance = np.linspace(0.5, 2, 5).astype(dtype)
    expected = gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta
    np.testing.assert_allclose(
        ops.batch_norm_inference(x, gamma, beta, mean, variance, EPSILON), expected, rtol=0, atol=64 * np.finfo(dtype).eps
    )


@BOTH_TYPES
def test_moving_average_moves_a_share_of_the_way(ops, dtype):
    average = np.array([1, 2], dtype)
    ops.moving_average_update(average, np.array([5, 2], dtype), 0.75)
    np.testing.assert_allclose(average, [2, 2], rtol=4 * np.finfo(dtype).eps)


@BOTH_TYPES
@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_updates_equal_the_formula_over_fifty_steps(ops, name, dtype):
    (weight,), gradients = normal(0, np.float64, (7, 9)), normal(1, np.float64, *[(7, 9)] * 50)
    parameter = weight.astype(dtype)
    slots = [np.zeros_like(parameter) for _ in OPTIMIZERS[name].slots]
    for t, gradient in enumerate(gradients, start=1):
        ops.update(parameter, slots, gradient.astype(dtype), OPTIMIZERS[name].rule(0.01, t))
    formula = {"sgd": oracle.sgd, "momentum": lambda *a: oracle.momentum(*a, 0.9), "adam": oracle.adam}[name]
    *_, expected = formula(weight, gradients, 0.01)
    np.testing.assert_allclose(parameter, expected, rtol=0, atol=50 * 16 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_updates_do_not_touch_the_gradient(ops, name):
    parameter, gradient, first, second = normal(0, np.float32, (5,), (5,), (5,), (5,))
    before, slots = gradient.copy(), [first, np.abs(second)][: len(OPTIMIZERS[name].slots)]
    ops.update(parameter, slots, gradient, OPTIMIZERS[name].rule(0.1, 1))
    np.testing.assert_array_equal(gradient, before)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_updates_pass_nan_on(ops, name):
    """A gradient that is no number must spoil the weight for all to see."""
    parameter, slots = np.ones(3, np.float32), [np.zeros(3, np.float32) for _ in OPTIMIZERS[name].slots]
    ops.update(parameter, slots, np.array([1, np.nan, 1], np.float32), OPTIMIZERS[name].rule(0.1, 1))
    assert np.isnan(parameter).tolist() == [False, True, False]


@BOTH_TYPES
def test_max_pool_names_the_winning_cell_of_each_window(ops, dtype):
    x = np.array([[1, 5, 2], [5, 0, 9]], dtype).reshape(1, 2, 3, 1)
    y, winners = ops.max_pool2d(x, window2d((2, 3), (2, 2), (1, 1), "valid"))
    assert winners.dtype == np.int32
    assert y.ravel().tolist() == [5, 9]
    assert winners.ravel().tolist() == [1, 3]


@BOTH_TYPES
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4, 5), (0, 4)])
def test_adding_branches_is_exact(ops, dtype, shape):
    a, b = normal(0, dtype, shape, shape)
    np.testing.assert_array_equal(ops.add(a, b), a + b, strict=True)


@BOTH_TYPES
@pytest.mark.parametrize("sizes", [(3,), (1, 4), (2, 5, 1)])
def test_concatenating_and_splitting_undo_each_other(ops, dtype, sizes):
    parts = normal(0, dtype, *[(2, 3, 4, size) for size in sizes])
    joined = ops.concatenate(parts)
    np.testing.assert_array_equal(joined, np.concatenate(parts, axis=-1), strict=True)
    for part, again in zip(parts, ops.split(joined, sizes), strict=True):
        np.testing.assert_array_equal(part, again, strict=True)


def test_gathered_images_are_the_pixels_of_the_indices_scaled(ops):
    images = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 2), dtype=np.uint8)
    indices = np.array([8, 0, 3, 3])
    gathered = ops.gather_images(images, indices, 1 / 255)
    assert gathered.dtype == np.float32
    np.testing.assert_allclose(gathered, images[indices] / 255, rtol=1e-6)
    np.testing.assert_array_equal(ops.gather_images(images, indices, 1.0), images[indices])


@BOTH_TYPES
def test_loss_of_each_image_and_whether_it_is_right(ops, dtype):
    """The first of equal logits counts as the answer, as for argmax."""
    logits = np.array([[1, 3, 2], [0, 0, 0], [5, 5, 1], [5, 5, 1]], dtype)
    losses, correct, _ = ops.softmax_cross_entropy(logits, np.array([1, 2, 0, 1]))
    assert correct.tolist() == [True, False, True, False]
    expected = [oracle.softmax_cross_entropy(logits[k : k + 1], [label])[0] for k, label in enumerate([1, 2, 0, 1])]
    np.testing.assert_allclose(losses, expected, rtol=8 * np.finfo(dtype).eps)


@BOTH_TYPES
def test_gradients_of_parameters_do_not_depend_on_whether_dx_is_wanted(ops, dtype):
    x, kernel, dy = normal(0, dtype, (3, 7, 8, 2), (3, 3, 2, 4), (3, 7, 8, 4))
    window = window2d((7, 8), (3, 3), (1, 1), "same")
    dx, *full = ops.conv2d_backward(x, kernel, dy, window)
    nothing, *spare = ops.conv2d_backward(x, kernel, dy, window, needs_dx=False)
    assert nothing is None
    assert dx is not None
    rows, weights, drows = normal(1, dtype, (4, 9), (9, 5), (4, 5))
    _, *full_dense = ops.dense_backward(rows, weights, drows)
    nothing, *spare_dense = ops.dense_backward(rows, weights, drows, needs_dx=False)
    assert nothing is None
    for one, other in zip([*full, *full_dense], [*spare, *spare_dense], strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
