"""The readable convolution and dense kernels, and the sums over a batch."""

import numpy as np
import oracle
import pytest
from gradient_check import numeric_gradient, relative_error

from numbacnn.shapes import window2d

CASES = [
    pytest.param((1, 1, 1, 1), (1, 1, 1, 1), 1, "valid", id="a single cell"),
    pytest.param((0, 4, 4, 2), (3, 3, 2, 2), 1, "same", id="no images"),
    pytest.param((2, 4, 5, 3), (3, 2, 3, 4), 1, "valid", id="three channels"),
    pytest.param((1, 5, 4, 1), (3, 3, 1, 2), 1, "same", id="one channel, same"),
    pytest.param((1, 1, 5, 1), (1, 3, 1, 3), (1, 2), "valid", id="one row"),
    pytest.param((1, 5, 6, 3), (3, 3, 3, 1), 2, "same", id="stride two, same"),
    pytest.param((1, 7, 5, 1), (2, 3, 1, 3), (3, 2), "same", id="strides three and two, same"),
    pytest.param((1, 7, 8, 1), (2, 2, 1, 2), (4, 3), "valid", id="strides larger than the kernel"),
    pytest.param((1, 3, 4, 2), (3, 4, 2, 3), 1, "valid", id="kernel as large as the image"),
    pytest.param((1, 3, 4, 1), (3, 2, 1, 3), 1, ((0, 2), (2, 1)), id="asymmetric padding"),
    pytest.param((1, 2, 2, 1), (4, 4, 1, 2), 1, ((2, 1), (2, 2)), id="kernel larger than the unpadded image"),
    pytest.param((1, 2, 2, 1), (2, 2, 1, 2), 2, ((3, 3), (2, 4)), id="windows that see nothing but padding"),
    pytest.param((33, 2, 2, 1), (2, 2, 1, 1), 1, "valid", id="a batch of 33"),
]


def normal(seed, *shapes):
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(shape).astype(np.float32) for shape in shapes]


def window_of(x, kernel, strides, padding):
    return window2d(x[1:3], kernel[:2], oracle.pair(strides), padding)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize(("x", "kernel", "strides", "padding"), CASES)
def test_conv2d_equals_the_formula(ops, run, x, kernel, strides, padding, with_bias):
    window = window_of(x, kernel, strides, padding)
    x, kernel, bias = normal(0, x, kernel, kernel[3:])
    bias = bias if with_bias else None
    y = run(ops.conv2d, x, kernel, bias, window)
    assert y.dtype == np.float32
    geometry = {"strides": strides, "padding": padding}
    magnitude = oracle.conv2d(np.abs(x), np.abs(kernel), bias if bias is None else np.abs(bias), **geometry)
    bound = oracle.rounding(np.float32, kernel[..., 0].size + 1, magnitude)
    oracle.assert_close(y, oracle.conv2d(x, kernel, bias, **geometry), bound)


@pytest.mark.parametrize(("x", "kernel", "strides", "padding"), CASES)
def test_conv2d_gradients_equal_the_formula(ops, run, x, kernel, strides, padding):
    window = window_of(x, kernel, strides, padding)
    x, kernel, dy = normal(0, x, kernel, (x[0], *window.out, kernel[3]))
    geometry = {"strides": strides, "padding": padding}
    found = run(ops.conv2d_backward, x, kernel, dy, window)
    exact = oracle.conv2d_backward(x, kernel, dy, **geometry)
    magnitudes = oracle.conv2d_backward(np.abs(x), np.abs(kernel), np.abs(dy), **geometry)
    terms = kernel[:, :, 0].size, max(dy[..., 0].size, 1), max(dy[..., 0].size, 1)
    for got, want, size, count in zip(found, exact, magnitudes, terms, strict=True):
        assert got.dtype == np.float32
        oracle.assert_close(got, want, oracle.rounding(np.float32, count, size))


def test_gradients_of_parameters_do_not_depend_on_whether_dx_is_wanted(ops, run):
    window = window2d((4, 5), (3, 3), (1, 1), "same")
    x, kernel, dy = normal(0, (2, 4, 5, 1), (3, 3, 1, 2), (2, 4, 5, 2))
    _, *full = run(ops.conv2d_backward, x, kernel, dy, window)
    nothing, *spare = run(ops.conv2d_backward, x, kernel, dy, window, needs_dx=False)
    assert nothing is None
    for one, other in zip(full, spare, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_conv2d_passes_nan_and_infinity_on_to_every_cell_that_sees_them(ops, run, value):
    x, kernel = np.abs(normal(5, (2, 4, 5, 2), (2, 2, 2, 3))[0]), np.ones((2, 2, 2, 3), np.float32)
    x[0, 2, 2, 1] = value
    y = run(ops.conv2d, x, kernel, None, window2d((4, 5), (2, 2), (1, 1), "valid"))
    sees = np.zeros(y.shape, bool)
    sees[0, 1:3, 1:3] = True
    np.testing.assert_array_equal(~np.isfinite(y), sees)


@pytest.mark.simulator
def test_conv2d_gradients_equal_finite_differences(ops, run):
    x, kernel, bias = (each.astype(np.float64) for each in normal(0, (1, 4, 3, 2), (3, 2, 2, 2), (2,)))
    window = window2d((4, 3), (3, 2), (2, 1), "same")
    dy = np.random.default_rng(1).standard_normal((1, *window.out, 2))
    arguments = [x, kernel, bias]
    for place, gradient in enumerate(run(ops.conv2d_backward, x, kernel, dy, window)):

        def loss(probe, place=place):
            changed = [ops.asarray(probe if k == place else value) for k, value in enumerate(arguments)]
            return float(np.vdot(ops.to_host(ops.conv2d(*changed, window)), dy))

        assert relative_error(gradient, numeric_gradient(loss, arguments[place])) < 1e-6


# --- sums over a batch ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def sum_pixels(canaries):
    from numbacnn.backends.cuda.plain import conv2d

    return conv2d.sum_pixels


@pytest.mark.parametrize(
    "shape",
    [(0, 3), (1, 1), (7, 1), (8, 1), (9, 1), (5, 3), (31, 2), (33, 5), (4, 7), (4, 8), (4, 9), (3, 17), (2, 3, 4, 3), (0, 2, 2, 1),
     (128, 1), (129, 3), (300, 2), (1000, 1), (130, 17)],
    ids=str,
)  # fmt: skip
def test_sums_over_pixels_equal_those_in_float64(sum_pixels, run, shape):
    """No more than the rounding of a few dozen additions, however many rows there are."""
    (dy,) = normal(0, shape)
    total = run(sum_pixels, dy)
    assert total.dtype == np.float32
    axes = tuple(range(dy.ndim - 1))
    exact, magnitude = (each.astype(np.float64).sum(axis=axes) for each in (dy, np.abs(dy)))
    oracle.assert_close(total, exact, oracle.rounding(np.float32, 12, magnitude))


def test_a_sum_of_equal_numbers_does_not_drift(sum_pixels, run):
    """Added one after the other, 3,000 times 0.1 would be off by 2e-5 of itself."""
    (total,) = run(sum_pixels, np.full((3000, 1), 0.1, np.float32))
    assert abs(total / (3000 * float(np.float32(0.1))) - 1) < 1e-6


@pytest.mark.simulator
@pytest.mark.parametrize("threads", [5, 7, 12])
@pytest.mark.parametrize("columns", [1, 2, 3, 13])
def test_sums_are_whole_whatever_the_number_of_lanes(sum_pixels, run, monkeypatch, threads, columns):
    """A GPU's 256 threads make 85 lanes of 3 columns, or 51 of 5: odd numbers, and threads left over."""
    from numbacnn.backends.cuda.plain import reduction

    monkeypatch.setattr(reduction, "THREADS", threads)
    dy = np.arange(40 * columns, dtype=np.float32).reshape(40, columns)
    np.testing.assert_array_equal(run(sum_pixels, dy), dy.sum(axis=0))
