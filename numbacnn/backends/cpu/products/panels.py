"""Matrices as the micro-kernel reads them: panels of TILE_COLUMNS columns, rows of a panel side by side, zeros beyond the last column.

A panel is read from its first value to its last, so it streams; a row of a wide matrix would touch a page of memory each.
"""

from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.arena import arena
from numbacnn.backends.cpu.codegen.blocks import copy_row, transpose_block
from numbacnn.backends.cpu.codegen.tile import TILE_COLUMNS
from numbacnn.backends.cpu.codegen.vectors import prefetch
from numbacnn.backends.cpu.vector_unit import LANES

ROWS_AHEAD = 16
"""Rows of a matrix lie a page or more point_stride, and a CPU looks no further than a page by itself."""


@kernel(inline=True)
def panel_count(columns):
    """How many panels hold this many columns."""
    return (columns + TILE_COLUMNS - 1) // TILE_COLUMNS


@kernel(inline=True)
def pack_panels(b, at, row_step, column_step, rows, columns, packed):
    """packed[p, k, s] = b[at + k*row_step + (p*TILE_COLUMNS + s)*column_step]; b and packed are flat.

    One of the two steps is 1: the matrix lies in memory by rows, or by columns (then it is turned on the way).
    """
    if column_step == 1:
        for k in range(rows):
            for first in range(0, columns, TILE_COLUMNS):
                source = at + k * row_step + first
                prefetch(b, source + ROWS_AHEAD * row_step)
                copy_row((b, source), (packed, first * rows + k * TILE_COLUMNS), columns - first)
    else:
        for first in range(0, columns, TILE_COLUMNS):
            source, target = at + first * column_step, first * rows
            width = columns - first
            for k in range(0, rows, LANES):
                for s in range(0, TILE_COLUMNS, LANES):
                    corner = target + k * TILE_COLUMNS + s
                    transpose_block(
                        (b, source + k + s * column_step, column_step), (packed, corner, TILE_COLUMNS), (rows - k, width - s)
                    )


def packed_panels(b):
    """A matrix (rows, columns) as a flat array of panels."""
    rows, columns = b.shape
    packed = arena.empty((panel_count.py_func(columns) * rows * TILE_COLUMNS,))
    _pack(b, packed)
    return packed


@kernel(parallel=True)
def _pack(b, packed):
    """A panel a task."""
    rows, columns = b.shape
    flat = b.reshape(rows * columns)
    for p in prange(panel_count(columns)):
        first = p * TILE_COLUMNS
        part = packed[p * rows * TILE_COLUMNS : (p + 1) * rows * TILE_COLUMNS]
        pack_panels(flat, first, columns, 1, rows, min(TILE_COLUMNS, columns - first), part)
