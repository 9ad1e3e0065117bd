"""Convolution in the frequency domain, in float32, with ReLU and max pooling fused.

    y^ = x^ w^*          at every point of the spectra; y = pool(relu(bias + y^ transformed back))

In the frequency domain a convolution is a product, point by point. Direct summation needs one multiplication per filter cell, pixel
and pair of channels: 25 per pixel for a 5 x 5 filter. Here a pair of channels costs one complex multiplication per point, and there
are half as many points as pixels, since the spectra of real images have mirrored halves: about 2 multiplications per pixel, for any
size of filter. The transforms are needed once per channel, not per pair of channels.

With x^, w^ and y^ for the spectra of images, filters and outputs, * for the conjugate, and sums over the indices missing on the left:

    y^[n, f]  = sum_c x^[n, c] w^*[c, f]          forward
    dx^[n, c] = sum_f dy^[n, f] w^[c, f]          the input's gradient
    dw^[c, f] = sum_n x^[n, c] dy^*[n, f]         the filters' gradient

x^ is kept from the forward pass for the filters' gradient, and dy^ serves both gradients. At each point the sums are a product of
real matrices, with real and imaginary parts side by side, by the micro-kernel:

    [x_re x_im] (n, 2c)   times   [ w_re  -w_im ]   (2c, 2f)
                                  [ w_im   w_re ]

A transform of length L wraps around: values that leave the image on one side enter on the other. L is long enough that only padding
zeros wrap around: at least h + pad_before and out + kernel - 1 - pad_before (see ``lengths.py``).

Source: Mathieu, Henaff & LeCun 2013 (arXiv:1312.5851); Vasilache et al. 2014 (arXiv:1412.7580).
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.arena import arena
from numbacnn.backends.cpu.conv.exchange import gradient_of_filters
from numbacnn.backends.cpu.conv.lengths import point_count, transform_lengths
from numbacnn.backends.cpu.conv.spectra import filter_matrices, filter_values, image_spectra, image_values
from numbacnn.backends.cpu.plain.reduction import group_range, sum_images
from numbacnn.backends.cpu.products.points import (
    NO_WINNERS,
    correlate_group,
    multiply_points,
    panel_stride,
    point_stride,
    tree_levels,
    whole_vectors,
)
from numbacnn.backends.cpu.products.prepared import form_of
from numbacnn.backends.fused_pool import no_pooling


class SavedSpectra(NamedTuple):
    """The images' spectra and the winners, for the backward pass."""

    spectra: Any
    winners: Any


class FourierPlan(NamedTuple):
    """The kernels that turn images of one size into images of another, and the shapes that they write.

    Args:
        to_spectra, spectra: of images.
        to_matrices, matrices: of filters.
        products: of both.
        to_values: from products to images.
    """

    to_spectra: Any
    spectra: tuple[int, int]
    to_matrices: Any
    matrices: tuple[int, int]
    products: tuple[int, int]
    to_values: Any


@lru_cache
def _plan(window, count, channels, maps, backward):
    """The plan from inputs to outputs, or ``backward`` from the gradient of outputs to that of inputs; ``channels`` to ``maps``."""
    rows, columns = window
    ly, lx = transform_lengths(window)
    points, depth, width = point_count(ly, lx), 2 * whole_vectors(channels), 2 * whole_vectors(maps)
    sizes = [(rows.size, columns.size), (rows.out, columns.out)]
    source, target = reversed(sizes) if backward else sizes
    return FourierPlan(
        image_spectra(ly, lx, *source),
        (points, point_stride(count * depth)),
        filter_matrices(ly, lx, rows.kernel, columns.kernel, -rows.pad_before, -columns.pad_before),
        (points, panel_stride(depth, width)),
        (points, point_stride(count * width)),
        image_values(ly, lx, *target),
    )


def conv2d(x, filters, bias, window, pool, relu, share):
    """y = pool(relu(conv2d(x))), and ``SavedSpectra``."""
    count, (_, _, channels, maps) = len(x), filters.shape
    plan = _plan(window, count, channels, maps, False)
    y = arena.empty((count, pool.rows, pool.columns, maps))
    winners = arena.empty(y.shape if pool.kh * pool.kw > 1 else NO_WINNERS.shape, np.uint8)
    spectra = arena.empty(plan.spectra)
    plan.to_spectra(x, x, NO_WINNERS, pool, False, False, spectra)

    def transformed(filters):
        matrices = arena.empty(plan.matrices)
        plan.to_matrices(filters, 1, matrices)
        return matrices

    matrices = form_of(filters, ("spectra", window), transformed)
    products = arena.empty(plan.products)
    multiply_points(spectra, matrices, products, count, 2 * whole_vectors(channels), 2 * whole_vectors(maps))
    plan.to_values(products, bias, pool, relu, y, winners)
    return y, SavedSpectra(spectra, winners)


def conv2d_backward(x, filters, y, saved, dy, window, pool, relu, needs_dx, share):
    """dx (or None), dfilters, dbias of ``conv2d``."""
    rows, columns = window
    ly, lx = transform_lengths(window)
    count, (kh, kw, channels, maps) = len(dy), filters.shape
    depth, width = 2 * whole_vectors(channels), 2 * whole_vectors(maps)
    plan = _plan(window, count, maps, channels, True)
    spectra = arena.empty(plan.spectra)
    plan.to_spectra(dy, y, saved.winners, pool, relu, True, spectra)
    to_cells = filter_values(ly, lx, kh, kw, -rows.pad_before, -columns.pad_before)

    def unfolded_to_cells(sums, cells):
        correlations = arena.empty((len(sums), point_stride(sums.shape[2] * width)))
        _unfold_spectra(sums.reshape(len(sums), -1), 2 * sums.shape[2], width, correlations)
        to_cells(correlations, cells)

    if share.ranks is None:
        dfilters = arena.empty(filters.shape)
        correlations = arena.empty((len(spectra), point_stride(whole_vectors(channels) * width)))
        correlate_spectra(saved.spectra, spectra, correlations, *share.branches[0], depth, width)
        to_cells(correlations, dfilters)
    else:
        sums = [_correlate_branch(saved.spectra, spectra, *branch, depth, width) for branch in share.branches]
        sums = [each.reshape(len(spectra), 2, depth // 2, width) for each in sums]
        dfilters = gradient_of_filters(share, sums, filters.shape, unfolded_to_cells)
    sums = spectra[0, : count * width].reshape(count, -1)  # at frequency zero: sums over pixels
    dbias = share.total(lambda branch: sum_images(sums[branch.slice], branch.images, branch.groups, maps))
    if not needs_dx:
        return None, dfilters, dbias
    matrices = arena.empty(plan.matrices)
    plan.to_matrices(np.ascontiguousarray(filters.transpose(0, 1, 3, 2)), -1, matrices)
    products = arena.empty(plan.products)
    multiply_points(spectra, matrices, products, count, width, depth)
    dx = arena.empty(x.shape)
    plan.to_values(products, np.zeros(channels, np.float32), no_pooling(window), False, dx, NO_WINNERS)
    return dx, dfilters, dbias


@kernel(parallel=True)
def correlate_spectra(x, dy, out, first_image, images, groups, depth, width):
    """out[p, c] = x[p]^T dy*[p], summed over a branch's images: for each channel the real, then the imaginary parts of the maps."""
    for p in prange(x.shape[0]):
        sums = np.empty((tree_levels(groups) + 1, depth * width), np.float32)
        _unfold(_correlate_point(x, dy, p, first_image, images, groups, depth, width, sums), depth, width, out[p])


@kernel(parallel=True)
def _correlate_branch(x, dy, first_image, images, groups, depth, width):
    """The sums of real products at each point, (points, depth * width): only whole sums over a batch are made complex."""
    out = np.empty((x.shape[0], depth * width), np.float32)
    for p in prange(x.shape[0]):
        sums = np.empty((tree_levels(groups) + 1, depth * width), np.float32)
        out[p] = _correlate_point(x, dy, p, first_image, images, groups, depth, width, sums)
    return out


@kernel(parallel=True)
def _unfold_spectra(sums, depth, width, out):
    """``correlate_spectra``, from its sums over the whole batch."""
    for p in prange(sums.shape[0]):
        _unfold(sums[p], depth, width, out[p])


@kernel(inline=True)
def _correlate_point(x, dy, p, first_image, images, groups, depth, width, sums):
    """The row of ``sums`` that has the sum of real products over a branch's images, at point p."""
    x_flat, dy_flat = x.reshape(x.size), dy.reshape(dy.size)
    for group in range(groups):
        first, stop = group_range(group, groups, images)
        row = first_image + first
        x_offset, dy_offset = p * x.shape[1] + row * depth, p * dy.shape[1] + row * width
        correlate_group(x_flat, x_offset, dy_flat, dy_offset, stop - first, depth, width, group, True, True, sums)
    return sums[tree_levels(groups) - 1]


@kernel(inline=True)
def _unfold(sums, depth, width, out):
    """out[c] = the complex products of a channel and the maps, from those of real and imaginary parts."""
    channels, maps = depth // 2, width // 2
    parts = sums.reshape(depth, width)
    for c in range(channels):
        real, imaginary = parts[c], parts[channels + c]
        total = out[c * width : (c + 1) * width]
        for f in range(maps):
            total[f] = real[f] + imaginary[maps + f]
            total[maps + f] = imaginary[f] - real[maps + f]
