"""Activations on the GPU, one thread per element; softmax, one thread per row.

The kernels take flat arrays, so that each is compiled once for images and rows alike.
"""

import math

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import cuda, device_function, kernel
from numbacnn.backends.cuda.memory import arena
from numbacnn.backends.cuda.plain.geometry import as_rows
from numbacnn.backends.cuda.plain.reduction import LONG_RUN


def relu(x):
    """See ``Ops.relu``."""
    return _elementwise(_relu, x)


def relu_backward(y, dy):
    """See ``Ops.relu_backward``."""
    return _elementwise(_relu_backward, y, dy)


def leaky_relu(x, negative_slope):
    """See ``Ops.leaky_relu``."""
    return _elementwise(_leaky_relu, x, numbers=(x.dtype.type(negative_slope),))


def leaky_relu_backward(y, dy, negative_slope):
    """See ``Ops.leaky_relu_backward``."""
    return _elementwise(_leaky_relu_backward, y, dy, numbers=(y.dtype.type(negative_slope),))


def relu6(x):
    """See ``Ops.relu6``."""
    return _elementwise(_relu6, x)


def relu6_backward(y, dy):
    """See ``Ops.relu6_backward``."""
    return _elementwise(_relu6_backward, y, dy)


def elu(x):
    """See ``Ops.elu``."""
    return _elementwise(_elu, x)


def elu_backward(y, dy):
    """See ``Ops.elu_backward``."""
    return _elementwise(_elu_backward, y, dy)


def hard_sigmoid(x):
    """See ``Ops.hard_sigmoid``."""
    return _elementwise(_hard_sigmoid, x)


def hard_sigmoid_backward(y, dy):
    """See ``Ops.hard_sigmoid_backward``."""
    return _elementwise(_hard_sigmoid_backward, y, dy)


def silu(x):
    """See ``Ops.silu``."""
    return _elementwise(_silu, x)


def silu_backward(x, dy):
    """See ``Ops.silu_backward``."""
    return _elementwise(_silu_backward, x, dy)


def hard_swish(x):
    """See ``Ops.hard_swish``."""
    return _elementwise(_hard_swish, x)


def hard_swish_backward(x, dy):
    """See ``Ops.hard_swish_backward``."""
    return _elementwise(_hard_swish_backward, x, dy)


def sigmoid(x):
    """See ``Ops.sigmoid``."""
    return _elementwise(_sigmoid, x)


def sigmoid_backward(y, dy):
    """See ``Ops.sigmoid_backward``."""
    return _elementwise(_sigmoid_backward, y, dy)


def tanh(x):
    """See ``Ops.tanh``."""
    return _elementwise(_tanh, x)


def tanh_backward(y, dy):
    """See ``Ops.tanh_backward``."""
    return _elementwise(_tanh_backward, y, dy)


def softmax(x):
    """See ``Ops.softmax``."""
    return _row_by_row(_softmax, x)


def softmax_backward(y, dy):
    """See ``Ops.softmax_backward``."""
    return _row_by_row(_softmax_backward, y, dy)


def _elementwise(kernel, *arguments, numbers=()):
    out = arena.like(arguments[0])
    launch.over(kernel, out.size, *numbers, *(array.reshape(-1) for array in (*arguments, out)))
    return out


def _row_by_row(kernel, *arguments):
    out = arena.like(arguments[0])
    rows = [as_rows(array) for array in (*arguments, out)]
    launch.over(kernel, len(rows[0]), *rows)
    return out


@kernel
def _relu(x, y):
    i = cuda.grid(1)
    if i < x.size:
        # Asked this way round, NaN is not replaced by zero.
        y[i] = x.dtype.type(0) if x[i] <= 0 else x[i]


@kernel
def _relu_backward(y, dy, dx):
    i = cuda.grid(1)
    if i < y.size:
        dx[i] = dy[i] if y[i] > 0 else y.dtype.type(0)


@kernel
def _leaky_relu(slope, x, y):
    i = cuda.grid(1)
    if i < x.size:
        zero = x.dtype.type(0)
        y[i] = x[i] if x[i] > zero else slope * x[i]


@kernel
def _leaky_relu_backward(slope, y, dy, dx):
    i = cuda.grid(1)
    if i < y.size:
        zero = y.dtype.type(0)
        dx[i] = dy[i] if y[i] > zero else slope * dy[i]


@kernel
def _relu6(x, y):
    i = cuda.grid(1)
    if i < x.size:
        zero, six = x.dtype.type(0), x.dtype.type(6)
        y[i] = zero if x[i] <= zero else six if x[i] >= six else x[i]


@kernel
def _relu6_backward(y, dy, dx):
    i = cuda.grid(1)
    if i < y.size:
        zero, six = y.dtype.type(0), y.dtype.type(6)
        dx[i] = dy[i] if zero < y[i] < six else zero


@kernel
def _elu(x, y):
    i = cuda.grid(1)
    if i < x.size:
        zero = x.dtype.type(0)
        y[i] = x[i] if x[i] > zero else math.expm1(x[i])


@kernel
def _elu_backward(y, dy, dx):
    i = cuda.grid(1)
    if i < y.size:
        zero, one = y.dtype.type(0), y.dtype.type(1)
        dx[i] = dy[i] if y[i] > zero else dy[i] * (y[i] + one)


@kernel
def _hard_sigmoid(x, y):
    i = cuda.grid(1)
    if i < x.size:
        zero, one, three, six = x.dtype.type(0), x.dtype.type(1), x.dtype.type(3), x.dtype.type(6)
        value = (x[i] + three) / six
        y[i] = zero if value <= zero else one if value >= one else value


@kernel
def _hard_sigmoid_backward(y, dy, dx):
    i = cuda.grid(1)
    if i < y.size:
        zero, one, six = y.dtype.type(0), y.dtype.type(1), y.dtype.type(6)
        dx[i] = dy[i] / six if zero < y[i] < one else zero


@kernel
def _silu(x, y):
    i = cuda.grid(1)
    if i < x.size:
        zero, one = x.dtype.type(0), x.dtype.type(1)
        e = math.exp(-abs(x[i]))  # at most 1: cannot overflow
        s = (one if x[i] >= zero else e) / (one + e)
        y[i] = zero if s == zero else x[i] * s


@kernel
def _silu_backward(x, dy, dx):
    i = cuda.grid(1)
    if i < x.size:
        zero, one = x.dtype.type(0), x.dtype.type(1)
        e = math.exp(-abs(x[i]))
        s, t = (one, e) if x[i] >= zero else (e, one)
        s, t = s / (one + e), t / (one + e)  # sigmoid(x) and sigmoid(-x) = 1 - s
        y = zero if s == zero else x[i] * s
        dx[i] = dy[i] * (s if t == zero else s + y * t)


@kernel
def _hard_swish(x, y):
    i = cuda.grid(1)
    if i < x.size:
        zero, three, six = x.dtype.type(0), x.dtype.type(3), x.dtype.type(6)
        y[i] = zero if x[i] <= -three else x[i] if x[i] >= three else x[i] * (x[i] + three) / six


@kernel
def _hard_swish_backward(x, dy, dx):
    i = cuda.grid(1)
    if i < x.size:
        zero, three, six = x.dtype.type(0), x.dtype.type(3), x.dtype.type(6)
        dx[i] = zero if x[i] <= -three else dy[i] if x[i] >= three else dy[i] * ((x[i] + x[i] + three) / six)


@kernel
def _sigmoid(x, y):
    i = cuda.grid(1)
    if i < x.size:
        one = x.dtype.type(1)
        e = math.exp(-abs(x[i]))  # at most 1: cannot overflow
        y[i] = (one if x[i] >= 0 else e) / (one + e)


@kernel
def _sigmoid_backward(y, dy, dx):
    i = cuda.grid(1)
    if i < y.size:
        dx[i] = dy[i] * y[i] * (y.dtype.type(1) - y[i])


@kernel
def _tanh(x, y):
    i = cuda.grid(1)
    if i < x.size:
        y[i] = math.tanh(x[i])


@kernel
def _tanh_backward(y, dy, dx):
    i = cuda.grid(1)
    if i < y.size:
        dx[i] = dy[i] * (y.dtype.type(1) - y[i] * y[i])


@kernel
def _softmax(x, y):
    n = cuda.grid(1)
    if n < x.shape[0]:
        _, total = exp_shifted(x, n, y)
        for k in range(x.shape[1]):
            y[n, k] /= total


@kernel
def _softmax_backward(y, dy, dx):
    n = cuda.grid(1)
    if n < y.shape[0]:
        inner = y.dtype.type(0)
        for first in range(0, y.shape[1], LONG_RUN):
            run = y.dtype.type(0)
            for k in range(first, min(first + LONG_RUN, y.shape[1])):
                run += dy[n, k] * y[n, k]
            inner += run
        for k in range(y.shape[1]):
            dx[n, k] = y[n, k] * (dy[n, k] - inner)


@device_function
def exp_shifted(z, n, out):
    """out[n, k] = exp(z[n, k] - max(z[n])): at most 1, so no logit is too large; NaN spreads.

    Returns the largest logit's index, and the sum.
    """
    best = 0
    for k in range(1, z.shape[1]):
        if z[n, k] > z[n, best]:
            best = k
    total = z.dtype.type(0)
    for first in range(0, z.shape[1], LONG_RUN):
        run = z.dtype.type(0)
        for k in range(first, min(first + LONG_RUN, z.shape[1])):
            out[n, k] = math.exp(z[n, k] - z[n, best])
            run += out[n, k]
        total += run
    return best, total
