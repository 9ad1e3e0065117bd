"""Products of matrices at the points of a transform, the part that both fast convolutions share.

    y[p] = x[p] @ w[p]          dw[p] = x[p]^T @ dy[p]          for each point p

A convolution becomes such products once images and filters are transformed. Arrays have one row per point; a point's matrix is flat
in that row. A transform writes the same offset of every point in turn, so rows have a length that spares the cache: ``point_stride``.
"""

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel, shared
from numbacnn.backends.cpu.codegen.tile import ROW_COLUMNS, TILE_COLUMNS, TILE_ROWS, multiply_row, multiply_tile
from numbacnn.backends.cpu.products.panels import panel_count
from numbacnn.backends.cpu.vector_unit import LANES

LINE = 16
"""float32 values in a cache line."""

BLOCK = max(LANES, LINE)
"""Channels that one task transforms: whole cache lines, for two threads must not write to the same one."""

TASK_ROWS = 32 * TILE_ROWS
"""Rows of a product that one task computes."""

CACHED_ROWS = 512
"""Rows of both factors that a correlation sums before it goes on: they stay in the second-level cache for all of its tiles."""

NO_WINNERS = np.empty((1, 1, 1, 1), np.uint8)
"""Stands for the winners where there is no pooling; never read."""


@shared
def whole_vectors(channels):
    """The number of channels, rounded up to whole vectors."""
    return (channels + LANES - 1) // LANES * LANES


@shared
def channel_blocks(channels):
    """How many blocks of BLOCK channels hold this many."""
    return (channels + BLOCK - 1) // BLOCK


def point_stride(values):
    """The distance between points: at least ``values``, and an odd number of cache lines.

    At a distance with many factors of 2, the same offset in all points would map to the same few lines of the cache.
    """
    return (-(-values // LINE) | 1) * LINE


def panel_stride(rows, columns):
    """The distance between points that hold a matrix each, as panels."""
    return point_stride(panel_count(columns) * TILE_COLUMNS * rows)


@kernel(parallel=True)
def multiply_points(x, panels, y, rows, depth, columns):
    """y[p] = x[p] @ w[p]: (rows, depth) times (depth, columns), where w[p] comes as panels."""
    row_offsets = np.empty(rows, np.int64)
    for n in range(rows):
        row_offsets[n] = n * depth
    zeros = np.zeros(ROW_COLUMNS, np.float32)
    x_flat, panels_flat, y_flat = x.reshape(x.size), panels.reshape(panels.size), y.reshape(y.size)
    parts = (rows + TASK_ROWS - 1) // TASK_ROWS
    for task in prange(x.shape[0] * parts):
        p = task // parts
        first = (task - p * parts) * TASK_ROWS
        stop = min(first + TASK_ROWS, rows)
        if rows == 1:
            for f in range(0, columns, ROW_COLUMNS):
                multiply_row(
                    (x_flat, p * x.shape[1]),
                    (panels_flat, p * panels.shape[1] + f * depth, depth * TILE_COLUMNS),
                    depth,
                    (zeros, 0),
                    (y_flat, p * y.shape[1] + f),
                    columns - f,
                    False,
                )
            continue
        for f in range(0, columns, TILE_COLUMNS):
            for n in range(first, stop, TILE_ROWS):
                multiply_tile(
                    (x_flat, row_offsets, n, p * x.shape[1], 0, 1),
                    (panels_flat, p * panels.shape[1] + f * depth, 0, TILE_COLUMNS),
                    (1, depth),
                    (zeros, 0, 0),
                    (y_flat, p * y.shape[1] + n * columns + f, columns),
                    (min(TILE_ROWS, stop - n), min(TILE_COLUMNS, columns - f)),
                    False,
                )


@kernel(inline=True)
def correlate_point(x, x_offset, dy, dy_offset, rows, depth, columns, dw, dw_offset, add):
    """dw = x^T @ dy at one point, or dw += x^T @ dy with ``add``: (rows, depth) and (rows, columns) to (depth, columns).

    Each matrix begins at its offset in a flat array.
    """
    row_offsets = np.empty(depth, np.int64)
    for c in range(depth):
        row_offsets[c] = c
    zeros = np.zeros(TILE_COLUMNS, np.float32)
    if rows == 0 and not add:
        dw[dw_offset : dw_offset + depth * columns] = 0
    for first in range(0, rows, CACHED_ROWS):
        terms = min(CACHED_ROWS, rows - first)
        for f in range(0, columns, TILE_COLUMNS):
            for c in range(0, depth, TILE_ROWS):
                target = dw_offset + c * columns + f
                multiply_tile(
                    (x, row_offsets, c, x_offset + first * depth, 0, depth),
                    (dy, dy_offset + first * columns + f, 0, columns),
                    (1, terms),
                    (dw, target, columns) if add or first > 0 else (zeros, 0, 0),
                    (dw, target, columns),
                    (min(TILE_ROWS, depth - c), min(TILE_COLUMNS, columns - f)),
                    False,
                )


@shared
def tree_levels(groups):
    """How many partial sums a tree over so many groups, a power of two, has to keep at once."""
    levels = 1
    while groups > 1:
        groups, levels = groups // 2, levels + 1
    return levels


@kernel(inline=True)
def correlate_group(x, x_offset, dy, dy_offset, rows, depth, columns, group, is_first, is_last, sums):
    """One group of images at one point: x^T @ dy of its rows becomes a leaf of the tree that adds the groups (``reduction.py``).

    ``sums[k]`` holds the sum of 2^k groups, where the binary digit k of the number of groups added so far is 1. The groups come in
    order, and each goes on as in counting: it is added to the sum of as many groups that waits, and both go to the next place. When
    the last of 2^k groups is added, ``sums[k]`` is the whole.

    Args:
        x, x_offset, dy, dy_offset, rows, depth, columns: as in ``correlate_point``.
        group: the group's number, from 0 on.
        is_first, is_last: whether these rows are the first and the last of the group; the rows between are added in order.
        sums: (tree_levels(groups) + 1, depth * columns); the last place is for a group that is not finished.
    """
    place = sums.shape[0] - 1
    if is_first and is_last and (group % 2 == 0 or rows <= CACHED_ROWS):
        place = 0  # of a pair, the second is added to the first at once
    pairs = group % 2 == 1 and place == 0
    correlate_point(x, x_offset, dy, dy_offset, rows, depth, columns, sums[place], 0, pairs or not is_first)
    if not is_last:
        return
    level = 1 if pairs else 0
    while (group >> level) % 2 == 1:
        target = level + 1 if (group >> (level + 1)) % 2 == 0 else place
        waiting, own, both = sums[level], sums[place], sums[target]
        for i in range(own.shape[0]):
            both[i] = waiting[i] + own[i]
        level, place = level + 1, target
    if place != level:
        sums[level] = sums[place]


@kernel(parallel=True)
def correlate_groups(x, dy, starts, first_group, is_begun, is_cut, levels, depth, columns, sums):
    """``correlate_group`` at every point, for some groups in order; one point a task.

    Args:
        x, dy: as in ``correlate_point``, one row per point.
        starts: where the groups' rows begin, and where the last of them ends: (groups + 1,).
        first_group: the number of the first of them.
        is_begun, is_cut: whether the first of them has rows before these, and the last of them has rows after these.
        levels: tree_levels(groups) of the batch.
        sums: at each point, (levels + 1, depth * columns) values, and whatever follows.
    """
    x_flat, dy_flat = x.reshape(x.size), dy.reshape(dy.size)
    for p in prange(x.shape[0]):
        own = sums[p, : (levels + 1) * depth * columns].reshape(levels + 1, depth * columns)
        for i in range(starts.shape[0] - 1):
            correlate_group(
                x_flat, p * x.shape[1] + starts[i] * depth,
                dy_flat, p * dy.shape[1] + starts[i] * columns,
                starts[i + 1] - starts[i], depth, columns, first_group + i,
                not (is_begun and i == 0), not (is_cut and i == starts.shape[0] - 2), own,
            )  # fmt: skip
