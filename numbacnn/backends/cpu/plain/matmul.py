"""The product of rows with rows, the inner loop of all heavy readable kernels.

    out[m, n] += sum_k a[m, k] * b[n, k]

Both operands are read along k, the axis that is contiguous in memory, so the sum is a dot product of vectors: sixteen float32 at a
time, whatever the CPU (``codegen/dots.py``). Two rows of a are multiplied by four rows of b at once. Their eight sums live in
registers, and each loaded value is used two or four times, so the loop is bound by arithmetic and not by memory. Convolution, dense
layers and their gradients are this product, once their operands are laid out as rows (a patch, a filter, a batch of pixels).

Every sum is computed by the same loop: at the edges a block repeats a row instead of taking another path. So an image's result has
the same bits in any batch.
"""

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.codegen.dots import dots_2x4

ROW_MULTIPLE = 16
"""Rows of scratch are padded with zeros to a multiple of this many values, so that no sum ends in a scalar loop."""

DEPTH = 512
"""Terms of a sum taken at a time."""


@kernel(inline=True)
def padded_length(length):
    """``length`` rounded up to a multiple of ROW_MULTIPLE."""
    return (length + ROW_MULTIPLE - 1) // ROW_MULTIPLE * ROW_MULTIPLE


@kernel(inline=True)
def _add_four(out_row, n, sums):
    columns = out_row.shape[0]
    out_row[n] += sums[0]
    if n + 1 < columns:
        out_row[n + 1] += sums[1]
    if n + 2 < columns:
        out_row[n + 2] += sums[2]
    if n + 3 < columns:
        out_row[n + 3] += sums[3]


@kernel(inline=True)
def add_dot_rows(a, b, out):
    """out[m, n] += sum_k a[m, k] * b[n, k], on one thread: a (rows, k), b (columns, k), out (rows, columns), all row-major.

    Long sums are taken DEPTH terms at a time, so that six rows stay in the first-level cache.
    """
    terms = a.shape[1]
    for k in range(0, terms, DEPTH):
        _add_dot_rows_between(a, b, out, k, min(k + DEPTH, terms))


@kernel(inline=True)
def _add_dot_rows_between(a, b, out, first, stop):
    rows, columns = a.shape[0], b.shape[0]
    last_row, last_column = rows - 1, columns - 1
    for n in range(0, columns, 4):
        b0, b1 = b[n, first:stop], b[min(n + 1, last_column), first:stop]
        b2, b3 = b[min(n + 2, last_column), first:stop], b[min(n + 3, last_column), first:stop]
        for m in range(0, rows, 2):
            a0, a1 = a[m, first:stop], a[min(m + 1, last_row), first:stop]
            upper, lower = dots_2x4((a0, a1), (b0, b1, b2, b3), stop - first)
            _add_four(out[m], n, upper)
            if m < last_row:
                _add_four(out[m + 1], n, lower)


@kernel(inline=True)
def fill_transposed(x, out):
    """out[j, i] = x[i, j], and zero where out's rows are longer. Square tiles keep both sides in the cache."""
    rows, columns = x.shape
    tile = 16
    for i0 in range(0, rows, tile):
        i1 = min(i0 + tile, rows)
        for j in range(columns):
            for i in range(i0, i1):
                out[j, i] = x[i, j]
    for j in range(columns):
        for i in range(rows, out.shape[1]):
            out[j, i] = 0


@kernel(parallel=True)
def transpose_batch(x):
    """Transpose each matrix of a batch: (n, rows, columns) to (n, columns, padded_length(rows)); one matrix a task."""
    count, rows, columns = x.shape
    out = np.empty((count, columns, padded_length(rows)), x.dtype)
    for n in prange(count):
        fill_transposed(x[n], out[n])
    return out
