"""What the operations of ``functional`` must obey whatever their numbers: the laws of a convolution, a pooling, a softmax."""

import math

import numpy as np
import pytest
from devices import normal, one_thread
from gradient_check import numeric_gradient, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn import functional as F

BOTH_TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
BOTH_POOLS = pytest.mark.parametrize("pool", [F.max_pool2d, F.avg_pool2d])
SEEDS = st.integers(0, 9999)
many = settings(derandomize=True, deadline=None, max_examples=20)


def numbers(seed, *shapes):
    return normal(seed, np.float64, *shapes)


def close(computed, expected, atol=1e-13):
    np.testing.assert_allclose(computed, expected, rtol=0, atol=atol)


# --- convolution -----------------------------------------------------------------------------------------------------------


@many
@given(SEEDS)
def test_conv2d_moves_with_its_input(seed):
    """Translation equivariance: an image shifted by (2, 3) gives the map shifted by (2, 3)."""
    x, kernel = numbers(seed, (2, 12, 13, 3), (3, 4, 3, 5))
    close(F.conv2d(x[:, 2:, 3:], kernel), F.conv2d(x, kernel)[:, 2:, 3:])


@many
@given(SEEDS)
def test_conv2d_is_linear_in_the_image_and_in_the_kernel(seed):
    x, x2, kernel, kernel2 = numbers(seed, (2, 7, 8, 3), (2, 7, 8, 3), (3, 2, 3, 4), (3, 2, 3, 4))

    def conv(x, kernel):
        return F.conv2d(x, kernel, padding="same")

    close(conv(2 * x - 3 * x2, kernel), 2 * conv(x, kernel) - 3 * conv(x2, kernel), atol=1e-12)
    close(conv(x, 2 * kernel - 3 * kernel2), 2 * conv(x, kernel) - 3 * conv(x, kernel2), atol=1e-12)


@many
@given(SEEDS)
def test_conv2d_of_one_cell_or_of_the_whole_image_is_a_dense_layer(seed):
    """Also pins the flatten order: NHWC, row by row."""
    x, kernel, bias = numbers(seed, (2, 5, 6, 7), (1, 1, 7, 4), (4,))
    close(F.conv2d(x, kernel, bias), F.dense(x.reshape(-1, 7), kernel[0, 0], bias).reshape(2, 5, 6, 4))
    x, kernel, bias = numbers(seed, (3, 4, 5, 6), (4, 5, 6, 7), (7,))
    close(F.conv2d(x, kernel, bias), F.dense(x.reshape(3, -1), kernel.reshape(-1, 7), bias).reshape(3, 1, 1, 7), atol=1e-12)


@many
@given(SEEDS)
def test_conv2d_with_strides_is_a_subsample_of_stride_one(seed):
    x, kernel = numbers(seed, (2, 11, 13, 3), (3, 4, 3, 5))
    close(F.conv2d(x, kernel, strides=(2, 3)), F.conv2d(x, kernel)[:, ::2, ::3])


@many
@given(SEEDS)
def test_conv2d_permuting_channels_of_image_and_kernel_alike_changes_nothing(seed):
    x, kernel = numbers(seed, (2, 6, 7, 9), (3, 3, 9, 4))
    order = np.random.default_rng(seed).permutation(9)
    close(F.conv2d(x[..., order], kernel[:, :, order], padding="same"), F.conv2d(x, kernel, padding="same"), atol=1e-12)


@BOTH_TYPES
@pytest.mark.parametrize("side", [1, 3, 5])
def test_conv2d_with_a_delta_kernel_returns_the_image(side, dtype):
    x = np.random.default_rng(side).standard_normal((2, 6, 7, 4)).astype(dtype)
    kernel = np.zeros((side, side, 4, 4), dtype)
    kernel[side // 2, side // 2] = np.eye(4)
    np.testing.assert_allclose(F.conv2d(x, kernel, padding="same"), x, rtol=4 * np.finfo(dtype).eps, atol=0)


def test_conv2d_with_an_off_centre_delta_reads_the_cell_below_right():
    """The orientation of cross-correlation: kernel cell (u, v) reads image cell (i + u, j + v); a flipped one would not."""
    x, kernel = np.arange(20.0).reshape(1, 4, 5, 1), np.zeros((2, 3, 1, 1))
    kernel[1, 2] = 1
    np.testing.assert_array_equal(F.conv2d(x, kernel), x[:, 1:, 2:])


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
    x, k = numbers(1, (2, *size, 3), (*kernel, 3, 4))
    same = F.conv2d(x, k, strides=stride, padding="same")
    np.testing.assert_array_equal(same, F.conv2d(x, k, strides=stride, padding=pads))
    close(same, F.conv2d(np.pad(x, ((0, 0), *pads, (0, 0))), k, strides=stride))


def test_conv2d_parameters_do_not_depend_on_the_image_size():
    """Parameter sharing: the kernel that fits 5x5 fits 50x40."""
    kernel = np.ones((3, 3, 2, 4))
    assert F.conv2d(np.ones((1, 5, 5, 2)), kernel).shape == (1, 3, 3, 4)
    assert F.conv2d(np.ones((1, 50, 40, 2)), kernel).shape == (1, 48, 38, 4)


def test_conv2d_without_bias_equals_a_bias_of_zeros():
    x, kernel = numbers(0, (2, 5, 6, 3), (2, 2, 3, 4))
    np.testing.assert_array_equal(F.conv2d(x, kernel), F.conv2d(x, kernel, np.zeros(4)))


# --- pooling ---------------------------------------------------------------------------------------------------------------


@many
@given(SEEDS, st.sampled_from([1, (2, 3)]))
def test_average_pool_is_a_convolution_with_equal_weights(seed, strides):
    (x,), kernel = numbers(seed, (2, 9, 8, 3)), np.zeros((3, 2, 3, 3))
    kernel[:, :, range(3), range(3)] = 1 / 6
    close(F.avg_pool2d(x, (3, 2), strides=strides), F.conv2d(x, kernel, strides=strides), atol=1e-14)


@BOTH_POOLS
@many
@given(seed=SEEDS)
def test_pool_takes_strides_and_padding_as_it_says(pool, seed):
    (x,) = numbers(seed, (2, 9, 8, 3))
    np.testing.assert_array_equal(pool(x, (3, 2)), pool(x, (3, 2), strides=(3, 2)))
    np.testing.assert_array_equal(pool(x), pool(x, 2, strides=2, padding="valid"))
    np.testing.assert_array_equal(pool(x, 1), x)
    np.testing.assert_allclose(pool(x, (3, 2), strides=(2, 3)), pool(x, (3, 2), strides=1)[:, ::2, ::3], rtol=0, atol=1e-15)
    same, explicit = (pool(x[:, :7], (2, 3), strides=2, padding=padding) for padding in ("same", ((0, 1), (0, 1))))
    np.testing.assert_array_equal(same, explicit)


@BOTH_POOLS
def test_pool_works_on_each_channel_and_image_by_itself(pool):
    (x,) = numbers(0, (3, 6, 7, 5))
    whole = pool(x, 2, strides=2, padding="same")
    for n, c in np.ndindex(3, 5):
        part = np.s_[n : n + 1, :, :, c : c + 1]
        np.testing.assert_array_equal(pool(x[part], 2, strides=2, padding="same"), whole[part])


def test_max_pool_and_relu_commute():
    (x,) = numbers(0, (2, 7, 8, 3))
    np.testing.assert_array_equal(F.max_pool2d(F.relu(x)), F.relu(F.max_pool2d(x)))


# --- dense, activations, loss, dropout -------------------------------------------------------------------------------------


@many
@given(SEEDS)
def test_dense_is_linear_and_does_not_care_about_the_order_of_its_inputs(seed):
    x, x2, kernel, bias = numbers(seed, (4, 50), (4, 50), (50, 5), (5,))
    close(F.dense(2 * x - 3 * x2, kernel), 2 * F.dense(x, kernel) - 3 * F.dense(x2, kernel))
    order = np.random.default_rng(seed).permutation(50)
    close(F.dense(x[:, order], kernel[order], bias), F.dense(x, kernel, bias))
    np.testing.assert_array_equal(F.dense(x, np.eye(50)), x)


def test_sigmoid_gradient_is_at_most_a_quarter():
    """Why four sigmoid layers shrink a gradient 256 times and more."""
    x = np.linspace(-10, 10, 4001)[None]
    gradient = F.sigmoid_backward(x, np.ones_like(x))
    assert gradient.max() == 0.25
    assert gradient.argmax() == 2000


def test_sigmoid_and_tanh_are_one_function():
    """tanh(x) = 2 sigmoid(2x) - 1"""
    x = np.linspace(-5, 5, 101)[None]
    close(F.tanh(x), 2 * F.sigmoid(2 * x) - 1, atol=1e-15)


@many
@given(SEEDS)
def test_softmax_follows_a_permutation_of_its_classes_and_its_gradient_is_orthogonal_to_a_shift(seed):
    """A shift of all logits changes nothing, so each row of the gradient adds up to 0."""
    x, dy = numbers(seed, (5, 10), (5, 10))
    order = np.random.default_rng(seed).permutation(10)
    np.testing.assert_allclose(F.softmax(4 * x[:, order]), F.softmax(4 * x)[:, order], rtol=1e-14)
    close(F.softmax_backward(4 * x, dy).sum(axis=1), 0, atol=1e-15)


def test_softmax_of_one_class_is_certain():
    np.testing.assert_array_equal(F.softmax(np.array([[3.0], [-800.0]])), [[1], [1]])


@pytest.mark.parametrize("classes", [2, 10, 37])
def test_cross_entropy_of_equal_logits_is_the_log_of_the_number_of_classes(classes):
    loss, _ = F.softmax_cross_entropy(np.zeros((3, classes)), np.zeros(3, int))
    assert isinstance(loss, float)
    assert math.isclose(loss, math.log(classes), rel_tol=1e-14)


@many
@given(SEEDS)
def test_cross_entropy_is_a_mean_of_minus_the_logs_of_the_labels_probabilities(seed):
    (logits,), labels = numbers(seed, (9, 6)), np.random.default_rng(seed).integers(0, 6, 9)
    loss, dlogits = F.softmax_cross_entropy(5 * logits, labels)
    assert math.isclose(loss, -np.log(F.softmax(5 * logits)[np.arange(9), labels]).mean(), rel_tol=1e-13)
    close(dlogits.sum(axis=1), 0, atol=1e-16)
    twice_loss, twice_dlogits = F.softmax_cross_entropy(np.tile(5 * logits, (2, 1)), np.tile(labels, 2))
    assert math.isclose(loss, twice_loss, rel_tol=1e-14)
    np.testing.assert_allclose(twice_dlogits[:9], dlogits / 2, rtol=1e-14)


@many
@given(SEEDS)
def test_cross_entropy_of_a_softmax_and_one_hot_rows_is_the_loss_of_the_logits(seed):
    (logits,), labels = numbers(seed, (9, 6)), np.random.default_rng(seed).integers(0, 6, 9)
    loss = F.cross_entropy(F.softmax(5 * logits), F.one_hot(labels, 6))
    assert math.isclose(loss, F.softmax_cross_entropy(5 * logits, labels)[0], rel_tol=1e-13)


def test_cross_entropy_of_a_certain_answer_is_0_if_right_and_infinite_if_wrong():
    certain = np.array([[1.0, 0.0]])
    right = F.cross_entropy(certain, F.one_hot([0], 2))
    assert (right, math.copysign(1, right)) == (0, 1)
    assert F.cross_entropy(certain, F.one_hot([1], 2)) == math.inf
    assert math.isnan(F.cross_entropy(np.array([[math.nan, 0.5]]), F.one_hot([0], 2)))


def test_dropout_mask_is_the_same_for_both_float_types():
    x = np.ones((100, 100))
    np.testing.assert_array_equal(F.dropout(x, 0.3, 1, 1) == 0, F.dropout(x.astype(np.float32), 0.3, 1, 1) == 0)


def test_gradients_of_a_whole_network_equal_finite_differences():
    """conv, relu, pool, dense, loss, chained by hand: what a training step computes."""
    x, kernel, bias, weights = numbers(0, (3, 6, 6, 2), (3, 3, 2, 4), (4,), (36, 5))
    labels = np.array([0, 3, 4])

    def forward(kernel):
        z = F.conv2d(x, kernel, bias, padding="same")
        pooled = F.max_pool2d(F.relu(z))
        return z, pooled, F.dense(pooled.reshape(3, -1), weights)

    with one_thread():
        z, pooled, logits = forward(kernel)
        _, dlogits = F.softmax_cross_entropy(logits, labels)
        dflat, _, _ = F.dense_backward(pooled.reshape(3, -1), weights, dlogits)
        dpool = F.max_pool2d_backward(F.relu(z), dflat.reshape(pooled.shape), 2, strides=2, padding="valid")
        _, dkernel, _ = F.conv2d_backward(x, kernel, F.relu_backward(z, dpool), strides=1, padding="same")
        numeric = numeric_gradient(lambda probe: F.softmax_cross_entropy(forward(probe)[2], labels)[0], kernel)
    assert relative_error(dkernel, numeric) < 1e-6
