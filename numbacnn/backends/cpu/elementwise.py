"""What is left: sums of branches, joining and splitting channels, pixels to numbers."""

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel


@kernel(parallel=True, fast_math=False)
def add(a, b):
    """See ``Ops.add``."""
    flat_a, flat_b, y = a.ravel(), b.ravel(), np.empty(a.size, a.dtype)
    for i in prange(a.size):
        y[i] = flat_a[i] + flat_b[i]
    return y.reshape(a.shape)


@kernel(parallel=True, fast_math=False)
def copy_channels(source, first_source, target, first_target, channels):
    """target[n, first_target + c] = source[n, first_source + c] for c below ``channels``."""
    for n in prange(source.shape[0]):
        for c in range(channels):
            target[n, first_target + c] = source[n, first_source + c]


@kernel(parallel=True, fast_math=False)
def gather_images(images, indices, scale):
    """See ``Ops.gather_images``."""
    _, height, width, channels = images.shape
    y = np.empty((indices.shape[0], height, width, channels), np.float32)
    factor = np.float32(scale)
    for n in prange(indices.shape[0]):
        pixels, out = images[indices[n]].ravel(), y[n].ravel()
        for i in range(pixels.shape[0]):
            out[i] = np.float32(pixels[i]) * factor
    return y


@kernel(parallel=True, fast_math=False)
def moving_average(average, value, momentum):
    """See ``Ops.moving_average``."""
    y = np.empty_like(average)
    keep = average.dtype.type(momentum)
    for c in prange(average.shape[0]):
        y[c] = average[c] * keep + value[c] * (average.dtype.type(1) - keep)
    return y
