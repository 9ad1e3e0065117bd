"""Convolution as one writes it in NumPy: patches are copied side by side (im2col), and a matrix product does the rest.

    patches[n*i*j, u*v*c] = x[n, i*s+u*d, j*s+v*d, g*depth+c]          y = patches @ filters + bias

The product is that of NumPy's BLAS, on as many threads as it takes. Several images make a chunk: the patches of a whole batch would
take kh*kw times the memory of its images, and leave the cache.

Source: Chellapilla, Puri & Simard 2006, High Performance Convolutional Neural Networks for Document Processing.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from numbacnn.bench.problem import Convolution, chunks, padded


def convolve(problem: Convolution) -> NDArray[np.float32]:
    """y, float32 (n, oh, ow, f)."""
    (rows, columns), (kh, kw, depth, maps), groups = problem.window, problem.filters.shape, problem.groups
    pixels, length = rows.out * columns.out, kh * kw * depth
    filters = problem.filters.reshape(length, maps)
    y = np.empty(problem.output_shape, np.float32)
    for part in chunks(len(y), pixels * length):
        x = padded(problem.x[part], problem.window)
        windows = sliding_window_view(x, (rows.span, columns.span), (1, 2))
        windows = windows[:, :: rows.stride, :: columns.stride, :, :: rows.dilation, :: columns.dilation]
        windows = windows.transpose(0, 1, 2, 4, 5, 3)  # channels last, as in the filters
        out = y[part].reshape(len(x) * pixels, maps)
        for g in range(groups):
            own = slice(g * maps // groups, (g + 1) * maps // groups)
            patches = windows[..., g * depth : (g + 1) * depth].reshape(len(x) * pixels, length)
            out[:, own] = patches @ filters[:, own]
    y += problem.bias
    return y
