"""Max and average pooling and their gradients, against the oracle and by hand."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import oracle
import pytest
from devices import small
from gradient_check import numeric_gradient, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn.shapes import window2d

large = pytest.mark.large
many = settings(derandomize=True, deadline=None, max_examples=120)
TYPES = st.sampled_from([np.float32, np.float64])
TWO_BY_TWO = window2d((2, 2), (2, 2), (2, 2), "valid")


@dataclass(frozen=True)
class Case:
    """One pooling: shape, window, and the seed of its numbers."""

    x: tuple
    pool_size: Any
    strides: Any
    padding: Any = "valid"
    seed: int = 0
    counts_padding: bool = False

    @property
    def options(self):
        """As the oracle takes them, after the arrays."""
        return {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}

    @property
    def mean_options(self):
        """As the oracle's mean pooling takes them."""
        return self.options | {"count_include_pad": self.counts_padding}

    @property
    def window(self):
        """As ops take it."""
        return window2d(self.x[1:3], oracle.pair(self.pool_size), oracle.pair(self.strides), self.padding)

    def numbers(self, dtype):
        """x of small whole numbers, so that ties are common, and dy standard normal."""
        generator = np.random.default_rng(self.seed)
        x = generator.integers(-3, 3, self.x).astype(dtype)
        y = oracle.avg_pool2d(x, **self.options)
        return x, generator.standard_normal(y.shape).astype(dtype)


CASES = [
    pytest.param(Case((1, 1, 1, 1), 1, 1), id="a single cell"),
    pytest.param(Case((0, 4, 4, 3), 2, 2), id="no images"),
    pytest.param(Case((2, 5, 5, 3), 2, 2), id="a row and a column left over"),
    pytest.param(Case((2, 5, 5, 1), 2, 2, "same"), id="windows that overhang"),
    pytest.param(Case((1, 5, 6, 3), (2, 3), (1, 2)), id="overlapping, unequal"),
    pytest.param(Case((1, 6, 5, 2), 3, 1, "same"), id="overlapping, same"),
    pytest.param(Case((1, 7, 8, 3), (2, 1), (3, 4), "same"), id="strides larger than the window"),
    pytest.param(Case((1, 9, 8, 3), (2, 1), (3, 4)), id="cells that no window sees", marks=large),
    pytest.param(Case((3, 3, 4, 1), (3, 4), (3, 4)), id="window as large as the image"),
    pytest.param(Case((1, 1, 9, 1), (1, 3), (1, 2)), id="one row", marks=large),
    pytest.param(Case((1, 5, 4, 2), (3, 4), (2, 1), ((2, 0), (1, 3))), id="asymmetric padding"),
    pytest.param(Case((33, 2, 2, 1), 2, 2), id="33 windows"),
    pytest.param(Case((3, 7, 7, 17), 3, 2, "same"), id="17 channels", marks=large),
    pytest.param(Case((2, 28, 28, 32), 2, 2), id="first pooling of the lecture's network", marks=large),
]


@st.composite
def axis(draw):
    """Size, window, stride and padding of one axis; the padding is smaller than the window, so that every window sees a cell."""
    pool = draw(st.integers(1, 4))
    explicit = draw(st.tuples(st.integers(0, pool - 1), st.integers(0, pool - 1)))
    size = draw(st.integers(max(1, pool - sum(explicit)), 9))
    return size, pool, draw(st.integers(1, 5)), explicit


@st.composite
def random_cases(draw):
    (h, ph, sh, rows), (w, pw, sw, columns) = draw(axis()), draw(axis())
    fits = ph <= h and pw <= w
    padding = draw(st.sampled_from(["valid", "same", (rows, columns)] if fits else ["same", (rows, columns)]))
    n, c = draw(st.integers(1, 3)), draw(st.integers(1, 17))
    return Case((n, h, w, c), (ph, pw), (sh, sw), padding, seed=draw(st.integers(0, 9999)))


def max_pool_both(device, case, x, dy):
    """y, winners and dx."""
    y, winners = device.run("max_pool2d", x, case.window)
    return y, winners, device.run("max_pool2d_backward", dy, winners, case.window)


def check_max(device, case, dtype):
    """A maximum is picked, not computed: it must be exact, and so must its gradient where windows do not overlap."""
    x, dy = case.numbers(dtype)
    y, winners, dx = max_pool_both(device, case, x, dy)
    assert (y.dtype, winners.dtype, dx.dtype) == (dtype, np.int32, dtype)
    np.testing.assert_array_equal(y, oracle.max_pool2d(x, **case.options))
    np.testing.assert_array_equal(winners, oracle.max_pool2d_winners(x, **case.options))
    magnitude = oracle.max_pool2d_backward(x, np.abs(dy), **case.options)
    bound = oracle.rounding(dtype, np.prod(oracle.pair(case.pool_size)), magnitude)
    oracle.assert_close(dx, oracle.max_pool2d_backward(x, dy, **case.options), bound)
    # <pool(x), dy> = <x, dx>: each dy goes to the cell whose value was taken
    difference = np.vdot(y.astype(float), dy.astype(float)) - np.vdot(x.astype(float), dx.astype(float))
    assert abs(difference) <= oracle.rounding(dtype, x.size + dy.size, 3 * np.abs(dy).sum())


def check_mean(device, case, dtype):
    x, dy = case.numbers(dtype)
    y = device.run("avg_pool2d", x, case.window, case.counts_padding)
    dx = device.run("avg_pool2d_backward", dy, case.window, case.counts_padding)
    assert y.dtype == dx.dtype == dtype
    terms = np.prod(oracle.pair(case.pool_size)) + 1
    magnitude = oracle.avg_pool2d(np.abs(x), **case.mean_options)
    oracle.assert_close(y, oracle.avg_pool2d(x, **case.mean_options), oracle.rounding(dtype, terms, magnitude))
    magnitude = oracle.avg_pool2d_backward(x, np.abs(dy), **case.mean_options)
    bound = oracle.rounding(dtype, terms, magnitude)
    oracle.assert_close(dx, oracle.avg_pool2d_backward(x, dy, **case.mean_options), bound)
    # <pool(x), dy> = <x, dx>: averaging is linear
    magnitude = np.vdot(oracle.avg_pool2d(np.abs(x), **case.mean_options), np.abs(dy))
    difference = np.vdot(y.astype(float), dy.astype(float)) - np.vdot(x.astype(float), dx.astype(float))
    assert abs(difference) <= oracle.rounding(dtype, x.size + dy.size, magnitude)


@pytest.mark.parametrize("case", CASES)
def test_max_pool_and_its_gradient_equal_the_formula(device, dtype, case):
    check_max(device, case, dtype)


@pytest.mark.parametrize("case", CASES)
def test_average_pool_and_its_gradient_equal_the_formula(device, dtype, case):
    check_mean(device, case, dtype)
    check_mean(device, replace(case, counts_padding=True), dtype)


@many
@given(random_cases(), TYPES)
def test_max_pool_and_its_gradient_equal_the_formula_on_random_shapes(case, dtype):
    with small("plain") as device:
        check_max(device, case, dtype)


@many
@given(random_cases(), TYPES, st.booleans())
def test_average_pool_and_its_gradient_equal_the_formula_on_random_shapes(case, dtype, counts_padding):
    with small("plain") as device:
        check_mean(device, replace(case, counts_padding=counts_padding), dtype)


@pytest.mark.simulator
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case((1, 5, 4, 1), (3, 2), (2, 1), "same"), id="tiny"),
        pytest.param(Case((2, 5, 6, 3), (2, 3), 1), id="valid", marks=large),
        pytest.param(Case((2, 5, 6, 3), (2, 3), 1, "same"), id="same", marks=large),
        pytest.param(Case((2, 5, 6, 3), (2, 3), (2, 3), "same"), id="unequal strides, same", marks=large),
        pytest.param(Case((2, 5, 6, 3), (2, 3), (4, 1)), id="stride larger than the window", marks=large),
        pytest.param(Case((2, 5, 6, 3), (2, 3), (2, 1), ((1, 0), (0, 2))), id="asymmetric padding", marks=large),
    ],
)
def test_pooling_gradients_equal_finite_differences(device, name, case):
    count = int(np.prod(case.x))
    x = (np.random.default_rng(0).permutation(count) / 10 - count / 20).reshape(case.x)  # so far apart that no tie is crossed
    dy = case.numbers(np.float64)[1]

    def forward(probe):
        y = getattr(device.ops, name)(device.ops.asarray(probe), case.window)
        return float(np.vdot(device.ops.to_host(y[0] if name == "max_pool2d" else y), dy))

    saved = [device.run("max_pool2d", x, case.window)[1]] if name == "max_pool2d" else []
    dx = device.run(f"{name}_backward", dy, *saved, case.window)
    assert relative_error(dx, numeric_gradient(forward, x)) < 1e-6


def two_by_two(device, dtype, *values):
    """The maximum of four values, row by row, which of them it is, and the gradient of a dy of 7."""
    x, dy = np.array(values, dtype).reshape(1, 2, 2, 1), np.full((1, 1, 1, 1), 7, dtype)
    y, winners = device.run("max_pool2d", x, TWO_BY_TWO)
    return y.item(), winners.item(), device.run("max_pool2d_backward", dy, winners, TWO_BY_TWO).ravel().tolist()


def test_max_pool_sends_gradient_to_the_first_of_equal_maxima(device, dtype):
    """Row by row: the upper right comes before the lower left."""
    assert two_by_two(device, dtype, 5, 5, 5, 5) == (5, 0, [7, 0, 0, 0])
    assert two_by_two(device, dtype, 1, 9, 9, 1) == (9, 1, [0, 7, 0, 0])


@pytest.mark.parametrize("cell", range(4))
def test_max_pool_passes_nan_on_wherever_it_stands_in_the_window(device, dtype, cell):
    values = [3, np.inf, -np.inf, 1]
    values[cell] = np.nan
    y, winner, dx = two_by_two(device, dtype, *values)
    assert np.isnan(y)
    assert winner == cell
    assert dx == [7 if k == cell else 0 for k in range(4)]


def test_max_pool_takes_the_first_of_two_nans(device, dtype):
    assert two_by_two(device, dtype, 1, np.nan, 9, np.nan)[1] == 1


def test_max_pool_names_the_winning_cell_of_each_window(device, dtype):
    x = np.array([[1, 5, 2], [5, 0, 9]], dtype).reshape(1, 2, 3, 1)
    y, winners = device.run("max_pool2d", x, window2d((2, 3), (2, 2), (1, 1), "valid"))
    assert y.ravel().tolist() == [5, 9]
    assert winners.ravel().tolist() == [1, 3]


def test_max_pool_adds_up_gradients_of_overlapping_windows(device, dtype):
    case = Case((1, 1, 5, 1), (1, 3), 1)
    x, dy = np.array([0, 0, 9, 0, 0], dtype).reshape(case.x), np.array([1, 2, 4], dtype).reshape(1, 1, 3, 1)
    assert max_pool_both(device, case, x, dy)[2].ravel().tolist() == [0, 0, 7, 0, 0]


@pytest.mark.parametrize("padding", ["same", ((1, 1), (1, 1))])
@pytest.mark.parametrize("low", [-5.0, -1e30, -np.inf])
def test_max_pool_padding_never_wins_and_no_gradient_is_lost_in_it(device, dtype, low, padding):
    case = Case((1, 3, 3, 2), 2, 2, padding)
    y, _, dx = max_pool_both(device, case, np.full(case.x, low, dtype), np.ones((1, 2, 2, 2), dtype))
    assert (y == dtype(low)).all()
    assert dx.sum() == 8


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_pooling_passes_nan_on_to_the_window_that_holds_it_and_no_other(device, dtype, name):
    x = np.zeros((1, 4, 4, 3), dtype)
    x[0, 1, 2, 1] = np.nan
    y = device.run(name, x, window2d((4, 4), (2, 2), (2, 2), "valid"))
    assert np.argwhere(np.isnan(y[0] if name == "max_pool2d" else y)).tolist() == [[0, 0, 1, 1]]


def test_average_pool_does_not_count_padding(device, dtype):
    """The corner window of a 3x3 image of ones sees one cell: its mean is 1, not 1/4, and it has the whole gradient."""
    for padding in ("same", ((1, 0), (1, 0))):
        window = window2d((3, 3), (2, 2), (2, 2), padding)
        np.testing.assert_array_equal(device.run("avg_pool2d", np.ones((1, 3, 3, 1), dtype), window), np.ones((1, 2, 2, 1)))
    dx = device.run("avg_pool2d_backward", np.ones((1, 2, 2, 1), dtype), window2d((3, 3), (2, 2), (2, 2), "same"))
    np.testing.assert_array_equal(dx[0, :, :, 0], [[0.25, 0.25, 0.5], [0.25, 0.25, 0.5], [0.5, 0.5, 1]])
