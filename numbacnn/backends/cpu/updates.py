"""Parameter updates on the CPU, in place, element by element."""

import math

from numba import prange

from numbacnn.backends.cpu._jit import kernel


@kernel(parallel=True, fast_math=False)
def sgd_update(parameter, gradient, learning_rate):
    """See ``Ops.sgd_update``; flat arrays."""
    rate = parameter.dtype.type(learning_rate)
    for i in prange(parameter.size):
        parameter[i] -= rate * gradient[i]


@kernel(parallel=True, fast_math=False)
def momentum_update(parameter, velocity, gradient, learning_rate, momentum):
    """See ``Ops.momentum_update``; flat arrays."""
    rate, keep = parameter.dtype.type(learning_rate), parameter.dtype.type(momentum)
    for i in prange(parameter.size):
        velocity[i] = keep * velocity[i] - rate * gradient[i]
        parameter[i] += velocity[i]


@kernel(parallel=True, fast_math=False)
def adam_update(parameter, m, v, gradient, step_size, beta1, beta2, epsilon):
    """See ``Ops.adam_update``; flat arrays."""
    dtype = parameter.dtype.type
    step, eps = dtype(step_size), dtype(epsilon)
    new1, new2 = dtype(1 - beta1), dtype(1 - beta2)
    for i in prange(parameter.size):
        g = gradient[i]
        m[i] += new1 * (g - m[i])
        v[i] += new2 * (g * g - v[i])
        parameter[i] -= step * m[i] / (math.sqrt(v[i]) + eps)
