"""Batch normalisation in float32: its moments, its gradients, and what a sum in float32 must not lose."""

import numpy as np
import oracle
import pytest
from gradient_check import numeric_gradient, relative_error

EPSILON = 1e-3
EPS = np.finfo(np.float32).eps
SHAPES = [(1, 1), (2, 1), (7, 3), (9, 8), (31, 1), (33, 2), (3, 9), (2, 17), (2, 3, 3, 2), (1, 1, 5, 1), (130, 1)]


def normal(seed, *shapes):
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_norm_and_its_gradients_equal_the_formula(ops, run, shape):
    x, gamma, beta, dy = normal(0, shape, shape[-1:], shape[-1:], shape)
    y, mean, variance = run(ops.batch_norm, x, gamma, beta, EPSILON)
    few = 64 * EPS / np.sqrt(EPSILON)  # a variance below epsilon amplifies an error of the mean by so much
    for got, want in zip((y, mean, variance), oracle.batch_norm(x, gamma, beta, EPSILON), strict=True):
        assert (got.dtype, got.shape) == (np.float32, want.shape)
        np.testing.assert_allclose(got, want, rtol=0, atol=few)
    found = run(ops.batch_norm_backward, x, gamma, mean, variance, EPSILON, dy)
    count = x.size // shape[-1]
    for got, want in zip(found, oracle.batch_norm_backward(x, gamma, EPSILON, dy), strict=True):
        assert (got.dtype, got.shape) == (np.float32, want.shape)
        np.testing.assert_allclose(got, want, rtol=0, atol=few * np.sqrt(count / EPSILON))


@pytest.fixture
def moments(canaries):
    from numbacnn.backends.cuda.plain import batch_norm

    return batch_norm.moments


@pytest.mark.parametrize("count", [2, 100, 1000])
def test_variance_survives_a_large_mean(moments, run, count):
    """A variance as E[x^2] - E[x]^2 would lose all digits here, and one put together from means of parts some of them."""
    x = np.tile(np.array([[10000.0], [10001.0]], np.float32), (count // 2, 1))
    mean, variance = run(moments, x)
    assert (mean.item(), variance.item()) == (10000.5, 0.25)


def test_means_that_differ_from_part_to_part_count_in_the_variance(moments, run):
    """The first 128 rows and the last are parts of their own: within each nothing varies."""
    mean, variance = run(moments, np.repeat(np.float32([[1, -5], [3, 5]]), 128, axis=0))
    np.testing.assert_array_equal(mean, [2, 0])
    np.testing.assert_array_equal(variance, [1, 25])


@pytest.mark.parametrize(
    ("shape", "away"), [((127, 1), 0), ((129, 2), 100), ((300, 9), 100), ((1000, 1), 0), ((1000, 1), 100), ((2, 257), 0)], ids=str
)
def test_moments_in_float32_are_those_in_float64(moments, run, shape, away):
    x = normal(3, shape)[0] * 3 + np.float32(away)
    mean, variance = run(moments, x)
    np.testing.assert_allclose(mean, x.mean(axis=0, dtype=np.float64), rtol=4 * EPS, atol=8 * EPS)
    np.testing.assert_allclose(variance, x.var(axis=0, dtype=np.float64), rtol=32 * EPS, atol=(8 * away * EPS) ** 2)


def test_batch_norm_inference_uses_the_moments_it_is_given(ops, run):
    x, gamma, beta, mean = normal(1, (3, 2, 2, 5), (5,), (5,), (5,))
    variance = np.linspace(0.5, 2, 5).astype(np.float32)
    expected = gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta
    np.testing.assert_allclose(
        run(ops.batch_norm_inference, x, gamma, beta, mean, variance, EPSILON), expected, rtol=0, atol=64 * EPS
    )


def test_no_images_have_gradients_of_zero(ops, run):
    x, one = np.zeros((0, 2, 2, 3), np.float32), np.ones(3, np.float32)
    y, mean, variance = run(ops.batch_norm, x, one, one, EPSILON)
    assert y.shape == x.shape
    assert not mean.any()
    assert not variance.any()
    dx, dgamma, dbeta = run(ops.batch_norm_backward, x, one, mean, variance, EPSILON, x)
    assert dx.shape == x.shape
    assert not dgamma.any()
    assert not dbeta.any()


def test_a_nan_spoils_its_channel_alone(ops, run):
    x, ones = normal(0, (5, 3))[0], np.ones(3, np.float32)
    x[2, 1] = np.nan
    for result in run(ops.batch_norm, x, ones, ones, EPSILON):
        np.testing.assert_array_equal(np.isnan(result).reshape(-1, 3).all(axis=0), [False, True, False])
        assert np.isfinite(result.reshape(-1, 3)[:, [0, 2]]).all()


@pytest.mark.simulator
def test_batch_norm_gradients_equal_finite_differences(ops, run):
    x, gamma, beta, dy = (each.astype(np.float64) for each in normal(0, (3, 2), (2,), (2,), (3, 2)))
    _, mean, variance = run(ops.batch_norm, x, gamma, beta, EPSILON)
    arguments = [x, gamma, beta]
    for place, gradient in enumerate(run(ops.batch_norm_backward, x, gamma, mean, variance, EPSILON, dy)):

        def loss(probe, place=place):
            changed = [ops.asarray(probe if k == place else value) for k, value in enumerate(arguments)]
            return float(np.vdot(ops.to_host(ops.batch_norm(*changed, EPSILON)[0]), dy))

        assert relative_error(gradient, numeric_gradient(loss, arguments[place])) < 1e-6
