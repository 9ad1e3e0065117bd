"""Batch normalisation on the CPU, for each channel of rows x:

    y = gamma * (x - mean) / sqrt(variance + epsilon) + beta

Channels are summed in loops: Numba would compile each array expression separately, and may warn that it is not parallel. A process that
has the whole batch takes both sums, or a sum and the gradient, in one kernel; one of several exchanges sums between them.
"""

import math

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.arena import arena
from numbacnn.backends.cpu.plain.reduction import group_range, sum_groups

LANES = 4
"""Sums of a group that rows are added to in turn: an addition need not wait for the one before."""


def batch_norm(x, gamma, beta, epsilon, share):
    """See ``Ops.batch_norm``."""
    rows = x.reshape(-1, x.shape[-1])
    if share.ranks is None:
        mean, variance = _moments(rows, len(x), share.branches[0].groups)
    else:
        mean, variance = _moments_of_all(rows, rows.shape[0] // len(x), share)
    return _normalised(x, gamma, beta, mean, variance, epsilon), mean, variance


def _moments_of_all(rows, length, share):
    """``_moments`` of the whole batch; an image has ``length`` rows."""
    count = share.batch * length

    def mean_of(kernel, *numbers):
        total = share.total(lambda branch: kernel(_rows_of(branch, rows, length), branch.images, branch.groups, *numbers))
        return total / count

    mean = mean_of(_sums_of_branch)
    return mean.astype(rows.dtype), mean_of(_squares_of_branch, mean).astype(rows.dtype)


def _rows_of(branch, rows, length):
    return rows[branch.first * length : (branch.first + branch.images) * length]


def batch_norm_inference(x, gamma, beta, mean, variance, epsilon):
    """See ``Ops.batch_norm_inference``."""
    return _normalised(x, gamma, beta, mean, variance, epsilon)


def _normalised(x, gamma, beta, mean, variance, epsilon):
    y, channels = arena.like(x), x.shape[-1]
    gamma = np.ones(channels, x.dtype) if gamma is None else gamma
    beta = np.zeros(channels, x.dtype) if beta is None else beta
    _normalise(x.reshape(-1, channels), gamma, beta, mean, variance, epsilon, y.reshape(-1, channels))
    return y


def batch_norm_backward(x, gamma, mean, variance, epsilon, dy, share):
    """See ``Ops.batch_norm_backward``."""
    dx, channels = arena.like(x), x.shape[-1]
    gamma = np.ones(channels, x.dtype) if gamma is None else gamma
    rows, dy_rows, dx_rows = (array.reshape(-1, channels) for array in (x, dy, dx))
    length = rows.shape[0] // max(len(x), 1)
    if share.ranks is None:
        groups = share.branches[0].groups
        dgamma, dbeta = _backward(rows, len(x), groups, gamma, mean, variance, epsilon, dy_rows, dx_rows)
        return dx, dgamma, dbeta

    def of_branch(branch):
        own = (_rows_of(branch, array, length) for array in (rows, dy_rows))
        return _products_of_branch(*own, branch.images, branch.groups, mean)

    sums = share.total(of_branch)
    dgamma, dbeta = _input_gradient(rows, sums, share.batch * length, gamma, mean, variance, epsilon, dy_rows, dx_rows)
    return dx, dgamma, dbeta


@kernel(inline=True)
def _totals(parts):
    """The sums of all groups, from LANES sums of each."""
    sums = np.zeros((parts.shape[0], parts.shape[2]), np.float64)
    for group in range(parts.shape[0]):
        for lane in range(LANES):
            for c in range(parts.shape[2]):
                sums[group, c] += parts[group, lane, c]
    return sum_groups(sums)


@kernel(inline=True)
def _divided(total, count):
    for c in range(total.size):
        total[c] /= max(count, 1)
    return total


@kernel(inline="always")
def _sums(x, images, groups):
    """The sum of each channel over a branch of the batch, float64 (channels,)."""
    channels, length = x.shape[1], x.shape[0] // max(images, 1)
    sums = np.zeros((groups, LANES, channels), np.float64)
    for group in prange(groups):
        first, stop = group_range(group, groups, images)
        for n in range(first * length, stop * length):
            for c in range(channels):
                sums[group, n % LANES, c] += x[n, c]
    return _totals(sums)


@kernel(inline="always")
def _squares(x, images, groups, mean):
    """The same, of squares of the distance from the mean: from squares of x, two large numbers would be subtracted."""
    channels, length = x.shape[1], x.shape[0] // max(images, 1)
    squares = np.zeros((groups, LANES, channels), np.float64)
    for group in prange(groups):
        first, stop = group_range(group, groups, images)
        for n in range(first * length, stop * length):
            for c in range(channels):
                squares[group, n % LANES, c] += (x[n, c] - mean[c]) ** 2
    return _totals(squares)


@kernel(inline="always")
def _products(x, dy, images, groups, mean):
    """The sums of dy, and of dy * (x - mean), float64 (2, channels)."""
    channels, length = x.shape[1], x.shape[0] // max(images, 1)
    dy_sums = np.zeros((groups, LANES, channels), np.float64)
    dyx_sums = np.zeros((groups, LANES, channels), np.float64)
    for group in prange(groups):
        first, stop = group_range(group, groups, images)
        for n in range(first * length, stop * length):
            for c in range(channels):
                dy_sums[group, n % LANES, c] += dy[n, c]
                dyx_sums[group, n % LANES, c] += dy[n, c] * (x[n, c] - mean[c])
    of_dy, of_products = _totals(dy_sums), _totals(dyx_sums)
    sums = np.empty((2, channels), np.float64)
    for c in range(channels):
        sums[0, c], sums[1, c] = of_dy[c], of_products[c]
    return sums


@kernel(inline="always")
def _gradients(x, sums, count, gamma, mean, variance, epsilon, dy, dx):
    """With h = (x - mean) / sd: dx = gamma / sd * (dy - mean(dy) - h * mean(dy * h)); returns dgamma and dbeta.

    Source: Ioffe & Szegedy 2015, section 3, its three chain-rule terms collected.
    """
    scale, shift, slope = np.empty_like(gamma), np.empty_like(gamma), np.empty_like(gamma)
    dgamma, dbeta = np.empty_like(gamma), np.empty_like(gamma)
    for c in range(gamma.size):  # the factors of a channel: a division for each value would take longer than all else
        inverse = 1.0 / math.sqrt(variance[c] + epsilon)
        product = sums[1, c] * inverse
        dbeta[c], dgamma[c] = sums[0, c], product
        scale[c], shift[c], slope[c] = gamma[c] * inverse, sums[0, c] / count, inverse * product / count
    for n in prange(x.shape[0]):
        for c in range(x.shape[1]):
            dx[n, c] = scale[c] * (dy[n, c] - shift[c] - (x[n, c] - mean[c]) * slope[c])
    return dgamma, dbeta


@kernel(parallel=True)
def _moments(x, images, groups):
    """Mean and variance of the whole batch."""
    mean = _divided(_sums(x, images, groups), x.shape[0])
    variance = _divided(_squares(x, images, groups, mean), x.shape[0])
    return mean.astype(x.dtype), variance.astype(x.dtype)


@kernel(parallel=True)
def _backward(x, images, groups, gamma, mean, variance, epsilon, dy, dx):
    return _gradients(x, _products(x, dy, images, groups, mean), x.shape[0], gamma, mean, variance, epsilon, dy, dx)


@kernel(parallel=True)
def _sums_of_branch(x, images, groups):
    return _sums(x, images, groups)


@kernel(parallel=True)
def _squares_of_branch(x, images, groups, mean):
    return _squares(x, images, groups, mean)


@kernel(parallel=True)
def _products_of_branch(x, dy, images, groups, mean):
    return _products(x, dy, images, groups, mean)


@kernel(parallel=True)
def _input_gradient(x, sums, count, gamma, mean, variance, epsilon, dy, dx):
    return _gradients(x, sums, count, gamma, mean, variance, epsilon, dy, dx)


@kernel(parallel=True)
def _normalise(x, gamma, beta, mean, variance, epsilon, y):
    scale = np.empty_like(gamma)
    for c in range(scale.size):
        scale[c] = gamma[c] / math.sqrt(variance[c] + epsilon)
    for n in prange(x.shape[0]):
        for c in range(x.shape[1]):
            y[n, c] = (x[n, c] - mean[c]) * scale[c] + beta[c]
