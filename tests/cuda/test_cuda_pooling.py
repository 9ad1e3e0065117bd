"""Max and average pooling and their gradients."""

import numpy as np
import oracle
import pytest
from gradient_check import numeric_gradient, relative_error

from numbacnn.shapes import window2d

CASES = [
    pytest.param((1, 1, 1, 1), 1, 1, "valid", id="a single cell"),
    pytest.param((0, 4, 4, 3), 2, 2, "valid", id="no images"),
    pytest.param((2, 5, 5, 3), 2, 2, "valid", id="a row and a column left over"),
    pytest.param((2, 5, 5, 1), 2, 2, "same", id="windows that overhang"),
    pytest.param((1, 5, 6, 3), (2, 3), (1, 2), "valid", id="overlapping, unequal"),
    pytest.param((1, 6, 5, 2), 3, 1, "same", id="overlapping, same"),
    pytest.param((1, 7, 8, 3), (2, 1), (3, 4), "same", id="strides larger than the window"),
    pytest.param((3, 3, 4, 1), (3, 4), (3, 4), "valid", id="window as large as the image"),
    pytest.param((1, 5, 4, 2), (3, 4), (2, 1), ((2, 0), (1, 3)), id="asymmetric padding"),
    pytest.param((33, 2, 2, 1), 2, 2, "valid", id="33 windows"),
]


def numbers(x, size, strides, padding):
    """Small whole numbers, so that ties are common, and a gradient."""
    generator = np.random.default_rng(0)
    window = window2d(x[1:3], oracle.pair(size), oracle.pair(strides), padding)
    values = generator.integers(-3, 3, x).astype(np.float32)
    return values, generator.standard_normal((x[0], *window.out, x[3])).astype(np.float32), window


@pytest.mark.parametrize(("x", "size", "strides", "padding"), CASES)
def test_max_pool_and_its_gradient_equal_the_formula(ops, run, x, size, strides, padding):
    x, dy, window = numbers(x, size, strides, padding)
    geometry = {"strides": strides, "padding": padding}
    y, winners = run(ops.max_pool2d, x, window)
    assert (y.dtype, winners.dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(y, oracle.max_pool2d(x, size, **geometry))
    magnitude = oracle.max_pool2d_backward(x, np.abs(dy), size, **geometry)
    bound = oracle.rounding(np.float32, np.prod(oracle.pair(size)), magnitude)
    dx = run(ops.max_pool2d_backward, dy, winners, window)
    oracle.assert_close(dx, oracle.max_pool2d_backward(x, dy, size, **geometry), bound)


@pytest.mark.parametrize(("x", "size", "strides", "padding"), CASES)
def test_average_pool_and_its_gradient_equal_the_formula(ops, run, x, size, strides, padding):
    x, dy, window = numbers(x, size, strides, padding)
    geometry = {"strides": strides, "padding": padding}
    terms = np.prod(oracle.pair(size)) + 1
    magnitude = oracle.avg_pool2d(np.abs(x), size, **geometry)
    y, dx = run(ops.avg_pool2d, x, window), run(ops.avg_pool2d_backward, dy, window)
    oracle.assert_close(y, oracle.avg_pool2d(x, size, **geometry), oracle.rounding(np.float32, terms, magnitude))
    magnitude = oracle.avg_pool2d_backward(x, np.abs(dy), size, **geometry)
    bound = oracle.rounding(np.float32, terms, magnitude)
    oracle.assert_close(dx, oracle.avg_pool2d_backward(x, dy, size, **geometry), bound)


@pytest.mark.parametrize(("x", "size", "strides", "padding"), CASES)
def test_winners_are_the_cpus(ops, cpu, run, x, size, strides, padding):
    x, _, window = numbers(x, size, strides, padding)
    np.testing.assert_array_equal(run(ops.max_pool2d, x, window)[1], cpu.max_pool2d(x, window)[1], strict=True)


@pytest.mark.parametrize("padding", ["same", ((1, 1), (1, 1))])
@pytest.mark.parametrize("low", [-5.0, -1e30, -np.inf])
def test_padding_never_wins_and_no_gradient_is_lost_in_it(ops, run, low, padding):
    window = window2d((3, 3), (2, 2), (2, 2), padding)
    y, winners = run(ops.max_pool2d, np.full((1, 3, 3, 2), low, np.float32), window)
    assert (y == np.float32(low)).all()
    assert run(ops.max_pool2d_backward, np.ones_like(y), winners, window).sum() == 8


@pytest.mark.parametrize("cell", range(4))
def test_nan_wins_wherever_it_stands_in_the_window(ops, run, cell):
    x = np.array([3, np.inf, -np.inf, 1], np.float32)
    x[cell] = np.nan
    y, winners = run(ops.max_pool2d, x.reshape(1, 2, 2, 1), window2d((2, 2), (2, 2), (2, 2), "valid"))
    assert np.isnan(y).all()
    assert winners.item() == cell


def test_the_first_of_two_nans_wins(ops, run):
    x = np.array([1, np.nan, 9, np.nan], np.float32).reshape(1, 2, 2, 1)
    assert run(ops.max_pool2d, x, window2d((2, 2), (2, 2), (2, 2), "valid"))[1].item() == 1


@pytest.mark.simulator
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_pooling_gradients_equal_finite_differences(ops, run, name):
    x = (np.random.default_rng(0).permutation(20) / 10 - 1).reshape(1, 5, 4, 1)  # far enough apart: no tie is crossed
    window = window2d((5, 4), (3, 2), (2, 1), "same")
    dy = np.random.default_rng(1).standard_normal((1, *window.out, 1))

    def forward(probe):
        y = getattr(ops, name)(ops.asarray(probe), window)
        return float(np.vdot(ops.to_host(y[0] if name == "max_pool2d" else y), dy))

    saved = [run(ops.max_pool2d, x, window)[1]] if name == "max_pool2d" else []
    dx = run(getattr(ops, f"{name}_backward"), dy, *saved, window)
    assert relative_error(dx, numeric_gradient(forward, x)) < 1e-6
