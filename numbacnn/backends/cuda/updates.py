"""Parameter updates on the GPU, in place, one thread per element.

The rules are device functions on one element of flat arrays, so that ``dense_tiled.py`` can apply them to each part of a gradient as
soon as it is known. Their numbers come in the arrays' own type: anything wider would make the arithmetic wide.
"""

import functools
import math

import numpy as np

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import cuda, device_function, kernel
from numbacnn.backends.cuda.memory import to_device


@device_function
def sgd_rule(parameter, i, g, learning_rate):
    """w -= lr * g"""
    parameter[i] -= learning_rate * g


@device_function
def momentum_rule(parameter, velocity, i, g, learning_rate, momentum):
    """v = momentum * v - lr * g; w += v"""
    new = momentum * velocity[i] - learning_rate * g
    velocity[i] = new
    parameter[i] += new


@device_function
def adam_rule(parameter, m, v, i, g, step_size, new1, new2, epsilon):
    """m += (1-b1) * (g - m); v += (1-b2) * (g*g - v); w -= step_size * m / (sqrt(v) + epsilon)

    ``new1`` and ``new2`` are 1-b1 and 1-b2, see ``adam_numbers``.
    """
    mean = m[i] + new1 * (g - m[i])
    square = v[i] + new2 * (g * g - v[i])
    m[i], v[i] = mean, square
    parameter[i] -= step_size * mean / (math.sqrt(square) + epsilon)


def adam_numbers(dtype, step_size, beta1, beta2, epsilon):
    """The numbers of ``adam_rule``: step_size, new1, new2, epsilon."""
    return tuple(dtype.type(number) for number in (step_size, 1 - beta1, 1 - beta2, epsilon))


def guarded(guard):
    """What a kernel is given of a guard: losses, and the place of the one that must be finite. Of None, a loss that is."""
    return (_finite_loss(), 0) if guard is None else (guard.losses, guard.step)


@functools.cache
def _finite_loss():
    return to_device(np.zeros(1, np.float32))


def sgd_update(parameter, gradient, learning_rate, guard):
    """See ``Ops.sgd_update``."""
    flat = (each.reshape(-1) for each in (parameter, gradient))
    launch.over(_sgd, parameter.size, *flat, parameter.dtype.type(learning_rate), *guarded(guard))


def momentum_update(parameter, velocity, gradient, learning_rate, momentum, guard):
    """See ``Ops.momentum_update``."""
    flat = (each.reshape(-1) for each in (parameter, velocity, gradient))
    dtype = parameter.dtype.type
    launch.over(_momentum, parameter.size, *flat, dtype(learning_rate), dtype(momentum), *guarded(guard))


def adam_update(parameter, m, v, gradient, step_size, beta1, beta2, epsilon, guard):
    """See ``Ops.adam_update``."""
    flat = (each.reshape(-1) for each in (parameter, m, v, gradient))
    numbers = adam_numbers(parameter.dtype, step_size, beta1, beta2, epsilon)
    launch.over(_adam, parameter.size, *flat, *numbers, *guarded(guard))


def moving_average_update(average, value, momentum, guard):
    """See ``Ops.moving_average_update``."""
    keep = average.dtype.type(momentum)
    launch.over(_moving_average, average.size, average, value, keep, average.dtype.type(1) - keep, *guarded(guard))


@kernel
def _sgd(parameter, gradient, learning_rate, losses, step):
    i = cuda.grid(1)
    if i < parameter.size and math.isfinite(losses[step]):
        sgd_rule(parameter, i, gradient[i], learning_rate)


@kernel
def _momentum(parameter, velocity, gradient, learning_rate, momentum, losses, step):
    i = cuda.grid(1)
    if i < parameter.size and math.isfinite(losses[step]):
        momentum_rule(parameter, velocity, i, gradient[i], learning_rate, momentum)


@kernel
def _adam(parameter, m, v, gradient, step_size, new1, new2, epsilon, losses, step):
    i = cuda.grid(1)
    if i < parameter.size and math.isfinite(losses[step]):
        adam_rule(parameter, m, v, i, gradient[i], step_size, new1, new2, epsilon)


@kernel
def _moving_average(average, value, keep, give, losses, step):
    i = cuda.grid(1)
    if i < average.size and math.isfinite(losses[step]):
        average[i] = average[i] * keep + value[i] * give
