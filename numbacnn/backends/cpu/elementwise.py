"""What is left: sums of branches, joining and splitting channels, pixels to numbers."""

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel


def add(a, b):
    """See ``Ops.add``."""
    return _add(a.reshape(-1), b.reshape(-1)).reshape(a.shape)


def gather_images(images, indices, scale):
    """See ``Ops.gather_images``."""
    count, *shape = images.shape
    return _gather_rows(images.reshape(count, int(np.prod(shape))), indices, scale).reshape(len(indices), *shape)


@kernel(parallel=True, fast_math=False)
def _add(a, b):
    y = np.empty_like(a)
    for i in prange(a.size):
        y[i] = a[i] + b[i]
    return y


@kernel(parallel=True, fast_math=False)
def _gather_rows(rows, indices, scale):
    y = np.empty((indices.shape[0], rows.shape[1]), np.float32)
    factor = np.float32(scale)
    for n in prange(indices.shape[0]):
        source, target = rows[indices[n]], y[n]
        for i in range(target.shape[0]):
            target[i] = np.float32(source[i]) * factor
    return y


@kernel(parallel=True, fast_math=False)
def copy_channels(source, first_source, target, first_target, channels):
    """target[n, first_target + c] = source[n, first_source + c] for c below ``channels``."""
    for n in prange(source.shape[0]):
        for c in range(channels):
            target[n, first_target + c] = source[n, first_source + c]


@kernel(parallel=True, fast_math=False)
def moving_average(average, value, momentum):
    """See ``Ops.moving_average``."""
    y = np.empty_like(average)
    keep = average.dtype.type(momentum)
    for c in prange(average.shape[0]):
        y[c] = average[c] * keep + value[c] * (average.dtype.type(1) - keep)
    return y
