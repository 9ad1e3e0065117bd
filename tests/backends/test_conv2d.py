"""Convolution, alone and with the ReLU and pooling that devices fuse to it, against the oracle."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import oracle
import pytest
from devices import normal, small
from gradient_check import numeric_gradient, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn.shapes import pool_window2d, window2d
from numbacnn.values import ConvBlock

large = pytest.mark.large
many = settings(derandomize=True, deadline=None, max_examples=150)


@dataclass(frozen=True)
class Case:
    """One convolution: shapes, strides, padding, and the seed of its numbers."""

    x: tuple
    kernel: tuple
    strides: Any = 1
    padding: Any = "valid"
    seed: int = 0
    dilation: Any = 1
    groups: int = 1

    @property
    def options(self):
        """As the oracle takes them."""
        return {"strides": self.strides, "padding": self.padding, "dilation_rate": self.dilation, "groups": self.groups}

    @property
    def window(self):
        """As ops take it."""
        return window2d(self.x[1:3], self.kernel[:2], oracle.pair(self.strides), self.padding, oracle.pair(self.dilation))

    def numbers(self, dtype):
        """x, kernel, bias and dy."""
        rows, columns = oracle.windows(self.x[1:3], self.kernel[:2], self.strides, self.padding, self.dilation)
        return normal(self.seed, dtype, self.x, self.kernel, self.kernel[3:], (self.x[0], rows.out, columns.out, self.kernel[3]))


CASES = [
    pytest.param(Case((1, 1, 1, 1), (1, 1, 1, 1)), id="a single cell"),
    pytest.param(Case((0, 4, 4, 2), (3, 3, 2, 2), 1, "same"), id="no images"),
    pytest.param(Case((2, 4, 5, 3), (3, 2, 3, 4)), id="three channels"),
    pytest.param(Case((1, 5, 4, 1), (3, 3, 1, 2), 1, "same"), id="one channel, same"),
    pytest.param(Case((1, 1, 5, 1), (1, 3, 1, 3), (1, 2)), id="one row"),
    pytest.param(Case((2, 9, 1, 3), (4, 1, 3, 5), (2, 1)), id="one column", marks=large),
    pytest.param(Case((2, 9, 1, 3), (4, 3, 3, 5), (2, 1), "same"), id="one column, wider kernel, same", marks=large),
    pytest.param(Case((1, 5, 6, 3), (3, 3, 3, 1), 2, "same"), id="stride two, same"),
    pytest.param(Case((2, 8, 7, 1), (3, 3, 1, 1), (2, 1), "same"), id="odd padding goes after", marks=large),
    pytest.param(Case((1, 7, 5, 1), (2, 3, 1, 3), (3, 2), "same"), id="strides three and two, same"),
    pytest.param(Case((1, 7, 8, 1), (2, 2, 1, 2), (4, 3)), id="strides larger than the kernel"),
    pytest.param(Case((1, 11, 8, 4), (2, 3, 4, 6), (4, 5), "same"), id="strides larger than the kernel, same", marks=large),
    pytest.param(Case((1, 3, 4, 2), (3, 4, 2, 3)), id="kernel as large as the image"),
    pytest.param(Case((1, 3, 4, 1), (3, 2, 1, 3), 1, ((0, 2), (2, 1))), id="asymmetric padding"),
    pytest.param(Case((1, 4, 5, 17), (3, 2, 17, 17), 1, ((0, 3), (2, 1))), id="asymmetric padding, 17 channels", marks=large),
    pytest.param(Case((1, 2, 2, 1), (4, 4, 1, 2), 1, ((2, 1), (2, 2))), id="kernel larger than the unpadded image"),
    pytest.param(Case((1, 2, 2, 1), (2, 2, 1, 2), 2, ((3, 3), (2, 4))), id="windows that see nothing but padding"),
    pytest.param(Case((1, 3, 3, 2), (2, 2, 2, 3), 1, ((4, 4), (3, 5))), id="more padding than image", marks=large),
    pytest.param(Case((33, 2, 2, 1), (2, 2, 1, 1)), id="a batch of 33"),
    pytest.param(Case((33, 6, 6, 3), (3, 3, 3, 8)), id="a larger batch of 33", marks=large),
    pytest.param(Case((2, 28, 28, 1), (5, 5, 1, 32), 1, "same"), id="first layer of the lecture's network", marks=large),
    pytest.param(Case((2, 14, 14, 32), (5, 5, 32, 64), 1, "same"), id="second layer of the lecture's network", marks=large),
    pytest.param(Case((1, 12, 13, 33), (3, 3, 33, 40), 1, "same"), id="channels just past a power of two", marks=large),
]
GAPS_AND_GROUPS = [
    pytest.param(Case((1, 7, 6, 2), (3, 2, 2, 3), dilation=2), id="dilation"),
    pytest.param(Case((2, 5, 7, 1), (2, 3, 1, 2), (2, 1), "same", dilation=(3, 2)), id="unequal dilation, strides, same"),
    pytest.param(Case((1, 3, 4, 2), (3, 2, 2, 2), 1, "same", dilation=4), id="a dilation beyond the image"),
    pytest.param(Case((1, 4, 5, 1), (2, 2, 1, 3), 2, ((2, 1), (0, 3)), dilation=3), id="dilation, asymmetric padding"),
    pytest.param(Case((1, 3, 4, 2), (1, 1, 2, 3), dilation=5), id="a single cell has nothing to dilate"),
    pytest.param(Case((2, 4, 3, 4), (3, 2, 2, 6), 1, "same", groups=2), id="two groups"),
    pytest.param(Case((1, 4, 5, 6), (2, 2, 2, 3), (1, 2), groups=3), id="three groups of one filter"),
    pytest.param(Case((1, 5, 6, 4), (2, 3, 2, 4), 1, "same", dilation=(2, 1), groups=2), id="dilation and groups"),
    pytest.param(Case((2, 4, 5, 3), (3, 3, 1, 3), 1, "same", groups=3), id="depthwise"),
    pytest.param(
        Case((1, 5, 7, 2), (3, 2, 1, 6), (2, 3), ((1, 0), (0, 2)), dilation=(1, 2), groups=2), id="depthwise, three filters each"
    ),
    pytest.param(Case((0, 4, 4, 2), (3, 3, 1, 2), 1, "same", groups=2), id="depthwise, no images"),
    pytest.param(Case((9, 2, 2, 2), (2, 2, 1, 2), 1, "same", groups=2), id="depthwise, a batch of nine"),
    pytest.param(Case((1, 2, 37, 3), (1, 2, 1, 3), groups=3), id="depthwise, long rows"),
    pytest.param(Case((1, 2, 2, 2), (2, 2, 1, 4), 2, ((3, 3), (2, 4)), groups=2), id="depthwise, windows that see padding alone"),
    pytest.param(Case((2, 9, 8, 17), (3, 3, 1, 17), (2, 1), "same", groups=17), id="depthwise, 17 channels", marks=large),
    pytest.param(Case((2, 9, 8, 16), (3, 3, 4, 12), 2, "same", dilation=2, groups=4), id="dilation and four groups", marks=large),
]
"""Convolutions that no fast algorithm takes."""


@st.composite
def axis(draw):
    """Size, kernel, stride, dilation and padding of one axis; windows as long as the input and strides beyond them are common."""
    kernel, dilation = draw(st.integers(1, 5)), draw(st.sampled_from([1, 1, 2, 3]))
    span = (kernel - 1) * dilation + 1
    explicit = draw(st.tuples(st.integers(0, 5), st.integers(0, 5)))
    size = draw(st.integers(max(1, span - sum(explicit)), max(10, span)))
    return size, kernel, draw(st.integers(1, 6)), dilation, explicit


@st.composite
def random_cases(draw):
    (h, kh, sh, dh, rows), (w, kw, sw, dw, columns) = draw(axis()), draw(axis())
    fits = (kh - 1) * dh < h and (kw - 1) * dw < w
    padding = draw(st.sampled_from(["valid", "same", (rows, columns)] if fits else ["same", (rows, columns)]))
    n, groups = draw(st.integers(1, 3)), draw(st.sampled_from([1, 1, 2, 3, 5]))
    c, f = draw(st.integers(1, 17 // groups)), groups * draw(st.integers(1, 17 // groups))
    return Case((n, h, w, c * groups), (kh, kw, c, f), (sh, sw), padding, draw(st.integers(0, 9999)), (dh, dw), groups)


TYPES = st.sampled_from([np.float32, np.float64])


def absolute(*arrays):
    return [None if array is None else np.abs(array) for array in arrays]


def assert_is_forward(y, case, x, kernel, bias, dtype):
    assert y.dtype == dtype
    magnitude = oracle.conv2d(*absolute(x, kernel, bias), **case.options)
    bound = oracle.rounding(dtype, kernel[..., 0].size + 1, magnitude)
    oracle.assert_close(y, oracle.conv2d(x, kernel, bias, **case.options), bound)


def assert_are_gradients(found, case, x, kernel, dy, dtype):
    exact = oracle.conv2d_backward(x, kernel, dy, **case.options)
    magnitude = oracle.conv2d_backward(*absolute(x, kernel, dy), **case.options)
    pixels = max(dy[..., 0].size, 1)
    terms = kernel[:, :, 0].size, pixels, pixels
    for name, got, want, size, count in zip(("dx", "dkernel", "dbias"), found, exact, magnitude, terms, strict=True):
        assert got.dtype == dtype, name
        oracle.assert_close(got, want, oracle.rounding(dtype, count, size))


def check_forward(device, case, dtype):
    x, kernel, bias, _ = case.numbers(dtype)
    for given_bias in (bias, None):
        assert_is_forward(device.run("conv2d", x, kernel, given_bias, case.window), case, x, kernel, given_bias, dtype)


def check_gradients(device, case, dtype):
    x, kernel, _, dy = case.numbers(dtype)
    assert_are_gradients(device.run("conv2d_backward", x, kernel, dy, case.window), case, x, kernel, dy, dtype)


@pytest.mark.parametrize("case", [*CASES, *GAPS_AND_GROUPS])
def test_conv2d_equals_the_formula(device, dtype, case):
    check_forward(device, case, dtype)


@pytest.mark.parametrize("case", [*CASES, *GAPS_AND_GROUPS])
def test_conv2d_gradients_equal_the_formula(device, dtype, case):
    check_gradients(device, case, dtype)


@many
@given(random_cases(), TYPES)
def test_conv2d_equals_the_formula_on_random_shapes(case, dtype):
    with small("plain") as device:
        check_forward(device, case, dtype)


@many
@given(random_cases(), TYPES)
def test_conv2d_gradients_equal_the_formula_on_random_shapes(case, dtype):
    with small("plain") as device:
        check_gradients(device, case, dtype)


@many
@given(random_cases())
def test_conv2d_and_its_gradients_are_adjoint(case):
    """<conv(x, w), y> = <x, dx> = <w, dkernel>: convolution is linear in both, so its gradients are its transposes."""
    x, kernel, _, dy = case.numbers(np.float64)
    with small("plain") as device:
        dx, dkernel, dbias = device.run("conv2d_backward", x, kernel, dy, case.window)
        forward = np.vdot(device.run("conv2d", x, kernel, None, case.window), dy)
    magnitude = np.vdot(oracle.conv2d(np.abs(x), np.abs(kernel), **case.options), np.abs(dy))
    bound = oracle.rounding(np.float64, kernel.size + dy.size + x.size, magnitude)
    assert abs(forward - np.vdot(x, dx)) <= bound
    assert abs(forward - np.vdot(kernel, dkernel)) <= bound
    assert np.allclose(dbias, dy.sum(axis=(0, 1, 2)), rtol=0, atol=oracle.rounding(np.float64, dy.size, np.abs(dy).sum()))


@pytest.mark.simulator
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case((1, 4, 3, 2), (3, 2, 2, 2), (2, 1), "same"), id="tiny"),
        pytest.param(Case((1, 3, 4, 4), (2, 2, 2, 2), 1, "same", dilation=(1, 2), groups=2), id="tiny, dilation and groups"),
        pytest.param(
            Case((2, 4, 5, 2), (2, 3, 1, 4), (2, 1), "same", dilation=2, groups=2), id="depthwise, dilation", marks=large
        ),
        pytest.param(Case((2, 5, 6, 3), (3, 2, 3, 4)), id="valid", marks=large),
        pytest.param(Case((2, 5, 6, 3), (3, 2, 3, 4), 1, "same"), id="same", marks=large),
        pytest.param(Case((2, 5, 6, 3), (3, 2, 3, 4), (2, 3), "same"), id="unequal strides, same", marks=large),
        pytest.param(Case((2, 5, 6, 3), (3, 2, 3, 4), (4, 1)), id="stride larger than the kernel", marks=large),
        pytest.param(Case((2, 5, 6, 3), (3, 2, 3, 4), (2, 1), ((1, 0), (0, 2))), id="asymmetric padding", marks=large),
    ],
)
def test_conv2d_gradients_equal_finite_differences(device, case):
    ops, (x, kernel, bias, dy) = device.ops, case.numbers(np.float64)
    arguments = [x, kernel, bias]
    for index, gradient in enumerate(device.run("conv2d_backward", x, kernel, dy, case.window)):

        def loss(probe, index=index):
            changed = [ops.asarray(probe if k == index else value) for k, value in enumerate(arguments)]
            return float(np.vdot(ops.to_host(ops.conv2d(*changed, case.window)), dy))

        assert relative_error(gradient, numeric_gradient(loss, arguments[index])) < 1e-6


def test_gradients_of_parameters_do_not_depend_on_whether_dx_is_wanted(device, dtype):
    case = Case((2, 4, 5, 1), (3, 3, 1, 2), 1, "same")
    x, kernel, _, dy = case.numbers(dtype)
    dx, *full = device.run("conv2d_backward", x, kernel, dy, case.window)
    nothing, *spare = device.run("conv2d_backward", x, kernel, dy, case.window, needs_dx=False)
    assert dx is not None
    assert nothing is None
    for one, other in zip(full, spare, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_conv2d_passes_nan_and_infinity_on_to_every_cell_that_sees_them(device, dtype, value):
    x, kernel = np.abs(normal(5, dtype, (2, 4, 5, 2))[0]), np.ones((2, 2, 2, 3), dtype)
    x[0, 2, 2, 1] = value
    y = device.run("conv2d", x, kernel, None, window2d((4, 5), (2, 2), (1, 1), "valid"))
    sees = np.zeros(y.shape, bool)
    sees[0, 1:3, 1:3] = True
    np.testing.assert_array_equal(~np.isfinite(y), sees)


def test_conv2d_backward_passes_nan_on(device, dtype):
    case = Case((2, 4, 5, 2), (2, 2, 2, 3), seed=5)
    x, kernel, _, dy = case.numbers(dtype)
    dy[0, 1, 2, 1] = np.nan
    dx, dkernel, dbias = device.run("conv2d_backward", x, kernel, dy, case.window)
    sees = np.zeros(dx.shape, bool)
    sees[0, 1:3, 2:4] = True
    np.testing.assert_array_equal(np.isnan(dx), sees)
    assert np.isnan(dkernel).all(axis=(0, 1, 2)).tolist() == np.isnan(dbias).tolist() == [False, True, False]


@pytest.mark.parametrize("scale", [1e-30, 1e15])
def test_conv2d_keeps_its_relative_error_for_tiny_and_huge_numbers(device, scale):
    case = Case((1, 6, 6, 3), (3, 3, 3, 4), seed=2)
    x, kernel, _, _ = case.numbers(np.float64)
    x, kernel = (x * scale).astype(np.float32), kernel.astype(np.float32)
    assert_is_forward(device.run("conv2d", x, kernel, None, case.window), case, x, kernel, None, np.float32)


# --- sums over a batch: the gradient of a bias -----------------------------------------------------------------------------


def bias_gradient(device, dy):
    x, kernel = np.ones((len(dy), 1), dy.dtype), np.ones((1, dy.shape[1]), dy.dtype)
    return device.run(lambda *given: device.ops.dense_backward(*given, needs_dx=False, factored=True)[2], x, kernel, dy)


@pytest.mark.devices("plain", "fast", "cuda")
@pytest.mark.parametrize(
    "shape",
    [(0, 3), (1, 1), (7, 1), (8, 1), (9, 1), (5, 3), (31, 2), (33, 5), (4, 7), (4, 8), (4, 9), (3, 17),
     (128, 1), (129, 3), (300, 2), (1000, 1), (130, 17)],
    ids=str,
)  # fmt: skip
def test_sums_over_a_batch_equal_those_in_float64(device, dtype, shape):
    (dy,) = normal(0, dtype, shape)
    total = bias_gradient(device, dy)
    assert total.dtype == dtype
    exact, magnitude = (each.astype(np.float64).sum(axis=0) for each in (dy, np.abs(dy)))
    # a GPU's sums are trees: no more than the rounding of a few dozen additions, however many rows there are
    terms = 12 if device.name == "cuda" else max(len(dy), 1)
    oracle.assert_close(total, exact, oracle.rounding(dtype, terms, magnitude))


# --- convolution, ReLU and pooling as one op -------------------------------------------------------------------------------

EVERY_DEVICE = pytest.mark.devices("plain", "fast", "cuda")
BLOCKS = [
    Case((1, 1, 1, 1), (1, 1, 1, 1)),
    Case((0, 4, 4, 2), (3, 3, 2, 5), 1, "same"),
    Case((2, 3, 3, 1), (3, 3, 1, 8), 1, "same"),  # 18 pixels: two of the simulator's tiles and a bit
    Case((1, 4, 2, 3), (2, 2, 3, 9)),  # filters past a tile's columns
    Case((1, 2, 4, 8), (1, 3, 8, 5), 1, "same"),
    Case((1, 5, 4, 2), (3, 2, 2, 5), (2, 3), ((1, 2), (0, 1))),
    Case((2, 3, 5, 1), (2, 1, 1, 4), (3, 2)),  # pixels that no filter sees
    Case((1, 3, 3, 2), (2, 2, 2, 3), 2, ((3, 3), (2, 4))),  # windows that see nothing but padding
    Case((1, 1, 7, 1), (1, 5, 1, 17), 1, "same"),
    Case((1, 2, 2, 1), (1, 1, 1, 2), 3),  # strides beyond the image
]
POOLS = [
    # convolution, pool size, pool strides
    (Case((1, 4, 4, 1), (3, 3, 1, 8), 1, "same"), 2, 2),
    (Case((2, 3, 5, 2), (1, 1, 2, 5)), 2, 2),  # rows and columns left over
    (Case((1, 4, 6, 1), (3, 2, 1, 9), 1, "same"), (2, 1), (3, 1)),  # a gap between windows
    (Case((1, 2, 9, 1), (1, 3, 1, 1), (1, 2), "same"), (1, 4), 4),
    (Case((2, 5, 6, 1), (1, 1, 1, 7)), 2, 3),  # gaps along both axes, at the sides of windows whose later row has won
]


def both_passes(device, case, relu, pool, x, kernel, bias, dy, needs_dx=True):
    """y, dx, dkernel and dbias of a fused convolution."""
    block = ConvBlock(case.window, relu, pool)

    def passes(x, kernel, bias, dy):
        y, saved = device.ops.conv2d_block(x, kernel, bias, block)
        return y, *device.ops.conv2d_block_backward(saved, kernel, dy, block, needs_dx=needs_dx)

    return device.run(passes, x, kernel, bias, dy)


@EVERY_DEVICE
@pytest.mark.parametrize("case", BLOCKS, ids=str)
def test_a_block_of_a_convolution_alone_equals_the_formulas(device, dtype, case):
    x, kernel, bias, dy = case.numbers(dtype)
    y, *gradients = both_passes(device, case, False, None, x, kernel, bias, dy)
    assert_is_forward(y, case, x, kernel, bias, dtype)
    assert_are_gradients(gradients, case, x, kernel, dy, dtype)


@EVERY_DEVICE
@pytest.mark.parametrize("case", GAPS_AND_GROUPS)
def test_a_block_with_dilation_or_groups_equals_the_formulas(device, dtype, case):
    x, kernel, bias, dy = case.numbers(dtype)
    y, *gradients = both_passes(device, case, False, None, x, kernel, bias, dy)
    assert_is_forward(y, case, x, kernel, bias, dtype)
    assert_are_gradients(gradients, case, x, kernel, dy, dtype)


@EVERY_DEVICE
@pytest.mark.parametrize(
    "case", [BLOCKS[2], GAPS_AND_GROUPS[0].values[0], GAPS_AND_GROUPS[8].values[0]], ids=["standard", "gaps", "groups"]
)
def test_a_block_without_bias_and_with_relu(device, dtype, case):
    x, kernel, bias, dy = case.numbers(dtype)
    y, *_ = both_passes(device, case, False, None, x, kernel, None, dy)
    np.testing.assert_array_equal(both_passes(device, case, False, None, x, kernel, 0 * bias, dy)[0], y)
    rectified, *gradients = both_passes(device, case, True, None, x, kernel, None, dy)
    np.testing.assert_array_equal(rectified, np.maximum(y, 0))
    assert_are_gradients(gradients, case, x, kernel, oracle.relu_backward(y, dy).astype(dtype), dtype)


@EVERY_DEVICE
def test_a_block_leaves_out_the_gradient_of_the_images_where_it_is_not_needed(device, dtype):
    case = BLOCKS[6]
    given = case.numbers(dtype)
    _, _, *full = both_passes(device, case, False, None, *given)
    _, dx, *spare = both_passes(device, case, False, None, *given, needs_dx=False)
    assert dx is None
    for one, other in zip(full, spare, strict=True):
        np.testing.assert_array_equal(one, other)


@EVERY_DEVICE
@pytest.mark.parametrize(("case", "size", "strides"), POOLS, ids=str)
@pytest.mark.parametrize("relu", [False, True])
def test_fused_pooling_has_the_bits_of_one_after_the_other(device, dtype, case, size, strides, relu):
    pool = pool_window2d(case.window.out, oracle.pair(size), oracle.pair(strides), "valid")
    assert device.name == "plain" or device.ops.can_fuse(pool)
    x, kernel, bias, dz = case.numbers(dtype)
    z, *_ = both_passes(device, case, False, None, x, kernel, bias, dz)
    pooled = oracle.max_pool2d(z, size, strides=strides)
    (dy,) = normal(5, dtype, pooled.shape)
    y, *gradients = both_passes(device, case, relu, pool, x, kernel, bias, dy)
    np.testing.assert_array_equal(y, oracle.relu(pooled) if relu else pooled)

    passed = oracle.relu_backward(pooled, dy) if relu else dy
    dz = oracle.max_pool2d_backward(z, passed, size, strides=strides).astype(dtype)
    _, *apart = both_passes(device, case, False, None, x, kernel, bias, dz)
    for one, other in zip(gradients, apart, strict=True):
        np.testing.assert_array_equal(one, other)


@EVERY_DEVICE
@pytest.mark.parametrize("relu", [False, True])
def test_the_first_of_equals_wins_a_fused_pooling_and_nan_does(device, dtype, relu):
    case = Case((1, 2, 8, 1), (1, 1, 1, 1))
    pool = pool_window2d(case.window.out, (2, 2), (2, 2), "valid")
    nan = np.nan
    x = np.array([[5, 1, 2, 7, 1, nan, -1, -1], [5, 5, 7, 7, nan, 9, -1, -1]], dtype).reshape(1, 2, 8, 1)
    dy = np.array([1, 2, 3, 4], dtype).reshape(1, 1, 4, 1)
    y, dx, *_ = both_passes(device, case, relu, pool, x, np.ones((1, 1, 1, 1), dtype), None, dy)
    np.testing.assert_array_equal(y.ravel(), [5, 7, nan, 0 if relu else -1])
    right = [[1, 0, 0, 2, 0, 0 if relu else 3, 0 if relu else 4, 0], [0] * 8]
    np.testing.assert_array_equal(dx.reshape(2, 8), right)


@EVERY_DEVICE
def test_a_block_of_no_images_has_no_output_and_gradients_of_zero(device, dtype):
    case = Case((0, 4, 4, 2), (3, 3, 2, 5), 1, "same")
    pool = pool_window2d(case.window.out, (2, 2), (2, 2), "valid")
    x, kernel, bias, _ = case.numbers(dtype)
    y, dx, dkernel, dbias = both_passes(device, case, True, pool, x, kernel, bias, np.zeros((0, 2, 2, 5), dtype))
    assert y.shape == (0, 2, 2, 5)
    assert dx.shape == x.shape
    assert not dkernel.any()
    assert not dbias.any()


@EVERY_DEVICE
def test_nan_in_a_pixel_reaches_the_cells_of_a_block_that_see_it_and_no_others(device, dtype):
    case = Case((1, 4, 5, 1), (3, 3, 1, 2), 1, "same")
    x, kernel, _, dy = case.numbers(dtype)
    x[0, 1, 2, 0] = np.nan
    y, *_ = both_passes(device, case, True, None, x, kernel, None, dy)
    sees = np.zeros(y.shape, bool)
    sees[0, 0:3, 1:4] = True
    np.testing.assert_array_equal(np.isnan(y), sees)


@pytest.mark.devices("cuda")
@pytest.mark.simulator
def test_a_block_in_float64_is_exact_to_fifteen_digits(device):
    case = BLOCKS[5]
    x, kernel, bias, dy = case.numbers(np.float64)
    y, *gradients = both_passes(device, case, False, None, x, kernel, bias, dy)
    np.testing.assert_allclose(y, oracle.conv2d(x, kernel, bias, **case.options), rtol=0, atol=1e-13)
    for one, right in zip(gradients, oracle.conv2d_backward(x, kernel, dy, **case.options), strict=True):
        np.testing.assert_allclose(one, right, rtol=0, atol=1e-12)
