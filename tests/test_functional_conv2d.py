"""conv2d and its gradient, against the oracle and against what a convolution must obey whatever its numbers."""

from dataclasses import dataclass

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn import functional as F
from numbacnn.errors import ShapeError

EPS64 = np.finfo(np.float64).eps
many = settings(derandomize=True, deadline=None, max_examples=150)


@dataclass(frozen=True)
class Case:
    """One convolution: shapes, strides, padding, and the seed of its numbers."""

    x: tuple
    kernel: tuple
    strides: object = 1
    padding: object = "valid"
    seed: int = 0

    @property
    def window(self):
        return {"strides": self.strides, "padding": self.padding}

    @property
    def y(self):
        rows, columns = oracle.windows(self.x[1:3], self.kernel[:2], self.strides, self.padding)
        return self.x[0], rows.out, columns.out, self.kernel[3]

    def numbers(self, dtype):
        """x, kernel, bias and dy, standard normal."""
        generator = np.random.default_rng(self.seed)
        shapes = self.x, self.kernel, self.kernel[3:], self.y
        return [generator.standard_normal(shape).astype(dtype) for shape in shapes]


@st.composite
def axis(draw):
    """Size, kernel, stride and padding of one axis; kernels as large as the input and strides beyond the kernel are common."""
    kernel = draw(st.integers(1, 5))
    explicit = draw(st.tuples(st.integers(0, 5), st.integers(0, 5)))
    size = draw(st.integers(max(1, kernel - sum(explicit)), 10))
    return size, kernel, draw(st.integers(1, 6)), explicit


@st.composite
def cases(draw):
    (h, kh, sh, rows), (w, kw, sw, columns) = draw(axis()), draw(axis())
    fits = kh <= h and kw <= w
    padding = draw(st.sampled_from(["valid", "same", (rows, columns)] if fits else ["same", (rows, columns)]))
    n, c, f = draw(st.integers(1, 3)), draw(st.integers(1, 17)), draw(st.integers(1, 17))
    return Case((n, h, w, c), (kh, kw, c, f), (sh, sw), padding, seed=draw(st.integers(0, 9999)))


ODD_SHAPES = [
    pytest.param(Case((1, 1, 1, 1), (1, 1, 1, 1)), id="a single cell"),
    pytest.param(Case((2, 1, 9, 3), (1, 4, 3, 5), (1, 2)), id="one row"),
    pytest.param(Case((2, 9, 1, 3), (4, 1, 3, 5), (2, 1)), id="one column"),
    pytest.param(Case((2, 9, 1, 3), (4, 3, 3, 5), (2, 1), "same"), id="one column, wider kernel, same"),
    pytest.param(Case((3, 5, 6, 2), (5, 6, 2, 7)), id="kernel as large as the input"),
    pytest.param(Case((1, 11, 8, 4), (2, 3, 4, 6), (4, 5)), id="strides larger than the kernel"),
    pytest.param(Case((1, 11, 8, 4), (2, 3, 4, 6), (4, 5), "same"), id="strides larger than the kernel, same"),
    pytest.param(Case((2, 7, 7, 1), (3, 3, 1, 1), 2, "same"), id="stride two, same"),
    pytest.param(Case((2, 8, 7, 1), (3, 3, 1, 1), (2, 1), "same"), id="odd padding goes after"),
    pytest.param(Case((1, 4, 5, 17), (3, 2, 17, 17), 1, ((0, 3), (2, 1))), id="asymmetric padding, 17 channels"),
    pytest.param(Case((1, 2, 2, 3), (5, 5, 3, 2), 1, ((2, 1), (3, 3))), id="kernel larger than the unpadded input"),
    pytest.param(Case((1, 3, 3, 2), (2, 2, 2, 3), 1, ((4, 4), (3, 5))), id="windows that see nothing but padding"),
    pytest.param(Case((2, 28, 28, 1), (5, 5, 1, 32), 1, "same"), id="first layer of the lecture's network"),
    pytest.param(Case((2, 14, 14, 32), (5, 5, 32, 64), 1, "same"), id="second layer of the lecture's network"),
    pytest.param(Case((1, 12, 13, 33), (3, 3, 33, 40), 1, "same"), id="channels just past a power of two"),
    pytest.param(Case((33, 6, 6, 3), (3, 3, 3, 8)), id="a batch of 33"),
]
BOTH_TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def check_forward(case, dtype):
    x, kernel, bias, _ = case.numbers(dtype)
    y = F.conv2d(x, kernel, bias, **case.window)
    assert y.dtype == dtype
    magnitude = oracle.conv2d(np.abs(x), np.abs(kernel), np.abs(bias), **case.window)
    terms = kernel[..., 0].size + 1
    oracle.assert_close(y, oracle.conv2d(x, kernel, bias, **case.window), oracle.rounding(dtype, terms, magnitude))


def check_backward(case, dtype):
    x, kernel, _, dy = case.numbers(dtype)
    computed = F.conv2d_backward(x, kernel, dy, **case.window)
    exact = oracle.conv2d_backward(x, kernel, dy, **case.window)
    magnitude = oracle.conv2d_backward(np.abs(x), np.abs(kernel), np.abs(dy), **case.window)
    terms = kernel[:, :, 0].size, dy[..., 0].size, dy[..., 0].size
    for name, got, want, size, k in zip(("dx", "dkernel", "dbias"), computed, exact, magnitude, terms, strict=True):
        assert got.dtype == dtype, name
        oracle.assert_close(got, want, oracle.rounding(dtype, k, size))


@BOTH_TYPES
@pytest.mark.parametrize("case", ODD_SHAPES)
def test_conv2d_equals_the_formula_on_odd_shapes(case, dtype):
    check_forward(case, dtype)


@BOTH_TYPES
@pytest.mark.parametrize("case", ODD_SHAPES)
def test_conv2d_backward_equals_the_formula_on_odd_shapes(case, dtype):
    check_backward(case, dtype)


@many
@given(cases(), st.sampled_from([np.float32, np.float64]))
def test_conv2d_equals_the_formula_on_random_shapes(case, dtype):
    check_forward(case, dtype)


@many
@given(cases(), st.sampled_from([np.float32, np.float64]))
def test_conv2d_backward_equals_the_formula_on_random_shapes(case, dtype):
    check_backward(case, dtype)


@many
@given(cases())
def test_conv2d_and_its_gradients_are_adjoint(case):
    """<conv(x, w), y> = <x, dx> = <w, dkernel>: convolution is linear in both, so its gradients are its transposes."""
    x, kernel, _, dy = case.numbers(np.float64)
    dx, dkernel, dbias = F.conv2d_backward(x, kernel, dy, **case.window)
    forward = np.vdot(F.conv2d(x, kernel, **case.window), dy)
    magnitude = np.vdot(oracle.conv2d(np.abs(x), np.abs(kernel), **case.window), np.abs(dy))
    bound = oracle.rounding(np.float64, kernel.size + dy.size + x.size, magnitude)
    assert abs(forward - np.vdot(x, dx)) <= bound
    assert abs(forward - np.vdot(kernel, dkernel)) <= bound
    assert np.allclose(dbias, dy.sum(axis=(0, 1, 2)), rtol=0, atol=oracle.rounding(np.float64, dy.size, np.abs(dy).sum()))


GENERATOR_SEEDS = pytest.mark.parametrize("seed", range(6))


def normal(seed, *shapes):
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(shape) for shape in shapes]


@GENERATOR_SEEDS
def test_conv2d_moves_with_its_input(seed):
    """Translation equivariance: an image shifted by (2, 3) gives the map shifted by (2, 3)."""
    x, kernel = normal(seed, (2, 12, 13, 3), (3, 4, 3, 5))
    whole = F.conv2d(x, kernel)
    np.testing.assert_allclose(F.conv2d(x[:, 2:, 3:], kernel), whole[:, 2:, 3:], rtol=0, atol=1e-13)


@GENERATOR_SEEDS
def test_conv2d_is_linear_in_the_image_and_in_the_kernel(seed):
    x, x2, kernel, kernel2 = normal(seed, (2, 7, 8, 3), (2, 7, 8, 3), (3, 2, 3, 4), (3, 2, 3, 4))
    of_images = 2 * F.conv2d(x, kernel, padding="same") - 3 * F.conv2d(x2, kernel, padding="same")
    of_kernels = 2 * F.conv2d(x, kernel, padding="same") - 3 * F.conv2d(x, kernel2, padding="same")
    np.testing.assert_allclose(F.conv2d(2 * x - 3 * x2, kernel, padding="same"), of_images, rtol=0, atol=1e-12)
    np.testing.assert_allclose(F.conv2d(x, 2 * kernel - 3 * kernel2, padding="same"), of_kernels, rtol=0, atol=1e-12)


@BOTH_TYPES
@pytest.mark.parametrize("side", [1, 3, 5])
def test_conv2d_with_a_delta_kernel_returns_the_image(side, dtype):
    x = np.random.default_rng(side).standard_normal((2, 6, 7, 4)).astype(dtype)
    kernel = np.zeros((side, side, 4, 4), dtype)
    kernel[side // 2, side // 2] = np.eye(4)
    np.testing.assert_allclose(F.conv2d(x, kernel, padding="same"), x, rtol=4 * np.finfo(dtype).eps, atol=0)


def test_conv2d_with_an_off_centre_delta_reads_the_cell_below_right():
    """The orientation of cross-correlation: kernel cell (u, v) reads image cell (i + u, j + v); a flipped one would not."""
    x = np.arange(20.0).reshape(1, 4, 5, 1)
    kernel = np.zeros((2, 3, 1, 1))
    kernel[1, 2] = 1
    np.testing.assert_array_equal(F.conv2d(x, kernel), x[:, 1:, 2:])


@GENERATOR_SEEDS
def test_conv2d_one_by_one_is_a_dense_layer_at_every_cell(seed):
    x, kernel, bias = normal(seed, (2, 5, 6, 7), (1, 1, 7, 4), (4,))
    dense = F.dense(x.reshape(-1, 7), kernel[0, 0], bias).reshape(2, 5, 6, 4)
    np.testing.assert_allclose(F.conv2d(x, kernel, bias), dense, rtol=0, atol=1e-13)


@GENERATOR_SEEDS
def test_conv2d_as_large_as_the_image_is_a_dense_layer(seed):
    """Also pins the flatten order: NHWC, row by row."""
    x, kernel, bias = normal(seed, (3, 4, 5, 6), (4, 5, 6, 7), (7,))
    dense = F.dense(x.reshape(3, -1), kernel.reshape(-1, 7), bias)
    np.testing.assert_allclose(F.conv2d(x, kernel, bias), dense.reshape(3, 1, 1, 7), rtol=0, atol=1e-12)


@GENERATOR_SEEDS
def test_conv2d_with_strides_is_a_subsample_of_stride_one(seed):
    x, kernel = normal(seed, (2, 11, 13, 3), (3, 4, 3, 5))
    np.testing.assert_allclose(F.conv2d(x, kernel, strides=(2, 3)), F.conv2d(x, kernel)[:, ::2, ::3], rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads"),
    [
        ((7, 8), (3, 2), (1, 1), ((1, 1), (0, 1))),
        ((7, 8), (3, 5), (2, 3), ((1, 1), (1, 2))),
        ((5, 5), (1, 2), (3, 4), ((0, 0), (0, 1))),
    ],
)
def test_conv2d_same_padding_equals_tensorflows_cells_given_explicitly(size, kernel, stride, pads):
    """Pads by hand: total = max((ceil(n/s) - 1) * s + k - n, 0), the odd one after."""
    x, k = normal(1, (2, *size, 3), (*kernel, 3, 4))
    same = F.conv2d(x, k, strides=stride, padding="same")
    np.testing.assert_array_equal(same, F.conv2d(x, k, strides=stride, padding=pads))
    by_hand = F.conv2d(np.pad(x, ((0, 0), *pads, (0, 0))), k, strides=stride)
    np.testing.assert_allclose(same, by_hand, rtol=0, atol=1e-13)


@GENERATOR_SEEDS
def test_conv2d_permuting_channels_of_image_and_kernel_alike_changes_nothing(seed):
    x, kernel = normal(seed, (2, 6, 7, 9), (3, 3, 9, 4))
    order = np.random.default_rng(seed).permutation(9)
    shuffled = F.conv2d(x[..., order], kernel[:, :, order], padding="same")
    np.testing.assert_allclose(shuffled, F.conv2d(x, kernel, padding="same"), rtol=0, atol=1e-12)


@BOTH_TYPES
def test_conv2d_of_an_image_does_not_depend_on_its_batch(dtype):
    """Bit for bit: whoever predicts one image or a thousand sees the same numbers."""
    x, kernel, bias = (a.astype(dtype) for a in normal(3, (19, 9, 10, 5), (3, 3, 5, 8), (8,)))
    whole = F.conv2d(x, kernel, bias, padding="same")
    alone = np.concatenate([F.conv2d(x[k : k + 1], kernel, bias, padding="same") for k in range(len(x))])
    np.testing.assert_array_equal(whole, alone)


def test_conv2d_parameters_do_not_depend_on_the_image_size():
    """Parameter sharing: the kernel that fits 5x5 fits 50x40."""
    _, kernel = normal(0, (1,), (3, 3, 2, 4))
    assert F.conv2d(np.ones((1, 5, 5, 2)), kernel).shape == (1, 3, 3, 4)
    assert F.conv2d(np.ones((1, 50, 40, 2)), kernel).shape == (1, 48, 38, 4)


def test_conv2d_without_bias_equals_a_bias_of_zeros():
    x, kernel = normal(0, (2, 5, 6, 3), (2, 2, 3, 4))
    np.testing.assert_array_equal(F.conv2d(x, kernel), F.conv2d(x, kernel, np.zeros(4)))


@BOTH_TYPES
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_conv2d_passes_nan_and_infinity_on_to_every_cell_that_sees_them(value, dtype):
    x, kernel = (a.astype(dtype) for a in normal(5, (2, 8, 9, 4), (3, 3, 4, 6)))
    x[0, 4, 5, 2] = value
    y = F.conv2d(x, kernel)
    sees = np.zeros(y.shape, bool)
    sees[0, 2:5, 3:6] = True
    assert not np.isfinite(y[sees]).any()
    assert np.isfinite(y[1]).all(), "the other image of the batch must not be touched"


@BOTH_TYPES
def test_conv2d_backward_passes_nan_on(dtype):
    x, kernel, dy = (a.astype(dtype) for a in normal(5, (2, 8, 9, 4), (3, 3, 4, 6), (2, 6, 7, 6)))
    dy[0, 2, 3, 1] = np.nan
    dx, dkernel, dbias = F.conv2d_backward(x, kernel, dy, strides=1, padding="valid")
    assert np.isnan(dx[0, 2:5, 3:6]).all()
    assert np.isfinite(dx[1]).all()
    assert np.isnan(dkernel[..., 1]).all()
    assert np.isnan(dbias[1])


@pytest.mark.parametrize("scale", [1e-30, 1e15])
def test_conv2d_keeps_its_relative_error_for_tiny_and_huge_numbers(scale):
    x, kernel = normal(2, (1, 6, 6, 3), (3, 3, 3, 4))
    x, kernel = (x * scale).astype(np.float32), kernel.astype(np.float32)
    magnitude = oracle.conv2d(np.abs(x), np.abs(kernel))
    oracle.assert_close(F.conv2d(x, kernel), oracle.conv2d(x, kernel), oracle.rounding(np.float32, 28, magnitude))


def test_conv2d_names_both_channel_counts_when_they_differ():
    with pytest.raises(ShapeError, match=r"(?s)3.*5|5.*3"):
        F.conv2d(np.ones((1, 8, 8, 3)), np.ones((2, 2, 5, 4)))


def test_conv2d_rejects_a_kernel_larger_than_the_image():
    with pytest.raises(ShapeError, match="fit"):
        F.conv2d(np.ones((1, 4, 4, 1)), np.ones((5, 5, 1, 1)))


def test_conv2d_accepts_a_kernel_larger_than_the_image_with_same_padding():
    np.testing.assert_array_equal(
        F.conv2d(np.ones((1, 2, 2, 1)), np.ones((5, 5, 1, 1)), padding="same"), np.full((1, 2, 2, 1), 4.0)
    )


BAD_CALLS = [
    pytest.param({"padding": "full"}, id="unknown padding"),
    pytest.param({"padding": None}, id="no padding"),
    pytest.param({"padding": 1}, id="padding as a number"),
    pytest.param({"padding": (1, 1)}, id="padding as a pair of numbers"),
    pytest.param({"padding": ((0, -1), (0, 0))}, id="negative padding"),
    pytest.param({"padding": ((0, 0.5), (0, 0))}, id="half a cell of padding"),
    pytest.param({"padding": np.ones((2, 2), int)}, id="padding as an array"),
    pytest.param({"strides": 0}, id="stride zero"),
    pytest.param({"strides": (1, 0)}, id="one stride zero"),
    pytest.param({"strides": -1}, id="negative stride"),
    pytest.param({"strides": 1.5}, id="fractional stride"),
    pytest.param({"strides": (1, 1, 1)}, id="three strides"),
    pytest.param({"strides": "2"}, id="a stride in letters"),
    pytest.param({"strides": None}, id="no stride"),
]


@pytest.mark.parametrize("wrong", BAD_CALLS)
def test_conv2d_rejects_a_window_that_makes_no_sense(wrong):
    with pytest.raises(ShapeError):
        F.conv2d(np.ones((1, 8, 8, 3)), np.ones((2, 2, 3, 4)), **wrong)


@pytest.mark.parametrize("wrong", BAD_CALLS)
def test_conv2d_backward_rejects_a_window_that_makes_no_sense(wrong):
    x, kernel, dy = np.ones((1, 8, 8, 3)), np.ones((2, 2, 3, 4)), np.ones((1, 7, 7, 4))
    with pytest.raises(ShapeError):
        F.conv2d_backward(x, kernel, dy, **{"strides": 1, "padding": "valid", **wrong})


@pytest.mark.parametrize(
    ("x", "kernel", "bias"),
    [
        ((8, 8, 3), (2, 2, 3, 4), (4,)),
        ((1, 8, 8, 3, 1), (2, 2, 3, 4), (4,)),
        ((1, 8, 8, 3), (2, 2, 3), (4,)),
        ((1, 8, 8, 3), (2, 2, 3, 4), (5,)),
        ((1, 8, 8, 3), (2, 2, 3, 4), (1, 4)),
        ((1, 8, 8, 3), (0, 2, 3, 4), (4,)),
        ((1, 0, 8, 3), (2, 2, 3, 4), (4,)),
    ],
)
def test_conv2d_rejects_arrays_of_the_wrong_shape(x, kernel, bias):
    with pytest.raises(ShapeError):
        F.conv2d(np.ones(x), np.ones(kernel), np.ones(bias))


@pytest.mark.parametrize("dy", [(1, 8, 8, 4), (2, 7, 7, 4), (1, 7, 7, 5), (7, 7, 4)])
def test_conv2d_backward_rejects_a_gradient_that_is_not_of_the_outputs_shape(dy):
    with pytest.raises(ShapeError):
        F.conv2d_backward(np.ones((1, 8, 8, 3)), np.ones((2, 2, 3, 4)), np.ones(dy), strides=1, padding="valid")
