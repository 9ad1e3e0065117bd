"""Activations on the CPU, element by element. Compiled without fast maths: the same bits wherever a thread's share begins.

The kernels take flat arrays, so that each is compiled once for images and rows alike.
"""

import math

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel


def relu(x):
    """See ``Ops.relu``."""
    return _relu(x.reshape(-1)).reshape(x.shape)


def relu_backward(y, dy):
    """See ``Ops.relu_backward``."""
    return _relu_backward(y.reshape(-1), dy.reshape(-1)).reshape(y.shape)


def sigmoid(x):
    """See ``Ops.sigmoid``."""
    return _sigmoid(x.reshape(-1)).reshape(x.shape)


def sigmoid_backward(y, dy):
    """See ``Ops.sigmoid_backward``."""
    return _sigmoid_backward(y.reshape(-1), dy.reshape(-1)).reshape(y.shape)


def tanh(x):
    """See ``Ops.tanh``."""
    return _tanh(x.reshape(-1)).reshape(x.shape)


def tanh_backward(y, dy):
    """See ``Ops.tanh_backward``."""
    return _tanh_backward(y.reshape(-1), dy.reshape(-1)).reshape(y.shape)


def softmax(x):
    """See ``Ops.softmax``."""
    return _softmax(x.reshape(-1, x.shape[-1])).reshape(x.shape)


def softmax_backward(y, dy):
    """See ``Ops.softmax_backward``."""
    return _softmax_backward(y.reshape(-1, y.shape[-1]), dy.reshape(-1, y.shape[-1])).reshape(y.shape)


@kernel(parallel=True, fast_math=False)
def _relu(x):
    y, zero = np.empty_like(x), x.dtype.type(0)
    for i in prange(x.size):
        # Asked this way round, NaN is not replaced by zero.
        y[i] = zero if x[i] <= zero else x[i]
    return y


@kernel(parallel=True, fast_math=False)
def _relu_backward(y, dy):
    dx, zero = np.empty_like(y), y.dtype.type(0)
    for i in prange(y.size):
        dx[i] = dy[i] if y[i] > zero else zero
    return dx


@kernel(parallel=True, fast_math=False)
def _sigmoid(x):
    y, one = np.empty_like(x), x.dtype.type(1)
    for i in prange(x.size):
        e = math.exp(-abs(x[i]))  # at most 1: cannot overflow
        y[i] = (one if x[i] >= 0 else e) / (one + e)
    return y


@kernel(parallel=True, fast_math=False)
def _sigmoid_backward(y, dy):
    dx, one = np.empty_like(y), y.dtype.type(1)
    for i in prange(y.size):
        dx[i] = dy[i] * y[i] * (one - y[i])
    return dx


@kernel(parallel=True, fast_math=False)
def _tanh(x):
    y = np.empty_like(x)
    for i in prange(x.size):
        y[i] = math.tanh(x[i])
    return y


@kernel(parallel=True, fast_math=False)
def _tanh_backward(y, dy):
    dx, one = np.empty_like(y), y.dtype.type(1)
    for i in prange(y.size):
        dx[i] = dy[i] * (one - y[i] * y[i])
    return dx


@kernel(parallel=True, fast_math=False)
def _softmax(x):
    y = np.empty_like(x)
    for n in prange(x.shape[0]):
        _, total = exp_shifted(x[n], y[n])
        for k in range(x.shape[1]):
            y[n, k] /= total
    return y


@kernel(parallel=True, fast_math=False)
def _softmax_backward(y, dy):
    dx = np.empty_like(y)
    for n in prange(y.shape[0]):
        inner = y.dtype.type(0)
        for k in range(y.shape[1]):
            inner += dy[n, k] * y[n, k]
        for k in range(y.shape[1]):
            dx[n, k] = y[n, k] * (dy[n, k] - inner)
    return dx


@kernel(inline=True, fast_math=False)
def exp_shifted(z, out):
    """out[k] = exp(z[k] - max(z)): at most 1, so no logit is too large; NaN spreads. Returns the largest logit's index, and the sum."""
    best = 0
    for k in range(1, z.shape[0]):
        if z[k] > z[best]:
            best = k
    total = z.dtype.type(0)
    for k in range(z.shape[0]):
        out[k] = math.exp(z[k] - z[best])
        total += out[k]
    return best, total
