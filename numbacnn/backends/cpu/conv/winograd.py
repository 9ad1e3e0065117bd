"""Winograd's convolution of small filters, in float32, with ReLU and max pooling fused.

    y = pool(relu(bias + z)),     z = A^T [(G w) * (B^T d)]     for each tile of the output, summed over channels

The output is cut into tiles of m x m pixels. The n x n pixels of the image that such a tile depends on, n = m + r - 1 for a filter of
r x r cells, are transformed to n x n points, where the convolution is a product, point by point: n*n multiplications per tile and
pair of channels instead of (m r)^2, that is 2.25 instead of 9 per pixel for F(4, 3). Unlike the frequency domain, images may have
any size.

With d^, w^ and z^ for the values at one point of tiles of images (t: tile and image), filters and outputs, and sums over the indices
missing on the left (matrices in ``winograd_matrices.py``; both axes of a tile, rows and columns, are transformed):

    z^[t, f]  = sum_c d^[t, c] w^[c, f]     d^ = B^T d, w^ = G w, z = A^T z^             forward
    w^[c, f]  = sum_t d^[t, c] z^[t, f]     d^ as it was, z^ = A dz, dw = G^T w^         the filters' gradient
    d^[t, c]  = sum_f z^[t, f] w^[c, f]     z^ as it was, w^ = G w, dd = B d^            the input's gradient

d^ is kept from the forward pass for the filters' gradient, and z^ serves both gradients. Tiles of the image overlap by r - 1 pixels,
so their gradients are added. Tiles at the end may reach beyond the image: they read zeros there, and those outputs are not used.

Source: Lavin & Gray 2015 (arXiv:1509.09308).
"""

import itertools
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.arena import arena
from numbacnn.backends.cpu.codegen.pool_cell import copy_lanes
from numbacnn.backends.cpu.codegen.transforms import winograd
from numbacnn.backends.cpu.codegen.winograd_matrices import SUMMING_POINT, TILES, WinogradKind
from numbacnn.backends.cpu.conv.algorithm import WIDTH
from numbacnn.backends.cpu.conv.exchange import gradient_of_filters
from numbacnn.backends.cpu.conv.pooling import copy_channels_into, pool_lanes, unpool_into
from numbacnn.backends.cpu.plain.reduction import group_start, sum_groups, sum_runs
from numbacnn.backends.cpu.products.panels import panel_offset
from numbacnn.backends.cpu.products.points import (
    BLOCK,
    NO_WINNERS,
    channel_blocks,
    correlate_groups,
    multiply_points,
    panel_stride,
    point_stride,
    tree_levels,
    whole_vectors,
)
from numbacnn.backends.cpu.products.prepared import form_of
from numbacnn.backends.cpu.vector_unit import LANES
from numbacnn.backends.fused_pool import no_pooling

INPUT, INPUT_BACK, FILTER, FILTER_BACK, OUTPUT, OUTPUT_BACK = (int(kind) for kind in WinogradKind)

CHUNK_VALUES = 2**18
"""Values of transformed tiles in a chunk, which is transformed, multiplied and transformed back while it is in the cache."""


class SavedTiles(NamedTuple):
    """The images' transformed tiles (chunks, points, ...) and the winners, for the backward pass."""

    tiles: Any
    winners: Any


class Chunk(NamedTuple):
    """Some images of a branch, which are transformed and multiplied together: whole groups of them, or a part of one group.

    Args:
        images: a slice of the images.
        group: the number of the first group, in the branch.
        bounds: where the groups begin, and where the last of them ends, counted from the chunk's first image.
        is_begun, is_cut: whether the group has images before these, and after these.
    """

    images: slice
    group: int
    bounds: tuple[int, ...]
    is_begun: bool
    is_cut: bool


class Tiling(NamedTuple):
    """How images are cut: into ``down`` times ``across`` tiles of m x m outputs, and each branch of the batch into chunks."""

    m: int
    points: int
    down: int
    across: int
    branches: list[list[Chunk]]

    @property
    def chunks(self):
        """Of all branches, in order."""
        return list(itertools.chain.from_iterable(self.branches))

    def size(self, channels):
        """The distance between points, in float32 values."""
        most = max(chunk.bounds[-1] for chunk in self.chunks)
        return point_stride(most * self.down * self.across * whole_vectors(channels))


def tiling(window, share, channels, maps):
    """How the images of a ``Share`` are cut: a function of shapes alone."""
    rows, columns = window
    m = TILES[rows.kernel]
    points, down, across = (m + rows.kernel - 1) ** 2, -(-rows.out // m), -(-columns.out // m)
    images = max(1, CHUNK_VALUES // (points * down * across * -(-max(channels, maps) // WIDTH) * WIDTH))
    return Tiling(m, points, down, across, [_chunks(branch, images) for branch in share.branches])


def _chunks(branch, most):
    """A branch in chunks of at most ``most`` images, where the sum over a group does not depend on where it lies in the batch."""
    origin, count, groups = branch
    bounds = [origin + group_start(group, groups, count) for group in range(groups + 1)]
    largest = -(-count // groups)
    if largest > most:
        return [
            Chunk(slice(first, min(first + most, stop)), group, (0, min(most, stop - first)), first > start, first + most < stop)
            for group, (start, stop) in enumerate(itertools.pairwise(bounds))
            for first in range(start, stop, most)
        ]
    step = 1
    while 2 * step <= groups and 2 * step * largest <= most:
        step *= 2
    cuts = [bounds[group : group + step + 1] for group in range(0, groups, step)]
    return [
        Chunk(slice(cut[0], cut[-1]), step * number, tuple(bound - cut[0] for bound in cut), False, False)
        for number, cut in enumerate(cuts)
    ]


def conv2d(x, filters, bias, window, pool, relu, share):
    """y = pool(relu(conv2d(x))), and ``SavedTiles``."""
    rows, columns = window
    r, _, channels, maps = filters.shape
    cut = tiling(window, share, channels, maps)
    m, points, down, across, _ = cut
    chunks = cut.chunks
    y = arena.empty((len(x), pool.rows, pool.columns, maps))
    no_pool = pool.kh * pool.kw == 1
    winners = NO_WINNERS if no_pool else arena.empty(y.shape, np.uint8)

    def transformed(filters):
        matrices = arena.empty((points, panel_stride(whole_vectors(channels), whole_vectors(maps))))
        matrices_of_filters(m, r)(filters.reshape(r, r, -1), channels, maps, maps, 1, matrices)
        return matrices

    matrices = form_of(filters, "winograd", transformed)
    tiles = arena.empty((len(chunks), points, cut.size(channels)))
    out = arena.empty((points, cut.size(maps)))
    transform, transform_back = tiles_of_images(INPUT, m, r), images_of_tiles(OUTPUT, m, r)
    for d, chunk in zip(tiles, chunks, strict=True):
        transform(x[chunk.images], x, NO_WINNERS, pool, False, rows.pad_before, columns.pad_before, down, across, d)
        count = chunk.bounds[-1] * down * across
        multiply_points(d, matrices, out, count, whole_vectors(channels), whole_vectors(maps))
        transform_back(out, bias, pool, relu, 0, 0, down, across, y[chunk.images], winners if no_pool else winners[chunk.images])
    return y, SavedTiles(tiles, winners)


def conv2d_backward(x, filters, y, saved, dy, window, pool, relu, needs_dx, share):
    """dx (or None), dfilters, dbias of ``conv2d``."""
    rows, columns = window
    r, _, channels, maps = filters.shape
    cut = tiling(window, share, channels, maps)
    m, points, down, across, _ = cut
    no_pool = pool.kh * pool.kw == 1
    tiles = arena.empty((points, cut.size(maps)))
    depth, width = whole_vectors(channels), whole_vectors(maps)
    if needs_dx:
        dx, no_bias, unpooled = arena.empty(x.shape), np.zeros(channels, np.float32), no_pooling(window)
        matrices = arena.empty((points, panel_stride(whole_vectors(maps), whole_vectors(channels))))
        matrices_of_filters(m, r)(filters.reshape(r, r, -1), maps, channels, 1, maps, matrices)
        out = arena.empty((points, cut.size(channels)))
    transform, transform_back = tiles_of_images(OUTPUT_BACK, m, r), images_of_tiles(INPUT_BACK, m, r)
    saved_tiles = iter(saved.tiles)
    trees = []  # of each branch: the sums at every point, where the last of them begins, and the sum of the bias's gradient
    for branch, chunks in zip(share.branches, cut.branches, strict=True):
        levels = tree_levels(branch.groups)
        sums = arena.empty((points, point_stride((levels + 1) * depth * width)))
        bias_sums = np.zeros((branch.groups, maps), np.float32)
        for chunk in chunks:
            winners = saved.winners if no_pool else saved.winners[chunk.images]
            transform(dy[chunk.images], y[chunk.images], winners, pool, relu, 0, 0, down, across, tiles)
            count = chunk.bounds[-1] * down * across
            starts = np.array(chunk.bounds) * down * across
            d = next(saved_tiles)
            correlate_groups(d, tiles, starts, chunk.group, chunk.is_begun, chunk.is_cut, levels, depth, width, sums)
            _add_bias_sums(tiles[SUMMING_POINT * (m + r - 1) + SUMMING_POINT], width, starts, chunk.group, bias_sums)
            if needs_dx:
                multiply_points(tiles, matrices, out, count, width, depth)
                corner = rows.pad_before, columns.pad_before
                transform_back(out, no_bias, unpooled, False, *corner, down, across, dx[chunk.images], NO_WINNERS)
        trees.append((sums, (levels - 1) * depth * width, sum_groups(bias_sums)))
    to_cells, dbias = filters_of_correlations(m, r), share.total_of([bias_sum for _, _, bias_sum in trees])
    if share.ranks is None:
        ((sums, first, _),) = trees
        dfilters = arena.empty(filters.shape)
        to_cells(sums, first, dfilters)
    else:
        ends = [tree[:, end : end + depth * width].reshape(points, depth, width) for tree, end, _ in trees]
        dfilters = gradient_of_filters(
            share, ends, filters.shape, lambda sums, cells: to_cells(sums.reshape(points, -1), 0, cells)
        )
    return dx if needs_dx else None, dfilters, dbias


@kernel()
def _add_bias_sums(values, width, starts, first_group, sums):
    """sums[group, f] += the sum over a group's tiles of values[tile * width + f]."""
    rows = values[: values.size // width * width].reshape(-1, width)
    total = np.empty(sums.shape[1], np.float32)
    for i in range(starts.shape[0] - 1):
        sum_runs(rows, starts[i], starts[i + 1], total)
        for f in range(total.shape[0]):
            sums[first_group + i, f] += total[f]


@lru_cache
def tiles_of_images(kind, m, r):
    """The kernel from images to the points of their tiles.

    ``INPUT`` takes images x, whose tiles overlap. ``OUTPUT_BACK`` takes the gradients of outputs (see ``unpool_into`` for its
    arguments), whose tiles do not. The image begins at (top, left) of the first of ``down`` times ``across`` tiles. For each row of
    tiles the columns are transformed, each once, then the rows of each tile.
    """
    side = m if kind == OUTPUT_BACK else m + r - 1
    points = m + r - 1

    @kernel(parallel=True)
    def images_to_tiles(x, y, winners, pool, relu, top, left, down, across, tiles):
        channels = x.shape[3]
        depth = whole_vectors(channels)
        blocks, height, width = channel_blocks(channels), (down - 1) * m + side, (across - 1) * m + side
        line = width * BLOCK
        flat, point = tiles.reshape(tiles.size), tiles.shape[1]
        x_flat, y_flat, winners_flat = x.reshape(x.size), y.reshape(y.size), winners.reshape(winners.size)
        for task in prange(x.shape[0] * blocks):
            n = task // blocks
            c = (task - n * blocks) * BLOCK
            block_depth = min(BLOCK, depth - c)
            image, band = np.zeros(height * line, np.float32), np.empty(points * line, np.float32)
            start, stop = top * line + left * BLOCK, min(c + BLOCK, channels)
            if kind == INPUT:
                copy_channels_into(x_flat, n, x.shape[1], x.shape[2], channels, c, stop, image, start, line, BLOCK)
            else:
                unpool_into(x_flat, y_flat, winners_flat, n, channels, pool, relu, c, stop, image, start, line, BLOCK)
            for i in range(down):
                for column in range(width):
                    for offset in range(column * BLOCK, column * BLOCK + block_depth, LANES):
                        winograd(kind, m, r, (image, i * m * line + offset, line), (band, offset, line))
                for j in range(across):
                    tile = ((n * down + i) * across + j) * depth + c
                    for u in range(points):
                        source, target = u * line + j * m * BLOCK, tile + u * points * point
                        for v in range(0, block_depth, LANES):
                            winograd(kind, m, r, (band, source + v, BLOCK), (flat, target + v, point))

    return images_to_tiles


@lru_cache
def images_of_tiles(kind, m, r):
    """The kernel from points to images, cut at (top, left) to the size of y, followed by bias, pooling and ReLU.

    The tiles of ``INPUT_BACK`` overlap: each adds to the values of the tiles above and to the left.
    """
    side = m if kind == OUTPUT else m + r - 1
    overlap = side - m
    points = m + r - 1

    @kernel(parallel=True)
    def tiles_to_images(tiles, bias, pool, relu, top, left, down, across, y, winners):
        channels = y.shape[3]
        depth = whole_vectors(channels)
        blocks, height, width = channel_blocks(channels), (down - 1) * m + side, (across - 1) * m + side
        line = width * BLOCK
        flat, point = tiles.reshape(tiles.size), tiles.shape[1]
        y_flat, winners_flat = y.reshape(y.size), winners.reshape(winners.size)
        for task in prange(y.shape[0] * blocks):
            n = task // blocks
            c = (task - n * blocks) * BLOCK
            block_depth = min(BLOCK, depth - c)
            image, band = np.empty(height * line, np.float32), np.empty(points * line, np.float32)
            for k in range(overlap * line):
                image[k] = 0
            for i in range(down):
                for u in range(points):
                    for k in range(overlap * BLOCK):
                        band[u * line + k] = 0
                for j in range(across):
                    tile = ((n * down + i) * across + j) * depth + c
                    for u in range(points):
                        source, target = tile + u * points * point, u * line + j * m * BLOCK
                        for v in range(0, block_depth, LANES):
                            winograd(kind, m, r, (flat, source + v, point), (band, target + v, BLOCK))
                for column in range(width):
                    for offset in range(column * BLOCK, column * BLOCK + block_depth, LANES):
                        winograd(kind, m, r, (band, offset, line), (image, i * m * line + offset, line))
            for v in range(0, block_depth, LANES):
                start = top * line + left * BLOCK + v
                pool_lanes(image, start, width, BLOCK, bias, n, c + v, channels, pool, relu, y_flat, winners_flat)

    return tiles_to_images


@lru_cache
def matrices_of_filters(m, r):
    """The kernel from filters to the matrices that tiles are multiplied by, as panels.

    Filters are (r, r, values); the steps of a matrix's rows and columns in the last axis let it be transposed.
    """
    points = m + r - 1

    @kernel(parallel=True)
    def filters_to_matrices(filters, rows, columns, row_step, column_step, matrices):
        depth = whole_vectors(rows)
        flat, point = matrices.reshape(matrices.size), matrices.shape[1]
        for c in prange(depth):  # zeros beyond the last channel: they are multiplied too
            cells, half = np.zeros(r * r * LANES, np.float32), np.empty(points * r * LANES, np.float32)
            for f in range(0, columns, LANES):
                for u in range(r):
                    for v in range(r):
                        for lane in range(LANES):
                            is_present = c < rows and f + lane < columns
                            value = filters[u, v, c * row_step + (f + lane) * column_step] if is_present else np.float32(0)
                            cells[(u * r + v) * LANES + lane] = value
                for v in range(r):
                    winograd(FILTER, m, r, (cells, v * LANES, r * LANES), (half, v * LANES, r * LANES))
                offset = panel_offset(c, f, depth)
                for u in range(points):
                    winograd(FILTER, m, r, (half, u * r * LANES, LANES), (flat, offset + u * points * point, point))

    return filters_to_matrices


@lru_cache
def filters_of_correlations(m, r):
    """The kernel from the gradients of filters at the points, which begin at ``first``, to those of their cells."""
    points = m + r - 1

    @kernel(parallel=True)
    def correlations_to_filters(correlations, first, filters):
        channels, maps = filters.shape[2], filters.shape[3]
        map_depth = whole_vectors(maps)
        flat, point, out = correlations.reshape(correlations.size), correlations.shape[1], filters.reshape(filters.size)
        for c in prange(channels):
            cells, half = np.empty(r * r * LANES, np.float32), np.empty(points * r * LANES, np.float32)
            for f in range(0, maps, LANES):
                offset = first + c * map_depth + f
                for u in range(points):
                    winograd(FILTER_BACK, m, r, (flat, offset + u * points * point, point), (half, u * r * LANES, LANES))
                for v in range(r):
                    winograd(FILTER_BACK, m, r, (half, v * LANES, r * LANES), (cells, v * LANES, r * LANES))
                for cell in range(r * r):
                    copy_lanes((cells, cell * LANES), (out, (cell * channels + c) * maps + f), maps - f, False)

    return correlations_to_filters
