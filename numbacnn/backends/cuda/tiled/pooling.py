"""Max pooling fused to the convolution before it: its gradient. Forward, it is the epilogue of ``conv2d.py``.

Windows must not overlap or need padding, and must have 2 or 4 cells, so that a thread's rows of a tile hold whole windows. The winner of
a window is one byte. ReLU comes after the pooling, where it has fewer values to read: the largest value is the same, and where no value
is positive no gradient passes anyway.
"""

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import cuda, kernel
from numbacnn.backends.cuda.memory import arena
from numbacnn.backends.cuda.plain.geometry import cell_of
from numbacnn.backends.cuda.tiled.product import POOL_CELLS
from numbacnn.backends.fused_pool import is_simple, pool_geometry
from numbacnn.shapes import Window2D


def can_fuse(pool: Window2D) -> bool:
    """Whether ``conv2d.conv2d`` can fuse a pooling: no padding, no overlap, and windows that fit a thread's rows."""
    rows, columns = pool
    return is_simple(pool) and POOL_CELLS % (rows.kernel * columns.kernel) == 0


def max_pool_relu_backward(y, dy, winners, window, pool, relu):
    """The gradient before ReLU and pooling, of the convolution's whole output.

    Args:
        y, dy: the output after pooling and ReLU, and its gradient.
        winners: uint8, the winning cell of each window.
        window, pool: of the convolution and of the pooling; ``relu``: whether no gradient passes where y is not positive.
    """
    height, width = window.out
    count, maps = y.shape[0], y.shape[3]
    dz = arena.empty((count, height, width, maps), y.dtype)
    launch.over(_unpool, dz.size, y, dy, winners, pool_geometry(window, pool), relu, dz)
    return dz


@kernel
def _unpool(y, dy, winners, pool, relu, dz):
    """A cell takes its window's gradient if it has won; a cell between windows takes none."""
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
