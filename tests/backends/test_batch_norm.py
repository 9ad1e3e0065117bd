"""Batch normalisation: its moments, its gradients, and what a sum in float32 must not lose."""

import math

import numpy as np
import oracle
import pytest
from devices import normal, small
from gradient_check import numeric_gradient, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st

EPSILON = 1e-3
SHAPES = [(1, 1), (2, 1), (7, 3), (9, 8), (31, 1), (33, 2), (3, 9), (2, 17), (2, 3, 3, 2), (1, 1, 5, 1), (130, 1)]


def check(device, shape, dtype, seed=0):
    x, gamma, beta, dy = normal(seed, dtype, shape, shape[-1:], shape[-1:], shape)
    y, mean, variance = device.run("batch_norm", x, gamma, beta, EPSILON)
    few = 64 * np.finfo(dtype).eps / math.sqrt(EPSILON)  # a variance below epsilon amplifies an error of the mean by so much
    for got, want in zip((y, mean, variance), oracle.batch_norm(x, gamma, beta, EPSILON), strict=True):
        assert (got.dtype, got.shape) == (dtype, want.shape)
        np.testing.assert_allclose(got, want, rtol=0, atol=few)
    count = x.size // shape[-1]
    gradients = device.run("batch_norm_backward", x, gamma, mean, variance, EPSILON, dy)
    for got, want in zip(gradients, oracle.batch_norm_backward(x, gamma, EPSILON, dy), strict=True):
        assert (got.dtype, got.shape) == (dtype, want.shape)
        np.testing.assert_allclose(got, want, rtol=0, atol=few * math.sqrt(count / EPSILON))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_norm_and_its_gradients_equal_the_formula(device, dtype, shape):
    check(device, shape, dtype)


RANDOM_SHAPES = st.one_of(
    st.tuples(st.integers(2, 60), st.integers(1, 20)),
    st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(2, 6), st.integers(1, 17)),
)


@settings(derandomize=True, deadline=None, max_examples=80)
@given(shape=RANDOM_SHAPES, dtype=st.sampled_from([np.float32, np.float64]), seed=st.integers(0, 9999))
def test_batch_norm_and_its_gradients_equal_the_formula_on_random_shapes(shape, dtype, seed):
    with small("plain") as device:
        check(device, shape, dtype, seed)


@pytest.mark.simulator
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("shape", [(3, 2), pytest.param((3, 4, 5, 2), marks=pytest.mark.large)], ids=str)
def test_batch_norm_gradients_equal_finite_differences(device, shape):
    x, gamma, beta, dy = normal(0, np.float64, shape, shape[-1:], shape[-1:], shape)
    ops, arguments = device.ops, [x, gamma, beta]
    _, mean, variance = device.run("batch_norm", x, gamma, beta, EPSILON)
    for index, gradient in enumerate(device.run("batch_norm_backward", x, gamma, mean, variance, EPSILON, dy)):

        def loss(probe, index=index):
            changed = [ops.asarray(probe if k == index else value) for k, value in enumerate(arguments)]
            return float(np.vdot(ops.to_host(ops.batch_norm(*changed, EPSILON)[0]), dy))

        assert relative_error(gradient, numeric_gradient(loss, arguments[index])) < 1e-6


@pytest.mark.parametrize("shape", [(7, 3), (2, 3, 3, 2)], ids=str)
def test_without_gamma_and_beta_the_scale_is_one_and_the_shift_zero(device, dtype, shape):
    x, dy = normal(3, dtype, shape, shape)
    gamma, beta = np.ones(shape[-1:], dtype), np.zeros(shape[-1:], dtype)
    y, mean, variance = device.run("batch_norm", x, None, None, EPSILON)
    np.testing.assert_array_equal(y, device.run("batch_norm", x, gamma, beta, EPSILON)[0])
    stated = device.run("batch_norm_inference", x, gamma, beta, mean, variance, EPSILON)
    np.testing.assert_array_equal(device.run("batch_norm_inference", x, None, None, mean, variance, EPSILON), stated)
    stated = device.run("batch_norm_backward", x, gamma, mean, variance, EPSILON, dy)
    for one, other in zip(device.run("batch_norm_backward", x, None, mean, variance, EPSILON, dy), stated, strict=True):
        np.testing.assert_array_equal(one, other)


def moments(device, x):
    """The mean and the variance of each column."""
    channels = np.zeros(x.shape[-1:], x.dtype)
    return device.run("batch_norm", x, channels, channels, EPSILON)[1:]


@pytest.mark.parametrize("count", [2, 100, 1000])
def test_variance_survives_a_large_mean(device, dtype, count):
    """A variance as E[x^2] - E[x]^2 would lose all digits in float32, and one put together from means of parts some of them."""
    mean, variance = moments(device, np.tile(np.array([[10000], [10001]], dtype), (count // 2, 1)))
    assert (mean.item(), variance.item()) == (10000.5, 0.25)


def test_means_that_differ_from_part_to_part_count_in_the_variance(device, dtype):
    """To a GPU the first 128 rows and the last are parts of their own: within each nothing varies."""
    mean, variance = moments(device, np.repeat(np.array([[1, -5], [3, 5]], dtype), 128, axis=0))
    np.testing.assert_array_equal(mean, [2, 0])
    np.testing.assert_array_equal(variance, [1, 25])


@pytest.mark.parametrize(
    ("shape", "away"), [((127, 1), 0), ((129, 2), 100), ((300, 9), 100), ((1000, 1), 0), ((1000, 1), 100), ((2, 257), 0)], ids=str
)
def test_moments_are_those_in_float64(device, dtype, shape, away):
    x = normal(3, dtype, shape)[0] * 3 + dtype(away)
    mean, variance = moments(device, x)
    # a GPU's sums are trees; the CPU adds a group's rows one after the other
    eps, more = np.finfo(dtype).eps, 1 if device.name == "cuda" else len(x) / 16
    exact = x.astype(np.longdouble)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=max(more, 1) * 4 * eps, atol=8 * eps)
    np.testing.assert_allclose(
        variance, exact.var(axis=0), rtol=max(more, 1) * 32 * eps, atol=(max(more, 1) * 8 * away * eps) ** 2
    )


def test_batch_norm_brings_every_channel_to_mean_0_and_variance_1(device, dtype):
    x = normal(0, dtype, (50, 3))[0] * dtype(3) + dtype(100)
    y, _, _ = device.run("batch_norm", x, np.ones(3, dtype), np.zeros(3, dtype), 1e-12)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(y.var(axis=0), 1, rtol=1e-4)


def test_batch_norm_inference_uses_the_moments_it_is_given(device, dtype):
    x, gamma, beta, mean = normal(1, dtype, (3, 2, 2, 5), (5,), (5,), (5,))
    variance = np.linspace(0.5, 2, 5).astype(dtype)
    expected = gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta
    y = device.run("batch_norm_inference", x, gamma, beta, mean, variance, EPSILON)
    np.testing.assert_allclose(y, expected, rtol=0, atol=64 * np.finfo(dtype).eps)


def test_no_images_have_gradients_of_zero(device, dtype):
    x, one = np.zeros((0, 2, 2, 3), dtype), np.ones(3, dtype)
    y, mean, variance = device.run("batch_norm", x, one, one, EPSILON)
    dx, dgamma, dbeta = device.run("batch_norm_backward", x, one, mean, variance, EPSILON, x)
    assert y.shape == dx.shape == x.shape
    assert not np.concatenate([mean, variance, dgamma, dbeta]).any()


def test_a_nan_spoils_its_channel_alone(device, dtype):
    x, ones = normal(0, dtype, (5, 3))[0], np.ones(3, dtype)
    x[2, 1] = np.nan
    for result in device.run("batch_norm", x, ones, ones, EPSILON):
        np.testing.assert_array_equal(np.isnan(result).reshape(-1, 3).all(axis=0), [False, True, False])
        assert np.isfinite(result.reshape(-1, 3)[:, [0, 2]]).all()
