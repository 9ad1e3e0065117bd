"""Batch normalisation on the GPU. Sums over the batch are cut as in ``reduction.py``, so float32 suffices.

Forward, each part computes its own mean and then the squares around it, so that nothing cancels; the distances between the parts' means
are added when the parts are joined. All values are distances from the first row, which keep their digits where the mean is large.
Source: Chan, Golub & LeVeque 1983, "Algorithms for Computing the Sample Variance".
"""

import math

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import cuda, kernel
from numbacnn.backends.cuda.exchange import part_of
from numbacnn.backends.cuda.launch import THREADS, blocks_of
from numbacnn.backends.cuda.memory import arena, ones, zeros
from numbacnn.backends.cuda.plain.geometry import as_rows
from numbacnn.backends.cuda.plain.reduction import COLUMNS, RUN, lane_of, parts_of, rows_of_part, sum_lanes, sum_parts, total_of


def batch_norm(x, gamma, beta, epsilon, share):
    """See ``Ops.batch_norm``."""
    mean, variance = share.moments(lambda branch: moments(as_rows(part_of(x, branch))), len(as_rows(x)) // max(len(x), 1))
    return batch_norm_inference(x, gamma, beta, mean, variance, epsilon), mean, variance


def batch_norm_inference(x, gamma, beta, mean, variance, epsilon):
    """See ``Ops.batch_norm_inference``."""
    y, channels = arena.like(x), as_rows(x).shape[1]
    gamma = ones(channels, x.dtype) if gamma is None else gamma
    beta = zeros(channels, x.dtype) if beta is None else beta
    launch.over(_normalise, y.size, as_rows(x), gamma, beta, mean, variance, x.dtype.type(epsilon), as_rows(y))
    return y


def batch_norm_backward(x, gamma, mean, variance, epsilon, dy, share):
    """See ``Ops.batch_norm_backward``."""
    dx, epsilon, channels = arena.like(x), x.dtype.type(epsilon), tuple(x.shape)[-1]
    gamma = ones(channels, x.dtype) if gamma is None else gamma

    def sums_of(branch):
        rows, dy_rows = as_rows(part_of(x, branch)), as_rows(part_of(dy, branch))
        parts = arena.empty((parts_of(len(rows), channels), 2 * channels), x.dtype)
        sum_parts(_sum_gradients, channels, parts, rows, mean, variance, epsilon, dy_rows)
        return total_of(parts)

    sums, rows = share.total(sums_of), as_rows(x)
    dgamma, dbeta = sums[:channels], sums[channels:]
    count = x.dtype.type(share.batch * (len(rows) // max(len(x), 1)))
    launch.over(_input_gradient, dx.size, rows, gamma, mean, variance, epsilon, as_rows(dy), dgamma, dbeta, count, as_rows(dx))
    return dx, dgamma, dbeta


def moments(x):
    """The mean and the variance of each column."""
    count, channels = x.shape
    parts = arena.empty((parts_of(count, channels), 2 * channels), x.dtype)
    mean, variance = (arena.empty((channels,), x.dtype) for _ in range(2))
    sum_parts(_moments_of_parts, channels, parts, x)
    launch.blocks(_join_moments, (1, blocks_of(channels, COLUMNS)), THREADS, x, parts, mean, variance)
    return mean, variance


@kernel
def _moments_of_parts(x, parts):
    """parts[part] = each channel's mean over the part's rows, as a distance from x[0], and then the sum of squares around it."""
    sums = cuda.shared.array(THREADS, x.dtype)
    t = cuda.threadIdx.x
    lane, lanes, c, width = lane_of(x.shape[1])
    first, stop = rows_of_part(x.shape[0])
    is_present, rows = c < x.shape[1], x.dtype.type(max(stop - first, 1))
    mean = x.dtype.type(0)
    for squares in range(2):
        total = x.dtype.type(0)
        if lane < lanes and is_present and first < stop:
            origin = x[0, c]
            for start in range(first + lane, stop, RUN * lanes):
                run = x.dtype.type(0)
                for n in range(start, min(start + RUN * lanes, stop), lanes):
                    distance = (x[n, c] - origin) - mean
                    run += distance * distance if squares else distance
                total += run
        sums[t] = total
        sum_lanes(sums, lanes, width)
        if t < width and is_present:
            parts[cuda.blockIdx.x, squares * x.shape[1] + c] = sums[t] if squares else sums[t] / rows
        mean = sums[t % width] / rows
        cuda.syncthreads()


@kernel
def _join_moments(x, parts, mean, variance):
    """The mean and the variance of all rows of x from those of the parts."""
    sums = cuda.shared.array(THREADS, parts.dtype)
    t = cuda.threadIdx.x
    count, channels = x.shape
    lane, lanes, c, width = lane_of(channels)
    is_present, all_rows = c < channels, x.dtype.type(max(count, 1))
    centre = x.dtype.type(0)
    for squares in range(2):
        total = x.dtype.type(0)
        if lane < lanes and is_present:
            for part in range(lane, parts.shape[0], lanes):
                rows = x.dtype.type((part + 1) * count // parts.shape[0] - part * count // parts.shape[0])
                distance = parts[part, c] - centre
                total += parts[part, channels + c] + rows * distance * distance if squares else rows * distance
        sums[t] = total
        sum_lanes(sums, lanes, width)
        centre = sums[t % width] / all_rows
        if t < width and is_present:
            if squares:
                variance[c] = centre
            else:
                mean[c] = x[0, c] + centre if count else centre
        cuda.syncthreads()


@kernel
def _normalise(x, gamma, beta, mean, variance, epsilon, y):
    i = cuda.grid(1)
    n = i // x.shape[1]
    if n < x.shape[0]:
        c = i - n * x.shape[1]
        y[n, c] = (x[n, c] - mean[c]) * (gamma[c] / math.sqrt(variance[c] + epsilon)) + beta[c]


@kernel
def _sum_gradients(x, mean, variance, epsilon, dy, parts):
    """parts[part] = each channel's sum of dy * h, and then each channel's sum of dy, over the part's rows; h = (x - mean) / sd."""
    sums = cuda.shared.array(THREADS, x.dtype)
    t = cuda.threadIdx.x
    lane, lanes, c, width = lane_of(x.shape[1])
    first, stop = rows_of_part(x.shape[0])
    is_present = c < x.shape[1]
    dgamma, dbeta = x.dtype.type(0), x.dtype.type(0)
    if lane < lanes and is_present:
        inverse = x.dtype.type(1) / math.sqrt(variance[c] + epsilon)
        for start in range(first + lane, stop, RUN * lanes):
            dgamma_run, dbeta_run = x.dtype.type(0), x.dtype.type(0)
            for n in range(start, min(start + RUN * lanes, stop), lanes):
                dgamma_run += dy[n, c] * ((x[n, c] - mean[c]) * inverse)
                dbeta_run += dy[n, c]
            dgamma += dgamma_run
            dbeta += dbeta_run
    for is_beta in range(2):
        sums[t] = dbeta if is_beta else dgamma
        sum_lanes(sums, lanes, width)
        if t < width and is_present:
            parts[cuda.blockIdx.x, is_beta * x.shape[1] + c] = sums[t]
        cuda.syncthreads()


@kernel
def _input_gradient(x, gamma, mean, variance, epsilon, dy, dgamma, dbeta, count, dx):
    """With h = (x - mean) / sd: dx = gamma / sd * (dy - mean(dy) - h * mean(dy * h)).

    Source: Ioffe & Szegedy 2015, section 3, its three chain-rule terms collected.
    """
    i = cuda.grid(1)
    n = i // x.shape[1]
    if n < x.shape[0]:
        c = i - n * x.shape[1]
        inverse = x.dtype.type(1) / math.sqrt(variance[c] + epsilon)
        h = (x[n, c] - mean[c]) * inverse
        dx[n, c] = gamma[c] * inverse * (dy[n, c] - dbeta[c] / count - h * dgamma[c] / count)
