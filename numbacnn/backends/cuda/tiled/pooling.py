"""Max pooling fused to the convolution before it: the forward half is the end of ``conv2d_tiled.py``, the gradient is here.

Only where windows do not overlap, need no padding and have 2 or 4 cells, so that a thread, which holds a few rows of a tile, holds
whole windows. The winner of a window is kept as one byte. ReLU comes after the pooling, where it has fewer values to look at: the
largest value is the same, and where nothing is positive no gradient passes anyway.
"""

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import cuda, kernel
from numbacnn.backends.cuda.memory import arena
from numbacnn.backends.cuda.plain.geometry import cell_of
from numbacnn.backends.cuda.tiled.product import POOL_CELLS
from numbacnn.backends.fused_pool import is_simple, pool_geometry
from numbacnn.shapes import Window2D


def can_fuse(pool: Window2D) -> bool:
    """Whether ``conv2d_tiled.conv2d`` can do it: no padding, no overlap, and windows of which a thread holds whole ones."""
    rows, columns = pool
    return is_simple(pool) and POOL_CELLS % (rows.kernel * columns.kernel) == 0


def max_pool_relu_backward(y, dy, winners, window, pool, relu):
    """The gradient before ReLU and pooling, of the convolution's whole output.

    Args:
        y, dy: what came out in the end, and its gradient.
        winners: uint8, the cell of each window that won.
        window, pool: of the convolution and of the pooling; ``relu``: whether no gradient passes where y is not positive.
    """
    height, width = window.out
    count, maps = y.shape[0], y.shape[3]
    dz = arena.empty((count, height, width, maps), y.dtype)
    launch.over(_unpool, dz.size, y, dy, winners, pool_geometry(window, pool), relu, dz)
    return dz


@kernel
def _unpool(y, dy, winners, pool, relu, dz):
    """Each cell asks its window whether it has won; one between windows has none to ask."""
    n, i, j, f = cell_of(cuda.grid(1), dz.shape[1], dz.shape[2], dz.shape[3])
    if n < dz.shape[0]:
        p, q = i // pool.sh, j // pool.sw
        u, v = i - p * pool.sh, j - q * pool.sw
        gradient = dz.dtype.type(0)
        if p < pool.rows and q < pool.columns and u < pool.kh and v < pool.kw:
            passes = not relu or y[n, p, q, f] > 0
            if passes and winners[n, p, q, f] == u * pool.kw + v:
                gradient = dy[n, p, q, f]
        dz[n, i, j, f] = gradient
