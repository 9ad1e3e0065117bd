"""Lengths of the Fourier transforms that convolutions take."""

from numbacnn.shapes import Window, Window2D

LENGTHS = (4, 6, 8, 10, 12, 16, 18, 20, 24, 32, 36)
"""Lengths of Fourier transforms that have short programs; the next one at or above what is needed is taken."""


def has_transform(window: Window2D) -> bool:
    """Whether there are transforms long enough."""
    return max(_least(axis) for axis in window) <= LENGTHS[-1]


def transform_lengths(window: Window2D) -> tuple[int, int]:
    """(Ly, Lx): the lengths of the transforms, where there are long enough ones."""
    ly, lx = (next(length for length in LENGTHS if length >= _least(axis)) for axis in window)
    return ly, lx


def _least(axis: Window) -> int:
    """A transform wraps around: every pixel that a filter sees beyond one edge must find a zero there, not the other edge."""
    before_the_first = axis.size + max(axis.pad_before, 0)
    after_the_last = axis.out + axis.kernel - 1 - min(axis.pad_before, axis.kernel - 1)
    return max(before_the_first, after_the_last, axis.size, axis.out, axis.kernel)


def point_count(ly: int, lx: int) -> int:
    """Points of a half spectrum that say all of it: its first and last columns mirror themselves."""
    return 2 * (ly // 2 + 1) + (lx // 2 - 1) * ly
