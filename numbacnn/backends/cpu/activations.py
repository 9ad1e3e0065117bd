"""Activations on the CPU, element by element. Compiled without fast maths: the same bits wherever a thread's share begins."""

import math

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel


@kernel(parallel=True, fast_math=False)
def relu(x):
    """See ``Ops.relu``."""
    flat, y = x.ravel(), np.empty(x.size, x.dtype)
    zero = x.dtype.type(0)
    for i in prange(x.size):
        # Asked this way round, NaN is not replaced by zero.
        y[i] = zero if flat[i] <= zero else flat[i]
    return y.reshape(x.shape)


@kernel(parallel=True, fast_math=False)
def relu_backward(y, dy):
    """See ``Ops.relu_backward``."""
    flat, gradient, dx = y.ravel(), dy.ravel(), np.empty(y.size, y.dtype)
    zero = y.dtype.type(0)
    for i in prange(y.size):
        dx[i] = gradient[i] if flat[i] > zero else zero
    return dx.reshape(y.shape)


@kernel(parallel=True, fast_math=False)
def sigmoid(x):
    """See ``Ops.sigmoid``."""
    flat, y = x.ravel(), np.empty(x.size, x.dtype)
    one = x.dtype.type(1)
    for i in prange(x.size):
        e = math.exp(-abs(flat[i]))  # at most 1: cannot overflow
        y[i] = (one if flat[i] >= 0 else e) / (one + e)
    return y.reshape(x.shape)


@kernel(parallel=True, fast_math=False)
def sigmoid_backward(y, dy):
    """See ``Ops.sigmoid_backward``."""
    flat, gradient, dx = y.ravel(), dy.ravel(), np.empty(y.size, y.dtype)
    one = y.dtype.type(1)
    for i in prange(y.size):
        dx[i] = gradient[i] * flat[i] * (one - flat[i])
    return dx.reshape(y.shape)


@kernel(parallel=True, fast_math=False)
def tanh(x):
    """See ``Ops.tanh``."""
    flat, y = x.ravel(), np.empty(x.size, x.dtype)
    for i in prange(x.size):
        y[i] = math.tanh(flat[i])
    return y.reshape(x.shape)


@kernel(parallel=True, fast_math=False)
def tanh_backward(y, dy):
    """See ``Ops.tanh_backward``."""
    flat, gradient, dx = y.ravel(), dy.ravel(), np.empty(y.size, y.dtype)
    one = y.dtype.type(1)
    for i in prange(y.size):
        dx[i] = gradient[i] * (one - flat[i] * flat[i])
    return dx.reshape(y.shape)


@kernel(parallel=True, fast_math=False)
def softmax(x):
    """See ``Ops.softmax``."""
    rows, y = x.reshape(-1, x.shape[-1]), np.empty((x.size // x.shape[-1], x.shape[-1]), x.dtype)
    for n in prange(rows.shape[0]):
        exp_shifted(rows[n], y[n])
        y[n] /= y[n].sum()
    return y.reshape(x.shape)


@kernel(parallel=True, fast_math=False)
def softmax_backward(y, dy):
    """See ``Ops.softmax_backward``."""
    rows, gradient = y.reshape(-1, y.shape[-1]), dy.reshape(-1, y.shape[-1])
    dx = np.empty(rows.shape, y.dtype)
    for n in prange(rows.shape[0]):
        inner = y.dtype.type(0)
        for k in range(rows.shape[1]):
            inner += gradient[n, k] * rows[n, k]
        for k in range(rows.shape[1]):
            dx[n, k] = rows[n, k] * (gradient[n, k] - inner)
    return dx.reshape(y.shape)


@kernel(inline=True, fast_math=False)
def exp_shifted(z, out):
    """out[k] = exp(z[k] - max(z)): at most 1, so no logit is too large. Returns the largest logit's index; NaN spreads."""
    best = 0
    for k in range(1, z.shape[0]):
        if z[k] > z[best]:
            best = k
    for k in range(z.shape[0]):
        out[k] = math.exp(z[k] - z[best])
    return best
