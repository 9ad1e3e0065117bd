"""The cell of a thread, the cells of a window and the windows over a cell: for kernels with one thread per cell.

``axis`` is one axis of a ``Window2D``.
"""

from numbacnn.backends.cuda._jit import device_function


def as_rows(x):
    """A view of an array with its last axis as columns, and all others as rows."""
    return x.reshape(-1, tuple(x.shape)[-1])


@device_function
def cell_of(index, height, width, channels):
    """(n, i, j, c) of a flat index into images (n, height, width, channels): neighbouring threads have neighbouring channels."""
    pixel = index // channels
    row = pixel // width
    n = row // height
    return n, row - n * height, pixel - row * width, index - pixel * channels


@device_function
def next_pixel(n, i, j, steps, height, width):
    """``steps`` pixels further."""
    j += steps
    while j >= width:
        j -= width
        i += 1
        if i == height:
            i = 0
            n += 1
    return n, i, j


@device_function
def inside(i, axis):
    """The part of window ``i`` that lies inside the image: first input cell, one past the last."""
    start = i * axis.stride - axis.pad_before
    return max(0, start), min(start + axis.kernel, axis.size)


@device_function
def covering(r, axis):
    """The windows that cover input cell ``r``: the first one, one past the last."""
    position = r + axis.pad_before
    # ceil((position - kernel + 1) / stride), which is negative only where the answer is 0
    return max(0, position - axis.kernel + axis.stride) // axis.stride, min(position // axis.stride + 1, axis.out)
