"""Batch normalisation on the CPU. Sums over the batch are taken in fixed groups of rows, then group by group.

Loops over channels, not expressions of arrays: Numba would compile each of those on its own, and may warn that it is not parallel.
"""

import math

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.arena import arena

ROW_GROUPS = 16


def batch_norm(x, gamma, beta, epsilon):
    """See ``Ops.batch_norm``."""
    rows = x.reshape(-1, x.shape[-1])
    mean, variance = _moments(rows)
    return _normalised(x, gamma, beta, mean, variance, epsilon), mean, variance


def batch_norm_inference(x, gamma, beta, mean, variance, epsilon):
    """See ``Ops.batch_norm_inference``."""
    return _normalised(x, gamma, beta, mean, variance, epsilon)


def _normalised(x, gamma, beta, mean, variance, epsilon):
    y, channels = arena.like(x), x.shape[-1]
    _normalise(x.reshape(-1, channels), gamma, beta, mean, variance, epsilon, y.reshape(-1, channels))
    return y


def batch_norm_backward(x, gamma, mean, variance, epsilon, dy):
    """See ``Ops.batch_norm_backward``."""
    dx, channels = arena.like(x), x.shape[-1]
    rows, dy_rows, dx_rows = (each.reshape(-1, channels) for each in (x, dy, dx))
    dgamma, dbeta = _backward(rows, gamma, mean, variance, epsilon, dy_rows, dx_rows)
    return dx, dgamma, dbeta


@kernel(inline=True, fast_math=False)
def _group(group, groups, count):
    return group * count // groups, (group + 1) * count // groups


@kernel(inline=True, fast_math=False)
def _total(parts):
    total = np.zeros(parts.shape[1], parts.dtype)
    for group in range(parts.shape[0]):
        for c in range(parts.shape[1]):
            total[c] += parts[group, c]
    return total


@kernel(inline=True, fast_math=False)
def _mean(parts, count):
    total = _total(parts)
    for c in range(total.size):
        total[c] /= max(count, 1)
    return total


@kernel(parallel=True, fast_math=False)
def _moments(x):
    """Mean, then variance around that mean: two passes, as one pass cancels."""
    count, channels = x.shape
    groups = max(min(ROW_GROUPS, count), 1)
    sums = np.zeros((groups, channels), np.float64)
    for group in prange(groups):
        first, stop = _group(group, groups, count)
        for n in range(first, stop):
            for c in range(channels):
                sums[group, c] += x[n, c]
    mean = _mean(sums, count)
    squares = np.zeros((groups, channels), np.float64)
    for group in prange(groups):
        first, stop = _group(group, groups, count)
        for n in range(first, stop):
            for c in range(channels):
                squares[group, c] += (x[n, c] - mean[c]) ** 2
    return mean.astype(x.dtype), _mean(squares, count).astype(x.dtype)


@kernel(parallel=True, fast_math=False)
def _normalise(x, gamma, beta, mean, variance, epsilon, y):
    scale = np.empty_like(gamma)
    for c in range(scale.size):
        scale[c] = gamma[c] / math.sqrt(variance[c] + epsilon)
    for n in prange(x.shape[0]):
        for c in range(x.shape[1]):
            y[n, c] = (x[n, c] - mean[c]) * scale[c] + beta[c]


@kernel(parallel=True, fast_math=False)
def _backward(x, gamma, mean, variance, epsilon, dy, dx):
    """With h = (x - mean) / sd: dx = gamma / sd * (dy - mean(dy) - h * mean(dy * h)).

    Source: Ioffe & Szegedy 2015, section 3, its three chain-rule terms collected.
    """
    count, channels = x.shape
    groups = max(min(ROW_GROUPS, count), 1)
    inverse = np.empty(channels, np.float64)
    for c in range(channels):
        inverse[c] = 1.0 / math.sqrt(variance[c] + epsilon)
    dy_sums = np.zeros((groups, channels), np.float64)
    dyh_sums = np.zeros((groups, channels), np.float64)
    for group in prange(groups):
        first, stop = _group(group, groups, count)
        for n in range(first, stop):
            for c in range(channels):
                dy_sums[group, c] += dy[n, c]
                dyh_sums[group, c] += dy[n, c] * ((x[n, c] - mean[c]) * inverse[c])
    dbeta, dgamma = _total(dy_sums), _total(dyh_sums)
    for n in prange(count):
        for c in range(channels):
            h = (x[n, c] - mean[c]) * inverse[c]
            dx[n, c] = gamma[c] * inverse[c] * (dy[n, c] - dbeta[c] / count - h * dgamma[c] / count)
    return dgamma.astype(x.dtype), dbeta.astype(x.dtype)
