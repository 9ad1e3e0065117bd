"""Batch normalisation on the CPU, for each channel of rows x:

    y = gamma * (x - mean) / sqrt(variance + epsilon) + beta

Channels are summed in loops: Numba would compile each array expression separately, and may warn that it is not parallel.
"""

import math

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.arena import arena
from numbacnn.backends.cpu.plain.reduction import group_count, group_range, sum_groups

LANES = 4
"""Sums of a group that rows are added to in turn: an addition need not wait for the one before."""


def batch_norm(x, gamma, beta, epsilon):
    """See ``Ops.batch_norm``."""
    rows = x.reshape(-1, x.shape[-1])
    mean, variance = _moments(rows, len(x))
    return _normalised(x, gamma, beta, mean, variance, epsilon), mean, variance


def batch_norm_inference(x, gamma, beta, mean, variance, epsilon):
    """See ``Ops.batch_norm_inference``."""
    return _normalised(x, gamma, beta, mean, variance, epsilon)


def _normalised(x, gamma, beta, mean, variance, epsilon):
    y, channels = arena.like(x), x.shape[-1]
    gamma = np.ones(channels, x.dtype) if gamma is None else gamma
    beta = np.zeros(channels, x.dtype) if beta is None else beta
    _normalise(x.reshape(-1, channels), gamma, beta, mean, variance, epsilon, y.reshape(-1, channels))
    return y


def batch_norm_backward(x, gamma, mean, variance, epsilon, dy):
    """See ``Ops.batch_norm_backward``."""
    dx, channels = arena.like(x), x.shape[-1]
    gamma = np.ones(channels, x.dtype) if gamma is None else gamma
    rows, dy_rows, dx_rows = (array.reshape(-1, channels) for array in (x, dy, dx))
    dgamma, dbeta = _backward(rows, len(x), gamma, mean, variance, epsilon, dy_rows, dx_rows)
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
def _mean(parts, count):
    total = _totals(parts)
    for c in range(total.size):
        total[c] /= max(count, 1)
    return total


@kernel(parallel=True)
def _moments(x, images):
    """Mean, then variance around that mean: a single pass would subtract two large numbers from each other."""
    count, channels = x.shape
    groups, length = group_count(images), count // max(images, 1)
    sums = np.zeros((groups, LANES, channels), np.float64)
    for group in prange(groups):
        first, stop = group_range(group, groups, images)
        for n in range(first * length, stop * length):
            for c in range(channels):
                sums[group, n % LANES, c] += x[n, c]
    mean = _mean(sums, count)
    squares = np.zeros((groups, LANES, channels), np.float64)
    for group in prange(groups):
        first, stop = group_range(group, groups, images)
        for n in range(first * length, stop * length):
            for c in range(channels):
                squares[group, n % LANES, c] += (x[n, c] - mean[c]) ** 2
    return mean.astype(x.dtype), _mean(squares, count).astype(x.dtype)


@kernel(parallel=True)
def _normalise(x, gamma, beta, mean, variance, epsilon, y):
    scale = np.empty_like(gamma)
    for c in range(scale.size):
        scale[c] = gamma[c] / math.sqrt(variance[c] + epsilon)
    for n in prange(x.shape[0]):
        for c in range(x.shape[1]):
            y[n, c] = (x[n, c] - mean[c]) * scale[c] + beta[c]


@kernel(parallel=True)
def _backward(x, images, gamma, mean, variance, epsilon, dy, dx):
    """With h = (x - mean) / sd: dx = gamma / sd * (dy - mean(dy) - h * mean(dy * h)).

    Source: Ioffe & Szegedy 2015, section 3, its three chain-rule terms collected.
    """
    count, channels = x.shape
    groups, length = group_count(images), count // max(images, 1)
    dy_sums = np.zeros((groups, LANES, channels), np.float64)
    dyx_sums = np.zeros((groups, LANES, channels), np.float64)
    for group in prange(groups):
        first, stop = group_range(group, groups, images)
        for n in range(first * length, stop * length):
            for c in range(channels):
                dy_sums[group, n % LANES, c] += dy[n, c]
                dyx_sums[group, n % LANES, c] += dy[n, c] * (x[n, c] - mean[c])
    dbeta, dgamma = _totals(dy_sums), _totals(dyx_sums)
    scale, shift, slope = np.empty_like(gamma), np.empty_like(gamma), np.empty_like(gamma)
    for c in range(channels):  # the factors of a channel: a division for each value would take longer than all else
        inverse = 1.0 / math.sqrt(variance[c] + epsilon)
        dgamma[c] *= inverse
        scale[c], shift[c], slope[c] = gamma[c] * inverse, dbeta[c] / count, inverse * dgamma[c] / count
    for n in prange(count):
        for c in range(channels):
            dx[n, c] = scale[c] * (dy[n, c] - shift[c] - (x[n, c] - mean[c]) * slope[c])
    return dgamma.astype(x.dtype), dbeta.astype(x.dtype)
