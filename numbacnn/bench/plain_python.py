"""Convolution in plain Python: the formula as loops over lists of numbers, for some of the output's cells.

y[i,j,f] = bias[f] + sum_{u,v,c} x[i*s+u*d, j*s+v*d, g*depth+c] * filters[u,v,c,f]          x has been padded
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from numbacnn.bench.problem import Convolution, padded

MOST_MACS = 2**18
"""Of one run, a tenth of a second: the whole of it would take minutes."""

Cell = tuple[int, int, int]


class Lists(NamedTuple):
    """The first image, padded, and the weights, as nested lists of Python's numbers."""

    image: list[list[list[float]]]
    filters: list[list[list[list[float]]]]
    bias: list[float]


def as_lists(problem: Convolution) -> Lists:
    """The arrays of a problem as lists; Python's numbers are float64."""
    return Lists(padded(problem.x[:1], problem.window)[0].tolist(), problem.filters.tolist(), problem.bias.tolist())


def some_cells(problem: Convolution) -> list[Cell]:
    """As many cells (i, j, f) of the first image's output as MOST_MACS allow, at least one, spread over it."""
    _, oh, ow, maps = problem.output_shape
    all_cells, macs = oh * ow * maps, problem.macs // len(problem.x)
    count = max(1, min(all_cells, MOST_MACS * all_cells // macs))
    places = np.unravel_index(np.linspace(0, all_cells - 1, count).astype(int), (oh, ow, maps))
    return list(zip(*(place.tolist() for place in places), strict=True))


def convolve(problem: Convolution, lists: Lists, cells: Sequence[Cell]) -> list[float]:
    """The values of these cells."""
    (rows, columns), (kh, kw, depth, maps) = problem.window, problem.filters.shape
    image, filters, bias = lists
    filters_of_group = maps // problem.groups
    values = []
    for i, j, f in cells:
        first = f // filters_of_group * depth
        total = bias[f]
        for u in range(kh):
            for v in range(kw):
                for c in range(depth):
                    r, q = i * rows.stride + u * rows.dilation, j * columns.stride + v * columns.dilation
                    total += image[r][q][first + c] * filters[u][v][c][f]
        values.append(total)
    return values
