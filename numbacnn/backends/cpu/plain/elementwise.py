"""Element by element on the CPU: add branches, copy channels to join and split them, turn pixels into numbers."""

import math

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.arena import arena


def add(a, b):
    """See ``Ops.add``."""
    y = arena.like(a)
    _add(a.reshape(-1), b.reshape(-1), y.reshape(-1))
    return y


def gather_images(images, indices, scale):
    """See ``Ops.gather_images``."""
    shape = images.shape[1:]
    size = math.prod(shape)
    y = arena.empty((len(indices), *shape))
    _gather_rows(images.reshape(len(images), size), indices, scale, y.reshape(len(indices), size))
    return y


@kernel(parallel=True)
def _add(a, b, y):
    for i in prange(a.size):
        y[i] = a[i] + b[i]


@kernel(parallel=True)
def _gather_rows(rows, indices, scale, y):
    factor = np.float32(scale)
    for n in prange(indices.shape[0]):
        source, target = rows[indices[n]], y[n]
        for i in range(target.shape[0]):
            target[i] = np.float32(source[i]) * factor


@kernel(parallel=True)
def copy_channels(source, first_source, target, first_target, channels):
    """target[n, first_target + c] = source[n, first_source + c] for c below ``channels``."""
    for n in prange(source.shape[0]):
        for c in range(channels):
            target[n, first_target + c] = source[n, first_source + c]
