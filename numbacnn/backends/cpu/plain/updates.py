"""Parameter updates on the CPU, in place, element by element: w -= lr * g, and its relatives.

The rules are functions of a run of values, so that ``products/dense.py`` can apply them to each part of a gradient as soon as it is
computed. They have equal bits from every caller.
"""

import math

from numba import prange

from numbacnn.backends.cpu._jit import kernel

TASK_VALUES = 16384
"""Values of one task: smaller parameters are not worth waking a thread."""


@kernel(inline=True)
def sgd_rule(parameter, gradient, learning_rate):
    """w -= lr * g"""
    rate = parameter.dtype.type(learning_rate)
    for i in range(parameter.size):
        parameter[i] -= rate * gradient[i]


@kernel(inline=True)
def momentum_rule(parameter, velocity, gradient, learning_rate, momentum):
    """v = momentum * v - lr * g; w += v"""
    rate, decay = parameter.dtype.type(learning_rate), parameter.dtype.type(momentum)
    for i in range(parameter.size):
        velocity[i] = decay * velocity[i] - rate * gradient[i]
        parameter[i] += velocity[i]


@kernel(inline=True)
def adam_rule(parameter, m, v, gradient, step_size, beta1, beta2, epsilon):
    """m += (1-b1) * (g - m); v += (1-b2) * (g*g - v); w -= step_size * m / (sqrt(v) + epsilon)"""
    dtype = parameter.dtype.type
    step, eps = dtype(step_size), dtype(epsilon)
    new1, new2 = dtype(1 - beta1), dtype(1 - beta2)
    for i in range(parameter.size):
        g = gradient[i]
        m[i] += new1 * (g - m[i])
        v[i] += new2 * (g * g - v[i])
        parameter[i] -= step * m[i] / (math.sqrt(v[i]) + eps)


def update(parameter, slots, gradient, rule):
    """See ``Ops.update``."""
    UPDATES[rule.kind](*(array.reshape(-1) for array in (parameter, *slots, gradient)), *rule.numbers)


@kernel(parallel=True)
def _sgd(parameter, gradient, learning_rate):
    for task in prange((parameter.size + TASK_VALUES - 1) // TASK_VALUES):
        first, stop = task * TASK_VALUES, min((task + 1) * TASK_VALUES, parameter.size)
        sgd_rule(parameter[first:stop], gradient[first:stop], learning_rate)


@kernel(parallel=True)
def _momentum(parameter, velocity, gradient, learning_rate, momentum):
    for task in prange((parameter.size + TASK_VALUES - 1) // TASK_VALUES):
        first, stop = task * TASK_VALUES, min((task + 1) * TASK_VALUES, parameter.size)
        momentum_rule(parameter[first:stop], velocity[first:stop], gradient[first:stop], learning_rate, momentum)


@kernel(parallel=True)
def _adam(parameter, m, v, gradient, step_size, beta1, beta2, epsilon):
    for task in prange((parameter.size + TASK_VALUES - 1) // TASK_VALUES):
        first, stop = task * TASK_VALUES, min((task + 1) * TASK_VALUES, parameter.size)
        adam_rule(parameter[first:stop], m[first:stop], v[first:stop], gradient[first:stop], step_size, beta1, beta2, epsilon)


UPDATES = {"sgd": _sgd, "momentum": _momentum, "adam": _adam}


@kernel(parallel=True)
def moving_average_update(average, value, momentum):
    """See ``Ops.moving_average_update``."""
    weight = average.dtype.type(momentum)
    for c in prange(average.size):
        average[c] = average[c] * weight + value[c] * (average.dtype.type(1) - weight)
