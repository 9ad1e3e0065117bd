"""Parameter updates on the GPU, in place, one thread per element.

The rules are device functions on one element of flat arrays, so that ``tiled/dense.py`` can apply them to a gradient in
registers. Their numbers have the arrays' dtype: wider ones would widen the arithmetic.
"""

import math

import numpy as np

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import cuda, device_function, kernel
from numbacnn.backends.cuda.memory import zeros


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

    ``new1`` and ``new2`` are 1-b1 and 1-b2, see ``numbers_of``.
    """
    mean = m[i] + new1 * (g - m[i])
    square = v[i] + new2 * (g * g - v[i])
    m[i], v[i] = mean, square
    parameter[i] -= step_size * mean / (math.sqrt(square) + epsilon)


def update(parameter, slots, gradient, rule, check):
    """See ``Ops.update``."""
    flat = (array.reshape(-1) for array in (parameter, *slots, gradient))
    launch.over(UPDATES[rule.kind], parameter.size, *flat, *numbers_of(rule, parameter.dtype), *loss_of(check))


def numbers_of(rule, dtype):
    """The numbers of a rule in the arrays' dtype; Adam's kernels take 1-b1 and 1-b2."""
    numbers = rule.numbers
    if rule.kind == "adam":
        step_size, beta1, beta2, epsilon = numbers
        numbers = step_size, 1 - beta1, 1 - beta2, epsilon
    return tuple(dtype.type(number) for number in numbers)


def loss_of(check):
    """The losses of the epoch, and the position of the one that must be finite; without a check, a loss that is."""
    return (zeros(1, np.float32), 0) if check is None else (check.losses, check.step)


def moving_average_update(average, value, momentum, check):
    """See ``Ops.moving_average_update``."""
    momentum = average.dtype.type(momentum)
    args = average, value, momentum, average.dtype.type(1) - momentum
    launch.over(_moving_average, average.size, *args, *loss_of(check))


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


UPDATES = {"sgd": _sgd, "momentum": _momentum, "adam": _adam}


@kernel
def _moving_average(average, value, momentum, rest, losses, step):
    i = cuda.grid(1)
    if i < average.size and math.isfinite(losses[step]):
        average[i] = average[i] * momentum + value[i] * rest
