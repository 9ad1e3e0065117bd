"""What is common to the fast convolutions: images and filters are transformed, and at each point there is a product of matrices.

Arrays hold a row for each point. A transform touches the same place of every point in turn: so points lie ``apart``.
"""

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.codegen.tile import ROW_COLUMNS, TILE_COLUMNS, TILE_ROWS, multiply_row, multiply_tile
from numbacnn.backends.cpu.products.panels import panel_count
from numbacnn.backends.cpu.vector_unit import LANES

LINE = 16
"""float32 values in a cache line."""

BLOCK = max(LANES, LINE)
"""Channels that one task transforms: whole cache lines, which two threads would else write half of each."""

TASK_ROWS = 32 * TILE_ROWS
"""Rows of a product that are one task's."""

SUMMED_TOGETHER = 512
"""Rows of both factors of a correlation that are gone through again and again while they are in the second-level cache."""

NO_WINNERS = np.empty((1, 1, 1, 1), np.uint8)
"""The winners of no pooling: never looked at."""


def padded(channels):
    """As many channels in whole vectors."""
    return (channels + LANES - 1) // LANES * LANES


def point_stride(values):
    """The distance of points, at least ``values``: an odd number of cache lines.

    At a distance with many factors of 2, the same place of all points would compete for the few lines of a cache that such
    addresses map to.
    """
    return (-(-values // LINE) | 1) * LINE


def panel_stride(rows, columns):
    """The distance of points that hold a matrix each, as panels."""
    return point_stride(panel_count.py_func(columns) * TILE_COLUMNS * rows)


@kernel(parallel=True)
def multiply_points(points, matrices, out, count, depth, columns):
    """out[p] = points[p] @ matrices[p]: (count, depth) times (depth, columns), the latter as panels."""
    a_rows = np.empty(count, np.int64)
    for n in range(count):
        a_rows[n] = n * depth
    zeros = np.zeros(ROW_COLUMNS, np.float32)
    a, b, y = points.reshape(points.size), matrices.reshape(matrices.size), out.reshape(out.size)
    parts = (count + TASK_ROWS - 1) // TASK_ROWS
    for task in prange(points.shape[0] * parts):
        p = task // parts
        first = (task - p * parts) * TASK_ROWS
        last = min(first + TASK_ROWS, count)
        if count == 1:
            for f in range(0, columns, ROW_COLUMNS):
                at = p * matrices.shape[1] + f * depth
                goal = (y, p * out.shape[1] + f)
                multiply_row((a, p * points.shape[1]), (b, at, depth * TILE_COLUMNS), depth, (zeros, 0), goal, columns - f, False)
            continue
        for f in range(0, columns, TILE_COLUMNS):
            for n in range(first, last, TILE_ROWS):
                multiply_tile(
                    (a, a_rows, n, p * points.shape[1], 0, 1),
                    (b, p * matrices.shape[1] + f * depth, 0, TILE_COLUMNS),
                    (1, depth),
                    (zeros, 0, 0),
                    (y, p * out.shape[1] + n * columns + f, columns),
                    (min(TILE_ROWS, last - n), min(TILE_COLUMNS, columns - f)),
                    False,
                )


@kernel(inline=True)
def correlate_point(a, a_at, b, b_at, count, depth, columns, out, out_at, add):
    """out = a^T b, (count, depth) and (count, columns) to (depth, columns), each in a flat array from a place on.

    With ``add``, it is added to what is in ``out``.
    """
    a_rows = np.empty(depth, np.int64)
    for c in range(depth):
        a_rows[c] = c
    zeros = np.zeros(TILE_COLUMNS, np.float32)
    for first in range(0, count, SUMMED_TOGETHER):
        terms = min(SUMMED_TOGETHER, count - first)
        for f in range(0, columns, TILE_COLUMNS):
            for c in range(0, depth, TILE_ROWS):
                place = out_at + c * columns + f
                multiply_tile(
                    (a, a_rows, c, a_at + first * depth, 0, depth),
                    (b, b_at + first * columns + f, 0, columns),
                    (1, terms),
                    (out, place, columns) if add or first > 0 else (zeros, 0, 0),
                    (out, place, columns),
                    (min(TILE_ROWS, depth - c), min(TILE_COLUMNS, columns - f)),
                    False,
                )


@kernel(parallel=True)
def correlate_points(x, dy, out, count, depth, columns, add):
    """out[p] = x[p]^T @ dy[p], or with ``add`` += it, a point a task: (count, depth) and (count, columns) to (depth, columns)."""
    a, b, flat = x.reshape(x.size), dy.reshape(dy.size), out.reshape(out.size)
    for p in prange(x.shape[0]):
        correlate_point(a, p * x.shape[1], b, p * dy.shape[1], count, depth, columns, flat, p * out.shape[1], add)
