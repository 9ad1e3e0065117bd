"""Which way to convolve: a function of shapes and the length of vectors, and never of a measurement.

Another way gives other last bits, so a choice by the clock would break "same seed, same bits". The costs below are counts of
vector operations, weighed as ``docs/performance.md`` shows them measured.
"""

from functools import cache
from typing import NamedTuple

from numbacnn.backends.cpu.codegen.fourier import Kind as FourierKind
from numbacnn.backends.cpu.codegen.fourier import fourier_program
from numbacnn.backends.cpu.codegen.winograd_matrices import TILES, winograd_program
from numbacnn.backends.cpu.codegen.winograd_matrices import Kind as WinogradKind
from numbacnn.backends.cpu.conv.lengths import has_transform, point_count, transform_lengths
from numbacnn.shapes import Window2D

FEW_IMAGES = 8
"""With fewer images than this, it costs more to transform the filters than it saves."""

MULTIPLY_ADD, TRANSFORM_OPERATION, VALUE_MOVED = 1.0, 2.6, 25.0
"""What each costs beside the others; fitted to measurements of 24 shapes, see ``docs/performance.md``."""


class Cost(NamedTuple):
    """What one image costs in training, forward and backward: multiply-adds of the micro-kernel, operations of transforms, and
    transformed values written and read again."""

    multiply_adds: float
    transform_operations: float
    values_moved: float

    @property
    def total(self) -> float:
        return (
            MULTIPLY_ADD * self.multiply_adds + TRANSFORM_OPERATION * self.transform_operations + VALUE_MOVED * self.values_moved
        )


class Choice(NamedTuple):
    """How a convolution is computed, and why.

    Args:
        algorithm: ``"direct"``, ``"frequency"`` or ``"winograd"``.
        size: of its transforms over rows and columns, or None.
        costs: the estimated cost of every way that can be taken, that of direct summation being 1.
        reason: for people.
    """

    algorithm: str
    size: tuple[int, int] | None
    costs: dict[str, float]
    reason: str


@cache
def choose_algorithm(count: int, window: Window2D, channels: int, maps: int, lanes: int, frozen: bool = False) -> Choice:
    """How to convolve ``count`` images.

    Args:
        window: geometry of the convolution.
        channels, maps: of its filters.
        lanes: float32 values in a vector of this CPU.
        frozen: whether the filters have been transformed before.
    """
    rows, columns = window
    if rows.stride > 1 or columns.stride > 1:
        return Choice("direct", None, {"direct": 1.0}, "stride above 1")
    if channels < lanes:
        return Choice("direct", None, {"direct": 1.0}, f"fewer channels than the {lanes} of a vector")
    ways = {"direct": _direct_cost(window, channels, maps, lanes)}
    sizes: dict[str, tuple[int, int]] = {}
    if has_transform(window):
        sizes["frequency"] = transform_lengths(window)
        ways["frequency"] = _frequency_cost(window, channels, maps, lanes)
    if rows.kernel == columns.kernel and rows.kernel in TILES:
        sizes["winograd"] = (TILES[rows.kernel] + rows.kernel - 1,) * 2
        ways["winograd"] = _winograd_cost(window, channels, maps, lanes)
    costs = {name: round(cost.total / ways["direct"].total, 4) for name, cost in ways.items()}
    best = min(costs, key=lambda name: costs[name])
    if count < FEW_IMAGES and not frozen:
        return Choice("direct", None, costs, f"fewer than {FEW_IMAGES} images")
    if best == "direct":
        return Choice("direct", None, costs, "transforms would cost more than they save")
    return Choice(best, sizes[best], costs, f"about {1 / costs[best]:.1f} times as fast as direct summation")


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _direct_cost(window: Window2D, channels: int, maps: int, lanes: int) -> Cost:
    """Three products of pixels, filter cells, channels and maps; a tile is two vectors wide."""
    rows, columns = window
    pixels = rows.out * columns.out
    cells = rows.kernel * columns.kernel
    return Cost(pixels * cells * channels * (2 * _up(maps, 2 * lanes) + _up(channels, 2 * lanes) * maps / channels), 0, 0)


def _frequency_cost(window: Window2D, channels: int, maps: int, lanes: int) -> Cost:
    """Three complex products at each point; images, outputs and their gradients are transformed once each."""
    rows, columns = window
    ly, lx = transform_lengths(window)
    deep, wide = _up(channels, lanes), _up(maps, lanes)
    points = point_count(ly, lx)
    real, complex_column, real_column = (
        fourier_program(kind, length, 0, size).arithmetic
        for kind, length, size in (
            (FourierKind.REAL_FORWARD, lx, columns.size),
            (FourierKind.COMPLEX_FORWARD, ly, rows.size),
            (FourierKind.REAL_FORWARD, ly, rows.size),
        )
    )
    transform = rows.size * real + (lx // 2 - 1) * complex_column + 2 * real_column
    return Cost(3 * points * 4 * deep * wide, 2 * transform * (deep + wide), 4 * points * (deep + wide))


def _winograd_cost(window: Window2D, channels: int, maps: int, lanes: int) -> Cost:
    """Three real products at each point of each tile; rows, then columns of tiles are transformed."""
    rows, columns = window
    r = rows.kernel
    m = TILES[r]
    n = m + r - 1
    tiles = -(-rows.out // m) * -(-columns.out // m)
    deep, wide = _up(channels, lanes), _up(maps, lanes)

    def transform(kind: WinogradKind, outputs: int) -> int:
        return tiles * (n + outputs) * winograd_program(kind, m, r).arithmetic

    images = transform(WinogradKind.INPUT, n) + transform(WinogradKind.INPUT_BACK, n)
    results = transform(WinogradKind.OUTPUT, m) + transform(WinogradKind.OUTPUT_BACK, m)
    return Cost(3 * tiles * n * n * deep * wide, images * deep + results * wide, 2 * tiles * n * n * (deep + wide))
