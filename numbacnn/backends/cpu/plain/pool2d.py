"""Pooling on the CPU.

    max: y[i,j,c] = max over (u, v) of x[i*s-p+u, j*s-p+v, c]          average: the mean over the same cells

Forward, a task owns one output row; backward, one image, since windows may overlap within it.

``rows`` and ``columns`` are the two axes of a ``Window2D``: Numba does not take them as one nested tuple.
"""

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.plain.reduction import run_length


@kernel(inline=True)
def _inside(i, axis):
    """The part of window ``i`` that lies inside the image: first window cell, one past the last."""
    start = i * axis.stride - axis.pad_before
    return max(0, -start), min(axis.kernel, axis.size - start)


@kernel(parallel=True)
def max_pool2d(x, rows, columns):
    """See ``Ops.max_pool2d``."""
    count, channels = x.shape[0], x.shape[3]
    y = np.empty((count, rows.out, columns.out, channels), x.dtype)
    winners = np.empty((count, rows.out, columns.out, channels), np.int32)
    for task in prange(count * rows.out):
        n = task // rows.out
        i = task - n * rows.out
        _max_pool_row(x[n], i, rows, columns, y[n, i], winners[n, i])
    return y, winners


@kernel(inline=True)
def _max_pool_row(x, i, rows, columns, y, winners):
    u0, u1 = _inside(i, rows)
    for j in range(columns.out):
        v0, v1 = _inside(j, columns)
        best, winner = y[j], winners[j]
        for c in range(best.shape[0]):
            best[c], winner[c] = -np.inf, -1
        for u in range(u0, u1):
            for v in range(v0, v1):
                cell = np.int32(u * columns.kernel + v)
                pixel = x[i * rows.stride - rows.pad_before + u, j * columns.stride - columns.pad_before + v]
                for c in range(pixel.shape[0]):
                    value = pixel[c]
                    # NaN compares false with everything, but must win and stay. -inf wins only against no winner.
                    wins = value > best[c] or winner[c] < 0 or (value != value and best[c] == best[c])
                    best[c] = value if wins else best[c]
                    winner[c] = cell if wins else winner[c]


@kernel(parallel=True)
def max_pool2d_backward(dy, winners, rows, columns):
    """See ``Ops.max_pool2d_backward``."""
    count, channels = dy.shape[0], dy.shape[3]
    dx = np.zeros((count, rows.size, columns.size, channels), dy.dtype)
    for n in prange(count):
        for i in range(rows.out):
            for j in range(columns.out):
                top, left = i * rows.stride - rows.pad_before, j * columns.stride - columns.pad_before
                for c in range(channels):
                    winner = winners[n, i, j, c]
                    if winner >= 0:
                        u = winner // columns.kernel
                        dx[n, top + u, left + winner - u * columns.kernel, c] += dy[n, i, j, c]
    return dx


@kernel(parallel=True)
def avg_pool2d(x, rows, columns, count_padding):
    """See ``Ops.avg_pool2d``."""
    count, channels = x.shape[0], x.shape[3]
    y = np.zeros((count, rows.out, columns.out, channels), x.dtype)
    for task in prange(count * rows.out):
        n = task // rows.out
        i = task - n * rows.out
        _avg_pool_row(x[n], i, rows, columns, count_padding, y[n, i])
    return y


@kernel(inline=True)
def _avg_pool_row(x, i, rows, columns, count_padding, y):
    """Large windows are summed in runs, see ``reduction.py``."""
    u0, u1 = _inside(i, rows)
    total = np.empty(y.shape[1], np.float64)
    for j in range(columns.out):
        v0, v1 = _inside(j, columns)
        mean, terms, length = y[j], 0, run_length((u1 - u0) * (v1 - v0))
        for c in range(mean.shape[0]):
            total[c] = 0
        for u in range(u0, u1):
            for v in range(v0, v1):
                if terms == length:
                    for c in range(mean.shape[0]):
                        total[c] += mean[c]
                        mean[c] = 0
                    terms = 0
                terms += 1
                pixel = x[i * rows.stride - rows.pad_before + u, j * columns.stride - columns.pad_before + v]
                for c in range(pixel.shape[0]):
                    mean[c] += pixel[c]
        cells = y.dtype.type(rows.kernel * columns.kernel if count_padding else max((u1 - u0) * (v1 - v0), 1))
        for c in range(mean.shape[0]):
            mean[c] = y.dtype.type(total[c] + mean[c]) / cells


@kernel(parallel=True)
def avg_pool2d_backward(dy, rows, columns, count_padding):
    """See ``Ops.avg_pool2d_backward``."""
    count, channels = dy.shape[0], dy.shape[3]
    dx = np.zeros((count, rows.size, columns.size, channels), dy.dtype)
    for n in prange(count):
        for i in range(rows.out):
            _share_row(dy[n, i], i, rows, columns, count_padding, dx[n])
    return dx


@kernel(inline=True)
def _share_row(dy, i, rows, columns, count_padding, dx):
    u0, u1 = _inside(i, rows)
    for j in range(columns.out):
        v0, v1 = _inside(j, columns)
        cells = dy.dtype.type(rows.kernel * columns.kernel if count_padding else max((u1 - u0) * (v1 - v0), 1))
        for u in range(u0, u1):
            for v in range(v0, v1):
                pixel = dx[i * rows.stride - rows.pad_before + u, j * columns.stride - columns.pad_before + v]
                for c in range(pixel.shape[0]):
                    pixel[c] += dy[j, c] / cells
