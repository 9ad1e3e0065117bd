"""Max pooling fused to what comes before it: on the pixels of one image while they are still in the cache.

Only where windows do not overlap and need no padding. The winner of a window is kept as one byte. ReLU comes after the pooling,
where it has fewer values to look at: the largest value is the same, and where nothing is positive no gradient passes anyway.
"""

import numpy as np

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.codegen.pool_cell import max_pool_cell, scatter_cell, store_lanes
from numbacnn.backends.cpu.vector_unit import LANES
from numbacnn.backends.fused_pool import is_simple
from numbacnn.shapes import Window2D


def can_fuse(pool: Window2D) -> bool:
    """Whether ``max_pool_pixels`` can do it: no padding, no overlap, more than one cell, and a winner that fits a byte."""
    rows, columns = pool
    return is_simple(pool) and rows.kernel * columns.kernel <= 256


@kernel(inline=True, fast_math=False)
def max_pool_pixels(z, at, width, channels, pool, relu, y, y_at, winners, rows):
    """y[p, q, f] = max of z over the window, and where it was; z (pixels of lines ``width`` long, channels); flat arrays."""
    for p in range(rows):
        for q in range(pool.columns):
            corner = at + (p * pool.sh * width + q * pool.sw) * channels
            out = y_at + (p * pool.columns + q) * channels
            for f in range(0, channels, LANES):
                max_pool_cell(
                    (z, corner + f, width * channels, channels), (pool.kh, pool.kw), y, winners, out + f, channels - f, relu
                )


@kernel(inline=True, fast_math=False)
def pool_lanes(z, at, width, step, bias, n, c, channels, pool, relu, y, winners):
    """Bias, pooling and ReLU for LANES channels of one image.

    Args:
        z: flat, pixels at a distance of ``step`` values in lines of ``width`` pixels; the image begins at ``at``. Overwritten.
        bias: of all channels.
        n, c: the image, and its first channel of those in z.
        y, winners: of all images, flat.
    """
    here = min(LANES, channels - c)
    own_bias = np.zeros(LANES, np.float32)
    for lane in range(here):
        own_bias[lane] = bias[c + lane]
    for pixel in range(at % step, z.size, step):
        value = z[pixel : pixel + LANES]
        for lane in range(LANES):
            value[lane] += own_bias[lane]
    for p in range(pool.rows):
        for q in range(pool.columns):
            corner = at + (p * pool.sh * width + q * pool.sw) * step
            out = ((n * pool.rows + p) * pool.columns + q) * channels + c
            if pool.kh * pool.kw == 1:
                store_lanes((z, corner), (y, out), here, relu)
            else:
                max_pool_cell((z, corner, width * step, step), (pool.kh, pool.kw), y, winners, out, here, relu)


@kernel(inline=True, fast_math=False)
def unpool_into(dy, y, winners, n, channels, pool, relu, first, stop, target, at, row_step, column_step):
    """target[at + i*row_step + j*column_step + f - first] = the gradient of cell (i, j, f) before ReLU and pooling, f in first...stop.

    dy, y, winners and target are flat; ``n`` is the image. Cells that no window looked at are not written.
    """
    for p in range(pool.rows):
        for q in range(pool.columns):
            place = ((n * pool.rows + p) * pool.columns + q) * channels
            corner = at + p * pool.sh * row_step + q * pool.sw * column_step
            for f in range(first, stop, LANES):
                goal = (target, corner + f - first, row_step, column_step)
                scatter_cell(dy, y, winners, place + f, stop - f, (pool.kh, pool.kw), goal, relu)
