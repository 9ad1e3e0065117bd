"""Convolution on the GPU by tiles: the fast version of ``conv2d.py``, with ReLU and max pooling fused.

A convolution is a matrix product, see ``tiles.py``, whose left factor is never written down: its rows are pixels, and a row holds the
values under the filter at that pixel. The three products are

    z        = pixels (n, i, j)  x  filters f         summed over the cells (u, v, c) of a filter
    dfilters = cells (u, v, c)   x  filters f         summed over pixels (n, i, j), and cut into parts
    dx       = pixels (n, r, q)  x  channels c        summed over (u, v, f), with dz in place of x and the filters turned

Where is the value of a pixel and a cell? In NHWC the kw*c values under one row of a filter lie side by side, so (v, c) can count as one
number v: a patch is kh runs of kw*c values, a line of the image apart. With top = i*stride - pad, left = (j*stride - pad) * c,

    value(pixel, cell) = x[start of the image + (top + u) * line + left + v]      if 0 <= top + u < height and 0 <= left + v < line

and 0 else: that is the padding. All but one number of these belong to the rows that a thread fetches, and stay in registers. What
goes along k is taken step by step, without divisions: those are done once for each row, and shared (``_pixel`` and the tables).

Pooling. Pixels are numbered window after window, cell after cell within a window, so a thread's rows hold whole windows: it picks the
largest of them in its own registers, and z is never written down. Pixels between windows are not computed at all.

Stride. With a stride s the pixels of x fall into s * s classes, by the remainders of their place: those of one class meet the same
cells of the filter, every s-th, and among themselves they are a convolution with stride 1. A block belongs to one class.
"""

import functools
from typing import NamedTuple

import numpy as np

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import cuda, device_function, kernel
from numbacnn.backends.cuda.launch import blocks_of
from numbacnn.backends.cuda.memory import arena, to_device
from numbacnn.backends.cuda.plain.conv2d import sum_pixels, zeros
from numbacnn.backends.cuda.tiled.product import (
    PAD,
    TILES,
    WIDTH,
    add_parts,
    clear,
    fetch,
    grid_of,
    keep,
    multiply,
    next_row,
    place_rows,
    read_four,
    rectified,
    share,
    tile_for,
    write_four,
)
from numbacnn.backends.cuda.tiled.vectors import ALIGNED, is_within, load, store
from numbacnn.backends.fused_pool import pool_geometry


class Images(NamedTuple):
    """How images lie in memory: so many of them, of ``height`` lines of ``line`` values."""

    number: int
    height: int
    line: int


def conv2d(x, filters, bias, window, relu, pool):
    """y = relu(pool(conv2d(x))), and the winners of the pooling, uint8, or None. See ``Ops.conv2d_block``."""
    rows, columns = window
    channels, maps = filters.shape[2:]
    count, cells = x.shape[0], pool_geometry(window, pool)
    bias = zeros(maps, x.dtype) if bias is None else bias
    y = arena.empty((count, cells.rows, cells.columns, maps), x.dtype)
    winners = None if pool is None else arena.empty(y.shape, np.uint8)
    pixels = count * cells.rows * cells.columns * cells.kh * cells.kw
    tile = tile_for(pixels, maps)
    grid = (blocks_of(pixels, tile.rows), blocks_of(maps, tile.columns))
    images = Images(count, rows.size, columns.size * channels)
    out = y.reshape(-1), _no_winners() if winners is None else winners.reshape(-1)
    args = x.reshape(-1), filters.reshape(-1), bias, images, rows, columns, cells, channels, relu, *out
    launch.blocks(_FORWARD[tile], grid, tile.threads, *args)
    return y, winners


def conv2d_backward(x, filters, dz, window, needs_dx):
    """dx (or None), dfilters, dbias, where ``dz`` is the gradient before ReLU and pooling. See ``Ops.conv2d_backward``."""
    dx = _input_gradient(x, filters, dz, window) if needs_dx else None
    return dx, _filter_gradient(x, filters, dz, window), sum_pixels(dz)


@functools.cache
def _no_winners():
    return to_device(np.zeros(1, np.uint8))


def _filter_gradient(x, filters, dz, window):
    rows, columns = window
    kh, kw, channels, maps = filters.shape
    images = Images(x.shape[0], rows.size, columns.size * channels)
    taps, pixels = kh * kw * channels, x.shape[0] * rows.out * columns.out
    tile = tile_for(taps, maps)
    grid, each = grid_of(tile, taps, maps, pixels)
    dfilters = arena.like(filters)
    parts = dfilters if grid[2] == 1 else arena.empty((grid[2], taps, maps), x.dtype)
    args = x.reshape(-1), dz.reshape(-1), images, rows, columns, channels, each, maps, parts.reshape(-1)
    launch.blocks(_FILTER_GRADIENT[tile], grid, tile.threads, *args)
    return dfilters if grid[2] == 1 else add_parts(parts, zeros(maps, x.dtype), False, dfilters)


def _input_gradient(x, filters, dz, window):
    rows, columns = window
    channels, maps = filters.shape[2:]
    images = Images(x.shape[0], rows.out, columns.out * maps)
    dx = arena.like(x)
    pixels = x.shape[0] * blocks_of(rows.size, rows.stride) * blocks_of(columns.size, columns.stride)  # of the largest class
    tile = tile_for(pixels, channels)
    classes = min(rows.stride, rows.size) * min(columns.stride, columns.size)
    grid = (blocks_of(pixels, tile.rows), blocks_of(channels, tile.columns), classes)
    args = dz.reshape(-1), filters.reshape(-1), images, rows, columns, channels, maps, dx.reshape(-1)
    launch.blocks(_INPUT_GRADIENT[tile], grid, tile.threads, *args)
    return dx


# --- patches -----------------------------------------------------------------------------------------------------------------------


@device_function
def fetch_patch(values, x, at, tops, lefts, places, u, v, images, is_inside):
    """A thread's values of one term: those at (tops[e] + u, lefts[e] + v), which lie at at + places[e]; zeros outside the image."""
    for e in range(values.shape[0]):
        values[e] = 0
    if is_inside:
        for e in range(values.shape[0]):
            if is_within(tops[e] + u, images.height) & is_within(lefts[e] + v, images.line):
                values[e] = load(x, at + places[e])


@device_function
def recall(numbers, table, first, lanes):
    """What a table in shared memory says of the rows that a thread fetches."""
    for e in range(numbers.shape[0]):
        numbers[e] = table[first + e * lanes]


@device_function
def next_cell(u, v, step, run):
    """``step`` cells further in a patch of runs of ``run`` values."""
    v += step
    while v >= run:
        v -= run
        u += 1
    return u, v


@device_function
def next_pixel(n, i, j, step, height, width):
    """``step`` pixels further."""
    j += step
    while j >= width:
        j -= width
        i += 1
        if i == height:
            i = 0
            n += 1
    return n, i, j


# --- forward -----------------------------------------------------------------------------------------------------------------------


@device_function
def _pixel(m, cells):
    """(n, i, j) of pixel ``m``, counted window after window of the pooling."""
    window = m // (cells.kh * cells.kw)
    cell = m - window * (cells.kh * cells.kw)
    line = window // cells.columns
    n = line // cells.rows
    u = cell // cells.kw
    return n, (line - n * cells.rows) * cells.sh + u, (window - line * cells.columns) * cells.sw + cell - u * cells.kw


def _make_forward(tile):
    rows_, columns_, depth, thread_rows, thread_columns = tile
    across, lanes, threads = tile.across, tile.lanes, tile.threads
    a_size, b_size, a_each, b_each = tile.slices(rows_), tile.slices(columns_), rows_ // lanes, columns_ // lanes
    a_step, b_step = rows_ + PAD, columns_ + PAD
    own = thread_rows, thread_columns

    @kernel
    def _conv2d_pixels(x, filters, bias, images, rows, columns, cells, channels, relu, y, winners):
        """A block owns a tile of pixels (x) by filters (y)."""
        t = cuda.threadIdx.x
        tops = cuda.shared.array(rows_, np.int32)
        lefts = cuda.shared.array(rows_, np.int32)
        places = cuda.shared.array(rows_, np.int32)
        a_slices = cuda.shared.array(a_size, x.dtype, ALIGNED)
        b_slices = cuda.shared.array(b_size, x.dtype, ALIGNED)
        a_values = cuda.local.array(a_each, x.dtype)
        b_values = cuda.local.array(b_each, x.dtype)
        a_tops = cuda.local.array(a_each, np.int32)
        a_lefts = cuda.local.array(a_each, np.int32)
        a_places = cuda.local.array(a_each, np.int32)
        b_places = cuda.local.array(b_each, np.int32)
        a_now = cuda.local.array(thread_rows, x.dtype)
        b_now = cuda.local.array(thread_columns, x.dtype)
        sums = cuda.local.array(own, x.dtype)

        run, maps = columns.kernel * channels, bias.size
        pixels = images.number * cells.rows * cells.columns * cells.kh * cells.kw
        terms = rows.kernel * run
        top, left = cuda.blockIdx.x * rows_, cuda.blockIdx.y * columns_
        first_image = _pixel(top, cells)[0]
        for row in range(t, rows_, threads):
            n, i, j = _pixel(min(top + row, pixels - 1), cells)
            r, q = i * rows.stride - rows.pad_before, (j * columns.stride - columns.pad_before) * channels
            tops[row], lefts[row] = r, q
            places[row] = ((n - first_image) * images.height + r) * images.line + q
        cuda.syncthreads()

        a_k, a_row = share(t, True, depth, lanes)
        b_k, b_row = share(t, False, depth, lanes)
        recall(a_tops, tops, a_row, lanes)
        recall(a_lefts, lefts, a_row, lanes)
        recall(a_places, places, a_row, lanes)
        place_rows(b_places, b_row, lanes, maps - 1 - left, 1)
        image = first_image * images.height * images.line
        b_at = left + b_k * maps
        row, column = t // across * thread_rows, t % across * WIDTH

        clear(sums)
        u, v = next_cell(0, a_k, 0, run)
        fetch_patch(a_values, x, image + u * images.line + v, a_tops, a_lefts, a_places, u, v, images, a_k < terms)
        fetch(b_values, filters, b_at, b_places, b_k < terms)
        half = 0
        k = 0
        while k < terms:
            keep(a_values, a_slices, (half + a_k) * a_step + a_row, lanes)
            keep(b_values, b_slices, (half + b_k) * b_step + b_row, lanes)
            cuda.syncthreads()
            k += depth
            u, v = next_cell(u, v, depth, run)
            b_at += depth * maps
            fetch_patch(a_values, x, image + u * images.line + v, a_tops, a_lefts, a_places, u, v, images, k + a_k < terms)
            fetch(b_values, filters, b_at, b_places, k + b_k < terms)
            multiply(a_slices, half * a_step + row, b_slices, half * b_step + column, tile, a_now, b_now, sums)
            half = depth - half

        offsets = cuda.local.array(WIDTH, x.dtype)
        best = cuda.local.array(thread_columns, x.dtype)
        won = cuda.local.array(thread_columns, np.int32)
        size = cells.kh * cells.kw
        for r in range(thread_rows):
            cell = r % size
            for s in range(0, thread_columns, WIDTH):
                f = left + column + s * across
                read_four(offsets, bias, f, maps - f, maps)
                for i in range(WIDTH):
                    value, before = sums[0, s + i] + offsets[i], best[s + i]
                    # NaN compares false with everything: it must win, and keep what it won.
                    if cell == 0 or value > before or (value != value and before == before):
                        best[s + i], won[s + i] = value, cell
                if cell == size - 1 and top + row + r < pixels and f < maps:
                    _write_window(best, won, s, y, winners, (top + row + r) // size * maps + f, maps - f, maps, size > 1, relu)
            next_row(sums)

    return _conv2d_pixels


@device_function
def _write_window(best, won, s, y, winners, at, count, maps, is_pooled, relu):
    values = cuda.local.array(WIDTH, y.dtype)
    for i in range(WIDTH):
        values[i] = rectified(best[s + i], relu)
    write_four(values, y, at, count, maps)
    if is_pooled:
        for i in range(WIDTH):
            if i < count:
                store(winners, at + i, np.uint8(won[s + i]))


# --- backward ----------------------------------------------------------------------------------------------------------------------


def _make_filter_gradient(tile):
    rows_, columns_, depth, thread_rows, thread_columns = tile
    across, lanes = tile.across, tile.lanes
    a_size, b_size, a_each, b_each = tile.slices(rows_), tile.slices(columns_), rows_ // lanes, columns_ // lanes
    a_step, b_step = rows_ + PAD, columns_ + PAD
    own = thread_rows, thread_columns

    @kernel
    def _conv2d_taps(x, dz, images, rows, columns, channels, each, maps, out):
        """A block owns a tile of filter cells (x) by filters (y), and ``each`` of the pixels (z)."""
        t = cuda.threadIdx.x
        a_slices = cuda.shared.array(a_size, x.dtype, ALIGNED)
        b_slices = cuda.shared.array(b_size, x.dtype, ALIGNED)
        a_values = cuda.local.array(a_each, x.dtype)
        b_values = cuda.local.array(b_each, x.dtype)
        a_tops = cuda.local.array(a_each, np.int32)
        a_lefts = cuda.local.array(a_each, np.int32)
        a_places = cuda.local.array(a_each, np.int32)
        b_places = cuda.local.array(b_each, np.int32)
        a_now = cuda.local.array(thread_rows, x.dtype)
        b_now = cuda.local.array(thread_columns, x.dtype)
        sums = cuda.local.array(own, x.dtype)

        run = columns.kernel * channels
        taps = rows.kernel * run
        top, left = cuda.blockIdx.x * rows_, cuda.blockIdx.y * columns_
        first = cuda.blockIdx.z * each
        stop = min(first + each, images.number * rows.out * columns.out)
        a_k, a_row = share(t, False, depth, lanes)  # the same for b: a pixel's channels lie side by side, and so do its maps
        place_rows(a_places, a_row, lanes, taps - 1 - top, 1)
        for e in range(a_each):
            tap = top + a_places[e]
            a_tops[e] = tap // run
            a_lefts[e] = tap - tap // run * run
            a_places[e] = a_tops[e] * images.line + a_lefts[e]
        place_rows(b_places, a_row, lanes, maps - 1 - left, 1)
        row, column = t // across * thread_rows, t % across * WIDTH

        clear(sums)
        b_at = (first + a_k) * maps + left
        line = (first + a_k) // columns.out
        n, i, j = line // rows.out, line % rows.out, (first + a_k) % columns.out
        r, q = i * rows.stride - rows.pad_before, (j * columns.stride - columns.pad_before) * channels
        at = (n * images.height + r) * images.line + q
        fetch_patch(a_values, x, at, a_tops, a_lefts, a_places, r, q, images, first + a_k < stop)
        fetch(b_values, dz, b_at, b_places, first + a_k < stop)
        half = 0
        k = first
        while k < stop:
            keep(a_values, a_slices, (half + a_k) * a_step + a_row, lanes)
            keep(b_values, b_slices, (half + a_k) * b_step + a_row, lanes)
            cuda.syncthreads()
            k += depth
            n, i, j = next_pixel(n, i, j, depth, rows.out, columns.out)
            r, q = i * rows.stride - rows.pad_before, (j * columns.stride - columns.pad_before) * channels
            at = (n * images.height + r) * images.line + q
            b_at += depth * maps
            fetch_patch(a_values, x, at, a_tops, a_lefts, a_places, r, q, images, k + a_k < stop)
            fetch(b_values, dz, b_at, b_places, k + a_k < stop)
            multiply(a_slices, half * a_step + row, b_slices, half * b_step + column, tile, a_now, b_now, sums)
            half = depth - half

        values = cuda.local.array(WIDTH, x.dtype)
        for r in range(thread_rows):
            m = top + row + r
            for s in range(0, thread_columns, WIDTH):
                f = left + column + s * across
                if m < taps and f < maps:
                    for i in range(WIDTH):
                        values[i] = sums[0, s + i]
                    write_four(values, out, (cuda.blockIdx.z * taps + m) * maps + f, maps - f, maps)
            next_row(sums)

    return _conv2d_taps


@device_function
def _class_of(remainder, axis):
    """The pixels of x with this remainder, and the filter cells that they meet, along one axis.

    Pixel remainder + a*stride meets cell first + b*stride in window shift + a - b, for b below ``cells``; ``pixels`` counts the a.
    """
    place = remainder + axis.pad_before
    first = place % axis.stride
    cells = (axis.kernel - first + axis.stride - 1) // axis.stride
    pixels = (axis.size - remainder + axis.stride - 1) // axis.stride
    return first, cells, place // axis.stride, pixels


@device_function
def next_turned(u, v, f, step, maps, width):
    """``step`` terms further: maps fastest, then ``width`` columns."""
    f += step
    while f >= maps:
        f -= maps
        v += 1
        if v == width:
            v = 0
            u += 1
    return u, v, f


def _make_input_gradient(tile):
    rows_, columns_, depth, thread_rows, thread_columns = tile
    across, lanes, threads = tile.across, tile.lanes, tile.threads
    a_size, b_size, a_each, b_each = tile.slices(rows_), tile.slices(columns_), rows_ // lanes, columns_ // lanes
    a_step, b_step = rows_ + PAD, columns_ + PAD
    own = thread_rows, thread_columns

    @kernel
    def _conv2d_turned(dz, filters, images, rows, columns, channels, maps, dx):
        """A block owns a tile of pixels (x) by channels (y), all of one class (z). ``images`` are those of dz."""
        t = cuda.threadIdx.x
        tops = cuda.shared.array(rows_, np.int32)
        lefts = cuda.shared.array(rows_, np.int32)
        places = cuda.shared.array(rows_, np.int32)
        targets = cuda.shared.array(rows_, np.int32)
        a_slices = cuda.shared.array(a_size, dz.dtype, ALIGNED)
        b_slices = cuda.shared.array(b_size, dz.dtype, ALIGNED)
        a_values = cuda.local.array(a_each, dz.dtype)
        b_values = cuda.local.array(b_each, dz.dtype)
        a_tops = cuda.local.array(a_each, np.int32)
        a_lefts = cuda.local.array(a_each, np.int32)
        a_places = cuda.local.array(a_each, np.int32)
        b_places = cuda.local.array(b_each, np.int32)
        a_now = cuda.local.array(thread_rows, dz.dtype)
        b_now = cuda.local.array(thread_columns, dz.dtype)
        sums = cuda.local.array(own, dz.dtype)

        across_classes = min(columns.stride, columns.size)
        row_rest, column_rest = cuda.blockIdx.z // across_classes, cuda.blockIdx.z % across_classes
        u0, kh, row_shift, height = _class_of(row_rest, rows)
        v0, kw, column_shift, width = _class_of(column_rest, columns)
        pixels, terms = images.number * height * width, kh * kw * maps
        top, left = cuda.blockIdx.x * rows_, cuda.blockIdx.y * columns_
        if top >= pixels:
            return
        first_image = top // (height * width)
        for row in range(t, rows_, threads):
            m = min(top + row, pixels - 1)
            line = m // width
            n = line // height
            a, b = line - n * height, m - line * width
            n -= first_image
            # Terms go over the cells from the last to the first one, and so over dz from above to below.
            r, q = a + row_shift - (kh - 1), (b + column_shift - (kw - 1)) * maps
            tops[row], lefts[row], places[row] = r, q, (n * images.height + r) * images.line + q
            targets[row] = (n * rows.size + a * rows.stride + row_rest) * columns.size + b * columns.stride + column_rest
        cuda.syncthreads()

        a_k, a_row = share(t, True, depth, lanes)  # the same for b: maps lie side by side in filters too
        recall(a_tops, tops, a_row, lanes)
        recall(a_lefts, lefts, a_row, lanes)
        recall(a_places, places, a_row, lanes)
        place_rows(b_places, a_row, lanes, channels - 1 - left, maps)
        image = first_image * images.height * images.line
        u_last, v_last = u0 + (kh - 1) * rows.stride, v0 + (kw - 1) * columns.stride
        row, column = t // across * thread_rows, t % across * WIDTH

        clear(sums)
        u, v, f = next_turned(0, 0, a_k, 0, maps, kw)
        at, cell = u * images.line + v * maps + f, (u_last - u * rows.stride) * columns.kernel + v_last - v * columns.stride
        fetch_patch(a_values, dz, image + at, a_tops, a_lefts, a_places, u, v * maps + f, images, a_k < terms)
        fetch(b_values, filters, (cell * channels + left) * maps + f, b_places, a_k < terms)
        half = 0
        k = 0
        while k < terms:
            keep(a_values, a_slices, (half + a_k) * a_step + a_row, lanes)
            keep(b_values, b_slices, (half + a_k) * b_step + a_row, lanes)
            cuda.syncthreads()
            k += depth
            u, v, f = next_turned(u, v, f, depth, maps, kw)
            at, cell = u * images.line + v * maps + f, (u_last - u * rows.stride) * columns.kernel + v_last - v * columns.stride
            fetch_patch(a_values, dz, image + at, a_tops, a_lefts, a_places, u, v * maps + f, images, k + a_k < terms)
            fetch(b_values, filters, (cell * channels + left) * maps + f, b_places, k + a_k < terms)
            multiply(a_slices, half * a_step + row, b_slices, half * b_step + column, tile, a_now, b_now, sums)
            half = depth - half

        values = cuda.local.array(WIDTH, dz.dtype)
        image = first_image * rows.size * columns.size
        for r in range(thread_rows):
            for s in range(0, thread_columns, WIDTH):
                c = left + column + s * across
                if top + row + r < pixels and c < channels:
                    for i in range(WIDTH):
                        values[i] = sums[0, s + i]
                    write_four(values, dx, (image + targets[row + r]) * channels + c, channels - c, channels)
            next_row(sums)

    return _conv2d_turned


_FORWARD = {tile: _make_forward(tile) for tile in TILES}
_FILTER_GRADIENT = {tile: _make_filter_gradient(tile) for tile in TILES}
_INPUT_GRADIENT = {tile: _make_input_gradient(tile) for tile in TILES}
