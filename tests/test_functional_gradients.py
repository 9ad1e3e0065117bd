"""Every gradient of the functional API against finite differences of its own forward pass, in float64."""

import numba
import numpy as np
import pytest
from gradient_check import numeric_gradient, relative_error

from numbacnn import functional as F

LIMIT = 1e-6
WINDOWS = [
    pytest.param({"strides": 1, "padding": "valid"}, id="valid"),
    pytest.param({"strides": 1, "padding": "same"}, id="same"),
    pytest.param({"strides": (2, 3), "padding": "same"}, id="unequal strides, same"),
    pytest.param({"strides": (4, 1), "padding": "valid"}, id="stride larger than the kernel"),
    pytest.param({"strides": (2, 1), "padding": ((1, 0), (0, 2))}, id="asymmetric padding"),
]


@pytest.fixture(autouse=True)
def one_thread():
    """Thousands of calls on a handful of cells: waking a second thread for each would cost more than the work."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


def normal(*shapes, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(shape) for shape in shapes]


def distinct(shape):
    """Numbers at least 0.1 apart, so that no finite difference crosses a tie of a maximum or the corner of ReLU."""
    count = int(np.prod(shape))
    return ((np.random.default_rng(0).permutation(count) - count / 2 + 0.5) / 10).reshape(shape)


def check(gradient, forward, x, dy):
    """The gradient of sum(forward(x) * dy)."""
    numeric = numeric_gradient(lambda probe: float(np.vdot(forward(probe), dy)), x)
    assert relative_error(gradient, numeric) < LIMIT


@pytest.mark.parametrize("window", WINDOWS)
def test_conv2d_gradients_equal_finite_differences(window):
    x, kernel, bias = normal((2, 5, 6, 3), (3, 2, 3, 4), (4,))
    (dy,) = normal(F.conv2d(x, kernel, bias, **window).shape, seed=1)
    dx, dkernel, dbias = F.conv2d_backward(x, kernel, dy, **window)
    check(dx, lambda probe: F.conv2d(probe, kernel, bias, **window), x, dy)
    check(dkernel, lambda probe: F.conv2d(x, probe, bias, **window), kernel, dy)
    check(dbias, lambda probe: F.conv2d(x, kernel, probe, **window), bias, dy)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_pool_gradients_equal_finite_differences(name, window):
    pool, backward = getattr(F, name), getattr(F, f"{name}_backward")
    x = distinct((2, 5, 6, 3))
    (dy,) = normal(pool(x, (2, 3), **window).shape, seed=1)
    check(backward(x, dy, (2, 3), **window), lambda probe: pool(probe, (2, 3), **window), x, dy)


def test_dense_gradients_equal_finite_differences():
    x, kernel, bias, dy = normal((4, 7), (7, 5), (5,), (4, 5))
    dx, dkernel, dbias = F.dense_backward(x, kernel, dy)
    check(dx, lambda probe: F.dense(probe, kernel, bias), x, dy)
    check(dkernel, lambda probe: F.dense(x, probe, bias), kernel, dy)
    check(dbias, lambda probe: F.dense(x, kernel, probe), bias, dy)


@pytest.mark.parametrize("shape", [(4, 9), (2, 3, 4, 5)])
@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "softmax"])
def test_activation_gradients_equal_finite_differences(name, shape):
    activation, backward = getattr(F, name), getattr(F, f"{name}_backward")
    x = distinct(shape)
    (dy,) = normal(shape, seed=1)
    check(backward(x, dy), activation, x, dy)


@pytest.mark.parametrize("classes", [1, 2, 10])
def test_cross_entropy_gradient_equals_finite_differences(classes):
    (logits,) = normal((6, classes))
    labels = np.arange(6) % classes
    _, dlogits = F.softmax_cross_entropy(logits, labels)
    numeric = numeric_gradient(lambda probe: F.softmax_cross_entropy(probe, labels)[0], logits)
    np.testing.assert_allclose(dlogits, numeric, rtol=LIMIT, atol=1e-10)


def test_dropout_gradient_equals_finite_differences():
    x, dy = normal((6, 7), (6, 7))
    check(F.dropout(dy, 0.4, 3, 5), lambda probe: F.dropout(probe, 0.4, 3, 5), x, dy)


def test_gradients_of_a_whole_network_equal_finite_differences():
    """conv, relu, pool, dense, loss, chained by hand: what a training step computes."""
    x, kernel, bias, weights = normal((3, 6, 6, 2), (3, 3, 2, 4), (4,), (36, 5))
    labels = np.array([0, 3, 4])

    def forward(kernel):
        z = F.conv2d(x, kernel, bias, padding="same")
        pooled = F.max_pool2d(F.relu(z))
        return z, pooled, F.dense(pooled.reshape(3, -1), weights)

    z, pooled, logits = forward(kernel)
    _, dlogits = F.softmax_cross_entropy(logits, labels)
    dflat, _, _ = F.dense_backward(pooled.reshape(3, -1), weights, dlogits)
    dpool = F.max_pool2d_backward(F.relu(z), dflat.reshape(pooled.shape), 2, strides=2, padding="valid")
    _, dkernel, _ = F.conv2d_backward(x, kernel, F.relu_backward(z, dpool), strides=1, padding="same")
    numeric = numeric_gradient(lambda probe: F.softmax_cross_entropy(forward(probe)[2], labels)[0], kernel)
    assert relative_error(dkernel, numeric) < LIMIT
