"""Convolution in the frequency domain, in float32, with ReLU and max pooling fused.

In the frequency domain a convolution is a product, point by point. A filter cell costs a multiplication per pixel and pair of
channels in direct summation: 25 for a 5 x 5 filter. Here a pair of channels costs one complex multiplication per point, and there
are half as many points as pixels, since the spectra of real images mirror themselves: about 2 multiplications per pixel, whatever
the size of the filter. The transforms themselves are needed once per channel, not per pair of channels.

With x^, w^ and y^ for the spectra of images, filters and outputs, * for the conjugate, and sums over what does not stand on the left:

    y^[n, f]  = sum_c x^[n, c] w^*[c, f]          forward
    dx^[n, c] = sum_f dy^[n, f] w^[c, f]          the input's gradient
    dw^[c, f] = sum_n x^[n, c] dy^*[n, f]         the filters' gradient

x^ is kept from the forward pass for the filters' gradient, and dy^ serves both gradients. At each point the sums are a product of
real matrices, with real and imaginary parts side by side, by the micro-kernel:

    [x_re x_im] (n, 2c)   times   [ w_re  -w_im ]   (2c, 2f)
                                  [ w_im   w_re ]

A transform of length L wraps around: what leaves the image on one side comes in on the other. L is so long that only the zeros
beside the image do: h + pad_before at least, and out + kernel - 1 - pad_before (see ``choice.py``).

A spectrum has Lx/2 + 1 columns. The first and the last are spectra of real numbers, so that half of each will do. Points lie in the
order: first column (Ly/2 + 1 points), the inner columns (Ly points each), the last column (Ly/2 + 1 points).

Source: Mathieu, Henaff & LeCun 2013 (arXiv:1312.5851); Vasilache et al. 2014 (arXiv:1412.7580).
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.arena import arena
from numbacnn.backends.cpu.codegen.fourier import Kind
from numbacnn.backends.cpu.codegen.tile import TILE_COLUMNS
from numbacnn.backends.cpu.codegen.transforms import fourier
from numbacnn.backends.cpu.conv.lengths import point_count, transform_lengths
from numbacnn.backends.cpu.conv.pooling import pool_lanes, unpool_into
from numbacnn.backends.cpu.products.points import (
    BLOCK,
    NO_WINNERS,
    correlate_point,
    multiply_points,
    padded,
    panel_stride,
    point_stride,
)
from numbacnn.backends.cpu.products.prepared import prepared
from numbacnn.backends.cpu.vector_unit import LANES
from numbacnn.backends.fused_pool import no_pooling

REAL_FORWARD, COMPLEX_FORWARD = int(Kind.REAL_FORWARD), int(Kind.COMPLEX_FORWARD)
COMPLEX_INVERSE, REAL_INVERSE = int(Kind.COMPLEX_INVERSE), int(Kind.REAL_INVERSE)


class Saved(NamedTuple):
    """What the backward pass needs: the images' spectra."""

    spectra: Any
    winners: Any


class FourierPlan(NamedTuple):
    """How images of one size become images of another: kernels, and the shapes of what they write.

    Args:
        to_spectra, spectra: of images.
        to_matrices, matrices: of filters.
        products: of both.
        to_values: of the products.
    """

    to_spectra: Any
    spectra: tuple[int, int]
    to_matrices: Any
    matrices: tuple[int, int]
    products: tuple[int, int]
    to_values: Any


@lru_cache
def _way(window, count, depth, width, back):
    """The way forward, or ``back`` from the gradient of the output to that of the input: from ``depth`` channels to ``width``."""
    rows, columns = window
    ly, lx = transform_lengths(window)
    points, depth, width = point_count(ly, lx), 2 * padded(depth), 2 * padded(width)
    sizes = [(rows.size, columns.size), (rows.out, columns.out)]
    source, target = reversed(sizes) if back else sizes
    return FourierPlan(
        image_spectra(ly, lx, *source),
        (points, point_stride(count * depth)),
        filter_matrices(ly, lx, rows.kernel, columns.kernel, -rows.pad_before, -columns.pad_before),
        (points, panel_stride(depth, width)),
        (points, point_stride(count * width)),
        image_values(ly, lx, *target),
    )


def conv2d(x, filters, bias, window, pool, relu):
    """y = pool(relu(conv2d(x))), and what ``conv2d_backward`` needs."""
    count, (_, _, channels, maps) = len(x), filters.shape
    way = _way(window, count, channels, maps, False)
    y = arena.empty((count, pool.rows, pool.columns, maps))
    winners = arena.empty(y.shape if pool.kh * pool.kw > 1 else NO_WINNERS.shape, np.uint8)
    spectra = arena.empty(way.spectra)
    way.to_spectra(x, x, NO_WINNERS, no_pooling(window), False, spectra)

    def transformed(filters):
        matrices = arena.empty(way.matrices)
        way.to_matrices(filters, 1, matrices)
        return matrices

    matrices = prepared(filters, ("spectra", window), transformed)
    products = arena.empty(way.products)
    multiply_points(spectra, matrices, products, count, 2 * padded(channels), 2 * padded(maps))
    way.to_values(products, bias, pool, relu, y, winners)
    return y, Saved(spectra, winners)


def conv2d_backward(x, filters, y, saved, dy, window, pool, relu, needs_dx):
    """dx (or None), dfilters, dbias of ``conv2d``."""
    rows, columns = window
    ly, lx = transform_lengths(window)
    count, (kh, kw, channels, maps) = len(dy), filters.shape
    way = _way(window, count, maps, channels, True)
    spectra = arena.empty(way.spectra)
    way.to_spectra(dy, y, saved.winners, pool, relu, spectra)
    dfilters = arena.empty(filters.shape)
    correlations = arena.empty((len(spectra), point_stride(padded(channels) * 2 * padded(maps))))
    correlate_spectra(saved.spectra, spectra, correlations, count, 2 * padded(channels), 2 * padded(maps))
    filter_values(ly, lx, kh, kw, -rows.pad_before, -columns.pad_before)(correlations, dfilters)
    dbias = _sum_first_point(spectra[0, : count * 2 * padded(maps)].reshape(count, -1), maps)
    if not needs_dx:
        return None, dfilters, dbias
    matrices = arena.empty(way.matrices)
    way.to_matrices(np.ascontiguousarray(filters.transpose(0, 1, 3, 2)), -1, matrices)
    products = arena.empty(way.products)
    multiply_points(spectra, matrices, products, count, 2 * padded(maps), 2 * padded(channels))
    dx = arena.empty(x.shape)
    way.to_values(products, np.zeros(channels, np.float32), no_pooling(window), False, dx, NO_WINNERS)
    return dx, dfilters, dbias


@lru_cache
def image_spectra(ly, lx, height, width):
    """A kernel: images of this size to spectra. It is given y, winners, a pooling and relu to undo, as ``unpool_into`` does."""
    columns, inner = lx // 2 + 1, lx // 2 - 1
    row = columns * 2 * LANES
    last = ly // 2 + 1 + inner * ly

    @kernel(parallel=True)
    def images_to_spectra(x, y, winners, pool, relu, spectra):
        count, channels = x.shape[0], x.shape[3]
        depth = (channels + LANES - 1) // LANES * LANES
        flat, point = spectra.reshape(spectra.size), spectra.shape[1]
        x_flat, y_flat, winners_flat = x.reshape(x.size), y.reshape(y.size), winners.reshape(winners.size)
        blocks = (depth + BLOCK - 1) // BLOCK
        for task in prange(count * blocks):
            n = task // blocks
            block = (task - n * blocks) * BLOCK
            image, half = np.zeros(height * width * LANES, np.float32), np.empty(height * row, np.float32)
            for c in range(block, min(block + BLOCK, channels), LANES):
                stop = min(c + LANES, channels)
                if stop < c + LANES:
                    for i in range(image.size):
                        image[i] = 0
                unpool_into(x_flat, y_flat, winners_flat, n, channels, pool, relu, c, stop, image, 0, width * LANES, LANES)
                for i in range(height):
                    fourier(REAL_FORWARD, lx, 0, width, (image, i * width * LANES, LANES, 0), (half, i * row, 2 * LANES, LANES))
                at = n * 2 * depth + c
                fourier(REAL_FORWARD, ly, 0, height, (half, 0, row, 0), (flat, at, point, depth))
                fourier(
                    REAL_FORWARD,
                    ly,
                    0,
                    height,
                    (half, (columns - 1) * 2 * LANES, row, 0),
                    (flat, at + last * point, point, depth),
                )
                for k in range(inner):
                    place = at + (ly // 2 + 1 + k * ly) * point
                    fourier(COMPLEX_FORWARD, ly, 0, height, (half, (k + 1) * 2 * LANES, row, LANES), (flat, place, point, depth))

    return images_to_spectra


@lru_cache
def image_values(ly, lx, height, width):
    """A kernel: spectra to images of this size, then bias, ReLU and pooling."""
    columns, inner = lx // 2 + 1, lx // 2 - 1
    row = columns * 2 * LANES
    last = ly // 2 + 1 + inner * ly

    @kernel(parallel=True)
    def spectra_to_images(spectra, bias, pool, relu, y, winners):
        count, channels = y.shape[0], y.shape[3]
        depth = (channels + LANES - 1) // LANES * LANES
        flat, point = spectra.reshape(spectra.size), spectra.shape[1]
        y_flat, winners_flat = y.reshape(y.size), winners.reshape(winners.size)
        blocks = (depth + BLOCK - 1) // BLOCK
        for task in prange(count * blocks):
            n = task // blocks
            block = (task - n * blocks) * BLOCK
            z, half = np.empty(height * width * LANES, np.float32), np.empty(height * row, np.float32)
            for c in range(block, min(block + BLOCK, channels), LANES):
                at = n * 2 * depth + c
                fourier(REAL_INVERSE, ly, 0, height, (flat, at, point, depth), (half, 0, row, LANES))
                fourier(
                    REAL_INVERSE,
                    ly,
                    0,
                    height,
                    (flat, at + last * point, point, depth),
                    (half, (columns - 1) * 2 * LANES, row, LANES),
                )
                for k in range(inner):
                    place = at + (ly // 2 + 1 + k * ly) * point
                    fourier(COMPLEX_INVERSE, ly, 0, height, (flat, place, point, depth), (half, (k + 1) * 2 * LANES, row, LANES))
                for i in range(height):
                    fourier(REAL_INVERSE, lx, 0, width, (half, i * row, 2 * LANES, LANES), (z, i * width * LANES, LANES, 0))
                pool_lanes(z, 0, width, LANES, bias, n, c, channels, pool, relu, y_flat, winners_flat)

    return spectra_to_images


@lru_cache
def filter_matrices(ly, lx, kh, kw, top, left):
    """A kernel: filters to the matrices that spectra are multiplied by, as panels; their cell (0, 0) lies at (top, left)."""
    columns, inner = lx // 2 + 1, lx // 2 - 1
    row = columns * 2 * LANES
    last = ly // 2 + 1 + inner * ly
    points = last + ly // 2 + 1
    top, left = top % ly, left % lx

    @kernel(parallel=True)
    def filters_to_matrices(filters, sign, matrices):
        channels, maps = filters.shape[2], filters.shape[3]
        rows, columns_out = (channels + LANES - 1) // LANES * LANES, (maps + LANES - 1) // LANES * LANES
        scale = np.float32(1 / (ly * lx))
        for c in prange(rows):  # zeros for channels that are not there: whatever memory held, it would be multiplied
            cells, half = np.zeros(kh * kw * LANES, np.float32), np.empty(kh * row, np.float32)
            spectrum = np.empty(points * 2 * LANES, np.float32)
            for f in range(0, maps, LANES):
                for u in range(kh):
                    for v in range(kw):
                        for lane in range(LANES):
                            cells[(u * kw + v) * LANES + lane] = (
                                filters[u, v, c, f + lane] * scale if c < channels and f + lane < maps else 0
                            )
                    fourier(REAL_FORWARD, lx, left, kw, (cells, u * kw * LANES, LANES, 0), (half, u * row, 2 * LANES, LANES))
                fourier(REAL_FORWARD, ly, top, kh, (half, 0, row, 0), (spectrum, 0, 2 * LANES, LANES))
                end = (columns - 1) * 2 * LANES
                fourier(REAL_FORWARD, ly, top, kh, (half, end, row, 0), (spectrum, last * 2 * LANES, 2 * LANES, LANES))
                for k in range(inner):
                    place = (ly // 2 + 1 + k * ly) * 2 * LANES
                    fourier(
                        COMPLEX_FORWARD, ly, top, kh, (half, (k + 1) * 2 * LANES, row, LANES), (spectrum, place, 2 * LANES, LANES)
                    )
                for p in range(points):
                    real = f // TILE_COLUMNS * 2 * rows * TILE_COLUMNS + f % TILE_COLUMNS + c * TILE_COLUMNS
                    other = (
                        (columns_out + f) // TILE_COLUMNS * 2 * rows * TILE_COLUMNS
                        + (columns_out + f) % TILE_COLUMNS
                        + c * TILE_COLUMNS
                    )
                    down = rows * TILE_COLUMNS
                    target = matrices[p]
                    a, b = spectrum[p * 2 * LANES : p * 2 * LANES + LANES], spectrum[p * 2 * LANES + LANES : (p + 1) * 2 * LANES]
                    for lane in range(LANES):
                        target[real + lane] = a[lane]
                        target[other + down + lane] = a[lane]
                        target[other + lane] = -sign * b[lane]
                        target[real + down + lane] = sign * b[lane]

    return filters_to_matrices


@kernel(parallel=True)
def correlate_spectra(x, dy, out, count, depth, columns):
    """out[p, c] = x[p]^T dy*[p], summed over images: for each channel the real, then the imaginary parts of the maps."""
    channels, maps = depth // 2, columns // 2
    a, b = x.reshape(x.size), dy.reshape(dy.size)
    for p in prange(x.shape[0]):
        parts = np.empty((depth, columns), np.float32)
        correlate_point(a, p * x.shape[1], b, p * dy.shape[1], count, depth, columns, parts.reshape(parts.size), 0, False)
        for c in range(channels):
            real, imaginary = parts[c], parts[channels + c]
            total = out[p, c * columns : (c + 1) * columns]
            for f in range(maps):
                total[f] = real[f] + imaginary[maps + f]
                total[maps + f] = imaginary[f] - real[maps + f]


@lru_cache
def filter_values(ly, lx, kh, kw, top, left):
    """A kernel: spectra of filters, as ``correlate_spectra`` gives them, to their cells."""
    columns, inner = lx // 2 + 1, lx // 2 - 1
    row = columns * 2 * LANES
    last = ly // 2 + 1 + inner * ly
    top, left = top % ly, left % lx

    @kernel(parallel=True)
    def spectra_to_filters(spectra, filters):
        channels, maps = filters.shape[2], filters.shape[3]
        flat = spectra.reshape(spectra.size)
        depth, point = (maps + LANES - 1) // LANES * LANES, spectra.shape[1]
        scale = np.float32(1 / (ly * lx))
        for c in prange(channels):
            cells, half = np.empty(kh * kw * LANES, np.float32), np.empty(kh * row, np.float32)
            for f in range(0, maps, LANES):
                at = c * 2 * depth + f
                fourier(REAL_INVERSE, ly, top, kh, (flat, at, point, depth), (half, 0, row, LANES))
                fourier(
                    REAL_INVERSE,
                    ly,
                    top,
                    kh,
                    (flat, at + last * point, point, depth),
                    (half, (columns - 1) * 2 * LANES, row, LANES),
                )
                for k in range(inner):
                    place = at + (ly // 2 + 1 + k * ly) * point
                    fourier(COMPLEX_INVERSE, ly, top, kh, (flat, place, point, depth), (half, (k + 1) * 2 * LANES, row, LANES))
                for u in range(kh):
                    fourier(REAL_INVERSE, lx, left, kw, (half, u * row, 2 * LANES, LANES), (cells, u * kw * LANES, LANES, 0))
                    for v in range(kw):
                        for lane in range(min(LANES, maps - f)):
                            filters[u, v, c, f + lane] = cells[(u * kw + v) * LANES + lane] * scale

    return spectra_to_filters


@kernel()
def _sum_first_point(spectra, maps):
    """The spectrum at frequency zero is the sum over an image's pixels: their sum over images is the bias's gradient."""
    total = np.zeros(maps, np.float32)
    for n in range(spectra.shape[0]):
        for f in range(maps):
            total[f] += spectra[n, f]
    return total
