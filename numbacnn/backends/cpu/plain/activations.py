"""Activations on the CPU, element by element:

    relu(x) = max(0, x)     sigmoid(x) = 1 / (1 + exp(-x))     tanh(x)     softmax(x)[k] = exp(x[k]) / sum_l exp(x[l])

and relatives of the first two; ``Ops`` has their formulas.

The kernels take flat arrays, so that each is compiled once for images and rows alike.
"""

from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.arena import arena
from numbacnn.backends.cpu.plain.elementary import exp, expm1
from numbacnn.backends.cpu.plain.elementary import tanh as hyperbolic_tangent
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


def leaky_relu(x, negative_slope):
    """See ``Ops.leaky_relu``."""
    out = arena.like(x)
    _leaky_relu(x.reshape(-1), x.dtype.type(negative_slope), out.reshape(-1))
    return out


def leaky_relu_backward(y, dy, negative_slope):
    """See ``Ops.leaky_relu_backward``."""
    out = arena.like(y)
    _leaky_relu_backward(y.reshape(-1), dy.reshape(-1), y.dtype.type(negative_slope), out.reshape(-1))
    return out


def relu6(x):
    """See ``Ops.relu6``."""
    out = arena.like(x)
    _relu6(x.reshape(-1), out.reshape(-1))
    return out


def relu6_backward(y, dy):
    """See ``Ops.relu6_backward``."""
    out = arena.like(y)
    _relu6_backward(y.reshape(-1), dy.reshape(-1), out.reshape(-1))
    return out


def elu(x):
    """See ``Ops.elu``."""
    out = arena.like(x)
    _elu(x.reshape(-1), out.reshape(-1))
    return out


def elu_backward(y, dy):
    """See ``Ops.elu_backward``."""
    out = arena.like(y)
    _elu_backward(y.reshape(-1), dy.reshape(-1), out.reshape(-1))
    return out


def hard_sigmoid(x):
    """See ``Ops.hard_sigmoid``."""
    out = arena.like(x)
    _hard_sigmoid(x.reshape(-1), out.reshape(-1))
    return out


def hard_sigmoid_backward(y, dy):
    """See ``Ops.hard_sigmoid_backward``."""
    out = arena.like(y)
    _hard_sigmoid_backward(y.reshape(-1), dy.reshape(-1), out.reshape(-1))
    return out


def silu(x):
    """See ``Ops.silu``."""
    out = arena.like(x)
    _silu(x.reshape(-1), out.reshape(-1))
    return out


def silu_backward(x, dy):
    """See ``Ops.silu_backward``."""
    out = arena.like(x)
    _silu_backward(x.reshape(-1), dy.reshape(-1), out.reshape(-1))
    return out


def hard_swish(x):
    """See ``Ops.hard_swish``."""
    out = arena.like(x)
    _hard_swish(x.reshape(-1), out.reshape(-1))
    return out


def hard_swish_backward(x, dy):
    """See ``Ops.hard_swish_backward``."""
    out = arena.like(x)
    _hard_swish_backward(x.reshape(-1), dy.reshape(-1), out.reshape(-1))
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


@kernel(parallel=True)
def _relu(x, y):
    zero = x.dtype.type(0)
    for i in prange(x.size):
        # Compared with <=, NaN stays NaN.
        y[i] = zero if x[i] <= zero else x[i]


@kernel(parallel=True)
def _relu_backward(y, dy, dx):
    zero = y.dtype.type(0)
    for i in prange(y.size):
        dx[i] = dy[i] if y[i] > zero else zero


@kernel(parallel=True)
def _leaky_relu(x, slope, y):
    zero = x.dtype.type(0)
    for i in prange(x.size):
        y[i] = x[i] if x[i] > zero else slope * x[i]


@kernel(parallel=True)
def _leaky_relu_backward(y, dy, slope, dx):
    zero = y.dtype.type(0)
    for i in prange(y.size):
        dx[i] = dy[i] if y[i] > zero else slope * dy[i]


@kernel(parallel=True)
def _relu6(x, y):
    zero, six = x.dtype.type(0), x.dtype.type(6)
    for i in prange(x.size):
        y[i] = zero if x[i] <= zero else six if x[i] >= six else x[i]


@kernel(parallel=True)
def _relu6_backward(y, dy, dx):
    zero, six = y.dtype.type(0), y.dtype.type(6)
    for i in prange(y.size):
        dx[i] = dy[i] if zero < y[i] < six else zero


@kernel(parallel=True)
def _elu(x, y):
    zero = x.dtype.type(0)
    for i in prange(x.size):
        y[i] = x[i] if x[i] > zero else x.dtype.type(expm1(x[i]))


@kernel(parallel=True)
def _elu_backward(y, dy, dx):
    zero, one = y.dtype.type(0), y.dtype.type(1)
    for i in prange(y.size):
        dx[i] = dy[i] if y[i] > zero else dy[i] * (y[i] + one)


@kernel(parallel=True)
def _hard_sigmoid(x, y):
    zero, one, three, six = x.dtype.type(0), x.dtype.type(1), x.dtype.type(3), x.dtype.type(6)
    for i in prange(x.size):
        value = (x[i] + three) / six
        y[i] = zero if value <= zero else one if value >= one else value


@kernel(parallel=True)
def _hard_sigmoid_backward(y, dy, dx):
    zero, one, six = y.dtype.type(0), y.dtype.type(1), y.dtype.type(6)
    for i in prange(y.size):
        dx[i] = dy[i] / six if zero < y[i] < one else zero


@kernel(parallel=True)
def _silu(x, y):
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for i in prange(x.size):
        e = x.dtype.type(exp(-abs(x[i])))  # at most 1: cannot overflow
        s = (one if x[i] >= zero else e) / (one + e)
        y[i] = zero if s == zero else x[i] * s


@kernel(parallel=True)
def _silu_backward(x, dy, dx):
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for i in prange(x.size):
        e = x.dtype.type(exp(-abs(x[i])))
        s, t = (one, e) if x[i] >= zero else (e, one)
        s, t = s / (one + e), t / (one + e)  # sigmoid(x) and sigmoid(-x) = 1 - s
        y = zero if s == zero else x[i] * s
        dx[i] = dy[i] * (s if t == zero else s + y * t)


@kernel(parallel=True)
def _hard_swish(x, y):
    zero, three, six = x.dtype.type(0), x.dtype.type(3), x.dtype.type(6)
    for i in prange(x.size):
        y[i] = zero if x[i] <= -three else x[i] if x[i] >= three else x[i] * (x[i] + three) / six


@kernel(parallel=True)
def _hard_swish_backward(x, dy, dx):
    zero, three, six = x.dtype.type(0), x.dtype.type(3), x.dtype.type(6)
    for i in prange(x.size):
        dx[i] = zero if x[i] <= -three else dy[i] if x[i] >= three else dy[i] * ((x[i] + x[i] + three) / six)


@kernel(parallel=True)
def _sigmoid(x, y):
    one = x.dtype.type(1)
    for i in prange(x.size):
        e = x.dtype.type(exp(-abs(x[i])))  # at most 1: cannot overflow
        y[i] = (one if x[i] >= 0 else e) / (one + e)


@kernel(parallel=True)
def _sigmoid_backward(y, dy, dx):
    one = y.dtype.type(1)
    for i in prange(y.size):
        dx[i] = dy[i] * y[i] * (one - y[i])


@kernel(parallel=True)
def _tanh(x, y):
    for i in prange(x.size):
        y[i] = hyperbolic_tangent(x[i])


@kernel(parallel=True)
def _tanh_backward(y, dy, dx):
    one = y.dtype.type(1)
    for i in prange(y.size):
        dx[i] = dy[i] * (one - y[i] * y[i])


@kernel(parallel=True)
def _softmax(x, y):
    for n in prange(x.shape[0]):
        _, total = exp_shifted(x[n], y[n])
        for k in range(x.shape[1]):
            y[n, k] /= total


@kernel(parallel=True)
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


@kernel(inline=True)
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
            out[k] = exp(z[k] - z[best])
            run += out[k]
        total += run
    return best, z.dtype.type(total)
