"""Products in TF32: exact where its numbers are, within its rounding elsewhere, and only where it is asked for."""

import numpy as np
import oracle
import pytest
from devices import normal

from numbacnn.backends import get_ops
from numbacnn.backends.cuda._jit import Gpu
from numbacnn.errors import DeviceError
from numbacnn.shapes import pool_window2d, window2d
from numbacnn.values import ConvBlock, FactoredGradient, Rule

pytestmark = pytest.mark.devices("cuda")

HALF_UNIT = 2.0**-11
"""The most that rounding changes a value, relative to it."""

SLACK = 4
"""A tensor core may cut off what it adds up where float32 rounds to the nearest."""

LARGE = [(100, 784, 10), (65, 129, 63), (301, 5, 3), (5, 33, 30), (130, 20, 70), (200, 300, 20), (40, 9, 200), (100, 70, 33)]
SHAPES = [
    (1, 1, 1),
    (5, 3, 9),
    (9, 5, 17),
    (2, 9, 4),
    (0, 3, 4),
    *(pytest.param(each, marks=pytest.mark.large) for each in LARGE),
]
"""(n, k, f)"""


@pytest.fixture
def tf32(device):
    """The device, whose ops multiply in TF32."""
    from numbacnn.backends.cuda.ops import CudaOps

    try:
        device.ops = CudaOps("tf32")
    except DeviceError as error:  # a GPU of old
        pytest.skip(str(error))
    return device


def rounded(x):
    """float32 to TF32 by arithmetic: to a multiple of the last bit's value, halves away from zero."""
    unit = np.exp2(np.floor(np.log2(np.abs(x), where=x != 0, out=np.zeros(x.shape))) - 10)
    return np.copysign(np.floor(np.abs(x.astype(np.float64)) / unit + 0.5) * unit, x)


def whole(seed, *shapes):
    """Whole numbers, whose products are exact."""
    generator = np.random.default_rng(seed)
    return [generator.integers(-5, 6, shape).astype(np.float32) for shape in shapes]


def bound(terms, magnitude):
    """Of a sum, whose factors are rounded: see ``oracle.rounding``."""
    return (2 * HALF_UNIT + HALF_UNIT**2) * magnitude + SLACK * oracle.rounding(np.float32, terms, magnitude)


def test_values_are_rounded_to_ten_bits_halves_away_from_zero(tf32):
    numbers, kept = np.float32, 2.0**-10
    given = [
        1 + HALF_UNIT,
        -1 - HALF_UNIT,
        1 + HALF_UNIT - 2.0**-23,
        1 + kept,
        2049,
        -0.0,
        2.0**-126,
        1.5 * 2.0**-136,
        np.inf,
        0.1,
    ]
    expected = [1 + kept, -1 - kept, 1, 1 + kept, 2050, 0, 2.0**-126, 2.0**-135, np.inf, 0.0999755859375]
    x = np.array(given, numbers).reshape(-1, 1)
    y = tf32.run("dense", x, np.ones((1, 1), numbers), None)
    assert y.ravel().tolist() == expected
    y = tf32.run("dense", np.array([[np.nan], [3.4028235e38]], numbers), np.ones((1, 1), numbers), None)
    assert np.isnan(y[0, 0])
    assert y[1, 0] == np.inf  # rounded up


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dense_and_its_gradients_are_within_the_rounding_of_tf32(tf32, shape):
    n, k, f = shape
    x, kernel, bias, dy = normal(1, np.float32, (n, k), (k, f), (f,), (n, f))
    y = tf32.run("dense", x, kernel, bias)
    magnitude = oracle.dense(*map(np.abs, (x, kernel, bias)))
    oracle.assert_close(y, oracle.dense(x, kernel, bias), bound(k + 1, magnitude))
    # The very factors that the device multiplies: only its sums are left to be rounded.
    exact = rounded(x) @ rounded(kernel) + bias
    oracle.assert_close(y, exact, SLACK * oracle.rounding(np.float32, k + 1, magnitude))
    np.testing.assert_array_equal(tf32.run("dense", x, kernel, bias, relu=True), np.maximum(y, 0))
    dx, dkernel, dbias = tf32.run("dense_backward", x, kernel, dy)
    magnitudes = oracle.dense_backward(*map(np.abs, (x, kernel, dy)))
    for found, left, right, terms, size in zip((dx, dkernel), (dy, x.T), (kernel.T, dy), (f, n), magnitudes[:2], strict=True):
        oracle.assert_close(found, left.astype(np.float64) @ right, bound(terms + 1, size))
        oracle.assert_close(found, rounded(left) @ rounded(right), SLACK * oracle.rounding(np.float32, terms + 1, size))
    oracle.assert_close(dbias, dy.sum(axis=0, dtype=np.float64), oracle.rounding(np.float32, n, magnitudes[2]))  # no product


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dense_of_whole_numbers_is_exact(tf32, shape):
    n, k, f = shape
    x, kernel, bias, dy = whole(2, (n, k), (k, f), (f,), (n, f))
    np.testing.assert_array_equal(tf32.run("dense", x, kernel, bias), x @ kernel + bias)
    for found, expected in zip(tf32.run("dense_backward", x, kernel, dy), (dy @ kernel.T, x.T @ dy, dy.sum(axis=0)), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("shape", "kind"), [((4, 9, 5), "sgd"), ((4, 3, 7), "momentum"), pytest.param((60, 130, 70), "adam", marks=pytest.mark.large)]
)
def test_an_update_multiplies_its_gradient_out_in_tf32(tf32, shape, kind):
    """Whether it computes the gradient itself or finds it in memory."""
    n, k, f = shape
    x, dy, w = normal(3, np.float32, (n, k), (n, f), (k, f))
    numbers = {"sgd": (0.5,), "momentum": (0.5, 0.9), "adam": (0.5, 0.9, 0.999, 1e-7)}[kind]

    def updated(ops, factored):
        given, slots = ops.asarray(w), [ops.asarray(np.ones_like(w)) for _ in range(len(numbers) // 2)]
        left, right = ops.asarray(x), ops.asarray(dy)
        gradient = FactoredGradient(left, right) if factored else ops.dense_backward(left, given, right)[1]
        ops.update(given, slots, gradient, Rule(kind, numbers))
        return np.array(ops.to_host(given))

    found = updated(tf32.ops, factored=True)
    np.testing.assert_allclose(found, updated(tf32.ops, factored=False), rtol=1e-6, atol=1e-7)
    assert not np.array_equal(found, updated(get_ops("cuda"), factored=True))
    if kind == "sgd":
        np.testing.assert_allclose(found, w - 0.5 * (rounded(x.T) @ rounded(dy)), rtol=0, atol=1e-5)


CONVOLUTIONS = [
    ((1, 5, 6, 3), (3, 3), 5, (1, 1), "same", True),
    ((2, 4, 5, 1), (2, 3), 9, (2, 1), "valid", False),
    *(
        pytest.param(*each, marks=pytest.mark.large)
        for each in [
            ((2, 14, 14, 32), (5, 5), 64, (1, 1), "same", True),
            ((3, 28, 28, 1), (5, 5), 32, (1, 1), "same", True),
            ((2, 13, 11, 7), (3, 2), 33, (2, 3), "same", False),
            ((1, 9, 8, 40), (3, 3), 17, (1, 1), "valid", True),
        ]
    ),
]
"""x, size, filters, strides, padding, and whether windows of 2 x 2 are pooled"""


def block_of(shape, size, strides, padding, is_pooled):
    window = window2d(shape[1:3], size, strides, padding)
    return ConvBlock(window, False, pool_window2d(window.out, (2, 2), (2, 2), "valid") if is_pooled else None)


@pytest.mark.parametrize(("shape", "size", "filters", "strides", "padding", "is_pooled"), CONVOLUTIONS, ids=str)
def test_a_convolution_and_its_gradients(tf32, shape, size, filters, strides, padding, is_pooled):
    """In whole numbers those of float32, bit for bit; in any others within the rounding."""
    block = block_of(shape, size, strides, padding, is_pooled)
    floats, plain = get_ops("cuda"), ConvBlock(block.window, False, None)

    def before_pooling(x, kernel, bias):
        return tf32.ops.conv2d_block(x, kernel, bias, plain)[0]

    for make in (whole, lambda seed, *shapes: normal(seed, np.float32, *shapes)):
        x, kernel, bias = make(4, shape, (*size, shape[3], filters), (filters,))

        def forward(x, kernel, bias):
            return tf32.ops.conv2d_block(x, kernel, bias, block)[0]

        y = tf32.run(forward, x, kernel, bias)
        (dy,) = make(5, y.shape)

        def backward(x, kernel, bias, dy, ops=tf32.ops):
            _, saved = ops.conv2d_block(x, kernel, bias, block)
            return ops.conv2d_block_backward(saved, kernel, dy, block)

        gradients = tf32.run(backward, x, kernel, bias, dy)
        if make is whole:
            given = [tf32.put(each) for each in (x, kernel, bias, dy)]
            np.testing.assert_array_equal(y, tf32.get(floats.conv2d_block(*given[:3], block)[0]))
            assert y.any()
            for found, expected in zip(gradients, backward(*given, ops=floats), strict=True):
                np.testing.assert_array_equal(found, tf32.get(expected))
            continue
        z = tf32.run(before_pooling, x, kernel, bias)
        options = {"strides": strides, "padding": padding}
        magnitude = oracle.conv2d(*map(np.abs, (x, kernel, bias)), **options)
        terms = kernel[..., 0].size + 1
        oracle.assert_close(z, oracle.conv2d(x, kernel, bias, **options), bound(terms, magnitude))
        exact = oracle.conv2d(rounded(x), rounded(kernel), bias, **options)
        oracle.assert_close(z, exact, SLACK * oracle.rounding(np.float32, terms, magnitude))
        if is_pooled:
            np.testing.assert_array_equal(y, tf32.run("max_pool2d", z, block.pool)[0])
            continue
        found = oracle.conv2d_backward(rounded(x), rounded(kernel), rounded(dy), **options)[:2]
        sizes = oracle.conv2d_backward(*map(np.abs, (x, kernel, dy)), **options)[:2]
        counts = kernel[:, :, 0].size, dy[..., 0].size
        for gradient, exact, size_of, count in zip(gradients[:2], found, sizes, counts, strict=True):
            oracle.assert_close(gradient, exact, SLACK * oracle.rounding(np.float32, count + 1, size_of))


def test_nan_reaches_its_row_alone(tf32):
    x, kernel = normal(6, np.float32, (9, 5), (5, 9))
    x[3, 4] = np.nan
    y = tf32.run("dense", x, kernel, None)
    assert np.isnan(y).all(axis=1).tolist() == np.isnan(y).any(axis=1).tolist() == [n == 3 for n in range(9)]


def test_tf32_is_never_taken_unasked(device):
    """The device computes float32 by default: to seven digits, and with other bits than in TF32."""
    from numbacnn.backends.cuda.ops import CudaOps

    x, kernel = normal(7, np.float32, (9, 5), (5, 9))
    usual, asked = device.run("dense", x, kernel, None), np.array(CudaOps("tf32").to_host(
        CudaOps("tf32").dense(device.put(x), device.put(kernel), None)
    ))  # fmt: skip
    assert get_ops("cuda").precision == "float32"
    exact = x.astype(np.float64) @ kernel
    assert np.abs(usual - exact).max() < 1e-6
    assert 1e-5 < np.abs(asked - exact).max() < 1e-2


def test_a_self_check_in_tf32_passes(tf32):
    """Its whole numbers are exact in TF32 too."""
    from numbacnn.backends.cuda import self_check

    self_check.check(tf32.ops)


def test_the_device_says_that_it_multiplies_in_tf32(tf32):
    assert tf32.ops.describe().endswith(", TF32)")
    assert "TF32" not in get_ops("cuda").describe()


@pytest.mark.parametrize(("capability", "is_able"), [("7.5", False), ("8.0", True), ("9.0", True), ("10.0", True)])
def test_a_gpu_without_tf32_is_refused(monkeypatch, capability, is_able):
    from numbacnn.backends.cuda.ops import CudaOps
    from numbacnn.backends.cuda.tiled import tf32

    monkeypatch.setattr(tf32, "gpu", lambda: Gpu("GPU of old", capability, 0, 0, ""))
    if is_able:
        assert CudaOps("tf32").precision == "tf32"
        return
    with pytest.raises(DeviceError) as error:
        CudaOps("tf32")
    assert str(error.value) == (
        "--precision tf32: expected a GPU of compute capability 8.0 or later, got GPU of old of 7.5. Use --precision float32"
    )
    assert CudaOps().precision == "float32"
