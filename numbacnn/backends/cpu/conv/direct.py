"""Direct convolution by the micro-kernel, in float32, with ReLU and max pooling fused: the fast version of ``plain/conv2d.py``.

    y[n,p,q,f] = max(0, max over the window of z[n,i,j,f]),     z[n,i,j,f] = bias[f] + sum_{u,v,c} x[n, i*s-p+u, j*s-p+v, c] * w[u,v,c,f]

A convolution is a matrix product: patches times filters, summed over the kh*kw*c cells of a filter. No patch is copied: in a padded
NHWC image the kw*c values under one row of a filter lie side by side, and those under the next row a line further, so the two loops
of ``multiply_tile`` read them in the image. A table has the offset of each output pixel's patch. So the three products are

    z        = pixels (i, j)  x  filters         summed over filter cells (u, then v and c)
    dfilters = taps (u, v, c)  x  maps of dz     summed over pixels (i, then j), image by image
    dx       = the first one, with dz spread out by the stride and the filters turned

A task's scratch is one padded image; z is never stored for a batch.
"""

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.arena import arena
from numbacnn.backends.cpu.codegen.tile import TILE_COLUMNS, TILE_ROWS, multiply_tile
from numbacnn.backends.cpu.conv.pooling import max_pool_pixels, unpool_into
from numbacnn.backends.cpu.plain.conv2d import turned_filters
from numbacnn.backends.cpu.plain.reduction import WAVE, group_range, sum_groups, sum_in_waves, sum_runs
from numbacnn.backends.cpu.products.panels import packed_panels, panel_count
from numbacnn.backends.cpu.products.prepared import form_of

BAND_VALUES = 65536
"""Values of z that a task holds: with the image they fit the second-level cache."""

BANDED_IMAGES, BANDS = 8, 4
"""With fewer images than BANDED_IMAGES, each is cut into at least BANDS bands, so that all threads have work."""

WHOLE_SUM, SUM_PART = 1024, 256
"""A sum of up to WHOLE_SUM terms is taken at once. A longer one is cut into parts of about SUM_PART, for it would lose many roundings."""


def conv2d(x, filters, bias, window, pool, relu, share):
    """y = pool(relu(conv2d(x))), and the winners of the pooling, uint8."""
    rows, columns = window
    kh, kw, channels, maps = filters.shape
    y = arena.empty((len(x), pool.rows, pool.columns, maps))
    winners = arena.empty(y.shape if pool.kh * pool.kw > 1 else (1, 1, 1, 1), np.uint8)
    rows_per_task = max(1, min(pool.rows, BAND_VALUES // (columns.out * maps * pool.sh)))
    if len(x) < BANDED_IMAGES:
        rows_per_task = min(rows_per_task, -(-pool.rows // BANDS))
    panels = form_of(filters, "panels", lambda filters: packed_panels(filters.reshape(kh * kw * channels, maps)))
    _forward(x, panels, bias, rows, columns, pool, relu, rows_per_task, y, winners)
    return y, winners


@kernel(parallel=True)
def _forward(x, panels, bias, rows, columns, pool, relu, rows_per_task, y, winners):
    """A task owns some rows of y in one image."""
    count, maps = y.shape[0], y.shape[3]
    line = ((columns.out - 1) * columns.stride + columns.kernel) * x.shape[3]
    run = columns.kernel * x.shape[3]
    z_rows = (rows_per_task - 1) * pool.sh + pool.kh
    offsets = _patch_offsets(z_rows, columns.out, rows.stride * line, columns.stride * x.shape[3])
    bands = (pool.rows + rows_per_task - 1) // rows_per_task
    y_flat, winners_flat = y.reshape(y.size), winners.reshape(winners.size)
    no_pool = pool.kh * pool.kw == 1
    for task in prange(count * bands):
        n = task // bands
        first = (task - n * bands) * rows_per_task
        valid_rows = min(rows_per_task, pool.rows - first)
        pixels = ((valid_rows - 1) * pool.sh + pool.kh) * columns.out
        padded = np.zeros(((z_rows - 1) * rows.stride + rows.kernel) * line, x.dtype)
        _copy_lines(x[n], first * pool.sh * rows.stride - rows.pad_before, columns.pad_before, line, padded)
        target = (n * pool.rows + first) * pool.columns * maps
        z, start = (y_flat, target) if no_pool else (np.empty(pixels * maps, x.dtype), 0)
        _correlate(padded, 0, offsets, line, panels, (rows.kernel, run), bias, z, start, pixels, maps, relu and no_pool)
        if not no_pool:
            max_pool_pixels(z, 0, columns.out, maps, pool, relu, y_flat, target, winners_flat, valid_rows)


@kernel(inline=True)
def _correlate(a, origin, offsets, line, panels, terms, bias, out, target, pixels, maps, relu):
    """out[target + m*maps + f] = bias[f] + the sum over a filter's cells of a patch times filter f; ReLU, where asked for.

    Args:
        a, origin, offsets, line: flat image, where its first patch begins, the patches' distances from it, and of two lines.
        panels, terms: filters as panels; their rows, and the values in each.
    """
    height, run = terms
    part_rows, part_run = _part_of(height, run), min(run, WHOLE_SUM if height * run <= WHOLE_SUM else SUM_PART)
    for f in range(0, maps, TILE_COLUMNS):
        for m in range(0, pixels, TILE_ROWS):
            place = target + m * maps + f
            for u in range(0, height, part_rows):
                for k in range(0, run, part_run):
                    is_first, is_last = u + k == 0, u + part_rows >= height and k + part_run >= run
                    multiply_tile(
                        (a, offsets, m, origin + u * line + k, line, 1),
                        (panels, (f * height + u * TILE_COLUMNS) * run + k * TILE_COLUMNS, run * TILE_COLUMNS, TILE_COLUMNS),
                        (min(part_rows, height - u), min(part_run, run - k)),
                        (bias, f, 0) if is_first else (out, place, maps),
                        (out, place, maps),
                        (min(TILE_ROWS, pixels - m), min(TILE_COLUMNS, maps - f)),
                        relu and is_last,
                    )


@kernel(inline=True)
def _part_of(rows, length):
    """How many rows of this length a part of a sum has."""
    return rows if rows * length <= WHOLE_SUM else max(1, SUM_PART // length)


@kernel(inline=True)
def _patch_offsets(rows, columns, row_step, column_step):
    """offsets[i*columns + j] = i*row_step + j*column_step: where the patch of output pixel (i, j) begins."""
    offsets = np.empty(rows * columns, np.int64)
    for i in range(rows):
        for j in range(columns):
            offsets[i * columns + j] = i * row_step + j * column_step
    return offsets


@kernel(inline=True)
def _copy_lines(x, top, left, line, padded):
    """Fill ``padded`` with lines of an image, from line ``top`` on, shifted right by ``left`` pixels; zeros outside are kept."""
    height, width, channels = x.shape
    lines = padded.shape[0] // line
    for r in range(max(0, -top), min(lines, height - top)):
        start = r * line + left * channels
        source = x[top + r].reshape(width * channels)
        target = padded[start : min(start + width * channels, (r + 1) * line)]
        for k in range(target.shape[0]):
            target[k] = source[k]


def conv2d_backward(x, filters, y, winners, dy, window, pool, relu, needs_dx, share):
    """dx (or None), dfilters, dbias of ``conv2d``."""
    rows, columns = window
    kh, kw, channels, maps = filters.shape

    def sum_of(branch):
        own, groups = [array[branch.slice] for array in (x, y, winners, dy)], branch.groups
        return sum_in_waves(groups, lambda wave: _filter_gradient(*own, rows, columns, pool, relu, groups, wave))

    sums = share.total(sum_of)
    dfilters, dbias = sums[:-maps].reshape(filters.shape), sums[-maps:]
    if not needs_dx:
        return None, dfilters, dbias
    panels = packed_panels(turned_filters(filters, 1).reshape(kh * kw * maps, channels))
    dx = arena.empty(x.shape)
    _input_gradient(y, winners, dy, panels, rows, columns, pool, relu, dx)
    return dx, dfilters, dbias


@kernel(parallel=True)
def _filter_gradient(x, y, winners, dy, rows, columns, pool, relu, groups, wave):
    """dfilters and, after them, dbias, of the images in a wave of groups; a task owns a group."""
    count, _, _, channels = x.shape
    maps = dy.shape[3]
    line = ((columns.out - 1) * columns.stride + columns.kernel) * channels
    taps = rows.kernel * columns.kernel * channels
    offsets = _patch_offsets(rows.kernel, columns.kernel * channels, line, 1)
    depth = panel_count(maps) * TILE_COLUMNS
    part_rows = _part_of(rows.out, columns.out)
    parts = np.zeros((min(WAVE, groups), (taps + 1) * maps), x.dtype)
    dy_flat, y_flat, winners_flat = dy.reshape(dy.size), y.reshape(y.size), winners.reshape(winners.size)
    for group in prange(parts.shape[0]):
        padded = np.zeros(((rows.out - 1) * rows.stride + rows.kernel) * line, x.dtype)
        dz = np.zeros(rows.out * columns.out * depth, x.dtype)
        part = parts[group]
        first, stop = group_range(wave + group, groups, count)
        for n in range(first, stop):
            _copy_lines(x[n], -rows.pad_before, columns.pad_before, line, padded)
            unpool_into(dy_flat, y_flat, winners_flat, n, maps, pool, relu, 0, maps, dz, 0, columns.out * depth, depth)
            for i in range(0, rows.out, part_rows):
                for f in range(0, maps, TILE_COLUMNS):
                    for m in range(0, taps, TILE_ROWS):
                        multiply_tile(
                            (padded, offsets, m, i * rows.stride * line, rows.stride * line, columns.stride * channels),
                            (dz, i * columns.out * depth + f, columns.out * depth, depth),
                            (min(part_rows, rows.out - i), columns.out),
                            (part, m * maps + f, maps),
                            (part, m * maps + f, maps),
                            (min(TILE_ROWS, taps - m), min(TILE_COLUMNS, maps - f)),
                            False,
                        )
            _add_pixels(dz.reshape(rows.out * columns.out, depth), part[taps * maps :])
    return sum_groups(parts)


@kernel(inline=True)
def _add_pixels(dz, total):
    """total[f] += sum over pixels of dz[pixel, f]; an image of more than WHOLE_SUM pixels is summed by itself, in runs."""
    if dz.shape[0] > WHOLE_SUM:
        image = np.empty_like(total)
        sum_runs(dz, 0, dz.shape[0], image)
        for f in range(total.shape[0]):
            total[f] += image[f]
    else:
        for pixel in range(dz.shape[0]):
            row = dz[pixel]
            for f in range(total.shape[0]):
                total[f] += row[f]


@kernel(parallel=True)
def _input_gradient(y, winners, dy, panels, rows, columns, pool, relu, dx):
    """A task owns one image: dz, spread out by the stride among zeros, is convolved with the turned filters."""
    count, height, width, channels = dx.shape
    maps = dy.shape[3]
    top, left = rows.kernel - 1 - rows.pad_before, columns.kernel - 1 - columns.pad_before
    # If padding is wider than the filter, some cells of dz saw zeros only and lie outside: the scratch has room for them too.
    before, above = max(0, -left), max(0, -top)
    line = (before + max(left, 0) + max((columns.out - 1) * columns.stride + columns.kernel, width + columns.kernel)) * maps
    lines = above + max(top, 0) + max((rows.out - 1) * rows.stride + rows.kernel, height + rows.kernel)
    start = above * line + before * maps
    offsets = _patch_offsets(height, width, line, maps)
    pixels, run = height * width, columns.kernel * maps
    dy_flat, y_flat, winners_flat = dy.reshape(dy.size), y.reshape(y.size), winners.reshape(winners.size)
    for n in prange(count):
        spread = np.zeros(lines * line, dx.dtype)
        corner = (above + top) * line + (before + left) * maps
        unpool_into(
            dy_flat, y_flat, winners_flat, n, maps, pool, relu, 0, maps, spread, corner, rows.stride * line, columns.stride * maps
        )
        out = dx[n].reshape(pixels * channels)
        zeros = np.zeros(channels, dx.dtype)
        _correlate(spread, start, offsets, line, panels, (rows.kernel, run), zeros, out, 0, pixels, channels, False)
