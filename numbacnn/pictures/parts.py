"""The parts of the ink: groups of cells that touch."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

INK_THRESHOLD = 0.25
"""Of the brightest ink: darker cells are none."""

SPECK = 0.03
"""Of the largest part: smaller parts are specks."""

Counts = NDArray[np.integer]
Part = tuple[NDArray[np.intp], NDArray[np.intp]]
"""The rows and the columns of connected cells."""


@dataclass
class Guesses:
    """What the preparation of a picture had to guess.

    Args:
        parts: how many parts of some size the picture has.
        read: which of them was taken for the digit, in words; empty where it was all of them.
        is_cut: whether ink reaches the edge, so that more of it may be outside.
    """

    parts: int = 1
    read: str = ""
    is_cut: bool = False


def count_parts(pixels: NDArray[np.uint8]) -> int:
    """How many parts a picture in the form of MNIST's digits, ink bright on black (h, w), seems to have; specks do not count.

    A figure whose pen was lifted has two: of MNIST's test digits 1.1 %, of its fives 4.3 %, whose bar often stands apart.
    """
    ink = np.where(pixels > INK_THRESHOLD * pixels.max(initial=0), pixels, 0).astype(np.int64)
    sizes = [int(ink[part].sum()) for part in connected(ink)]
    return sum(size >= SPECK * max(sizes) for size in sizes)


def border(values: NDArray[Any]) -> NDArray[Any]:
    """The values along the four sides of a picture (h, w) or (h, w, channels); corners come twice."""
    return np.concatenate((values[0], values[-1], values[:, 0], values[:, -1]))


def over_squares(values: NDArray[Any], radius: int, extreme: np.ufunc) -> NDArray[Any]:
    """The largest or smallest value within so many rows and columns of each; outside of the picture is 0.

    Pillow's filters of this kind give the same, and take ten times as long.

    Args:
        values: numbers or truth values (h, w).
        extreme: ``np.maximum``, ``np.logical_and``, ...
    """
    padded = np.pad(values, radius)
    height, width = values.shape
    across = extreme.reduce([padded[:, at : at + width] for at in range(2 * radius + 1)])
    return extreme.reduce([across[at : at + height] for at in range(2 * radius + 1)])


def connected(cells: Counts) -> list[Part]:
    """The groups of cells > 0 that touch by a side or a corner, the one that starts first in reading order first."""
    # Runs of each row, not cells: a digit has some hundred runs where it has thousands of cells.
    edges = np.diff(np.pad(cells > 0, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    stops = np.nonzero(edges == -1)[1]
    group = _groups(rows, starts, stops, cells.shape[1])
    order = np.argsort(group, kind="stable")
    lengths = (stops - starts)[order]
    ends = lengths.cumsum()
    row = rows[order].repeat(lengths)
    column = np.arange(len(row)) + (starts[order] - (ends - lengths)).repeat(lengths)
    last = np.flatnonzero(np.diff(group[order], append=-1))  # run of each group
    bounds = [0, *ends[last].tolist()]
    return [(row[start:stop], column[start:stop]) for start, stop in pairwise(bounds)]


def _groups(rows: NDArray[np.intp], starts: NDArray[np.intp], stops: NDArray[np.intp], width: int) -> NDArray[np.intp]:
    """The first run of each run's group, by the runs' rows and columns in reading order; a run's stop is the column after it."""
    # Runs as stretches of one line, on which rows lie a gap apart. Those of the row above that touch a run follow each other.
    here = rows * (width + 2)
    above = here - (width + 2)
    first = np.searchsorted(here + stops, above + starts, side="left")
    behind = np.searchsorted(here + starts, above + stops, side="right")
    root = np.where(first < behind, first, np.arange(len(rows)))
    while ((higher := root[root]) != root).any():
        root = higher
    meeting = np.flatnonzero(behind - first > 1)  # few: runs in which strokes from above meet
    if not meeting.size:
        return root
    joined: dict[int, int] = {}

    def find(run: int) -> int:
        while (low := joined.get(run, run)) != run:
            joined[run] = run = joined.get(low, low)
        return run

    for run, begin, end in zip(*(each[meeting].tolist() for each in (root, first, behind)), strict=True):
        for other in root[begin:end].tolist():
            low, high = sorted((find(run), find(other)))
            if low < high:
                joined[high] = low
    renamed = np.arange(len(rows))
    for high in joined:
        renamed[high] = find(high)
    return renamed[root]
