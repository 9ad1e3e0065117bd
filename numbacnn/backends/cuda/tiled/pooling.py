"""Max pooling fused to the convolution before it: its gradient. Forward, it is the epilogue of ``conv2d.py``.

Windows must not overlap or need padding, and must have 2 or 4 cells, so that a thread's rows of a tile hold whole windows. The winner of
a window is one byte. ReLU comes after the pooling, where it has fewer values to read: the largest value is the same, and where no value
is positive no gradient passes anyway.
"""

from numbacnn.backends.cuda._jit import cuda, kernel
from numbacnn.backends.cuda.launch import THREADS
from numbacnn.backends.cuda.memory import arena
from numbacnn.backends.cuda.plain.geometry import next_pixel
from numbacnn.backends.cuda.plain.reduction import RUN, lane_of, parts_of, rows_of_part, sum_lanes, sum_parts
from numbacnn.backends.cuda.tiled.product import POOL_CELLS
from numbacnn.backends.cuda.tiled.vectors import load, store
from numbacnn.backends.fused_pool import is_simple, pool_geometry
from numbacnn.shapes import Window2D


def can_fuse(pool: Window2D) -> bool:
    """Whether ``conv2d.conv2d`` can fuse a pooling: no padding, no overlap, and windows that fit a thread's rows."""
    rows, columns = pool
    return is_simple(pool) and POOL_CELLS % (rows.kernel * columns.kernel) == 0


def max_pool_relu_backward(y, dy, winners, window, pool, relu):
    """The gradient before ReLU and pooling, of the convolution's whole output; and partial sums of it over all pixels.

    Args:
        y, dy: the output after pooling and ReLU, and its gradient.
        winners: uint8, the winning cell of each window.
        window, pool: of the convolution and of the pooling; ``relu``: whether no gradient passes where y is not positive.

    Returns:
        dz, and for ``reduction.total_of`` sums (parts, maps).
    """
    height, width = window.out
    count, maps = y.shape[0], y.shape[3]
    dz = arena.empty((count, height, width, maps), y.dtype)
    sums = arena.empty((parts_of(count * height * width, maps), maps), y.dtype)
    flat = y.reshape(-1), dy.reshape(-1), winners.reshape(-1)
    sum_parts(_unpool, maps, sums, *flat, count, height, width, maps, pool_geometry(window, pool), relu, dz.reshape(-1))
    return dz, sums


@kernel
def _unpool(y, dy, winners, count, height, width, maps, pool, relu, dz, out):
    """A cell takes its window's gradient if it has won; a cell between windows takes none. Sums are those of ``reduction.sum_pixels``."""
    sums = cuda.shared.array(THREADS, dz.dtype)
    t = cuda.threadIdx.x
    lane, lanes, f, columns = lane_of(maps)
    first, stop = rows_of_part(count * height * width)
    total, zero = dz.dtype.type(0), dz.dtype.type(0)
    if lane < lanes and f < maps:
        line = (first + lane) // width
        n, j = line // height, first + lane - line * width
        i = line - n * height
        for start in range(first + lane, stop, RUN * lanes):
            run = zero
            for m in range(start, min(start + RUN * lanes, stop), lanes):
                p, q = i // pool.sh, j // pool.sw
                u, v = i - p * pool.sh, j - q * pool.sw
                gradient = zero
                if p < pool.rows and q < pool.columns and u < pool.kh and v < pool.kw:
                    window = ((n * pool.rows + p) * pool.columns + q) * maps + f
                    if load(winners, window) == u * pool.kw + v and (not relu or load(y, window) > zero):
                        gradient = load(dy, window)
                store(dz, m * maps + f, gradient)
                run += gradient
                n, i, j = next_pixel(n, i, j, lanes, height, width)
            total += run
    sums[t] = total
    sum_lanes(sums, lanes, columns)
    if t < columns and f < maps:
        out[cuda.blockIdx.x, f] = sums[t]
