"""Dense layers on the GPU, the readable version: one thread per value, and a plain sum.

``dense_tiled.py`` is the fast one; this is what it is checked against.
"""

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import cuda, kernel
from numbacnn.backends.cuda.conv2d import sum_pixels, zeros
from numbacnn.backends.cuda.memory import arena


def dense(x, weights, bias):
    """See ``Ops.dense``."""
    y = arena.empty((x.shape[0], weights.shape[1]), x.dtype)
    launch.over(_dense, y.size, x, weights, zeros(weights.shape[1], x.dtype) if bias is None else bias, y)
    return y


def dense_backward(x, weights, dy, needs_dx):
    """See ``Ops.dense_backward``."""
    dx = _input_gradient(dy, weights) if needs_dx else None
    return dx, _weight_gradient(x, dy), sum_pixels(dy)


def _input_gradient(dy, weights):
    dx = arena.empty((dy.shape[0], weights.shape[0]), dy.dtype)
    launch.over(_dense_input_gradient, dx.size, dy, weights, dx)
    return dx


def _weight_gradient(x, dy):
    dweights = arena.empty((x.shape[1], dy.shape[1]), x.dtype)
    launch.over(_dense_weight_gradient, dweights.size, x, dy, dweights)
    return dweights


@kernel
def _dense(x, weights, bias, y):
    """y[n, f] = bias[f] + sum_k x[n, k] * weights[k, f]"""
    i = cuda.grid(1)
    n = i // y.shape[1]
    if n < y.shape[0]:
        f = i - n * y.shape[1]
        total = bias[f]
        for k in range(x.shape[1]):
            total += x[n, k] * weights[k, f]
        y[n, f] = total


@kernel
def _dense_input_gradient(dy, weights, dx):
    """dx[n, k] = sum_f dy[n, f] * weights[k, f]"""
    i = cuda.grid(1)
    n = i // dx.shape[1]
    if n < dx.shape[0]:
        k = i - n * dx.shape[1]
        total = dx.dtype.type(0)
        for f in range(dy.shape[1]):
            total += dy[n, f] * weights[k, f]
        dx[n, k] = total


@kernel
def _dense_weight_gradient(x, dy, dweights):
    """dweights[k, f] = sum_n x[n, k] * dy[n, f]"""
    i = cuda.grid(1)
    k = i // dweights.shape[1]
    if k < dweights.shape[0]:
        f = i - k * dweights.shape[1]
        total = dweights.dtype.type(0)
        for n in range(x.shape[0]):
            total += x[n, k] * dy[n, f]
        dweights[k, f] = total
