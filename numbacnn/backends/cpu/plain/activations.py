"""Activations on the CPU, element by element:

    relu(x) = max(0, x)     sigmoid(x) = 1 / (1 + exp(-x))     tanh(x)     softmax(x)[k] = exp(x[k]) / sum_l exp(x[l])

Compiled without fast maths, so that the bits do not depend on where a thread's slice begins.

The kernels take flat arrays, so that each is compiled once for images and rows alike.
"""

import math

from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.arena import arena
from numbacnn.backends.cpu.plain.reduction import run_length


def relu(x):
    """See ``Ops.relu``."""
    out = arena.like(x)
    _relu(x.reshape(-1), out.reshape(-1))
    return out


def relu_backward(y, dy):
    """See ``Ops.relu_backward``."""
    out = arena.like(y)
    _relu_backward(y.reshape(-1), dy.reshape(-1), out.reshape(-1))
    return out


def sigmoid(x):
    """See ``Ops.sigmoid``."""
    out = arena.like(x)
    _sigmoid(x.reshape(-1), out.reshape(-1))
    return out


def sigmoid_backward(y, dy):
    """See ``Ops.sigmoid_backward``."""
    out = arena.like(y)
    _sigmoid_backward(y.reshape(-1), dy.reshape(-1), out.reshape(-1))
    return out


def tanh(x):
    """See ``Ops.tanh``."""
    out = arena.like(x)
    _tanh(x.reshape(-1), out.reshape(-1))
    return out


def tanh_backward(y, dy):
    """See ``Ops.tanh_backward``."""
    out = arena.like(y)
    _tanh_backward(y.reshape(-1), dy.reshape(-1), out.reshape(-1))
    return out


def softmax(x):
    """See ``Ops.softmax``."""
    out = arena.like(x)
    _softmax(x.reshape(-1, x.shape[-1]), out.reshape(-1, x.shape[-1]))
    return out


def softmax_backward(y, dy):
    """See ``Ops.softmax_backward``."""
    out = arena.like(y)
    _softmax_backward(y.reshape(-1, y.shape[-1]), dy.reshape(-1, y.shape[-1]), out.reshape(-1, y.shape[-1]))
    return out


@kernel(parallel=True, fast_math=False)
def _relu(x, y):
    zero = x.dtype.type(0)
    for i in prange(x.size):
        # Compared with <=, NaN stays NaN.
        y[i] = zero if x[i] <= zero else x[i]


@kernel(parallel=True, fast_math=False)
def _relu_backward(y, dy, dx):
    zero = y.dtype.type(0)
    for i in prange(y.size):
        dx[i] = dy[i] if y[i] > zero else zero


@kernel(parallel=True, fast_math=False)
def _sigmoid(x, y):
    one = x.dtype.type(1)
    for i in prange(x.size):
        e = math.exp(-abs(x[i]))  # at most 1: cannot overflow
        y[i] = (one if x[i] >= 0 else e) / (one + e)


@kernel(parallel=True, fast_math=False)
def _sigmoid_backward(y, dy, dx):
    one = y.dtype.type(1)
    for i in prange(y.size):
        dx[i] = dy[i] * y[i] * (one - y[i])


@kernel(parallel=True, fast_math=False)
def _tanh(x, y):
    for i in prange(x.size):
        y[i] = math.tanh(x[i])


@kernel(parallel=True, fast_math=False)
def _tanh_backward(y, dy, dx):
    one = y.dtype.type(1)
    for i in prange(y.size):
        dx[i] = dy[i] * (one - y[i] * y[i])


@kernel(parallel=True, fast_math=False)
def _softmax(x, y):
    for n in prange(x.shape[0]):
        _, total = exp_shifted(x[n], y[n])
        for k in range(x.shape[1]):
            y[n, k] /= total


@kernel(parallel=True, fast_math=False)
def _softmax_backward(y, dy, dx):
    for n in prange(y.shape[0]):
        total, length = 0.0, run_length(y.shape[1])
        for first in range(0, y.shape[1], length):
            run = y.dtype.type(0)
            for k in range(first, min(first + length, y.shape[1])):
                run += dy[n, k] * y[n, k]
            total += run
        inner = y.dtype.type(total)
        for k in range(y.shape[1]):
            dx[n, k] = y[n, k] * (dy[n, k] - inner)


@kernel(inline=True, fast_math=False)
def exp_shifted(z, out):
    """out[k] = exp(z[k] - max(z)), at most 1 for any logit; NaN spreads. Returns the index of the largest logit, and the sum of out."""
    best = 0
    for k in range(1, z.shape[0]):
        if z[k] > z[best]:
            best = k
    total, length = 0.0, run_length(z.shape[0])
    for first in range(0, z.shape[0], length):
        run = z.dtype.type(0)
        for k in range(first, min(first + length, z.shape[0])):
            out[k] = math.exp(z[k] - z[best])
            run += out[k]
        total += run
    return best, z.dtype.type(total)
