"""A matrix b as the micro-kernel reads it: panels of TILE_COLUMNS columns, the rows of a panel one after the other.

    panels[p, k, s] = b[k, p*TILE_COLUMNS + s]          (0 beyond the last column)

A panel is read from its first value to its last, so it streams; in a wide matrix every row of a tile would lie on another page.
"""

from numba import prange

from numbacnn.backends.cpu._jit import kernel, shared
from numbacnn.backends.cpu.arena import arena
from numbacnn.backends.cpu.codegen.blocks import copy_row, transpose_block
from numbacnn.backends.cpu.codegen.tile import TILE_COLUMNS
from numbacnn.backends.cpu.codegen.vectors import prefetch
from numbacnn.backends.cpu.vector_unit import LANES

ROWS_AHEAD = 16
"""Rows to prefetch. They lie a page or more apart, and a CPU does not look beyond a page by itself."""


@shared
def panel_count(columns):
    """How many panels hold this many columns."""
    return (columns + TILE_COLUMNS - 1) // TILE_COLUMNS


@shared
def panel_offset(row, column, rows):
    """The offset of b[row, column] in the panels of a matrix with this many rows."""
    return column // TILE_COLUMNS * rows * TILE_COLUMNS + row * TILE_COLUMNS + column % TILE_COLUMNS


@kernel(inline=True)
def pack_panels(b, offset, row_step, column_step, rows, columns, panels):
    """panels[p, k, s] = b[offset + k*row_step + (p*TILE_COLUMNS + s)*column_step]; b and panels are flat.

    One of the two steps is 1: the matrix lies in memory by rows, or by columns, and is then transposed on the way.
    """
    if column_step == 1:
        for k in range(rows):
            for first in range(0, columns, TILE_COLUMNS):
                source = offset + k * row_step + first
                prefetch(b, source + ROWS_AHEAD * row_step)
                copy_row((b, source), (panels, first * rows + k * TILE_COLUMNS), columns - first)
    else:
        for first in range(0, columns, TILE_COLUMNS):
            source, target = offset + first * column_step, first * rows
            width = columns - first
            for k in range(0, rows, LANES):
                for s in range(0, TILE_COLUMNS, LANES):
                    transpose_block(
                        (b, source + k + s * column_step, column_step),
                        (panels, target + k * TILE_COLUMNS + s, TILE_COLUMNS),
                        (rows - k, width - s),
                    )


def packed_panels(b, transposed=False):
    """A matrix (rows, columns), or its transpose, as a flat array of panels."""
    (rows, columns), steps = (b.shape[::-1], (1, b.shape[1])) if transposed else (b.shape, (b.shape[1], 1))
    panels = arena.empty((panel_count(columns) * rows * TILE_COLUMNS,))
    _pack(b.reshape(b.size), *steps, rows, columns, panels)
    return panels


@kernel(parallel=True)
def _pack(b, row_step, column_step, rows, columns, panels):
    """One panel a task."""
    for p in prange(panel_count(columns)):
        first = p * TILE_COLUMNS
        panel = panels[p * rows * TILE_COLUMNS : (p + 1) * rows * TILE_COLUMNS]
        pack_panels(b, first * column_step, row_step, column_step, rows, min(TILE_COLUMNS, columns - first), panel)
