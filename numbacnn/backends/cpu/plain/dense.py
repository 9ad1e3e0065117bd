"""Dense layers on the CPU, three products of matrices:

    y = x W + b          dx = dy W^T          dW = x^T dy

Each is computed as rows times rows (``matmul.py``), once the operands that lie the other way have been transposed.
"""

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.plain.conv2d import fill_rows
from numbacnn.backends.cpu.plain.matmul import add_dot_rows, fill_transposed, transpose_batch
from numbacnn.backends.cpu.plain.reduction import sum_rows

COLUMNS = 32
"""Output columns of one task."""


def dense(x, weights, bias):
    """See ``Ops.dense``."""
    if bias is None:
        bias = np.zeros(weights.shape[1], x.dtype)
    return _dense(x, weights, bias)


def dense_backward(x, weights, dy, needs_dx, share):
    """See ``Ops.dense_backward``."""
    whole_x, whole_dy = share.gather(x), share.gather(dy)
    dweights = _weight_gradient(transpose_batch(whole_x[np.newaxis])[0], transpose_batch(whole_dy[np.newaxis])[0])
    return (_input_gradient(dy, weights) if needs_dx else None), dweights, sum_rows(dy, share)


@kernel(inline=True)
def _copy(source, target):
    """Copy ``source`` to the corner of ``target``."""
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[i, j] = source[i, j]


@kernel(parallel=True)
def _dense(x, weights, bias):
    """y[n, f] = bias[f] + sum_k x[n, k] * weights[k, f]; a task owns COLUMNS columns of y."""
    count, terms = x.shape
    units = weights.shape[1]
    y = np.empty((count, units), x.dtype)
    for task in prange((units + COLUMNS - 1) // COLUMNS):
        first = task * COLUMNS
        stop = min(first + COLUMNS, units)
        block = np.empty((count, stop - first), x.dtype)
        fill_rows(bias[first:stop], block)
        weight_rows = np.empty((stop - first, terms), x.dtype)
        fill_transposed(weights[:, first:stop], weight_rows)
        add_dot_rows(x, weight_rows, block)
        _copy(block, y[:, first:stop])
    return y


@kernel(parallel=True)
def _input_gradient(dy, weights):
    """dx[n, k] = sum_f dy[n, f] * weights[k, f]: both rows run along f; a task owns COLUMNS columns of dx."""
    count, terms = dy.shape[0], weights.shape[0]
    dx = np.empty((count, terms), dy.dtype)
    for task in prange((terms + COLUMNS - 1) // COLUMNS):
        first = task * COLUMNS
        stop = min(first + COLUMNS, terms)
        block = np.zeros((count, stop - first), dy.dtype)
        add_dot_rows(dy, weights[first:stop], block)
        _copy(block, dx[:, first:stop])
    return dx


@kernel(parallel=True)
def _weight_gradient(x_rows, dy_rows):
    """dweights[k, f] = sum_n x[n, k] * dy[n, f], both transposed to run along n; a task owns COLUMNS rows of dweights."""
    terms, units = x_rows.shape[0], dy_rows.shape[0]
    dweights = np.empty((terms, units), x_rows.dtype)
    for task in prange((terms + COLUMNS - 1) // COLUMNS):
        first = task * COLUMNS
        stop = min(first + COLUMNS, terms)
        rows = np.zeros((stop - first, units), x_rows.dtype)
        add_dot_rows(x_rows[first:stop], dy_rows, rows)
        _copy(rows, dweights[first:stop])
    return dweights
