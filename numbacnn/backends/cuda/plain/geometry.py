"""Where a thread is, and which cells and windows meet: for kernels with one thread per cell.

``axis`` is one axis of a ``Window2D``.
"""

from numbacnn.backends.cuda._jit import device_function


@device_function
def cell_of(place, height, width, channels):
    """(n, i, j, c) of a place in images (n, height, width, channels): neighbouring threads have neighbouring channels."""
    pixel = place // channels
    row = pixel // width
    n = row // height
    return n, row - n * height, pixel - row * width, place - pixel * channels


@device_function
def inside(i, axis):
    """The part of window ``i`` that lies inside the image: first input cell, one past the last."""
    start = i * axis.stride - axis.pad_before
    return max(0, start), min(start + axis.kernel, axis.size)


@device_function
def covering(r, axis):
    """The windows that cover input cell ``r``: the first one, one past the last."""
    place = r + axis.pad_before
    # ceil((place - kernel + 1) / stride), of a number that may be negative only where 0 is the answer
    return max(0, place - axis.kernel + axis.stride) // axis.stride, min(place // axis.stride + 1, axis.out)
