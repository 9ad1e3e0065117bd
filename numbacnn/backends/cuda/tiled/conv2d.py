"""Convolution on the GPU by tiles: the fast version of ``plain/conv2d.py``, with ReLU and max pooling fused.

A convolution is a matrix product, see ``product.py``, whose left factor is never written to memory: its rows are pixels, and a row holds
the values under the filter at that pixel. The three products are

    z        = pixels (n, i, j)  x  filters f         summed over the cells (u, v, c) of a filter
    dfilters = cells (u, v, c)   x  filters f         summed over pixels (n, i, j), and cut into parts
    dx       = pixels (n, r, q)  x  channels c        summed over (u, v, f), with dz in place of x and the filters turned

Addresses. In NHWC the kw*c values under one row of a filter lie side by side, so (v, c) can count as one
number v: a patch is kh runs of kw*c values, a line of the image apart. With top = i*stride - pad, left = (j*stride - pad) * c,

    value(pixel, cell) = x[start of the image + (top + u) * line + left + v]      if 0 <= top + u < height and 0 <= left + v < line

and 0 else: that is the padding. Tops, lefts and offsets of the rows that a thread loads stay in registers. (u, v) goes along k step by
step, without divisions: those are done once for each row, and shared (``_pixel`` and the tables).

Pooling. Pixels are numbered window after window, cell after cell within a window, so a thread's rows hold whole windows: it finds the
largest value in its own registers, and z is never written to memory. Pixels between windows are not computed at all.

Stride. With a stride s the pixels of x fall into s * s classes, by the remainders of row and column: pixels of one class meet the same
cells of the filter, every s-th, and form a convolution with stride 1. A block belongs to one class.
"""

from typing import Any, NamedTuple

import numpy as np

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import cuda, device_function, kernel
from numbacnn.backends.cuda.exchange import part_of
from numbacnn.backends.cuda.launch import blocks_of
from numbacnn.backends.cuda.memory import arena, zeros
from numbacnn.backends.cuda.plain.geometry import next_pixel
from numbacnn.backends.cuda.plain.reduction import pixel_sums, total_of
from numbacnn.backends.cuda.tiled.product import (
    HALF_ROWS,
    TILES,
    Matrix,
    add_parts,
    balanced_tile,
    check_offsets,
    grid_of,
    load_term,
    make_product,
    my_slice,
    named,
    read_four,
    rectified,
    row_offsets,
    tile_for,
    write_four,
    write_sums,
)
from numbacnn.backends.cuda.tiled.vectors import WIDTH, is_within, load_near, store
from numbacnn.backends.fused_pool import pool_geometry
from numbacnn.backends.precisions import PRECISIONS


class Images(NamedTuple):
    """The layout of images in memory: their number, their lines, and the values of a line."""

    number: int
    height: int
    line: int


def farthest_in(images, tile_rows, pixels):
    """The most values between two that a block reads of images, whose rows are pixels, so many in each image."""
    touched = min(images.number, (tile_rows + pixels - 2) // max(pixels, 1) + 1)
    return touched * images.height * images.line


def conv2d(x, filters, bias, window, relu, pool, precision):
    """y = relu(pool(conv2d(x))), and the winners of the pooling, uint8, or None. See ``Ops.conv2d_block``."""
    rows, columns = window
    channels, maps = filters.shape[2:]
    count, cells = x.shape[0], pool_geometry(window, pool)
    bias = zeros(maps, x.dtype) if bias is None else bias
    y = arena.empty((count, cells.rows, cells.columns, maps), x.dtype)
    winners = None if pool is None else arena.empty(y.shape, np.uint8)
    pixels = count * cells.rows * cells.columns * cells.kh * cells.kw
    tile, images = balanced_tile(pixels, maps), Images(count, rows.size, columns.size * channels)
    check_offsets("conv2d", farthest_in(images, tile.rows, cells.rows * cells.columns * cells.kh * cells.kw))
    grid = (blocks_of(pixels, tile.rows), blocks_of(maps, tile.columns))
    out = y.reshape(-1), zeros(1, np.uint8) if winners is None else winners.reshape(-1)
    args = x.reshape(-1), filters.reshape(-1), bias, images, rows, columns, cells, channels, relu, *out
    launch.blocks(_FORWARD[tile, precision], grid, tile.threads, *args)
    return y, winners


def conv2d_backward(x, filters, dz, window, needs_dx, share, precision, sums=None):
    """dx (or None), dfilters, dbias, where ``dz`` is the gradient before ReLU and pooling. See ``Ops.conv2d_backward``.

    Args:
        sums: partial sums of dz over all pixels, if they are known.
    """
    dx = _input_gradient(x, filters, dz, window, precision) if needs_dx else None
    if share.is_whole:
        return dx, *_filter_gradient(x, filters, dz, window, precision, pixel_sums(dz) if sums is None else sums)
    dfilters = share.total(
        lambda branch: _filter_gradient(part_of(x, branch), filters, part_of(dz, branch), window, precision)[0]
    )
    return dx, dfilters, share.total(lambda branch: total_of(pixel_sums(part_of(dz, branch))))


def _filter_gradient(x, filters, dz, window, precision, sums=None):
    """dfilters, and the total of ``sums``, if there are some: a second launch adds up the parts of both."""
    rows, columns = window
    kh, kw, channels, maps = filters.shape
    images = Images(x.shape[0], rows.size, columns.size * channels)
    taps, pixels = kh * kw * channels, x.shape[0] * rows.out * columns.out
    tile = tile_for(taps, maps)
    grid, terms_per_part = grid_of(tile, taps, maps, pixels)
    dfilters = arena.like(filters)
    parts = dfilters if grid[2] == 1 else arena.empty((grid[2], taps, maps), x.dtype)
    args = x.reshape(-1), dz.reshape(-1), images, rows, columns, channels, terms_per_part, maps, parts.reshape(-1)
    launch.blocks(_FILTER_GRADIENT[tile, precision], grid, tile.threads, *args)
    if grid[2] == 1:
        return dfilters, None if sums is None else total_of(sums)
    if sums is None:
        return add_parts(parts, zeros(maps, x.dtype), False, dfilters), None
    return add_parts(parts, zeros(maps, x.dtype), False, dfilters, sums)


def _input_gradient(x, filters, dz, window, precision):
    rows, columns = window
    channels, maps = filters.shape[2:]
    count = x.shape[0]
    images = Images(count, rows.out, columns.out * maps)
    dx = arena.like(x)
    pixels = count * blocks_of(rows.size, rows.stride) * blocks_of(columns.size, columns.stride)  # of the largest class
    classes = min(rows.stride, rows.size) * min(columns.stride, columns.size)
    fewest = max(rows.size // rows.stride, 1) * max(columns.size // columns.stride, 1)  # of an image, in the smallest class
    tile = balanced_tile(pixels, channels, classes)
    check_offsets("conv2d", farthest_in(images, tile.rows, fewest))
    grid = (blocks_of(pixels, tile.rows), blocks_of(channels, tile.columns), classes)
    args = dz.reshape(-1), filters.reshape(-1), images, rows, columns, channels, maps, dx.reshape(-1)
    launch.blocks(_INPUT_GRADIENT[tile, precision], grid, tile.threads, *args)
    return dx


# --- patches -----------------------------------------------------------------------------------------------------------------------


class Patches(NamedTuple):
    """The left factor.

    Args:
        matrix: the images, flat.
        tops, lefts, offsets: of the rows that a thread loads.
        images: their layout.
        steps: numbers that the loader and ``advance`` of one kernel need.
    """

    matrix: Any
    tops: Any
    lefts: Any
    offsets: Any
    images: Images
    steps: Any


@device_function
def load_patch(values, patches, offset, u, v, is_present):
    """A thread's values of one term: those at (tops[e] + u, lefts[e] + v), at offset + offsets[e]; zeros outside the image."""
    for e in range(values.shape[0]):
        values[e] = 0
    if is_present:
        for e in range(values.shape[0]):
            if is_within(patches.tops[e] + u, patches.images.height) & is_within(patches.lefts[e] + v, patches.images.line):
                values[e] = load_near(patches.matrix, offset, patches.offsets[e])


@device_function
def load_geometry(numbers, table, first, lanes):
    """The entries of a table in shared memory for the rows that a thread loads."""
    for e in range(numbers.shape[0]):
        numbers[e] = table[first + e * lanes]


@device_function
def load_right(values, b, position, is_present):
    """A thread's values of one term of the right factor, whose offset is the first number of a position."""
    load_term(values, b.matrix, position[0], b.offsets, is_present)


@device_function
def next_cell(u, v, steps, run):
    """``steps`` cells further in a patch of runs of ``run`` values."""
    v += steps
    while v >= run:
        v -= run
        u += 1
    return u, v


# --- forward: a position is (offset in the filters, u, v) --------------------------------------------------------------------------


@device_function
def _load_pixels(values, a, position, is_present):
    _, u, v = position
    image, _ = a.steps
    load_patch(values, a, image + u * a.images.line + v, u, v, is_present)


@device_function
def _advance_cell(position, a, b, steps):
    _, run = a.steps
    offset, u, v = position
    u, v = next_cell(u, v, steps, run)
    return offset + steps * b.step, u, v


@device_function
def _pool(sums, s, r, m, n, out):
    """Keep the largest value of a window so far; write it after the window's last cell."""
    bias, best, winners_so_far, cells, pixels, relu, y, winners = out
    biases = cuda.local.array(WIDTH, y.dtype)
    maps, size = bias.size, cells.kh * cells.kw
    cell = r % size
    read_four(biases, bias, n, maps - n, maps)
    for i in range(WIDTH):
        value, before = sums[0, s + i] + biases[i], best[s + i]
        # NaN compares false with everything, yet must win and stay the winner.
        if cell == 0 or value > before or (value != value and before == before):
            best[s + i], winners_so_far[s + i] = value, cell
    if cell == size - 1 and m < pixels and n < maps:
        _write_window(best, winners_so_far, s, y, winners, m // size * maps + n, maps - n, maps, size > 1, relu)


@device_function
def _write_window(best, winners_so_far, s, y, winners, offset, count, maps, is_pooled, relu):
    values = cuda.local.array(WIDTH, y.dtype)
    for i in range(WIDTH):
        values[i] = rectified(best[s + i], relu)
    write_four(values, y, offset, count, maps)
    if is_pooled:
        for i in range(WIDTH):
            if i < count:
                store(winners, offset + i, np.uint8(winners_so_far[s + i]))


@device_function
def _pixel(m, cells):
    """(n, i, j) of pixel ``m``, counted window after window of the pooling."""
    window = m // (cells.kh * cells.kw)
    cell = m - window * (cells.kh * cells.kw)
    line = window // cells.columns
    n = line // cells.rows
    u = cell // cells.kw
    return n, (line - n * cells.rows) * cells.sh + u, (window - line * cells.columns) * cells.sw + cell - u * cells.kw


def _make_forward(tile, precision):
    tile_rows, tile_columns, depth, _, thread_columns = tile
    lanes, threads, a_count, b_count = tile.lanes, tile.threads, tile.loads(tile_rows), tile.loads(tile_columns)
    product = make_product(tile, precision, _load_pixels, load_right, _advance_cell, _pool)

    @kernel
    @named(precision)
    def _conv2d_pixels(x, filters, bias, images, rows, columns, cells, channels, relu, y, winners):
        """A block owns a tile of pixels (x) by filters (y)."""
        t = cuda.threadIdx.x
        tops = cuda.shared.array(tile_rows, np.int32)
        lefts = cuda.shared.array(tile_rows, np.int32)
        offsets = cuda.shared.array(tile_rows, np.int32)
        a_tops = cuda.local.array(a_count, np.int32)
        a_lefts = cuda.local.array(a_count, np.int32)
        a_offsets = cuda.local.array(a_count, np.int32)
        b_offsets = cuda.local.array(b_count, np.int32)
        best = cuda.local.array(thread_columns, x.dtype)
        winners_so_far = cuda.local.array(thread_columns, np.int32)

        run, maps = columns.kernel * channels, bias.size
        pixels = images.number * cells.rows * cells.columns * cells.kh * cells.kw
        top, left = cuda.blockIdx.x * tile_rows, cuda.blockIdx.y * tile_columns
        first_image = _pixel(top, cells)[0]
        for row in range(t, tile_rows, threads):
            n, i, j = _pixel(min(top + row, pixels - 1), cells)
            r, q = i * rows.stride - rows.pad_before, (j * columns.stride - columns.pad_before) * channels
            tops[row], lefts[row] = r, q
            offsets[row] = ((n - first_image) * images.height + r) * images.line + q
        cuda.syncthreads()

        a_term, a_row = my_slice(t, True, depth, lanes)
        b_term, b_row = my_slice(t, False, depth, lanes)
        load_geometry(a_tops, tops, a_row, lanes)
        load_geometry(a_lefts, lefts, a_row, lanes)
        load_geometry(a_offsets, offsets, a_row, lanes)
        row_offsets(b_offsets, b_row, lanes, maps - 1 - left, 1)
        image = first_image * images.height * images.line
        u, v = next_cell(0, a_term, 0, run)
        product(
            Patches(x, a_tops, a_lefts, a_offsets, images, (image, run)), Matrix(filters, b_offsets, maps),
            (a_term, a_row), (b_term, b_row), (left + b_term * maps, u, v), 0, rows.kernel * run,
            (bias, best, winners_so_far, cells, pixels, relu, y, winners),
        )  # fmt: skip

    return _conv2d_pixels


# --- gradient of the filters: a position is (offset in dz, n, i, j) ----------------------------------------------------------------


@device_function
def _load_cells(values, a, position, is_present):
    _, n, i, j = position
    rows, columns, channels = a.steps
    r, q = i * rows.stride - rows.pad_before, (j * columns.stride - columns.pad_before) * channels
    load_patch(values, a, (n * a.images.height + r) * a.images.line + q, r, q, is_present)


@device_function
def _advance_pixel(position, a, b, steps):
    offset, n, i, j = position
    rows, columns, _ = a.steps
    n, i, j = next_pixel(n, i, j, steps, rows.out, columns.out)
    return offset + steps * b.step, n, i, j


@device_function
def _write_taps(sums, s, r, m, n, out):
    array, taps, maps = out
    if m < taps and n < maps:
        write_sums(sums, s, (cuda.blockIdx.z * taps + m) * maps + n, maps - n, maps, array)


def _make_filter_gradient(tile, precision):
    tile_rows, tile_columns, depth = tile[:3]
    lanes, a_count, b_count = tile.lanes, tile.loads(tile_rows), tile.loads(tile_columns)
    product = make_product(tile, precision, _load_cells, load_right, _advance_pixel, _write_taps)

    @kernel
    @named(precision)
    def _conv2d_taps(x, dz, images, rows, columns, channels, terms_per_part, maps, out):
        """A block owns a tile of filter cells (x) by filters (y), and ``terms_per_part`` of the pixels (z)."""
        a_tops = cuda.local.array(a_count, np.int32)
        a_lefts = cuda.local.array(a_count, np.int32)
        a_offsets = cuda.local.array(a_count, np.int32)
        b_offsets = cuda.local.array(b_count, np.int32)

        run = columns.kernel * channels
        taps = rows.kernel * run
        top, left = cuda.blockIdx.x * tile_rows, cuda.blockIdx.y * tile_columns
        first = cuda.blockIdx.z * terms_per_part
        stop = min(first + terms_per_part, images.number * rows.out * columns.out)
        term, row = my_slice(
            cuda.threadIdx.x, False, depth, lanes
        )  # of both: channels of a pixel lie side by side, and so do maps
        row_offsets(a_offsets, row, lanes, taps - 1 - top, 1)
        for e in range(a_count):
            tap = top + a_offsets[e]
            a_tops[e] = tap // run
            a_lefts[e] = tap - tap // run * run
            a_offsets[e] = a_tops[e] * images.line + a_lefts[e]
        row_offsets(b_offsets, row, lanes, maps - 1 - left, 1)
        pixel = first + term
        line = pixel // columns.out
        product(
            Patches(x, a_tops, a_lefts, a_offsets, images, (rows, columns, channels)), Matrix(dz, b_offsets, maps),
            (term, row), (term, row), (pixel * maps + left, line // rows.out, line % rows.out, pixel % columns.out), first, stop,
            (out, taps, maps),
        )  # fmt: skip

    return _conv2d_taps


# --- gradient of the input: a position is (u, v, f) --------------------------------------------------------------------------------


class TurnedFilters(NamedTuple):
    """The right factor: filters, with their cells from the last one to the first.

    Args:
        matrix: flat.
        offsets: of the channels that a thread loads.
        last: the offset of the last cell of the class, for the first channel of the block.
        down, across: values between two rows and two columns of cells of the class.
    """

    matrix: Any
    offsets: Any
    last: int
    down: int
    across: int


@device_function
def _load_turned_pixels(values, a, position, is_present):
    u, v, f = position
    image, maps, _ = a.steps
    load_patch(values, a, image + (u * a.images.line + v * maps + f), u, v * maps + f, is_present)


@device_function
def _load_turned_filters(values, b, position, is_present):
    u, v, f = position
    load_term(values, b.matrix, b.last - u * b.down - v * b.across + f, b.offsets, is_present)


@device_function
def _advance_turned(position, a, b, steps):
    u, v, f = position
    _, maps, width = a.steps
    return next_pixel(u, v, f, steps, width, maps)  # maps fastest, then columns of the filters


@device_function
def _write_pixels(sums, s, r, m, n, out):
    dx, targets, first_image, rows, columns, pixels, channels = out
    image = first_image * rows.size * columns.size  # computed after the loop: before, it would cost 50 registers
    if m < pixels and n < channels:
        write_sums(sums, s, (image + targets[m - cuda.blockIdx.x * targets.size]) * channels + n, channels - n, channels, dx)


@device_function
def _class_of(remainder, axis):
    """The pixels of x with this remainder, and the filter cells that they meet, along one axis.

    Pixel remainder + a*stride meets cell first + b*stride in window shift + a - b, for b below ``cells``; ``pixels`` counts the a.
    """
    position = remainder + axis.pad_before
    first = position % axis.stride
    cells = (axis.kernel - first + axis.stride - 1) // axis.stride
    pixels = (axis.size - remainder + axis.stride - 1) // axis.stride
    return first, cells, position // axis.stride, pixels


def _make_input_gradient(tile, precision):
    tile_rows, tile_columns, depth = tile[:3]
    lanes, threads, a_count, b_count = tile.lanes, tile.threads, tile.loads(tile_rows), tile.loads(tile_columns)
    product = make_product(tile, precision, _load_turned_pixels, _load_turned_filters, _advance_turned, _write_pixels)

    @kernel
    @named(precision)
    def _conv2d_turned(dz, filters, images, rows, columns, channels, maps, dx):
        """A block owns a tile of pixels (x) by channels (y), all of one class (z). ``images`` are those of dz."""
        t = cuda.threadIdx.x
        tops = cuda.shared.array(tile_rows, np.int32)
        lefts = cuda.shared.array(tile_rows, np.int32)
        offsets = cuda.shared.array(tile_rows, np.int32)
        targets = cuda.shared.array(tile_rows, np.int32)
        a_tops = cuda.local.array(a_count, np.int32)
        a_lefts = cuda.local.array(a_count, np.int32)
        a_offsets = cuda.local.array(a_count, np.int32)
        b_offsets = cuda.local.array(b_count, np.int32)

        across_classes = min(columns.stride, columns.size)
        row_remainder, column_remainder = cuda.blockIdx.z // across_classes, cuda.blockIdx.z % across_classes
        u0, kh, row_shift, height = _class_of(row_remainder, rows)
        v0, kw, column_shift, width = _class_of(column_remainder, columns)
        pixels, terms = images.number * height * width, kh * kw * maps
        top, left = cuda.blockIdx.x * tile_rows, cuda.blockIdx.y * tile_columns
        if top >= pixels:
            return
        first_image = top // (height * width)
        for row in range(t, tile_rows, threads):
            m = min(top + row, pixels - 1)
            line = m // width
            n = line // height
            a, b = line - n * height, m - line * width
            n -= first_image
            # Terms go over the cells from the last to the first one, and so over dz from above to below.
            r, q = a + row_shift - (kh - 1), (b + column_shift - (kw - 1)) * maps
            tops[row], lefts[row], offsets[row] = r, q, (n * images.height + r) * images.line + q
            targets[row] = (
                (n * rows.size + a * rows.stride + row_remainder) * columns.size + b * columns.stride + column_remainder
            )
        cuda.syncthreads()

        term, row = my_slice(t, True, depth, lanes)  # of both: maps lie side by side in filters too
        load_geometry(a_tops, tops, row, lanes)
        load_geometry(a_lefts, lefts, row, lanes)
        load_geometry(a_offsets, offsets, row, lanes)
        row_offsets(b_offsets, row, lanes, channels - 1 - left, maps)
        u_last, v_last = u0 + (kh - 1) * rows.stride, v0 + (kw - 1) * columns.stride
        last = ((u_last * columns.kernel + v_last) * channels + left) * maps
        across = columns.stride * channels * maps
        image = first_image * images.height * images.line
        product(
            Patches(dz, a_tops, a_lefts, a_offsets, images, (image, maps, kw)),
            TurnedFilters(filters, b_offsets, last, rows.stride * columns.kernel * channels * maps, across),
            (term, row), (term, row), next_pixel(0, 0, term, 0, kw, maps), 0, terms,
            (dx, targets, first_image, rows, columns, pixels, channels),
        )  # fmt: skip

    return _conv2d_turned


def _all_of(make, tiles):
    """The kernels of a product, by tile and precision."""
    return {(tile, precision): make(tile, precision) for tile in dict.fromkeys(tiles) for precision in PRECISIONS}


_FORWARD = _all_of(_make_forward, TILES + HALF_ROWS)
_FILTER_GRADIENT = _all_of(_make_filter_gradient, TILES)
_INPUT_GRADIENT = _all_of(_make_input_gradient, TILES + HALF_ROWS)
