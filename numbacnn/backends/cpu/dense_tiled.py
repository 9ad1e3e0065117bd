"""Dense layers by the micro-kernel, in float32: the fast version of ``dense.py``.

y = x W + b        columns of W are cut into groups; a task packs its group, some hundred rows at a time, and meets all of x with it
dx = dy W^T        the same product, with W read by columns
dW = x^T dy        a task owns some rows of W; dy is packed once for all
"""

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.arena import arena
from numbacnn.backends.cpu.microkernel import TILE_COLUMNS, TILE_ROWS, multiply_tile
from numbacnn.backends.cpu.panels import pack_panels, packed_panels
from numbacnn.backends.cpu.updates import adam_rule, momentum_rule, sgd_rule

DEPTH = 256
"""Terms of the sum taken at a time: a panel of so many rows stays in the first-level cache."""

GROUP = 4
"""Panels that a task packs at a time: with DEPTH rows, an eighth of the second-level cache."""

FEW_GROUPS, ROW_PARTS = 8, 4
"""With fewer groups of columns than this, tasks divide the rows too: into a fixed number of parts, whatever the number of threads."""

FEW_ROWS = 3
"""Up to so many rows, weights are read where they lie: to pack them would cost more than to use them."""

GRADIENT, SGD, MOMENTUM, ADAM = range(4)
"""What ``_meet_rows`` does with the gradient of its rows: write it down, or update the weights at once."""

GRADIENT_VALUES, MOST_ROWS = 24576, 8 * TILE_ROWS
"""Values of the gradient that a task holds, at most, and rows: what it reads next to them still fits the second-level cache."""


def dense(x, weights, bias, relu):
    """y = x @ weights + bias, and max(0, y) where ``relu``."""
    columns = weights.shape[1]
    if len(x) <= FEW_ROWS:
        return _multiply_few(x, weights, bias, relu, arena.empty((x.shape[0], columns)))
    return _multiply(x, weights.reshape(-1), columns, 1, bias, relu, arena.empty((x.shape[0], columns)))


def input_gradient(dy, weights):
    """dx = dy @ weights.T"""
    terms, columns = weights.shape
    zeros = np.zeros(terms, np.float32)
    return _multiply(dy, weights.reshape(-1), 1, columns, zeros, False, arena.empty((dy.shape[0], terms)))


@kernel(parallel=True)
def _multiply(a, b, b_row, b_column, bias, relu, out):
    """out[m, n] = bias[n] + sum_k a[m, k] * b[k*b_row + n*b_column]; b is flat, and one of its steps is 1."""
    rows, terms = a.shape
    columns = out.shape[1]
    group_columns = GROUP * TILE_COLUMNS
    groups = (columns + group_columns - 1) // group_columns
    tiles = (rows + TILE_ROWS - 1) // TILE_ROWS
    parts = 1 if groups >= FEW_GROUPS else min(ROW_PARTS, max(tiles, 1))
    each = (tiles + parts - 1) // parts * TILE_ROWS
    blocks = (terms + DEPTH - 1) // DEPTH
    depth = (terms + blocks - 1) // max(blocks, 1)
    a_rows = np.empty(rows, np.int64)
    for m in range(rows):
        a_rows[m] = m * terms
    a_flat, out_flat = a.reshape(rows * terms), out.reshape(rows * columns)
    for task in prange(groups * parts):
        group = task // parts
        part = task - group * parts
        first, stop = group * group_columns, min((group + 1) * group_columns, columns)
        top, bottom = min(part * each, rows), min((part + 1) * each, rows)
        packed = np.empty(GROUP * TILE_COLUMNS * depth, np.float32)
        for k in range(0, terms, depth):
            here = min(depth, terms - k)
            pack_panels(b, k * b_row + first * b_column, b_row, b_column, here, stop - first, packed)
            for n in range(first, stop, TILE_COLUMNS):
                for m in range(top, bottom, TILE_ROWS):
                    place = m * columns + n
                    multiply_tile(
                        (a_flat, a_rows, m, k, 0, 1),
                        (packed, (n - first) * here, 0, TILE_COLUMNS),
                        (1, here),
                        (bias, n, 0) if k == 0 else (out_flat, place, columns),
                        (out_flat, place, columns),
                        (min(TILE_ROWS, bottom - m), min(TILE_COLUMNS, stop - n)),
                        relu and k + here == terms,
                    )
    return out


def weight_gradient(x, dy):
    """dW = x.T @ dy"""
    dweights = arena.empty((x.shape[1], dy.shape[1]))
    _meet_rows(x, packed_panels(dy), GRADIENT, dweights, dweights, dweights, 0.0, 0.0, 0.0, 0.0)
    return dweights


def sgd_update(weights, x, dy, learning_rate):
    """``updates.sgd_update`` with the gradient x.T @ dy, which is never written down."""
    _meet_rows(x, packed_panels(dy), SGD, weights, weights, weights, learning_rate, 0.0, 0.0, 0.0)


def momentum_update(weights, velocity, x, dy, learning_rate, momentum):
    """``updates.momentum_update`` with the gradient x.T @ dy, which is never written down."""
    _meet_rows(x, packed_panels(dy), MOMENTUM, weights, velocity, velocity, learning_rate, momentum, 0.0, 0.0)


def adam_update(weights, m, v, x, dy, step_size, beta1, beta2, epsilon):
    """``updates.adam_update`` with the gradient x.T @ dy, which is never written down."""
    _meet_rows(x, packed_panels(dy), ADAM, weights, m, v, step_size, beta1, beta2, epsilon)


@kernel(parallel=True, fast_math="contract")
def _multiply_few(x, weights, bias, relu, y):
    """The same for very few rows: weights are streamed through once, in the order of memory.

    Sums are cut and added up as in ``_multiply``, so that a row gets the same bits here and there.
    """
    rows, terms = x.shape
    columns = weights.shape[1]
    blocks = max((terms + DEPTH - 1) // DEPTH, 1)
    depth = (terms + blocks - 1) // blocks
    parts = np.zeros((blocks, rows, columns), np.float32)
    for block in prange(blocks):
        first, stop = block * depth, min((block + 1) * depth, terms)
        for m in range(rows):
            total, factors = parts[block, m], x[m]
            whole = first + (stop - first) // 4 * 4
            for k in range(first, whole, 4):
                a, b, c, d = factors[k], factors[k + 1], factors[k + 2], factors[k + 3]
                u, v, w, z = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
                for n in range(columns):
                    total[n] = (((total[n] + a * u[n]) + b * v[n]) + c * w[n]) + d * z[n]
            for k in range(whole, stop):
                a, u = factors[k], weights[k]
                for n in range(columns):
                    total[n] = total[n] + a * u[n]
    for m in range(rows):
        for n in range(columns):
            total = bias[n]
            for block in range(blocks):
                total += parts[block, m, n]
            y[m, n] = np.float32(0) if relu and total <= 0 else total
    return y


@kernel(parallel=True, fast_math=False)
def _meet_rows(x, dy_panels, use, weights, slot1, slot2, rate, number1, number2, number3):
    """dW[k, f] = sum_n x[n, k] * dy[n, f], and what ``use`` says with it; a task owns some whole rows of W.

    Rows lie one after the other in memory: weights and optimiser's slots stream through the cache once.
    """
    terms, units = weights.shape
    each = max(min(GRADIENT_VALUES // max(units, 1), MOST_ROWS) // TILE_ROWS, 1) * TILE_ROWS
    count = x.shape[0]
    x_rows = np.empty(terms, np.int64)
    for k in range(terms):
        x_rows[k] = k
    x_flat = x.reshape(count * terms)
    w_flat, flat1, flat2 = weights.reshape(terms * units), slot1.reshape(terms * units), slot2.reshape(terms * units)
    zeros = np.zeros(TILE_COLUMNS, np.float32)
    for task in prange((terms + each - 1) // each):
        top, bottom = task * each, min((task + 1) * each, terms)
        first, stop = top * units, bottom * units
        own = w_flat[first:stop] if use == GRADIENT else np.empty(stop - first, np.float32)
        if count == 0:
            for i in range(own.size):
                own[i] = 0
        for f in range(0, units if count else 0, TILE_COLUMNS):
            for k in range(top, bottom, TILE_ROWS):
                multiply_tile(
                    (x_flat, x_rows, k, 0, 0, terms),
                    (dy_panels, f * count, 0, TILE_COLUMNS),
                    (1, count),
                    (zeros, 0, 0),
                    (own, (k - top) * units + f, units),
                    (min(TILE_ROWS, bottom - k), min(TILE_COLUMNS, units - f)),
                    False,
                )
        if use == SGD:
            sgd_rule(w_flat[first:stop], own, rate)
        elif use == MOMENTUM:
            momentum_rule(w_flat[first:stop], flat1[first:stop], own, rate, number1)
        elif use == ADAM:
            adam_rule(w_flat[first:stop], flat1[first:stop], flat2[first:stop], own, rate, number1, number2, number3)
