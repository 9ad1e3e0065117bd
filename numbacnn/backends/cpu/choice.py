"""Which way to convolve: a function of shapes and the length of vectors, and never of a measurement.

Another way gives other last bits, so a choice by the clock would break "same seed, same bits". The costs below are counts of
vector operations, weighed as ``docs/performance.md`` shows them measured.
"""

from typing import NamedTuple

from numbacnn.backends.cpu.fourier import Kind, fourier_program
from numbacnn.shapes import Window, Window2D

LENGTHS = (4, 6, 8, 10, 12, 16, 18, 20, 24, 32, 36)
"""Lengths of Fourier transforms that have short programs; the next one at or above what is needed is taken."""

FEW_IMAGES = 8
"""With fewer images than this, it costs more to transform the filters than it saves."""

TRANSFORM_WEIGHT = 2.4
"""What an operation of a transform costs, in multiply-adds of the micro-kernel: it waits for memory more, and fuses less."""


class Choice(NamedTuple):
    """How a convolution is computed, and why.

    Args:
        algorithm: ``"direct"`` or ``"frequency"``.
        lengths: of the transforms over rows and columns, or None.
        ratio: estimated cost in the frequency domain over that of direct summation, or None where it cannot be done so.
        reason: for people.
    """

    algorithm: str
    lengths: tuple[int, int] | None
    ratio: float | None
    reason: str


def choose(count: int, window: Window2D, channels: int, maps: int, lanes: int) -> Choice:
    """How to convolve ``count`` images.

    Args:
        window: geometry of the convolution.
        channels, maps: of its filters.
        lanes: float32 values in a vector of this CPU.
    """
    rows, columns = window
    if rows.stride > 1 or columns.stride > 1:
        return Choice("direct", None, None, "stride above 1")
    if not has_transform(window):
        return Choice("direct", None, None, f"a transform would be longer than {LENGTHS[-1]}")
    lengths = transform_lengths(window)
    ratio = _ratio(window, lengths, channels, maps, lanes)
    if count < FEW_IMAGES:
        return Choice("direct", lengths, ratio, f"fewer than {FEW_IMAGES} images")
    if ratio >= 1:
        return Choice("direct", lengths, ratio, "transforms would cost more than they save")
    return Choice("frequency", lengths, ratio, f"about {1 / ratio:.1f} times less work than direct summation")


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


def _ratio(window: Window2D, lengths: tuple[int, int], channels: int, maps: int, lanes: int) -> float:
    """Multiply-adds for one image in the frequency domain, transforms weighed in, over those of direct summation."""
    rows, columns = window
    ly, lx = lengths
    deep, wide = -(-channels // lanes) * lanes, -(-maps // lanes) * lanes
    products = point_count(ly, lx) * 4 * deep * wide
    real, complex_column, real_column = (
        fourier_program(kind, length, 0, size).arithmetic
        for kind, length, size in (
            (Kind.REAL_FORWARD, lx, columns.size),
            (Kind.COMPLEX_FORWARD, ly, rows.size),
            (Kind.REAL_FORWARD, ly, rows.size),
        )
    )
    transform = rows.size * real + (lx // 2 - 1) * complex_column + 2 * real_column
    direct = rows.out * columns.out * rows.kernel * columns.kernel * channels * maps
    return (products + TRANSFORM_WEIGHT * transform * (deep + wide)) / direct
