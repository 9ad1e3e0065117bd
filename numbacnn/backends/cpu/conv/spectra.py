"""Transforms between images or filters and their spectra, for convolution in the frequency domain.

    x^[k, l] = sum over (i, j) of x[i, j] * exp(-2 pi i (i k / Ly + j l / Lx))          and back

First each row is transformed to half a spectrum of Lx/2 + 1 columns, since the other half mirrors it; then each column. The first
and the last column are spectra of real numbers, so half of each will do. The order of points is: first column (Ly/2 + 1 points),
inner columns (Ly points each), last column (Ly/2 + 1 points).

The transforms are straight-line code, so each size of image and filter has kernels of its own, made by the functions below.
"""

from functools import lru_cache

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.codegen.fourier import FourierKind
from numbacnn.backends.cpu.codegen.tile import TILE_COLUMNS
from numbacnn.backends.cpu.codegen.transforms import fourier
from numbacnn.backends.cpu.conv.lengths import point_count
from numbacnn.backends.cpu.conv.pooling import copy_channels_into, pool_lanes, unpool_into
from numbacnn.backends.cpu.products.panels import panel_offset
from numbacnn.backends.cpu.products.points import BLOCK, channel_blocks, whole_vectors
from numbacnn.backends.cpu.vector_unit import LANES

REAL_FORWARD, COMPLEX_FORWARD, COMPLEX_INVERSE, REAL_INVERSE = (int(kind) for kind in FourierKind)


@kernel(inline="always")
def to_spectrum(ly, lx, height, width, top, left, cells, half, spectrum, offset, point, part):
    """Transform LANES channels of one image or filter; all arrays are flat.

    Args:
        ly, lx: lengths of the transforms, constants like the next four.
        height, width, top, left: the size of the image, and the position of its cell (0, 0), modulo the lengths.
        cells: the image, (height, width, LANES).
        half: scratch for the spectra of rows, (height, lx/2 + 1, 2, LANES).
        spectrum, offset: where the first point begins.
        point, part: the distance between points, and from a real part to its imaginary part.
    """
    row = (lx // 2 + 1) * 2 * LANES
    for i in range(height):
        fourier(REAL_FORWARD, lx, left, width, (cells, i * width * LANES, LANES, 0), (half, i * row, 2 * LANES, LANES))
    for end in range(2):  # the first and the last column
        source, target = end * (lx // 2) * 2 * LANES, end * (ly // 2 + 1 + (lx // 2 - 1) * ly)
        fourier(REAL_FORWARD, ly, top, height, (half, source, row, 0), (spectrum, offset + target * point, point, part))
    for k in range(lx // 2 - 1):
        source, target = (k + 1) * 2 * LANES, ly // 2 + 1 + k * ly
        fourier(COMPLEX_FORWARD, ly, top, height, (half, source, row, LANES), (spectrum, offset + target * point, point, part))


@kernel(inline="always")
def from_spectrum(ly, lx, height, width, top, left, spectrum, offset, point, part, half, cells):
    """Undo ``to_spectrum``, but for a factor ly * lx: each column, then each row."""
    row = (lx // 2 + 1) * 2 * LANES
    for end in range(2):
        target, source = end * (lx // 2) * 2 * LANES, end * (ly // 2 + 1 + (lx // 2 - 1) * ly)
        fourier(REAL_INVERSE, ly, top, height, (spectrum, offset + source * point, point, part), (half, target, row, LANES))
    for k in range(lx // 2 - 1):
        target, source = (k + 1) * 2 * LANES, ly // 2 + 1 + k * ly
        fourier(COMPLEX_INVERSE, ly, top, height, (spectrum, offset + source * point, point, part), (half, target, row, LANES))
    for i in range(height):
        fourier(REAL_INVERSE, lx, left, width, (half, i * row, 2 * LANES, LANES), (cells, i * width * LANES, LANES, 0))


def half_size(lx, height):
    """Values of the scratch that ``to_spectrum`` and ``from_spectrum`` take."""
    return height * (lx // 2 + 1) * 2 * LANES


@lru_cache
def image_spectra(ly, lx, height, width):
    """The kernel from images to spectra: of images x, or of the gradients of outputs (see ``unpool_into`` for its arguments)."""
    half_values = half_size(lx, height)

    @kernel(parallel=True)
    def images_to_spectra(x, y, winners, pool, relu, is_gradient, spectra):
        count, channels = x.shape[0], x.shape[3]
        depth, blocks = whole_vectors(channels), channel_blocks(channels)
        flat, point = spectra.reshape(spectra.size), spectra.shape[1]
        x_flat, y_flat, winners_flat = x.reshape(x.size), y.reshape(y.size), winners.reshape(winners.size)
        for task in prange(count * blocks):
            n = task // blocks
            block = (task - n * blocks) * BLOCK
            image, half = np.zeros(height * width * LANES, np.float32), np.empty(half_values, np.float32)
            for c in range(block, min(block + BLOCK, channels), LANES):
                stop = min(c + LANES, channels)
                if stop < c + LANES:
                    for i in range(image.size):
                        image[i] = 0
                if is_gradient:
                    unpool_into(x_flat, y_flat, winners_flat, n, channels, pool, relu, c, stop, image, 0, width * LANES, LANES)
                else:
                    copy_channels_into(x_flat, n, height, width, channels, c, stop, image, 0, width * LANES, LANES)
                to_spectrum(ly, lx, height, width, 0, 0, image, half, flat, n * 2 * depth + c, point, depth)

    return images_to_spectra


@lru_cache
def image_values(ly, lx, height, width):
    """The kernel from spectra to images of this size, followed by bias, pooling and ReLU."""
    half_values = half_size(lx, height)

    @kernel(parallel=True)
    def spectra_to_images(spectra, bias, pool, relu, y, winners):
        count, channels = y.shape[0], y.shape[3]
        depth, blocks = whole_vectors(channels), channel_blocks(channels)
        flat, point = spectra.reshape(spectra.size), spectra.shape[1]
        y_flat, winners_flat = y.reshape(y.size), winners.reshape(winners.size)
        for task in prange(count * blocks):
            n = task // blocks
            block = (task - n * blocks) * BLOCK
            z, half = np.empty(height * width * LANES, np.float32), np.empty(half_values, np.float32)
            for c in range(block, min(block + BLOCK, channels), LANES):
                from_spectrum(ly, lx, height, width, 0, 0, flat, n * 2 * depth + c, point, depth, half, z)
                pool_lanes(z, 0, width, LANES, bias, n, c, channels, pool, relu, y_flat, winners_flat)

    return spectra_to_images


@lru_cache
def filter_matrices(ly, lx, kh, kw, top, left):
    """The kernel from filters to the matrices that images are multiplied by, as panels; cell (0, 0) lies at (top, left).

    ``sign`` is 1 for the conjugate spectrum, and -1 for the spectrum itself.
    """
    half_values, points = half_size(lx, kh), point_count(ly, lx)
    top, left = top % ly, left % lx

    @kernel(parallel=True)
    def filters_to_matrices(filters, sign, matrices):
        channels, maps = filters.shape[2], filters.shape[3]
        depth, map_depth = whole_vectors(channels), whole_vectors(maps)
        scale = np.float32(1 / (ly * lx))
        for c in prange(depth):  # zeros for channels beyond the last, which memory with anything in it would not give
            cells, half = np.zeros(kh * kw * LANES, np.float32), np.empty(half_values, np.float32)
            spectrum = np.empty(points * 2 * LANES, np.float32)
            for f in range(0, maps, LANES):
                for u in range(kh):
                    for v in range(kw):
                        for lane in range(LANES):
                            is_present = c < channels and f + lane < maps
                            cells[(u * kw + v) * LANES + lane] = filters[u, v, c, f + lane] * scale if is_present else 0
                to_spectrum(ly, lx, kh, kw, top, left, cells, half, spectrum, 0, 2 * LANES, LANES)
                for p in range(points):
                    matrix = matrices[p]
                    real = spectrum[p * 2 * LANES : p * 2 * LANES + LANES]
                    imaginary = spectrum[p * 2 * LANES + LANES : (p + 1) * 2 * LANES]
                    upper_left, upper_right = panel_offset(c, f, 2 * depth), panel_offset(c, map_depth + f, 2 * depth)
                    lower = depth * TILE_COLUMNS
                    for lane in range(LANES):
                        matrix[upper_left + lane] = real[lane]
                        matrix[upper_right + lower + lane] = real[lane]
                        matrix[upper_right + lane] = -sign * imaginary[lane]
                        matrix[upper_left + lower + lane] = sign * imaginary[lane]

    return filters_to_matrices


@lru_cache
def filter_values(ly, lx, kh, kw, top, left):
    """The kernel from spectra of filters, as ``correlate_spectra`` writes them, to their cells."""
    half_values = half_size(lx, kh)
    top, left = top % ly, left % lx

    @kernel(parallel=True)
    def spectra_to_filters(spectra, filters):
        channels, maps = filters.shape[2], filters.shape[3]
        map_depth = whole_vectors(maps)
        flat, point = spectra.reshape(spectra.size), spectra.shape[1]
        scale = np.float32(1 / (ly * lx))
        for c in prange(channels):
            cells, half = np.empty(kh * kw * LANES, np.float32), np.empty(half_values, np.float32)
            for f in range(0, maps, LANES):
                from_spectrum(ly, lx, kh, kw, top, left, flat, c * 2 * map_depth + f, point, map_depth, half, cells)
                for u in range(kh):
                    for v in range(kw):
                        for lane in range(min(LANES, maps - f)):
                            filters[u, v, c, f + lane] = cells[(u * kw + v) * LANES + lane] * scale

    return spectra_to_filters
