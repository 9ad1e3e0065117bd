"""Random distortions of training images on the CPU: a grid of 7 x 7 points moves, and the image between them follows smoothly.

    y[i, j] = x at (i, j) + sum_{a,b} B_a(i) * B_b(j) * move[a, b],     the weighted mean of the four pixels around that position

Shift, rotation, scale and shear move the grid points by a linear map; the elastic part moves each of them at random. Cubic B-splines
interpolate a linear map exactly, and between few random vectors they are as smooth as many blurred ones: no blur is computed. With
points 7 pixels apart the field has the wavelengths that Simard et al. get from a Gaussian of 4 pixels (7 / sqrt(3) = 4.04).
"""

import functools

import numpy as np
from numba import prange

from numbacnn.backends.augmentation import (
    CELLS,
    DRAWS,
    ELASTIC,
    POINTS,
    ROTATION,
    SCALE_X,
    SCALE_Y,
    SHEAR,
    SHIFT_X,
    SHIFT_Y,
    STREAM,
)
from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.plain.dropout import mix, stream_key
from numbacnn.backends.cpu.plain.elementary import cosine_of_turns, sine_of_turns


def augment(x, amounts, key):
    """See ``Ops.augment``; the key's numbers are taken modulo 2^32."""
    count, height, width, _ = x.shape
    draws = np.empty((count, DRAWS), np.float32)
    _draw(draws, key.seed % 2**32, key.step % 2**32, key.first)
    grid = moved_grid(draws, amounts, height, width)
    return _warp(x, grid, grid_weights(height), grid_weights(width))


@kernel()
def _draw(draws, seed, step, first):
    """Fill ``draws`` (n, DRAWS) with numbers in [-1, 1), each a hash of its index; they are those of image ``first`` and after."""
    key = stream_key(seed, step, STREAM)
    for n in range(draws.shape[0]):
        for k in range(draws.shape[1]):
            h = mix(np.uint32(mix(np.uint32((first + n) * DRAWS + k)) ^ key))
            draws[n, k] = np.float32(h >> np.uint32(8)) * np.float32(2.0**-23) - np.float32(1)


def moved_grid(draws, amounts, height, width):
    """The vector from each grid point to its source, in pixels: float32 (n, 2, POINTS, POINTS), down and across."""
    shift, rotation, scale, shear, elastic = map(float, amounts)
    cosine, sine = _turn(draws[:, ROTATION], rotation / 360)[..., None, None]
    sides = np.array([height, width], np.float32)[:, None, None]
    down, across = np.meshgrid(grid_positions(height), grid_positions(width), indexing="ij")

    scaled_down = down * (1 + scale * draws[:, SCALE_Y, None, None])
    scaled_across = across * (1 + scale * draws[:, SCALE_X, None, None])
    slanted = scaled_across + shear * draws[:, SHEAR, None, None] * scaled_down
    turned_down = cosine * scaled_down - sine * slanted
    turned_across = sine * scaled_down + cosine * slanted

    moves = np.stack([turned_down - down, turned_across - across], axis=1)
    moves += shift * sides * draws[:, SHIFT_Y : SHIFT_X + 1, None, None]
    moves += elastic * sides * draws[:, ELASTIC:].reshape(-1, 2, POINTS, POINTS)
    return moves


@kernel()
def _turn(draws, most):
    """Cosine and sine of the rotation of each image, by up to ``most`` turns: float32 (2, n)."""
    out = np.empty((2, draws.size), np.float32)
    for n in range(draws.size):
        turns = most * draws[n]
        out[0, n], out[1, n] = cosine_of_turns(turns), sine_of_turns(turns)
    return out


def grid_positions(size):
    """The positions of the grid points along an axis, in pixels from its middle: float32 (POINTS,)."""
    return (np.arange(POINTS, dtype=np.float32) - (POINTS - 1) / 2) * np.float32((size - 1) / CELLS)


@functools.cache
def grid_weights(size):
    """The weight of each grid point at each pixel of an axis: float32 (POINTS, size); four per pixel, with sum 1.

    Source: uniform cubic B-splines; de Boor 1978, A Practical Guide to Splines, chapter IX.
    """
    cells = 1 + np.linspace(0, CELLS, size)
    distance = np.abs(cells - np.arange(POINTS)[:, None])
    rest = np.maximum(2 - distance, 0)  # products, for powers are of a maths library
    near, far = 2 / 3 - distance * distance + distance * distance * distance / 2, rest * rest * rest / 6
    return np.where(distance < 1, near, far).astype(np.float32)


@kernel(parallel=True)
def _warp(x, grid, rows, columns):
    y = np.empty_like(x)
    for n in prange(x.shape[0]):
        _warp_image(x[n], grid[n], rows, columns, y[n])
    return y


@kernel(inline=True)
def _warp_image(x, grid, rows, columns, y):
    """Fill ``y`` with ``x`` (h, w, c), read at the positions of ``grid``. A frame of zeros around x stands for the outside."""
    height, width, channels = x.shape
    framed = np.zeros((channels, height + 2, width + 2), x.dtype)
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                framed[c, i + 1, j + 1] = x[i, j, c]

    bent = np.zeros((2, rows.shape[0], width), np.float32)  # the grid, interpolated along its lines
    for axis in range(2):
        for a in range(rows.shape[0]):
            for b in range(rows.shape[0]):
                for j in range(width):
                    bent[axis, a, j] += grid[axis, a, b] * columns[b, j]

    position = np.empty((2, width), np.float32)  # of the sources of one row, in the frame
    for i in range(height):
        for axis in range(2):
            for j in range(width):
                position[axis, j] = np.float32(1 + (j if axis else i))
            for a in range(rows.shape[0]):
                for j in range(width):
                    position[axis, j] += rows[a, i] * bent[axis, a, j]
        for c in range(channels):
            for j in range(width):
                down, across = _clip(position[0, j], np.float32(height + 1)), _clip(position[1, j], np.float32(width + 1))
                r, q = min(np.uint32(down), np.uint32(height)), min(np.uint32(across), np.uint32(width))
                down, across = down - np.float32(r), across - np.float32(q)
                above = framed[c, r, q] + across * (framed[c, r, q + 1] - framed[c, r, q])
                below = framed[c, r + 1, q] + across * (framed[c, r + 1, q + 1] - framed[c, r + 1, q])
                y[i, j, c] = above + down * (below - above)


@kernel(inline=True)
def _clip(position, last):
    """min(max(position, 0), last)"""
    position = position if position > np.float32(0) else np.float32(0)
    return position if position < last else last
