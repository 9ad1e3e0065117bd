"""The choice of the algorithm for a convolution: a function of shapes alone, never of a measurement or of this CPU's vectors.

    cost = MULTIPLY_ADD * multiply_adds + TRANSFORM_OPERATION * transform_operations + VALUE_MOVED * values_moved

The algorithm of the least cost is chosen. Another algorithm gives other last bits, so a choice by the clock, or by the length of a
vector, would break "same seed, same bits". ``docs/performance.md`` has the measurements that the weights come from.
"""

from functools import cache
from typing import NamedTuple

from numbacnn.backends.cpu.codegen.fourier import FourierKind, fourier_program
from numbacnn.backends.cpu.codegen.winograd_matrices import TILES, WinogradKind, winograd_program
from numbacnn.backends.cpu.conv.lengths import has_transform, point_count, transform_lengths
from numbacnn.shapes import Shape, Window2D

WIDTH = 16
"""Channels that are computed side by side, for an estimate: a vector of AVX-512, two of AVX2, four of NEON."""

LEAST_IMAGES = 8
"""With fewer images than this, transforming the filters costs more than it saves, unless they are prepared."""

MULTIPLY_ADD, TRANSFORM_OPERATION, VALUE_MOVED = 1.0, 2.6, 25.0
"""The weights of a cost, fitted to measurements of 24 shapes."""


class Cost(NamedTuple):
    """The cost of one image in training, forward and backward.

    Args:
        multiply_adds: of the micro-kernel.
        transform_operations: additions and multiplications.
        values_moved: transformed values that are written and read again.
    """

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
        size: lengths of its transforms over rows and columns, or None.
        costs: the estimated cost of every possible algorithm, relative to direct summation.
        reason: for people.
    """

    algorithm: str
    size: tuple[int, int] | None
    costs: dict[str, float]
    reason: str


def is_depthwise(channels: int, kernel_shape: Shape) -> bool:
    """Whether each filter sees one of several channels: the work of ``depthwise.py``."""
    return kernel_shape[2] == 1 < channels


@cache
def choose_algorithm(count: int, window: Window2D, channels: int, maps: int, is_prepared: bool = False) -> Choice:
    """Choose the algorithm for a batch of ``count`` images.

    Args:
        window: geometry of the convolution.
        channels, maps: of its filters.
        is_prepared: whether the filters are transformed already.
    """
    rows, columns = window
    if rows.stride > 1 or columns.stride > 1:
        return Choice("direct", None, {"direct": 1.0}, "stride above 1")
    if channels < WIDTH:
        return Choice("direct", None, {"direct": 1.0}, f"fewer than {WIDTH} channels")
    algorithms = {"direct": _direct_cost(window, channels, maps)}
    sizes: dict[str, tuple[int, int]] = {}
    if has_transform(window):
        sizes["frequency"] = transform_lengths(window)
        algorithms["frequency"] = _frequency_cost(window, channels, maps)
    if rows.kernel == columns.kernel and rows.kernel in TILES:
        sizes["winograd"] = (TILES[rows.kernel] + rows.kernel - 1,) * 2
        algorithms["winograd"] = _winograd_cost(window, channels, maps)
    costs = {name: round(cost.total / algorithms["direct"].total, 4) for name, cost in algorithms.items()}
    best = min(costs, key=lambda name: costs[name])
    if count < LEAST_IMAGES and not is_prepared:
        return Choice("direct", None, costs, f"fewer than {LEAST_IMAGES} images")
    if best == "direct":
        return Choice("direct", None, costs, "transforms would cost more than they save")
    return Choice(best, sizes[best], costs, f"about {1 / costs[best]:.1f} times as fast as direct summation")


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _direct_cost(window: Window2D, channels: int, maps: int) -> Cost:
    """Three products of pixels, filter cells, channels and maps, in tiles two vectors wide."""
    rows, columns = window
    pixels = rows.out * columns.out
    cells = rows.kernel * columns.kernel
    return Cost(
        pixels * cells * channels * (2 * _round_up(maps, 2 * WIDTH) + _round_up(channels, 2 * WIDTH) * maps / channels), 0, 0
    )


def _frequency_cost(window: Window2D, channels: int, maps: int) -> Cost:
    """Three complex products at each point; one transform each for images, outputs and their gradients."""
    rows, columns = window
    ly, lx = transform_lengths(window)
    deep, wide = _round_up(channels, WIDTH), _round_up(maps, WIDTH)
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


def _winograd_cost(window: Window2D, channels: int, maps: int) -> Cost:
    """Three real products at each point of each tile; transforms of rows, then columns of tiles."""
    rows, columns = window
    r = rows.kernel
    m = TILES[r]
    n = m + r - 1
    tiles = -(-rows.out // m) * -(-columns.out // m)
    deep, wide = _round_up(channels, WIDTH), _round_up(maps, WIDTH)

    def transform(kind: WinogradKind, outputs: int) -> int:
        return tiles * (n + outputs) * winograd_program(kind, m, r).arithmetic

    images = transform(WinogradKind.INPUT, n) + transform(WinogradKind.INPUT_BACK, n)
    results = transform(WinogradKind.OUTPUT, m) + transform(WinogradKind.OUTPUT_BACK, m)
    return Cost(3 * tiles * n * n * deep * wide, images * deep + results * wide, 2 * tiles * n * n * (deep + wide))
