"""Pooling on the GPU. Forward, a thread owns one output cell; backward, one input cell, and gathers from the windows that cover it.

``rows`` and ``columns`` are the two axes of a ``Window2D``: Numba does not accept a nested tuple.
"""

import numpy as np

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import cuda, kernel
from numbacnn.backends.cuda.memory import arena
from numbacnn.backends.cuda.plain.geometry import cell_of, covering, inside
from numbacnn.backends.cuda.plain.reduction import LONG_RUN


def max_pool2d(x, rows, columns):
    """See ``Ops.max_pool2d``."""
    y = _output(x, rows, columns)
    winners = arena.empty(y.shape, np.int32)
    launch.over(_max_pool, y.size, x, rows, columns, y, winners)
    return y, winners


def max_pool2d_backward(dy, winners, rows, columns):
    """See ``Ops.max_pool2d_backward``."""
    dx = _input(dy, rows, columns)
    launch.over(_max_pool_backward, dx.size, dy, winners, rows, columns, dx)
    return dx


def avg_pool2d(x, rows, columns, count_padding):
    """See ``Ops.avg_pool2d``."""
    y = _output(x, rows, columns)
    launch.over(_avg_pool, y.size, x, rows, columns, count_padding, y)
    return y


def avg_pool2d_backward(dy, rows, columns, count_padding):
    """See ``Ops.avg_pool2d_backward``."""
    dx = _input(dy, rows, columns)
    launch.over(_avg_pool_backward, dx.size, dy, rows, columns, count_padding, dx)
    return dx


def _output(x, rows, columns):
    return arena.empty((x.shape[0], rows.out, columns.out, x.shape[3]), x.dtype)


def _input(dy, rows, columns):
    return arena.empty((dy.shape[0], rows.size, columns.size, dy.shape[3]), dy.dtype)


@kernel
def _max_pool(x, rows, columns, y, winners):
    n, i, j, c = cell_of(cuda.grid(1), rows.out, columns.out, x.shape[3])
    if n < x.shape[0]:
        r0, r1 = inside(i, rows)
        q0, q1 = inside(j, columns)
        best, winner = x.dtype.type(-np.inf), -1
        for r in range(r0, r1):
            for q in range(q0, q1):
                value = x[n, r, q, c]
                # NaN compares false with everything, yet must win and stay the winner. -inf wins only if no value has won yet.
                if value > best or winner < 0 or (value != value and best == best):
                    u, v = r - i * rows.stride + rows.pad_before, q - j * columns.stride + columns.pad_before
                    best, winner = value, u * columns.kernel + v
        y[n, i, j, c], winners[n, i, j, c] = best, winner


@kernel
def _max_pool_backward(dy, winners, rows, columns, dx):
    n, r, q, c = cell_of(cuda.grid(1), rows.size, columns.size, dx.shape[3])
    if n < dx.shape[0]:
        i0, i1 = covering(r, rows)
        j0, j1 = covering(q, columns)
        total = dx.dtype.type(0)
        for i in range(i0, i1):
            for j in range(j0, j1):
                u, v = r - i * rows.stride + rows.pad_before, q - j * columns.stride + columns.pad_before
                if winners[n, i, j, c] == u * columns.kernel + v:
                    total += dy[n, i, j, c]
        dx[n, r, q, c] = total


@kernel
def _avg_pool(x, rows, columns, count_padding, y):
    n, i, j, c = cell_of(cuda.grid(1), rows.out, columns.out, x.shape[3])
    if n < x.shape[0]:
        r0, r1 = inside(i, rows)
        q0, q1 = inside(j, columns)
        total, run, terms = x.dtype.type(0), x.dtype.type(0), 0
        for r in range(r0, r1):
            for q in range(q0, q1):
                run += x[n, r, q, c]
                terms += 1
                if terms == LONG_RUN:
                    total, run, terms = total + run, x.dtype.type(0), 0
        total += run
        cells = rows.kernel * columns.kernel if count_padding else max((r1 - r0) * (q1 - q0), 1)
        y[n, i, j, c] = total / x.dtype.type(cells)


@kernel
def _avg_pool_backward(dy, rows, columns, count_padding, dx):
    n, r, q, c = cell_of(cuda.grid(1), rows.size, columns.size, dx.shape[3])
    if n < dx.shape[0]:
        i0, i1 = covering(r, rows)
        j0, j1 = covering(q, columns)
        total = dx.dtype.type(0)
        for i in range(i0, i1):
            for j in range(j0, j1):
                r0, r1 = inside(i, rows)
                q0, q1 = inside(j, columns)
                cells = rows.kernel * columns.kernel if count_padding else (r1 - r0) * (q1 - q0)
                total += dy[n, i, j, c] / dx.dtype.type(cells)
        dx[n, r, q, c] = total
