"""Parameter updates on the GPU, in place, one thread per element.

The rules are device functions on one element of flat arrays, so that ``tiled/dense.py`` can apply them to a gradient in
registers. Their numbers have the arrays' dtype: wider ones would widen the arithmetic.
"""

import math

import numpy as np

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import SIMULATED, cuda, device_function, kernel
from numbacnn.backends.cuda.launch import THREADS, blocks_of
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


GROUP = 3 if SIMULATED else 8
"""The most parameters of a launch: small ones take the GPU less time than a launch takes the host."""


def update_all(changes, rule, check):
    """See ``Ops.update_all``; no gradient is factored."""
    for first in range(0, len(changes), GROUP):
        group = changes[first : first + GROUP]
        flat = [[array.reshape(-1) for array in (parameter, *slots, gradient)] for parameter, slots, gradient in group]
        nothing = zeros(0, flat[0][0].dtype)
        flat += [[nothing] * len(flat[0])] * (GROUP - len(group))
        blocks = sum(blocks_of(arrays[0].size, THREADS) for arrays in flat)
        numbers = numbers_of(rule, nothing.dtype)
        launch.blocks(UPDATES[rule.kind], blocks, THREADS, *zip(*flat, strict=True), *numbers, *loss_of(check))


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


@device_function
def element_of(block, array):
    """The element of this thread, whose block is number ``block`` of an array's; -1 for none, and the blocks of the array."""
    i = block * THREADS + cuda.threadIdx.x
    return (i if block >= 0 and i < array.size else -1), (array.size + THREADS - 1) // THREADS


# The blocks of a group's first parameter come first, then those of the second, and so on. Loops over a group are unrolled.


@kernel
def _sgd(parameters, gradients, learning_rate, losses, step):
    block = cuda.blockIdx.x
    if math.isfinite(losses[step]):
        for k in range(GROUP):
            i, blocks = element_of(block, parameters[k])
            if i >= 0:
                sgd_rule(parameters[k], i, gradients[k][i], learning_rate)
            block -= blocks


@kernel
def _momentum(parameters, velocities, gradients, learning_rate, momentum, losses, step):
    block = cuda.blockIdx.x
    if math.isfinite(losses[step]):
        for k in range(GROUP):
            i, blocks = element_of(block, parameters[k])
            if i >= 0:
                momentum_rule(parameters[k], velocities[k], i, gradients[k][i], learning_rate, momentum)
            block -= blocks


@kernel
def _adam(parameters, ms, vs, gradients, step_size, new1, new2, epsilon, losses, step):
    block = cuda.blockIdx.x
    if math.isfinite(losses[step]):
        for k in range(GROUP):
            i, blocks = element_of(block, parameters[k])
            if i >= 0:
                adam_rule(parameters[k], ms[k], vs[k], i, gradients[k][i], step_size, new1, new2, epsilon)
            block -= blocks


UPDATES = {"sgd": _sgd, "momentum": _momentum, "adam": _adam}


@kernel
def _moving_average(average, value, momentum, rest, losses, step):
    i = cuda.grid(1)
    if i < average.size and math.isfinite(losses[step]):
        average[i] = average[i] * momentum + value[i] * rest
