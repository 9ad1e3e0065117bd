"""ReLU and max pooling fused to a convolution: on the pixels of one image while they are still in the cache.

    y[p, q, f] = max(0, max over (u, v) of z[p*sh + u, q*sw + v, f])

Only windows that neither overlap nor need padding are fused. The winner of a window is kept as one byte, u*kw + v. ReLU follows the
pooling, where there are fewer values: the maximum is the same, and where no value is positive no gradient passes anyway.
"""

import numpy as np

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.codegen.pool_cell import copy_lanes, max_pool_cell, unpool_cell
from numbacnn.backends.cpu.vector_unit import LANES
from numbacnn.backends.fused_pool import is_simple
from numbacnn.shapes import Window2D


def can_fuse(pool: Window2D) -> bool:
    """Whether the kernels of this file compute the pooling: no padding, no overlap, more than one cell, a winner that fits a byte."""
    rows, columns = pool
    return is_simple(pool) and rows.kernel * columns.kernel <= 256


@kernel(inline=True)
def max_pool_pixels(z, offset, width, channels, pool, relu, y, y_offset, winners, rows):
    """Pool ``rows`` rows of one image, all channels.

    Args:
        z, offset: flat array (lines of ``width`` pixels, channels), and where its first window begins.
        y, winners, y_offset: flat arrays, and the first output in both.
    """
    for p in range(rows):
        for q in range(pool.columns):
            corner = offset + (p * pool.sh * width + q * pool.sw) * channels
            target = y_offset + (p * pool.columns + q) * channels
            for f in range(0, channels, LANES):
                max_pool_cell(
                    (z, corner + f, width * channels, channels), (pool.kh, pool.kw), y, winners, target + f, channels - f, relu
                )


@kernel(inline=True)
def pool_lanes(z, offset, width, step, bias, n, c, channels, pool, relu, y, winners):
    """Add the bias, pool and apply ReLU for LANES channels of one image.

    Args:
        z, offset: flat array, overwritten, and where the image begins: lines of ``width`` pixels, ``step`` values apart.
        bias: of all channels.
        n, c: the image, and the first of its channels that z has.
        y, winners: of all images, flat.
    """
    valid_lanes = min(LANES, channels - c)
    lane_bias = np.zeros(LANES, np.float32)
    for lane in range(valid_lanes):
        lane_bias[lane] = bias[c + lane]
    for pixel in range(offset % step, z.size, step):
        value = z[pixel : pixel + LANES]
        for lane in range(LANES):
            value[lane] += lane_bias[lane]
    for p in range(pool.rows):
        for q in range(pool.columns):
            corner = offset + (p * pool.sh * width + q * pool.sw) * step
            target = ((n * pool.rows + p) * pool.columns + q) * channels + c
            if pool.kh * pool.kw == 1:
                copy_lanes((z, corner), (y, target), valid_lanes, relu)
            else:
                max_pool_cell((z, corner, width * step, step), (pool.kh, pool.kw), y, winners, target, valid_lanes, relu)


@kernel(inline=True)
def unpool_into(dy, y, winners, n, channels, pool, relu, first, stop, target, offset, row_step, column_step):
    """target[offset + i*row_step + j*column_step + f - first] = dz[i, j, f], the gradient before ReLU and pooling.

    Written are channels ``first:stop`` of image ``n``, in the cells of all windows. dy, y, winners and target are flat.
    """
    for p in range(pool.rows):
        for q in range(pool.columns):
            source = ((n * pool.rows + p) * pool.columns + q) * channels
            corner = offset + p * pool.sh * row_step + q * pool.sw * column_step
            for f in range(first, stop, LANES):
                cell = (target, corner + f - first, row_step, column_step)
                unpool_cell(dy, y, winners, source + f, stop - f, (pool.kh, pool.kw), cell, relu)


@kernel(inline=True)
def copy_channels_into(x, n, height, width, channels, first, stop, target, offset, row_step, column_step):
    """target[offset + i*row_step + j*column_step + f - first] = x[n, i, j, f] for channels ``first:stop``; x and target are flat."""
    for i in range(height):
        for j in range(width):
            source = ((n * height + i) * width + j) * channels
            corner = offset + i * row_step + j * column_step
            for f in range(first, stop, LANES):
                copy_lanes((x, source + f), (target, corner + f - first), stop - f, False)
