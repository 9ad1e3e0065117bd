"""ReLU's gradient and the sums of it that a bias needs, in one pass over the values."""

from numbacnn.backends.cuda._jit import cuda, kernel
from numbacnn.backends.cuda.launch import THREADS
from numbacnn.backends.cuda.memory import arena
from numbacnn.backends.cuda.plain.geometry import as_rows
from numbacnn.backends.cuda.plain.reduction import RUN, lane_of, parts_of, rows_of_part, sum_lanes, sum_parts
from numbacnn.backends.cuda.tiled.vectors import load, store


def relu_backward_and_sums(y, dy):
    """``Ops.relu_backward``, and the partial sums of it over all but the last axis: for ``reduction.total_of``, (parts, columns)."""
    dz = arena.like(y)
    rows, columns = as_rows(y).shape
    sums = arena.empty((parts_of(rows, columns), columns), y.dtype)
    sum_parts(_mask, columns, sums, y.reshape(-1), dy.reshape(-1), rows, columns, dz.reshape(-1))
    return dz, sums


@kernel
def _mask(y, dy, rows, columns, dz, out):
    """Sums are those of ``reduction.sum_pixels``."""
    sums = cuda.shared.array(THREADS, dz.dtype)
    t = cuda.threadIdx.x
    lane, lanes, column, width = lane_of(columns)
    first, stop = rows_of_part(rows)
    total, zero = dz.dtype.type(0), dz.dtype.type(0)
    if lane < lanes and column < columns:
        for start in range(first + lane, stop, RUN * lanes):
            run = zero
            for n in range(start, min(start + RUN * lanes, stop), lanes):
                i = n * columns + column
                gradient = load(dy, i) if load(y, i) > zero else zero
                store(dz, i, gradient)
                run += gradient
            total += run
    sums[t] = total
    sum_lanes(sums, lanes, width)
    if t < width and column < columns:
        out[cuda.blockIdx.x, column] = sums[t]
