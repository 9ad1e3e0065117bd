"""Convolution by tiles, pooling fused to it, and its gradients, against the oracle: at the edges of tiles, windows and images."""

import numpy as np
import oracle
import pytest

from numbacnn.shapes import pool_window2d, window2d

CONVOLUTIONS = [
    # images (n, h, w, c), filters (kh, kw, f), strides, padding
    ((1, 1, 1, 1), (1, 1, 1), 1, "valid"),
    ((2, 3, 3, 1), (3, 3, 8), 1, "same"),  # 18 pixels: two tiles and a bit
    ((1, 4, 2, 3), (2, 2, 9), 1, "valid"),  # filters past a tile's columns
    ((1, 2, 4, 8), (1, 3, 5), 1, "same"),
    ((1, 5, 4, 2), (3, 2, 5), (2, 3), ((1, 2), (0, 1))),
    ((2, 3, 5, 1), (2, 1, 4), (3, 2), "valid"),  # pixels that no filter sees
    ((1, 3, 3, 2), (2, 2, 3), 2, ((3, 3), (2, 4))),  # windows that see nothing but padding
    ((1, 1, 7, 1), (1, 5, 17), 1, "same"),
    ((1, 2, 2, 1), (1, 1, 2), 3, "valid"),  # strides beyond the image
]

POOLS = [
    # images, filters, strides, padding, pool size, pool strides
    ((1, 4, 4, 1), (3, 3, 8), 1, "same", 2, 2),
    ((2, 3, 5, 2), (1, 1, 5), 1, "valid", 2, 2),  # rows and columns left over
    ((1, 4, 6, 1), (3, 2, 9), 1, "same", (2, 1), (3, 1)),  # a gap between windows
    ((1, 2, 9, 1), (1, 3, 1), (1, 2), "same", (1, 4), 4),
]


@pytest.fixture
def conv2d_tiled(canaries):
    from numbacnn.backends.cuda.tiled import conv2d

    return conv2d


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def case(images, filters, strides, padding):
    kh, kw, maps = filters
    strides = oracle.pair(strides)
    window = window2d(images[1:3], (kh, kw), strides, padding)
    options = {"strides": strides, "padding": padding}
    return normal(1, *images), normal(2, kh, kw, images[3], maps), normal(3, maps), window, options


def close(computed, exact, terms, magnitude):
    oracle.assert_close(computed, exact, oracle.rounding(np.float32, terms + 1, magnitude))


@pytest.mark.parametrize("shapes", CONVOLUTIONS, ids=str)
def test_convolution_equals_the_formula(conv2d_tiled, run, shapes):
    x, filters, bias, window, options = case(*shapes)
    exact = oracle.conv2d(x, filters, bias, **options)
    y, winners = run(conv2d_tiled.conv2d, x, filters, bias, window, False, None)
    close(y, exact, filters[..., 0].size, oracle.conv2d(np.abs(x), np.abs(filters), np.abs(bias), **options))
    assert winners is None


def test_convolution_without_bias_and_with_relu(conv2d_tiled, run):
    x, filters, bias, window, _ = case(*CONVOLUTIONS[1])
    plain = run(conv2d_tiled.conv2d, x, filters, None, window, False, None)[0]
    np.testing.assert_array_equal(run(conv2d_tiled.conv2d, x, filters, 0 * bias, window, False, None)[0], plain)
    np.testing.assert_array_equal(run(conv2d_tiled.conv2d, x, filters, None, window, True, None)[0], np.maximum(plain, 0))


@pytest.mark.parametrize("shapes", CONVOLUTIONS, ids=str)
def test_convolution_gradients_equal_the_formulas(conv2d_tiled, run, shapes):
    x, filters, _, window, options = case(*shapes)
    dz = normal(4, len(x), *window.out, filters.shape[3])
    exact = oracle.conv2d_backward(x, filters, dz, **options)
    most = oracle.conv2d_backward(*(np.abs(each) for each in (x, filters, dz)), **options)
    terms = filters[:, :, 0].size, dz[..., 0].size, dz[..., 0].size
    for found, right, count, magnitude in zip(
        run(conv2d_tiled.conv2d_backward, x, filters, dz, window, True), exact, terms, most, strict=True
    ):
        close(found, right, count, magnitude)


def test_gradient_of_the_images_is_left_out_where_it_is_not_needed(conv2d_tiled, run):
    x, filters, _, window, _ = case(*CONVOLUTIONS[5])
    dz = normal(4, len(x), *window.out, filters.shape[3])
    whole = run(conv2d_tiled.conv2d_backward, x, filters, dz, window, True)
    dx, dfilters, dbias = run(conv2d_tiled.conv2d_backward, x, filters, dz, window, False)
    assert dx is None
    np.testing.assert_array_equal(dfilters, whole[1])
    np.testing.assert_array_equal(dbias, whole[2])


def test_no_images_give_no_output_and_gradients_of_zero(conv2d_tiled, run):
    x, filters, bias, window, _ = case((0, 4, 4, 2), (3, 3, 5), 1, "same")
    pool = pool_window2d(window.out, (2, 2), (2, 2), "valid")
    y, winners = run(conv2d_tiled.conv2d, x, filters, bias, window, True, pool)
    assert y.shape == winners.shape == (0, 2, 2, 5)
    dx, dfilters, dbias = run(conv2d_tiled.conv2d_backward, x, filters, normal(0, 0, 4, 4, 5), window, True)
    assert dx.shape == x.shape
    assert not dfilters.any()
    assert not dbias.any()


@pytest.mark.parametrize("shapes", POOLS, ids=str)
@pytest.mark.parametrize("relu", [False, True])
def test_fused_pooling_has_the_bits_of_one_after_the_other(conv2d_tiled, run, shapes, relu):
    from numbacnn.backends.cuda.tiled import pooling

    *convolution, size, strides = shapes
    x, filters, bias, window, _ = case(*convolution)
    pool = pool_window2d(window.out, oracle.pair(size), oracle.pair(strides), "valid")
    assert pooling.can_fuse(pool)
    y, winners = run(conv2d_tiled.conv2d, x, filters, bias, window, relu, pool)
    z = run(conv2d_tiled.conv2d, x, filters, bias, window, False, None)[0]
    right = oracle.max_pool2d(z, size, strides=strides)
    np.testing.assert_array_equal(y, oracle.relu(right) if relu else right)

    dy = normal(5, *y.shape)
    passed = oracle.relu_backward(right, dy) if relu else dy
    dz = run(pooling.max_pool_relu_backward, y, dy, winners, window, pool, relu)
    np.testing.assert_array_equal(dz, oracle.max_pool2d_backward(z, passed, size, strides=strides))


def test_the_first_of_equals_wins_a_fused_pooling_and_nan_does(conv2d_tiled, run):
    window = window2d((2, 8), (1, 1), (1, 1), "valid")
    pool = pool_window2d(window.out, (2, 2), (2, 2), "valid")
    nan = np.nan
    x = np.array([[[5, 1, 2, 7, 1, nan, -1, -1], [5, 5, 7, 7, nan, 9, -1, -1]]], np.float32).reshape(1, 2, 8, 1)
    y, winners = run(conv2d_tiled.conv2d, x, np.ones((1, 1, 1, 1), np.float32), None, window, True, pool)
    np.testing.assert_array_equal(y.ravel(), [5, 7, nan, 0])
    np.testing.assert_array_equal(winners.ravel(), [0, 1, 1, 0])


def test_which_poolings_are_fused():
    from numbacnn.backends.cuda.tiled.pooling import can_fuse

    def fused(size, strides, padding="valid"):
        return can_fuse(pool_window2d((9, 9), size, strides, padding))

    assert fused((2, 2), (2, 2))
    assert fused((1, 2), (1, 2))
    assert fused((4, 1), (5, 3))
    assert not fused((2, 2), (1, 2))  # windows overlap
    assert not fused((2, 2), (2, 2), "same")  # padding
    assert not fused((3, 3), (3, 3))  # a thread's rows do not hold whole windows
    assert not fused((1, 1), (2, 2))


@pytest.mark.simulator
def test_convolution_in_float64_is_exact_to_fifteen_digits(conv2d_tiled, run):
    x, filters, bias, window, options = case(*CONVOLUTIONS[4])
    x, filters, bias = (each.astype(np.float64) for each in (x, filters, bias))
    y = run(conv2d_tiled.conv2d, x, filters, bias, window, False, None)[0]
    np.testing.assert_allclose(y, oracle.conv2d(x, filters, bias, **options), rtol=0, atol=1e-13)
    dz = normal(4, *y.shape).astype(np.float64)
    found = run(conv2d_tiled.conv2d_backward, x, filters, dz, window, True)
    for one, right in zip(found, oracle.conv2d_backward(x, filters, dz, **options), strict=True):
        np.testing.assert_allclose(one, right, rtol=0, atol=1e-12)


def test_nan_in_a_pixel_reaches_what_sees_it_and_nothing_else(conv2d_tiled, run):
    x, filters, _, window, _ = case((1, 4, 5, 1), (3, 3, 2), 1, "same")
    x[0, 1, 2, 0] = np.nan
    y = run(conv2d_tiled.conv2d, x, filters, None, window, True, None)[0]
    seen = np.zeros((4, 5), bool)
    seen[0:3, 1:4] = True
    np.testing.assert_array_equal(np.isnan(y[0]).all(axis=-1), seen)
    np.testing.assert_array_equal(np.isnan(y[0]).any(axis=-1), seen)
