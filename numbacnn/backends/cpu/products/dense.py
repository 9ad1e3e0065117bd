"""Dense layers by the micro-kernel, in float32: the fast version of ``dense.py``.

y = x W + b        columns of W are cut into groups; a task packs its group, some hundred rows at a time, and meets all of x with it;
                   frozen weights have been packed before
dx = dy W^T        the same product, with W read by columns
dW = x^T dy        a task owns some rows of W; dy is packed once for all
"""

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.arena import arena
from numbacnn.backends.cpu.codegen.tile import ROW_COLUMNS, TILE_COLUMNS, TILE_ROWS, multiply_row, multiply_tile
from numbacnn.backends.cpu.codegen.vectors import prefetch
from numbacnn.backends.cpu.plain.updates import adam_rule, momentum_rule, sgd_rule
from numbacnn.backends.cpu.products.panels import pack_panels, packed_panels
from numbacnn.backends.cpu.products.prepared import PreparedWeights

DEPTH = 256
"""Terms of the sum taken at a time: a panel of so many rows stays in the first-level cache."""

GROUP_COLUMNS = ROW_COLUMNS
"""Columns that a task packs at a time: with DEPTH rows, an eighth of the second-level cache. A single row meets as many at once."""

FEW_GROUPS, ROW_PARTS = 8, 4
"""With fewer groups of columns than this, tasks divide the rows too: into a fixed number of parts, whatever the number of threads."""

GRADIENT, SGD, MOMENTUM, ADAM = range(4)
"""What ``_weight_gradient_rows`` does with the gradient of its rows: write it down, or update the weights at once."""

RULES = {"sgd": SGD, "momentum": MOMENTUM, "adam": ADAM}
"""By ``Rule.kind``."""

GRADIENT_VALUES, MOST_ROWS = 24576, 8 * TILE_ROWS
"""Values of the gradient that a task holds, at most, and rows: what it reads next to them still fits the second-level cache."""


def dense(x, weights, bias, relu):
    """y = x @ weights + bias, and max(0, y) where ``relu``."""
    terms, columns = weights.shape
    y = arena.empty((x.shape[0], columns))
    if isinstance(weights, PreparedWeights):
        return _multiply_panels(x, weights.made("panels", packed_panels), bias, relu, y)
    return _multiply(x, weights.reshape(terms * columns), columns, 1, bias, relu, y)


def input_gradient(dy, weights):
    """dx = dy @ weights.T"""
    terms, columns = weights.shape
    zeros = np.zeros(terms, np.float32)
    return _multiply(dy, weights.reshape(terms * columns), 1, columns, zeros, False, arena.empty((dy.shape[0], terms)))


@kernel(parallel=True)
def _multiply(a, b, b_row, b_column, bias, relu, out):
    """out[m, n] = bias[n] + sum_k a[m, k] * b[k*b_row + n*b_column]; b is flat, and one of its steps is 1."""
    (rows, terms), columns = a.shape, out.shape[1]
    depth, a_rows = _depth(terms), _rows(rows, terms)
    a_flat, out_flat = a.reshape(rows * terms), out.reshape(rows * columns)
    cut = _cut(rows, columns)
    for task in prange(cut[0] * cut[1]):
        first, stop, top, bottom = _task_range(task, cut, rows, columns)
        packed = np.empty(GROUP_COLUMNS * depth, np.float32)
        for k in range(0, terms, depth):
            here = min(depth, terms - k)
            pack_panels(b, k * b_row + first * b_column, b_row, b_column, here, stop - first, packed)
            _add_terms(a_flat, a_rows, (top, bottom), k, here, (packed, 0, here), (first, stop), bias, relu, out_flat, columns)
    return out


@kernel(parallel=True)
def _multiply_panels(a, panels, bias, relu, out):
    """The same with b in panels already: out[m, n] = bias[n] + sum_k a[m, k] * b[k, n], to the same bits."""
    (rows, terms), columns = a.shape, out.shape[1]
    depth, a_rows = _depth(terms), _rows(rows, terms)
    a_flat, out_flat = a.reshape(rows * terms), out.reshape(rows * columns)
    cut = _cut(rows, columns)
    for task in prange(cut[0] * cut[1]):
        first, stop, top, bottom = _task_range(task, cut, rows, columns)
        for k in range(0, terms, depth):
            here = min(depth, terms - k)
            if rows == 1:
                base, place = (bias, first) if k == 0 else (out_flat, first), first * terms + k * TILE_COLUMNS
                b = panels, place, terms * TILE_COLUMNS
                multiply_row((a_flat, k), b, here, base, (out_flat, first), stop - first, relu and k + here == terms)
            else:
                b = panels, first * terms + k * TILE_COLUMNS, terms
                _add_terms(a_flat, a_rows, (top, bottom), k, here, b, (first, stop), bias, relu, out_flat, columns)
    return out


@kernel(inline=True)
def _cut(rows, columns):
    """How a product is cut: groups of columns, parts of the rows, and rows of a part."""
    groups = (columns + GROUP_COLUMNS - 1) // GROUP_COLUMNS
    tiles = (rows + TILE_ROWS - 1) // TILE_ROWS
    parts = 1 if groups >= FEW_GROUPS else min(ROW_PARTS, max(tiles, 1))
    return groups, parts, (tiles + parts - 1) // parts * TILE_ROWS


@kernel(inline=True)
def _task_range(task, cut, rows, columns):
    """What is one task's: columns from the first on to before ``stop``, rows from the top on to before ``bottom``."""
    _, parts, each = cut
    group = task // parts
    first, top = group * GROUP_COLUMNS, min((task - group * parts) * each, rows)
    return first, min(first + GROUP_COLUMNS, columns), top, min(top + each, rows)


@kernel(inline=True)
def _depth(terms):
    """Terms of the sum taken at a time: as equal shares as there are."""
    blocks = max((terms + DEPTH - 1) // DEPTH, 1)
    return (terms + blocks - 1) // blocks


@kernel(inline=True)
def _rows(rows, length):
    """Where rows of this length begin."""
    places = np.empty(rows, np.int64)
    for m in range(rows):
        places[m] = m * length
    return places


@kernel(inline=True)
def _add_terms(a, a_rows, rows, k, here, b, columns, bias, relu, out, width):
    """out += a b, for rows and columns from one number to another, and ``here`` terms from the k-th on, to which b is cut.

    The first terms are added to the bias, and ReLU comes after the last. Panels of b lie ``b[2] * TILE_COLUMNS`` values apart.
    """
    packed, at, panel_terms = b
    terms = a.size // max(a_rows.size, 1)
    for n in range(columns[0], columns[1], TILE_COLUMNS):
        # A panel is met by all tiles of rows, and would come from afar for the first of them: each asks for a part of the next one.
        last = n + TILE_COLUMNS >= columns[1]
        ahead = at + here * TILE_COLUMNS if last else at + (n - columns[0] + TILE_COLUMNS) * panel_terms
        share = (here * TILE_ROWS // max(rows[1] - rows[0], 1) + 1) * TILE_COLUMNS
        for m in range(rows[0], rows[1], TILE_ROWS):
            place = m * width + n
            for line in range(ahead, ahead + share, TILE_COLUMNS):
                prefetch(packed, line)
            ahead += share
            for r in range(min(TILE_ROWS, rows[1] - m)):
                prefetch(out, place + r * width)
            multiply_tile(
                (a, a_rows, m, k, 0, 1),
                (packed, at + (n - columns[0]) * panel_terms, 0, TILE_COLUMNS),
                (1, here),
                (bias, n, 0) if k == 0 else (out, place, width),
                (out, place, width),
                (min(TILE_ROWS, rows[1] - m), min(TILE_COLUMNS, columns[1] - n)),
                relu and k + here == terms,
            )


def weight_gradient(x, dy):
    """dW = x.T @ dy"""
    dweights = arena.empty((x.shape[1], dy.shape[1]))
    _weight_gradient_rows(x, packed_panels(dy), GRADIENT, dweights, dweights, dweights, 0.0, 0.0, 0.0, 0.0)
    return dweights


def update(weights, slots, x, dy, rule):
    """``updates.update`` with the gradient x.T @ dy, which is never written down."""
    slot1, slot2 = (*slots, weights, weights)[:2]
    numbers = (*rule.numbers, 0.0, 0.0, 0.0)[:4]
    _weight_gradient_rows(x, packed_panels(dy), RULES[rule.kind], weights, slot1, slot2, *numbers)


@kernel(parallel=True, fast_math=False)
def _weight_gradient_rows(x, dy_panels, use, weights, slot1, slot2, rate, number1, number2, number3):
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
