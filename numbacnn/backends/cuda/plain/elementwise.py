"""Sums of branches, joined and split channels, and pixels as numbers, on the GPU: one thread per element."""

import math

import numpy as np

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import cuda, kernel
from numbacnn.backends.cuda.memory import arena
from numbacnn.backends.cuda.plain.geometry import as_rows


def add(a, b):
    """See ``Ops.add``."""
    y = arena.like(a)
    launch.over(_add, y.size, a.reshape(-1), b.reshape(-1), y.reshape(-1))
    return y


def gather_images(images, indices, scale):
    """See ``Ops.gather_images``."""
    shape = tuple(images.shape[1:])
    size = math.prod(shape)
    y = arena.empty((len(indices), *shape))
    rows, out = images.reshape(len(images), size), y.reshape(len(indices), size)
    launch.over(_gather_rows, y.size, rows, indices, np.float32(scale), out)
    return y


def concatenate(parts):
    """See ``Ops.concatenate``."""
    sizes = [tuple(part.shape)[-1] for part in parts]
    y = arena.empty((*tuple(parts[0].shape)[:-1], sum(sizes)), parts[0].dtype)
    first = 0
    for part, size in zip(parts, sizes, strict=True):
        _copy_run(part, 0, y, first, size)
        first += size
    return y


def split(x, sizes):
    """See ``Ops.split``."""
    parts, first = [], 0
    for size in sizes:
        parts.append(arena.empty((*tuple(x.shape)[:-1], size), x.dtype))
        _copy_run(x, first, parts[-1], 0, size)
        first += size
    return parts


def _copy_run(source, first_source, target, first_target, channels):
    rows, out = as_rows(source), as_rows(target)
    launch.over(_copy_channels, len(rows) * channels, rows, first_source, out, first_target, channels)


@kernel
def _add(a, b, y):
    i = cuda.grid(1)
    if i < y.size:
        y[i] = a[i] + b[i]


@kernel
def _gather_rows(rows, indices, scale, y):
    """Neighbouring threads read neighbouring pixels."""
    i = cuda.grid(1)
    n = i // y.shape[1]
    if n < y.shape[0]:
        pixel = i - n * y.shape[1]
        y[n, pixel] = np.float32(rows[indices[n], pixel]) * scale


@kernel
def _copy_channels(source, first_source, target, first_target, channels):
    """target[n, first_target + c] = source[n, first_source + c] for c below ``channels``."""
    i = cuda.grid(1)
    n = i // channels
    if n < source.shape[0]:
        c = i - n * channels
        target[n, first_target + c] = source[n, first_source + c]
