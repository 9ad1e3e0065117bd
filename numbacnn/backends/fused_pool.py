"""The geometry of a max pooling fused to a convolution, as numbers that kernels of either device take."""

from typing import NamedTuple

from numbacnn.shapes import Window2D


class Pool(NamedTuple):
    """A fused pooling: ``rows`` by ``columns`` output cells, a window of kh by kw cells every sh by sw; 1 and 1 for no pooling."""

    rows: int
    columns: int
    kh: int
    kw: int
    sh: int
    sw: int


def pool_geometry(window: Window2D, pool: Window2D | None) -> Pool:
    """The geometry of the pooling after a convolution; without one, a window of one cell for each output."""
    rows, columns = pool or window
    if pool is None:
        return Pool(rows.out, columns.out, 1, 1, 1, 1)
    return Pool(rows.out, columns.out, rows.kernel, columns.kernel, rows.stride, columns.stride)


def no_pooling(window: Window2D) -> Pool:
    """No pooling, for arrays of the size of a convolution's input: a window of one cell for each input."""
    return Pool(window.rows.size, window.columns.size, 1, 1, 1, 1)


def is_simple(pool: Window2D) -> bool:
    """Whether the windows do not overlap, need no padding, and have more than one cell."""
    rows, columns = pool
    is_padded = rows.pad_before or rows.pad_after or columns.pad_before or columns.pad_after
    is_disjoint = rows.stride >= rows.kernel and columns.stride >= columns.kernel
    return is_disjoint and not is_padded and rows.kernel * columns.kernel > 1
