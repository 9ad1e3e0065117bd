"""Max and average pooling and their gradients, against the oracle and by hand."""

from dataclasses import dataclass

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn import functional as F
from numbacnn.errors import ShapeError

many = settings(derandomize=True, deadline=None, max_examples=120)
BOTH_TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
BOTH_POOLS = pytest.mark.parametrize("pool", [F.max_pool2d, F.avg_pool2d])
RANDOM_TYPE = st.sampled_from([np.float32, np.float64])


@dataclass(frozen=True)
class Case:
    """One pooling: shape, window, and the seed of its numbers."""

    x: tuple
    pool_size: object
    strides: object
    padding: object = "valid"
    seed: int = 0

    @property
    def window(self):
        return {"strides": self.strides, "padding": self.padding}

    def numbers(self, dtype):
        """x of small whole numbers, so that ties are common, and dy standard normal."""
        generator = np.random.default_rng(self.seed)
        x = generator.integers(-3, 3, self.x).astype(dtype)
        y = oracle.avg_pool2d(x, self.pool_size, **self.window)
        return x, generator.standard_normal(y.shape).astype(dtype)


@st.composite
def axis(draw):
    """Size, window, stride and padding of one axis; the padding is smaller than the window, so that every window sees a cell."""
    pool = draw(st.integers(1, 4))
    explicit = draw(st.tuples(st.integers(0, pool - 1), st.integers(0, pool - 1)))
    size = draw(st.integers(max(1, pool - sum(explicit)), 9))
    return size, pool, draw(st.integers(1, 5)), explicit


@st.composite
def cases(draw):
    (h, ph, sh, rows), (w, pw, sw, columns) = draw(axis()), draw(axis())
    fits = ph <= h and pw <= w
    padding = draw(st.sampled_from(["valid", "same", (rows, columns)] if fits else ["same", (rows, columns)]))
    n, c = draw(st.integers(1, 3)), draw(st.integers(1, 17))
    return Case((n, h, w, c), (ph, pw), (sh, sw), padding, seed=draw(st.integers(0, 9999)))


ODD_SHAPES = [
    pytest.param(Case((1, 1, 1, 1), 1, 1), id="a single cell"),
    pytest.param(Case((2, 7, 7, 3), 2, 2), id="a row and a column left over"),
    pytest.param(Case((2, 7, 7, 3), 2, 2, "same"), id="partial last windows"),
    pytest.param(Case((2, 7, 8, 3), (2, 3), (1, 2)), id="overlapping, unequal"),
    pytest.param(Case((2, 9, 8, 5), 3, 1, "same"), id="overlapping, same"),
    pytest.param(Case((1, 9, 10, 17), (2, 1), (4, 5)), id="strides larger than the window"),
    pytest.param(Case((1, 9, 10, 17), (2, 1), (4, 5), "same"), id="strides larger than the window, same"),
    pytest.param(Case((3, 5, 6, 2), (5, 6), (5, 6)), id="window as large as the image"),
    pytest.param(Case((1, 1, 9, 1), (1, 3), (1, 2)), id="one row"),
    pytest.param(Case((1, 5, 4, 2), (3, 4), (2, 1), ((2, 0), (1, 3))), id="asymmetric padding"),
    pytest.param(Case((2, 28, 28, 32), 2, 2), id="first pooling of the lecture's network"),
]


def check_max(case, dtype):
    """A maximum is picked, not computed: it must be exact, and so must its gradient where windows do not overlap."""
    x, dy = case.numbers(dtype)
    y = F.max_pool2d(x, case.pool_size, **case.window)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, oracle.max_pool2d(x, case.pool_size, **case.window))
    dx = F.max_pool2d_backward(x, dy, case.pool_size, **case.window)
    assert dx.dtype == dtype
    magnitude = oracle.max_pool2d_backward(x, np.abs(dy), case.pool_size, **case.window)
    bound = oracle.rounding(dtype, np.prod(oracle.pair(case.pool_size)), magnitude)
    oracle.assert_close(dx, oracle.max_pool2d_backward(x, dy, case.pool_size, **case.window), bound)


def check_mean(case, dtype):
    x, dy = case.numbers(dtype)
    cells = np.prod(oracle.pair(case.pool_size)) + 1
    y = F.avg_pool2d(x, case.pool_size, **case.window)
    dx = F.avg_pool2d_backward(x, dy, case.pool_size, **case.window)
    assert y.dtype == dx.dtype == dtype
    magnitude = oracle.avg_pool2d(np.abs(x), case.pool_size, **case.window)
    oracle.assert_close(y, oracle.avg_pool2d(x, case.pool_size, **case.window), oracle.rounding(dtype, cells, magnitude))
    magnitude = oracle.avg_pool2d_backward(x, np.abs(dy), case.pool_size, **case.window)
    oracle.assert_close(
        dx, oracle.avg_pool2d_backward(x, dy, case.pool_size, **case.window), oracle.rounding(dtype, cells, magnitude)
    )


@BOTH_TYPES
@pytest.mark.parametrize("case", ODD_SHAPES)
def test_max_pool_and_its_gradient_equal_the_formula_on_odd_shapes(case, dtype):
    check_max(case, dtype)


@BOTH_TYPES
@pytest.mark.parametrize("case", ODD_SHAPES)
def test_average_pool_and_its_gradient_equal_the_formula_on_odd_shapes(case, dtype):
    check_mean(case, dtype)


@many
@given(cases(), RANDOM_TYPE)
def test_max_pool_and_its_gradient_equal_the_formula_on_random_shapes(case, dtype):
    check_max(case, dtype)


@many
@given(cases(), RANDOM_TYPE)
def test_average_pool_and_its_gradient_equal_the_formula_on_random_shapes(case, dtype):
    check_mean(case, dtype)


@many
@given(cases())
def test_average_pool_and_its_gradient_are_adjoint(case):
    """<pool(x), dy> = <x, dx>, exactly up to rounding: averaging is linear."""
    x, dy = case.numbers(np.float64)
    dx = F.avg_pool2d_backward(x, dy, case.pool_size, **case.window)
    forward = np.vdot(F.avg_pool2d(x, case.pool_size, **case.window), dy)
    magnitude = np.vdot(oracle.avg_pool2d(np.abs(x), case.pool_size, **case.window), np.abs(dy))
    assert abs(forward - np.vdot(x, dx)) <= oracle.rounding(np.float64, x.size + dy.size, magnitude)


@many
@given(cases())
def test_max_pool_gradient_reads_back_the_maximum(case):
    """<pool(x), dy> = <x, dx> holds for the maximum too, as each dy goes to the cell whose value was taken."""
    x, dy = case.numbers(np.float64)
    dx = F.max_pool2d_backward(x, dy, case.pool_size, **case.window)
    forward = np.vdot(F.max_pool2d(x, case.pool_size, **case.window), dy)
    assert abs(forward - np.vdot(x, dx)) <= oracle.rounding(np.float64, x.size + dy.size, 3 * np.abs(dy).sum())


def test_max_pool_sends_gradient_to_first_of_equal_maxima():
    x = np.array([[5.0, 5.0], [5.0, 5.0]]).reshape(1, 2, 2, 1)
    dx = F.max_pool2d_backward(x, np.full((1, 1, 1, 1), 7.0), 2, strides=2, padding="valid")
    np.testing.assert_array_equal(dx[0, :, :, 0], [[7, 0], [0, 0]])


def test_max_pool_takes_the_upper_right_before_the_lower_left():
    """The first cell row by row, not column by column."""
    x = np.array([[1.0, 9.0], [9.0, 1.0]]).reshape(1, 2, 2, 1)
    dx = F.max_pool2d_backward(x, np.ones((1, 1, 1, 1)), 2, strides=2, padding="valid")
    np.testing.assert_array_equal(dx[0, :, :, 0], [[0, 1], [0, 0]])


def test_max_pool_adds_up_gradients_of_overlapping_windows():
    x = np.array([0.0, 0.0, 9.0, 0.0, 0.0]).reshape(1, 1, 5, 1)
    dx = F.max_pool2d_backward(x, np.array([1.0, 2.0, 4.0]).reshape(1, 1, 3, 1), (1, 3), strides=1, padding="valid")
    np.testing.assert_array_equal(dx.ravel(), [0, 0, 7, 0, 0])


@BOTH_TYPES
@pytest.mark.parametrize("low", [-5.0, -1e30, -np.inf])
def test_max_pool_padding_never_wins_over_negative_numbers(low, dtype):
    x = np.full((1, 3, 3, 2), low, dtype)
    for padding in ("same", ((1, 1), (1, 1))):
        assert (F.max_pool2d(x, 2, strides=2, padding=padding) == low).all()
        dx = F.max_pool2d_backward(x, np.ones((1, 2, 2, 2), dtype), 2, strides=2, padding=padding)
        assert dx.sum() == 8, "no gradient may be lost in the padding"


@BOTH_TYPES
@pytest.mark.parametrize("cell", range(4))
def test_max_pool_passes_nan_on_wherever_it_stands_in_the_window(cell, dtype):
    x = np.array([3, np.inf, -np.inf, 1], dtype)
    x[cell] = np.nan
    assert np.isnan(F.max_pool2d(x.reshape(1, 2, 2, 1))).all()


@BOTH_TYPES
def test_max_pool_touches_only_the_window_that_holds_a_nan(dtype):
    x = np.zeros((1, 4, 4, 3), dtype)
    x[0, 1, 2, 1] = np.nan
    y = F.max_pool2d(x)
    assert np.argwhere(np.isnan(y)).tolist() == [[0, 0, 1, 1]]


def test_max_pool_sends_gradient_to_the_nan():
    x = np.array([3, 8, np.nan, 1]).reshape(1, 2, 2, 1)
    dx = F.max_pool2d_backward(x, np.ones((1, 1, 1, 1)), 2, strides=2, padding="valid")
    np.testing.assert_array_equal(dx.ravel(), [0, 0, 1, 0])


def test_average_pool_does_not_count_padding():
    """The corner window of a 3x3 image of ones sees one cell: its mean is 1, not 1/4."""
    np.testing.assert_array_equal(F.avg_pool2d(np.ones((1, 3, 3, 1)), 2, strides=2, padding="same"), np.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(
        F.avg_pool2d(np.ones((1, 3, 3, 1)), 2, strides=2, padding=((1, 0), (1, 0))), np.ones((1, 2, 2, 1))
    )


def test_average_pool_gives_the_lone_cell_of_a_corner_the_whole_gradient():
    dx = F.avg_pool2d_backward(np.ones((1, 3, 3, 1)), np.ones((1, 2, 2, 1)), 2, strides=2, padding="same")
    np.testing.assert_array_equal(dx[0, :, :, 0], [[0.25, 0.25, 0.5], [0.25, 0.25, 0.5], [0.5, 0.5, 1]])


@BOTH_TYPES
def test_average_pool_passes_nan_on(dtype):
    x = np.zeros((1, 4, 4, 1), dtype)
    x[0, 3, 0, 0] = np.nan
    np.testing.assert_array_equal(np.isnan(F.avg_pool2d(x))[0, :, :, 0], [[False, False], [True, False]])


@pytest.mark.parametrize("strides", [1, (2, 3)])
def test_average_pool_is_a_convolution_with_equal_weights(strides):
    x = np.random.default_rng(0).standard_normal((2, 9, 8, 3))
    kernel = np.zeros((3, 2, 3, 3))
    kernel[:, :, range(3), range(3)] = 1 / 6
    np.testing.assert_allclose(F.avg_pool2d(x, (3, 2), strides=strides), F.conv2d(x, kernel, strides=strides), rtol=0, atol=1e-14)


@BOTH_POOLS
def test_pool_strides_default_to_the_pool_size(pool):
    x = np.random.default_rng(0).standard_normal((2, 9, 8, 3))
    np.testing.assert_array_equal(pool(x, (3, 2)), pool(x, (3, 2), strides=(3, 2)))
    np.testing.assert_array_equal(pool(x), pool(x, 2, strides=2, padding="valid"))


@BOTH_POOLS
def test_pool_of_one_cell_returns_the_image(pool):
    x = np.random.default_rng(0).standard_normal((2, 5, 4, 3))
    np.testing.assert_array_equal(pool(x, 1), x)


@BOTH_POOLS
def test_pool_with_strides_is_a_subsample_of_stride_one(pool):
    x = np.random.default_rng(0).standard_normal((2, 9, 10, 3))
    np.testing.assert_allclose(pool(x, (3, 2), strides=(2, 3)), pool(x, (3, 2), strides=1)[:, ::2, ::3], rtol=0, atol=1e-15)


@BOTH_POOLS
def test_pool_same_padding_equals_tensorflows_cells_given_explicitly(pool):
    x = np.random.default_rng(0).standard_normal((2, 7, 8, 3))
    np.testing.assert_array_equal(
        pool(x, (2, 3), strides=2, padding="same"), pool(x, (2, 3), strides=2, padding=((0, 1), (0, 1)))
    )


@BOTH_POOLS
def test_pool_works_on_each_channel_and_image_by_itself(pool):
    x = np.random.default_rng(0).standard_normal((3, 6, 7, 5))
    whole = pool(x, 2, strides=2, padding="same")
    for n, c in np.ndindex(3, 5):
        np.testing.assert_array_equal(
            pool(x[n : n + 1, :, :, c : c + 1], 2, strides=2, padding="same"), whole[n : n + 1, :, :, c : c + 1]
        )


def test_max_pool_and_relu_commute():
    x = np.random.default_rng(0).standard_normal((2, 7, 8, 3))
    np.testing.assert_array_equal(F.max_pool2d(F.relu(x)), F.relu(F.max_pool2d(x)))


@BOTH_POOLS
@pytest.mark.parametrize(
    "wrong",
    [
        {"pool_size": 0},
        {"pool_size": (2, -1)},
        {"pool_size": 1.5},
        {"pool_size": (2, 2, 2)},
        {"pool_size": None},
        {"pool_size": 9},
        {"strides": 0},
        {"strides": (1, 0)},
        {"padding": "full"},
        {"padding": 1},
        {"padding": ((-1, 0), (0, 0))},
    ],
)
def test_pool_rejects_a_window_that_makes_no_sense(pool, wrong):
    with pytest.raises(ShapeError):
        pool(np.ones((1, 8, 8, 3)), **wrong)


@BOTH_POOLS
@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3), (1, 8, 8, 3, 1)])
def test_pool_rejects_arrays_that_are_no_batch_of_images(pool, shape):
    with pytest.raises(ShapeError):
        pool(np.ones(shape))


@pytest.mark.parametrize("backward", [F.max_pool2d_backward, F.avg_pool2d_backward])
@pytest.mark.parametrize("dy", [(1, 8, 8, 3), (2, 4, 4, 3), (1, 4, 4, 2), (4, 4, 3)])
def test_pool_backward_rejects_a_gradient_that_is_not_of_the_outputs_shape(backward, dy):
    with pytest.raises(ShapeError):
        backward(np.ones((1, 8, 8, 3)), np.ones(dy), 2, strides=2, padding="valid")


@BOTH_POOLS
def test_pool_rejects_padding_so_wide_that_a_window_sees_no_cell(pool):
    """There is no largest and no mean of nothing; a made-up number would spread unseen."""
    with pytest.raises(ShapeError):
        pool(np.ones((1, 4, 4, 1)), 2, strides=2, padding=((2, 2), (2, 2)))
