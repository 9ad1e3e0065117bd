"""Random distortions of training images on the GPU: a grid of 7 x 7 points moves, and the pixels between them follow smoothly.

    draws -> how far each grid point moves -> the source of each pixel -> the mean of the four pixels around that point

``backends/cpu/plain/augment.py`` says why. A thread owns a grid point, and then a pixel; the draws are the CPU's, bit for bit.
"""

import math

import numpy as np

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
from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import cuda, device_function, kernel
from numbacnn.backends.cuda.memory import arena
from numbacnn.backends.cuda.plain.dropout import BITS, mix, stream_key
from numbacnn.backends.cuda.plain.geometry import cell_of


def augment(x, amounts, key):
    """See ``Ops.augment``; the key's numbers are taken modulo 2^32."""
    count, height, width, channels = x.shape
    y = arena.like(x)
    grid = arena.empty((count, 2, POINTS, POINTS))
    numbers = amounts._replace(rotation=amounts.rotation / 180)  # half turns
    keys = key.seed & BITS, key.step & BITS, key.first
    launch.over(_move_grid, count * POINTS * POINTS, height, width, *map(np.float32, numbers), *keys, grid)
    launch.over(_warp, y.size // channels, x, grid, y)
    return y


@device_function
def draw(n, k, key):
    """Number ``k`` of image ``n``, in [-1, 1): a hash of its position."""
    h = mix(mix((n * DRAWS + k) & BITS) ^ key)
    return np.float32(h >> 8) * np.float32(2.0**-23) - np.float32(1)


@device_function
def floor(number):
    """The floor as an integer: ``math.floor`` gives one in Python, but not on the GPU."""
    return int(math.floor(number))  # noqa: RUF046


@device_function
def cosine_and_sine(half_turns):
    """Cosine and sine of an angle, to float32's last digit: Taylor's series within an eighth of a turn, and quarter turns for the rest.

    The functions of ``math`` contain float64, for angles larger than any image is turned by.
    """
    quarters = floor(half_turns * np.float32(2) + np.float32(0.5))
    x = (half_turns - np.float32(quarters) * np.float32(0.5)) * np.float32(math.pi)
    s, one = x * x, np.float32(1)
    sine = x * (one - s / np.float32(6) * (one - s / np.float32(20) * (one - s / np.float32(42) * (one - s / np.float32(72)))))
    cosine = one - s / np.float32(30) * (one - s / np.float32(56) * (one - s / np.float32(90)))
    cosine = one - s / np.float32(2) * (one - s / np.float32(12) * cosine)
    if quarters & 1:
        cosine, sine = -sine, cosine
    if quarters & 2:
        cosine, sine = -cosine, -sine
    return cosine, sine


@kernel
def _move_grid(height, width, shift, half_turns, scale, shear, elastic, seed, step, first, grid):
    """grid[n, :, a, b] = how far the source of a grid point of image ``first`` + n lies from it, in pixels, down and across."""
    n, a, b, _ = cell_of(cuda.grid(1), POINTS, POINTS, 1)
    if n < grid.shape[0]:
        key, one, image = stream_key(seed, step, STREAM), np.float32(1), first + n
        down = np.float32(a - POINTS // 2) * (np.float32(height - 1) / np.float32(CELLS))
        across = np.float32(b - POINTS // 2) * (np.float32(width - 1) / np.float32(CELLS))

        scaled_down = down * (one + scale * draw(image, SCALE_Y, key))
        scaled_across = across * (one + scale * draw(image, SCALE_X, key))
        slanted = scaled_across + shear * draw(image, SHEAR, key) * scaled_down
        cosine, sine = cosine_and_sine(half_turns * draw(image, ROTATION, key))
        turned_down = cosine * scaled_down - sine * slanted
        turned_across = sine * scaled_down + cosine * slanted

        point = ELASTIC + a * POINTS + b
        wave_down, wave_across = draw(image, point, key), draw(image, point + POINTS * POINTS, key)
        far_down = shift * draw(image, SHIFT_Y, key) + elastic * wave_down
        far_across = shift * draw(image, SHIFT_X, key) + elastic * wave_across
        grid[n, 0, a, b] = (turned_down - down) + np.float32(height) * far_down
        grid[n, 1, a, b] = (turned_across - across) + np.float32(width) * far_across


@device_function
def cell_on(i, size):
    """The grid cell of pixel ``i`` along an axis: the first of the four points that move it, and its distance into the cell, in cells."""
    span = max(size - 1, 1)
    cell = min(i * CELLS // span, CELLS - 1)
    return cell, np.float32(i * CELLS - cell * span) / np.float32(span)


@device_function
def spline(distance):
    """The weight of a grid point ``distance`` cells away, at most two. The uniform cubic B-spline; de Boor 1978, chapter IX."""
    d = abs(distance)
    beyond = np.float32(2) - d
    far = beyond * beyond * beyond / np.float32(6)
    return np.float32(2 / 3) - d * d * (np.float32(1) - d / np.float32(2)) if d < np.float32(1) else far


@device_function
def pixel(x, n, r, q, c):
    """A value of the image; 0 outside of it."""
    return x[n, r, q, c] if 0 <= r < x.shape[1] and 0 <= q < x.shape[2] else x.dtype.type(0)


@device_function
def clipped(coordinate, size):
    """At most one pixel outside the image, where all values are 0."""
    coordinate = coordinate if coordinate > np.float32(-1) else np.float32(-1)
    return coordinate if coordinate < np.float32(size) else np.float32(size)


@kernel
def _warp(x, grid, y):
    """y[n,i,j] = x[n] at the point that the grid gives, between four pixels; a thread owns all channels of a pixel."""
    n, i, j, _ = cell_of(cuda.grid(1), x.shape[1], x.shape[2], 1)
    if n < x.shape[0]:
        a0, u = cell_on(i, x.shape[1])
        b0, v = cell_on(j, x.shape[2])
        down, across = np.float32(i), np.float32(j)
        for a in range(4):
            for b in range(4):
                weight = spline(u + np.float32(1 - a)) * spline(v + np.float32(1 - b))
                down += weight * grid[n, 0, a0 + a, b0 + b]
                across += weight * grid[n, 1, a0 + a, b0 + b]

        down, across = clipped(down, x.shape[1]), clipped(across, x.shape[2])
        r, q = floor(down), floor(across)
        down, across = down - np.float32(r), across - np.float32(q)
        for c in range(x.shape[3]):
            left, right = pixel(x, n, r, q, c), pixel(x, n, r, q + 1, c)
            above = left + across * (right - left)
            left, right = pixel(x, n, r + 1, q, c), pixel(x, n, r + 1, q + 1, c)
            below = left + across * (right - left)
            y[n, i, j, c] = above + down * (below - above)
