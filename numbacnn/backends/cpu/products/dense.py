"""Dense layers by the micro-kernel, in float32: the fast version of ``plain/dense.py``.

y  = x W + b        a task packs a group of W's columns, some hundred rows at a time, and multiplies all of x by them;
                    prepared weights are packed already, and those that several tasks would pack are packed before
dx = dy W^T         the same product, with W read by columns
dW = x^T dy         a task owns some rows of W; dy is packed once for all tasks
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
"""Terms of the sum taken at a time: a panel of DEPTH rows stays in the first-level cache, and a short sum loses little to rounding."""

GROUP_COLUMNS = ROW_COLUMNS
"""Columns that a task packs at a time: with DEPTH rows, an eighth of the second-level cache. As many as ``multiply_row`` takes."""

FEW_GROUPS, ROW_PARTS = 8, 4
"""With fewer groups of columns than FEW_GROUPS, tasks divide the rows too: into ROW_PARTS, whatever the number of threads."""

PACKED_BEFORE = 16384
"""Fewer values are packed by each task sooner than another loop over all threads begins."""

GRADIENT, SGD, MOMENTUM, ADAM = range(4)
"""What ``_weight_gradient_rows`` does with the gradient of its rows: store it, or update the weights at once."""

RULES = {"sgd": SGD, "momentum": MOMENTUM, "adam": ADAM}
"""By ``Rule.kind``."""

GRADIENT_VALUES, MOST_ROWS = 24576, 8 * TILE_ROWS
"""The most values of the gradient, and rows, that a task holds: with the weights and slots it still fits the second-level cache."""


def dense(x, weights, bias, relu):
    """y = x @ weights + bias, and max(0, y) where ``relu``."""
    terms, columns = weights.shape
    y = arena.empty((x.shape[0], columns))
    if isinstance(weights, PreparedWeights):
        return _multiply_panels(x, weights.form("panels", packed_panels), bias, relu, y)
    if _is_packed_before(len(x), terms, columns):
        return _multiply_panels(x, packed_panels(weights), bias, relu, y)
    return _multiply(x, weights.reshape(terms * columns), columns, 1, bias, relu, y)


def input_gradient(dy, weights):
    """dx = dy @ weights.T"""
    terms, columns = weights.shape
    zeros = np.zeros(terms, np.float32)
    if _is_packed_before(len(dy), columns, terms):
        return _multiply_panels(dy, packed_panels(weights, transposed=True), zeros, False, arena.empty((dy.shape[0], terms)))
    return _multiply(dy, weights.reshape(terms * columns), 1, columns, zeros, False, arena.empty((dy.shape[0], terms)))


def _is_packed_before(rows, terms, columns):
    """Whether a product by weights (terms, columns) packs them before its tasks, which would each pack the same values otherwise."""
    return terms * columns >= PACKED_BEFORE and columns <= (FEW_GROUPS - 1) * GROUP_COLUMNS and rows > TILE_ROWS


@kernel(parallel=True)
def _multiply(a, b, row_step, column_step, bias, relu, out):
    """out[m, n] = bias[n] + sum_k a[m, k] * b[k*row_step + n*column_step]; b is flat; row_step or column_step is 1."""
    (rows, terms), columns = a.shape, out.shape[1]
    depth, row_offsets = _depth(terms), _row_offsets(rows, terms)
    a_flat, out_flat = a.reshape(rows * terms), out.reshape(rows * columns)
    cut = _cut(rows, columns)
    for task in prange(cut[0] * cut[1]):
        first, stop, top, bottom = _task_range(task, cut, rows, columns)
        panels = np.empty(GROUP_COLUMNS * depth, np.float32)
        for k in range(0, terms, depth):
            count = min(depth, terms - k)
            pack_panels(b, k * row_step + first * column_step, row_step, column_step, count, stop - first, panels)
            _add_terms(
                a_flat, row_offsets, (top, bottom), k, count, (panels, 0, count), (first, stop), bias, relu, out_flat, columns
            )
    return out


@kernel(parallel=True)
def _multiply_panels(a, panels, bias, relu, out):
    """out[m, n] = bias[n] + sum_k a[m, k] * b[k, n], where b is packed into panels; the result equals that of ``_multiply`` to the bit."""
    (rows, terms), columns = a.shape, out.shape[1]
    depth, row_offsets = _depth(terms), _row_offsets(rows, terms)
    a_flat, out_flat = a.reshape(rows * terms), out.reshape(rows * columns)
    cut = _cut(rows, columns)
    for task in prange(cut[0] * cut[1]):
        first, stop, top, bottom = _task_range(task, cut, rows, columns)
        for k in range(0, terms, depth):
            count = min(depth, terms - k)
            offset = first * terms + k * TILE_COLUMNS
            if rows == 1:
                base = (bias, first) if k == 0 else (out_flat, first)
                b = panels, offset, terms * TILE_COLUMNS
                multiply_row((a_flat, k), b, count, base, (out_flat, first), stop - first, relu and k + count == terms)
            else:
                b = panels, offset, terms
                _add_terms(a_flat, row_offsets, (top, bottom), k, count, b, (first, stop), bias, relu, out_flat, columns)
    return out


@kernel(inline=True)
def _cut(rows, columns):
    """How a product is cut into tasks: (groups of columns, parts of the rows, rows per part)."""
    groups = (columns + GROUP_COLUMNS - 1) // GROUP_COLUMNS
    tiles = (rows + TILE_ROWS - 1) // TILE_ROWS
    parts = 1 if groups >= FEW_GROUPS else min(ROW_PARTS, max(tiles, 1))
    return groups, parts, (tiles + parts - 1) // parts * TILE_ROWS


@kernel(inline=True)
def _task_range(task, cut, rows, columns):
    """The columns ``first:stop`` and the rows ``top:bottom`` of a task."""
    _, parts, rows_per_part = cut
    group = task // parts
    first, top = group * GROUP_COLUMNS, min((task - group * parts) * rows_per_part, rows)
    return first, min(first + GROUP_COLUMNS, columns), top, min(top + rows_per_part, rows)


@kernel(inline=True)
def _depth(terms):
    """Terms of the sum taken at a time: the sum in equal parts of at most DEPTH."""
    blocks = max((terms + DEPTH - 1) // DEPTH, 1)
    return (terms + blocks - 1) // blocks


@kernel(inline=True)
def _row_offsets(rows, length):
    """Where each of the rows of this length begins."""
    offsets = np.empty(rows, np.int64)
    for m in range(rows):
        offsets[m] = m * length
    return offsets


@kernel(inline=True)
def _add_terms(a, row_offsets, rows, k, count, b, columns, bias, relu, out, width):
    """out[top:bottom, first:stop] += a[:, k:k+count] @ b, for some terms of the sum.

    The first terms are added to the bias, and ReLU follows the last.

    Args:
        a, row_offsets: flat array, and where its rows begin.
        rows: (top, bottom).
        k, count: the first term, and how many.
        b: (panels, offset, terms of a panel): ``count`` rows from ``offset`` on; the next panel begins terms * TILE_COLUMNS further.
        columns: (first, stop).
        out, width: flat array, and the length of its rows.
    """
    panels, offset, panel_terms = b
    terms = a.size // max(row_offsets.size, 1)
    for n in range(columns[0], columns[1], TILE_COLUMNS):
        # All tiles of rows read the same panel, which the first of them would have to fetch: each prefetches a slice of the next one.
        is_last = n + TILE_COLUMNS >= columns[1]
        ahead = offset + count * TILE_COLUMNS if is_last else offset + (n - columns[0] + TILE_COLUMNS) * panel_terms
        slice_values = (count * TILE_ROWS // max(rows[1] - rows[0], 1) + 1) * TILE_COLUMNS
        for m in range(rows[0], rows[1], TILE_ROWS):
            target = m * width + n
            for line in range(ahead, ahead + slice_values, TILE_COLUMNS):
                prefetch(panels, line)
            ahead += slice_values
            for r in range(min(TILE_ROWS, rows[1] - m)):
                prefetch(out, target + r * width)
            multiply_tile(
                (a, row_offsets, m, k, 0, 1),
                (panels, offset + (n - columns[0]) * panel_terms, 0, TILE_COLUMNS),
                (1, count),
                (bias, n, 0) if k == 0 else (out, target, width),
                (out, target, width),
                (min(TILE_ROWS, rows[1] - m), min(TILE_COLUMNS, columns[1] - n)),
                relu and k + count == terms,
            )


def weight_gradient(x, dy):
    """dW = x.T @ dy"""
    dweights = arena.empty((x.shape[1], dy.shape[1]))
    _weight_gradient_rows(x, packed_panels(dy), 0, GRADIENT, dweights, dweights, dweights, 0.0, 0.0, 0.0, 0.0)
    return dweights


def update(weights, slots, x, dy, rule, first_row=0):
    """``updates.update`` with the gradient x.T @ dy, which is never stored.

    ``weights`` and ``slots`` may be some rows of a layer's, from ``first_row`` on.
    """
    slot1, slot2 = (*slots, weights, weights)[:2]
    numbers = (*rule.numbers, 0.0, 0.0, 0.0)[:4]
    _weight_gradient_rows(x, packed_panels(dy), first_row, RULES[rule.kind], weights, slot1, slot2, *numbers)


@kernel(parallel=True)
def _weight_gradient_rows(x, dy_panels, first_row, rule, weights, slot1, slot2, rate, number1, number2, number3):
    """dW[k, f] = sum_n x[n, first_row + k] * dy[n, f], written to ``weights`` or used to update them, as ``rule`` says.

    A task owns whole rows of W, which lie one after the other in memory: weights and slots stream through the cache once.
    """
    (terms, units), (count, columns) = weights.shape, x.shape
    rows_per_task = max(min(GRADIENT_VALUES // max(units, 1), MOST_ROWS) // TILE_ROWS, 1) * TILE_ROWS
    row_offsets = np.empty(terms, np.int64)
    for k in range(terms):
        row_offsets[k] = first_row + k
    x_flat = x.reshape(count * columns)
    w_flat, flat1, flat2 = weights.reshape(terms * units), slot1.reshape(terms * units), slot2.reshape(terms * units)
    zeros = np.zeros(TILE_COLUMNS, np.float32)
    depth = max(_depth(count), 1)
    for task in prange((terms + rows_per_task - 1) // rows_per_task):
        top, bottom = task * rows_per_task, min((task + 1) * rows_per_task, terms)
        first, stop = top * units, bottom * units
        gradient = w_flat[first:stop] if rule == GRADIENT else np.empty(stop - first, np.float32)
        if count == 0:
            for i in range(gradient.size):
                gradient[i] = 0
        for n in range(0, count, depth):
            for f in range(0, units, TILE_COLUMNS):
                for k in range(top, bottom, TILE_ROWS):
                    target = (k - top) * units + f
                    multiply_tile(
                        (x_flat, row_offsets, k, n * columns, 0, columns),
                        (dy_panels, f * count + n * TILE_COLUMNS, 0, TILE_COLUMNS),
                        (1, min(depth, count - n)),
                        (zeros, 0, 0) if n == 0 else (gradient, target, units),
                        (gradient, target, units),
                        (min(TILE_ROWS, bottom - k), min(TILE_COLUMNS, units - f)),
                        False,
                    )
        if rule == SGD:
            sgd_rule(w_flat[first:stop], gradient, rate)
        elif rule == MOMENTUM:
            momentum_rule(w_flat[first:stop], flat1[first:stop], gradient, rate, number1)
        elif rule == ADAM:
            adam_rule(w_flat[first:stop], flat1[first:stop], flat2[first:stop], gradient, rate, number1, number2, number3)
