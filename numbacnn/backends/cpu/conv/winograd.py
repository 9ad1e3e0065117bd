"""Winograd's convolution of small filters, in float32, with ReLU and max pooling fused.

The output is cut into tiles of m x m pixels. The n x n pixels of the image that such a tile depends on, n = m + r - 1 for a filter of
r x r cells, are transformed to n x n points, where the convolution is a product, point by point: n*n multiplications per tile and
pair of channels in place of (m r)^2, that is 2.25 in place of 9 a pixel for F(4, 3). Unlike the frequency domain this takes images
of any size.

With d^, w^ and z^ for what is at one point of tiles of images (t: tile and image), filters and outputs, and sums over what does not
stand on the left (the matrices: ``winograd_matrices.py``; both axes of a tile, rows and columns, are transformed):

    z^[t, f]  = sum_c d^[t, c] w^[c, f]     d^ = B^T d, w^ = G w, z = A^T z^             forward
    w^[c, f]  = sum_t d^[t, c] z^[t, f]     d^ as it was, z^ = A dz, dw = G^T w^         the filters' gradient
    d^[t, c]  = sum_f z^[t, f] w^[c, f]     z^ as it was, w^ = G w, dd = B d^            the input's gradient

d^ is kept from the forward pass for the filters' gradient, and z^ serves both gradients. Tiles of the image overlap by r - 1 pixels,
so that their gradients add up. Tiles at the end may hang over it: they meet zeros there, and give what nobody reads.

Source: Lavin & Gray 2015 (arXiv:1509.09308).
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.arena import arena
from numbacnn.backends.cpu.codegen.tile import TILE_COLUMNS
from numbacnn.backends.cpu.codegen.transforms import winograd
from numbacnn.backends.cpu.codegen.winograd_matrices import SUMMING_POINT, TILES, Kind
from numbacnn.backends.cpu.conv.pooling import pool_lanes, store_lanes, unpool_into
from numbacnn.backends.cpu.plain.conv2d import sum_pixels
from numbacnn.backends.cpu.products.points import (
    BLOCK,
    NO_WINNERS,
    correlate_points,
    multiply_points,
    padded,
    panel_stride,
    point_stride,
)
from numbacnn.backends.cpu.products.prepared import prepared
from numbacnn.backends.cpu.vector_unit import LANES
from numbacnn.backends.fused_pool import no_pooling

INPUT, INPUT_BACK, FILTER, FILTER_BACK, OUTPUT, OUTPUT_BACK = (int(kind) for kind in Kind)


CHUNK_VALUES = 2**18
"""So many values of transformed tiles are made at a time, then multiplied, then transformed back, while they are in the cache."""


class Saved(NamedTuple):
    """What the backward pass needs: the images' tiles, transformed, (chunks, points, ...)."""

    tiles: Any
    winners: Any


class Tiling(NamedTuple):
    """How images are cut: tiles of m x m outputs, ``down`` times ``across`` of them; ``chunks`` are slices of the batch."""

    m: int
    points: int
    down: int
    across: int
    chunks: list[slice]

    def size(self, channels):
        """The distance of points, in float32 values."""
        return point_stride((self.chunks[0].stop - self.chunks[0].start) * self.down * self.across * padded(channels))


def can_do(window):
    """Whether it is a convolution of this kind."""
    rows, columns = window
    return rows.stride == columns.stride == 1 and rows.kernel == columns.kernel and rows.kernel in TILES


def tiling(window, count, channels, maps):
    """The cut of a batch, by shapes alone."""
    rows, columns = window
    m = TILES[rows.kernel]
    points, down, across = (m + rows.kernel - 1) ** 2, -(-rows.out // m), -(-columns.out // m)
    each = max(1, CHUNK_VALUES // (points * down * across * padded(max(channels, maps))))
    return Tiling(m, points, down, across, [slice(first, min(first + each, count)) for first in range(0, count, each)])


def conv2d(x, filters, bias, window, pool, relu):
    """y = pool(relu(conv2d(x))), and what ``conv2d_backward`` needs."""
    rows, columns = window
    r, _, channels, maps = filters.shape
    cut = tiling(window, len(x), channels, maps)
    m, points, down, across, chunks = cut
    y = arena.empty((len(x), pool.rows, pool.columns, maps))
    alone = pool.kh * pool.kw == 1
    winners = NO_WINNERS if alone else arena.empty(y.shape, np.uint8)

    def transformed(filters):
        matrices = arena.empty((points, panel_stride(padded(channels), padded(maps))))
        matrices_of_filters(m, r)(filters.reshape(r, r, -1), channels, maps, maps, 1, matrices)
        return matrices

    matrices = prepared(filters, "winograd", transformed)
    tiles, cells = arena.empty((len(chunks), points, cut.size(channels))), no_pooling(window)
    out = arena.empty((points, cut.size(maps)))
    transform, transform_back = tiles_of_images(INPUT, m, r), images_of_tiles(OUTPUT, m, r)
    for d, chunk in zip(tiles, chunks, strict=True):
        transform(x[chunk], x, NO_WINNERS, cells, False, rows.pad_before, columns.pad_before, down, across, d)
        count = (chunk.stop - chunk.start) * down * across
        multiply_points(d, matrices, out, count, padded(channels), padded(maps))
        transform_back(out, bias, pool, relu, 0, 0, down, across, y[chunk], winners if alone else winners[chunk])
    return y, Saved(tiles, winners)


def conv2d_backward(x, filters, y, saved, dy, window, pool, relu, needs_dx):
    """dx (or None), dfilters, dbias of ``conv2d``."""
    rows, columns = window
    r, _, channels, maps = filters.shape
    cut = tiling(window, len(dy), channels, maps)
    m, points, down, across, chunks = cut
    alone = pool.kh * pool.kw == 1
    tiles = arena.empty((points, cut.size(maps)))
    correlations = arena.empty((points, point_stride(padded(channels) * padded(maps))))
    dfilters, dbias = arena.empty(filters.shape), np.zeros(maps, np.float32)
    if needs_dx:
        dx, no_bias, cells = arena.empty(x.shape), np.zeros(channels, np.float32), no_pooling(window)
        matrices = arena.empty((points, panel_stride(padded(maps), padded(channels))))
        matrices_of_filters(m, r)(filters.reshape(r, r, -1), maps, channels, 1, maps, matrices)
        out = arena.empty((points, cut.size(channels)))
    transform, transform_back = tiles_of_images(OUTPUT_BACK, m, r), images_of_tiles(INPUT_BACK, m, r)
    for d, chunk in zip(saved.tiles, chunks, strict=True):
        winners = saved.winners if alone else saved.winners[chunk]
        transform(dy[chunk], y[chunk], winners, pool, relu, 0, 0, down, across, tiles)
        count = (chunk.stop - chunk.start) * down * across
        correlate_points(d, tiles, correlations, count, padded(channels), padded(maps), chunk.start > 0)
        sums = tiles[SUMMING_POINT * (m + r - 1) + SUMMING_POINT, : count * padded(maps)]
        dbias += sum_pixels(sums.reshape(count, padded(maps)))[:maps]
        if needs_dx:
            multiply_points(tiles, matrices, out, count, padded(maps), padded(channels))
            corner = rows.pad_before, columns.pad_before
            transform_back(out, no_bias, cells, False, *corner, down, across, dx[chunk], NO_WINNERS)
    filters_of_correlations(m, r)(correlations, dfilters)
    return dx if needs_dx else None, dfilters, dbias


@lru_cache
def tiles_of_images(kind, m, r):
    """A kernel: images to the points of their tiles, which overlap for ``INPUT``, and do not for ``OUTPUT_BACK``.

    The image begins at (top, left) of the first of ``down`` times ``across`` tiles. The kernel is given y, winners, a pooling and relu
    to undo, as ``unpool_into`` does. For each row of tiles the columns are transformed, each once, then the rows of each tile.
    """
    side = m if kind == OUTPUT_BACK else m + r - 1
    points = m + r - 1

    @kernel(parallel=True)
    def images_to_tiles(x, y, winners, pool, relu, top, left, down, across, tiles):
        channels = x.shape[3]
        depth = (channels + LANES - 1) // LANES * LANES
        blocks, height, width = (depth + BLOCK - 1) // BLOCK, (down - 1) * m + side, (across - 1) * m + side
        line = width * BLOCK
        flat, point = tiles.reshape(tiles.size), tiles.shape[1]
        x_flat, y_flat, winners_flat = x.reshape(x.size), y.reshape(y.size), winners.reshape(winners.size)
        for task in prange(x.shape[0] * blocks):
            n = task // blocks
            c = (task - n * blocks) * BLOCK
            here = min(BLOCK, depth - c)
            image, band = np.zeros(height * line, np.float32), np.empty(points * line, np.float32)
            start, stop = top * line + left * BLOCK, min(c + BLOCK, channels)
            unpool_into(x_flat, y_flat, winners_flat, n, channels, pool, relu, c, stop, image, start, line, BLOCK)
            for i in range(down):
                for column in range(width):
                    for at in range(column * BLOCK, column * BLOCK + here, LANES):
                        winograd(kind, m, r, (image, i * m * line + at, line), (band, at, line))
                for j in range(across):
                    at = ((n * down + i) * across + j) * depth + c
                    for u in range(points):
                        source, target = u * line + j * m * BLOCK, at + u * points * point
                        for v in range(0, here, LANES):
                            winograd(kind, m, r, (band, source + v, BLOCK), (flat, target + v, point))

    return images_to_tiles


@lru_cache
def images_of_tiles(kind, m, r):
    """A kernel: points to images, of which y gets what begins at (top, left); then bias, ReLU and pooling.

    For ``INPUT_BACK``, which has overlapping tiles, the transform adds to what the tiles above and to the left have left there.
    """
    side = m if kind == OUTPUT else m + r - 1
    overlap = side - m
    points = m + r - 1

    @kernel(parallel=True)
    def tiles_to_images(tiles, bias, pool, relu, top, left, down, across, y, winners):
        channels = y.shape[3]
        depth = (channels + LANES - 1) // LANES * LANES
        blocks, height, width = (depth + BLOCK - 1) // BLOCK, (down - 1) * m + side, (across - 1) * m + side
        line = width * BLOCK
        flat, point = tiles.reshape(tiles.size), tiles.shape[1]
        y_flat, winners_flat = y.reshape(y.size), winners.reshape(winners.size)
        for task in prange(y.shape[0] * blocks):
            n = task // blocks
            c = (task - n * blocks) * BLOCK
            here = min(BLOCK, depth - c)
            image, band = np.empty(height * line, np.float32), np.empty(points * line, np.float32)
            for k in range(overlap * line):
                image[k] = 0
            for i in range(down):
                for u in range(points):
                    for k in range(overlap * BLOCK):
                        band[u * line + k] = 0
                for j in range(across):
                    at = ((n * down + i) * across + j) * depth + c
                    for u in range(points):
                        source, target = at + u * points * point, u * line + j * m * BLOCK
                        for v in range(0, here, LANES):
                            winograd(kind, m, r, (flat, source + v, point), (band, target + v, BLOCK))
                for column in range(width):
                    for at in range(column * BLOCK, column * BLOCK + here, LANES):
                        winograd(kind, m, r, (band, at, line), (image, i * m * line + at, line))
            for v in range(0, here, LANES):
                start = top * line + left * BLOCK + v
                pool_lanes(image, start, width, BLOCK, bias, n, c + v, channels, pool, relu, y_flat, winners_flat)

    return tiles_to_images


@lru_cache
def matrices_of_filters(m, r):
    """A kernel: filters to the matrices that tiles are multiplied by, as panels.

    It takes filters (r, r, anything) with the distances of a matrix's rows and columns in the last axis, and so can turn them.
    """
    points = m + r - 1

    @kernel(parallel=True)
    def filters_to_matrices(filters, rows, columns, row_step, column_step, matrices):
        depth = (rows + LANES - 1) // LANES * LANES
        flat, point = matrices.reshape(matrices.size), matrices.shape[1]
        for c in prange(depth):  # zeros for channels that are not there: whatever memory held, it would be multiplied
            cells, half = np.zeros(r * r * LANES, np.float32), np.empty(points * r * LANES, np.float32)
            for f in range(0, columns, LANES):
                for u in range(r):
                    for v in range(r):
                        for lane in range(LANES):
                            there = c < rows and f + lane < columns
                            value = filters[u, v, c * row_step + (f + lane) * column_step] if there else np.float32(0)
                            cells[(u * r + v) * LANES + lane] = value
                for v in range(r):
                    winograd(FILTER, m, r, (cells, v * LANES, r * LANES), (half, v * LANES, r * LANES))
                panel = f // TILE_COLUMNS * TILE_COLUMNS
                at = panel * depth + c * TILE_COLUMNS + f - panel
                for u in range(points):
                    winograd(FILTER, m, r, (half, u * r * LANES, LANES), (flat, at + u * points * point, point))

    return filters_to_matrices


@lru_cache
def filters_of_correlations(m, r):
    """A kernel: the gradients of filters at the points to those of their cells."""
    points = m + r - 1

    @kernel(parallel=True)
    def correlations_to_filters(correlations, filters):
        channels, maps = filters.shape[2], filters.shape[3]
        depth = (maps + LANES - 1) // LANES * LANES
        flat, point, out = correlations.reshape(correlations.size), correlations.shape[1], filters.reshape(filters.size)
        for c in prange(channels):
            cells, half = np.empty(r * r * LANES, np.float32), np.empty(points * r * LANES, np.float32)
            for f in range(0, maps, LANES):
                at = c * depth + f
                for u in range(points):
                    winograd(FILTER_BACK, m, r, (flat, at + u * points * point, point), (half, u * r * LANES, LANES))
                for v in range(r):
                    winograd(FILTER_BACK, m, r, (half, v * LANES, r * LANES), (cells, v * LANES, r * LANES))
                for cell in range(r * r):
                    store_lanes((cells, cell * LANES), (out, (cell * channels + c) * maps + f), maps - f, False)

    return correlations_to_filters
