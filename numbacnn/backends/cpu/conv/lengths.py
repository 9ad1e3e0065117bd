"""Lengths of the Fourier transforms of a convolution: long enough that values which wrap around meet zeros only.

length >= max(size + pad_before, out + kernel - 1 - pad_before)          along each axis
"""

from numbacnn.shapes import Window, Window2D

LENGTHS = (4, 6, 8, 10, 12, 16, 18, 20, 24, 32, 36)
"""Lengths that have short programs; a convolution takes the shortest that is long enough."""


def has_transform(window: Window2D) -> bool:
    """Whether LENGTHS has long enough transforms for this convolution."""
    return max(_least(axis) for axis in window) <= LENGTHS[-1]


def transform_lengths(window: Window2D) -> tuple[int, int]:
    """(Ly, Lx): the lengths of the transforms; only where ``has_transform``."""
    ly, lx = (next(length for length in LENGTHS if length >= _least(axis)) for axis in window)
    return ly, lx


def _least(axis: Window) -> int:
    """The least length at which a filter that reaches beyond one edge sees zeros there, not the other edge."""
    before_the_first = axis.size + max(axis.pad_before, 0)
    after_the_last = axis.out + axis.kernel - 1 - min(axis.pad_before, axis.kernel - 1)
    return max(before_the_first, after_the_last, axis.size, axis.out, axis.kernel)


def point_count(ly: int, lx: int) -> int:
    """Points that determine a spectrum: Lx/2 + 1 columns, of which the first and the last have mirrored halves."""
    return 2 * (ly // 2 + 1) + (lx // 2 - 1) * ly
