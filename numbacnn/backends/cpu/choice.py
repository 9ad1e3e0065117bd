"""Which way to convolve: a function of shapes and the length of vectors, and never of a measurement.

Another way gives other last bits, so a choice by the clock would break "same seed, same bits". The costs below are counts of
vector operations, weighed as ``docs/performance.md`` shows them measured. Nothing here needs numba: ``shapes --plan`` asks too.
"""

from typing import NamedTuple

from numbacnn.shapes import Window, Window2D

LENGTHS = (4, 6, 8, 10, 12, 16, 18, 20, 24, 32, 36)
"""Lengths of Fourier transforms that have short programs; the next one at or above what is needed is taken."""

FEW_IMAGES = 8
"""With fewer images than this, it costs more to transform the filters than it saves."""

OPERATIONS = {4: 6, 6: 22, 8: 22, 10: 48, 12: 64, 16: 74, 18: 214, 20: 162, 24: 162, 32: 210, 36: 480}
"""Arithmetic of a real transform of each length; a complex one takes a little more than twice as much."""

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
    lengths = transform_lengths(window)
    if lengths is None:
        return Choice("direct", None, None, f"a transform would be longer than {LENGTHS[-1]}")
    ratio = _ratio(window, lengths, channels, maps, lanes)
    if count < FEW_IMAGES:
        return Choice("direct", lengths, ratio, f"fewer than {FEW_IMAGES} images")
    if ratio >= 1:
        return Choice("direct", lengths, ratio, "transforms would cost more than they save")
    return Choice("frequency", lengths, ratio, f"about {1 / ratio:.1f} times less work than direct summation")


def transform_lengths(window: Window2D) -> tuple[int, int] | None:
    """(Ly, Lx): the lengths of the transforms, or None where no short one is long enough."""
    found = [_length(axis) for axis in window]
    return None if None in found else (found[0], found[1])  # type: ignore[return-value]


def _length(axis: Window) -> int | None:
    """A transform wraps around: every pixel that a filter sees beyond one edge must find a zero there, not the other edge."""
    before_the_first = axis.size + max(axis.pad_before, 0)
    after_the_last = axis.out + axis.kernel - 1 - min(axis.pad_before, axis.kernel - 1)
    least = max(before_the_first, after_the_last, axis.size, axis.out, axis.kernel)
    return next((length for length in LENGTHS if length >= least), None)


def point_count(ly: int, lx: int) -> int:
    """Points of a half spectrum that say all of it: its first and last columns mirror themselves."""
    return 2 * (ly // 2 + 1) + (lx // 2 - 1) * ly


def _ratio(window: Window2D, lengths: tuple[int, int], channels: int, maps: int, lanes: int) -> float:
    """Multiply-adds for one image in the frequency domain, transforms weighed in, over those of direct summation."""
    rows, columns = window
    ly, lx = lengths
    deep, wide = -(-channels // lanes) * lanes, -(-maps // lanes) * lanes
    products = point_count(ly, lx) * 4 * deep * wide
    transform = rows.size * OPERATIONS[lx] + (lx // 2 - 1) * 2.3 * OPERATIONS[ly] + 2 * OPERATIONS[ly]
    direct = rows.out * columns.out * rows.kernel * columns.kernel * channels * maps
    return (products + TRANSFORM_WEIGHT * transform * (deep + wide)) / direct
